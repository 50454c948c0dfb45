"""A block of XLNet and of Transformer-XL: two streams, and a memory that they read.

Letters: B batch, T tokens, M queries of the second stream, P tokens of the memory, D
width of a token.
"""

import keras
from keras import ops

from keras_attention.layers.shared_parts import build_once
from keras_attention.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable("keras_attention")
class RelativeEncoderBlock(TransformerBlock):
    """Lets the tokens read a memory and each other, then transforms each by itself.

    Dai et al. 2019, arXiv:1901.02860, Section 3.3; a second stream has the weights of
    the first (Yang et al. 2019, arXiv:1906.08237, Figure 1 (c)).

    Args:
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward network's hidden layer.
        attention: A `RelativeAttention`.
        **kwargs: As for `TransformerEncoderBlock`; options of attention are those of
            `attention`.

    Call arguments:
        inputs: `(B, T, D)`.
        queries: `(B, M, D)`, the second stream, or `None`.
        memory: `(B, P, D)`, what an earlier segment gave this block to read.
        **kwargs: Those of `RelativeAttention`.

    Returns:
        `(B, T, D)` and, of the second stream, `(B, M, D)` or `None`; then, if asked,
        the weights of both.

    Example:

    >>> from keras_attention.layers.relative_attention import RelativeAttention
    >>> attention = RelativeAttention(num_heads=2, key_dim=3, hidden_dim=6)
    >>> block = RelativeEncoderBlock(2, mlp_dim=8, attention=attention)
    >>> output, _ = block(keras.ops.ones((1, 5, 6)))
    >>> tuple(output.shape)
    (1, 5, 6)
    """

    def build(self, inputs_shape, *others):
        self.self_attention = self.attention
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
        queries=None,
        memory=None,
        mask=None,
        mask_of_queries=None,
        same_segment=None,
        places=None,
        return_attention_scores=False,
        training=None,
    ):
        streams = [
            None if x is None else ops.cast(x, self.compute_dtype)
            for x in (inputs, queries, memory)
        ]
        enter = self.self_attention_residual.enter
        entered = [None if x is None else enter(x) for x in streams]
        attended, of_queries, *weights = self.self_attention(
            entered[0],
            queries=entered[1],
            memory=entered[2],
            mask=mask,
            mask_of_queries=mask_of_queries,
            same_segment=same_segment,
            places=places,
            return_attention_scores=return_attention_scores,
        )
        x = self._leave(streams[0], attended, entered[0])  # (B, T, D)
        if queries is not None:
            queries = self._leave(streams[1], of_queries, entered[1])  # (B, M, D)
        return (x, queries, *weights)

    def _leave(self, x, attended, entered):
        x = self.self_attention_residual.leave(x, attended)
        return self.run_feed_forward(x, entered)

    def compute_mask(self, inputs, previous_mask):
        return None
