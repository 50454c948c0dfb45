"""A bias by itself, for a projection that has none."""

import keras

from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class ChannelBias(BaseLayer):
    """Adds a learned number to each channel, for logits from tied weights.

        output = inputs + b

    Args:
        initializer: Initializer of b.

    Call arguments:
        inputs: `(B, T, V)`, or any other number of axes.

    Returns:
        The same shape.

    Example:

    >>> layer = ChannelBias(initializer="ones")
    >>> keras.ops.convert_to_numpy(layer(np.zeros((1, 2)))).tolist()
    [[1.0, 1.0]]
    """

    def __init__(self, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, inputs_shape):
        self.bias = self.add_weight(
            shape=(inputs_shape[-1],), initializer=self.initializer, name="bias"
        )
        self.built = True

    def call(self, inputs):
        return inputs + self.bias
