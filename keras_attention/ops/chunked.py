"""Attention tile by tile, so that its memory grows with the length, not its square.

The softmax over a row is summed up while its scores arrive, a tile of T' x S' scores
at a time (Milakov and Gimelshein 2018, arXiv:1805.02867; Rabe and Staats 2021,
arXiv:2112.05682). Only the output and, for each query, the logarithm of its sum of
exponentials are kept; the backward pass computes the tiles again from it (Dao et al.
2022, arXiv:2205.14135, Algorithms 1 and 4). Tiles that causality or a window leaves
empty are never visited: attention in a window costs what the window holds. A tile of
whole rows, S' = S, has nothing to sum up, and nothing but the output is kept.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a query and a key in one head, Hv width of a value in one head; a tile is
T' x S', and there are I x J of them.
"""

import collections

import keras
from keras import ops

from keras_attention.ops.dropout import draw_seed
from keras_attention.ops.dropout import keep_factors
from keras_attention.ops.explicit import MASKED
from keras_attention.ops.loops import add_at
from keras_attention.ops.loops import add_slice
from keras_attention.ops.loops import compiled
from keras_attention.ops.loops import join_rows
from keras_attention.ops.loops import make_rows
from keras_attention.ops.loops import make_sums
from keras_attention.ops.loops import on_gpu
from keras_attention.ops.loops import repeat
from keras_attention.ops.loops import with_gradient
from keras_attention.ops.loops import write_at
from keras_attention.ops.masks import window_sides

# Where the running maximum of a row begins: above MASKED, whose exponential is then
# zero, and below every score.
LOWEST = -1e25

# What does not change from call to call, and is compiled in.
Options = collections.namedtuple(
    "Options", "tile holds_rows is_causal window scale softcap dropout"
)

# The most queries and keys of a tile, and of one in a window: so it fits the caches.
TILE = 512
TILE_OF_WINDOW = 256
# TensorFlow sends each step of a running sum through memory, but not those of its own
# softmax: tiles of whole rows are faster, of so many weights and rows at most, and as
# long as there are enough rows.
WEIGHTS_OF_ROWS = 2**23
MOST_ROWS, FEWEST_ROWS = 256, 32
# Beyond so many weights it is better to compute them tile by tile, on a CPU: JAX is
# faster then, the others need less memory at about the same speed. Causality leaves
# half of the tiles empty, and TensorFlow is faster then, too.
MOST_WEIGHTS = {"jax": 2**21, "tensorflow": 2**25, "torch": 2**24}
MOST_WEIGHTS_IF_CAUSAL = {**MOST_WEIGHTS, "tensorflow": 2**23}
MOST_WEIGHTS_OF_GPU = 2**28
NEEDS_ALL_WEIGHTS = ("return_attention_scores", "score", "change_weights")


def why_not(query, key, value, asked=()):
    """Says in a clause why this implementation cannot serve a call, or returns `None`.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        asked: Names of the options that are asked for beyond mask, bias and scale.

    Returns:
        A string or `None`.

    Example:

    >>> x = keras.ops.ones((1, 2, 3, 4))
    >>> why_not(x, x, x, ["sinks", "score"])
    'it has no `score`'
    """
    missing = [f"`{option}`" for option in asked if option in NEEDS_ALL_WEIGHTS]
    if missing:
        return f"it has no {', '.join(missing)}"
    if any(isinstance(x, keras.KerasTensor) for x in (query, key, value)):
        return "the inputs are symbolic"
    return None


