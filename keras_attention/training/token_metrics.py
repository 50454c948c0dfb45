"""Metrics of models that predict tokens: padding does not count.

Letters: B batch, T tokens, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.training.token_losses import check_tokens
from keras_attention.training.token_losses import token_losses
from keras_attention.training.token_losses import token_weights


class TokenMetric(keras.metrics.Mean):
    """A mean over tokens or captions in which padding does not count.

    Abstract.
    """

    def __init__(self, padding_id=0, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.padding_id = padding_id

    def get_config(self):
        return {**super().get_config(), "padding_id": self.padding_id}

    def is_right(self, y_true, y_pred):
        """Where the most probable token is the true one: `(B, T)`, boolean."""
        check_tokens(y_true, y_pred)
        return ops.equal(
            ops.cast(ops.argmax(y_pred, axis=-1), "int32"), ops.cast(y_true, "int32")
        )


@keras.saving.register_keras_serializable("keras_attention")
class TokenAccuracy(TokenMetric):
    """The share of tokens, padding left out, that are predicted.

    Args:
        padding_id: Token id of the padding, or `None` where each token counts.
        name: Name of the metric.
        dtype: Precision of the mean.

    Example:

    >>> metric = TokenAccuracy()
    >>> metric.update_state([[1, 1, 0]], [[[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]])
    >>> float(metric.result())
    0.5
    """

    def __init__(self, padding_id=0, name="token_accuracy", dtype=None):
        super().__init__(padding_id, name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        right = ops.cast(self.is_right(y_true, y_pred), "float32")
        weights = token_weights(y_true, sample_weight, self.padding_id)
        return super().update_state(right, weights)


@keras.saving.register_keras_serializable("keras_attention")
class SequenceAccuracy(TokenMetric):
    """The share of captions whose tokens, padding left out, are all predicted.

    Each token is predicted from the true ones before it. A caption counts here if and
    only if greedy search writes it.

    Args:
        padding_id: Token id of the padding.
        name: Name of the metric.
        dtype: Precision of the mean.

    Example:

    >>> metric = SequenceAccuracy()
    >>> logits = [[[0.0, 1.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]]
    >>> metric.update_state([[1, 0], [1, 1]], logits)
    >>> float(metric.result())
    0.5
    """

    def __init__(self, padding_id=0, name="sequence_accuracy", dtype=None):
        super().__init__(padding_id, name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        is_padding = ops.equal(ops.cast(y_true, "int32"), self.padding_id)
        right = ops.logical_or(self.is_right(y_true, y_pred), is_padding)
        right = ops.cast(ops.all(right, axis=-1), "float32")  # (B,)
        # A row of padding, which fills up a batch, is no caption.
        counted = ops.logical_not(ops.all(is_padding, axis=-1))
        counted = ops.cast(counted, "float32")
        if sample_weight is not None:
            sample_weight = ops.cast(sample_weight, "float32")
            counted = counted * ops.reshape(sample_weight, (-1,))
        return super().update_state(right, counted)


@keras.saving.register_keras_serializable("keras_attention")
class Perplexity(TokenMetric):
    """Among how many tokens a model hesitates: exp of the mean of -log p.

    Args:
        padding_id: Token id of the padding, or `None` where each token counts.
        name: Name of the metric.
        dtype: Precision of the mean.

    Example:

    >>> metric = Perplexity()
    >>> metric.update_state([[3, 0]], np.zeros((1, 2, 8), "float32"))
    >>> float(metric.result())
    8.0
    """

    def __init__(self, padding_id=0, name="perplexity", dtype=None):
        super().__init__(padding_id, name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        check_tokens(y_true, y_pred)
        weights = token_weights(y_true, sample_weight, self.padding_id)
        return super().update_state(token_losses(y_true, y_pred), weights)

    def result(self):
        return ops.exp(super().result())
