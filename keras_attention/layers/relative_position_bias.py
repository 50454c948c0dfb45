"""Positions that are added to the scores: T5's, Swin's and ALiBi.

Each layer returns a bias `(1, N, T, S)` in float32, for the `bias` of attention, and
serves as its `position_scores`. One bias can serve all blocks of a stack. In long
sequences attention asks them for a table of distances instead (`relative_bias`), and no
tensor of T x S is made.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.ops import alibi_bias
from keras_attention.ops import relative_position_buckets
from keras_attention.ops import RelativeBias


@keras.saving.register_keras_serializable("keras_attention")
class RelativePositionBias(BaseLayer):
    """Learns for each head how much it likes each distance, in buckets.

    Raffel et al. 2020, arXiv:1910.10683, Section 2.1 (T5).

    Args:
        num_heads: Number N of heads.
        num_buckets: Number of buckets of distances, even.
        max_distance: Distance from which on all are alike.
        bidirectional: Whether keys after the query have buckets of their own.
        initializer: Initializer of the table, `(num_buckets, N)`.

    Call arguments:
        query: `(B, T, ...)`, of which only the length matters.
        key: `(B, S, ...)`. Defaults to `query`.
        offset: Position of the first query among the keys.

    Returns:
        `(1, N, T, S)` float32.

    Example:

    >>> layer = RelativePositionBias(num_heads=4)
    >>> tuple(layer(keras.ops.ones((2, 3, 8)), keras.ops.ones((2, 5, 8))).shape)
    (1, 4, 3, 5)
    """

    def __init__(
        self,
        num_heads,
        num_buckets=32,
        max_distance=128,
        bidirectional=True,
        initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            num_heads=num_heads, num_buckets=num_buckets, max_distance=max_distance
        )
        num_exact = num_buckets // (4 if bidirectional else 2)
        if num_buckets % 2 or num_exact < 1 or max_distance <= num_exact:
            raise ValueError(
                "`num_buckets` must be even, and at least 4 in both directions, and "
                "`max_distance` larger than the distances that have a bucket each "
                f"({num_exact}). Received: num_buckets={num_buckets}, "
                f"max_distance={max_distance}, bidirectional={bidirectional}"
            )
        self.num_heads = num_heads
        self.num_buckets = num_buckets
        self.max_distance = max_distance
        self.bidirectional = bidirectional
        self.initializer = keras.initializers.get(initializer)

    def build(self, query_shape, key_shape=None):
        self.table = self.add_weight(
            shape=(self.num_buckets, self.num_heads),
            initializer=self.initializer,
            autocast=False,  # rounded, near distances would become alike
            name="table",
        )
        self.built = True

    def call(self, query, key=None, offset=0):
        return _whole(self, query, key, offset)

    def relative_bias(self, query_length, key_length, offset=0):
        """The bias as a table of distances, a `RelativeBias`."""
        buckets = relative_position_buckets(
            1,
            query_length + key_length - 1,
            num_buckets=self.num_buckets,
            max_distance=self.max_distance,
            bidirectional=self.bidirectional,
            offset=query_length - 1 + offset,
        )
        table = ops.take(self.table, buckets[0], axis=0)  # (T + S - 1, N)
        return RelativeBias(ops.transpose(table)[:, :, None])

    def compute_mask(self, query, previous_mask):
        return None


@keras.saving.register_keras_serializable("keras_attention")
class RelativePositionBias2D(BaseLayer):
    """Learns for each head how much it likes each offset between cells of a grid.

    Liu et al. 2021, arXiv:2103.14030, Section 3.2 (Swin). With a class token in front
    of the cells, as in BEiT (Bao et al. 2022, arXiv:2106.08254), each head learns three
    numbers more: how much the class token likes the cells, they it, and it itself.

    Args:
        num_heads: Number N of heads.
        height: Rows of the grid or window.
        width: Columns of the grid or window. Defaults to `height`.
        initializer: Initializer of the table, `((2h - 1) * (2w - 1), N)`, with three
            rows more for a class token.
        has_class_token: Whether a class token is in front of the cells.

    Call arguments:
        inputs: `(B, height * width, ...)`, the cells row by row, of which only the
            number matters.
        key: Likewise. Defaults to `inputs`; of both, the last
            cells may be missing, and more keys may follow, of which nothing is known.
        offset: Number of the first cell in `inputs`.

    Returns:
        `(1, N, height * width, height * width)` float32, with a class token one row
        and one column more.

    Raises:
        ValueError: The number of cells is not `height * width`.

    Example:

    >>> layer = RelativePositionBias2D(num_heads=4, height=2, width=3)
    >>> tuple(layer(keras.ops.ones((2, 6, 8))).shape)
    (1, 4, 6, 6)
    """

    def __init__(
        self,
        num_heads,
        height,
        width=None,
        initializer="truncated_normal",
        has_class_token=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.height = height
        self.width = height if width is None else width
        self.has_class_token = has_class_token
        check_positive(num_heads=num_heads, height=height, width=self.width)
        if initializer == "truncated_normal":
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.initializer = keras.initializers.get(initializer)

    def build(self, inputs_shape):
        if inputs_shape[1] not in (None, self._length):
            token = " and a class token" if self.has_class_token else ""
            raise ValueError(
                f"The grid has {self.height} x {self.width} cells{token}. Received: "
                f"inputs.shape={tuple(inputs_shape)} in layer {self.name!r}"
            )
        self.table = self.add_weight(
            shape=(self._distances + 3 * self.has_class_token, self.num_heads),
            initializer=self.initializer,
            autocast=False,
            name="table",
        )
        self.built = True

    @property
    def _distances(self):
        """Number of offsets between two cells."""
        return (2 * self.height - 1) * (2 * self.width - 1)

    @property
    def _length(self):
        """Number of cells, with the class token."""
        return self.height * self.width + self.has_class_token

    def call(self, inputs, key=None, offset=0):
        return _whole(self, inputs, key, offset)

    def relative_bias(self, query_length, key_length, offset=0):
        """The bias as a table of distances in the grid, a `RelativeBias`.

        With a class token, or of some of the cells, as a tensor.
        """
        bias = self.of_grid(self.height, self.width)
        count = self._length
        whole = isinstance(offset, int) and offset == 0
        whole = whole and query_length == key_length == count
        if whole and not self.has_class_token:
            return bias
        cells = self.height * self.width
        bias = bias.whole(cells, cells)
        if self.has_class_token:
            bias = self._beside_class_token(bias)
        if whole:
            return bias
        # Some of the cells, as where a picture is read step by step.
        if isinstance(key_length, int) and key_length > count:
            bias = ops.pad(bias, ((0, 0), (0, 0), (0, 0), (0, key_length - count)))
        shape = (1, self.num_heads, query_length, key_length)
        return ops.slice(bias, (0, 0, offset, 0), shape)

    def of_grid(self, height, width):
        """The bias of a grid that is no larger, a `RelativeBias`."""
        shape = (2 * self.height - 1, 2 * self.width - 1, self.num_heads)
        table = ops.reshape(self.table[: self._distances], shape)
        up, left = self.height - height, self.width - width  # farther than the grid
        table = table[up : shape[0] - up, left : shape[1] - left]
        # The table's rows are where a query stands from its key.
        return RelativeBias(ops.transpose(ops.flip(table, axis=(0, 1)), (2, 0, 1)))

    def _beside_class_token(self, bias):
        """The bias of cells `(1, N, S, S)` with a class token, `(1, N, S + 1, S + 1)`.

        The last three rows of the table: token to cells, cells to token, token to it.
        """
        cells = bias.shape[-1]
        rows = ops.transpose(ops.cast(self.table[self._distances :], bias.dtype))
        to_cells, from_cells, to_itself = ops.split(rows[None, :, None], 3, axis=-1)
        shape = (1, self.num_heads)
        first = [to_itself, ops.broadcast_to(to_cells, (*shape, 1, cells))]
        others = [ops.broadcast_to(from_cells, (*shape, cells, 1)), bias]
        parts = [ops.concatenate(part, axis=-1) for part in (first, others)]
        return ops.concatenate(parts, axis=-2)

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("keras_attention")
class AlibiBias(BaseLayer):
    """Lowers each score in proportion to the distance, at each head's own slope.

    Press et al. 2022, arXiv:2108.12409, Section 3. It has no weights, and reads
    sequences longer than those it was trained on.

    Args:
        num_heads: Number N of heads.

    Call arguments:
        query: `(B, T, ...)`, of which only the length matters.
        key: `(B, S, ...)`. Defaults to `query`.
        offset: Position of the first query among the keys.

    Returns:
        `(1, N, T, S)` float32.

    Example:

    >>> layer = AlibiBias(num_heads=4)
    >>> tuple(layer(keras.ops.ones((2, 3, 8)), keras.ops.ones((2, 5, 8))).shape)
    (1, 4, 3, 5)
    """

    def __init__(self, num_heads, **kwargs):
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads)
        self.num_heads = num_heads

    def call(self, query, key=None, offset=0):
        return _whole(self, query, key, offset)

    def relative_bias(self, query_length, key_length, offset=0):
        """The bias as a table of distances, a `RelativeBias`."""
        bias = alibi_bias(
            self.num_heads,
            1,
            query_length + key_length - 1,
            offset=query_length - 1 + offset,
            dtype=self.wide_dtype,
        )  # (1, N, 1, T + S - 1)
        return RelativeBias(ops.transpose(bias[0], (0, 2, 1)), is_learned=False)

    def compute_mask(self, query, previous_mask):
        return None


def _whole(layer, query, key, offset):
    """The bias of a layer as a tensor, `(1, N, T, S)`."""
    lengths = [ops.shape(x)[1] for x in (query, query if key is None else key)]
    if any(isinstance(length, int) and length == 0 for length in lengths):
        return ops.zeros((1, layer.num_heads, *lengths), layer.wide_dtype)
    bias = layer.relative_bias(*lengths, offset=offset)
    return bias.whole(*lengths) if isinstance(bias, RelativeBias) else bias