def is_better(query, key, value, *, is_causal=False, window=None):
    """Whether the weights of this call are better computed tile by tile.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        is_causal: Whether queries read only keys up to their own position.
        window: How far a query reads, or `None`.

    Returns:
        True or False.

    Example:

    >>> short, long = keras.ops.ones((1, 9, 1, 1)), keras.ops.ones((1, 9999, 1, 1))
    >>> is_better(short, short, short), is_better(long, long, long)
    (False, True)
    """
    batch_size, query_length, num_heads, _ = query.shape
    key_length = key.shape[1]
    if not (isinstance(query_length, int) and isinstance(key_length, int)):
        return False  # not known yet
    if query_length <= TILE and key_length <= TILE:
        return False  # one tile is all
    if window is not None and key_length >= 4 * (
        TILE_OF_WINDOW + sum(window_sides(window))
    ):
        return True
    batch_size = batch_size if isinstance(batch_size, int) else 1
    most = MOST_WEIGHTS_IF_CAUSAL if is_causal else MOST_WEIGHTS
    most = MOST_WEIGHTS_OF_GPU if on_gpu() else most[keras.backend.backend()]
    return batch_size * num_heads * query_length * key_length > most


def chunked_attention(
    query,
    key,
    value,
    *,
    mask,
    bias,
    is_causal,
    window,
    scale,
    softcap,
    sinks,
    dropout,
    seed,
):
    """Computes `attend` tile by tile; see there for the arguments.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`.
        is_causal: Whether query t reads only keys 0 to t.
        window: How far a query reads, or `None`.
        scale: Factor of the scores.
        softcap: Bound of the scores, or `None`.
        sinks: `(N,)`, or `None`.
        dropout: Fraction of weights dropped.
        seed: Seed of the dropout.

    Returns:
        `(B, T, N, Hv)`, of the dtype of `value`.
    """
    inputs = {"query": query, "key": key, "value": value}
    if mask is not None:
        inputs["mask"] = mask
    if bias is not None:
        inputs["bias"] = bias[(None,) * (4 - len(bias.shape))]  # four axes
    if sinks is not None:
        inputs["sinks"] = sinks
    if dropout > 0:
        inputs["seed"] = draw_seed(seed)
    reads_all = not is_causal and window is None and sinks is None
    rows = size_of_rows(query.shape, key.shape[1]) if reads_all else None
    options = Options(
        tile=rows or tile_size((query.shape[1], key.shape[1]), window),
        holds_rows=rows is not None,
        is_causal=is_causal,
        window=None if window is None else window_sides(window),
        scale=scale,
        softcap=softcap,
        dropout=dropout,
    )
    return with_gradient(_forward, _backward, inputs, options)


def tile_size(lengths, window):
    """Chooses `(T', S')`, so that tiles fit the caches and the lengths.

    Args:
        lengths: `(T, S)`, or `None` for one that is not known.
        window: How far a query reads, or `None`.

    Returns:
        Two integers.

    Example:

    >>> tile_size((600, None), None)
    (304, 512)
    """
    most = TILE if window is None else TILE_OF_WINDOW
    return tuple(_even_part(length, most) for length in lengths)


def size_of_rows(shape, key_length):
    """Chooses `(T', S)` for tiles that hold whole rows.

    Args:
        shape: That of the queries, `(B, T, N, H)`, `None` for what is not known.
        key_length: S, or `None`.

    Returns:
        Two integers, or `None` where tiles of some of the keys are better.
    """
    batch_size, query_length, num_heads, _ = shape
    sizes = batch_size, query_length, num_heads, key_length
    if keras.backend.backend() != "tensorflow" or None in sizes:
        return None
    weights_of_row = max(batch_size * num_heads * key_length, 1)
    rows = WEIGHTS_OF_ROWS // weights_of_row // 16 * 16
    if rows < FEWEST_ROWS:
        return None
    return _even_part(query_length, min(rows, MOST_ROWS)), key_length


