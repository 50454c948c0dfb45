"""Scaled dot-product attention, without any weights to train (Vaswani et al. 2017)."""

import keras

from keras_attention.layers.attention_layer import SingleHeadAttention


@keras.saving.register_keras_serializable("keras_attention")
class ScaledDotProduct(SingleHeadAttention):
    """Lets each query read the values whose keys point its way, at any width.

    Vaswani et al. 2017, arXiv:1706.03762, Equation 1:

        scores  = query . key / sqrt(D)              (B, T, S)
        weights = softmax(scores)                    (B, T, S)
        output  = weights @ value                    (B, T, Dv)

    The variance of a dot product grows with the width D. Without the scale, the
    softmax of wide queries is all but one-hot, and its gradients vanish.

    Args:
        dropout: Fraction of weights dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, D)`.
        value: `(B, S, Dv)`, what is read.
        key: `(B, S, D)`, what is matched. Defaults to `value`.
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
        ValueError: Queries and keys differ in width.

    Example:

    >>> layer = ScaledDotProduct()
    >>> query, key = keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 4))
    >>> tuple(layer(query, keras.ops.ones((2, 5, 6)), key).shape)
    (2, 3, 6)
    """

    def __init__(self, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)

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
        return self.read(
            query,
            value if key is None else key,
            value,
            masks=(mask, value_mask, key_mask),
            query_mask=query_mask,
            is_causal=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
