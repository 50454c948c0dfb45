"""Linear projections and heads, by the fewest kernels the backend needs for them.

On PyTorch a function of Keras takes longer than what it calls: these go there directly.
"""

import itertools

import keras
from keras import ops


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
    if bias is None:
        return ops.matmul(x, kernel)
    bias = ops.cast(bias, dtype)
    if not _runs_on_torch(x):
        return ops.add(ops.matmul(x, kernel), bias)  # which TensorFlow fuses
    import torch

    return torch.nn.functional.linear(x, kernel.T, bias)  # one kernel for both


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


def _runs_on_torch(x):
    is_symbolic = isinstance(x, keras.KerasTensor)
    return keras.backend.backend() == "torch" and not is_symbolic