def _even_part(length, most):
    """Cuts a length into the fewest equal parts, multiples of 16."""
    if not isinstance(length, int):
        return most
    count = -(-length // most)
    return min(most, -(-length // (16 * count)) * 16)


@compiled
def _forward(inputs, options):
    """Returns the output, `(B, T, N, Hv)`, and the log-sum of each row."""
    tiles = _Tiles(inputs, options)
    values = _split(inputs["value"], options.tile[1], tiles.dtype)  # (J, B, K, S', Hv)
    value_dim = inputs["value"].shape[-1]
    shape = (tiles.batch_size, tiles.num_heads, options.tile[0])  # B, N, T'
    count = tiles.counts[0]

    def read_rows(i):
        scores, _ = tiles.scores(i, 0, tiles.queries(i))
        weights = tiles.softmax(i, scores)  # (B, N, T', S)
        if tiles.seed is not None:
            weights = weights * tiles.kept(i, 0)
        output = tiles.sum_over_keys(weights, values[0])
        return output, ops.zeros((*shape, 1), tiles.dtype)  # a log-sum is not needed

    def read_tiles(i):
        queries = tiles.queries(i)  # (B, N, T', H)

        def add_tile(j, sums):
            before, total, output = sums
            scores, _ = tiles.scores(i, j, queries)
            highest = ops.maximum(before, ops.max(scores, axis=-1, keepdims=True))
            weights = ops.exp(scores - highest)  # (B, N, T', S'), all by one factor
            shrink = ops.exp(before - highest)
            total = total * shrink + ops.sum(weights, axis=-1, keepdims=True)
            if tiles.seed is not None:
                weights = weights * tiles.kept(i, j)
            output = output * shrink + tiles.sum_over_keys(weights, values[j])
            return highest, total, output

        highest, total = tiles.sink(shape)
        output = ops.zeros((*shape, value_dim), tiles.dtype)
        highest, total, output = repeat(
            *tiles.reach(i), add_tile, (highest, total, output)
        )
        # Where nothing may be read: zeros, and weights of zero in the backward pass.
        reads = total > 0
        total = ops.where(reads, total, 1.0)
        return output / total, ops.where(reads, highest + ops.log(total), -MASKED)

    read = read_rows if options.holds_rows else read_tiles

    def write_rows(i, results):
        return tuple(map(write_at, results, (i, i), read(i)))

    results = (
        make_rows((count, *shape, value_dim), tiles.dtype),
        make_rows((count, *shape, 1), tiles.dtype),
    )
    outputs, log_sums = map(join_rows, repeat(0, count, write_rows, results))
    output = _join(outputs, ops.shape(inputs["query"])[1])
    return ops.cast(output, inputs["value"].dtype), log_sums  # (I, B, N, T', 1)


@compiled
def _backward(residuals, options):
    """Returns the gradients of query, key, value, and of bias and sinks if given."""
    tiles = _Tiles(residuals, options)
    query_size, key_size = options.tile
    log_sums = residuals["kept"]
    values = _split(residuals["value"], key_size, tiles.dtype)
    gradients = _filled_up(residuals["gradient"], query_size)
    outputs = _filled_up(residuals["output"], query_size)

    def add_rows(i, sums):
        queries = tiles.queries(i)  # (B, N, T', H)
        gradient = _cut_out(gradients, i, query_size, tiles.dtype)  # (B, N, T', Hv)
        output = _cut_out(outputs, i, query_size, tiles.dtype)
        # What lowers all scores of a row when its output grows along the gradient.
        means = ops.sum(gradient * output, axis=-1, keepdims=True)  # (B, N, T', 1)

        def add_tile(j, sums):
            of_query, sums = sums[0], dict(sums[1])
            scores, slope = tiles.scores(i, j, queries)
            if options.holds_rows:
                weights = tiles.softmax(i, scores)
            else:
                weights = ops.exp(scores - log_sums[i])  # (B, N, T', S')
            of_weights = tiles.product(gradient, values[j])
            kept = weights
            if tiles.seed is not None:
                factors = tiles.kept(i, j)
                kept, of_weights = weights * factors, of_weights * factors
            sums["value"] = add_at(
                sums["value"], j, tiles.sum_over_queries(kept, gradient)
            )
            of_scores = weights * (of_weights - means)
            if "bias" in sums:
                place, part = tiles.of_bias(i, j, of_scores)
                sums["bias"] = add_slice(sums["bias"], place, part)
            if slope is not None:
                of_scores = of_scores * slope
            sums["key"] = add_at(
                sums["key"], j, tiles.sum_over_queries(of_scores, queries)
            )
            return of_query + tiles.sum_over_keys(of_scores, tiles.keys[j]), sums

        sums = dict(sums)
        of_queries = sums.pop("query")
        if "sinks" in sums:
            weights = ops.exp(tiles.sinks - log_sums[i])  # (B, N, T', 1)
            sums["sinks"] = sums["sinks"] - ops.sum(weights * means, axis=(0, 2, 3))
        part, sums = repeat(*tiles.reach(i), add_tile, (ops.zeros_like(queries), sums))
        return {"query": write_at(of_queries, i, part * options.scale), **sums}

    tile = (tiles.batch_size, tiles.num_heads, query_size)  # B, N, T'
    width = residuals["query"].shape[-1]
    sums = {
        "query": make_rows((tiles.counts[0], *tile, width), tiles.dtype),
        "key": make_sums(ops.shape(tiles.keys), tiles.dtype),
        "value": make_sums(ops.shape(values), tiles.dtype),
    }
    if "bias" in residuals:
        sums["bias"] = ops.zeros_like(tiles.bias)
    if "sinks" in residuals:
        sums["sinks"] = ops.zeros((tiles.num_heads,), tiles.dtype)
    sums = repeat(0, tiles.counts[0], add_rows, sums)
    result = {
        name: _join(join_rows(sums[name]), ops.shape(residuals[name])[1])
        for name in ("query", "key", "value")
    }
    if "bias" in residuals:
        shape = ops.shape(residuals["bias"])
        result["bias"] = sums["bias"][:, :, : shape[2], : shape[3]]
    if "sinks" in residuals:
        result["sinks"] = sums["sinks"]
    return {name: ops.cast(x, residuals[name].dtype) for name, x in result.items()}


class _Tiles:
    """The tiles of one call: their scores, and which of them are read."""

    def __init__(self, inputs, options):
        query, key = inputs["query"], inputs["key"]
        self.options = options
        self.dtype = keras.backend.result_type(query.dtype, "float32")
        self.batch_size, self.query_length, self.num_heads, _ = ops.shape(query)
        self.key_length, self.num_groups = ops.shape(key)[1:3]
        query_size, key_size = options.tile
        self.query = _filled_up(query, query_size)
        self.keys = _split(key, key_size, self.dtype)  # (J, B, K, S', H)
        self.counts = ops.shape(self.query)[1] // query_size, ops.shape(self.keys)[0]
        self.mask = self._padded(inputs.get("mask"))
        self.bias = self._padded(inputs.get("bias"))
        self.seed = inputs.get("seed")
        self.sinks = None
        if "sinks" in inputs:
            sinks = ops.cast(inputs["sinks"], self.dtype)
            self.sinks = sinks[None, :, None, None]  # (1, N, 1, 1)

    def queries(self, i):
        """The queries of tile i, `(B, N, T', H)`, times the scale."""
        query_size = self.options.tile[0]
        return _cut_out(self.query, i, query_size, self.dtype) * self.options.scale

    def sink(self, shape):
        """With what the maximum and the sum of rows begin, `(B, N, T', 1)`."""
        begin = (LOWEST, 0.0) if self.sinks is None else (self.sinks, 1.0)
        begin = (ops.convert_to_tensor(x, self.dtype) for x in begin)
        return tuple(ops.broadcast_to(x, (*shape, 1)) for x in begin)

    def reach(self, i):
        """From which tile of keys to before which the queries of tile i read."""
        query_size, key_size = self.options.tile
        first, end = 0, self.counts[1]
        last_query = (i + 1) * query_size - 1
        if self.options.is_causal:
            end = _least(end, last_query // key_size + 1)
        if self.options.window is not None:
            left, right = self.options.window
            first = _most(i * query_size - left, 0) // key_size
            end = _least(end, (last_query + right) // key_size + 1)
        return first, end

    def scores(self, i, j, queries):
        """The scores of a tile `(B, N, T', S')`, and their slope if they have a cap."""
        options, slope = self.options, None
        scores = self.product(queries, self.keys[j])
        if options.softcap is not None:
            bounded = ops.tanh(scores / options.softcap)
            scores, slope = options.softcap * bounded, 1.0 - ops.square(bounded)
        if self.bias is not None:
            place, shape = self._part(self.bias, i, j)
            part = ops.slice(self.bias, place, shape)
            scores = scores + ops.cast(part, self.dtype)
        for allowed in self._masks(i, j):
            scores = ops.where(allowed, scores, MASKED)
        return scores, slope

    def softmax(self, i, scores):
        """The weights of whole rows, `(B, N, T', S)`, zeros where none may be read."""
        weights = ops.softmax(scores)
        if self.mask is None:
            return weights
        allowed = ops.slice(self.mask, *self._part(self.mask, i, 0))
        return ops.where(ops.any(allowed, axis=-1, keepdims=True), weights, 0.0)

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

    def _masks(self, i, j):
        rows, columns = self._places(i, j)
        options = self.options
        if self.mask is not None:
            yield ops.slice(self.mask, *self._part(self.mask, i, j))
        known = isinstance(self.key_length, int)
        if not known or self.key_length % options.tile[1]:
            yield columns < self.key_length  # the last tile is filled up
        if options.is_causal:
            yield columns <= rows
        if options.window is not None:
            left, right = options.window
            yield columns >= rows - left
            if not options.is_causal:
                yield columns <= rows + right

    def _places(self, i, j):
        query_size, key_size = self.options.tile
        rows = i * query_size + ops.arange(query_size, dtype="int32")
        columns = j * key_size + ops.arange(key_size, dtype="int32")
        return rows[:, None], columns

    def _padded(self, x):
        """Makes the last two axes whole tiles, those that do not broadcast."""
        if x is None:
            return None
        widths = [(0, 0), (0, 0)]
        for axis, count, size in zip(
            (2, 3), self.counts, self.options.tile, strict=True
        ):
            missing = 0 if x.shape[axis] == 1 else count * size - ops.shape(x)[axis]
            widths.append((0, missing))
        return ops.pad(x, widths)

    def _part(self, x, i, j):
        """Where in a mask or bias a tile begins, and its shape."""
        shape, place = list(ops.shape(x)), [0, 0, 0, 0]
        for axis, number, size in zip((2, 3), (i, j), self.options.tile, strict=True):
            if x.shape[axis] != 1:
                shape[axis], place[axis] = size, number * size
        return place, shape


def _filled_up(x, size):
    """Makes `(B, L, N, H)` whole tiles, with zeros."""
    missing = -ops.shape(x)[1] % size
    if isinstance(missing, int) and missing == 0:
        return x
    return ops.pad(x, ((0, 0), (0, missing), (0, 0), (0, 0)))


def _cut_out(x, number, size, dtype):
    """The tile `(B, N, size, H)` of that number of `(B, L, N, H)`."""
    batch_size, _, num_heads, width = ops.shape(x)
    start, shape = (0, number * size, 0, 0), (batch_size, size, num_heads, width)
    return ops.transpose(ops.cast(ops.slice(x, start, shape), dtype), (0, 2, 1, 3))


def _split(x, size, dtype):
    """Cuts `(B, L, N, H)` into tiles `(L / size, B, N, size, H)`, padded with zeros."""
    x = ops.cast(_filled_up(x, size), dtype)
    batch_size, length, num_heads, width = ops.shape(x)
    x = ops.reshape(x, (batch_size, length // size, size, num_heads, width))
    return ops.transpose(x, (1, 0, 3, 2, 4))


def _join(tiles, length):
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
