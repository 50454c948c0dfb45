"""The block of a Transformer's decoder (Vaswani et al. 2017)."""

import keras
from keras import ops

from keras_attention.layers.carried_masks import carry_masks
from keras_attention.layers.multi_head_attention import MultiHeadAttention
from keras_attention.layers.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.shared_parts import build_once
from keras_attention.layers.transformer_block import TransformerBlock


def check_cache(layer):
    """Refuses a layer that cannot read a sequence step by step.

    Args:
        layer: A layer.

    Raises:
        ValueError: It has no `start_cache` or no `step`.

    Example:

    >>> check_cache(keras.layers.Dense(3, name="mine"))
    Traceback (most recent call last):
        ...
    ValueError: Layer 'mine' (Dense) has no cache...
    """
    if not (hasattr(layer, "start_cache") and hasattr(layer, "step")):
        raise ValueError(
            f"Layer {layer.name!r} ({type(layer).__name__}) has no cache, so it cannot "
            "read a sequence step by step. Give it the methods `start_cache` and "
            "`step` of the layer whose place it takes, such as MultiHeadSelfAttention."
        )


def _apart(weights, shape):
    """Cuts weights `(B, N, X T, S)` into those of each row, `(B X, N, T, S)`."""
    rows, count, _ = shape
    batch_size, num_heads, _, length = weights.shape
    weights = ops.reshape(weights, (batch_size, num_heads, -1, count, length))
    weights = ops.transpose(weights, (0, 2, 1, 3, 4))
    return ops.reshape(weights, (rows, num_heads, count, length))


