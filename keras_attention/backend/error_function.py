"""The error function, as operations that every runtime has."""

import functools
import math

import keras
from keras import ops

# The rational function by which XLA and Eigen compute it in float32, the highest power
# first: that of x^2 above and below.
ABOVE = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06),
    *(-5.69250639462346e-05, -7.34990630326855e-04, -2.95459980854025e-03),
    -1.60960333262415e-02,
)
BELOW = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03),
    *(-7.37332916720468e-03, -1.42647390514189e-02),
)


def erf(x):
    """The probability that a normal number of variance 1/2 is nearer to zero than x.

    Programs of JAX 0.10 name it as one operation, which TensorFlow 2.21 cannot read.
    Here they have what JAX compiles it to, and its derivative.

    Args:
        x: A tensor of float32.

    Returns:
        A tensor of the same shape.

    Example:

    >>> round(float(erf(keras.ops.ones(()))), 4)
    0.8427
    """
    if keras.backend.backend() != "jax":
        return ops.erf(x)
    if isinstance(x, keras.KerasTensor):
        return ErrorFunction()(x)
    return _rational_erf()(x)


@keras.saving.register_keras_serializable("keras_attention")
class ErrorFunction(keras.Operation):
    """The error function in the graph of a functional model, which keeps what it is."""

    def call(self, x):
        return erf(x)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, dtype=x.dtype)


@functools.cache
def _rational_erf():
    import jax
    import jax.numpy as jnp

    @jax.custom_jvp
    def rational(x):
        x = jnp.clip(x, -4.0, 4.0)
        square = x * x
        above, below = (
            functools.reduce(lambda sum, factor: sum * square + factor, factors)
            for factors in (ABOVE, BELOW)
        )
        return x * above / below

    @rational.defjvp
    def derive(primals, tangents):
        (x,), (step,) = primals, tangents
        return rational(x), 2 / math.sqrt(math.pi) * jnp.exp(-x * x) * step

    return rational
