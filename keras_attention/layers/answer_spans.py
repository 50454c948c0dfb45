"""Where an answer begins, where it ends if it begins there, and whether there is one.

Letters: B pairs of question and context, T tokens, K beginnings, D width of a token.
"""

import keras
from keras import ops

from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.last_token import LastToken

MASKED = -1e30  # as published: far below any logit, and finite in a loss


@keras.saving.register_keras_serializable("keras_attention")
class AnswerSpans(BaseLayer):
    """Scores where an answer begins and, for each beginning, where it ends.

    Yang et al. 2019, arXiv:1906.08237; `get_qa_outputs` of its code,
    github.com/zihangdai/xlnet. With h the tokens:

        start[t] = h[t] a + a0                                              (B, T)
        end[k, t] = norm(tanh([h[t], h[starts[k]]] W + w)) e + e0           (B, K, T)
        s = h[starts[0]], or sum_t softmax(start)[t] h[t] of an unknown one (B, D)
        unanswerable = tanh([s, h[last]] U + u) v                           (B, 1)

    Args:
        epsilon: Small number in the norm's square root.
        kernel_initializer: Initializer of the kernels.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, boolean, True for a token that is no padding. The last
            such token stands for the whole text.
        answer_mask: `(B, T)`, boolean, True where an answer may begin and end.
        start_positions: `(B, K)`, integers: the first tokens of answers whose ends are
            asked for, as they are known in training; -1 for the k-th most probable one.

    Returns:
        Dict with the logits `start`, `(B, T)`, and `end`, `(B, K, T)`, -1e30 where no
        answer may stand; `starts`, int32 `(B, K)`, the beginnings that were taken; and
        the logits `unanswerable`, `(B, 1)`.

    Raises:
        ValueError: More beginnings are asked for than there are tokens.

    Example:

    >>> inputs, mask = keras.ops.ones((2, 5, 4)), keras.ops.ones((2, 5), "bool")
    >>> found = AnswerSpans()(inputs, mask, mask, keras.ops.full((2, 3), -1, "int32"))
    >>> {name: tuple(x.shape) for name, x in sorted(found.items())}
    {'end': (2, 3, 5), 'start': (2, 5), 'starts': (2, 3), 'unanswerable': (2, 1)}
    """

    def __init__(self, epsilon=1e-12, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.last_token = LastToken(dtype=self.dtype_policy, name="last_token")

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        self.start = self._dense(0, 1, width, "start")
        # One kernel in the published code; what it makes of a beginning is the same for
        # all tokens.
        self.end_tokens = self._dense(1, width, width, "end_tokens")
        self.end_starts = self._dense(2, width, width, "end_starts", use_bias=False)
        self.end_norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=self.dtype_policy, name="end_norm"
        )
        self.end_norm.build((None, None, None, width))
        self.end = self._dense(3, 1, width, "end")
        self.class_hidden = self._dense(4, width, 2 * width, "class_hidden")
        self.class_output = self._dense(5, 1, width, "class_output", use_bias=False)
        self.built = True

    def _dense(self, number, units, width, name, use_bias=True):
        layer = keras.layers.Dense(
            units,
            use_bias=use_bias,
            kernel_initializer=another(self.kernel_initializer, number),
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, width))
        return layer

    def call(self, inputs, padding_mask, answer_mask, start_positions):
        length, count = ops.shape(inputs)[1], ops.shape(start_positions)[1]
        if isinstance(length, int) and isinstance(count, int) and count > length:
            raise ValueError(
                f"An answer begins at one of {length} tokens. Received: "
                f"start_positions.shape={tuple(start_positions.shape)} in layer "
                f"{self.name!r}. Ask for at most as many beginnings."
            )
        answer_mask = ops.cast(answer_mask, "bool")
        start = self._masked(self.start(inputs), answer_mask)  # (B, T)
        _, best = ops.top_k(ops.stop_gradient(start), count)
        is_known = ops.greater_equal(start_positions, 0)
        starts = ops.where(is_known, start_positions, ops.cast(best, "int32"))
        places = ops.arange(length, dtype="int32")
        chosen = ops.equal(starts[..., None], places)  # (B, K, T)

        states = ops.matmul(ops.cast(chosen, inputs.dtype), inputs)  # (B, K, D)
        x = self.end_tokens(inputs)[:, None] + self.end_starts(states)[:, :, None]
        x = self.end_norm(ops.tanh(x))  # (B, K, T, D)
        end = self._masked(self.end(x), answer_mask[:, None])  # (B, K, T)

        weights = ops.cast(ops.softmax(start), inputs.dtype)
        expected = ops.matmul(weights[:, None], inputs)  # (B, 1, D)
        x = ops.where(is_known[:, :1, None], states[:, :1], expected)[:, 0]
        x = ops.concatenate([x, self.last_token(inputs, padding_mask)], axis=-1)
        unanswerable = self.class_output(ops.tanh(self.class_hidden(x)))  # (B, 1)
        return {
            "start": start,
            "starts": starts,
            "end": end,
            "unanswerable": ops.cast(unanswerable, self.wide_dtype),
        }

    def _masked(self, x, answer_mask):
        """Logits from `(..., 1)`, very small where no answer may stand."""
        return ops.where(answer_mask, ops.cast(x[..., 0], self.wide_dtype), MASKED)

    def compute_output_spec(self, inputs, padding_mask, answer_mask, start_positions):
        (size, length, _), count = inputs.shape, start_positions.shape[1]
        return {
            "start": keras.KerasTensor((size, length), self.wide_dtype),
            "starts": keras.KerasTensor((size, count), "int32"),
            "end": keras.KerasTensor((size, count, length), self.wide_dtype),
            "unanswerable": keras.KerasTensor((size, 1), self.wide_dtype),
        }

    def compute_mask(self, inputs, previous_mask):
        return None
