"""Scores of contents and of distances apart from each other, as DeBERTa adds them.

He et al. 2021, arXiv:2006.03654, Section 3.1. A distance is the position of the query
minus that of the key.

Letters: B batch, T query length, S key length, N heads, H width of a head, D width of
a token, R rows of the table, n number of terms.
"""

import math

import keras
from keras import ops

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.shared_parts import build_once
from keras_attention.ops.relative import distance_products

TERMS = ("content_to_position", "position_to_content")


@keras.saving.register_keras_serializable("keras_attention")
class DistanceTable(BaseLayer):
    """Vectors of distances between two tokens, which all blocks of an encoder share.

    He et al. 2021, Equation 3: row `distance + k` for distances from -k to k - 1, the
    farther ones at the ends. With `num_buckets` the rows are of distances up to a
    quarter of them in each direction, and beyond of ranges that grow with them (He et
    al. 2021, arXiv:2111.09543, Appendix A.4, after T5).

    Args:
        hidden_dim: D.
        max_distance: k, or with `num_buckets` the distance from which on all are alike.
        num_buckets: Number of rows in each direction in place of k.
        use_norm: Whether the vectors are normalized.
        epsilon: Small number in the norm's square root.
        initializer: Initializer of the table. Defaults to a truncated normal of
            standard deviation 0.02.

    Call arguments:
        distances: Integers of any shape.

    Returns:
        `(..., D)`.

    Raises:
        ValueError: There are fewer than 2 buckets.

    Example:

    >>> table = DistanceTable(8, max_distance=3)
    >>> tuple(table(keras.ops.arange(5)).shape), tuple(table.whole().shape)
    ((5, 8), (6, 8))
    >>> keras.ops.convert_to_numpy(table.rows([-9, -3, 0, 2, 3])).tolist()
    [0, 0, 3, 5, 5]
    """

    def __init__(
        self,
        hidden_dim,
        max_distance,
        num_buckets=None,
        use_norm=False,
        epsilon=1e-7,
        initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(hidden_dim=hidden_dim, max_distance=max_distance)
        if num_buckets is not None:
            check_positive(num_buckets=num_buckets)
            if num_buckets < 2:
                raise ValueError(
                    "Half of the buckets are of one distance each, the others of "
                    f"ranges. Received: num_buckets={num_buckets}. Pass at least 2."
                )
        if initializer is None:
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.hidden_dim = hidden_dim
        self.max_distance = max_distance
        self.num_buckets = num_buckets
        self.use_norm = use_norm
        self.epsilon = epsilon
        self.initializer = keras.initializers.get(initializer)
        self.norm = None
        if use_norm:
            self.norm = keras.layers.LayerNormalization(
                epsilon=epsilon, dtype=self.dtype_policy, name="norm"
            )

    def build(self, distances_shape=None):
        shape = (2 * (self.num_buckets or self.max_distance), self.hidden_dim)
        self.table = self.add_weight(shape, initializer=self.initializer, name="table")
        if self.norm is not None:
            self.norm.build(shape)
        self.built = True

    def call(self, distances):
        return ops.take(self.whole(), self.rows(distances), axis=0)

    def whole(self):
        """All vectors, `(R, D)`: R is 2 k, or twice `num_buckets`."""
        table = ops.cast(self.table, self.compute_dtype)
        return table if self.norm is None else self.norm(table)

    def rows(self, distances):
        """The rows of distances.

        Args:
            distances: Integers of any shape.

        Returns:
            Integers of the same shape, from 0 to R - 1.
        """
        distances = ops.convert_to_tensor(distances, "int32")
        count = self.num_buckets or self.max_distance
        if self.num_buckets is not None:
            distances = log_buckets(distances, self.num_buckets, self.max_distance)
        return ops.clip(distances + count, 0, 2 * count - 1)


def log_buckets(distances, num_buckets, max_distance):
    """Distances, the larger ones by their logarithm.

    Args:
        distances: Integers.
        num_buckets: Number of buckets in each direction: half of them are of one
            distance, the others of as many as there are up to `max_distance`. All
            are of one where half of them reach that far.
        max_distance: The distance whose bucket is the last.

    Returns:
        Integers of the same shape, from `-num_buckets` to `num_buckets`.

    Example:

    >>> found = log_buckets([-9, -2, 0, 4, 5, 6, 7, 8, 15], 8, 16)
    >>> keras.ops.convert_to_numpy(found).tolist()
    [-6, -2, 0, 4, 5, 5, 6, 6, 7]
    """
    distances = ops.convert_to_tensor(distances, "int32")
    middle = num_buckets // 2
    if max_distance - 1 <= middle:
        return ops.clip(distances, -num_buckets, num_buckets)
    far = ops.cast(ops.maximum(ops.abs(distances), middle), "float32") / middle
    longest = ops.log(ops.convert_to_tensor((max_distance - 1) / middle, "float32"))
    far = ops.ceil(ops.log(far) / longest * (middle - 1)) + middle
    far = ops.cast(far, "int32") * ops.sign(distances)
    return ops.where(ops.abs(distances) <= middle, distances, far)


@keras.saving.register_keras_serializable("keras_attention")
class DisentangledScores(BaseLayer):
    """What distances add to the scores of contents; for `position_scores`.

    He et al. 2021, Equation 4, of which attention itself has the first term:

        score[t, s] = q[t] k[s] + q[t] pk[t - s] + k[s] pq[t - s]
        pk = table Wk, pq = table Wq

    divided by the root of n H, where n counts the terms: give the attention layer
    `scale=disentangled_scale(H, terms)`. Each head's products with the table are read
    by shifting rows, without an index of T x S numbers.

    Args:
        table: A `DistanceTable`, which the copies of a block share.
        terms: Which of `"content_to_position"` and `"position_to_content"` are added.
        share_projections: Whether the projections of the tokens project the table, too
            (He et al. 2021, arXiv:2006.03654, Section 5.4); else there are others.
        use_key_bias: Whether the projection to keys of the table has a bias, where it
            is not shared.
        kernel_initializer: Initializer of the projections that are not shared.
        dropout: Fraction of the table dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, N, H)`.
        key: `(B, S, N, H)`.
        offset: Position of the first query among the keys.
        attention: The attention layer that asks.

    Returns:
        `(B, N, T, S)`.

    Raises:
        ValueError: There is no such term, or none.

    Example:

    >>> from keras_attention.layers import MultiHeadSelfAttention
    >>> scores = DisentangledScores(DistanceTable(6, max_distance=4))
    >>> layer = MultiHeadSelfAttention(
    ...     num_heads=2, key_dim=3, position_scores=scores,
    ...     scale=disentangled_scale(3, scores.terms),
    ... )
    >>> tuple(layer(keras.ops.ones((1, 5, 6))).shape)
    (1, 5, 6)
    """

    shared_arguments = ("table",)

    def __init__(
        self,
        table,
        terms=TERMS,
        share_projections=False,
        use_key_bias=True,
        kernel_initializer="glorot_uniform",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not terms:
            raise ValueError(
                f"`terms` must name one of {', '.join(TERMS)} or both. Received: "
                f"terms={terms}"
            )
        for term in terms:
            check_choice(TERMS, terms=term)
        check_rate(dropout=dropout)
        self.table = table
        self.terms = list(terms)
        self.share_projections = share_projections
        self.use_key_bias = use_key_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.dropout = dropout
        self.seed = seed
        self.drop = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
        )

    def build(self, query_shape, key_shape):
        build_once(self.table)
        width = query_shape[-2] * query_shape[-1]
        self.key_projection = self.query_projection = None
        if not self.share_projections:
            if "content_to_position" in self.terms:
                self.key_projection = self._dense(
                    width, "key_projection", self.use_key_bias, 0
                )
            if "position_to_content" in self.terms:
                self.query_projection = self._dense(width, "query_projection", True, 1)
        self.built = True

    def _dense(self, width, name, use_bias, number):
        layer = keras.layers.Dense(
            width,
            use_bias=use_bias,
            kernel_initializer=another(self.kernel_initializer, number),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, self.table.hidden_dim))
        return layer

    def call(self, query, key, offset=0, attention=None):
        length, key_length = ops.shape(query)[1], ops.shape(key)[1]
        table = self.drop(self.table.whole())  # (R, D)
        # From the key that is farthest behind a query to the one farthest before it.
        distances = ops.arange(length + key_length - 1, dtype="int32")
        distances = distances - (key_length - 1) + offset
        rows = self.table.rows(distances)
        scale = disentangled_scale(query.shape[-1], self.terms)
        scores = 0.0
        if "content_to_position" in self.terms:
            keys = self._heads(table, attention, "key", query)  # (R, N, H)
            keys = ops.take(keys * scale, ops.flip(rows), axis=0)
            scores += distance_products(query, keys, key_length)
        if "position_to_content" in self.terms:
            queries = self._heads(table, attention, "query", query)
            queries = ops.take(queries * scale, rows, axis=0)
            scores += ops.swapaxes(distance_products(key, queries, length), -1, -2)
        return scores

    def _heads(self, table, attention, kind, query):
        """The table projected to the heads, `(R, N, H)`."""
        if self.share_projections:
            project = {
                "key": attention.project_key,
                "query": attention.project_query,
            }[kind]
            return project(table[None])[0]
        layer = self.key_projection if kind == "key" else self.query_projection
        return ops.reshape(layer(table), (-1, *query.shape[-2:]))


def disentangled_scale(key_dim, terms):
    """The factor of scores of so many terms (He et al. 2021, Equation 4).

    Args:
        key_dim: Width H of a head.
        terms: Those that distances add.

    Returns:
        1 / sqrt(n H), where n counts the term of contents, too.

    Example:

    >>> disentangled_scale(8, ["content_to_position"])
    0.25
    """
    return 1 / math.sqrt((1 + len(terms)) * key_dim)
