"""Texts with several choices each: as one batch of texts, and laid together again.

Letters: B texts, C choices, T tokens.
"""

import keras
from keras import ops

from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class SplitChoices(BaseLayer):
    """Makes each choice a row of its own, `(B, C, T)` to `(B C, T)`.

    Call arguments:
        inputs: `(B, C, T)`.

    Returns:
        `(B C, T)`, the choices of the first text first.

    Example:

    >>> tuple(SplitChoices()(keras.ops.ones((2, 3, 5))).shape)
    (6, 5)
    """

    def call(self, inputs):
        return ops.reshape(inputs, (-1, ops.shape(inputs)[2]))

    def compute_output_spec(self, inputs):
        batch_size, choices, length = inputs.shape
        known = batch_size is not None and choices is not None
        rows = batch_size * choices if known else None
        return keras.KerasTensor((rows, length), inputs.dtype)

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("keras_attention")
class JoinChoices(BaseLayer):
    """Lays what was made of each choice together by text, `(B C, 1)` to `(B, C)`.

    Call arguments:
        inputs: `(B C, 1)`, a number for each choice.
        like: `(B, C, T)`, what the choices were.

    Returns:
        `(B, C)`.

    Example:

    >>> layer = JoinChoices()
    >>> tuple(layer(keras.ops.ones((6, 1)), keras.ops.ones((2, 3, 5))).shape)
    (2, 3)
    """

    def call(self, inputs, like):
        return ops.reshape(inputs, ops.shape(like)[:2])

    def compute_output_spec(self, inputs, like):
        return keras.KerasTensor(like.shape[:2], inputs.dtype)

    def compute_mask(self, inputs, previous_mask):
        return None
