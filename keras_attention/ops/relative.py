"""Biases that depend on how far apart query and key are, and need no T x S numbers.

A table holds one number for each head and each difference of two places; what is added
to the scores is read from it where it is needed, tile by tile. Rows of the table are
differences of rows of a grid, columns those of columns; a sequence is a grid of one
column.

Letters: T query length, S key length, N heads, R and C rows and columns of a table.
"""

import keras
from keras import ops

from keras_attention.ops.masks import least_as_infinity

# Of longer sequences, each so many queries meet the distances that they have alone:
# faster where it is compiled (`benchmarks/deberta.py`).
QUERIES_AT_A_TIME = 128
# Up to so many numbers, 64 MiB in float32, a bias is rather made once as a whole.
MOST_OF_WHOLE = 2**24


class RelativeBias:
    """A bias read from a table, for the `bias` of `attend`.

        bias[n, t, s] = table[n, r, c]
        r = row(s) - row(t) + T / W - 1         row(t) = t // W
        c = column(s) - column(t) + W - 1       column(t) = t % W

    Args:
        table: `(N, R, C)`: for a sequence `(N, T + S - 1, 1)`, from the key that is
            farthest before a query to the one farthest behind; for a grid of height P
            and width W `(N, 2P - 1, 2W - 1)`. N may be 1 for all heads alike.
        rest: Another bias that is added, broadcastable to `(B, N, T, S)`, or `None`.
        is_learned: Whether the table has a gradient.

    Example:

    >>> table = keras.ops.reshape(keras.ops.arange(4.0), (1, 4, 1))
    >>> keras.ops.convert_to_numpy(RelativeBias(table).whole(2, 3)).tolist()
    [[[[1.0, 2.0, 3.0], [0.0, 1.0, 2.0]]]]
    """

    def __init__(self, table, rest=None, is_learned=True):
        self.table = ops.convert_to_tensor(table)
        self.rest = rest
        self.is_learned = is_learned

    @property
    def width(self):
        """Columns W of the grid."""
        return (self.table.shape[2] + 1) // 2

    def whole(self, query_length, key_length):
        """The bias as a tensor, `(1, N, T, S)` or, with `rest`, `(B, N, T, S)`."""
        bias = read_table(self.table, query_length, key_length)[None]
        return bias if self.rest is None else ops.add(bias, self.rest)

    def is_long(self, query_length, key_length):
        """Whether the tensor would be so large that it is better not made."""
        sizes = query_length, key_length, self.table.shape[0]
        known = all(isinstance(size, int) for size in sizes)
        return known and sizes[0] * sizes[1] * sizes[2] > MOST_OF_WHOLE

    def of_rows(self, first, count, query_length, key_length):
        """The bias of `count` queries from `first` on, whole rows of the grid.

        Returns:
            `(1, N, count, S)` or, with `rest`, `(B, N, count, S)`.
        """
        start = (query_length - first - count) // self.width
        end = start + (count + key_length) // self.width - 1
        bias = read_table(self.table[:, start:end], count, key_length)[None]
        if self.rest is None:
            return bias
        rest = self.rest
        if len(rest.shape) > 1 and rest.shape[-2] != 1:
            rest = rest[..., first : first + count, :]
        return ops.add(bias, rest)

    def whole_if_short(self, query_length, key_length):
        """The bias as a tensor, or as it is where that would be large."""
        if self.is_long(query_length, key_length):
            return self
        return self.whole(query_length, key_length)


def whole_bias(bias, query, key):
    """A bias as a tensor.

    Args:
        bias: A tensor, a `RelativeBias` or `None`.
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.

    Returns:
        A tensor or `None`.
    """
    if not isinstance(bias, RelativeBias):
        return bias
    return bias.whole(ops.shape(query)[1], ops.shape(key)[1])


