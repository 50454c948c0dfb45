"""The decoder of a Transformer (Vaswani et al. 2017)."""

import keras

from keras_attention.layers.transformer_stack import TransformerStack


@keras.saving.register_keras_serializable("keras_attention")
class TransformerDecoder(TransformerStack):
    """Repeats a decoder block, each time with weights of its own.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.1.

    Args:
        block: A `TransformerDecoderBlock`, or a layer of yours that is called as one.
            It is copied, not used itself.
        num_layers: Number of copies.
        drop_path: Fraction of samples whose branches are dropped in the last block;
            in the blocks before it falls linearly to 0. `None` leaves it to the block.
        final_norm: Whether a norm follows the last block. Defaults to whether the
            blocks leave their sum without one (`norm_order` other than `"post"`).
        position_bias: A layer that gives the self-attention of all blocks one bias,
            such as `RelativePositionBias(bidirectional=False)` or `AlibiBias`.

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
        if not return_attention_scores:
            return x
        return (x, *(list(kind) for kind in zip(*weights, strict=True)))
