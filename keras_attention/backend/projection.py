"""Linear projections and heads, by the fewest kernels the backend needs for them.

On PyTorch a function of Keras takes longer than what it calls: these go there directly.
"""

import itertools
import math

import keras
from keras import ops

from keras_attention.backend.loops import on_gpu
from keras_attention.backend.products import matmul

# A step of decoding takes as long as reading the weights. From so many of them on XLA
# reads faster in blocks of rows (`benchmarks/generation.py` and `translation.py`):
LEAST_WEIGHTS_IN_BLOCKS = 2**18
# for one token a kernel, in blocks of so many rows,
ROWS_OF_A_BLOCK = 128
# for a few tokens a table, in the fewest blocks that divide it.
TABLE_BLOCKS = range(2, 65)
TOKENS_FOR_TABLE_BLOCKS = range(2, 17)


def project(x, kernel, bias=None, dtype=None):
    """Multiplies by a kernel and adds a bias.

    Args:
        x: `(..., D)`.
        kernel: `(D, E)`.
        bias: `(E,)`, or `None`.
        dtype: In which to compute. Defaults to that of `x`.

    Returns:
        `x @ kernel + bias`, `(..., E)`.

    Example:

    >>> x, kernel = keras.ops.ones((2, 3)), keras.ops.ones((3, 1))
    >>> keras.ops.convert_to_numpy(project(x, kernel, keras.ops.ones(1))).tolist()
    [[4.0], [4.0]]
    """
    dtype = x.dtype if dtype is None else dtype
    x, kernel = ops.cast(x, dtype), ops.cast(kernel, dtype)
    if bias is not None and _runs_on_torch(x):
        import torch

        bias = ops.cast(bias, dtype)
        return torch.nn.functional.linear(x, kernel.T, bias)  # one kernel for both
    has_blocks = kernel.shape[0] % ROWS_OF_A_BLOCK == 0
    if has_blocks and _takes_blocks(x, kernel, (1,)):
        y = _project_token(x, kernel)
    else:
        y = matmul(x, kernel)
    return y if bias is None else ops.add(y, ops.cast(bias, dtype))  # which is fused


def project_to_table(x, table):
    """Multiplies by each row of a table, as the last layer does with tied weights.

    Args:
        x: `(..., D)`.
        table: `(V, D)`.

    Returns:
        `x @ table.T`, `(..., V)`.

    Example:

    >>> table = keras.ops.convert_to_tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    >>> keras.ops.convert_to_numpy(project_to_table(table[:1], table)).tolist()
    [[5.0, 11.0, 17.0]]
    """
    size, width = table.shape
    divisors = (number for number in TABLE_BLOCKS if size % number == 0)
    blocks = next(divisors, None)
    if blocks is None or not _takes_blocks(x, table, TOKENS_FOR_TABLE_BLOCKS):
        return matmul(x, ops.transpose(table))
    x_columns = ops.transpose(ops.reshape(x, (-1, width)))
    y = ops.matmul(
        ops.reshape(table, (blocks, -1, width)),
        ops.broadcast_to(x_columns, (blocks, *x_columns.shape)),
    )
    y = ops.transpose(ops.reshape(y, (size, -1)))
    return ops.reshape(y, (*x.shape[:-1], size))


def split_columns(x, sizes):
    """Cuts the last axis into parts, whose gradients are laid side by side again.

    A slice for each part would give as many gradients of the whole width to add up.

    Args:
        x: `(..., D)`.
        sizes: Tuple of widths that sum to D.

    Returns:
        A list or tuple of tensors `(..., size)`.

    Example:

    >>> [tuple(part.shape) for part in split_columns(keras.ops.ones((2, 5)), (3, 2))]
    [(2, 3), (2, 2)]
    """
    if len(sizes) == 1:
        return [x]
    if _runs_on_torch(x):
        return x.split(sizes, dim=-1)
    if keras.backend.backend() == "tensorflow" and not isinstance(x, keras.KerasTensor):
        import tensorflow as tf

        return tf.split(x, sizes, axis=-1)  # Keras's forgets the shapes
    return ops.split(x, list(itertools.accumulate(sizes[:-1])), axis=-1)


def split_heads(x, num_heads):
    """Cuts the last axis into heads.

    Args:
        x: `(B, T, N * H)`.
        num_heads: N.

    Returns:
        `(B, T, N, H)`.

    Example:

    >>> tuple(split_heads(keras.ops.ones((2, 5, 12)), 3).shape)
    (2, 5, 3, 4)
    """
    width = x.shape[-1] // num_heads
    if _runs_on_torch(x):
        return x.unflatten(-1, (num_heads, width))
    return ops.reshape(x, (*ops.shape(x)[:-1], num_heads, width))


def join_heads(x):
    """Lays heads side by side again.

    Args:
        x: `(B, T, N, H)`.

    Returns:
        `(B, T, N * H)`.

    Example:

    >>> tuple(join_heads(keras.ops.ones((2, 5, 3, 4))).shape)
    (2, 5, 12)
    """
    if _runs_on_torch(x):
        return x.flatten(-2)
    return ops.reshape(x, (*ops.shape(x)[:-2], x.shape[-2] * x.shape[-1]))


def _project_token(x, kernel):
    """`x @ kernel` for `x` `(1, ..., 1, D)`, as the sum of what blocks of rows give."""
    rows, columns = kernel.shape
    blocks = rows // ROWS_OF_A_BLOCK
    parts = ops.matmul(
        ops.reshape(x, (blocks, 1, -1)), ops.reshape(kernel, (blocks, -1, columns))
    )
    return ops.reshape(ops.sum(parts, axis=0), (*x.shape[:-1], columns))


def _takes_blocks(x, weights, tokens):
    """Whether XLA multiplies so few tokens, as a step of decoding has, on a CPU."""
    return (
        keras.backend.backend() != "torch"  # see `torch_steps`
        and not isinstance(x, keras.KerasTensor)
        and None not in x.shape
        and math.prod(x.shape[:-1]) in tokens
        and math.prod(weights.shape) >= LEAST_WEIGHTS_IN_BLOCKS
        and keras.backend.standardize_dtype(x.dtype) == "float32"
        and not on_gpu()
    )


def _runs_on_torch(x):
    is_symbolic = isinstance(x, keras.KerasTensor)
    return keras.backend.backend() == "torch" and not is_symbolic
