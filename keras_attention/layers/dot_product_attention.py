"""Dot-product attention with one head (Luong et al. 2015)."""

import keras

from keras_attention.backend.products import matmul
from keras_attention.checks import check_choice
from keras_attention.layers.attention_layer import SingleHeadAttention


@keras.saving.register_keras_serializable("keras_attention")
class DotProductAttention(SingleHeadAttention):
    """Lets each query read the values whose keys point its way.

    Luong et al. 2015, arXiv:1508.04025, Equation 8, and Vaswani et al. 2017,
    arXiv:1706.03762, Equation 1:

        scores  = query . key                        "dot"
                  query . W key                      "general"
                  query . key / sqrt(D)              "scaled"      (B, T, S)
        weights = softmax(scores)                                  (B, T, S)
        output  = weights @ value                                  (B, T, Dv)

    Args:
        score: `"dot"`, `"general"` or `"scaled"`.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, Dq)`.
        value: `(B, S, Dv)`, what is read.
        key: `(B, S, Dk)`, what is matched. Defaults to `value`.
        mask: `(B, S)` or `(B, T, S)`, boolean, True where a query may read.
        value_mask: `(B, S)`, boolean, True for a value that is no padding; filled in
            by Keras when an earlier layer computed it.
        key_mask: Likewise for a key.
        query_mask: `(B, T)`, likewise for a query. It is not read, but goes on with the
            output.
        use_causal_mask: Whether query t reads only keys 0 to t.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, Dv)`, and the weights `(B, T, S)` if asked.

    Raises:
        ValueError: Queries and keys differ in width, and `score` is not `"general"`.

    Example:

    >>> layer = DotProductAttention(score="general")
    >>> query, value = keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 6))
    >>> tuple(layer(query=query, value=value).shape)
    (2, 3, 6)
    """

    def __init__(self, score="dot", dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        check_choice(("dot", "general", "scaled"), score=score)
        self.score = score

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self.kernel = None
        if self.score == "general":
            self.kernel = self.add_weight(
                shape=(query_shape[-1], key_shape[-1]), name="kernel"
            )
        elif query_shape[-1] != key_shape[-1]:
            raise ValueError(
                f"Queries and keys must have the same width for score={self.score!r}. "
                f"Received: query.shape={tuple(query_shape)}, "
                f"key.shape={tuple(key_shape)} in layer {self.name!r}. "
                'Use score="general", which learns a matrix between them.'
            )
        self.built = True

    def call(
        self,
        query,
        value,
        key=None,
        mask=None,
        value_mask=None,
        key_mask=None,
        query_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        if self.kernel is not None:
            query = matmul(query, self.kernel)
        return self.read(
            query,
            value if key is None else key,
            value,
            scale=None if self.score == "scaled" else 1.0,
            masks=(mask, value_mask, key_mask),
            query_mask=query_mask,
            is_causal=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
