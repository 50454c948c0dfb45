"""The encoder of a Transformer (Vaswani et al. 2017)."""

import keras

from keras_attention.layers.carried_masks import carry_masks
from keras_attention.layers.transformer_stack import TransformerStack


@keras.saving.register_keras_serializable("keras_attention")
class TransformerEncoder(TransformerStack):
    """Repeats an encoder block, each time with weights of its own.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.1:

        encoder = TransformerEncoder(
            TransformerEncoderBlock(num_heads=8, mlp_dim=2048, norm_order="post"),
            num_layers=6,
        )

    Args:
        block: A `TransformerEncoderBlock`, or a layer of yours that is called as one.
            It is copied, not used itself.
        num_layers: Number of layers L. Each runs its own copy, unless groups share.
        drop_path: Fraction of samples whose branches are dropped in the last block;
            in the blocks before it falls linearly to 0 (Huang et al. 2016,
            arXiv:1603.09382, Figure 2). `None` leaves it to the block.
        final_norm: Whether a norm follows the last block. Defaults to whether the
            blocks leave their sum without one (`norm_order` other than `"post"`).
        position_bias: A layer that gives all blocks one bias, such as
            `RelativePositionBias` (T5) or `AlibiBias`.
        attention_scale: List of the factors of the scores, one for each block.
            `None` leaves it to the block.
        window: List of the windows of self-attention, one for each block. `None` leaves
            it to the block.
        num_groups: Number G of groups whose weights neighboring layers share (ALBERT,
            Lan et al. 2020, arXiv:1909.11942, Section 3.1): layer i of L runs group
            `i * G // L`. Defaults to a group for each layer.
        group_size: Number of blocks in a group, which run one after the other.
        beside_first: A layer that is called with the inputs and the outputs of the
            first block and the mask, and gives what the next one reads, such as
            `NeighborConvolution`.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: Boolean, True where a token may read: `(B, T)`, `(B, T, T)` or
            `(B, N, T, T)`.
        bias: Added to the scores in each block, broadcastable to `(B, N, T, T)`.
        inputs_mask: `(B, T)`, boolean, True for a token that is no padding; filled in
            by Keras when an earlier layer computed it.
        use_causal_mask: Whether token t reads only tokens 0 to t.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, D)`, and a list with the weights `(B, N, T, T)` of each block if asked.

    Example:

    >>> from keras_attention.layers import TransformerEncoderBlock
    >>> block = TransformerEncoderBlock(num_heads=2, mlp_dim=32)
    >>> encoder = TransformerEncoder(block, num_layers=3)
    >>> inputs = keras.ops.ones((2, 5, 8))
    >>> output, weights = encoder(inputs, return_attention_scores=True)
    >>> tuple(output.shape), [tuple(w.shape) for w in weights]
    ((2, 5, 8), [(2, 2, 5, 5), (2, 2, 5, 5), (2, 2, 5, 5)])
    """

    def build(self, inputs_shape):
        self.build_stack(inputs_shape)

    def call(
        self,
        inputs,
        mask=None,
        bias=None,
        inputs_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        x, weights = self.run_blocks(
            inputs,
            mask=mask,
            bias=bias,
            inputs_mask=inputs_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        x = carry_masks(x, mask, inputs_mask)
        weights = [self_weights for (self_weights,) in weights]
        return (x, weights) if return_attention_scores else x
