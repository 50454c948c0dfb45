"""A learned factor for each channel of a branch (Touvron et al. 2021)."""

import keras

from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class LayerScale(BaseLayer):
    """Multiplies each channel of a residual branch by a learned factor.

    Touvron et al. 2021, arXiv:2103.17239, Equation 4: factors near 0 let a deep
    network begin close to the identity.

    Args:
        initial_value: Value of all factors before training.

    Call arguments:
        inputs: `(..., D)`.

    Returns:
        `(..., D)`.

    Example:

    >>> output = LayerScale(initial_value=0.5)(keras.ops.ones((1, 2)))
    >>> keras.ops.convert_to_numpy(output).tolist()
    [[0.5, 0.5]]
    """

    def __init__(self, initial_value=1e-4, **kwargs):
        super().__init__(**kwargs)
        self.initial_value = initial_value

    def build(self, inputs_shape):
        self.scale = self.add_weight(
            shape=(inputs_shape[-1],),
            initializer=keras.initializers.Constant(self.initial_value),
            name="scale",
        )
        self.built = True

    def call(self, inputs):
        return inputs * self.scale
