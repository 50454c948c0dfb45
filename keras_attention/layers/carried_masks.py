"""Masks of tokens that go on with an output, as Keras reads them.

A layer's `compute_mask` is told the mask that was passed as `mask`, though that may say
which query reads which key, and not which tokens are padding.
"""

import keras

from keras_attention.layers.base import token_mask


def carry_mask(outputs, mask):
    """Lets a mask of tokens go on with an output.

    Args:
        outputs: `(B, T, D)`, or a tuple with it and weights.
        mask: `(B, T)`, boolean, or `None`.

    Returns:
        The outputs.
    """
    if mask is None:
        return outputs
    if isinstance(outputs, tuple):
        return carry_mask(outputs[0], mask), *outputs[1:]
    return _carrier(outputs, mask=mask)


def carry_masks(outputs, mask, inputs_mask):
    """Lets the padding of a layer's input go on with its output.

    Args:
        outputs: `(B, T, D)`, or a tuple with it and weights.
        mask: What was passed as `mask`, of any axes, or `None`.
        inputs_mask: `(B, T)`, the mask that came with the input, or `None`.

    Returns:
        The outputs.
    """
    if mask is None or inputs_mask is None:
        return outputs  # `compute_mask` knows all there is
    mask = token_mask(mask)
    return carry_mask(outputs, inputs_mask if mask is None else mask & inputs_mask)


class _Carrier(keras.layers.Layer):
    """Returns its input, with the mask that it was given."""

    def __init__(self):
        super().__init__(autocast=False, name="carrier")
        self.supports_masking = True

    def call(self, inputs, mask=None):
        return inputs


_carrier = _Carrier()  # not one for each call, which torch.compile would trace
