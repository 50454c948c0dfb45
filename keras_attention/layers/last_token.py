"""The last token of each sequence."""

import keras
from keras import ops

from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class LastToken(BaseLayer):
    """Takes the last token that is no padding: the one that has read all others.

    Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
    Section 3.2: a causal model classifies by its last token.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, boolean, True for a token that is no padding.

    Returns:
        `(B, D)`. A sequence of padding alone gives its first token.

    Example:

    >>> inputs = keras.ops.reshape(keras.ops.arange(6.0), (1, 3, 2))
    >>> mask = keras.ops.convert_to_tensor([[True, True, False]])
    >>> keras.ops.convert_to_numpy(LastToken()(inputs, mask)).tolist()
    [[2.0, 3.0]]
    """

    def call(self, inputs, padding_mask):
        places = ops.arange(ops.shape(inputs)[1], dtype="int32")
        padding_mask = ops.cast(padding_mask, "int32")
        last = ops.max(places * padding_mask, axis=1)  # (B,)
        return ops.take_along_axis(inputs, last[:, None, None], axis=1)[:, 0]

    def compute_output_spec(self, inputs, padding_mask):
        return keras.KerasTensor((inputs.shape[0], inputs.shape[2]), inputs.dtype)

    def compute_mask(self, inputs, previous_mask):
        return None
