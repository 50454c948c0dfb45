"""A language model whose LSTM reads its own past (Cheng et al. 2016).

Long Short-Term Memory-Networks for Machine Reading, arXiv:1601.06733, Section 5.1.

Letters: B texts, T tokens, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.layers.base import check_positive
from keras_attention.layers.base import check_rate
from keras_attention.layers.lstmn import LSTMN


@keras.saving.register_keras_serializable("keras_attention")
class LSTMNLanguageModel(Application):
    """Predicts each token from those before, by an LSTM with a memory for each of them.

    The model to compare a Transformer with: self-attention over the past, but inside a
    recurrent network. The equations stand with `keras_attention.layers.LSTMN`.

        token_ids = vocabulary.encode(texts)                 # [start] ... [end] [pad]
        model.compile("adam", TokenCrossentropy())
        model.fit({"token_ids": token_ids[:, :-1]}, token_ids[:, 1:])

    What each token read of those before it shows
    `keras_attention.visualization.attention_maps`.

    Args:
        vocabulary_size: V. Token id 0 is padding.
        hidden_dim: Width of each layer.
        word_dim: Width of a word.
        attention_dim: Width of the network that scores the past. Defaults to
            `hidden_dim`.
        num_layers: How many LSTMN layers are stacked.
        dropout: Fraction dropped before each layer in training, from 0 to 1.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`.

    Returns:
        Logits `(B, T, V)` of the token after each token.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = LSTMNLanguageModel(vocabulary_size=9, hidden_dim=6, word_dim=4)
    >>> model.predict({"token_ids": np.array([[1, 5, 7, 0]])}, verbose=0).shape
    (1, 4, 9)
    """

    presets_table = {
        # Section 5.1: the Penn Treebank with 10,000 words, and 300 hidden units.
        "lstmn_penn_treebank": {
            "description": "The paper's sizes for the Penn Treebank, one layer.",
            "vocabulary_size": 10000,
        },
        "lstmn_penn_treebank_3_layers": {
            "description": "The paper's sizes for the Penn Treebank, three layers.",
            "vocabulary_size": 10000,
            "num_layers": 3,
        },
    }

    def __init__(
        self,
        *,
        vocabulary_size,
        hidden_dim=300,
        word_dim=150,
        attention_dim=None,
        num_layers=1,
        dropout=0.0,
        seed=None,
        name=None,
    ):
        check_positive(
            vocabulary_size=vocabulary_size, word_dim=word_dim, num_layers=num_layers
        )
        check_rate(dropout=dropout)
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        mask = ops.not_equal(token_ids, 0)  # (B, T)
        x = keras.layers.Embedding(vocabulary_size, word_dim, name="embedding")(
            token_ids
        )
        for i in range(num_layers):
            x = keras.layers.Dropout(dropout, seed=seed)(x)
            x = LSTMN(hidden_dim, attention_dim, name=f"lstmn_{i}")(x, mask=mask)
        x = keras.layers.Dropout(dropout, seed=seed)(x)
        logits = keras.layers.Dense(vocabulary_size, name="word_output")(x)  # (B, T, V)
        super().__init__({"token_ids": token_ids}, logits, name=name)
