"""Losses of models that predict tokens: padding does not count.

Letters: B batch, T tokens, V vocabulary.
"""

import keras
from keras import ops


def token_losses(token_ids, logits, label_smoothing=0.0):
    """How unlikely each token was thought to be.

    Args:
        token_ids: Integers `(B, T)`, what was to be predicted.
        logits: `(B, T, V)`.
        label_smoothing: The part of the target that is spread evenly over all tokens
            (Szegedy et al. 2016, arXiv:1512.00567, Section 7).

    Returns:
        `(B, T)` in float32: -log p of each token, and with smoothing (1 - s) times
        that plus s times the mean of -log p over all tokens.

    Example:

    >>> losses = token_losses([[1]], np.log([[[0.75, 0.25]]]).astype("float32"))
    >>> float(np.exp(-ops.convert_to_numpy(losses)).round(4)[0, 0])
    0.25
    """
    logits = ops.cast(logits, "float32")
    token_ids = ops.cast(token_ids, "int32")
    total = ops.logsumexp(logits, axis=-1)  # (B, T)
    chosen = ops.take_along_axis(logits, token_ids[:, :, None], axis=-1)[:, :, 0]
    if label_smoothing > 0:
        mean = ops.mean(logits, axis=-1)
        chosen = (1.0 - label_smoothing) * chosen + label_smoothing * mean
    return total - chosen


@keras.saving.register_keras_serializable("keras_attention")
class TokenCrossentropy(keras.losses.Loss):
    """The mean of -log p over the tokens that are no padding.

    Args:
        label_smoothing: The part of the target that is spread evenly over all tokens,
            from 0 to 1.
        padding_id: Token id of the padding, or `None` where each token counts, as in
            the batches of `LanguageModelDataset`.
        name: Name of the loss.
        dtype: Precision in which it is computed, float32 by default.

    Call arguments:
        y_true: Integers `(B, T)`.
        y_pred: Logits `(B, T, V)`.
        sample_weight: `(B,)`, `(B, 1)` or `(B, T)`, the weight of captions or tokens.

    Returns:
        A scalar.

    Raises:
        ValueError: `label_smoothing` is out of its range.

    Example:

    >>> logits = np.log([[[0.5, 0.5], [0.1, 0.9]]]).astype("float32")
    >>> loss = TokenCrossentropy()(np.array([[1, 0]]), logits)  # the second is padding
    >>> float(np.exp(-keras.ops.convert_to_numpy(loss)).round(4))
    0.5
    """

    def __init__(
        self, label_smoothing=0.0, padding_id=0, name="token_crossentropy", dtype=None
    ):
        super().__init__(name=name, reduction="mean_with_sample_weight", dtype=dtype)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "`label_smoothing` must be at least 0 and less than 1. Received: "
                f"label_smoothing={label_smoothing!r}"
            )
        self.label_smoothing = label_smoothing
        self.padding_id = padding_id

    def __call__(self, y_true, y_pred, sample_weight=None):
        counted = token_weights(y_true, sample_weight, self.padding_id)
        return super().__call__(y_true, y_pred, counted)

    def call(self, y_true, y_pred):
        check_tokens(y_true, y_pred)
        return token_losses(y_true, y_pred, self.label_smoothing)

    def get_config(self):
        return {
            "label_smoothing": self.label_smoothing,
            "padding_id": self.padding_id,
            "name": self.name,
            "dtype": self.dtype,
        }


def token_weights(token_ids, sample_weight=None, padding_id=0):
    """The weight of each token: 0 for padding, else that of its caption or 1.

    Args:
        token_ids: Integers `(B, T)`.
        sample_weight: `None`, `(B,)`, `(B, 1)` or `(B, T)`.
        padding_id: Token id of the padding, or `None` where there is none.

    Returns:
        `(B, T)` in float32.
    """
    token_ids = ops.cast(token_ids, "int32")
    weights = ops.ones_like(token_ids, "float32")
    if padding_id is not None:
        weights = ops.cast(ops.not_equal(token_ids, padding_id), "float32")
    if sample_weight is None:
        return weights
    sample_weight = ops.cast(sample_weight, "float32")
    if len(sample_weight.shape) == 1:
        sample_weight = sample_weight[:, None]
    return weights * sample_weight


def check_tokens(token_ids, logits):
    """Refuses targets that do not fit the predictions."""
    expected, received = tuple(logits.shape[:-1]), tuple(token_ids.shape)
    fits = len(expected) == len(received) == 2 and all(
        None in pair or pair[0] == pair[1]
        for pair in zip(expected, received, strict=True)
    )
    if not fits:
        raise ValueError(
            "The targets must be token ids (B, T) and the predictions logits "
            f"(B, T, V). Received: y_true.shape={received}, "
            f"y_pred.shape={tuple(logits.shape)}. The targets are the token ids "
            "without the first, the inputs those without the last."
        )
