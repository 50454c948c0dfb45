"""The matrices of a layer that may have 8 or 4 bits a weight.

Letters: D width of an input, E of an output, G groups of inputs with one scale each.
"""

import dataclasses

import keras
from keras import ops

from keras_attention.backend.quantized_products import multiply_int4
from keras_attention.backend.quantized_products import multiply_int8
from keras_attention.backend.quantized_products import round_inputs
from keras_attention.backend.quantized_products import unpack_weights

# What `quantize` knows; the other modes of Keras train, or need data.
MODES = ("int8", "int4")


@dataclasses.dataclass
class QuantizedKernel:
    """What stands in a layer in place of a matrix `(D, E)` once it is quantized.

    It lies across, `(E, D)`, since one output is one row of what kernels read.

    Args:
        name: That of the matrix.
        shape: `(D, E)`.
        values: `(E, D)`, int8, or `(E, ceil(D / 2))` with two weights in a byte.
        scale: `(E,)`, with 4 bits `(E, G)`.
        zero: `(E, G)` or `None`.
        block: How many inputs a group has, with 4 bits.
        inputs_quantizer: Rounds the inputs to 8 bits, or `None`.
    """

    name: str
    shape: tuple
    values: keras.Variable
    scale: keras.Variable
    zero: keras.Variable | None = None
    block: int | None = None
    inputs_quantizer: object = None

    def multiply(self, x, first, last):
        """`x` `(..., D)` times the columns from `first` to before `last`."""
        parts = [
            None if part is None else ops.convert_to_tensor(part)[first:last]
            for part in (self.values, self.scale, self.zero)
        ]
        if self.block is None:
            return multiply_int8(x, *parts[:2], self.inputs_quantizer)
        if self.inputs_quantizer is not None:
            x = round_inputs(x, self.inputs_quantizer)
        return multiply_int4(x, *parts, block=self.block)

    def dequantized(self):
        """The matrix `(D, E)`."""
        if self.block is None:
            weights = ops.cast(self.values, self.scale.dtype) * self.scale[:, None]
        else:
            weights = unpack_weights(
                self.values, self.shape[0], self.scale, self.zero, self.block
            )
        return ops.transpose(weights)


class Kernels(keras.layers.Layer):
    """Holds the matrices of a layer that are quantized, of which there are none first.

    `keras.Model.quantize` quantizes layers in which no others are: so it finds the
    matrices of each of ours, whatever else is in it.

    Args:
        owner: The layer whose attributes the matrices are.
    """

    def __init__(self, owner, **kwargs):
        super().__init__(**kwargs)
        self._names = []
        self._replace = owner.replace_kernel  # no attribute that Keras takes for a part

    def add(self, name):
        """Says that the owner has a matrix of that name."""
        self._names.append(name)

    def quantize(self, mode=None, type_check=True, config=None):
        if not self._names or mode not in MODES:
            raise self._not_implemented_error(self.quantize)
        self.quantization_config = config
        for name in self._names:
            self._replace(name, lambda variable: self._quantized(variable, config))
        self._is_quantized = True

    def _quantized(self, variable, config):
        add = self._add_int8 if config.mode == "int8" else self._add_int4
        return add(variable, config)

    def _add_int8(self, variable, config):
        quantizer = config.weight_quantizer or keras.quantizers.AbsMaxQuantizer(axis=0)
        values, scale = quantizer(variable, to_numpy=True)  # (D, E), (1, E)
        return QuantizedKernel(
            variable.name,
            tuple(variable.shape),
            self._keep(variable.name, ops.transpose(values), "int8"),
            self._keep(f"{variable.name}_scale", 1.0 / scale[0]),
            inputs_quantizer=config.activation_quantizer,
        )

    def _add_int4(self, variable, config):
        block, zero = config.block_size, None
        if block in (None, -1):
            quantizer = config.weight_quantizer or keras.quantizers.AbsMaxQuantizer(
                axis=0, value_range=(-8, 7)
            )
            values, scale = quantizer(variable, to_numpy=True)
            scale, block = 1.0 / scale, variable.shape[0]
        else:
            values, scale, zero = (
                keras.quantizers.abs_max_quantize_grouped_with_zero_point(
                    variable, block_size=block, to_numpy=True
                )
            )
            zero = self._keep(f"{variable.name}_zero", ops.transpose(zero), "int8")
        packed, _, _ = keras.quantizers.pack_int4(ops.transpose(values), axis=-1)
        return QuantizedKernel(
            variable.name,
            tuple(variable.shape),
            self._keep(variable.name, packed, "int8"),
            self._keep(f"{variable.name}_scale", ops.transpose(scale)),
            zero,
            block,
            config.activation_quantizer,
        )

    def _keep(self, name, values, dtype=None):
        variable = self.add_weight(
            shape=tuple(values.shape),
            initializer="zeros",
            dtype=dtype,
            trainable=False,
            autocast=False,
            name=name,
        )
        variable.assign(values)
        return variable
