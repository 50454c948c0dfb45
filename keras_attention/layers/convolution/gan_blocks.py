"""The residual blocks of generator and discriminator (Miyato & Koyama 2018; SAGAN).

As the published code of SAGAN has them: github.com/brain-research/self-attention-gan.

Letters: B pictures, C and D channels of the input and of the output.
"""

import keras
from keras import ops

from keras_attention.layers.base import BaseLayer
from keras_attention.layers.convolution.conditional_batch_normalization import (
    ConditionalBatchNormalization,
)
from keras_attention.layers.convolution.spectral_normalization import (
    SpectralNormalization,
)


def convolution(filters, size, name, dtype=None):
    """A convolution whose kernel is divided by its largest singular value."""
    layer = keras.layers.Conv2D(
        filters,
        size,
        padding="same",
        data_format="channels_last",
        dtype=dtype,
        name="convolution",
    )
    return SpectralNormalization(layer, dtype=dtype, name=name)


def doubled(x):
    """Each place four times: `(B, 2 rows, 2 columns, C)`.

    By a broadcast, whose gradient is a sum; that of an index would be a scatter.
    """
    _, rows, columns, width = x.shape
    x = ops.reshape(x, (-1, rows, 1, columns, 1, width))
    x = ops.broadcast_to(x, (*ops.shape(x)[:2], 2, columns, 2, width))
    return ops.reshape(x, (-1, 2 * rows, 2 * columns, width))


def halved(x):
    """The means of four places: `(B, rows / 2, columns / 2, C)`."""
    _, rows, columns, width = x.shape
    x = ops.reshape(x, (-1, rows // 2, 2, columns // 2, 2, width))
    return ops.mean(x, axis=(2, 4))


@keras.saving.register_keras_serializable("keras_attention")
class GeneratorBlock(BaseLayer):
    """Makes a picture's features twice as large, in the way of a class.

        y = conv 3x3(doubled(relu(norm(x, label))))        (B, 2 rows, 2 columns, D)
        y = conv 3x3(relu(norm(y, label)))
        output = y + conv 1x1(doubled(x))

    Args:
        filters: Number D of channels of the output.
        num_classes: Number of classes.

    Call arguments:
        inputs: `(B, rows, columns, C)`.
        labels: Integers `(B,)`.
    """

    def __init__(self, filters, num_classes, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.num_classes = num_classes

    def build(self, inputs_shape, labels_shape=None):
        policy, width = self.dtype_policy, inputs_shape[-1]
        self.norms = [
            ConditionalBatchNormalization(
                self.num_classes, dtype=policy, name=f"norm_{i}"
            )
            for i in range(2)
        ]
        self.convolutions = [
            convolution(self.filters, 3, f"convolution_{i}", policy) for i in range(2)
        ]
        self.shortcut = convolution(self.filters, 1, "shortcut", policy)
        for norm, layer, channels in zip(
            self.norms, self.convolutions, (width, self.filters), strict=True
        ):
            norm.build((None, None, None, channels))
            layer.build((None, None, None, channels))
        self.shortcut.build((None, None, None, width))
        self.built = True

    def call(self, inputs, labels, training=None):
        x = ops.relu(self.norms[0](inputs, labels, training=training))
        x = self.convolutions[0](doubled(x), training=training)
        x = ops.relu(self.norms[1](x, labels, training=training))
        x = self.convolutions[1](x, training=training)
        return x + self.shortcut(doubled(inputs), training=training)


@keras.saving.register_keras_serializable("keras_attention")
class DiscriminatorBlock(BaseLayer):
    """Makes a picture's features half as large, or leaves them so.

        y = conv 3x3(relu(conv 3x3(relu(x))))              (B, rows, columns, D)
        output = halved(y) + halved(conv 1x1(x))

    The first block, which reads the picture itself, has no relu before its first
    convolution, and halves x before it projects it.

    Args:
        filters: Number D of channels of the output.
        is_first: Whether it reads pictures.
        halves: Whether it halves rows and columns.

    Call arguments:
        inputs: `(B, rows, columns, C)`.
    """

    def __init__(self, filters, is_first=False, halves=True, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.is_first = is_first
        self.halves = halves

    def build(self, inputs_shape):
        policy, width = self.dtype_policy, inputs_shape[-1]
        self.convolutions = [
            convolution(self.filters, 3, f"convolution_{i}", policy) for i in range(2)
        ]
        for layer, channels in zip(
            self.convolutions, (width, self.filters), strict=True
        ):
            layer.build((None, None, None, channels))
        self.shortcut = None
        if self.halves or width != self.filters:
            self.shortcut = convolution(self.filters, 1, "shortcut", policy)
            self.shortcut.build((None, None, None, width))
        self.built = True

    def call(self, inputs, training=None):
        x = inputs if self.is_first else ops.relu(inputs)
        x = ops.relu(self.convolutions[0](x, training=training))
        x = self.convolutions[1](x, training=training)
        if self.halves:
            x = halved(x)
        kept = inputs
        if self.is_first and self.halves:
            kept = halved(kept)
        if self.shortcut is not None:
            kept = self.shortcut(kept, training=training)
        if self.halves and not self.is_first:
            kept = halved(kept)
        return x + kept
