"""Attention tile by tile, so that its memory grows with the length, not its square.

The softmax over a row is summed up while its scores arrive, a tile of T' x S' scores
at a time (Milakov and Gimelshein 2018, arXiv:1805.02867; Rabe and Staats 2021,
arXiv:2112.05682). Only the output and, for each query, the logarithm of its sum of
exponentials are kept; the backward pass computes the tiles again from it (Dao et al.
2022, arXiv:2205.14135, Algorithms 1 and 4). Tiles that causality or a window leaves
empty are never visited: attention in a window costs what the window holds. Where that
is faster, the forward pass computes all that a row reads at once, and sums nothing up.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a query and a key in one head, Hv width of a value in one head; a tile is
T' x S', and there are I x J of them.
"""

import collections

import keras
from keras import ops

from keras_attention.backend.loops import add_at
from keras_attention.backend.loops import add_slice
from keras_attention.backend.loops import compiled
from keras_attention.backend.loops import join_rows
from keras_attention.backend.loops import make_rows
from keras_attention.backend.loops import make_sums
from keras_attention.backend.loops import on_gpu
from keras_attention.backend.loops import repeat
from keras_attention.backend.loops import write_at
from keras_attention.backend.own_gradients import needs_plain_functions
from keras_attention.backend.own_gradients import with_gradient
from keras_attention.backend.products import at_least_float32
from keras_attention.backend.products import larger
from keras_attention.backend.products import where
from keras_attention.ops.explicit import MASKED
from keras_attention.ops.explicit import plain_attention
from keras_attention.ops.masks import joined_sides
from keras_attention.ops.masks import window_sides
from keras_attention.ops.relative import RelativeBias
from keras_attention.ops.tiles import cut_out
from keras_attention.ops.tiles import filled_up
from keras_attention.ops.tiles import join
from keras_attention.ops.tiles import LOWEST
from keras_attention.ops.tiles import split
from keras_attention.ops.tiles import Tiles

# What does not change from call to call, and is compiled in: what `tile_size` and
# `size_of_rows` chose, how far a query reads to the left and to the right, `None` for
# all, what `attend` is given, and whether the table of a relative bias has a gradient.
Options = collections.namedtuple(
    "Options", "tile rows sides scale softcap dropout is_learned"
)

# The most queries and keys of a tile, and of one in a window: so it fits the caches.
TILE = 512
TILE_OF_WINDOW = 256
# The forward pass computes whole rows, of so many weights at most, in a window. Without
# one, TensorFlow alone does, which sends each step of a running sum through memory, but
# not those of its own softmax: at most so many rows, and as long as there are enough
# (`benchmarks/sliding_window.py` and `long_sequences.py`).
WEIGHTS_OF_ROWS = 2**23
MOST_ROWS, FEWEST_ROWS = 128, 32
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
    if needs_plain_functions(query, key, value):
        return "its tiles are differentiated backward only, and not by torch.func"
    return None


