"""A convolution that says itself where it reads (Dai et al. 2017; Zhu et al. 2019).

Letters: B pictures, R and C rows and columns of the output, K places of the kernel, G
groups of channels, D channels of the input, F of the output.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.backend.constants import constant
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.ops.sampling import sample_bilinear

PADDINGS = ("same", "valid")


@keras.saving.register_keras_serializable("keras_attention")
class DeformableConv2D(BaseLayer):
    """Convolves places that a second convolution moves, each by its own offset.

    Dai et al. 2017, arXiv:1703.06211, Equations 1 to 5; with `use_mask` version 2, Zhu
    et al. 2019, arXiv:1811.11168, Equation 1:

        offsets, mask = conv(x), sigmoid(conv(x))        K offsets and factors a place
        output[p] = sum over k of W[k] mask[p, k] x[p + k + offsets[p, k]] + b

    x is read between its places, by the four around a point, and is zero outside. The
    offsets begin with 0, so the layer begins as `keras.layers.Conv2D`; with a mask,
    which begins with 1/2, as half of it.

    Args:
        filters: Number F of channels of the output.
        kernel_size: Rows and columns of the kernel, one integer or two.
        strides: Rows and columns between its places.
        padding: `"same"` pads with zeros so that rows and columns are divided by the
            strides alone, as in Keras; `"valid"` pads none.
        dilation_rate: Rows and columns between the places of the kernel.
        num_groups: Number G of groups of channels, each with offsets of its own.
        use_mask: Whether each place that is read has a factor from 0 to 1.
        use_bias: Whether there is a bias b.
        kernel_initializer: Initializer of W.

    Call arguments:
        inputs: `(B, rows, columns, D)`, rows and columns known.

    Returns:
        `(B, R, C, F)`.

    Raises:
        ValueError: `num_groups` does not divide D, or the sizes are not known.

    Example:

    >>> layer = DeformableConv2D(filters=5, kernel_size=3, strides=2, use_mask=True)
    >>> tuple(layer(keras.ops.ones((2, 7, 10, 4))).shape)
    (2, 4, 5, 5)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="same",
        dilation_rate=1,
        num_groups=1,
        use_mask=False,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(
            filters=filters,
            strides=strides,
            dilation_rate=dilation_rate,
            num_groups=num_groups,
        )
        image_sides(kernel_size, "kernel_size")
        check_choice(PADDINGS, padding=padding)
        if strides > 1 and dilation_rate > 1:
            raise ValueError(
                "Keras convolves with strides or with dilation, not with both. "
                f"Received: strides={strides}, dilation_rate={dilation_rate}"
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.padding = padding
        self.dilation_rate = dilation_rate
        self.num_groups = num_groups
        self.use_mask = use_mask
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        if len(inputs_shape) != 4 or None in inputs_shape[1:]:
            raise ValueError(
                "Places are moved on a map (B, rows, columns, D) whose size is known. "
                f"Received: inputs.shape={tuple(inputs_shape)} in layer {self.name!r}"
            )
        width = inputs_shape[-1]
        if width % self.num_groups:
            raise ValueError(
                f"{width} channels do not divide into num_groups={self.num_groups} "
                f"groups in layer {self.name!r}. Choose a number that divides them."
            )
        size = image_sides(self.kernel_size)
        count = size[0] * size[1]  # K
        self.kernel = self.add_kernel(
            "kernel", (count * width, self.filters), self.kernel_initializer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight((self.filters,), "zeros", name="bias")
        self.movement = keras.layers.Conv2D(
            count * self.num_groups * (3 if self.use_mask else 2),
            size,
            self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            data_format="channels_last",
            kernel_initializer="zeros",
            dtype=self.dtype_policy,
            name="movement",
        )
        self.movement.build(inputs_shape)
        self.built = True

    def call(self, inputs):
        groups, width = self.num_groups, inputs.shape[-1]
        rest = self._rest_points(inputs.shape[1:3])  # (R, C, 1, K, 2)
        rows, columns, _, count, _ = rest.shape
        moved = self.movement(inputs)  # (B, R, C, 2 G K), or 3 G K
        offsets = moved[..., : 2 * groups * count]
        offsets = ops.reshape(offsets, (-1, rows, columns, groups, count, 2))
        points = constant(rest) + ops.cast(offsets, self.wide_dtype)
        points = ops.transpose(points, (0, 3, 1, 2, 4, 5))  # (B, G, R, C, K, 2)
        points = ops.reshape(points, (-1, rows * columns * count, 2))

        maps = ops.reshape(inputs, (-1, *inputs.shape[1:3], groups, width // groups))
        maps = ops.transpose(maps, (0, 3, 1, 2, 4))  # (B, G, ..., D / G)
        maps = ops.reshape(maps, (-1, *inputs.shape[1:3], width // groups))
        x = sample_bilinear(maps, points)  # (B G, R C K, D / G)
        shape = (-1, groups, rows, columns, count, width // groups)
        x = ops.transpose(ops.reshape(x, shape), (0, 2, 3, 4, 1, 5))
        if self.use_mask:  # (B, R, C, K, G, D / G)
            mask = ops.sigmoid(moved[..., 2 * groups * count :])
            mask = ops.reshape(mask, (-1, rows, columns, groups, count, 1))
            x = x * ops.transpose(mask, (0, 1, 2, 4, 3, 5))
        x = ops.reshape(x, (-1, rows, columns, count * width))
        return self.project(x, self.kernel, self.bias)

    def _rest_points(self, sides):
        """Where the kernel reads without offsets, `(R, C, 1, K, 2)`, NumPy."""
        places = []
        for length, size in zip(sides, image_sides(self.kernel_size), strict=True):
            reach = (size - 1) * self.dilation_rate
            if self.padding == "valid":
                first, count = 0, (length - reach - 1) // self.strides + 1
            else:
                count = -(-length // self.strides)
                missing = (count - 1) * self.strides + reach + 1 - length
                first = -(max(missing, 0) // 2)
            starts = first + self.strides * np.arange(count)
            places.append(starts[:, None] + self.dilation_rate * np.arange(size))
        rows, columns = places  # (R, rows of the kernel), (C, its columns)
        shape = (len(rows), len(columns), rows.shape[1], columns.shape[1])
        points = np.stack(
            [
                np.broadcast_to(rows[:, None, :, None], shape),
                np.broadcast_to(columns[None, :, None, :], shape),
            ],
            axis=-1,
        )
        points = points.reshape(*shape[:2], 1, -1, 2)
        return points.astype(self.wide_dtype)

    def compute_mask(self, inputs, previous_mask):
        return None
