"""A convolution of neighboring tokens beside a block, as DeBERTa v2 has one.

Its code: github.com/microsoft/DeBERTa, `ConvLayer` ("n-gram induced input encoding").

Letters: B batch, T tokens, D width of a token.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import token_mask
from keras_attention.ops.activations import ACTIVATIONS


@keras.saving.register_keras_serializable("keras_attention")
class NeighborConvolution(BaseLayer):
    """Adds to what a block computed what a convolution reads of its inputs.

        output = norm(outputs + activation(convolution(inputs)))

    Padding is 0 in the convolution and in the output. It is the `beside_first` of a
    `TransformerEncoder`.

    Args:
        kernel_size: Number of neighboring tokens.
        groups: Number of groups of channels that are convolved apart.
        activation: Activation of the convolution; see `FeedForward`.
        dropout: Fraction of the convolution dropped in training, from 0 to 1.
        epsilon: Small number in the norm's square root.
        kernel_initializer: Initializer of the convolution.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`, what the block read.
        outputs: `(B, T, D)`, what it computed.
        mask: `(B, T)`, True (or 1) for a token that is no padding.

    Returns:
        `(B, T, D)`.

    Example:

    >>> layer = NeighborConvolution(kernel_size=3)
    >>> x = keras.ops.ones((2, 5, 8))
    >>> tuple(layer(x, x).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        kernel_size=3,
        groups=1,
        activation="tanh",
        dropout=0.0,
        epsilon=1e-7,
        kernel_initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(kernel_size=kernel_size, groups=groups)
        check_rate(dropout=dropout)
        self.kernel_size = kernel_size
        self.groups = groups
        self.activation = activation
        self.dropout = dropout
        self.epsilon = epsilon
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed
        self.drop = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=epsilon, dtype=self.dtype_policy, name="norm"
        )

    def build(self, inputs_shape, outputs_shape=None):
        self.convolution = keras.layers.Conv1D(
            inputs_shape[-1],
            self.kernel_size,
            padding="same",
            groups=self.groups,
            kernel_initializer=self.kernel_initializer,
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.convolution.build(inputs_shape)
        self.norm.build(inputs_shape)
        self.built = True

    def call(self, inputs, outputs, mask=None):
        is_token = 1.0
        if token_mask(mask) is not None:
            is_token = ops.expand_dims(ops.cast(mask, outputs.dtype), -1)  # (B, T, 1)
        if inputs.shape[1] == 0:  # PyTorch refuses to convolve none
            return outputs
        y = self.convolution(inputs * is_token) * is_token  # (B, T, D)
        y = ACTIVATIONS[self.activation](self.drop(y))
        return self.norm(outputs + y) * is_token

    def compute_mask(self, inputs, previous_mask):
        # The mask Keras hands over may be the one that was passed for the tokens.
        return None

    def compute_output_spec(self, inputs, outputs, mask=None):
        return keras.KerasTensor(outputs.shape, self.compute_dtype)
