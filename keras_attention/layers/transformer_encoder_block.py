"""The block of a Transformer's encoder (Vaswani et al. 2017)."""

import keras
from keras import ops

from keras_attention.layers.carried_masks import carry_masks
from keras_attention.layers.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.shared_parts import build_once
from keras_attention.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable("keras_attention")
class TransformerEncoderBlock(TransformerBlock):
    """Lets the tokens read each other, then transforms each by itself.

    Vaswani et al. 2017, arXiv:1706.03762, Figure 1 (left); the norm in front of each
    branch: Xiong et al. 2020, arXiv:2002.04745, Figure 1 (b):

        x = inputs + self_attention(norm(inputs))
        output = x + feed_forward(norm(x))

    To change one thing in attention and keep the rest, pass a layer of your own as
    `attention`. It is called as `MultiHeadSelfAttention` is, with `mask`, `bias`,
    `inputs_mask`, `use_causal_mask` and `return_attention_scores`.

    Args:
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward network's hidden layer.
        key_dim: Width of a head. Defaults to the width of a token over `num_heads`.
        activation: Activation of the feed-forward network; see `FeedForward`.
        dropout: Fraction of each branch's output dropped in training, from 0 to 1.
        attention_dropout: Fraction of attention weights dropped.
        mlp_dropout: Fraction of the feed-forward network's hidden layer dropped.
        drop_path: Fraction of samples whose branches are dropped whole.
        norm: `"layer_norm"` or `"rms_norm"`.
        norm_order: `"pre"`, `"post"` as in the paper, `"sandwich"`, `"res_post"`, with
            the norm at the end of each branch (Liu et al. 2022, arXiv:2111.09883), or
            `"parallel"`: one norm in front of both branches, which are added together
            (GPT-J; Dehghani et al. 2023, arXiv:2302.05442, Section 2.1).
        epsilon: Small number in the norm's square root.
        layer_scale: First value of learned factors of each branch; `None` has none.
        use_bias: Whether the projections have biases.
        use_attention_bias: Whether those to query, key and value have. Defaults to
            `use_bias`.
        attention_scale: Factor of the scores. Defaults to that of the heads' width.
        window: Self-attention reads only tokens less than that away; see
            `MultiHeadSelfAttention`.
        query_key_norm: Normalizes queries and keys in each head; see
            `MultiHeadSelfAttention`.
        kernel_initializer: Initializer of each projection.
        output_initializer: Initializer of those that end a branch, as GPT-2 has
            (Radford et al. 2019, Section 2.3). Defaults to `kernel_initializer`.
        attention: Layer in place of self-attention.
        feed_forward: Layer in place of the feed-forward network.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`.
        mask: Boolean, True where a token may read: `(B, T)`, `(B, T, T)` or
            `(B, N, T, T)`.
        bias: Added to the scores, broadcastable to `(B, N, T, T)`.
        inputs_mask: `(B, T)`, boolean, True for a token that is no padding; filled in
            by Keras when an earlier layer computed it.
        use_causal_mask: Whether token t reads only tokens 0 to t.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, D)`, and the weights `(B, N, T, T)` if asked.

    Raises:
        ValueError: `num_heads` does not divide D, an option is unknown, or it would
            shape only layers that were passed.

    Example:

    >>> block = TransformerEncoderBlock(num_heads=2, mlp_dim=32)
    >>> tuple(block(keras.ops.ones((2, 5, 8))).shape)
    (2, 5, 8)
    """

    def build(self, inputs_shape):
        self.self_attention = self.attention or self.make_attention(
            MultiHeadSelfAttention, "self_attention", inputs_shape[-1], self.window
        )
        self.self_attention_residual = self.make_residual(
            "self_attention", is_first=True
        )
        self.mlp = self.make_feed_forward()
        self.mlp_residual = self.make_residual("feed_forward")
        for layer in (
            self.self_attention,
            self.self_attention_residual,
            self.mlp,
            self.mlp_residual,
        ):
            build_once(layer, inputs_shape)
        self.built = True

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
        inputs = ops.cast(inputs, self.compute_dtype)
        entered = self.self_attention_residual.enter(inputs)
        x = self.self_attention(
            entered,
            mask=mask,
            bias=bias,
            inputs_mask=inputs_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
        )
        x, weights = x if return_attention_scores else (x, None)
        x = self.self_attention_residual.leave(inputs, x)  # (B, T, D)
        x = self.run_feed_forward(x, entered)
        x = carry_masks(x, mask, inputs_mask)
        return (x, weights) if return_attention_scores else x
