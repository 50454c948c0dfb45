"""Captions by a Transformer that reads the features of a convolutional network.

Sharma et al. 2018, Conceptual Captions, aclanthology.org/P18-1238, Section 4.2.

Letters: B pictures, S cells of the grid of features, T tokens, D width of a token, V
vocabulary.
"""

import math

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.generation.captioner import Captioner
from keras_attention.generation.sentences import sized_vocabulary
from keras_attention.generation.steps import CachedSteps
from keras_attention.layers.grid_encoder import grid_encoder
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.tied_embedding import TiedEmbedding
from keras_attention.layers.transformer_decoder import TransformerDecoder
from keras_attention.layers.transformer_decoder_block import TransformerDecoderBlock
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.caption_inputs import CaptionInputs


@keras.saving.register_keras_serializable("keras_attention")
class TransformerCaptioner(CaptionInputs, Captioner, Application):
    """Describes a picture without recurrence: a Transformer reads its grid of features.

    What stands in place of the source's tokens are the cells of a grid:

        grid = convolutional network(images)                        (B, H, W, C)
        x = grid W + positions                                      (B, S, D)
        x = 6 times: self-attention, feed-forward network           (B, S, D)
        y = sqrt(D) embedding(token_ids) + positions                (B, T, D)
        y = 6 times: causal self-attention, attention to x,         (B, T, D)
            feed-forward network
        logits = y embedding^T                                      (B, T, V)

    It is trained and asked as `ShowAttendTell` is, and all words of a caption are
    learned at once:

        token_ids = vocabulary.encode(captions)              # [start] ... [end] [pad]
        model.compile("adam", TokenCrossentropy())
        model.fit(
            {"images": images, "token_ids": token_ids[:, :-1]}, token_ids[:, 1:]
        )
        model.caption(images)

    The norms stand in front of the branches, unlike in Vaswani et al. 2017, so that
    training needs no warm-up (Xiong et al. 2020, arXiv:2002.04745).

    Args:
        vocabulary: The words that the model writes: a `Vocabulary` or a list of words.
        vocabulary_size: V, for a model without a vocabulary, which reads and writes
            token ids: 0 is padding, 1 the start, 2 the end, 3 an unknown word.
        image_size: Height and width of the pictures in pixels, one integer or two.
        encoder: What turns a picture into a grid of features, as for `ShowAttendTell`.
        encoder_filters: Widths of the stages of the small network.
        encoder_weights: Weights of a model of `keras.applications`.
        encoder_layer: The layer of a named or given encoder whose output is the grid.
        train_encoder: Whether the convolutional network is trained, too.
        hidden_dim: D.
        num_layers: Number of blocks that read the grid.
        num_decoder_layers: Number of blocks that write. Defaults to `num_layers`.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        max_length: Most words of a caption that `caption` writes.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `images`, `(B, height, width, 3)`, values from 0 to 255, and
            `token_ids`, integers `(B, T)`.

    Returns:
        Logits `(B, T, V)` of the token after each token.

    Raises:
        ValueError: An argument is out of its range, or arguments contradict each other.

    Example:

    >>> model = TransformerCaptioner(
    ...     vocabulary=["cat", "black"], image_size=16, encoder_filters=(4, 4),
    ...     hidden_dim=8, num_layers=1, num_heads=2, mlp_dim=8,
    ... )
    >>> image = np.zeros((16, 16, 3), "uint8")
    >>> captions, weights = model.caption(
    ...     image, max_length=2, return_attention_scores=True
    ... )
    >>> weights.shape[:3], weights.shape[4:]
    ((1, 1, 2), (2, 2))
    """

    def __init__(
        self,
        *,
        vocabulary=None,
        vocabulary_size=None,
        image_size=64,
        encoder=None,
        encoder_filters=(96, 192),
        encoder_weights=None,
        encoder_layer=None,
        train_encoder=True,
        hidden_dim=512,
        num_layers=6,
        num_decoder_layers=None,
        num_heads=8,
        mlp_dim=2048,
        dropout=0.1,
        attention_dropout=0.1,
        max_length=20,
        seed=None,
        name=None,
    ):
        check_rate(dropout=dropout, attention_dropout=attention_dropout)
        check_positive(hidden_dim=hidden_dim)
        vocabulary, vocabulary_size = sized_vocabulary(vocabulary, vocabulary_size)
        encoder = grid_encoder(
            encoder, image_size, encoder_filters, encoder_weights, encoder_layer
        )
        if not train_encoder:
            encoder.trainable = False
        rows, columns = encoder.output_shape[1:3]
        options = {
            "activation": "relu",
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "seed": seed,
        }
        projection = keras.layers.Dense(hidden_dim, name="grid_projection")
        places = PositionalEmbedding(rows * columns, name="grid_positions")
        reader = TransformerEncoder(
            TransformerEncoderBlock(num_heads, mlp_dim, **options),
            num_layers,
            name="reader",
        )
        embedding = TiedEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=keras.initializers.RandomNormal(
                stddev=hidden_dim**-0.5, seed=seed
            ),
            name="embedding",
        )
        positions = PositionalEmbedding(kind="sinusoidal", name="positions")
        decoder = TransformerDecoder(
            TransformerDecoderBlock(num_heads, mlp_dim, **options),
            num_decoder_layers or num_layers,
            name="decoder",
        )
        drop = keras.layers.Dropout(dropout, seed=seed, name="dropout")

        def read(images, training=None):
            grid = encoder(images, training=training)  # (B, rows, columns, C)
            shape = (-1, rows * columns, grid.shape[-1])
            x = places(projection(ops.reshape(grid, shape)))  # (B, S, D)
            return reader(drop(x, training=training), training=training)

        def embed(token_ids, at=None):
            y = embedding(token_ids) * math.sqrt(hidden_dim)
            return positions(y, positions=at)  # (B, T, D)

        images = keras.Input((*image_sides(image_size), 3), name="images")
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        y = decoder(drop(embed(token_ids)), read(images))  # (B, T, D)
        logits = embedding(y, reverse=True)  # (B, T, V)
        inputs = {"images": images, "token_ids": token_ids}
        super().__init__(inputs, logits, name=name)

        self.encoder, self.decoder = encoder, decoder
        self.vocabulary, self.vocabulary_size = vocabulary, vocabulary_size
        self.image_size = image_sides(image_size)
        self.max_length = max_length
        self._steps = CachedSteps(
            decoder,
            lambda token_ids, at: embed(token_ids, at[0]),
            lambda y: embedding(y, reverse=True),
            lambda images: {"encoded": decoder.read_encoder(read(images, False))},
        )

    def make_steps(self):
        """How this model begins and goes on: see `CachedSteps`."""
        return self._steps
