"""A set of tokens as one vector, by attention (Lee et al. 2019)."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.checks import check_sequence
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.multi_head_attention import MultiHeadAttention


@keras.saving.register_keras_serializable("keras_attention")
class AttentionPooling(BaseLayer):
    """Reads a sequence with one learned query per layer, and returns what it found.

    Lee et al. 2019, arXiv:1810.00825, Section 3.2 (pooling by multi-head attention,
    with one seed), as in the heads of Zhai et al. 2022, arXiv:2106.04560.

    Args:
        num_heads: Number N of heads.
        key_dim: Width of a head. Defaults to the width of the tokens divided by
            `num_heads`.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, S, D)`.
        mask: `(B, S)`, boolean, True for a token that may be read.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, D)`, and the weights `(B, N, S)` if asked.

    Raises:
        ValueError: `num_heads` does not divide the width, and `key_dim` is not given.

    Example:

    >>> tuple(AttentionPooling(num_heads=2)(keras.ops.ones((2, 5, 8))).shape)
    (2, 8)
    """

    def __init__(self, num_heads, key_dim=None, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads)
        self.num_heads = num_heads
        self.key_dim = key_dim
        self.dropout = dropout
        self.seed = seed

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        self.query = self.add_weight(
            shape=(1, 1, width), initializer="glorot_uniform", name="query"
        )
        self.attention = MultiHeadAttention(
            self.num_heads,
            key_dim_of(width, self.num_heads, self.key_dim, self.name),
            dropout=self.dropout,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="attention",
        )
        self.attention.build((None, 1, width), inputs_shape)
        self.built = True

    def call(self, inputs, mask=None, return_attention_scores=False, training=None):
        check_sequence(self.name, inputs=inputs)
        batch_size, _, width = ops.shape(inputs)
        query = ops.cast(self.query, inputs.dtype)
        query = ops.broadcast_to(query, (batch_size, 1, width))
        result = self.attention(
            query=query,
            value=inputs,
            mask=mask,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        if return_attention_scores:
            output, weights = result
            return output[:, 0], weights[:, :, 0]  # (B, D), (B, N, S)
        return result[:, 0]

    def compute_mask(self, inputs, previous_mask):
        return None
