"""The loss of models that tell of each token whether something is so.

Letters: B batch, T tokens.
"""

import keras
from keras import ops

from keras_attention.training.token_losses import token_weights


@keras.saving.register_keras_serializable("keras_attention")
class TokenBinaryCrossentropy(keras.losses.Loss):
    """The mean of -log p of what is so of each token, where p is of one logit.

    Keras's `BinaryCrossentropy` weights whole rows; this one weights tokens, so padding
    does not count. Clark et al. 2020, arXiv:2003.10555, Section 2.

    Args:
        name: Name of the loss.
        dtype: Precision in which it is computed, float32 by default.

    Call arguments:
        y_true: `(B, T)`, 1 for what is so, else 0.
        y_pred: Logits `(B, T)`.
        sample_weight: `(B,)`, `(B, 1)` or `(B, T)`, the weight of texts or tokens.

    Returns:
        A scalar.

    Raises:
        ValueError: The targets have another shape than the predictions.

    Example:

    >>> loss = TokenBinaryCrossentropy()
    >>> weights = np.array([[1.0, 0.0]])  # the second is padding
    >>> found = loss(np.array([[1.0, 1.0]]), np.array([[0.0, -9.0]]), weights)
    >>> float(np.exp(-keras.ops.convert_to_numpy(found)).round(4))
    0.5
    """

    def __init__(self, name="token_binary_crossentropy", dtype=None):
        super().__init__(name=name, reduction="mean_with_sample_weight", dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        counted = token_weights(y_true, sample_weight, padding_id=None)
        return super().__call__(y_true, y_pred, counted)

    def call(self, y_true, y_pred):
        if len(y_true.shape) != 2 or len(y_pred.shape) != 2:
            raise ValueError(
                "The targets are 0 or 1 and the predictions logits, (B, T) each. "
                f"Received: y_true.shape={tuple(y_true.shape)}, "
                f"y_pred.shape={tuple(y_pred.shape)}."
            )
        return ops.binary_crossentropy(
            ops.cast(y_true, "float32"), ops.cast(y_pred, "float32"), from_logits=True
        )

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype}
