"""Multi-head attention between two sequences, or within one (Vaswani et al. 2017)."""

import keras
from keras import ops

from keras_attention.backend.projection import split_heads
from keras_attention.layers.carried_masks import carry_mask
from keras_attention.layers.multi_head import MultiHead


@keras.saving.register_keras_serializable("keras_attention")
class MultiHeadAttention(MultiHead):
    """Lets each query read the values of another sequence, with several heads.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.2.2:

        head_n  = softmax(query W_q,n . key W_k,n / sqrt(H)) value W_v,n    (B, T, Hv)
        output  = concatenate(head_1, ..., head_N) W_o                     (B, T, D)

    Queries, keys and values may have different widths. Those that are the same tensor
    are projected by one product; for self-attention, `MultiHeadSelfAttention` takes
    the sequence once.

    Args:
        num_heads: Number N of heads.
        key_dim: Width H of a query and a key in one head.
        value_dim: Width Hv of a value in one head. Defaults to `key_dim`.
        num_key_value_heads: Number K of heads of keys and values, which divides
            `num_heads`. Defaults to `num_heads`.
        output_dim: Width of the output. Defaults to that of the queries.
        use_bias: Whether the projections to query, key and value have a bias.
        use_output_bias: Whether the last projection has. Defaults to `use_bias`.
        use_key_bias: Whether that to keys has one. Defaults to `use_bias`.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        window: Integer w: only keys less than w away are read. Or `(left, right)`.
        softcap: Bounds the scores to this size by a tanh.
        use_sinks: Whether each head has a learned sink, which takes weight when
            nothing matches.
        use_gate: Whether the heads' outputs are gated by a sigmoid of the queries.
        query_key_norm: Normalizes queries and keys in each head: `"layer_norm"`,
            `"rms_norm"` or `"cosine"`. Defaults to none.
        rotary_embedding: A `RotaryEmbedding` that turns queries and keys by their
            position.
        position_scores: A layer that adds to the scores what positions tell; see
            `keras_attention.layers.position_scores`.
        scale: Factor of the scores. Defaults to `H ** -0.5`, and to 1 for cosines.
        kernel_initializer: Initializer of each projection.
        output_initializer: Initializer of the last projection. Defaults to
            `kernel_initializer`.
        seed: Integer, for reproducible dropout.

    Call arguments:
        query: `(B, T, Dq)`.
        value: `(B, S, Dv)`, what is read.
        key: `(B, S, Dk)`, what is matched. Defaults to `value`.
        mask: Boolean, True where a query may read: `(B, S)`, `(B, T, S)` or
            `(B, N, T, S)`.
        bias: Added to the scores, broadcastable to `(B, N, T, S)`.
        value_mask: `(B, S)`, boolean, True for a value that is no padding; filled in
            by Keras when an earlier layer computed it.
        key_mask: Likewise for a key.
        query_mask: `(B, T)`, likewise for a query. It is not read, but goes on with the
            output.
        use_causal_mask: Whether query t reads only keys 0 to `t + offset`.
        offset: Position of the first query among the keys: how many they are before
            it, such as those of a memory. It counts for `use_causal_mask`, `window`,
            rotary positions and `position_scores`.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, output_dim)`, and the weights `(B, N, T, S)` if asked.

    Raises:
        ValueError: `num_key_value_heads` does not divide `num_heads`, `key` and
            `value` differ in length, or a mask or a bias does not fit.

    Example:

    >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
    >>> query, value = keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 6))
    >>> output, weights = layer(query, value, return_attention_scores=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 3, 4), (2, 2, 3, 5))
    """

    def build(self, query_shape, value_shape, key_shape=None):
        key_shape = value_shape if key_shape is None else key_shape
        self.build_heads(query_shape[-1], key_shape[-1], value_shape[-1])

    def call(
        self,
        query,
        value,
        key=None,
        mask=None,
        bias=None,
        value_mask=None,
        key_mask=None,
        query_mask=None,
        use_causal_mask=False,
        offset=0,
        return_attention_scores=False,
        training=None,
    ):
        outputs = self.attend_heads(
            query,
            value if key is None else key,
            value,
            masks=(mask, value_mask, key_mask),
            bias=bias,
            positions=None,
            offset=offset,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        return carry_mask(outputs, query_mask)

    def start_cache(self, value, key=None):
        """Projects once what queries will read step by step.

        Args:
            value: `(B, S, Dv)`.
            key: `(B, S, Dk)`. Defaults to `value`.

        Returns:
            Pair of keys `(B, K, S, H)` and values `(B, K, S, Hv)`, for `step`.

        Example:

        >>> layer = MultiHeadAttention(num_heads=2, key_dim=8)
        >>> layer.build((None, 1, 4), (None, 5, 6))
        >>> cache = layer.start_cache(keras.ops.ones((3, 5, 6)))
        >>> output, _ = layer.step(keras.ops.ones((3, 1, 4)), cache)
        >>> tuple(output.shape)
        (3, 1, 4)
        """
        _, key, value = self._project((None, value if key is None else key, value))
        key = self._key_heads(key, positions=None)  # (B, S, K, H)
        value = split_heads(value, self.num_key_value_heads)
        return tuple(ops.transpose(x, (0, 2, 1, 3)) for x in (key, value))

    def step(
        self,
        query,
        cache,
        *,
        mask=None,
        offset=None,
        return_attention_scores=False,
    ):
        """Lets queries read a cache: what `call` gives for the same value.

        Nothing is dropped, and no recorder sees it.

        Args:
            query: `(B, T, Dq)`.
            cache: From `start_cache`. It does not change.
            mask: Boolean, True where a query may read: `(B, S)`, `(B, T, S)` or
                `(B, N, T, S)`.
            offset: Position of the first query among the keys, an integer or a tensor
                without axes, for a layer that asks where queries stand.
            return_attention_scores: Whether to compute the weights.

        Returns:
            `(B, T, output_dim)`, and the weights `(B, N, T, S)` or `None`.

        Raises:
            ValueError: The layer's `window`, `rotary_embedding` or `position_scores`
                asks where the queries stand, and `offset` is not given.
        """
        asked = (self.window, self.rotary_embedding, self.position_scores)
        if offset is None and any(option is not None for option in asked):
            raise ValueError(
                f"Layer {self.name!r} has a `window`, a `rotary_embedding`, by which a "
                "query between two sequences has a position, or `position_scores`. A "
                "step does not know it: pass `offset`, the position of the first query "
                "among the keys, or decode without a cache."
            )
        positions, offset = None, 0 if offset is None else offset
        if self.rotary_embedding is not None:
            positions = offset + ops.arange(ops.shape(query)[1], dtype="int32")
        heads = self._project((query, None, None))[0]
        output, weights = self.read_heads(
            self._query_heads(heads, positions=positions),
            *(ops.transpose(x, (0, 2, 1, 3)) for x in cache),
            kind=None,
            masks=(mask,),
            bias=None,
            offset=offset,
            use_causal_mask=False,
            return_attention_scores=return_attention_scores,
        )
        return self._leave_heads(output, query), weights

    def compute_mask(self, query, previous_mask):
        # It may be the one that was passed for the values; see `carry_mask`.
        return None
