"""Global and local attention (Luong et al. 2015).

Letters: B batch, T queries, S keys, U width of the scoring network.
"""

import keras
from keras import ops

from keras_attention.backend.products import matmul
from keras_attention.backend.products import tanh
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.layers.attention_layer import SingleHeadAttention
from keras_attention.ops import additive_scores
from keras_attention.ops import combine_masks

SCORES = ("dot", "general", "concat")
ALIGNMENTS = ("global", "monotonic", "predictive")


@keras.saving.register_keras_serializable("keras_attention")
class LuongAttention(SingleHeadAttention):
    """Lets each query read all of the source, or what is near one place of it.

    Luong et al. 2015, arXiv:1508.04025, Sections 3.1 and 3.2:

        scores  = query . key                                 "dot"
                  query . W_a key                             "general"
                  v_a . tanh(W_a [query, key])                "concat"     (B, T, S)
        weights = softmax(scores)                             "global"     (B, T, S)
        output  = weights @ value                                          (B, T, Dv)

    Local attention reads the keys s with |s - p_t| <= D only, and its softmax is over
    these. Either p_t is t, in steps with the source ("monotonic", local-m), or it is
    predicted ("predictive", local-p), with L the number of keys that are no padding and
    s counted from 1:

        p_t     = L sigmoid(v_p . tanh(W_p query))                         (B, T)
        weights = softmax(scores) exp(-(s - p_t)^2 / (2 (D / 2)^2))        (B, T, S)

    These weights sum to less than 1. A query that is far from every key reads nothing.

    Args:
        score: `"dot"`, `"general"` or `"concat"`.
        alignment: `"global"`, `"monotonic"` or `"predictive"`.
        window: D, how far from p_t local attention reads.
        units: U, width of the network of `"concat"`. Defaults to that of a query.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, Dq)`, for a decoder its state.
        value: `(B, S, Dv)`, what is read.
        key: `(B, S, Dk)`, what is matched. Defaults to `value`.
        mask: `(B, S)`, boolean, True where queries may read.
        positions: `(B, T)`, p_t of monotonic attention, counted from 0. Defaults to
            0, 1, ..., T - 1.
        projected_key: From `project_keys`, in place of `key`.
        value_mask: `(B, S)`, boolean, True for a value that is no padding; filled in
            by Keras when an earlier layer computed it.
        key_mask: Likewise for a key.
        query_mask: `(B, T)`, likewise for a query. It is not read, but goes on with the
            output.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, Dv)`, and the weights `(B, T, S)` if asked.

    Raises:
        ValueError: Queries and keys differ in width, and the score is `"dot"`.

    Example:

    >>> layer = LuongAttention("general", alignment="monotonic", window=1)
    >>> query, value = keras.ops.ones((1, 3, 4)), keras.ops.ones((1, 5, 6))
    >>> _, weights = layer(query, value, return_attention_scores=True)
    >>> keras.ops.convert_to_numpy(weights).round(3)[0].tolist()[0]
    [0.5, 0.5, 0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        score="general",
        alignment="global",
        window=10,
        units=None,
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        check_choice(SCORES, score=score)
        check_choice(ALIGNMENTS, alignment=alignment)
        check_positive(window=window)
        if units is not None:
            check_positive(units=units)
        self.score = score
        self.alignment = alignment
        self.window = window
        self.units = units

    def build(self, query_shape, value_shape, key_shape=None):
        query_dim = query_shape[-1]
        key_dim = (value_shape if key_shape is None else key_shape)[-1]
        self.kernel = self.query_kernel = self.position_kernel = None
        if self.score == "dot" and query_dim != key_dim:
            raise ValueError(
                'Queries and keys must have the same width for score="dot". Received: '
                f"widths {query_dim} and {key_dim} in layer {self.name!r}. Use "
                'score="general", which learns a matrix between them.'
            )
        if self.score == "general":
            self.kernel = self.add_kernel("kernel", (query_dim, key_dim))
        if self.score == "concat":
            units = self.units or query_dim
            self.query_kernel = self.add_kernel("query_kernel", (query_dim, units))
            self.kernel = self.add_kernel("kernel", (key_dim, units))
            self.score_kernel = self.add_weight(shape=(units, 1), name="score_kernel")
        if self.alignment == "predictive":
            self.position_kernel = self.add_kernel(
                "position_kernel", (query_dim, query_dim)
            )
            self.position_output = self.add_weight(
                shape=(query_dim, 1), name="position_output"
            )
        self.built = True

    def project_keys(self, key):
        """Computes what of the scores is the same for all queries.

        Args:
            key: `(B, S, Dk)`.

        Returns:
            `(B, S, U)` with `"concat"`, else the keys.
        """
        return self.project(key, self.kernel) if self.score == "concat" else key

    def predict_positions(self, query, num_keys):
        """Where local-p reads (Equation 9).

        Args:
            query: `(B, T, Dq)`.
            num_keys: `(B, 1)`, L.

        Returns:
            `(B, T)` in float32, from 0 to L.
        """
        hidden = tanh(self.project(query, self.position_kernel))
        hidden = matmul(hidden, self.position_output)[:, :, 0]
        return num_keys * ops.sigmoid(ops.cast(hidden, self.wide_dtype))

    def distances(self, query, num_keys, length, positions):
        """How far each key is from p_t: `(B, T, S)`, in float32."""
        keys = ops.arange(length, dtype=self.wide_dtype)
        if self.alignment == "predictive":
            return keys + 1 - self.predict_positions(query, num_keys)[:, :, None]
        if positions is None:
            positions = ops.arange(ops.shape(query)[1], dtype="int32")[None]  # (1, T)
        return keys - ops.cast(positions, self.wide_dtype)[:, :, None]

    def call(
        self,
        query,
        value,
        key=None,
        mask=None,
        positions=None,
        projected_key=None,
        value_mask=None,
        key_mask=None,
        query_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        if projected_key is None:
            projected_key = self.project_keys(value if key is None else key)
        options, masks = {}, [mask, value_mask, key_mask]
        if self.alignment != "global":
            length = ops.shape(value)[1]
            num_keys = ops.cast(length, self.wide_dtype)
            readable = combine_masks(mask, value_mask, key_mask)
            if readable is not None and self.alignment == "predictive":
                readable = ops.cast(readable, self.wide_dtype)
                readable = ops.reshape(readable, (-1, length))
                num_keys = ops.sum(readable, axis=1, keepdims=True)  # (B, 1)
            distances = self.distances(query, num_keys, length, positions)
            # What is equal to all sources of a batch has one row.
            masks.append(ops.abs(distances) <= self.window)
        if self.alignment == "predictive":
            closeness = ops.exp(-(distances**2) / (2 * (self.window / 2) ** 2))
            options["change_weights"] = lambda weights: (
                weights * ops.cast(closeness, weights.dtype)[:, None]
            )
        if self.score == "concat":
            query = self.project(query, self.query_kernel)
            options["score"] = lambda query, key: additive_scores(
                query, key, self.score_kernel[:, 0]
            )
        elif self.score == "general":
            query = self.project(query, self.kernel)
        return self.read(
            query,
            projected_key,
            value,
            scale=1.0,
            masks=masks,
            query_mask=query_mask,
            return_attention_scores=return_attention_scores,
            training=training,
            **options,
        )

    def compute_output_spec(
        self,
        query,
        value,
        key=None,
        mask=None,
        positions=None,
        projected_key=None,
        value_mask=None,
        key_mask=None,
        query_mask=None,
        return_attention_scores=False,
        training=None,
    ):
        batch_size, num_queries, _ = query.shape
        shape = (batch_size, num_queries, value.shape[-1])
        output = keras.KerasTensor(shape, self.compute_dtype)
        if return_attention_scores:
            shape = (batch_size, num_queries, value.shape[1])
            return output, keras.KerasTensor(shape, self.compute_dtype)
        return output
