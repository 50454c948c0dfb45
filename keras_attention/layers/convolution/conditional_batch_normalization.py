"""A norm over the batch with a scale and a shift of each class (Dumoulin et al.)."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.convolution.normed_convolution import EPSILON
from keras_attention.layers.convolution.normed_convolution import MOMENTUM


@keras.saving.register_keras_serializable("keras_attention")
class ConditionalBatchNormalization(BaseLayer):
    """Normalizes channels by the batch, then scales and shifts them by the class.

    Dumoulin et al. 2017, arXiv:1610.07629, Equation 5; in generators of pictures by
    Miyato & Koyama 2018, arXiv:1802.05637, and by Zhang et al. 2019.

        output = gamma[label] (x - mean) / deviation + beta[label]

    Args:
        num_classes: Number of classes.
        momentum: What running statistics keep of what they were.
        epsilon: Small number beside the variance.

    Call arguments:
        inputs: `(B, rows, columns, C)`.
        labels: Integers `(B,)`, from 0 to below `num_classes`.

    Returns:
        `(B, rows, columns, C)`.

    Example:

    >>> layer = ConditionalBatchNormalization(num_classes=10)
    >>> labels = keras.ops.convert_to_tensor([3, 7])
    >>> tuple(layer(keras.ops.ones((2, 4, 6, 5)), labels).shape)
    (2, 4, 6, 5)
    """

    def __init__(self, num_classes, momentum=MOMENTUM, epsilon=EPSILON, **kwargs):
        super().__init__(**kwargs)
        check_positive(num_classes=num_classes)
        self.num_classes = num_classes
        self.momentum = momentum
        self.epsilon = epsilon
        self.norm = keras.layers.BatchNormalization(
            axis=-1,
            momentum=momentum,
            epsilon=epsilon,
            center=False,
            scale=False,
            dtype=self.dtype_policy,
            name="norm",
        )

    def build(self, inputs_shape, labels_shape=None):
        shape = self.num_classes, inputs_shape[-1]
        self.gamma = self.add_weight(shape, initializer="ones", name="gamma")
        self.beta = self.add_weight(shape, initializer="zeros", name="beta")
        self.norm.build((None, None, None, inputs_shape[-1]))
        self.built = True

    def call(self, inputs, labels, training=None):
        labels = ops.cast(labels, "int32")
        x = self.norm(inputs, training=training)  # (B, rows, columns, C)
        gamma, beta = (
            ops.take(table, labels, axis=0)[:, None, None]  # (B, 1, 1, C)
            for table in (self.gamma, self.beta)
        )
        return gamma * x + beta

    def compute_mask(self, inputs, previous_mask):
        return None
