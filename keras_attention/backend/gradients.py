"""The gradient of a number by tensors that are no weights of a model."""

import keras
from keras import ops


def gradient(function, tensors):
    """Computes the gradient of a function that returns one number.

    Args:
        function: Called as `function(tensors)`, returns a scalar tensor.
        tensors: List of tensors.

    Returns:
        List of tensors of the same shapes.

    Example:

    >>> by_x, by_y = gradient(
    ...     lambda xy: keras.ops.sum(xy[0] * xy[1]),
    ...     [keras.ops.ones(2), 3.0 * keras.ops.ones(2)],
    ... )
    >>> keras.ops.convert_to_numpy(by_x).tolist()
    [3.0, 3.0]
    """
    tensors = [ops.convert_to_tensor(tensor) for tensor in tensors]
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.grad(function)(tensors)
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            value = function(tensors)
        return tape.gradient(value, tensors, unconnected_gradients="zero")
    import torch

    tensors = [tensor.detach().requires_grad_() for tensor in tensors]
    with torch.enable_grad():
        value = function(tensors)
    return list(
        torch.autograd.grad(value, tensors, allow_unused=True, materialize_grads=True)
    )
