"""Attention by the framework's own kernel, which keeps the weights out of memory.

PyTorch has one on every device (`scaled_dot_product_attention`). JAX has cuDNN's on
NVIDIA GPUs; elsewhere its function is plain matrix products, slower than ours.
TensorFlow has none.
"""

import keras

# Beyond so many entries, a mask of T x S costs more than attention tile by tile.
LARGEST_MASK = 1024 * 1024


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


def is_better(query, key, value, banded=False):
    """Whether the framework's kernel beats the other implementations here.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        banded: Whether causality or a window joins other masks: the kernel then gets
            a mask of T x S.

    Returns:
        True or False.

    Example:

    >>> x = keras.ops.ones((1, 2, 3, 4))
    >>> is_better(x, x, x) == (keras.backend.backend() == "torch")
    True
    """
    backend = keras.backend.backend()
    if backend == "torch":
        return not (banded and query.shape[1] * key.shape[1] > LARGEST_MASK)
    if backend != "jax":
        return False
    import jax

    half = keras.backend.standardize_dtype(query.dtype) in ("float16", "bfloat16")
    return jax.default_backend() == "gpu" and half


def fused_attention(
    query, key, value, *, mask=None, bias=None, is_causal=False, scale=1.0
):
    """Computes `attend` by the kernel of the backend; see there for the arguments.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`.
        is_causal: Whether query t reads only keys 0 to t. Not together with `mask`.
        scale: Factor of the scores.

    Returns:
        `(B, T, N, Hv)`.
    """
    if keras.backend.backend() == "torch":
        return _torch_attention(query, key, value, mask, bias, is_causal, scale)
    return _jax_attention(query, key, value, mask, bias, is_causal, scale)


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
