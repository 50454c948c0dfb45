"""The network that a Transformer applies to each token alone."""

import keras
from keras import ops

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.ops.activations import activate
from keras_attention.ops.activations import ACTIVATIONS

# Shazeer 2020, arXiv:2002.05202, Equations 4 to 6: a second projection, gated by the
# activation of the first.
GATED = {
    "glu": ops.sigmoid,
    "reglu": ops.relu,
    "geglu": ACTIVATIONS["gelu"],
    "geglu_tanh": ACTIVATIONS["gelu_tanh"],
    "swiglu": ops.silu,
}


@keras.saving.register_keras_serializable("keras_attention")
class FeedForward(BaseLayer):
    """Transforms each token by itself: widen, activate, narrow.

    Vaswani et al. 2017, arXiv:1706.03762, Equation 2; gated forms: Shazeer 2020,
    arXiv:2002.05202, Equation 6:

        output = activation(inputs W_1 + b_1) W_2 + b_2
                 (activation(inputs W_1) * (inputs V)) W_2      gated

    Args:
        mlp_dim: Width of the hidden layer.
        activation: `"gelu"` (exact), `"gelu_tanh"`, `"relu"`, `"relu_squared"`,
            `"silu"`, `"tanh"`, or gated: `"glu"`, `"reglu"`, `"geglu"`,
            `"geglu_tanh"`, `"swiglu"`.
        dropout: Fraction of hidden activations dropped in training, from 0 to 1.
        output_dim: Width of the output. Defaults to that of the inputs.
        use_bias: Whether the projections have biases.
        kernel_initializer: Initializer of each projection.
        output_initializer: Initializer of the second. Defaults to
            `kernel_initializer`.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`.

    Returns:
        `(B, T, output_dim)`.

    Raises:
        ValueError: `activation` is unknown.

    Example:

    >>> layer = FeedForward(mlp_dim=32, activation="swiglu", use_bias=False)
    >>> tuple(layer(keras.ops.ones((2, 5, 8))).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        mlp_dim,
        activation="gelu",
        dropout=0.0,
        output_dim=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        output_initializer=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(mlp_dim=mlp_dim)
        if output_dim is not None:
            check_positive(output_dim=output_dim)
        check_choice((*ACTIVATIONS, *GATED), activation=activation)
        check_rate(dropout=dropout)
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.dropout = dropout
        self.output_dim = output_dim
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.output_initializer = keras.initializers.get(output_initializer)
        self.seed = seed
        if dropout > 0:
            self.dropout_layer = keras.layers.Dropout(
                dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
            )

    def build(self, inputs_shape):
        # The gate and what it gates are projected at once, the gate first.
        width = self.mlp_dim * (2 if self.activation in GATED else 1)
        output_dim = self.output_dim or inputs_shape[-1]
        first = another(self.kernel_initializer)
        last = another(self.output_initializer or self.kernel_initializer, 1)
        shapes = (inputs_shape[-1], width), (self.mlp_dim, output_dim)
        self.hidden_kernel = self.add_kernel("hidden_kernel", shapes[0], first)
        self.hidden_bias = self._add_bias("hidden", width)
        self.output_kernel = self.add_kernel("output_kernel", shapes[1], last)
        self.output_bias = self._add_bias("output", output_dim)
        self.built = True

    def _add_bias(self, name, size):
        if not self.use_bias:
            return None
        return self.add_weight((size,), "zeros", name=f"{name}_bias")

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        kernels = self.hidden_kernel, self.output_kernel
        return [("mlp", kernel, 0, kernel.shape[1]) for kernel in kernels]

    def call(self, inputs, training=None):
        # (B, T, mlp_dim), twice as wide if gated
        x = self.project(inputs, self.hidden_kernel, self.hidden_bias)
        if self.activation in GATED:
            gate, x = ops.split(x, 2, axis=-1)
            x = GATED[self.activation](gate) * x
        else:
            x = activate(self.activation, x)
        if self.dropout > 0:
            x = self.dropout_layer(x, training=training)
        # (B, T, output_dim)
        return self.project(x, self.output_kernel, self.output_bias)
