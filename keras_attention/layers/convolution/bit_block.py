"""The block of BiT: standardized weights, norms over groups (Kolesnikov et al. 2020).

What hybrid Vision Transformers read pictures with. All sizes are padded as TensorFlow
pads, where they were trained.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.convolution.resnet_block import REDUCTION

# Of the norms, and of the standardized weights, in timm and transformers.
EPSILON, WEIGHT_EPSILON = 1e-5, 1e-8
GROUPS = 32


@keras.saving.register_keras_serializable("keras_attention")
class StandardizedConv2D(keras.layers.Conv2D):
    """A convolution whose kernels have mean 0 and variance 1, one for each channel.

    Qiao et al. 2019, arXiv:1903.10520, Equation 5, over all that makes a channel.
    """

    def convolution_op(self, inputs, kernel):
        wide = ops.cast(kernel, "float32")
        mean = ops.mean(wide, axis=(0, 1, 2), keepdims=True)
        variance = ops.mean(ops.square(wide - mean), axis=(0, 1, 2), keepdims=True)
        kernel = (wide - mean) * ops.rsqrt(variance + WEIGHT_EPSILON)
        return super().convolution_op(inputs, ops.cast(kernel, inputs.dtype))


class GroupedConvolution(BaseLayer):
    """Convolves with standardized weights, normalizes groups of channels, activates.

    Args:
        filters: Number of channels of the output.
        kernel_size: Rows and columns of the kernel.
        strides: Rows and columns between its places.
        has_relu: Whether a ReLU follows.
    """

    def __init__(self, filters, kernel_size, strides=1, has_relu=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.has_relu = has_relu
        self.convolution = StandardizedConv2D(
            filters,
            kernel_size,
            strides,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.norm = keras.layers.GroupNormalization(
            GROUPS, axis=-1, epsilon=EPSILON, dtype=self.dtype_policy, name="norm"
        )

    def build(self, inputs_shape):
        self.convolution.build(inputs_shape)
        self.norm.build((None, None, None, self.filters))
        self.built = True

    def call(self, inputs):
        x = self.norm(self.convolution(inputs))
        return ops.relu(x) if self.has_relu else x


@keras.saving.register_keras_serializable("keras_attention")
class BiTBlock(BaseLayer):
    """Adds to a picture's features what convolutions make of them, without a batch.

    Kolesnikov et al. 2020, arXiv:1912.11370, Section 3.1 (Big Transfer): the weights
    are standardized, and norms are over groups of 32 channels, so that each picture is
    read by itself. In the order of version 1, as hybrid Vision Transformers have it:

        output = relu(x + conv 1x1, conv 3x3, conv 1x1)

    Where the sizes differ, x is projected by a convolution 1x1.

    Args:
        filters: Number D of channels of the output, a multiple of 128.
        strides: By how much the block makes rows and columns fewer.

    Call arguments:
        inputs: `(B, rows, columns, C)`.

    Returns:
        `(B, rows / strides, columns / strides, D)`, rounded up.

    Raises:
        ValueError: `filters` is no multiple of 128.

    Example:

    >>> block = BiTBlock(filters=128, strides=2)
    >>> tuple(block(keras.ops.ones((2, 7, 10, 64))).shape)
    (2, 4, 5, 128)
    """

    def __init__(self, filters, strides=1, **kwargs):
        super().__init__(**kwargs)
        check_positive(filters=filters, strides=strides)
        if filters % (REDUCTION * GROUPS):
            raise ValueError(
                f"`filters` must be a multiple of {REDUCTION * GROUPS}, so that the "
                f"middle has whole groups of {GROUPS} channels. Received: filters="
                f"{filters}"
            )
        self.filters = filters
        self.strides = strides

    def build(self, inputs_shape):
        narrow = self.filters // REDUCTION
        sizes = (
            (narrow, 1, 1),
            (narrow, 3, self.strides),
            (self.filters, 1, 1, False),
        )
        self.convolutions = [
            GroupedConvolution(*size, dtype=self.dtype_policy, name=f"convolution_{i}")
            for i, size in enumerate(sizes)
        ]
        shape = inputs_shape
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)
        self.shortcut = None
        if self.strides != 1 or inputs_shape[-1] != self.filters:
            self.shortcut = GroupedConvolution(
                self.filters,
                1,
                self.strides,
                False,
                dtype=self.dtype_policy,
                name="shortcut",
            )
            self.shortcut.build(inputs_shape)
        self.built = True

    def call(self, inputs):
        x = inputs
        for convolution in self.convolutions:
            x = convolution(x)
        kept = inputs if self.shortcut is None else self.shortcut(inputs)
        return ops.relu(kept + x)

    def compute_mask(self, inputs, previous_mask):
        return None
