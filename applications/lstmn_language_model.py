"""A language model whose LSTM reads its own past (Cheng et al. 2016).

Long Short-Term Memory-Networks for Machine Reading, arXiv:1601.06733, Section 5.1.

Letters: B texts, T tokens, S slots with those to come, D width of a word, H width of a
layer, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.generation.text_generator import TextGenerator
from keras_attention.layers.lstmn import LSTMN
from keras_attention.tasks.language_inputs import LanguageInputs


@keras.saving.register_keras_serializable("keras_attention")
class LSTMNLanguageModel(LanguageInputs, TextGenerator, Application):
    """Predicts each token from those before, by an LSTM with a memory for each of them.

    The model to compare a Transformer with: self-attention over the past, but inside a
    recurrent network. The equations stand with `keras_attention.layers.LSTMN`.

        model.compile("adam", TokenCrossentropy())
        model.fit(texts)                           # or fit(prompts, answers)

    with a `tokenizer`, or with token ids, the inputs without their last and the targets
    without their first:

        token_ids = vocabulary.encode(texts)                 # [start] ... [end] [pad]
        model.fit({"token_ids": token_ids[:, :-1]}, token_ids[:, 1:])

    What each token read of those before it shows
    `keras_attention.visualization.attention_maps`. It continues texts by `generate`:

        model.generate([[1, 5, 7]], max_new_tokens=20)

    Args:
        vocabulary_size: V. Token id 0 is padding.
        hidden_dim: Width of each layer.
        word_dim: Width of a word.
        attention_dim: Width of the network that scores the past. Defaults to
            `hidden_dim`.
        num_layers: How many LSTMN layers are stacked.
        dropout: Fraction dropped before each layer in training, from 0 to 1.
        tokenizer: What turns texts into token ids and back, for `generate` and `fit`.
        end_id: Token id that ends a text, or `None`.
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
        tokenizer=None,
        end_id=None,
        seed=None,
        name=None,
    ):
        check_positive(
            vocabulary_size=vocabulary_size, word_dim=word_dim, num_layers=num_layers
        )
        check_rate(dropout=dropout)
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        mask = ops.not_equal(token_ids, 0)  # (B, T)
        embedding = keras.layers.Embedding(vocabulary_size, word_dim, name="embedding")
        layers = [
            LSTMN(hidden_dim, attention_dim, name=f"lstmn_{i}")
            for i in range(num_layers)
        ]
        word_output = keras.layers.Dense(vocabulary_size, name="word_output")

        x = embedding(token_ids)  # (B, T, D)
        for layer in layers:
            x = keras.layers.Dropout(dropout, seed=seed)(x)
            x = layer(x, mask=mask)  # (B, T, H)
        x = keras.layers.Dropout(dropout, seed=seed)(x)
        super().__init__({"token_ids": token_ids}, word_output(x), name=name)

        self.embedding, self.word_output = embedding, word_output
        self.decoder = _Tapes(layers)
        self.tokenizer = tokenizer
        self.vocabulary_size = vocabulary_size
        self.max_length = None  # a tape has room for any number of tokens
        self.end_id = end_id
        self.forbidden_ids = (0,)

    def embed(self, token_ids, positions):
        """Vectors of tokens.

        Args:
            token_ids: Integers `(B, T)`.
            positions: Not needed: the order is that of reading.

        Returns:
            `(B, T, D)`.
        """
        del positions
        return self.embedding(token_ids)

    def predict_logits(self, x):
        """Logits of the next token.

        Args:
            x: `(B, T, H)`, what comes out of the last layer.

        Returns:
            `(B, T, V)`.
        """
        return self.word_output(x)


class _Tapes:
    """What `generate` asks of a decoder: a cache for each layer, here its tape."""

    def __init__(self, layers):
        self.layers = layers

    def start_cache(self, batch_size, length):
        return [layer.start(batch_size, length) for layer in self.layers]

    def step(self, x, cache, *, length, mask, positions, return_attention_scores):
        """As that of `TransformerDecoder`: x is `(B, T, D)`, mask `(B, T or S)`."""
        del positions, return_attention_scores  # the weights are there in any case
        if mask is not None:
            missing = cache[0][0].shape[1] - mask.shape[1]
            mask = ops.pad(mask, [(0, 0), (0, missing)], constant_values=True)
        states, weights = [], []
        for layer, state in zip(self.layers, cache, strict=True):
            x, state, row = layer.read(x, state, length, mask)
            states.append(state)
            weights.append((row[:, None],))  # (B, 1, T, S): one head
        return x, states, weights
