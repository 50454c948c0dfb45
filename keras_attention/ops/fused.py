"""Attention by the framework's own kernel, which keeps the weights out of memory.

PyTorch has one on every device (`scaled_dot_product_attention`). JAX has cuDNN's on
NVIDIA GPUs; elsewhere its function is plain matrix products, slower than ours.
TensorFlow has none.
"""

import keras

from keras_attention.ops.masks import causal_mask
from keras_attention.ops.masks import combine_masks
from keras_attention.ops.masks import window_mask
from keras_attention.ops.masks import window_sides

# Beyond so many entries, a mask of T x S costs more than attention tile by tile.
LARGEST_MASK = 4096 * 4096
# A window is read in blocks where there are so many times more keys than it holds.
MOST_OF_WINDOW = 4


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
    if any(isinstance(x, keras.KerasTensor) for x in (query, key, value)):
        return "the inputs are symbolic"
    backend = keras.backend.backend()
    if backend == "torch":
        return None
    if backend == "jax":
        if value.shape[-1] != key.shape[-1]:
            return "JAX needs values as wide as keys"
        return None
    return f"the backend {backend!r} has no fused attention kernel"


def is_better(query, key, value, *, mask=None, bias=None, is_causal=False, window=None):
    """Whether the framework's kernel beats the other implementations here.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`.
        is_causal: Whether query t reads only keys 0 to t.
        window: How far a query reads, or `None`.

    Returns:
        True or False.

    Example:

    >>> x = keras.ops.ones((1, 2, 3, 4))
    >>> is_better(x, x, x) == (keras.backend.backend() == "torch")
    True
    """
    backend = keras.backend.backend()
    if backend == "torch":
        if _runs_in_blocks(key, mask, bias, window):
            return True
        needs_mask = window is not None or (is_causal and mask is not None)
        return not needs_mask or query.shape[1] * key.shape[1] <= LARGEST_MASK
    if backend != "jax":
        return False
    import jax

    half = keras.backend.standardize_dtype(query.dtype) in ("float16", "bfloat16")
    return jax.default_backend() == "gpu" and half


def fused_attention(
    query, key, value, *, mask=None, bias=None, is_causal=False, window=None, scale=1.0
):
    """Computes `attend` by the kernel of the backend; see there for the arguments.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`.
        is_causal: Whether query t reads only keys 0 to t.
        window: How far a query reads, or `None`.
        scale: Factor of the scores.

    Returns:
        `(B, T, N, Hv)`.
    """
    torch_runs = keras.backend.backend() == "torch"
    if torch_runs and _runs_in_blocks(key, mask, bias, window):
        return _torch_attention_in_blocks(
            query, key, value, mask, is_causal, window, scale
        )
    if window is not None or (is_causal and mask is not None):
        lengths = query.shape[1], key.shape[1]
        causal = causal_mask(*lengths) if is_causal else None
        near = None if window is None else window_mask(*lengths, window=window)
        mask, is_causal = combine_masks(mask, causal, near), False
    if keras.backend.backend() == "torch":
        return _torch_attention(query, key, value, mask, bias, is_causal, scale)
    return _jax_attention(query, key, value, mask, bias, is_causal, scale)


def _runs_in_blocks(key, mask, bias, window):
    """Whether a window holds so few of the keys that each block gets its own."""
    if window is None or bias is not None:
        return False
    if mask is not None and mask.shape[2] != 1:  # not the same for all queries
        return False
    return key.shape[1] >= MOST_OF_WINDOW * (sum(window_sides(window)) + 1)


