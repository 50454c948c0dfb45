"""The decoder of a Transformer (Vaswani et al. 2017)."""

import keras
from keras import ops

from keras_attention.backend.programs import filled_slots
from keras_attention.layers.carried_masks import carry_masks
from keras_attention.layers.position_scores import takes_offset
from keras_attention.layers.transformer_decoder_block import check_cache
from keras_attention.layers.transformer_stack import TransformerStack


@keras.saving.register_keras_serializable("keras_attention")
class TransformerDecoder(TransformerStack):
    """Repeats a decoder block, each time with weights of its own.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.1.

    Args:
        block: A `TransformerDecoderBlock`, or a layer of yours that is called as one.
            It is copied, not used itself.
        num_layers: Number of layers L. Each runs its own copy, unless groups share.
        drop_path: Fraction of samples whose branches are dropped in the last block;
            in the blocks before it falls linearly to 0. `None` leaves it to the block.
        final_norm: Whether a norm follows the last block. Defaults to whether the
            blocks leave their sum without one (`norm_order` other than `"post"`).
        position_bias: A layer that gives the self-attention of all blocks one bias,
            such as `RelativePositionBias(bidirectional=False)` or `AlibiBias`.
        attention_scale: List of the factors of the scores, one for each block.
            `None` leaves it to the block.
        window: List of the windows of self-attention, one for each block. `None` leaves
            it to the block.
        num_groups: Number G of groups whose weights neighboring layers share (ALBERT,
            Lan et al. 2020, arXiv:1909.11942, Section 3.1): layer i of L runs group
            `i * G // L`. Defaults to a group for each layer.
        group_size: Number of blocks in a group, which run one after the other.
        beside_first: A layer that is called with the inputs and the outputs of the
            first block and the mask, and gives what the next one reads. Where it reads
            its neighbors, the sequence cannot be written step by step.

    Call arguments:
        inputs: `(B, T, D)`.
        encoder_outputs: `(B, S, De)`, what cross-attention reads.
        mask: Boolean, True where a token may read another: `(B, T)`, `(B, T, T)` or
            `(B, N, T, T)`.
        bias: Added to the scores of self-attention, broadcastable to `(B, N, T, T)`.
        encoder_outputs_mask: Boolean, True where a token may read the encoder's
            outputs: `(B, S)`, `(B, T, S)` or `(B, N, T, S)`.
        inputs_mask: `(B, T)`, boolean, True for a token that is no padding.
        use_causal_mask: Whether token t reads only tokens 0 to t.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, D)`; if asked also a list with the weights `(B, N, T, T)` of each
        block's self-attention, and, with cross-attention, a list `(B, N, T, S)`.

    Example:

    >>> from keras_attention.layers import TransformerDecoderBlock
    >>> block = TransformerDecoderBlock(num_heads=2, mlp_dim=32)
    >>> decoder = TransformerDecoder(block, num_layers=3)
    >>> tokens, encoded = keras.ops.ones((2, 4, 8)), keras.ops.ones((2, 5, 8))
    >>> tuple(decoder(tokens, encoded).shape)
    (2, 4, 8)
    """

    def build(self, inputs_shape, encoder_outputs_shape=None):
        self.build_stack(inputs_shape, encoder_outputs_shape)

    def call(
        self,
        inputs,
        encoder_outputs=None,
        mask=None,
        bias=None,
        encoder_outputs_mask=None,
        inputs_mask=None,
        use_causal_mask=True,
        return_attention_scores=False,
        training=None,
    ):
        x, weights = self.run_blocks(
            inputs,
            encoder_outputs,
            mask=mask,
            bias=bias,
            encoder_outputs_mask=encoder_outputs_mask,
            inputs_mask=inputs_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        x = carry_masks(x, mask, inputs_mask)
        if not return_attention_scores:
            return x
        return (x, *(list(kind) for kind in zip(*weights, strict=True)))

    def start_cache(self, batch_size, length):
        """Makes room for the keys and values of each block.

        Args:
            batch_size: B.
            length: Most tokens S, one a slot.

        Returns:
            List with the cache of each block, for `step`.

        Raises:
            ValueError: A block has no cache, or `position_bias` cannot begin at a
                later token.

        Example:

        >>> from keras_attention.layers import TransformerDecoderBlock
        >>> block = TransformerDecoderBlock(2, mlp_dim=32, use_cross_attention=False)
        >>> decoder = TransformerDecoder(block, num_layers=3)
        >>> tokens = keras.random.normal((2, 5, 8))
        >>> whole = decoder(tokens)
        >>> cache = decoder.start_cache(2, 10)
        >>> first, cache, _ = decoder.step(tokens[:, :4], cache, length=0)
        >>> last, cache, _ = decoder.step(tokens[:, 4:], cache, length=4)
        >>> bool(keras.ops.max(keras.ops.abs(last - whole[:, 4:])) < 1e-4)
        True
        """
        if self.position_bias is not None and not takes_offset(self.position_bias):
            raise ValueError(
                f"The position_bias of layer {self.name!r} is a "
                f"{type(self.position_bias).__name__}, which cannot give the bias of "
                "one token among others. Let its `call` take `(query, key, offset)`, "
                "as AlibiBias does."
            )
        if self.beside_first is not None:
            raise ValueError(
                f"Layer {self.name!r} has `beside_first`, which reads neighboring "
                "tokens, so it cannot read a sequence step by step. Call it with whole "
                "sequences."
            )
        for block in self.blocks:
            check_cache(block)
        return [block.start_cache(batch_size, length) for block in self.running_blocks]

    def read_encoder(self, encoder_outputs):
        """Projects the encoder's outputs once for all steps.

        Args:
            encoder_outputs: `(B, S, De)`, or `None` without cross-attention.

        Returns:
            List with what each block reads, for `step`.
        """
        for block in self.blocks:
            check_cache(block)
        return [block.read_encoder(encoder_outputs) for block in self.running_blocks]

    def step(
        self,
        inputs,
        cache,
        *,
        length,
        encoded=None,
        mask=None,
        encoder_outputs_mask=None,
        positions=None,
        return_attention_scores=False,
    ):
        """Reads T more tokens: what `call` gives for them in the whole sequence.

        Args:
            inputs: `(B, T, D)`. With cross-attention also `(B X, T, D)`, where X
                neighbours read the same of the B sequences of the encoder.
            cache: From `start_cache` or the step before. It must not be used again.
            length: How many slots are filled: an integer, or a tensor without axes.
            encoded: From `read_encoder`; `None` without cross-attention.
            mask: `(B, S)`, boolean, True for a slot that holds no padding. What a
                sequence has of it stands in front (left padding), or positions and
                windows would count it.
            encoder_outputs_mask: `(B, S)`, boolean, True for an output of the encoder
                that is no padding.
            positions: `(B, T)` integers below S for rotary embeddings.
            return_attention_scores: Whether to compute the weights.

        Returns:
            `(B, T, D)`; the next cache; and a list of the weights `(B, N, T, S)` of
            each block's self-attention and, if there is any, of its cross-attention: a
            list for each block; or an empty list. Where the length is an integer, what
            follows the last token may be left out of the weights of self-attention.
        """
        x = ops.cast(inputs, self.compute_dtype)
        bias = self._bias(length, x, cache)
        encoded = [None] * len(cache) if encoded is None else encoded
        caches, weights = [], []
        for block, block_cache, block_encoded in zip(
            self.running_blocks, cache, encoded, strict=True
        ):
            x, block_cache, block_weights = block.step(
                x,
                block_cache,
                length=length,
                encoded=block_encoded,
                mask=mask,
                bias=bias,
                encoder_outputs_mask=encoder_outputs_mask,
                positions=positions,
                return_attention_scores=return_attention_scores,
            )
            caches.append(block_cache)
            weights.append(block_weights)
        if self.final_norm:
            x = self.norm(x)
        return x, caches, weights if return_attention_scores else []

    def _bias(self, length, x, cache):
        """The bias of the new tokens `(1, N, T, S)`, or `None`."""
        if self.position_bias is None:
            return None
        size = filled_slots(length, x.shape[1], cache[0][0].shape[1])
        return self.scores_of_all(x, cache[0][0][:, :size], offset=length)
