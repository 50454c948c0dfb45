"""Products and dtypes where Keras's own fall short.

Its promotion of dtypes ends at float32 on JAX and PyTorch, and with it some of its
operations. Its product of a tensor of unknown sizes and a matrix has no gradient in a
loop that XLA compiles for TensorFlow.
"""

import keras
from keras import ops


def at_least_float32(dtype):
    """The dtype in which sums of numbers of a dtype are computed.

    Args:
        dtype: A dtype.

    Returns:
        `"float32"` or `"float64"`.

    Example:

    >>> at_least_float32("float16"), at_least_float32("float64")
    ('float32', 'float64')
    """
    is_float64 = keras.backend.standardize_dtype(dtype) == "float64"
    return "float64" if is_float64 else "float32"


def joined_dtype(*dtypes):
    """The dtype of floats that inputs of several dtypes take together.

    Args:
        *dtypes: Dtypes.

    Returns:
        Name of a dtype.

    Example:

    >>> joined_dtype("float16", "float32"), joined_dtype("float64", "float64")
    ('float32', 'float64')
    """
    if all(keras.backend.standardize_dtype(dtype) == "float64" for dtype in dtypes):
        return "float64"
    return keras.backend.result_type(*dtypes, float)


def matmul(x, y):
    """Multiplies matrices of one dtype.

    Args:
        x: `(..., T, X)`.
        y: `(..., X, S)`, or `(X, S)`.

    Returns:
        `(..., T, S)`.

    Example:

    >>> tuple(matmul(keras.ops.ones((2, 3, 4)), keras.ops.ones((4, 5))).shape)
    (2, 3, 5)
    """
    if keras.backend.backend() == "tensorflow" and len(y.shape) == 2 < len(x.shape):
        product = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), y)
        return ops.reshape(product, (*ops.shape(x)[:-1], y.shape[-1]))
    if not _is_rounded(x):
        return ops.matmul(x, y)
    y = ops.convert_to_tensor(y)  # it may be a weight
    if keras.backend.backend() == "torch":
        return x @ y
    import jax.numpy as jnp

    return jnp.matmul(x, y)


def larger(x, y):
    """The larger of two numbers, everywhere.

    Args:
        x: A tensor.
        y: A tensor of its dtype, or a number.

    Returns:
        A tensor.

    Example:

    >>> keras.ops.convert_to_numpy(larger(keras.ops.ones(1), 2.0)).tolist()
    [2.0]
    """
    return where(x > y, x, y) if _is_rounded(x) else ops.maximum(x, y)


def where(condition, x, y):
    """Chooses between two tensors, everywhere.

    Args:
        condition: Boolean.
        x: A tensor, for where it is True.
        y: A tensor of its dtype, or a number.

    Returns:
        A tensor.

    Example:

    >>> x = where(keras.ops.ones(1) > 2, keras.ops.ones(1), 3.0)
    >>> keras.ops.convert_to_numpy(x).tolist()
    [3.0]
    """
    if not _is_rounded(x) or keras.backend.backend() == "torch":
        return ops.where(condition, x, y)
    import jax.numpy as jnp

    return jnp.where(condition, x, y)


def tanh(x):
    """The hyperbolic tangent.

    Args:
        x: A tensor.

    Returns:
        A tensor.

    Example:

    >>> keras.ops.convert_to_numpy(tanh(keras.ops.zeros(1))).tolist()
    [0.0]
    """
    if not _is_rounded(x) or keras.backend.backend() == "torch":
        return ops.tanh(x)
    import jax.numpy as jnp

    return jnp.tanh(x)


def _is_rounded(x):
    is_float64 = keras.backend.standardize_dtype(x.dtype) == "float64"
    return is_float64 and keras.backend.backend() != "tensorflow"
