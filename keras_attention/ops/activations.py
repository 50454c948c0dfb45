"""Functions of each number alone, by which hidden layers bend what they project."""

import math

import keras
from keras import ops

from keras_attention.backend.in_place import overwrite
from keras_attention.backend.loops import is_symbolic_size


def exact_gelu(x):
    """Multiplies each number by the probability that a normal one is less.

    Hendrycks and Gimpel 2016, arXiv:1606.08415, Section 2:

        y = x (1 + erf(x / sqrt(2))) / 2

    JAX and TensorFlow compute 1 + erf(z) as erfc(-z), which keeps more digits where the
    result is nearly zero, and is slower.

    Args:
        x: A tensor.

    Returns:
        A tensor of the same shape and dtype.

    Example:

    >>> round(float(exact_gelu(keras.ops.ones(()))), 4)
    0.8413
    """
    is_float32 = keras.backend.standardize_dtype(x.dtype) == "float32"
    # Of unknown sizes, JAX writes a program for others, of which TensorFlow knows erfc.
    takes_keras = keras.backend.backend() == "torch" or not is_float32
    if takes_keras or any(map(is_symbolic_size, x.shape)):
        return ops.gelu(x, approximate=False)
    return ops.multiply(0.5 * x, 1.0 + ops.erf(math.sqrt(0.5) * x))


ACTIVATIONS = {
    "gelu": exact_gelu,
    "gelu_tanh": lambda x: ops.gelu(x, approximate=True),
    "relu": ops.relu,
    "relu_squared": lambda x: ops.square(ops.relu(x)),
    "silu": ops.silu,
    "tanh": ops.tanh,
}


def activate(name, x):
    """Applies an activation to a tensor that is not read afterwards.

    PyTorch overwrites it where no gradient will ask for it: the hidden activations are
    a block's largest tensor, and room for a second one is dear
    (`benchmarks/encoder_block.py`).

    Args:
        name: A key of `ACTIVATIONS`.
        x: A tensor that the caller has computed and needs no more.

    Returns:
        A tensor of the same shape and dtype.

    Example:

    >>> float(activate("relu", keras.ops.subtract(1.0, 3.0)))
    0.0
    """
    overwritten = overwrite(name, x)
    return ACTIVATIONS[name](x) if overwritten is None else overwritten