def is_better(query, key, value, *, bias=None, is_causal=False, window=None):
    """Whether the weights of this call are better computed tile by tile.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        bias: What is added to the scores, or `None`.
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
    if isinstance(bias, RelativeBias) and bias.is_long(query_length, key_length):
        return True
    if query_length <= TILE and key_length <= TILE:
        return False  # one tile is all
    if window is not None and query_length > TILE_OF_WINDOW:
        if key_length >= 4 * (TILE_OF_WINDOW + sum(window_sides(window))):
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
    offset,
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
        is_causal: Whether query t reads only keys 0 to `t + offset`.
        window: How far a query reads, or `None`.
        offset: Position of the first query among the keys, an integer.
        scale: Factor of the scores.
        softcap: Bound of the scores, or `None`.
        sinks: `(N,)`, or `None`.
        dropout: Fraction of weights dropped.
        seed: int32 scalar tensor, from `draw_seed`, or `None`.

    Returns:
        `(B, T, N, Hv)`, of the dtype of `value`.
    """
    inputs = {"query": query, "key": key, "value": value}
    if mask is not None:
        inputs["mask"] = mask
    width, is_learned = 1, False
    if isinstance(bias, RelativeBias):
        width, is_learned = bias.width, bias.is_learned
        dtype = at_least_float32(bias.table.dtype)
        inputs["table"], bias = ops.cast(bias.table, dtype), bias.rest
    if bias is not None:
        inputs["bias"] = bias[(None,) * (4 - len(bias.shape))]  # four axes
    if sinks is not None:
        inputs["sinks"] = sinks
    if dropout > 0:
        inputs["seed"] = seed
    sides = joined_sides(is_causal, window, offset)
    rows = None
    if sinks is None and not offset and width == 1:
        rows = size_of_rows(query.shape, key.shape[1], sides)
    options = Options(
        tile=tuple(
            -(-size // width) * width  # whole rows of a grid
            for size in tile_size((query.shape[1], key.shape[1]), window)
        ),
        rows=rows,
        is_learned=is_learned,
        sides=sides,
        scale=scale,
        softcap=softcap,
        dropout=dropout,
    )
    return with_gradient(_forward, _backward, plain_attention, inputs, options)


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


def size_of_rows(shape, key_length, sides):
    """Chooses `(T', S', n)` where n tiles of keys hold all that T' queries read.

    Args:
        shape: That of the queries, `(B, T, N, H)`, `None` for what is not known.
        key_length: S, or `None`.
        sides: How far a query reads to the left and to the right, `None` for all.

    Returns:
        Three integers, or `None` where it is better to go from tile to tile.

    Example:

    >>> size_of_rows((1, 4096, 8, 64), 4096, (255, 0))
    (256, 256, 2)
    """
    batch_size, query_length, num_heads, _ = shape
    if None in (batch_size, query_length, num_heads, key_length):
        return None
    num_rows = max(batch_size * num_heads, 1)  # of a query
    if None not in sides:
        size = _even_part(key_length, TILE_OF_WINDOW)
        span = 1 + sum(-(-side // size) for side in sides)
        fits = span * size < key_length + size and size <= query_length
        is_small = num_rows * size * size * span <= WEIGHTS_OF_ROWS
        return (size, size, span) if fits and is_small else None
    if keras.backend.backend() != "tensorflow" or sides != (None, None):
        return None
    rows = WEIGHTS_OF_ROWS // (num_rows * key_length) // 16 * 16
    if rows < FEWEST_ROWS:
        return None
    return _even_part(query_length, min(rows, MOST_ROWS)), key_length, 1


def _even_part(length, most):
    """Cuts a length into the fewest equal parts, multiples of 16."""
    if not isinstance(length, int):
        return most
    count = -(-length // most)
    return min(most, -(-length // (16 * count)) * 16)


@compiled
def _forward(inputs, options):
    """Returns the output, `(B, T, N, Hv)`, and the log-sum of each row."""
    *size, span = options.rows or (*options.tile, 1)
    tiles = Tiles(inputs, size, options, span)
    values = split(inputs["value"], size[1], tiles.dtype)  # (J, B, K, S', Hv)
    value_dim = inputs["value"].shape[-1]
    shape = (tiles.batch_size, tiles.num_heads, size[0])  # B, N, T'
    count = tiles.counts[0]

    def read_rows(i):
        j = tiles.first(i)
        scores, _ = tiles.scores(i, j, tiles.queries(i), False)  # (B, N, T', n S')
        highest = ops.max(scores, axis=-1, keepdims=True)
        weights = ops.softmax(scores)
        log_sum = highest - ops.log(ops.max(weights, axis=-1, keepdims=True))
        if tiles.seed is not None:
            weights = weights * tiles.kept(i, j)
        output = tiles.sum_over_keys(weights, tiles.take(values, j))
        # Where nothing may be read: zeros, and weights of zero in the backward pass.
        reads = highest > LOWEST
        return where(reads, output, 0.0), where(reads, log_sum, -MASKED)

    def read_tiles(i):
        queries = tiles.queries(i)  # (B, N, T', H)

        def add_tile(j, sums, is_inside):
            before, total, output = sums
            scores, _ = tiles.scores(i, j, queries, is_inside)
            highest = larger(before, ops.max(scores, axis=-1, keepdims=True))
            weights = ops.exp(scores - highest)  # (B, N, T', S'), all by one factor
            shrink = ops.exp(before - highest)
            total = total * shrink + ops.sum(weights, axis=-1, keepdims=True)
            if tiles.seed is not None:
                weights = weights * tiles.kept(i, j)
            output = output * shrink + tiles.sum_over_keys(weights, values[j])
            return highest, total, output

        highest, total = tiles.sink(shape)
        output = ops.zeros((*shape, value_dim), tiles.dtype)
        highest, total, output = tiles.visit(i, add_tile, (highest, total, output))
        reads = total > 0
        total = where(reads, total, 1.0)
        return output / total, where(reads, highest + ops.log(total), -MASKED)

    read = read_tiles if options.rows is None else read_rows

    def write_rows(i, results):
        return tuple(map(write_at, results, (i, i), read(i)))

    results = (
        make_rows((count, *shape, value_dim), tiles.dtype),
        make_rows((count, *shape, 1), tiles.dtype),
    )
    output, log_sums = (
        join(join_rows(rows), tiles.query_length)
        for rows in repeat(0, count, write_rows, results)
    )
    return ops.cast(output, inputs["value"].dtype), log_sums  # (B, T, N, 1)


@compiled
def _backward(residuals, options):
    """Returns the gradients of query, key, value, bias, table and sinks, if given."""
    tiles = Tiles(residuals, options.tile, options)
    query_size, key_size = options.tile
    values = split(residuals["value"], key_size, tiles.dtype)
    gradients = filled_up(residuals["gradient"], query_size)
    outputs = filled_up(residuals["output"], query_size)
    log_sums = filled_up(residuals["kept"], query_size, -MASKED)

    def add_rows(i, sums):
        queries = tiles.queries(i)  # (B, N, T', H)
        gradient = cut_out(gradients, i, query_size, tiles.dtype)  # (B, N, T', Hv)
        output = cut_out(outputs, i, query_size, tiles.dtype)
        log_sum = cut_out(log_sums, i, query_size, tiles.dtype)  # (B, N, T', 1)
        # What lowers all scores of a row when its output grows along the gradient.
        means = ops.sum(gradient * output, axis=-1, keepdims=True)  # (B, N, T', 1)

        def add_tile(j, sums, is_inside):
            of_query, sums = sums[0], dict(sums[1])
            scores, slope = tiles.scores(i, j, queries, is_inside)
            weights = ops.exp(scores - log_sum)  # (B, N, T', S')
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
            if "table" in sums:
                place, part = tiles.of_table(i, j, of_scores)
                sums["table"] = add_slice(sums["table"], place, part)
            if slope is not None:
                of_scores = of_scores * slope
            sums["key"] = add_at(
                sums["key"], j, tiles.sum_over_queries(of_scores, queries)
            )
            return of_query + tiles.sum_over_keys(of_scores, tiles.keys[j]), sums

        sums = dict(sums)
        of_queries = sums.pop("query")
        if "sinks" in sums:
            weights = ops.exp(tiles.sinks - log_sum)  # (B, N, T', 1)
            sums["sinks"] = sums["sinks"] - ops.sum(weights * means, axis=(0, 2, 3))
        part, sums = tiles.visit(i, add_tile, (ops.zeros_like(queries), sums))
        return {"query": write_at(of_queries, i, part * options.scale), **sums}

    tile = (tiles.batch_size, tiles.num_heads, query_size)  # B, N, T'
    width = residuals["query"].shape[-1]
    sums = {
        "query": make_rows((tiles.counts[0], *tile, width), tiles.dtype),
        "key": make_sums(ops.shape(tiles.keys), tiles.dtype),
        "value": make_sums(ops.shape(values), tiles.dtype),
    }
    if "bias" in residuals:
        sums["bias"] = ops.zeros(ops.shape(tiles.bias), tiles.dtype)
    if options.is_learned:
        sums["table"] = ops.zeros_like(tiles.table)
    if "sinks" in residuals:
        sums["sinks"] = ops.zeros((tiles.num_heads,), tiles.dtype)
    sums = repeat(0, tiles.counts[0], add_rows, sums)
    result = {
        name: join(join_rows(sums[name]), ops.shape(residuals[name])[1])
        for name in ("query", "key", "value")
    }
    if "bias" in residuals:
        shape = ops.shape(residuals["bias"])
        result["bias"] = sums["bias"][:, :, : shape[2], : shape[3]]
    if "table" in sums:
        first, count = tiles.rows_before, ops.shape(residuals["table"])[1]
        result["table"] = sums["table"][:, first : first + count]
    if "sinks" in residuals:
        result["sinks"] = sums["sinks"]
    return {name: ops.cast(x, residuals[name].dtype) for name, x in result.items()}
