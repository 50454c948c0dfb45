"""GPT-2: a Transformer's decoder that writes on.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", Section 2.3.

Letters: B sequences, T tokens, D width of a token, V vocabulary.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.gpt2 import GPT2_FAMILY
from keras_attention.checkpoints.labels import count_classes
from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.generation.text_generator import TextGenerator
from keras_attention.layers.last_token import LastToken
from keras_attention.layers.token_and_position_embedding import (
    TokenAndPositionEmbedding,
)
from keras_attention.layers.token_positions import TokenPositions
from keras_attention.layers.transformer_decoder import TransformerDecoder
from keras_attention.layers.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.tasks.text_inputs import TextInputs
from keras_attention.tokenizers.loading import load_tokenizer

HEADS = (None, "language_model", "classification")


@keras.saving.register_keras_serializable("keras_attention")
class GPT2(TextInputs, TextGenerator, Application):
    """Predicts the token after each token from all tokens before it.

    Radford et al. 2019, Section 2.3; the block is that of the Transformer's decoder,
    without an encoder to read and with the norm in front of each branch:

        x = embedding(token_ids) + positions                        (B, T, D)
        x = 12 times: causal self-attention, feed-forward network   (B, T, D)
        x = norm(x)                                                 (B, T, D)
        logits = x embedding^T                                      (B, T, V)

    It reads and writes the checkpoints of the library transformers:

        model = GPT2.from_preset("hf://openai-community/gpt2")

    and continues texts by `generate`:

        model.generate("Attention is", max_new_tokens=20)

    Padding may stand before or behind the tokens: positions count tokens only.

    Args:
        tokenizer: What turns texts into token ids, such as a `PublishedTokenizer`.
            Loaded with a published checkpoint.
        vocabulary_size: V.
        max_length: Number of positions.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks. Defaults to 4 D.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training of what each branch adds, from 0 to 1.
        attention_dropout: Fraction of attention weights dropped.
        embedding_dropout: Fraction of the embeddings dropped.
        head: `"language_model"`; `"classification"` of the whole sequence, by its last
            token; or `None` for the tokens after the last norm.
        tie_embeddings: Whether the language model's last layer is the table of tokens,
            transposed.
        num_classes: Number of classes for `"classification"`; 1 for a regression.
            Defaults to 2.
        class_names: Their names.
        end_id: Token id that ends a text, or a list of them.
        padding_id: Token id of padding, if there is one. Here it is `padding_mask` that
            counts; a checkpoint holds it for others.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `token_ids`, integers `(B, T)`, and `padding_mask`, `(B, T)`,
            True (or 1) for a token that is no padding. `fit`, `evaluate` and `predict`
            also take texts; see `TextInputs`.

    Returns:
        Logits `(B, T, V)` of the token after each token, logits `(B, num_classes)`, or
        tokens `(B, T, D)`.

    Raises:
        ValueError: An argument is out of its range, or the sequence is longer than
            `max_length`.

    Example:

    >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2)
    >>> inputs = {"token_ids": [[5, 7, 2]], "padding_mask": [[1, 1, 1]]}
    >>> inputs = {name: np.array(ids) for name, ids in inputs.items()}
    >>> model.predict(inputs, verbose=0).shape
    (1, 3, 20)
    """

    # Table 2. The paper counts 117M and 345M for the first two; the published weights
    # have the numbers here.
    presets_table = {
        "gpt2": {
            "description": "12 blocks of width 768, 124,439,808 parameters.",
        },
        "gpt2_medium": {
            "description": "24 blocks of width 1024, 354,823,168 parameters.",
            "num_layers": 24,
            "hidden_dim": 1024,
            "num_heads": 16,
        },
        "gpt2_large": {
            "description": "36 blocks of width 1280, 774,030,080 parameters.",
            "num_layers": 36,
            "hidden_dim": 1280,
            "num_heads": 20,
        },
        "gpt2_xl": {
            "description": "48 blocks of width 1600, 1,557,611,200 parameters.",
            "num_layers": 48,
            "hidden_dim": 1600,
            "num_heads": 25,
        },
    }
    families = (GPT2_FAMILY,)
    heads = {
        "head": ["language_model_head", "classifier"],
        "num_classes": "classifier",
        "tie_embeddings": "language_model_head",
    }

    def __init__(
        self,
        *,
        tokenizer=None,
        vocabulary_size=50257,
        max_length=1024,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=None,
        activation="gelu_tanh",
        epsilon=1e-5,
        dropout=0.1,
        attention_dropout=0.1,
        embedding_dropout=0.1,
        head="language_model",
        tie_embeddings=True,
        num_classes=None,
        class_names=None,
        end_id=50256,
        padding_id=None,
        seed=None,
        name=None,
    ):
        check_choice(HEADS, head=head)
        check_rate(embedding_dropout=embedding_dropout)
        num_classes = count_classes(num_classes, class_names, head, ["classification"])
        embedding = TokenAndPositionEmbedding(
            vocabulary_size, hidden_dim, max_length, name="embedding"
        )
        block = TransformerDecoderBlock(
            num_heads,
            mlp_dim or 4 * hidden_dim,
            use_cross_attention=False,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            epsilon=epsilon,
            seed=seed,
        )
        decoder = TransformerDecoder(block, num_layers, name="decoder")

        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        padding_mask = keras.Input((None,), dtype="bool", name="padding_mask")
        positions = TokenPositions(max_length, name="positions")(padding_mask)
        x = embedding(token_ids, positions=positions)  # (B, T, D)
        x = keras.layers.Dropout(embedding_dropout, seed=seed, name="dropout")(x)
        x = decoder(x, mask=padding_mask)  # (B, T, D)
        if head == "language_model" and tie_embeddings:
            x = embedding.token_embedding(x, reverse=True)  # (B, T, V)
        elif head == "language_model":
            x = keras.layers.Dense(
                vocabulary_size, use_bias=False, name="language_model_head"
            )(x)  # (B, T, V)
        elif head == "classification":
            x = LastToken(name="last_token")(x, padding_mask)  # (B, D)
            x = keras.layers.Dense(num_classes, use_bias=False, name="classifier")(x)
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        super().__init__(inputs, x, name=name)

        self.embedding, self.decoder = embedding, decoder
        self.head, self.tie_embeddings = head, tie_embeddings
        self.tokenizer = tokenizer
        self.class_names = class_names
        self.vocabulary_size = vocabulary_size
        self.max_length = max_length
        self.end_id = end_id
        if padding_id is not None:
            self.padding_id = padding_id

    def embed(self, token_ids, positions):
        """Vectors of tokens at their positions.

        Args:
            token_ids: Integers `(B, T)`.
            positions: Integers `(B, T)`.

        Returns:
            `(B, T, D)`.
        """
        return self.embedding(token_ids, positions=positions)

    def predict_logits(self, x):
        """Logits of the next token.

        Args:
            x: `(B, T, D)`, what comes out of the decoder.

        Returns:
            `(B, T, V)`.

        Raises:
            ValueError: The model has another head.
        """
        if self.head != "language_model":
            raise ValueError(
                f"This GPT2 has head={self.head!r}, so it writes no text. Load it with "
                'head="language_model".'
            )
        if self.tie_embeddings:
            return self.embedding.token_embedding(x, reverse=True)
        return self.get_layer("language_model_head")(x)

    @classmethod
    def read_assets(cls, folder, given=()):
        """Reads the tokenizer of a published checkpoint.

        Args:
            folder: Its folder.
            given: Names of arguments that are not read.

        Returns:
            Dict with `tokenizer`, which is `None` without such files.
        """
        if "tokenizer" in given:
            return {}
        return {"tokenizer": load_tokenizer(folder, has_segments=False)}
