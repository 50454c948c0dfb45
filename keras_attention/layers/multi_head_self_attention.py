"""Multi-head self-attention: a sequence reads itself (Vaswani et al. 2017)."""

import keras
from keras import ops

from keras_attention.backend.programs import filled_slots
from keras_attention.backend.programs import write_slots
from keras_attention.backend.projection import split_heads
from keras_attention.layers.base import token_mask
from keras_attention.layers.carried_masks import carry_masks
from keras_attention.layers.multi_head import MultiHead
from keras_attention.layers.rotary_embedding import RotaryEmbedding
from keras_attention.ops import RelativeBias


@keras.saving.register_keras_serializable("keras_attention")
class MultiHeadSelfAttention(MultiHead):
    """Lets each token of a sequence read the others, with several heads in parallel.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.2.2:

        query, key, value = inputs W_q, inputs W_k, inputs W_v
        head_n  = softmax(query_n . key_n / sqrt(H)) value_n      (B, T, Hv)
        output  = concatenate(head_1, ..., head_N) W_o            (B, T, D)

    Args:
        num_heads: Number N of heads.
        key_dim: Width H of a query and a key in one head.
        value_dim: Width Hv of a value in one head. Defaults to `key_dim`.
        num_key_value_heads: Number K of heads of keys and values, which divides
            `num_heads`: 1 is multi-query (Shazeer 2019, arXiv:1911.02150), between
            is grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245).
            Defaults to `num_heads`.
        output_dim: Width of the output. Defaults to that of the inputs.
        use_bias: Whether the projections to query, key and value have a bias.
        use_output_bias: Whether the last projection has. Defaults to `use_bias`.
        use_key_bias: Whether that to keys has one. Defaults to `use_bias`.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        window: Integer w: only tokens less than w away are read. Or `(left, right)`.
        softcap: Bounds the scores to this size by a tanh.
        use_sinks: Whether each head has a learned sink, which takes weight when
            nothing matches (gpt-oss; Xiao et al. 2024, arXiv:2309.17453).
        use_gate: Whether the heads' outputs are gated by a sigmoid of the inputs (Qiu
            et al. 2025, arXiv:2505.06708, Section 3).
        query_key_norm: Normalizes queries and keys in each head: `"layer_norm"`
            (Dehghani et al. 2023, arXiv:2302.05442), `"rms_norm"`, or `"cosine"` with
            a learned temperature (Liu et al. 2022, arXiv:2111.09883). Defaults to
            none.
        rotary_embedding: A `RotaryEmbedding` that turns queries and keys by their
            position.
        position_scores: A layer that adds to the scores what positions tell, such as
            `AlibiBias`, or one of yours; see `keras_attention.layers.position_scores`.
        scale: Factor of the scores. Defaults to `H ** -0.5`, and to 1 for cosines.
        kernel_initializer: Initializer of each projection.
        output_initializer: Initializer of the last projection. Defaults to
            `kernel_initializer`.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: Boolean, True where a token may read: `(B, T)`, `(B, T, T)` or
            `(B, N, T, T)`.
        bias: Added to the scores, broadcastable to `(B, N, T, T)`.
        positions: `(T,)` or `(B, T)` integers for the rotary embedding, when the
            tokens are not at 0, 1, 2, ...
        inputs_mask: `(B, T)`, boolean, True for a token that is no padding; filled in
            by Keras when an earlier layer computed it.
        use_causal_mask: Whether token t reads only tokens 0 to t.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, output_dim)`, and the weights `(B, N, T, T)` if asked.

    Raises:
        ValueError: `num_key_value_heads` does not divide `num_heads`, or a mask or a
            bias does not fit.

    Example:

    >>> layer = MultiHeadSelfAttention(num_heads=4, key_dim=8, num_key_value_heads=2)
    >>> inputs = keras.ops.ones((2, 5, 16))
    >>> output, weights = layer(
    ...     inputs, use_causal_mask=True, return_attention_scores=True
    ... )
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 5, 16), (2, 4, 5, 5))
    """

    def build(self, inputs_shape):
        self.build_heads(inputs_shape[-1], inputs_shape[-1], inputs_shape[-1])

    def call(
        self,
        inputs,
        mask=None,
        bias=None,
        positions=None,
        inputs_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        outputs = self.attend_heads(
            inputs,
            inputs,
            inputs,
            masks=(mask, inputs_mask),
            bias=bias,
            positions=positions,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        return carry_masks(outputs, mask, inputs_mask)

    def start_cache(self, batch_size, length):
        """Makes room for the keys and values of tokens that are read step by step.

        Args:
            batch_size: B.
            length: Most tokens S, one a slot.

        Returns:
            Pair of zeros `(B K, S, H)` and `(B K, S, Hv)`, for `step`. The heads of a
            sequence are neighbours: of this form XLA changes a slot in place.

        Example:

        >>> layer = MultiHeadSelfAttention(num_heads=2, key_dim=8)
        >>> layer.build((None, None, 4))
        >>> cache = layer.start_cache(3, 10)
        >>> output, cache, _ = layer.step(keras.ops.ones((3, 5, 4)), cache, length=0)
        >>> output, cache, _ = layer.step(keras.ops.ones((3, 1, 4)), cache, length=5)
        >>> tuple(output.shape), tuple(cache[0].shape)
        ((3, 1, 4), (6, 10, 8))
        """
        shape = (batch_size * self.num_key_value_heads, length)
        return tuple(
            ops.zeros((*shape, width), self.compute_dtype)
            for width in (self.key_dim, self.value_dim)
        )

    def step(
        self,
        inputs,
        cache,
        *,
        length,
        mask=None,
        bias=None,
        positions=None,
        return_attention_scores=False,
    ):
        """Reads T more tokens, which also read those before: causal attention.

        It gives what `call` gives for the whole sequence with `use_causal_mask=True`.
        Nothing is dropped, and no recorder sees it.

        Args:
            inputs: `(B, T, D)`.
            cache: From `start_cache` or the step before. It must not be used again, as
                PyTorch writes into it.
            length: How many slots are filled: an integer, or a tensor without axes.
            mask: `(B, S)`, boolean, True for a slot that holds no padding, or will
                not.
            bias: Added to the scores, broadcastable to `(B, N, T, S)`.
            positions: `(B, T)` integers below S for the rotary embedding, when the
                tokens are not at the places of their slots.
            return_attention_scores: Whether to compute the weights.

        Returns:
            `(B, T, output_dim)`, the cache with the tokens, and the weights
            `(B, N, T, S)` or `None`. Where the length is an integer, what follows the
            last token may be left out of the weights.

        Raises:
            ValueError: The cache has less room, where the length is an integer.
        """
        query, key, value = self._project((inputs, inputs, inputs))
        count, slots = inputs.shape[1], cache[0].shape[1]
        if isinstance(length, int) and None not in (count, slots):
            if length + count > slots:
                raise ValueError(
                    f"The cache of layer {self.name!r} has room for {slots} tokens. "
                    f"Received: {count} more after {length}. Make room for all of them "
                    "by `start_cache`."
                )
        places = {}
        if self.rotary_embedding is not None:
            if positions is None:
                positions = length + ops.arange(count, dtype="int32")
            places = {"positions": positions}
            if isinstance(self.rotary_embedding, RotaryEmbedding):
                places["max_length"] = slots
        query = self._query_heads(query, **places)  # (B, T, N, H)
        key = self._key_heads(key, **places)  # (B, T, K, H)
        value = split_heads(value, self.num_key_value_heads)  # (B, T, K, Hv)
        cache = tuple(
            self._write(rows, x, length)
            for rows, x in zip(cache, (key, value), strict=True)
        )
        size = count
        if not (isinstance(length, int) and length == 0):  # else nothing is before
            size = filled_slots(length, count, slots)
            key, value = (self._read(rows, size) for rows in cache)
        is_table = isinstance(bias, RelativeBias)
        output, weights = self.read_heads(
            query,
            key,
            value,
            kind=None,
            masks=(None if mask is None else mask[:, :size],),
            bias=bias if bias is None or is_table else bias[..., :size],
            offset=length,
            use_causal_mask=True,
            return_attention_scores=return_attention_scores,
        )
        return self._leave_heads(output, inputs), cache, weights

    def _write(self, rows, heads, length):
        """Writes heads `(B, T, K, H)` into the rows `(B K, S, H)` of a cache."""
        heads = ops.transpose(heads, (0, 2, 1, 3))
        return write_slots(rows, ops.reshape(heads, (-1, *heads.shape[2:])), length)

    def _read(self, rows, size):
        """The first tokens in the rows `(B K, S, H)` of a cache, `(B, size, K, H)`."""
        shape = (-1, self.num_key_value_heads, size, rows.shape[2])
        return ops.transpose(ops.reshape(rows[:, :size], shape), (0, 2, 1, 3))

    def compute_mask(self, inputs, previous_mask):
        return token_mask(previous_mask)
