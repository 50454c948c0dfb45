"""Scores of distances with biases that all queries share, as Transformer-XL adds them.

Letters: B batch, T query length, S key length, N heads, H width of a head, D width of a
distance, R distances.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.ops import sinusoidal_positions
from keras_attention.ops.relative import distance_products


@keras.saving.register_keras_serializable("keras_attention")
class RelativeScores(BaseLayer):
    """What distances add to the scores of contents; for `position_scores`.

    Dai et al. 2019, arXiv:1901.02860, Section 3.3, whose terms (b), (c) and (d) join
    the product of query and key:

        score[t, s] = q[t] k[s] + u k[s] + (q[t] + v) W r[t - s]

    where r has the sines and cosines of a distance, and u and v are biases of each
    head. All are divided by the root of H.

    Args:
        hidden_dim: D, even.
        max_distance: The distance from which on all are alike, or `None`.
        second_half_reversed: Whether the second half of a batch reads its texts from
            the end (`bi_data` in the code of Yang et al. 2019, arXiv:1906.08237): its
            distances have the other sign.
        initializer: Initializer of the projection and of the biases.
        dropout: Fraction of the distances dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, N, H)`.
        key: `(B, S, N, H)`.
        offset: Position of the first query among the keys.

    Returns:
        `(B, N, T, S)`.

    Raises:
        ValueError: `hidden_dim` is odd.

    Example:

    >>> from keras_attention.layers import MultiHeadSelfAttention
    >>> scores = RelativeScores(hidden_dim=6)
    >>> layer = MultiHeadSelfAttention(num_heads=2, key_dim=3, position_scores=scores)
    >>> tuple(layer(keras.ops.ones((1, 5, 6))).shape)
    (1, 5, 6)
    """

    def __init__(
        self,
        hidden_dim,
        max_distance=None,
        second_half_reversed=False,
        initializer="glorot_uniform",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(hidden_dim=hidden_dim)
        if hidden_dim % 2:
            raise ValueError(
                "Half of a distance's numbers are sines, half cosines. Received: "
                f"hidden_dim={hidden_dim}. Pass an even one."
            )
        if max_distance is not None:
            check_positive(max_distance=max_distance)
        check_rate(dropout=dropout)
        self.hidden_dim = hidden_dim
        self.max_distance = max_distance
        self.second_half_reversed = second_half_reversed
        self.initializer = keras.initializers.get(initializer)
        self.dropout = dropout
        self.seed = seed
        self.drop = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
        )

    def build(self, query_shape, key_shape):
        heads = tuple(query_shape[-2:])
        self.projection = keras.layers.Dense(
            heads[0] * heads[1],
            use_bias=False,
            kernel_initializer=another(self.initializer, 0),
            dtype=self.dtype_policy,
            name="projection",
        )
        self.projection.build((None, self.hidden_dim))
        self.content_bias = self.add_weight(
            heads, another(self.initializer, 1), name="content_bias"
        )
        self.distance_bias = self.add_weight(
            heads, another(self.initializer, 2), name="distance_bias"
        )
        self.built = True

    def call(self, query, key, offset=0):
        scores = self._of_distances(query, key, offset)
        if self.second_half_reversed:
            size = ops.shape(query)[0]
            is_reversed = ops.arange(size) >= size // 2
            scores = ops.where(
                is_reversed[:, None, None, None],
                self._of_distances(query, key, offset, sign=-1),
                scores,
            )
        bias = ops.cast(self.content_bias, key.dtype)
        scores += ops.einsum("nh,bsnh->bns", bias, key)[:, :, None]
        return scores * query.shape[-1] ** -0.5

    def _of_distances(self, query, key, offset, sign=1):
        """The products of queries with distances, `(B, N, T, S)`."""
        length, key_length = ops.shape(query)[1], ops.shape(key)[1]
        # From the key that is farthest before a query to the one farthest behind it.
        distances = length - 1 - ops.arange(length + key_length - 1, dtype="int32")
        distances = sign * (distances + offset)
        if self.max_distance is not None:
            distances = ops.clip(distances, -self.max_distance, self.max_distance)
        waves = sinusoidal_positions(
            distances, self.hidden_dim, layout="concatenated", dtype=self.wide_dtype
        )
        waves = self.drop(ops.cast(waves, query.dtype))  # (R, D)
        projected = ops.reshape(self.projection(waves), (-1, *query.shape[-2:]))
        query = query + ops.cast(self.distance_bias, query.dtype)
        return distance_products(query, projected, key_length)
