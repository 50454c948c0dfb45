"""The attention kernels of PyTorch and JAX, called with masks and biases of ours.

Letters: B batch, T queries, S keys, N heads of queries, K of keys and values, H and Hv
widths of a head.
"""


def torch_attention_in_blocks(query, key, value, mask, sides, scale):
    """Cuts the queries into blocks that each read the keys their windows hold.

    Blocks are as long as a window, so they read about twice as many keys as a query
    does: the cost grows with T, not with T x S.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        sides: How many keys before and behind its own place a query reads.
        scale: Factor of the scores.

    Returns:
        `(B, T, N, Hv)`.
    """
    import torch

    left, right = sides
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


def join_recomputed(function, length, size, tensors):
    """Computes some queries at a time, and again in the backward pass of PyTorch.

    Args:
        function: `function(first, count, *tensors)` returns `(B, count, N, Hv)`.
        length: T.
        size: How many queries at a time.
        tensors: What has a gradient.

    Returns:
        `(B, T, N, Hv)`.
    """
    import torch
    from torch.utils.checkpoint import checkpoint

    parts = []
    for first in range(0, length, size):
        count = min(size, length - first)
        if torch.is_grad_enabled():
            part = checkpoint(function, first, count, *tensors, use_reentrant=False)
        else:
            part = function(first, count, *tensors)
        parts.append(part)
    return torch.cat(parts, dim=1)


def torch_attention(query, key, value, mask, bias, is_causal, scale):
    """Calls PyTorch's kernel, where a row that may read nothing gets zeros.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`; minus infinity hides a key.
        is_causal: Whether query t reads only keys 0 to t.
        scale: Factor of the scores.

    Returns:
        `(B, T, N, Hv)`.
    """
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
    if mask_or_bias is not None and query.device.type != "cpu":
        # Some kernels for GPUs average the values where nothing may be read.
        reads = mask if bias is None else mask_or_bias > -torch.inf
        reads = reads.any(-1, keepdim=True).transpose(1, 2)  # (B, T, N, 1)
        output = torch.where(reads, output, 0.0)
    return output


def jax_attention(query, key, value, mask, bias, is_causal, scale):
    """Calls JAX's kernel, where a row that may read nothing gets zeros.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`; minus infinity hides a key.
        is_causal: Whether query t reads only keys 0 to t.
        scale: Factor of the scores.

    Returns:
        `(B, T, N, Hv)`.
    """
    import jax
    import jax.numpy as jnp

    if bias is not None:
        bias = bias[(None,) * (4 - bias.ndim)]  # four axes
        reads = bias > -jnp.inf
        bias = jnp.where(reads, bias, jnp.zeros((), bias.dtype))
        mask = reads if mask is None else mask & reads
    output = jax.nn.dot_product_attention(
        query, key, value, bias, mask, is_causal=is_causal, scale=scale
    )
    if mask is not None:
        # The kernel averages the values where nothing may be read.
        reads = jnp.swapaxes(mask.any(-1, keepdims=True), 1, 2)  # (B, T, N, 1)
        output = jnp.where(reads, output, jnp.zeros((), output.dtype))
    return output
