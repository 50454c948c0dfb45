"""The positions of tokens among padding."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class TokenPositions(BaseLayer):
    """Counts the tokens that are no padding, so that padding in front shifts nothing.

        count[t] = padding_mask[0] + ... + padding_mask[t]
        positions[t] = max(0, first_position - 1 + padding_mask[t] count[t])

    Args:
        max_length: Most tokens of a sequence.
        first_position: Position of the first token. Padding has the one before, or 0.

    Call arguments:
        padding_mask: `(B, T)`, boolean, True for a token that is no padding.

    Returns:
        `(B, T)` integers from 0 to `max_length + first_position - 1`.

    Raises:
        ValueError: The sequence is longer than `max_length`.

    Example:

    >>> layer = TokenPositions(max_length=10)
    >>> positions = layer(keras.ops.convert_to_tensor([[False, True, True, True]]))
    >>> keras.ops.convert_to_numpy(positions).tolist()
    [[0, 0, 1, 2]]
    """

    def __init__(self, max_length=None, first_position=0, **kwargs):
        super().__init__(**kwargs)
        if max_length is not None:
            check_positive(max_length=max_length)
        self.max_length = max_length
        self.first_position = first_position

    def call(self, padding_mask):
        length = padding_mask.shape[1]
        known = isinstance(length, int) and self.max_length is not None
        if known and length > self.max_length:
            raise ValueError(
                f"The sequence has {length} tokens, but layer {self.name!r} has "
                f"positions for max_length={self.max_length}. Cut the sequence."
            )
        is_token = ops.cast(padding_mask, "int32")
        counted = is_token * ops.cumsum(is_token, axis=1)
        return ops.maximum(counted + (self.first_position - 1), 0)

    def compute_output_spec(self, padding_mask):
        return keras.KerasTensor(padding_mask.shape, "int32")
