"""The tiles of one call of attention: their scores, and which of them are read.

Letters: those of `chunked.py`, which goes over the tiles.
"""

import functools

from keras import ops

from keras_attention.backend.loops import repeat
from keras_attention.backend.products import at_least_float32
from keras_attention.backend.products import larger
from keras_attention.backend.products import tanh
from keras_attention.backend.products import where
from keras_attention.ops.dropout import keep_factors
from keras_attention.ops.explicit import MASKED
from keras_attention.ops.relative import read_table
from keras_attention.ops.relative import table_gradient

# Where the running maximum of a row begins: above MASKED, whose exponential is then
# zero, and below every score.
LOWEST = -1e25


class Tiles:
    """The tiles of T' queries and of S' keys of one call.

    Args:
        inputs: Dict with `query` and `key`, and `mask`, `bias`, `table` of a relative
            bias, `sinks` and `seed` if there are some.
        size: `(T', S')`.
        options: Those of `chunked.py`.
        span: How many tiles of keys are read at once.
    """

    def __init__(self, inputs, size, options, span=1):
        query, key = inputs["query"], inputs["key"]
        self.size, self.options, self.span = size, options, span
        self.dtype = at_least_float32(query.dtype)
        self.batch_size, self.query_length, self.num_heads, _ = ops.shape(query)
        self.key_length, self.num_groups = ops.shape(key)[1:3]
        query_size, key_size = size
        self.query = filled_up(query, query_size)
        self.keys = split(key, key_size, self.dtype)  # (J, B, K, S', H)
        self.counts = ops.shape(self.query)[1] // query_size, ops.shape(self.keys)[0]
        self.mask = self._padded(inputs.get("mask"))
        self.bias = self._padded(inputs.get("bias"))
        self.table = self._padded_table(inputs.get("table"))
        self.seed = inputs.get("seed")
        self.sinks = None
        if "sinks" in inputs:
            sinks = ops.cast(inputs["sinks"], self.dtype)
            self.sinks = sinks[None, :, None, None]  # (1, N, 1, 1)

    def queries(self, i):
        """The queries of tile i, `(B, N, T', H)`, times the scale."""
        return cut_out(self.query, i, self.size[0], self.dtype) * self.options.scale

    def take(self, tiles, j):
        """The keys or values of `span` tiles from j on, `(B, K, span S', X)`."""
        if self.span == 1:
            return tiles[j]
        batch_size, num_groups, size, width = ops.shape(tiles)[1:]
        shape = (batch_size, num_groups, size, width)
        part = ops.slice(tiles, (j, 0, 0, 0, 0), (self.span, *shape))
        part = ops.transpose(part, (1, 2, 0, 3, 4))
        return ops.reshape(part, (batch_size, num_groups, self.span * size, width))

    def first(self, i):
        """The first of the `span` tiles of keys that hold all that queries i read."""
        left, _ = self.options.sides
        if left is None:
            return 0
        (query_size, key_size), count = self.size, self.counts[1]
        first = _most(i * query_size - left, 0) // key_size
        return _least(first, count - self.span)

    def sink(self, shape):
        """With what the maximum and the sum of rows begin, `(B, N, T', 1)`."""
        begin = (LOWEST, 0.0) if self.sinks is None else (self.sinks, 1.0)
        begin = (ops.convert_to_tensor(x, self.dtype) for x in begin)
        return tuple(ops.broadcast_to(x, (*shape, 1)) for x in begin)

    def visit(self, i, step, state):
        """Takes a step for each tile of keys that the queries of tile i read.

        Args:
            i: The number of the queries.
            step: `step(j, state, is_inside)` returns the next state; `is_inside` says
                whether each of the queries reads each of the keys, but for the mask.
            state: A nested structure of tensors.

        Returns:
            The state after the last step.
        """
        for first, end, is_inside in self._reach(i):
            step_there = functools.partial(step, is_inside=is_inside)
            state = repeat(first, end, step_there, state)
        return state

    def _reach(self, i):
        """Ranges of tiles of keys, `(first, end, is_inside)`; see `visit`."""
        (query_size, key_size), (left, right) = self.size, self.options.sides
        first_query, last_query = i * query_size, (i + 1) * query_size - 1
        first, end = 0, self.counts[1]  # what some queries read
        first_inside, end_inside = 0, self.key_length // key_size  # what all read
        if left is not None:
            first = _most(first_query - left, 0) // key_size
            first_inside = -(-_most(last_query - left, 0) // key_size)
        if right is not None:
            end = _least(end, (last_query + right) // key_size + 1)
            end_inside = _least(end_inside, (first_query + right + 1) // key_size)
        if None not in (left, right) and left + right + 2 < query_size + key_size:
            return [(first, end, False)]  # no tile fits inside
        first_inside = _least(first_inside, end)
        end_inside = _most(end_inside, first_inside)
        ranges = [
            (first, first_inside, False),
            (first_inside, end_inside, True),
            (end_inside, end, False),
        ]
        return [each for each in ranges if not _is_empty(*each[:2])]

    def scores(self, i, j, queries, is_inside):
        """The scores of a tile `(B, N, T', S')`, and their slope if they have a cap."""
        options, slope = self.options, None
        scores = self.product(queries, self.take(self.keys, j))
        if options.softcap is not None:
            bounded = tanh(scores / options.softcap)
            scores, slope = options.softcap * bounded, 1.0 - ops.square(bounded)
        if self.bias is not None:
            part = ops.slice(self.bias, *self._part(self.bias, i, j))
            # Minus infinity hides a key, as a mask does.
            scores = scores + larger(ops.cast(part, self.dtype), MASKED)
        if self.table is not None:
            part = ops.slice(self.table, *self._part_of_table(i, j))
            lengths = self.size[0], self.span * self.size[1]
            scores = scores + ops.cast(read_table(part, *lengths), self.dtype)
        masks = []
        if self.mask is not None:
            masks.append(ops.slice(self.mask, *self._part(self.mask, i, j)))
        if not is_inside:
            masks.extend(self._masks_of_places(i, j))
        if masks:
            allowed = functools.reduce(ops.logical_and, masks)
            scores = where(allowed, scores, MASKED)
        return scores, slope

    def product(self, rows, columns):
        """`(B, N, T', X)` times `(B, K, S', X)` is `(B, N, T', S')`."""
        return self._einsum("bktx,bksx->bkts", rows, columns)

    def sum_over_keys(self, weights, values):
        """`(B, N, T', S')` times `(B, K, S', X)` is `(B, N, T', X)`."""
        return self._einsum("bkts,bksx->bktx", weights, values)

    def sum_over_queries(self, weights, rows):
        """`(B, N, T', S')` times `(B, N, T', X)` is `(B, K, S', X)`."""
        weights, rows = self._grouped(weights), self._grouped(rows)
        return ops.einsum("bkts,bktx->bksx", weights, rows)

    def _einsum(self, equation, left, right):
        batch_size, num_heads, rows, _ = ops.shape(left)
        result = ops.einsum(equation, self._grouped(left), right)
        shape = (batch_size, num_heads, rows, ops.shape(result)[-1])
        return result if num_heads == self.num_groups else ops.reshape(result, shape)

    def _grouped(self, x):
        """Lays the rows of a group's heads below each other, `(B, K, T' N / K, X)`."""
        batch_size, num_heads, rows, columns = ops.shape(x)
        if num_heads == self.num_groups:
            return x
        rows = num_heads // self.num_groups * rows
        return ops.reshape(x, (batch_size, self.num_groups, rows, columns))

    def kept(self, i, j):
        """The factors of dropout, `(B, N, T', S')`."""
        numbers = ops.arange(self.batch_size * self.num_heads, dtype="int32")
        numbers = ops.reshape(numbers, (self.batch_size, self.num_heads, 1, 1))
        rows, columns = self._places(i, j)
        rows = numbers * self.query_length + rows  # (B, N, T', 1)
        return keep_factors(self.seed, self.options.dropout, rows, columns, self.dtype)

    def of_bias(self, i, j, of_scores):
        """Where in the bias a tile lies, and its gradient there."""
        place, shape = self._part(self.bias, i, j)
        axes = [axis for axis in range(4) if self.bias.shape[axis] == 1]
        part = ops.sum(of_scores, axis=axes, keepdims=True) if axes else of_scores
        return place, part

    def of_table(self, i, j, of_scores):
        """Where in the table what a tile reads begins, and its gradient there."""
        place, _ = self._part_of_table(i, j)
        axes = (0, 1) if self.table.shape[0] == 1 else (0,)
        of_scores = ops.sum(of_scores, axis=axes)
        if len(axes) == 2:
            of_scores = of_scores[None]
        part = table_gradient(of_scores, self._grid_width)
        return place, ops.cast(part, self.table.dtype)

    @property
    def _grid_width(self):
        return (self.table.shape[2] + 1) // 2

    def _padded_table(self, table):
        """Gives a table rows for the places that fill up the last tiles."""
        if table is None:
            return None
        width = (table.shape[2] + 1) // 2
        lengths = self.query_length, self.key_length
        missing = [
            (count * size - length) // width
            for count, size, length in zip(self.counts, self.size, lengths, strict=True)
        ]
        self.rows_before = missing[0]
        return ops.pad(table, ((0, 0), tuple(missing), (0, 0)))

    def _part_of_table(self, i, j):
        """Where in the table what a tile reads begins, and its shape."""
        width, (query_size, key_size) = self._grid_width, self.size
        first = (j * key_size - (i + 1) * query_size) // width
        first = first + self.counts[0] * query_size // width
        num_rows = (query_size + self.span * key_size) // width - 1
        shape = (self.table.shape[0], num_rows, self.table.shape[2])
        return (0, first, 0), shape

    def _masks_of_places(self, i, j):
        """What each query may read because of where it and the key stand."""
        rows, columns = self._places(i, j)
        left, right = self.options.sides
        known = isinstance(self.key_length, int)
        if not known or self.key_length % self.size[1]:
            yield columns < self.key_length  # the last tile is filled up
        if left is not None:
            yield columns >= rows - left
        if right is not None:
            yield columns <= rows + right

    def _places(self, i, j):
        query_size, key_size = self.size
        rows = i * query_size + ops.arange(query_size, dtype="int32")
        columns = j * key_size + ops.arange(self.span * key_size, dtype="int32")
        return rows[:, None], columns

    def _padded(self, x):
        """Makes the last two axes whole tiles, those that do not broadcast."""
        if x is None:
            return None
        widths = [(0, 0), (0, 0)]
        for axis, count, size in zip((2, 3), self.counts, self.size, strict=True):
            missing = 0 if x.shape[axis] == 1 else count * size - ops.shape(x)[axis]
            widths.append((0, missing))
        return ops.pad(x, widths)

    def _part(self, x, i, j):
        """Where in a mask or bias a tile begins, and its shape."""
        shape, place = list(ops.shape(x)), [0, 0, 0, 0]
        (query_size, key_size), span = self.size, self.span
        if x.shape[2] != 1:
            shape[2], place[2] = query_size, i * query_size
        if x.shape[3] != 1:
            shape[3], place[3] = span * key_size, j * key_size
        return place, shape


def filled_up(x, size, value=0.0):
    """Makes `(B, L, N, H)` whole tiles, with one value in what was missing."""
    missing = -ops.shape(x)[1] % size
    if isinstance(missing, int) and missing == 0:
        return x
    return ops.pad(x, ((0, 0), (0, missing), (0, 0), (0, 0)), constant_values=value)


def cut_out(x, number, size, dtype):
    """The tile `(B, N, size, H)` of that number of `(B, L, N, H)`."""
    batch_size, _, num_heads, width = ops.shape(x)
    start, shape = (0, number * size, 0, 0), (batch_size, size, num_heads, width)
    return ops.transpose(ops.cast(ops.slice(x, start, shape), dtype), (0, 2, 1, 3))


def split(x, size, dtype):
    """Cuts `(B, L, N, H)` into tiles `(L / size, B, N, size, H)`, padded with zeros."""
    x = ops.cast(filled_up(x, size), dtype)
    batch_size, length, num_heads, width = ops.shape(x)
    x = ops.reshape(x, (batch_size, length // size, size, num_heads, width))
    return ops.transpose(x, (1, 0, 3, 2, 4))


def join(tiles, length):
    """Lays tiles `(I, B, N, T', H)` side by side again, `(B, T, N, H)`."""
    count, batch_size, num_heads, size, width = ops.shape(tiles)
    x = ops.transpose(tiles, (1, 0, 3, 2, 4))
    x = ops.reshape(x, (batch_size, count * size, num_heads, width))
    return x[:, :length]


def _least(number, other):
    both = isinstance(number, int) and isinstance(other, int)
    return min(number, other) if both else ops.minimum(number, other)


def _most(number, other):
    both = isinstance(number, int) and isinstance(other, int)
    return max(number, other) if both else ops.maximum(number, other)


def _is_empty(first, end):
    """Whether it is known before the numbers are that a range has none."""
    return isinstance(first, int) and isinstance(end, int) and first >= end
