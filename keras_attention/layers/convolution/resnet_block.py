"""The blocks of a residual network (He et al. 2016)."""

import keras

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.convolution.normed_convolution import NormedConvolution
from keras_attention.layers.drop_path import DropPath
from keras_attention.ops.activations import ACTIVATIONS

KINDS = ("bottleneck", "basic")
# How much narrower the middle of a bottleneck is: He et al. 2016, Table 1.
REDUCTION = 4


@keras.saving.register_keras_serializable("keras_attention")
class ResNetBlock(BaseLayer):
    """Adds to a picture's features what convolutions make of them.

    He et al. 2016, arXiv:1512.03385, Figure 5. Each convolution is followed by a norm
    over the batch, and all but the last by a ReLU:

        f(x) = conv 3x3, conv 3x3                      "basic"
        f(x) = conv 1x1, conv 3x3, conv 1x1            "bottleneck"
        output = activation(x + f(x))

    Where the sizes differ, x is projected by a convolution 1x1.

    Args:
        filters: Number D of channels of the output.
        strides: By how much the block makes rows and columns fewer.
        kind: `"bottleneck"` or `"basic"`.
        strides_first: Whether the first convolution of a bottleneck strides, as in the
            paper (version 1), not the one of 3x3 (version 1.5; Goyal et al. 2017,
            arXiv:1706.02677, Section 5.1).
        activation: Activation of the sum: a name that `FeedForward` has.
        drop_path: Fraction of pictures whose branch is dropped in training.
        seed: Integer, for reproducible drops.

    Call arguments:
        inputs: `(B, rows, columns, C)`.

    Returns:
        `(B, rows / strides, columns / strides, D)`, rounded up.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> block = ResNetBlock(filters=8, strides=2)
    >>> tuple(block(keras.ops.ones((2, 7, 10, 4))).shape)
    (2, 4, 5, 8)
    """

    def __init__(
        self,
        filters,
        strides=1,
        kind="bottleneck",
        strides_first=False,
        activation="relu",
        drop_path=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(filters=filters, strides=strides)
        check_choice(KINDS, kind=kind)
        check_choice(ACTIVATIONS, activation=activation)
        check_rate(drop_path=drop_path)
        self.filters = filters
        self.strides = strides
        self.kind = kind
        self.strides_first = strides_first
        self.activation = activation
        self.drop_path = drop_path
        self.seed = seed

    def build(self, inputs_shape):
        first = self.strides if self.strides_first else 1
        narrow = max(1, self.filters // REDUCTION)
        sizes = {  # filters, kernel, strides, activation
            "basic": [
                (self.filters, 3, self.strides, "relu"),
                (self.filters, 3, 1, None),
            ],
            "bottleneck": [
                (narrow, 1, first, "relu"),
                (narrow, 3, self.strides // first, "relu"),
                (self.filters, 1, 1, None),
            ],
        }
        self.convolutions = [
            NormedConvolution(*size, dtype=self.dtype_policy, name=f"convolution_{i}")
            for i, size in enumerate(sizes[self.kind])
        ]
        shape = inputs_shape
        for convolution in self.convolutions:
            convolution.build(shape)
            shape = (*shape[:-1], convolution.filters)
        self.shortcut = self.branch = None
        if self.strides != 1 or inputs_shape[-1] != self.filters:
            self.shortcut = NormedConvolution(
                self.filters,
                1,
                self.strides,
                None,
                dtype=self.dtype_policy,
                name="shortcut",
            )
            self.shortcut.build(inputs_shape)
        if self.drop_path > 0:
            self.branch = DropPath(
                self.drop_path, self.seed, dtype=self.dtype_policy, name="drop_path"
            )
        self.built = True

    def call(self, inputs, training=None):
        x = inputs
        for convolution in self.convolutions:
            x = convolution(x, training=training)
        if self.branch is not None:
            x = self.branch(x, training=training)
        kept = inputs
        if self.shortcut is not None:
            kept = self.shortcut(inputs, training=training)
        return ACTIVATIONS[self.activation](kept + x)

    def compute_mask(self, inputs, previous_mask):
        return None
