"""Additive attention, the first of all (Bahdanau et al. 2015)."""

import keras

from keras_attention.checks import check_positive
from keras_attention.layers.attention_layer import SingleHeadAttention
from keras_attention.ops import additive_scores


@keras.saving.register_keras_serializable("keras_attention")
class AdditiveAttention(SingleHeadAttention):
    """Lets each query read the values whose keys match it, scored by a small network.

    Bahdanau et al. 2015, arXiv:1409.0473, Section 3.1 and Appendix A.1.2:

        scores  = v . tanh(W_q query + W_k key)      (B, T, S)
        weights = softmax(scores)                    (B, T, S)
        output  = weights @ value                    (B, T, Dv)

    In a decoder that reads the same keys at every step, `project_keys` computes
    W_k key once, and the steps take it as `projected_key`.

    Args:
        units: Width of the scoring network.
        use_bias: Whether the scoring network has a bias. The paper's has none, that
            of Show, Attend and Tell has one.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, Dq)`, for a decoder its previous state.
        value: `(B, S, Dv)`, what is read.
        key: `(B, S, Dk)`, what is matched. Defaults to `value`.
        mask: `(B, S)` or `(B, T, S)`, boolean, True where a query may read.
        projected_key: `(B, S, units)`, from `project_keys`, in place of `key`.
        value_mask: `(B, S)`, boolean, True for a value that is no padding; filled in
            by Keras when an earlier layer computed it.
        key_mask: Likewise for a key.
        query_mask: `(B, T)`, likewise for a query. It is not read, but goes on with the
            output.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, Dv)`, and the weights `(B, T, S)` if asked.

    Raises:
        ValueError: `key` and `value` differ in length, or the mask does not fit.

    Example:

    >>> layer = AdditiveAttention(units=8)
    >>> query, value = keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 6))
    >>> tuple(layer(query=query, value=value).shape)
    (2, 3, 6)
    """

    def __init__(self, units, use_bias=False, dropout=0.0, seed=None, **kwargs):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        check_positive(units=units)
        self.units = units
        self.use_bias = use_bias

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self.query_kernel = self.add_kernel(
            "query_kernel", (query_shape[-1], self.units)
        )
        self.key_kernel = self.add_kernel("key_kernel", (key_shape[-1], self.units))
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.units,), initializer="zeros", name="bias"
            )
        # A column, so that its fan is that of a layer with one unit.
        self.score_kernel = self.add_weight(shape=(self.units, 1), name="score_kernel")
        self.built = True

    def project_keys(self, key):
        """Computes the keys' part of the scores.

        Args:
            key: `(B, S, Dk)`.

        Returns:
            `(B, S, units)`.
        """
        return self.project(key, self.key_kernel, self.bias)

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        kernels = {"query": self.query_kernel, "key": self.key_kernel}
        return [(name, kernel, 0, self.units) for name, kernel in kernels.items()]

    def call(
        self,
        query,
        value,
        key=None,
        mask=None,
        projected_key=None,
        value_mask=None,
        key_mask=None,
        query_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        if projected_key is None:
            projected_key = self.project_keys(value if key is None else key)
        return self.read(
            self.project(query, self.query_kernel),
            projected_key,
            value,
            score=lambda query, key: additive_scores(
                query, key, self.score_kernel[:, 0]
            ),
            masks=(mask, value_mask, key_mask),
            query_mask=query_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
