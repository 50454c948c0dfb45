"""Attention tile by tile, so that its memory grows with the length, not its square.

The softmax over a row is summed up while its scores arrive, a tile of T' x S' scores
at a time (Milakov and Gimelshein 2018, arXiv:1805.02867; Rabe and Staats 2021,
arXiv:2112.05682). Only the output and, for each query, the logarithm of its sum of
exponentials are kept; the backward pass computes the tiles again from it (Dao et al.
2022, arXiv:2205.14135, Algorithms 1 and 4). Tiles that causality or a window leaves
empty are never visited: attention in a window costs what the window holds.

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
from keras_attention.ops.explicit import matmul_in_groups
from keras_attention.ops.loops import add_slice
from keras_attention.ops.loops import compiled
from keras_attention.ops.loops import map_numbers
from keras_attention.ops.loops import with_gradient
from keras_attention.ops.masks import window_sides

# Where the running maximum of a row begins: above MASKED, whose exponential is then
# zero, and below every score.
LOWEST = -1e25

# What does not change from call to call, and is compiled in.
Options = collections.namedtuple(
    "Options", "tile is_causal window scale softcap dropout"
)


# Beyond so many weights, it is better to compute them tile by tile.
MOST_WEIGHTS = 2**24


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
    missing = [f"`{o}`" for o in asked if o in ("return_attention_scores", "score")]
    if missing:
        return f"it has no {', '.join(missing)}"
    if any(isinstance(x, keras.KerasTensor) for x in (query, key, value)):
        return "the inputs are symbolic"
    return None


def is_better(query, key, value, banded=False):
    """Whether so many weights are computed better tile by tile.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        banded: Whether causality or a window joins other masks.

    Returns:
        True or False.

    Example:

    >>> short, long = keras.ops.ones((1, 9, 1, 1)), keras.ops.ones((1, 9000, 1, 1))
    >>> is_better(short, short, short), is_better(long, long, long)
    (False, True)
    """
    sizes = (*query.shape[:3], key.shape[1])
    weights = 1
    for size in sizes:
        if isinstance(size, int):  # else it is not known yet
            weights *= size
    return weights > MOST_WEIGHTS


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
    options = Options(
        tile=tile_size(window),
        is_causal=is_causal,
        window=None if window is None else window_sides(window),
        scale=scale,
        softcap=softcap,
        dropout=dropout,
    )
    return with_gradient(_forward, _backward, inputs, options)


def tile_size(window):
    """Chooses `(T', S')`, so that a tile fits the caches of a processor."""
    return (256, 512) if window is None else (256, 256)


@compiled
def _forward(inputs, options):
    """Returns the output, `(B, T, N, Hv)`, and the log-sum of each row."""
    tiles = _Tiles(inputs, options)
    values = _split(inputs["value"], options.tile[1], tiles.dtype)  # (J, B, K, S', Hv)

    def rows(i):
        shape = (tiles.batch_size, tiles.num_heads, options.tile[0])
        if tiles.sinks is None:
            highest = ops.full((*shape, 1), LOWEST, tiles.dtype)
            total = ops.zeros((*shape, 1), tiles.dtype)
        else:
            highest = ops.broadcast_to(tiles.sinks, (*shape, 1))
            total = ops.ones((*shape, 1), tiles.dtype)
        output = ops.zeros((*shape, inputs["value"].shape[-1]), tiles.dtype)

        def add_tile(j, sums):
            before, total, output = sums
            scores, _ = tiles.scores(i, j)
            highest = ops.maximum(before, ops.max(scores, axis=-1, keepdims=True))
            weights = ops.exp(scores - highest)  # (B, N, T', S'), all by one factor
            shrink = ops.exp(before - highest)
            total = total * shrink + ops.sum(weights, axis=-1, keepdims=True)
            weights = weights * tiles.kept(i, j)
            output = output * shrink + matmul_in_groups(weights, values[j])
            return highest, total, output

        highest, total, output = ops.fori_loop(
            *tiles.reach(i), add_tile, (highest, total, output)
        )
        # Where nothing may be read: zeros, and weights of zero in the backward pass.
        reads = total > 0
        total = ops.where(reads, total, 1.0)
        log_sum = ops.where(reads, highest + ops.log(total), -MASKED)
        return output / total, log_sum

    outputs, log_sums = map_numbers(rows, tiles.counts[0])
    output = _join(outputs, ops.shape(inputs["query"])[1])
    return ops.cast(output, inputs["value"].dtype), log_sums  # (I, B, N, T', 1)


@compiled
def _backward(residuals, options):
    """Returns the gradients of query, key, value, and of bias and sinks if given."""
    tiles = _Tiles(residuals, options)
    query_size, key_size = options.tile
    log_sums = residuals["kept"]
    values = _split(residuals["value"], key_size, tiles.dtype)
    gradient = ops.cast(residuals["gradient"], tiles.dtype)
    # What lowers all scores of a row when its output grows along the gradient.
    means = ops.sum(
        gradient * ops.cast(residuals["output"], tiles.dtype), axis=-1, keepdims=True
    )
    means = _split(means, query_size, tiles.dtype)  # (I, B, N, T', 1)
    gradients = _split(gradient, query_size, tiles.dtype)  # (I, B, N, T', Hv)

    def rows(i, sums):
        def add_tile(j, sums):
            of_query, sums = sums[0], dict(sums[1])
            scores, slope = tiles.scores(i, j)
            weights = ops.exp(scores - log_sums[i])  # (B, N, T', S')
            kept = tiles.kept(i, j)
            of_value = _matmul_over_groups(
                weights * kept, gradients[i], values.shape[2]
            )
            of_weights = matmul_in_groups(gradients[i], ops.swapaxes(values[j], -1, -2))
            of_scores = weights * (of_weights * kept - means[i])
            if "bias" in sums:
                place, part = tiles.of_bias(i, j, of_scores)
                sums["bias"] = add_slice(sums["bias"], place, part)
            of_scores = of_scores * slope
            of_key = _matmul_over_groups(of_scores, tiles.query(i), tiles.num_groups)
            sums["key"] = add_slice(sums["key"], (j, 0, 0, 0, 0), of_key[None])
            sums["value"] = add_slice(sums["value"], (j, 0, 0, 0, 0), of_value[None])
            return of_query + matmul_in_groups(of_scores, tiles.keys[j]), sums

        sums = dict(sums)
        of_query = sums.pop("query")
        zeros = ops.zeros_like(of_query[0])
        part, sums = ops.fori_loop(*tiles.reach(i), add_tile, (zeros, sums))
        return {"query": add_slice(of_query, (i, 0, 0, 0, 0), part[None]), **sums}

    sums = {
        "query": ops.zeros_like(tiles.queries),
        "key": ops.zeros_like(tiles.keys),
        "value": ops.zeros_like(values),
    }
    if "bias" in residuals:
        sums["bias"] = ops.zeros_like(tiles.bias)
    sums = ops.fori_loop(0, tiles.counts[0], rows, sums)
    result = {
        "query": _join(sums["query"], ops.shape(residuals["query"])[1]) * options.scale,
        "key": _join(sums["key"], ops.shape(residuals["key"])[1]),
        "value": _join(sums["value"], ops.shape(residuals["value"])[1]),
    }
    if "bias" in residuals:
        shape = ops.shape(residuals["bias"])
        result["bias"] = sums["bias"][:, :, : shape[2], : shape[3]]
    if "sinks" in residuals:
        weights = ops.exp(tiles.sinks - log_sums)  # (I, B, N, T', 1)
        result["sinks"] = -ops.sum(weights * means, axis=(0, 1, 3, 4))
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
        self.queries = _split(query, query_size, self.dtype)  # (I, B, N, T', H)
        self.keys = _split(key, key_size, self.dtype)  # (J, B, K, S', H)
        self.counts = ops.shape(self.queries)[0], ops.shape(self.keys)[0]
        self.mask = self._padded(inputs.get("mask"))
        self.bias = self._padded(inputs.get("bias"))
        self.seed = inputs.get("seed")
        self.sinks = None
        if "sinks" in inputs:
            sinks = ops.cast(inputs["sinks"], self.dtype)
            self.sinks = sinks[None, :, None, None]  # (1, N, 1, 1)

    def query(self, i):
        return self.queries[i] * self.options.scale

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

    def scores(self, i, j):
        """The scores of a tile `(B, N, T', S')`, and their slope before the cap."""
        options, slope = self.options, 1.0
        keys = ops.swapaxes(self.keys[j], -1, -2)  # (B, K, H, S')
        scores = matmul_in_groups(self.query(i), keys)
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

    def kept(self, i, j):
        """The factors of dropout, or 1."""
        if self.seed is None:
            return 1.0
        numbers = ops.arange(self.batch_size * self.num_heads, dtype="int32")
        numbers = ops.reshape(numbers, (self.batch_size, self.num_heads, 1, 1))
        rows, columns = self._places(i, j)
        rows = numbers * self.query_length + rows  # (B, N, T', 1)
        return keep_factors(self.seed, self.options.dropout, rows, columns, self.dtype)

    def of_bias(self, i, j, of_scores):
        """Where in the bias a tile lies, and its gradient there."""
        place, shape = self._part(self.bias, i, j)
        axes = [axis for axis in range(4) if self.bias.shape[axis] == 1]
        return place, ops.sum(
            of_scores, axis=axes, keepdims=True
        ) if axes else of_scores

    def _masks(self, i, j):
        rows, columns = self._places(i, j)
        options = self.options
        if self.mask is not None:
            yield ops.slice(self.mask, *self._part(self.mask, i, j))
        if not (
            isinstance(self.key_length, int) and self.key_length % options.tile[1] == 0
        ):
            yield columns < self.key_length
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


def _split(x, size, dtype):
    """Cuts `(B, L, N, H)` into tiles `(L / size, B, N, size, H)`, padded with zeros."""
    batch_size, length, num_heads, width = ops.shape(x)
    count = -(-length // size)
    x = ops.pad(
        ops.cast(x, dtype), ((0, 0), (0, count * size - length), (0, 0), (0, 0))
    )
    x = ops.reshape(x, (batch_size, count, size, num_heads, width))
    return ops.transpose(x, (1, 0, 3, 2, 4))


def _join(tiles, length):
    """Lays tiles `(I, B, N, T', H)` side by side again, `(B, T, N, H)`."""
    count, batch_size, num_heads, size, width = ops.shape(tiles)
    x = ops.transpose(tiles, (1, 0, 3, 2, 4))
    x = ops.reshape(x, (batch_size, count * size, num_heads, width))
    return x[:, :length]


def _matmul_over_groups(left, right, num_groups):
    """Multiplies along the queries, and sums over the heads of a group.

    Args:
        left: `(B, N, T', X)`.
        right: `(B, N, T', Y)`.
        num_groups: K.

    Returns:
        `(B, K, X, Y)`.
    """
    left, right = (_group_rows(x, num_groups) for x in (left, right))
    return ops.matmul(ops.swapaxes(left, -1, -2), right)


def _group_rows(x, num_groups):
    batch_size, num_heads, rows, columns = ops.shape(x)
    if num_heads == num_groups:
        return x
    return ops.reshape(
        x, (batch_size, num_groups, num_heads // num_groups * rows, columns)
    )


def _least(number, other):
    both = isinstance(number, int) and isinstance(other, int)
    return min(number, other) if both else ops.minimum(number, other)


def _most(number, other):
    both = isinstance(number, int) and isinstance(other, int)
    return max(number, other) if both else ops.maximum(number, other)
