"""The block of ConvNeXt, and the norm of its second version (Liu et al. 2022)."""

import keras
from keras import ops

from keras_attention.backend.products import at_least_float32
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.drop_path import DropPath
from keras_attention.layers.layer_scale import LayerScale
from keras_attention.ops.activations import activate
from keras_attention.ops.activations import ACTIVATIONS

# Of all norms in a block, in both published codes.
EPSILON = 1e-6


@keras.saving.register_keras_serializable("keras_attention")
class GlobalResponseNorm(BaseLayer):
    """Lets the channels of a picture compete: those that respond most grow.

    Woo et al. 2023, arXiv:2301.00808, Section 3.1 and Algorithm 1:

        g[c] = the length of channel c, over all rows and columns
        output = gamma x g / mean(g) + beta + x

    Args:
        epsilon: Small number beside the mean.

    Call arguments:
        inputs: `(B, rows, columns, C)`.

    Returns:
        `(B, rows, columns, C)`.

    Example:

    >>> layer = GlobalResponseNorm()
    >>> tuple(layer(keras.ops.ones((2, 3, 4, 5))).shape)
    (2, 3, 4, 5)
    """

    def __init__(self, epsilon=EPSILON, **kwargs):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, inputs_shape):
        shape = (inputs_shape[-1],)
        self.gamma = self.add_weight(shape, initializer="zeros", name="gamma")
        self.beta = self.add_weight(shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, inputs):
        wide = ops.cast(inputs, at_least_float32(inputs.dtype))
        square = ops.sum(ops.square(wide), axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
        # The root of 0 has no gradient.
        is_zero = square == 0
        length = ops.sqrt(ops.where(is_zero, 1.0, square))
        length = ops.where(is_zero, 0.0, length)
        mean = ops.mean(length, axis=-1, keepdims=True)
        response = ops.cast(length / (mean + self.epsilon), inputs.dtype)
        return self.gamma * (inputs * response) + self.beta + inputs

    def compute_mask(self, inputs, previous_mask):
        return None


@keras.saving.register_keras_serializable("keras_attention")
class ConvNeXtBlock(BaseLayer):
    """Mixes each channel with its neighborhood, then the channels of each place.

    Liu et al. 2022, arXiv:2201.03545, Figure 4. What self-attention and a feed-forward
    network do in a Transformer, in one branch:

        y = norm(depthwise convolution(x))                 (B, rows, columns, D)
        y = activation(y W + b)                            (B, rows, columns, 4 D)
        y = response norm(y)                               version 2
        output = x + scale (y W' + b')                     scale: version 1

    Args:
        kernel_size: Rows and columns of the depthwise convolution, odd.
        mlp_dim: Width inside. Defaults to 4 D.
        activation: Activation inside; a name that `FeedForward` has.
        layer_scale: First value of learned factors of the branch; `None` has none.
        use_response_norm: Whether there is a `GlobalResponseNorm` (Woo et al. 2023,
            arXiv:2301.00808).
        drop_path: Fraction of pictures whose branch is dropped in training.
        seed: Integer, for reproducible drops.

    Call arguments:
        inputs: `(B, rows, columns, D)`.

    Returns:
        `(B, rows, columns, D)`.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> block = ConvNeXtBlock()
    >>> tuple(block(keras.ops.ones((2, 5, 6, 8))).shape)
    (2, 5, 6, 8)
    """

    def __init__(
        self,
        kernel_size=7,
        mlp_dim=None,
        activation="gelu",
        layer_scale=1e-6,
        use_response_norm=False,
        drop_path=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(kernel_size=kernel_size)
        if mlp_dim is not None:
            check_positive(mlp_dim=mlp_dim)
        check_choice(ACTIVATIONS, activation=activation)
        check_rate(drop_path=drop_path)
        self.kernel_size = kernel_size
        self.mlp_dim = mlp_dim
        self.activation = activation
        self.layer_scale = layer_scale
        self.use_response_norm = use_response_norm
        self.drop_path = drop_path
        self.seed = seed

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        mlp_dim = 4 * width if self.mlp_dim is None else self.mlp_dim
        initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=self.seed)
        options = {"dtype": self.dtype_policy}
        self.convolution = keras.layers.DepthwiseConv2D(
            self.kernel_size,
            padding="same",
            data_format="channels_last",
            depthwise_initializer=another(initializer),
            name="convolution",
            **options,
        )
        self.norm = keras.layers.LayerNormalization(
            epsilon=EPSILON, name="norm", **options
        )
        self.hidden_kernel = self.add_kernel(
            "hidden_kernel", (width, mlp_dim), another(initializer, 1)
        )
        self.hidden_bias = self.add_weight((mlp_dim,), "zeros", name="hidden_bias")
        self.output_kernel = self.add_kernel(
            "output_kernel", (mlp_dim, width), another(initializer, 2)
        )
        self.output_bias = self.add_weight((width,), "zeros", name="output_bias")
        self.convolution.build(inputs_shape)
        self.norm.build(inputs_shape)
        self.response_norm = self.scale = self.branch = None
        if self.use_response_norm:
            self.response_norm = GlobalResponseNorm(name="response_norm", **options)
            self.response_norm.build((*inputs_shape[:-1], mlp_dim))
        if self.layer_scale is not None:
            self.scale = LayerScale(self.layer_scale, name="scale", **options)
            self.scale.build(inputs_shape)
        if self.drop_path > 0:
            self.branch = DropPath(
                self.drop_path, self.seed, name="drop_path", **options
            )
        self.built = True

    def call(self, inputs, training=None):
        x = self.norm(self.convolution(inputs))  # (B, rows, columns, D)
        x = self.project(x, self.hidden_kernel, self.hidden_bias)
        x = activate(self.activation, x)  # (B, rows, columns, 4 D)
        if self.response_norm is not None:
            x = self.response_norm(x)
        x = self.project(x, self.output_kernel, self.output_bias)
        if self.scale is not None:
            x = self.scale(x)
        if self.branch is not None:
            x = self.branch(x, training=training)
        return inputs + x

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        kernels = self.hidden_kernel, self.output_kernel
        return [("mlp", kernel, 0, kernel.shape[1]) for kernel in kernels]

    def compute_mask(self, inputs, previous_mask):
        return None
