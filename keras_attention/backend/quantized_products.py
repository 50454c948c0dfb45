"""Products with weights of 8 and 4 bits, by the kernel that a backend has for them.

A step of decoding takes as long as reading the weights, so fewer bytes are less time
where a kernel reads them as they are. PyTorch has one for processors, of integers by
integers; XLA and TensorFlow have none that is faster than theirs of 32 bits, and make
such numbers of them first, as all do with 4 bits (`benchmarks/quantization.py`).

Letters: R rows, D width of an input, E of an output, G groups of inputs with one scale
each.
"""

import keras
from keras import ops

# The largest integer of 8 bits whose negative is one, too.
LARGEST = 127


def round_inputs(x, quantizer):
    """Inputs as 8 bits know them. The gradient is that of no rounding.

    Args:
        x: `(..., D)`.
        quantizer: A quantizer of Keras.

    Returns:
        `(..., D)`.

    Example:

    >>> x = keras.ops.convert_to_tensor([[0.1, 1.27]])
    >>> x = round_inputs(x, keras.quantizers.AbsMaxQuantizer())
    >>> [round(float(value), 4) for value in keras.ops.convert_to_numpy(x)[0]]
    [0.1, 1.27]
    """
    rounded, scale = quantizer(x, axis=-1)
    rounded = ops.cast(rounded, x.dtype) / ops.cast(scale, x.dtype)
    return x + ops.stop_gradient(rounded - x)


def multiply_int8(x, values, scale, inputs_quantizer=None):
    """Multiplies by weights of 8 bits.

    Args:
        x: `(..., D)`.
        values: `(E, D)`, int8.
        scale: `(E,)`: a weight is its value times the scale.
        inputs_quantizer: A quantizer of Keras that rounds the inputs, or `None`.

    Returns:
        `x @ (values * scale).T`, `(..., E)`.

    Example:

    >>> values = keras.ops.convert_to_tensor([[2, 4], [6, 8]], "int8")
    >>> scale = keras.ops.convert_to_tensor([0.5, 1.0])
    >>> keras.ops.convert_to_numpy(
    ...     multiply_int8(keras.ops.ones((1, 2)), values, scale)
    ... ).tolist()
    [[3.0, 14.0]]
    """
    values, scale = ops.convert_to_tensor(values), ops.cast(scale, x.dtype)
    if _has_kernel(x):
        return _multiply_integers(x, values, scale, inputs_quantizer)
    if inputs_quantizer is not None:
        x = round_inputs(x, inputs_quantizer)
    return ops.matmul(x, ops.transpose(ops.cast(values, x.dtype))) * scale


def multiply_int4(x, packed, scale, zero=None, block=None):
    """Multiplies by weights of 4 bits.

    Args:
        x: `(..., D)`.
        packed: `(E, ceil(D / 2))`, int8, from `keras.quantizers.pack_int4`.
        scale: `(E, G)`, for each output and group of inputs.
        zero: `(E, G)`: a weight is its value less the zero, times the scale. By default
            zeros.
        block: How many inputs a group has. By default all.

    Returns:
        `(..., E)`.

    Example:

    >>> values = keras.ops.convert_to_tensor([[2, 4], [-6, 7]], "int8")
    >>> packed, _, _ = keras.quantizers.pack_int4(values, axis=-1)
    >>> scale = keras.ops.convert_to_tensor([[0.5], [1.0]])
    >>> keras.ops.convert_to_numpy(
    ...     multiply_int4(keras.ops.ones((1, 2)), packed, scale)
    ... ).tolist()
    [[3.0, 1.0]]
    """
    weights = unpack_weights(packed, x.shape[-1], scale, zero, block)
    return ops.matmul(x, ops.transpose(ops.cast(weights, x.dtype)))


def unpack_weights(packed, width, scale, zero=None, block=None):
    """The weights that 4 bits each stand for.

    Args:
        packed, scale, zero, block: As for `multiply_int4`.
        width: D.

    Returns:
        `(E, D)`, in the dtype of the scale.
    """
    packed, scale = ops.convert_to_tensor(packed), ops.convert_to_tensor(scale)
    values = keras.quantizers.unpack_int4(packed, width, axis=-1)
    values = ops.cast(values, scale.dtype)
    size, groups = scale.shape
    block = width if groups == 1 else block
    padding = groups * block - width
    values = ops.pad(values, [(0, 0), (0, padding)]) if padding else values
    values = ops.reshape(values, (size, groups, block))
    if zero is not None:
        values = values - ops.cast(zero, scale.dtype)[:, :, None]
    values = ops.reshape(values * scale[:, :, None], (size, groups * block))
    return values[:, :width] if padding else values


def _multiply_integers(x, values, scale, inputs_quantizer):
    """The product on PyTorch, of integers by integers.

    Where inputs are not to be rounded, a row is two rows of integers, what 8 bits know
    of it and what they know of the rest: together more than 15 bits.
    """
    import torch

    rows = x.reshape(-1, x.shape[-1]).float()
    if inputs_quantizer is not None:
        integers, steps = inputs_quantizer(rows, axis=-1)
        y = torch._int_mm(integers, values.t()).float() / steps * scale
        return y.to(x.dtype).reshape(*x.shape[:-1], -1)
    largest = rows.abs().amax(dim=1, keepdim=True).clamp_min_(1e-30)
    scaled = rows * (LARGEST / largest)  # (R, D)
    first = scaled.round()
    rest = ((scaled - first) * (2 * LARGEST)).round_()
    both = torch.cat([first, rest]).to(torch.int8)  # (2 R, D)
    products = torch._int_mm(both, values.t()).float()  # (2 R, E)
    first, rest = products.chunk(2)
    y = torch.add(first, rest, alpha=1 / (2 * LARGEST))
    y = y * (largest / LARGEST) * scale
    return y.to(x.dtype).reshape(*x.shape[:-1], -1)


def _has_kernel(x):
    """Whether PyTorch multiplies here, on a processor, for nothing but the result."""
    if keras.backend.backend() != "torch" or isinstance(x, keras.KerasTensor):
        return False
    import torch

    return (
        x.device.type == "cpu"
        and not x.requires_grad
        and not torch.compiler.is_exporting()
        and not torch.jit.is_tracing()
    )
