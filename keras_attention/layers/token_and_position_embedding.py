"""The first layer of a text model: tokens and their positions."""

import keras

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.tied_embedding import TiedEmbedding


@keras.saving.register_keras_serializable("keras_attention")
class TokenAndPositionEmbedding(BaseLayer):
    """Turns token ids into vectors that know their position.

    Vaswani et al. 2017, arXiv:1706.03762, Sections 3.4 and 3.5:

        output[t] = scale * embedding[token_ids[t]] + position[t]

    `token_embedding` is a `TiedEmbedding`: called with `reverse=True` on `(B, T, D)` it
    returns logits `(B, T, V)`.

    Args:
        vocabulary_size: Number V of tokens.
        hidden_dim: Width D of a token.
        max_length: Number of positions; see `PositionalEmbedding`.
        kind: `"learned"` or `"sinusoidal"` positions.
        scale: Factor of the embeddings before positions are added; the paper's is
            the square root of `hidden_dim`.
        mask_zero: Whether token 0 is padding, which later layers do not read.
        initializer: Initializer of both tables. Defaults to a truncated normal of
            standard deviation 0.02.
        layout, base, offset: Of sinusoidal positions; see `PositionalEmbedding`.

    Call arguments:
        token_ids: `(B, T)` integers from 0 to V - 1.
        positions: `(T,)` or `(B, T)` integers, when the tokens are not at 0, 1, 2, ...

    Returns:
        `(B, T, D)`.

    Raises:
        ValueError: The sequence is longer than `max_length`.

    Example:

    >>> layer = TokenAndPositionEmbedding(100, hidden_dim=8, max_length=10)
    >>> tuple(layer(keras.ops.zeros((2, 5), "int32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        max_length=None,
        kind="learned",
        scale=1.0,
        mask_zero=False,
        initializer=None,
        layout="interleaved",
        base=10000.0,
        offset=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(vocabulary_size=vocabulary_size, hidden_dim=hidden_dim)
        if initializer is None:
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.max_length = max_length
        self.kind = kind
        self.scale = scale
        self.mask_zero = mask_zero
        self.initializer = keras.initializers.get(initializer)
        self.layout = layout
        self.base = base
        self.offset = offset
        self.token_embedding = TiedEmbedding(
            vocabulary_size,
            hidden_dim,
            embeddings_initializer=self.initializer,
            mask_zero=mask_zero,
            dtype=self.dtype_policy,
            name="token_embedding",
        )
        self.position_embedding = PositionalEmbedding(
            max_length,
            kind=kind,
            layout=layout,
            initializer=self.initializer,
            base=base,
            offset=offset,
            dtype=self.dtype_policy,
            name="position_embedding",
        )

    def build(self, token_ids_shape):
        self.token_embedding.build(token_ids_shape)
        self.position_embedding.build((*token_ids_shape, self.hidden_dim))
        self.built = True

    def call(self, token_ids, positions=None):
        x = self.token_embedding(token_ids)  # (B, T, D)
        if self.scale != 1.0:
            x = x * self.scale
        return self.position_embedding(x, positions=positions)

    def compute_output_spec(self, token_ids, positions=None):
        shape = (*token_ids.shape, self.hidden_dim)
        x = keras.KerasTensor(shape, self.compute_dtype)
        return self.position_embedding.compute_output_spec(x)

    def compute_mask(self, token_ids, previous_mask=None):
        return keras.ops.not_equal(token_ids, 0) if self.mask_zero else previous_mask
