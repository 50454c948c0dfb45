"""Wide vectors for frequent tokens, narrow ones for rare: in, and out as a softmax.

Grave et al. 2017, arXiv:1609.04309 (the softmax); Baevski and Auli 2019,
arXiv:1809.10853 (the embeddings).

Letters: B sequences, T tokens, V vocabulary, D width of a token, E width of the first
table, C clusters of tokens.
"""

import itertools
import math
import zlib

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class AdaptiveEmbedding(BaseLayer):
    """Turns token ids into vectors, and vectors into log-probabilities of tokens.

    Token ids go from the most frequent token to the rarest, and are cut into C
    clusters. Cluster i has a table of width E / division^i and a projection to D:

        x = sqrt(D) table_i[token_id] P_i                           (B, T, D)

    In reverse, the first table also has a row for each of the other clusters, and what
    it leaves to a cluster is shared out in there:

        log p(token) = log p(cluster) + log p(token in the cluster) (B, T, V)

    Args:
        vocabulary_size: V.
        hidden_dim: D.
        table_dim: E. Defaults to D.
        cutoffs: List of C - 1 integers, the first token id of each cluster but the
            first.
        division: How many times narrower a table is than the one before.
        has_outputs: Whether it is called in reverse.
        tie_tables: Whether the tables of both directions are the same.
        tied_projections: List of C booleans, for which clusters the projections of both
            directions are the same. Defaults to all but the first.
        initializer: Initializer of the tables and the projections.

    Call arguments:
        inputs: `(B, T)` integers from 0 to V - 1, in reverse `(B, T, D)`.
        reverse: Whether log-probabilities are asked for.

    Returns:
        `(B, T, D)`, in reverse `(B, T, V)`.

    Raises:
        ValueError: `cutoffs` do not ascend within the vocabulary, or a table has no
            width.

    Example:

    >>> layer = AdaptiveEmbedding(100, hidden_dim=8, cutoffs=[10, 40], division=2)
    >>> x = layer(keras.ops.zeros((2, 5), "int32"))
    >>> tuple(x.shape), tuple(layer(x, reverse=True).shape)
    ((2, 5, 8), (2, 5, 100))
    """

    def __init__(
        self,
        vocabulary_size,
        hidden_dim,
        table_dim=None,
        cutoffs=(),
        division=4,
        has_outputs=True,
        tie_tables=True,
        tied_projections=None,
        initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        table_dim = hidden_dim if table_dim is None else table_dim
        check_positive(
            vocabulary_size=vocabulary_size,
            hidden_dim=hidden_dim,
            table_dim=table_dim,
            division=division,
        )
        edges = [0, *cutoffs, vocabulary_size]
        if any(last <= first for first, last in itertools.pairwise(edges)):
            raise ValueError(
                "`cutoffs` must ascend from above 0 to below `vocabulary_size`. "
                f"Received: cutoffs={list(cutoffs)}, vocabulary_size={vocabulary_size}"
            )
        self.widths = [table_dim // division**i for i in range(len(edges) - 1)]
        if not self.widths[-1]:
            raise ValueError(
                f"The tables become narrower until nothing is left. Received: "
                f"table_dim={table_dim}, division={division} for {len(self.widths)} "
                "clusters. Pass a wider table, or fewer `cutoffs`."
            )
        if tied_projections is None:
            tied_projections = [i > 0 for i in range(len(self.widths))]
        if len(tied_projections) != len(self.widths):
            raise ValueError(
                f"`tied_projections` must have one for each of {len(self.widths)} "
                f"clusters. Received: {list(tied_projections)}"
            )
        if initializer is None:
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.vocabulary_size = vocabulary_size
        self.hidden_dim = hidden_dim
        self.table_dim = table_dim
        self.cutoffs = list(cutoffs)
        self.division = division
        self.has_outputs = has_outputs
        self.tie_tables = tie_tables
        self.tied_projections = list(tied_projections)
        self.initializer = keras.initializers.get(initializer)
        self.clusters = list(itertools.pairwise(edges))
        self.softmax = None
        if has_outputs:
            self.softmax = AdaptiveSoftmax(
                [last - first for first, last in self.clusters],
                self.widths,
                hidden_dim,
                not tie_tables,
                [not is_tied for is_tied in tied_projections],
                self.initializer,
                dtype=self.dtype_policy,
                name="softmax",
            )

    def build(self, inputs_shape):
        self.tables, self.projections = [], []
        for i, ((first, last), width) in enumerate(
            zip(self.clusters, self.widths, strict=True)
        ):
            shape = (last - first, width)
            self.tables.append(_weight(self, shape, f"table_{i}"))
            shape = (width, self.hidden_dim)
            self.projections.append(_weight(self, shape, f"projection_{i}"))
        if self.softmax is not None:
            self.softmax.build((*inputs_shape, self.hidden_dim))
        self.built = True

    def call(self, inputs, reverse=False):
        tables = [ops.cast(x, self.compute_dtype) for x in self.tables]
        projections = [ops.cast(x, self.compute_dtype) for x in self.projections]
        if reverse:
            return self.softmax(inputs, tables=tables, projections=projections)
        x = 0.0
        for (first, last), table, projection in zip(
            self.clusters, tables, projections, strict=True
        ):
            is_here = ops.logical_and(inputs >= first, inputs < last)
            rows = ops.clip(inputs - first, 0, last - first - 1)
            found = ops.take(table, rows, axis=0) @ projection  # (B, T, D)
            x = x + ops.where(is_here[..., None], found, ops.zeros_like(found))
        return x * math.sqrt(self.hidden_dim)

    def compute_output_spec(self, inputs, reverse=False):
        width, dtype = self.hidden_dim, self.compute_dtype
        if reverse:
            width, dtype = self.vocabulary_size, self.wide_dtype
        return keras.KerasTensor((*inputs.shape[:2], width), dtype)

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("keras_attention")
class AdaptiveSoftmax(BaseLayer):
    """Log-probabilities of tokens in clusters; the part of `AdaptiveEmbedding`.

    Args:
        sizes: List of C integers, the number of tokens of each cluster.
        widths: List of C integers, the widths of their tables.
        hidden_dim: D.
        has_tables: Whether it has tables of its own.
        has_projections: List of C booleans, which of the projections are its own.
        initializer: Initializer of all but the biases.

    Call arguments:
        inputs: `(B, T, D)`.
        tables: List of C tables, for those that are not its own.
        projections: Likewise.

    Returns:
        `(B, T, V)`.
    """

    def __init__(
        self,
        sizes,
        widths,
        hidden_dim,
        has_tables,
        has_projections,
        initializer,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.sizes = sizes
        self.widths = widths
        self.hidden_dim = hidden_dim
        self.has_tables = has_tables
        self.has_projections = has_projections
        self.initializer = keras.initializers.get(initializer)

    def build(self, inputs_shape):
        self.tables, self.projections, self.biases = {}, {}, []
        for i, (size, width) in enumerate(zip(self.sizes, self.widths, strict=True)):
            bias = self.add_weight((size,), "zeros", name=f"bias_{i}")
            self.biases.append(bias)
            if self.has_tables:
                self.tables[str(i)] = _weight(self, (size, width), f"table_{i}")
            if self.has_projections[i]:
                self.projections[str(i)] = _weight(
                    self, (width, self.hidden_dim), f"projection_{i}"
                )
        self.others = len(self.sizes) - 1
        if self.others:
            shape = (self.others, self.widths[0])
            self.cluster_table = _weight(self, shape, "cluster_table")
            self.cluster_bias = self.add_weight(
                (self.others,), "zeros", name="cluster_bias"
            )
        self.built = True

    def call(self, inputs, tables, projections):
        found = []
        for i, bias in enumerate(self.biases):
            table = self._cast(self.tables.get(str(i), tables[i]))
            projection = self._cast(self.projections.get(str(i), projections[i]))
            bias = self._cast(bias)
            if i == 0 and self.others:
                table = ops.concatenate([table, self._cast(self.cluster_table)])
                bias = ops.concatenate([bias, self._cast(self.cluster_bias)])
            narrow = inputs @ ops.transpose(projection)  # (B, T, E_i)
            scores = narrow @ ops.transpose(table) + bias
            scores = ops.log_softmax(ops.cast(scores, self.wide_dtype), axis=-1)
            if i == 0:
                of_clusters = scores[..., self.sizes[0] :]  # (B, T, C - 1)
                found.append(scores[..., : self.sizes[0]])
            else:
                found.append(of_clusters[..., i - 1, None] + scores)
        return ops.concatenate(found, axis=-1)

    def _cast(self, weight):
        return ops.cast(weight, self.compute_dtype)

    def compute_mask(self, inputs, previous_mask):
        return None


def _weight(layer, shape, name):
    """A weight that draws other first values than its neighbors."""
    number = zlib.crc32(name.encode()) % 1000
    return layer.add_weight(shape, another(layer.initializer, number), name=name)
