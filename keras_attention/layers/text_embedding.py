"""The first layer of a text encoder: tokens, their positions and their segments.

Letters: B sequences, T tokens, V vocabulary, E width of an embedding, D width of a
token.
"""

import keras
from keras import ops

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.tied_embedding import TiedEmbedding
from keras_attention.layers.token_positions import TokenPositions

COUNTED = ("places", "tokens", None)


@keras.saving.register_keras_serializable("keras_attention")
class TextEmbedding(BaseLayer):
    """Turns token ids into vectors that know their position and their segment.

    Devlin et al. 2019, arXiv:1810.04805, Section 3.2 and Figure 2:

        x = token[token_ids] + position[positions] + segment[segment_ids]   (B, T, E)
        x = dropout(norm(x))                                                (B, T, E)
        output = x W + b, with a `table_dim`                                (B, T, D)

    A narrow table that a projection widens is that of Lan et al. 2020,
    arXiv:1909.11942, Section 3.1. `token_embedding` is a `TiedEmbedding`: called with
    `reverse=True` on `(B, T, E)` it returns logits `(B, T, V)`.

    Args:
        vocabulary_size: V.
        hidden_dim: D.
        max_length: Number of positions.
        num_segments: Number of kinds of segments, 0 for none.
        table_dim: E, the width of the tables, which a projection brings to D. Defaults
            to D, without a projection.
        counted: What has positions: `"places"`, each place from 0; `"tokens"`, so that
            padding shifts nothing; or `None`: there are no positions.
        first_position: Position of the first token, where tokens are counted; padding
            has the one before. The table has as many rows more.
        padding_id: Token id of padding, where tokens are counted. By default it is
            `padding_mask` that says what is padding.
        use_norm: Whether the sum is normalized.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1.
        initializer: Initializer of the tables. Defaults to a truncated normal of
            standard deviation 0.02.
        seed: Integer, for reproducible dropout.

    Call arguments:
        token_ids: `(B, T)` integers from 0 to V - 1.
        segment_ids: `(B, T)` integers, where there are segments. Defaults to 0.
        padding_mask: `(B, T)`, True for a token that is no padding; needed where tokens
            are counted and there is no `padding_id`.
        positions: `(B, T)` integers, in place of those that are counted.

    Returns:
        `(B, T, D)`.

    Raises:
        ValueError: The sequence is longer than `max_length`, or an argument is missing.

    Example:

    >>> layer = TextEmbedding(100, hidden_dim=8, max_length=10, num_segments=2)
    >>> tuple(layer(keras.ops.zeros((2, 5), "int32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        max_length=None,
        num_segments=0,
        table_dim=None,
        counted="places",
        first_position=0,
        padding_id=None,
        use_norm=True,
        epsilon=1e-12,
        dropout=0.0,
        initializer=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(vocabulary_size=vocabulary_size, hidden_dim=hidden_dim)
        check_choice(COUNTED, counted=counted)
        check_rate(dropout=dropout)
        if table_dim is not None:
            check_positive(table_dim=table_dim)
        if initializer is None:
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.max_length = max_length
        self.num_segments = num_segments
        self.table_dim = table_dim
        self.counted = counted
        self.first_position = first_position
        self.padding_id = padding_id
        self.use_norm = use_norm
        self.epsilon = epsilon
        self.dropout = dropout
        self.initializer = keras.initializers.get(initializer)
        self.seed = seed

        options = {"dtype": self.dtype_policy}
        width = table_dim or hidden_dim
        self.token_embedding = TiedEmbedding(
            vocabulary_size,
            width,
            embeddings_initializer=self._another_initializer(0),
            name="token_embedding",
            **options,
        )
        self.position_embedding = self.token_positions = None
        if counted is not None:
            check_positive(max_length=max_length)
            self.position_embedding = PositionalEmbedding(
                max_length + first_position,
                initializer=self._another_initializer(1),
                name="position_embedding",
                **options,
            )
        if counted == "tokens":
            self.token_positions = TokenPositions(
                max_length, first_position, name="token_positions"
            )
        self.segment_embedding = None
        if num_segments:
            self.segment_embedding = keras.layers.Embedding(
                num_segments,
                width,
                embeddings_initializer=self._another_initializer(2),
                name="segment_embedding",
                **options,
            )
        self.norm = None
        if use_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=epsilon, name="norm", **options
            )
        self.dropout_layer = keras.layers.Dropout(
            dropout, seed=seed, name="dropout", **options
        )
        self.projection = None
        if table_dim is not None:
            self.projection = keras.layers.Dense(
                hidden_dim,
                kernel_initializer=self._another_initializer(3),
                name="projection",
                **options,
            )

    def _another_initializer(self, number):
        """The initializer, with another seed for each table."""
        config = self.initializer.get_config()
        if isinstance(config.get("seed"), int):
            config["seed"] += number
        return type(self.initializer).from_config(config)

    def build(self, token_ids_shape):
        width = self.table_dim or self.hidden_dim
        shape = (*token_ids_shape, width)
        self.token_embedding.build(token_ids_shape)
        if self.position_embedding is not None:
            self.position_embedding.build(shape)
        if self.token_positions is not None:
            self.token_positions.build(token_ids_shape)
        if self.segment_embedding is not None:
            self.segment_embedding.build(token_ids_shape)
        for layer in (self.norm, self.projection):
            if layer is not None:
                layer.build(shape)
        self.built = True

    def call(self, token_ids, segment_ids=None, padding_mask=None, positions=None):
        x = self.token_embedding(token_ids)  # (B, T, E)
        if positions is None and self.token_positions is not None:
            positions = self.token_positions(self._tokens(token_ids, padding_mask))
        if self.position_embedding is not None:
            x = self.position_embedding(x, positions=positions)
        if self.segment_embedding is not None:
            if segment_ids is None:
                segment_ids = ops.zeros_like(token_ids)
            x = x + self.segment_embedding(segment_ids)
        if self.norm is not None:
            x = self.norm(x)
        x = self.dropout_layer(x)
        return x if self.projection is None else self.projection(x)  # (B, T, D)

    def _tokens(self, token_ids, padding_mask):
        """Which tokens are counted, `(B, T)`."""
        if self.padding_id is not None:
            return ops.not_equal(token_ids, self.padding_id)
        if padding_mask is None:
            raise ValueError(
                f"Layer {self.name!r} counts tokens without padding. Received no "
                "`padding_mask`, and it has no `padding_id`. Pass one of the two."
            )
        return padding_mask

    def compute_output_spec(
        self, token_ids, segment_ids=None, padding_mask=None, positions=None
    ):
        length = token_ids.shape[1]
        if self.position_embedding is not None and length is not None:
            shape = (*token_ids.shape, self.table_dim or self.hidden_dim)
            x = keras.KerasTensor(shape, self.compute_dtype)
            self.position_embedding.compute_output_spec(x)  # refuses what is too long
        shape = (*token_ids.shape, self.hidden_dim)
        return keras.KerasTensor(shape, self.compute_dtype)

    def compute_mask(self, token_ids, previous_mask=None):
        return None
