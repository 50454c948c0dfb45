"""Attention by the framework's own kernel, which keeps the weights out of memory.

PyTorch has one on every device (`scaled_dot_product_attention`). JAX has cuDNN's on
NVIDIA GPUs; elsewhere its function is plain matrix products, slower than ours.
TensorFlow has none.
"""

import collections

import keras

from keras_attention.backend.attention_kernels import jax_attention
from keras_attention.backend.attention_kernels import join_recomputed
from keras_attention.backend.attention_kernels import torch_attention
from keras_attention.backend.attention_kernels import torch_attention_in_blocks
from keras_attention.backend.loops import on_gpu
from keras_attention.backend.own_gradients import needs_plain_functions
from keras_attention.backend.own_gradients import with_plain_gradient_again
from keras_attention.ops.explicit import plain_attention
from keras_attention.ops.masks import causal_mask
from keras_attention.ops.masks import combine_masks
from keras_attention.ops.masks import joined_sides
from keras_attention.ops.masks import window_mask
from keras_attention.ops.masks import window_sides
from keras_attention.ops.relative import RelativeBias
from keras_attention.ops.relative import whole_bias

# Beyond so many entries, a mask of T x S costs more than attention tile by tile.
LARGEST_MASK = 4096 * 4096
# A bias of distances is made for so many pairs at a time, 16 MiB in float32.
BIAS_OF_ROWS = 2**22
# A window is read in blocks where there are so many times more keys than it holds.
MOST_OF_WINDOW = 4

# What a kernel has of the options of `plain_attention`.
PlainOptions = collections.namedtuple(
    "PlainOptions", "sides scale softcap dropout", defaults=(None, 0.0)
)


def why_not(query, key, value, asked=()):
    """Says in a clause why no fused kernel serves this call, or returns `None`.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        asked: Names of the options that are asked for beyond mask, bias and scale.

    Returns:
        A string or `None`.

    Example:

    >>> query, value = keras.ops.ones((1, 2, 3, 4)), keras.ops.ones((1, 2, 3, 5))
    >>> reason = why_not(query, query, value)
    >>> reason is None if keras.backend.backend() == "torch" else len(reason) > 0
    True
    """
    if asked:
        return f"it has no {', '.join(f'`{option}`' for option in asked)}"
    backend = keras.backend.backend()
    if backend == "torch":
        if needs_plain_functions(query, key, value):
            return "PyTorch differentiates its kernel backward only, not by torch.func"
        return None
    if backend == "jax":
        if value.shape[-1] != key.shape[-1]:
            return "JAX needs values as wide as keys"
        return None
    return f"the backend {backend!r} has no fused attention kernel"


def is_better(
    query,
    key,
    value,
    *,
    mask=None,
    bias=None,
    is_causal=False,
    window=None,
    offset=0,
):
    """Whether the framework's kernel beats the other implementations here.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`.
        is_causal: Whether query t reads only keys 0 to `t + offset`.
        window: How far a query reads, or `None`.
        offset: Position of the first query among the keys, an integer.

    Returns:
        True or False.

    Example:

    >>> x = keras.ops.ones((1, 2, 3, 4))
    >>> is_better(x, x, x) == (keras.backend.backend() == "torch")
    True
    """
    backend = keras.backend.backend()
    if isinstance(bias, RelativeBias) and bias.is_long(query.shape[1], key.shape[1]):
        return backend == "torch"
    if backend == "torch":
        if _runs_in_blocks(key, mask, bias, window, offset):
            return True
        needs_mask = _needs_mask(mask, is_causal, window, offset)
        return not needs_mask or query.shape[1] * key.shape[1] <= LARGEST_MASK
    half = keras.backend.standardize_dtype(query.dtype) in ("float16", "bfloat16")
    return backend == "jax" and half and on_gpu()


def fused_attention(
    query,
    key,
    value,
    *,
    mask=None,
    bias=None,
    is_causal=False,
    window=None,
    offset=0,
    scale=1.0,
):
    """Computes `attend` by the kernel of the backend; see there for the arguments.

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

    Returns:
        `(B, T, N, Hv)`.
    """
    options = {"is_causal": is_causal, "window": window, "offset": offset}
    output = _run_kernel(query, key, value, mask, bias, **options, scale=scale)
    if keras.backend.backend() != "torch":
        return output
    inputs = {"query": query, "key": key, "value": value, "mask": mask, "bias": bias}
    if isinstance(bias, RelativeBias):
        inputs |= {"bias": bias.rest, "table": bias.table}
    return with_plain_gradient_again(
        output,
        plain_attention,
        {name: x for name, x in inputs.items() if x is not None},
        PlainOptions(joined_sides(**options), scale),
    )


def _run_kernel(query, key, value, mask, bias, is_causal, window, offset, scale):
    torch_runs = keras.backend.backend() == "torch"
    if torch_runs and _runs_in_blocks(key, mask, bias, window, offset):
        left, right = window_sides(window)
        sides = left, 0 if is_causal else right
        return torch_attention_in_blocks(query, key, value, mask, sides, scale)
    if torch_runs and isinstance(bias, RelativeBias):
        if bias.is_long(query.shape[1], key.shape[1]):
            return _by_rows(
                query, key, value, mask, bias, is_causal, window, offset, scale
            )
    bias = whole_bias(bias, query, key)
    if _needs_mask(mask, is_causal, window, offset):
        lengths = query.shape[1], key.shape[1]
        causal = near = None
        if is_causal:
            causal = causal_mask(*lengths, offset=offset)
        if window is not None:
            near = window_mask(*lengths, window=window, offset=offset)
        mask, is_causal = combine_masks(mask, causal, near), False
    if torch_runs:
        return torch_attention(query, key, value, mask, bias, is_causal, scale)
    return jax_attention(query, key, value, mask, bias, is_causal, scale)


def _by_rows(query, key, value, mask, bias, is_causal, window, offset, scale):
    """Reads a bias from its table for some queries at a time, forward and backward."""
    query_length, key_length = query.shape[1], key.shape[1]
    num_rows = query.shape[0] * query.shape[2]
    size = max(BIAS_OF_ROWS // (num_rows * key_length), 1)
    size = -(-size // bias.width) * bias.width  # whole rows of a grid

    def attend(first, count, *tensors):
        query, key, value, table, rest = tensors
        place = {"query_length": count, "offset": offset + first}
        causal = near = None
        if is_causal:
            causal = causal_mask(key_length=key_length, **place)
        if window is not None:
            near = window_mask(key_length=key_length, window=window, **place)
        part = mask
        if mask is not None and mask.shape[2] != 1:
            part = mask[:, :, first : first + count]
        part = combine_masks(part, causal, near)
        rows = RelativeBias(table, rest)
        rows = rows.of_rows(first, count, query_length, key_length)
        query = query[:, first : first + count]
        return torch_attention(query, key, value, part, rows, False, scale)

    tensors = query, key, value, bias.table, bias.rest
    return join_recomputed(attend, query_length, size, tensors)


def _needs_mask(mask, is_causal, window, offset):
    """Whether what a query reads must be written down as a mask for the kernel."""
    return window is not None or (is_causal and (mask is not None or offset != 0))


def _runs_in_blocks(key, mask, bias, window, offset):
    """Whether a window holds so few of the keys that each block gets its own."""
    if window is None or bias is not None or offset:
        return False
    if mask is not None and mask.shape[2] != 1:  # not the same for all queries
        return False
    return key.shape[1] >= MOST_OF_WINDOW * (sum(window_sides(window)) + 1)