def check_table(table, expected):
    """Refuses a table that does not fit the scores.

    Args:
        table: `(N, R, C)`.
        expected: `(B, N, T, S)`, with `None` for what is not known.

    Raises:
        ValueError: It has other axes.
    """
    shape = tuple(table.shape)
    _, num_heads, *lengths = expected
    fits = len(shape) == 3 and shape[0] in (1, num_heads) and shape[2] % 2
    if fits and None not in (*lengths, *shape):
        width = (shape[2] + 1) // 2
        fits = not any(length % width for length in lengths)
        fits = fits and shape[1] == sum(lengths) // width - 1
    if not fits:
        raise ValueError(
            "The table of a RelativeBias must have one number for each head and each "
            "difference of two places: (N, T + S - 1, 1) for a sequence, (N, 2P - 1, "
            "2W - 1) for a grid of P rows and W columns, where the scores are "
            f"(B, N, T, S)={expected}. Received: table.shape={shape}"
        )


def add_biases(bias, other):
    """Adds two biases, of which one may be a `RelativeBias`.

    Args:
        bias: A tensor, a `RelativeBias` or `None`.
        other: Likewise.

    Returns:
        Likewise. Of two tables one becomes a tensor; tell the lengths beforehand.
    """
    if bias is None or other is None:
        return other if bias is None else bias
    if isinstance(other, RelativeBias):
        bias, other = other, bias
    if not isinstance(other, RelativeBias):
        other = least_as_infinity(other)  # before it takes another dtype
    if not isinstance(bias, RelativeBias):
        return ops.add(least_as_infinity(bias), other)
    rest = other if bias.rest is None else ops.add(bias.rest, other)
    return RelativeBias(bias.table, rest, bias.is_learned)


def relative_shift(x, key_length):
    """Reads for each query, whose row is of distances, its keys in their order.

    Dai et al. 2019, arXiv:1901.02860, Appendix B: without an index, by rows that are
    one number shorter, or longer, when they are laid one behind the other.

    Args:
        x: `(..., T, T + S - 1)`; the last axis is of distances, from the key that is
            T - 1 before a query to the one that is S - 1 behind it.
        key_length: S.

    Returns:
        `(..., T, S)`: `x[..., t, s - t + T - 1]`.

    Example:

    >>> x = [[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]]
    >>> keras.ops.convert_to_numpy(relative_shift(x, 3)).tolist()
    [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    """
    x = ops.convert_to_tensor(x)
    *others, rows, columns = ops.shape(x)
    if isinstance(rows, int) and rows < 2:
        if rows == 0:  # and none of the columns fits
            return ops.zeros((*others, 0, key_length), x.dtype)
        return x[..., :key_length]
    if isinstance(rows, int):  # nothing is copied: rows that are one number shorter
        x = ops.reshape(x, (*others, rows * columns))
        x = x[..., rows - 1 : rows - 1 + rows * (columns - 1)]
        return ops.reshape(x, (*others, rows, columns - 1))[..., :key_length]
    # One row would become too short. torch.compile looks into this, as it does not
    # into Keras's `pad`.
    x = ops.concatenate([x, x[..., :1]], axis=-1)
    x = ops.reshape(x, (*others, rows * (columns + 1)))
    x = x[..., rows - 1 : rows - 1 + rows * columns]
    return ops.reshape(x, (*others, rows, columns))[..., :key_length]


