"""A learned token in the place of hidden ones (Devlin et al. 2019, for words)."""

import keras
from keras import ops

from keras_attention.checks import check_sequence
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class MaskToken(BaseLayer):
    """Puts a learned token in the place of those that a model is to guess.

    For patches: Bao et al. 2022, arXiv:2106.08254, Section 2.3; Xie et al. 2022,
    arXiv:2111.09886, Section 3.2 (SimMIM).

    Args:
        initializer: Initializer of the token. Published code begins with zeros.

    Call arguments:
        inputs: `(B, T, D)`.
        hidden: `(B, T)`, boolean, True for a token that is hidden.

    Returns:
        `(B, T, D)`.

    Example:

    >>> layer = MaskToken()
    >>> output = layer(keras.ops.ones((1, 2, 3)), keras.ops.array([[True, False]]))
    >>> keras.ops.convert_to_numpy(output).tolist()
    [[[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]]
    """

    def __init__(self, initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, inputs_shape, hidden_shape=None):
        self.token = self.add_weight(
            shape=(inputs_shape[-1],), initializer=self.initializer, name="token"
        )
        self.built = True

    def call(self, inputs, hidden):
        check_sequence(self.name, inputs=inputs)
        hidden = ops.cast(hidden, "bool")[:, :, None]
        return ops.where(hidden, ops.cast(self.token, inputs.dtype), inputs)

    def compute_output_shape(self, inputs_shape, hidden_shape=None):
        return tuple(inputs_shape)
