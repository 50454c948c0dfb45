"""The positions of tokens among padding."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class TokenPositions(BaseLayer):
    """Counts the tokens that are no padding, so that padding in front shifts nothing.

        positions[t] = max(0, padding_mask[0] + ... + padding_mask[t] - 1)

    Args:
        max_length: Number of positions that a model knows.

    Call arguments:
        padding_mask: `(B, T)`, boolean, True for a token that is no padding.

    Returns:
        `(B, T)` integers from 0 to `max_length` - 1.

    Raises:
        ValueError: The sequence is longer than `max_length`.

    Example:

    >>> layer = TokenPositions(max_length=10)
    >>> positions = layer(keras.ops.convert_to_tensor([[False, True, True, True]]))
    >>> keras.ops.convert_to_numpy(positions).tolist()
    [[0, 0, 1, 2]]
    """

    def __init__(self, max_length=None, **kwargs):
        super().__init__(**kwargs)
        if max_length is not None:
            check_positive(max_length=max_length)
        self.max_length = max_length

    def call(self, padding_mask):
        length = padding_mask.shape[1]
        known = isinstance(length, int) and self.max_length is not None
        if known and length > self.max_length:
            raise ValueError(
                f"The sequence has {length} tokens, but layer {self.name!r} has "
                f"positions for max_length={self.max_length}. Cut the sequence."
            )
        counted = ops.cumsum(ops.cast(padding_mask, "int32"), axis=1)
        return ops.maximum(counted - 1, 0)

    def compute_output_spec(self, padding_mask):
        return keras.KerasTensor(padding_mask.shape, "int32")