@keras.saving.register_keras_serializable("keras_attention")
class TransformerDecoderBlock(TransformerBlock):
    """Lets tokens read their past, then another sequence, then transforms each.

    Vaswani et al. 2017, arXiv:1706.03762, Figure 1 (right), here with the norm in
    front of each branch:

        x = inputs + self_attention(norm(inputs))                   causal
        x = x + cross_attention(norm(x), encoder_outputs)
        output = x + feed_forward(norm(x))

    Without cross-attention it is the block of GPT-2.

    Args:
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward network's hidden layer.
        use_cross_attention: Whether the block reads an encoder's outputs.
        key_dim: Width of a head. Defaults to the width of a token over `num_heads`.
        activation: Activation of the feed-forward network; see `FeedForward`.
        dropout: Fraction of each branch's output dropped in training, from 0 to 1.
        attention_dropout: Fraction of attention weights dropped.
        mlp_dropout: Fraction of the feed-forward network's hidden layer dropped.
        drop_path: Fraction of samples whose branches are dropped whole.
        norm: `"layer_norm"` or `"rms_norm"`.
        norm_order: `"pre"`, `"post"` as in the paper, `"sandwich"`, `"res_post"`, with
            the norm at the end of each branch, or `"parallel"`: one norm in front of
            attention and feed-forward network, which are added together (GPT-J),
            without cross-attention.
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
        cross_attention: Layer in place of cross-attention; called as
            `MultiHeadAttention` is.
        feed_forward: Layer in place of the feed-forward network.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`.
        encoder_outputs: `(B, S, De)`, what cross-attention reads.
        mask: Boolean, True where a token may read another: `(B, T)`, `(B, T, T)` or
            `(B, N, T, T)`.
        bias: Added to the scores of self-attention, broadcastable to `(B, N, T, T)`.
        encoder_outputs_mask: Boolean, True where a token may read the encoder's
            outputs: `(B, S)`, `(B, T, S)` or `(B, N, T, S)`; filled in by Keras when
            an earlier layer computed it.
        inputs_mask: `(B, T)`, boolean, True for a token that is no padding; filled in
            by Keras when an earlier layer computed it.
        use_causal_mask: Whether token t reads only tokens 0 to t.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, D)`; if asked also the weights of self-attention `(B, N, T, T)` and,
        with cross-attention, those of cross-attention `(B, N, T, S)`.

    Raises:
        ValueError: `encoder_outputs` is missing, or passed to a block without
            cross-attention; `num_heads` does not divide D; an option would shape only
            layers that were passed.

    Example:

    >>> block = TransformerDecoderBlock(num_heads=2, mlp_dim=32)
    >>> tokens, encoded = keras.ops.ones((2, 3, 8)), keras.ops.ones((2, 5, 6))
    >>> tuple(block(tokens, encoded).shape)
    (2, 3, 8)
    """

    can_read_encoder = True

    def __init__(
        self,
        num_heads,
        mlp_dim,
        *,
        use_cross_attention=True,
        key_dim=None,
        activation="gelu",
        dropout=0.0,
        attention_dropout=0.0,
        mlp_dropout=0.0,
        drop_path=0.0,
        norm="layer_norm",
        norm_order="pre",
        epsilon=1e-6,
        layer_scale=None,
        use_bias=True,
        use_attention_bias=None,
        attention_scale=None,
        window=None,
        query_key_norm=None,
        kernel_initializer="glorot_uniform",
        output_initializer=None,
        attention=None,
        cross_attention=None,
        feed_forward=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(
            num_heads,
            mlp_dim,
            key_dim=key_dim,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            mlp_dropout=mlp_dropout,
            drop_path=drop_path,
            norm=norm,
            norm_order=norm_order,
            epsilon=epsilon,
            layer_scale=layer_scale,
            use_bias=use_bias,
            use_attention_bias=use_attention_bias,
            attention_scale=attention_scale,
            window=window,
            query_key_norm=query_key_norm,
            kernel_initializer=kernel_initializer,
            output_initializer=output_initializer,
            attention=attention,
            feed_forward=feed_forward,
            seed=seed,
            **kwargs,
        )
        if cross_attention is not None and not use_cross_attention:
            raise ValueError(
                "`cross_attention` was passed to a block with use_cross_attention="
                "False. Leave one of the two out."
            )
        if norm_order == "parallel" and use_cross_attention:
            raise ValueError(
                "Branches in parallel have no place for cross-attention, which reads "
                'after self-attention. Received: norm_order="parallel", '
                "use_cross_attention=True. Pass use_cross_attention=False, or another "
                "`norm_order`."
            )
        self.use_cross_attention = use_cross_attention
        self.cross_attention = cross_attention
        self.check_options()

    def build(self, inputs_shape, encoder_outputs_shape=None):
        self._check_encoder_outputs(encoder_outputs_shape)
        self.self_attention = self.attention or self.make_attention(
            MultiHeadSelfAttention, "self_attention", inputs_shape[-1], self.window
        )
        build_once(self.self_attention, inputs_shape)
        self.self_attention_residual = self.make_residual(
            "self_attention", is_first=True
        )
        self.self_attention_residual.build(inputs_shape)
        if self.use_cross_attention:
            self.reading = self.cross_attention or self.make_attention(
                MultiHeadAttention, "cross_attention", inputs_shape[-1]
            )
            build_once(self.reading, inputs_shape, encoder_outputs_shape)
            self.reading_residual = self.make_residual("cross_attention")
            self.reading_residual.build(inputs_shape)
        self.mlp = self.make_feed_forward()
        build_once(self.mlp, inputs_shape)
        self.mlp_residual = self.make_residual("feed_forward")
        self.mlp_residual.build(inputs_shape)
        self.built = True

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
        self._check_encoder_outputs(encoder_outputs)
        inputs = ops.cast(inputs, self.compute_dtype)
        weights = ()
        entered = self.self_attention_residual.enter(inputs)
        x = self.self_attention(
            entered,
            mask=mask,
            bias=bias,
            inputs_mask=inputs_mask,
            use_causal_mask=use_causal_mask,
            return_attention_scores=return_attention_scores,
        )
        if return_attention_scores:
            x, *weights = x
        x = self.self_attention_residual.leave(inputs, x)  # (B, T, D)
        if self.use_cross_attention:
            y = self.reading(
                query=self.reading_residual.enter(x),
                value=encoder_outputs,
                mask=encoder_outputs_mask,
                return_attention_scores=return_attention_scores,
            )
            if return_attention_scores:
                y, cross_weights = y
                weights = (*weights, cross_weights)
            x = self.reading_residual.leave(x, y)  # (B, T, D)
        x = self.run_feed_forward(x, entered)
        x = carry_masks(x, mask, inputs_mask)
        return (x, *weights) if return_attention_scores else x

    def start_cache(self, batch_size, length):
        """Makes room for the keys and values of self-attention.

        Args:
            batch_size: B.
            length: Most tokens S.

        Returns:
            A cache, for `step`.

        Raises:
            ValueError: The layer passed as `attention` has no cache.

        Example:

        >>> block = TransformerDecoderBlock(2, mlp_dim=32, use_cross_attention=False)
        >>> block.build((None, None, 8))
        >>> cache = block.start_cache(3, 10)
        >>> output, cache, _ = block.step(keras.ops.ones((3, 1, 8)), cache, length=0)
        >>> tuple(output.shape)
        (3, 1, 8)
        """
        check_cache(self.self_attention)
        return self.self_attention.start_cache(batch_size, length)

    def read_encoder(self, encoder_outputs):
        """Projects the encoder's outputs once for all steps.

        Args:
            encoder_outputs: `(B, S, De)`, or `None` without cross-attention.

        Returns:
            What `step` takes as `encoded`: keys `(B, K, S, H)` and values
            `(B, K, S, Hv)`, or `None`.

        Raises:
            ValueError: `encoder_outputs` is missing, or passed to a block without
                cross-attention; the layer passed as `cross_attention` has no cache.
        """
        self._check_encoder_outputs(encoder_outputs)
        if not self.use_cross_attention:
            return None
        check_cache(self.reading)
        return self.reading.start_cache(encoder_outputs)

    def step(
        self,
        inputs,
        cache,
        *,
        length,
        encoded=None,
        mask=None,
        bias=None,
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
            encoded: From `read_encoder`.
            mask: `(B, S)`, boolean, True for a slot that holds no padding.
            bias: Added to the scores of self-attention, broadcastable to
                `(B, N, T, S)`.
            encoder_outputs_mask: `(B, S)`, boolean, True for an output of the encoder
                that is no padding.
            positions: `(B, T)` integers below S for rotary embeddings.
            return_attention_scores: Whether to compute the weights.

        Returns:
            `(B, T, D)`, the next cache, and a list of the weights of self-attention
            `(B, N, T, S)` and of cross-attention, if there is any, or an empty list.
        """
        self._check_encoder_outputs(encoded)
        inputs = ops.cast(inputs, self.compute_dtype)
        entered = self.self_attention_residual.enter(inputs)
        x, cache, weights = self.self_attention.step(
            entered,
            cache,
            length=length,
            mask=mask,
            bias=bias,
            positions=positions,
            return_attention_scores=return_attention_scores,
        )
        weights = [weights] if return_attention_scores else []
        x = self.self_attention_residual.leave(inputs, x)  # (B, T, D)
        if self.use_cross_attention:
            shape = ops.shape(x)
            # What reads the same sequence stands in one row: (B, X T, D).
            query = ops.reshape(
                self.reading_residual.enter(x),
                (ops.shape(encoded[0])[0], -1, shape[-1]),
            )
            y, cross_weights = self.reading.step(
                query,
                encoded,
                mask=encoder_outputs_mask,
                return_attention_scores=return_attention_scores,
            )
            y = ops.reshape(y, shape)
            if return_attention_scores:
                weights.append(_apart(cross_weights, shape))
            x = self.reading_residual.leave(x, y)  # (B, T, D)
        x = self.run_feed_forward(x, entered)
        return x, cache, weights

    def _check_encoder_outputs(self, encoder_outputs):
        if (encoder_outputs is not None) != self.use_cross_attention:
            wanted = "needs" if self.use_cross_attention else "does not take"
            raise ValueError(
                f"Layer {self.name!r} {wanted} `encoder_outputs`, since it was made "
                f"with use_cross_attention={self.use_cross_attention}."
            )