def _torch_attention_in_blocks(query, key, value, mask, is_causal, window, scale):
    """Cuts the queries into blocks that each read the keys their windows hold.

    Blocks are as long as a window, so they read about twice as many keys as a query
    does: the cost grows with T, not with T x S.
    """
    import torch

    left, right = window_sides(window)
    right = 0 if is_causal else right
    batch_size, query_length, num_heads, _ = query.shape
    key_length = key.shape[1]
    size = -(-(left + right + 1) // 64) * 64
    count = -(-query_length // size)
    width = left + size + right  # keys of a block
    end = count * size + right - key_length  # may be negative, which cuts

    def blocks_of_keys(x):  # (B, S, K, H) to (B count, K, width, H)
        x = torch.nn.functional.pad(x, (0, 0, 0, 0, left, end))
        x = x.unfold(1, width, size)  # (B, count, K, H, width)
        return x.flatten(0, 1).transpose(2, 3)

    def blocks_of_queries(x):  # (B, T, N, H) to (B count, N, size, H)
        x = torch.nn.functional.pad(x, (0, 0, 0, 0, 0, count * size - query_length))
        return x.reshape(batch_size * count, size, num_heads, -1).transpose(1, 2)

    device = query.device
    rows = torch.arange(size, device=device)[:, None]
    columns = torch.arange(width, device=device)
    near = (columns >= rows) & (columns <= rows + left + right)  # (size, width)
    starts = torch.arange(count, device=device)[:, None, None, None] * size - left
    places = starts + columns  # (count, 1, 1, width), of the keys in the sequence
    reads = near & (places >= 0) & (places < key_length)  # (count, 1, size, width)
    if mask is not None:
        mask = torch.nn.functional.pad(mask, (left, end)).unfold(3, width, size)
        mask = mask.permute(0, 3, 1, 2, 4)  # (B or 1, count, N or 1, 1, width)
        reads = (mask & reads).flatten(0, 1)
    reads = reads.repeat(batch_size * count // reads.shape[0], 1, 1, 1)
    output = torch.nn.functional.scaled_dot_product_attention(
        blocks_of_queries(query),
        blocks_of_keys(key),
        blocks_of_keys(value),
        attn_mask=reads,
        scale=scale,
        enable_gqa=num_heads != key.shape[2],
    )
    if device.type != "cpu":
        # Some kernels for GPUs average the values where nothing may be read.
        output = torch.where(reads.any(-1, keepdim=True), output, 0.0)
    output = output.transpose(1, 2).reshape(batch_size, count * size, num_heads, -1)
    return output[:, :query_length]


def _torch_attention(query, key, value, mask, bias, is_causal, scale):
    import torch

    mask_or_bias = mask
    if bias is not None:
        # The kernel takes one of the two, and adds float32 to half precision.
        if is_causal:
            size = (query.shape[1], key.shape[1])
            mask = torch.ones(size, dtype=torch.bool, device=query.device).tril()
            is_causal = False
        mask_or_bias = bias.to(torch.float32)[(None,) * (4 - bias.ndim)]  # four axes
        if mask is not None:
            mask_or_bias = torch.where(mask, mask_or_bias, -torch.inf)
    output = torch.nn.functional.scaled_dot_product_attention(
        query.transpose(1, 2),
        key.transpose(1, 2),
        value.transpose(1, 2),
        attn_mask=mask_or_bias,
        is_causal=is_causal,
        scale=scale,
        enable_gqa=query.shape[2] != key.shape[2],
    ).transpose(1, 2)
    if mask is not None and query.device.type != "cpu":
        # Some kernels for GPUs average the values where nothing may be read.
        reads = mask.any(-1, keepdim=True).transpose(1, 2)  # (B, T, N, 1)
        output = torch.where(reads, output, 0.0)
    return output


def _jax_attention(query, key, value, mask, bias, is_causal, scale):
    import jax
    import jax.numpy as jnp

    if bias is not None:
        bias = bias[(None,) * (4 - bias.ndim)]  # four axes
    output = jax.nn.dot_product_attention(
        query, key, value, bias, mask, is_causal=is_causal, scale=scale
    )
    if mask is not None:
        # The kernel averages the values where nothing may be read.
        reads = jnp.swapaxes(mask.any(-1, keepdims=True), 1, 2)  # (B, T, N, 1)
        output = jnp.where(reads, output, jnp.zeros((), output.dtype))
    return output
