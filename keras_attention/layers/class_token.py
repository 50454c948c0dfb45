"""Learned tokens in front of a sequence (Dosovitskiy et al. 2021)."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.checks import check_sequence
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class ClassToken(BaseLayer):
    """Puts learned tokens in front of a sequence, where a model gathers its answer.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Equation 1. A second one is DeiT's
    distillation token (Touvron et al. 2021, arXiv:2012.12877); more are registers
    (Darcet et al. 2024, arXiv:2309.16588).

    Args:
        num_tokens: Number of learned tokens.
        initializer: Initializer of the tokens. The paper's code begins with zeros.
        behind: How many tokens of the sequence stay in front of them.

    Call arguments:
        inputs: `(B, T, D)`.

    Returns:
        `(B, num_tokens + T, D)`.

    Example:

    >>> tuple(ClassToken()(keras.ops.ones((2, 5, 8))).shape)
    (2, 6, 8)
    """

    def __init__(self, num_tokens=1, initializer="zeros", behind=0, **kwargs):
        super().__init__(**kwargs)
        check_positive(num_tokens=num_tokens)
        if not isinstance(behind, int) or behind < 0:
            raise ValueError(
                f"`behind` must be a number of tokens, or 0. Received: behind={behind}"
            )
        self.num_tokens = num_tokens
        self.behind = behind
        self.initializer = keras.initializers.get(initializer)

    def build(self, inputs_shape):
        self.tokens = self.add_weight(
            shape=(self.num_tokens, inputs_shape[-1]),
            initializer=self.initializer,
            name="tokens",
        )
        self.built = True

    def call(self, inputs):
        check_sequence(self.name, inputs=inputs)
        shape = (ops.shape(inputs)[0], self.num_tokens, inputs.shape[-1])
        tokens = ops.broadcast_to(ops.cast(self.tokens, inputs.dtype), shape)
        return self._insert(inputs, tokens)

    def compute_mask(self, inputs, previous_mask):
        if previous_mask is None:
            return None
        tokens = ops.ones_like(previous_mask[:, :1])
        tokens = ops.concatenate([tokens] * self.num_tokens, axis=1)
        return self._insert(previous_mask, tokens)

    def _insert(self, x, tokens):
        if self.behind == 0:
            return ops.concatenate([tokens, x], axis=1)
        first, rest = x[:, : self.behind], x[:, self.behind :]
        return ops.concatenate([first, tokens, rest], axis=1)