def distance_products(query, distances, key_length):
    """The products of queries with vectors of the distances to their keys.

    As `relative_shift` of all products gives them; but where it is compiled, of many
    queries some are taken at a time, with the distances that these have, which are half
    of all.

    Args:
        query: `(B, T, N, H)`.
        distances: `(T + S - 1, N, H)`, a vector of each head for each distance, from
            the key that is T - 1 before a query to the one that is S - 1 behind it.
        key_length: S.

    Returns:
        `(B, N, T, S)`.

    Example:

    >>> query, distances = keras.ops.ones((1, 2, 1, 1)), [[[1.0]], [[2.0]], [[3.0]]]
    >>> found = distance_products(query, keras.ops.convert_to_tensor(distances), 2)
    >>> keras.ops.convert_to_numpy(found).tolist()
    [[[[2.0, 3.0], [1.0, 2.0]]]]
    """
    batch_size, length, num_heads, key_dim = ops.shape(query)
    if keras.backend.backend() == "torch":
        products = ops.einsum("btnh,rnh->bntr", query, distances)
        return relative_shift(products, key_length)
    is_known = isinstance(length, int) and isinstance(key_length, int)
    is_cut = is_known and length > QUERIES_AT_A_TIME
    # One product of matrices for each head and piece, laid out once for all pieces, as
    # XLA is slower where it has to turn one.
    query = ops.transpose(query, (2, 0, 1, 3))  # (N, B, T, H)
    distances = ops.transpose(distances, (1, 2, 0))  # (N, H, T + S - 1)
    found = []
    for start in range(0, length, QUERIES_AT_A_TIME) if is_cut else (0,):
        rows, columns, size = query, distances, length
        if is_cut:
            size = min(QUERIES_AT_A_TIME, length - start)
            rows = query[:, :, start : start + size]
            first = length - start - size
            columns = distances[..., first : length - start + key_length - 1]
        x = ops.matmul(ops.reshape(rows, (num_heads, -1, key_dim)), columns)
        x = ops.reshape(x, (num_heads, batch_size, size, ops.shape(x)[-1]))
        found.append(relative_shift(x, key_length))
    x = found[0] if len(found) == 1 else ops.concatenate(found, axis=-2)
    return ops.swapaxes(x, 0, 1)


def sum_over_shift(x):
    """The gradient of `relative_shift`, of rows that were all the same.

    Args:
        x: `(..., T, S)`.

    Returns:
        `(..., T + S - 1)`, the sums of the diagonals.

    Example:

    >>> keras.ops.convert_to_numpy(sum_over_shift([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [3.0, 5.0, 2.0]
    """
    x = ops.convert_to_tensor(x)
    *others, rows, columns = ops.shape(x)
    length = rows + columns - 1
    kept = [(0, 0)] * len(others)
    x = ops.pad(x, [*kept, (0, 0), (0, rows - 1)])
    x = ops.reshape(x, (*others, rows * length))
    x = ops.pad(x, [*kept, (rows - 1, 1)])
    x = ops.reshape(x, (*others, rows, length + 1))
    return ops.sum(x, axis=-2)[..., :length]


def read_table(table, query_length, key_length):
    """Reads a bias from its table; see `RelativeBias`.

    Args:
        table: `(N, R, C)`.
        query_length: T.
        key_length: S.

    Returns:
        `(N, T, S)`.
    """
    num_heads, num_rows, num_columns = ops.shape(table)
    if num_columns == 1:
        row = ops.transpose(table, (0, 2, 1))  # (N, 1, T + S - 1)
        if isinstance(query_length, int) and query_length == 1:
            return row
        rows = ops.broadcast_to(row, (num_heads, query_length, num_rows))
        return relative_shift(rows, key_length)
    width = (num_columns + 1) // 2
    heights = query_length // width, key_length // width
    shape = (num_heads, num_rows, width, num_columns)
    x = relative_shift(ops.broadcast_to(table[:, :, None], shape), width)
    x = ops.transpose(x, (0, 2, 3, 1))[:, :, :, None]  # (N, W, W, 1, R)
    shape = (num_heads, width, width, heights[0], num_rows)
    x = relative_shift(ops.broadcast_to(x, shape), heights[1])
    x = ops.transpose(x, (0, 3, 1, 4, 2))  # (N, T / W, W, S / W, W)
    return ops.reshape(x, (num_heads, query_length, key_length))


def table_gradient(gradient, width):
    """The gradient of `read_table` by its table.

    Args:
        gradient: `(N, T, S)`.
        width: Columns W of the grid.

    Returns:
        `(N, R, C)`.
    """
    if width == 1:
        return sum_over_shift(gradient)[:, :, None]
    num_heads, query_length, key_length = ops.shape(gradient)
    heights = query_length // width, key_length // width
    x = ops.reshape(gradient, (num_heads, heights[0], width, heights[1], width))
    x = sum_over_shift(ops.transpose(x, (0, 2, 4, 1, 3)))  # (N, W, W, R)
    return sum_over_shift(ops.transpose(x, (0, 3, 1, 2)))
