"""A convolution and a norm over the batch, padded as PyTorch pads (He et al. 2016)."""

import keras
from keras import ops

from keras_attention.layers.base import BaseLayer
from keras_attention.ops.activations import ACTIVATIONS

# PyTorch's: a running statistic keeps 0.9 of what it was.
MOMENTUM = 0.9
EPSILON = 1e-5


def padded(x, width, value=0.0):
    """Pads rows and columns of `(B, rows, columns, C)` alike at both ends.

    With strides, `padding="same"` of Keras pads more at the end where the size is even:
    published networks of PyTorch would see a picture that is shifted.
    """
    # torch.compile looks into this, as it does not into Keras's `pad`.
    for axis in (1, 2):
        edge = ops.zeros_like(x[:, :1] if axis == 1 else x[:, :, :1]) + value
        x = ops.concatenate([edge] * width + [x] + [edge] * width, axis=axis)
    return x


class NormedConvolution(BaseLayer):
    """Convolves, normalizes by the batch, and bends what comes out.

    Args:
        filters: Number of channels of the output.
        kernel_size: Rows and columns of the kernel, odd.
        strides: Rows and columns between its places.
        activation: Key of `ACTIVATIONS`, or `None`.
    """

    def __init__(self, filters, kernel_size, strides=1, activation="relu", **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.activation = activation
        self.convolution = keras.layers.Conv2D(
            filters,
            kernel_size,
            strides,
            padding="same" if strides == 1 else "valid",
            use_bias=False,
            data_format="channels_last",
            kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.norm = keras.layers.BatchNormalization(
            axis=-1,
            momentum=MOMENTUM,
            epsilon=EPSILON,
            dtype=self.dtype_policy,
            name="norm",
        )

    def build(self, inputs_shape):
        # Not of the size, which may be smaller than the kernel before it is padded.
        self.convolution.build((None, None, None, inputs_shape[-1]))
        self.norm.build((None, None, None, self.filters))
        self.built = True

    def call(self, inputs, training=None):
        x = inputs
        if self.strides > 1 and self.kernel_size > 1:
            x = padded(x, self.kernel_size // 2)
        x = self.norm(self.convolution(x), training=training)
        return x if self.activation is None else ACTIVATIONS[self.activation](x)
