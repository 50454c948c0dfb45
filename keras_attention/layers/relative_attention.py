"""Self-attention that knows distances, a memory, segments and a second stream.

Dai et al. 2019, arXiv:1901.02860 (Transformer-XL); Yang et al. 2019, arXiv:1906.08237
(XLNet).

Letters: B batch, T tokens, M queries of the second stream, P tokens of the memory, S =
P + T tokens that are read, N heads, H width of a head, D width of a token.
"""

import keras
from keras import ops

from keras_attention.backend.projection import split_heads
from keras_attention.layers.base import another
from keras_attention.layers.multi_head import MultiHead
from keras_attention.layers.relative_scores import RelativeScores


@keras.saving.register_keras_serializable("keras_attention")
class RelativeAttention(MultiHead):
    """Lets tokens read each other and what stood before them, by their distances.

    Keys and values are of the memory and of the tokens. A second stream, of queries
    that know where they stand but not which token stands there, reads the same keys and
    values (Yang et al. 2019, Section 2.3, Equations 3 and 4). With segments

        score[t, s] += (q[t] + b) e

    where e is one of two vectors: for two tokens of one segment, or of two (Section
    2.5). See `RelativeScores` for the other terms.

    Args:
        num_heads: N.
        key_dim: H.
        hidden_dim: D.
        use_segments: Whether the scores know segments.
        max_distance: See `RelativeScores`.
        second_half_reversed: See `RelativeScores`.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        distance_dropout: Fraction of distances dropped.
        kernel_initializer: Initializer of all weights.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`.
        queries: `(B, M, D)`, the second stream, or `None`.
        memory: `(B, P, D)`, or `None`.
        mask: Boolean, True where a token may read: `(B, S)`, `(B, T, S)` or
            `(B, N, T, S)`.
        mask_of_queries: Likewise, for queries at the places of the tokens.
        same_segment: `(B, T, S)`, True where both are of one segment.
        places: `(B, M, T)`, 1 at the place of each query of the second stream, else 0.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, D)` and, of the second stream, `(B, M, D)` or `None`; then, if asked,
        the weights `(B, N, T, S)` of both.

    Example:

    >>> layer = RelativeAttention(num_heads=2, key_dim=3, hidden_dim=6)
    >>> inputs, memory = keras.ops.ones((1, 5, 6)), keras.ops.ones((1, 4, 6))
    >>> output, _ = layer(inputs, memory=memory)
    >>> tuple(output.shape)
    (1, 5, 6)
    """

    def __init__(
        self,
        num_heads,
        key_dim,
        hidden_dim,
        use_segments=False,
        max_distance=None,
        second_half_reversed=False,
        dropout=0.0,
        distance_dropout=0.0,
        kernel_initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        scores = RelativeScores(
            hidden_dim,
            max_distance,
            second_half_reversed,
            another(keras.initializers.get(kernel_initializer), 5),
            distance_dropout,
            seed,
            dtype=kwargs.get("dtype"),
            name="position_scores",
        )
        super().__init__(
            num_heads,
            key_dim,
            use_bias=False,
            dropout=dropout,
            position_scores=scores,
            kernel_initializer=kernel_initializer,
            seed=seed,
            **kwargs,
        )
        self.hidden_dim = hidden_dim
        self.use_segments = use_segments
        self.max_distance = max_distance
        self.second_half_reversed = second_half_reversed
        self.distance_dropout = distance_dropout

    def build(self, inputs_shape, *others):
        self.build_heads(inputs_shape[-1], inputs_shape[-1], inputs_shape[-1])
        if self.use_segments:
            heads = self.num_heads, self.key_dim
            self.segment_bias = self.add_weight(
                heads, another(self.kernel_initializer, 8), name="segment_bias"
            )
            self.segment_table = self.add_weight(
                (2, *heads), another(self.kernel_initializer, 9), name="segment_table"
            )

    def call(
        self,
        inputs,
        queries=None,
        memory=None,
        mask=None,
        mask_of_queries=None,
        same_segment=None,
        places=None,
        return_attention_scores=False,
        training=None,
    ):
        read, offset = inputs, 0
        if memory is not None:
            read = ops.concatenate([memory, inputs], axis=1)  # (B, S, D)
            offset = ops.shape(memory)[1]
        query, key, value = self._project((inputs, read, read))
        heads = {
            "key": self._key_heads(key),  # (B, S, N, H)
            "value": split_heads(value, self.num_heads),
            "same_segment": same_segment,
            "offset": offset,
            "return_attention_scores": return_attention_scores,
            "training": training,
        }
        query = self._query_heads(query)  # (B, T, N, H)
        output, weights = self._read(query, mask, **heads)
        outputs, all_weights = [self._leave_heads(output, inputs), None], [weights]
        if queries is not None:
            query = self._query_heads(self._project((queries, None, None))[0])
            query = ops.einsum("bmt,bmnh->btnh", places, query)
            output, weights = self._read(query, mask_of_queries, **heads)
            output = ops.einsum("bmt,btnh->bmnh", places, output)
            outputs[1] = self._leave_heads(output, queries)
            all_weights.append(weights)
        if return_attention_scores:
            return (*outputs, *all_weights)
        return tuple(outputs)

    def _read(self, query, mask, same_segment, **options):
        return self.read_heads(
            query,
            kind="self",
            masks=(mask,),
            bias=self._scores_of_segments(query, same_segment),
            use_causal_mask=False,
            **options,
        )

    def _scores_of_segments(self, query, same_segment):
        """What segments add to the scores, `(B, N, T, S)`, or `None`."""
        if not self.use_segments or same_segment is None:
            return None
        query = query + ops.cast(self.segment_bias, query.dtype)
        table = ops.cast(self.segment_table, query.dtype)
        scores = ops.einsum("btnh,enh->ebnt", query, table) * self.key_dim**-0.5
        same, other = scores[0][..., None], scores[1][..., None]
        return ops.where(same_segment[:, None], same, other)

    def compute_mask(self, inputs, previous_mask):
        return None
