"""A linear projection, by the fewest kernels the backend needs for it."""

import keras
from keras import ops


def project(x, kernel, bias=None):
    """Multiplies by a kernel and adds a bias.

    Args:
        x: `(..., D)`.
        kernel: `(D, E)`, of the dtype of `x`.
        bias: `(E,)`, of the dtype of `x`, or `None`.

    Returns:
        `x @ kernel + bias`, `(..., E)`.

    Example:

    >>> x, kernel = keras.ops.ones((2, 3)), keras.ops.ones((3, 1))
    >>> keras.ops.convert_to_numpy(project(x, kernel, keras.ops.ones(1))).tolist()
    [[4.0], [4.0]]
    """
    if bias is None:
        return ops.matmul(x, kernel)
    if keras.backend.backend() != "torch" or isinstance(x, keras.KerasTensor):
        return ops.matmul(x, kernel) + bias
    import torch

    return torch.nn.functional.linear(x, kernel.T, bias)  # one kernel for both
