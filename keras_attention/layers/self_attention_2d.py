"""Self-attention of a picture's features, for any convolutional network (SAGAN)."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.attention_layer import AttentionLayer
from keras_attention.layers.base import another

# Zhang et al. 2019, Section 3, and the published code.
KEY_REDUCTION, VALUE_REDUCTION = 8, 2


@keras.saving.register_keras_serializable("keras_attention")
class SelfAttention2D(AttentionLayer):
    """Lets each place of a picture's features read all others, by a gate from 0 on.

    Zhang et al. 2019, arXiv:1805.08318 (SAGAN), Figure 2, as the published code has it:
    no biases, no scale, and keys and values of pooled features.

        query, key = x W_q, max pool(x W_k)                  C / 8 channels
        value      = max pool(x W_v)                         C / 2 channels
        output     = x + gate (softmax(query . key) value W_o)

    The gate is a learned number that begins with 0: a network learns what is near
    first, and what is far then.

    Args:
        key_dim: Channels of queries and keys. Defaults to C / 8.
        value_dim: Channels of values. Defaults to C / 2.
        pool_size: Rows and columns of features that are pooled to one key and value; 1
            pools none.
        kernel_initializer: Initializer of each projection.

    Call arguments:
        inputs: `(B, rows, columns, C)`.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, rows, columns, C)`, and the weights `(B, 1, T, S)` if asked: T places of
        the inputs and S of the pooled ones, row by row.

    Raises:
        ValueError: There are too few rows or columns for the pooling.

    Example:

    >>> layer = SelfAttention2D()
    >>> inputs = keras.ops.ones((2, 4, 6, 16))
    >>> output, weights = layer(inputs, return_attention_scores=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 4, 6, 16), (2, 1, 24, 6))
    """

    def __init__(
        self,
        key_dim=None,
        value_dim=None,
        pool_size=2,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(pool_size=pool_size)
        for name, size in {"key_dim": key_dim, "value_dim": value_dim}.items():
            if size is not None:
                check_positive(**{name: size})
        self.key_dim = key_dim
        self.value_dim = value_dim
        self.pool_size = pool_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        key_dim = self.key_dim or max(1, width // KEY_REDUCTION)
        value_dim = self.value_dim or max(1, width // VALUE_REDUCTION)
        sides = [side for side in inputs_shape[1:3] if side is not None]
        if any(side < self.pool_size for side in sides):
            raise ValueError(
                f"Features are pooled by {self.pool_size} x {self.pool_size}. Received:"
                f" inputs.shape={tuple(inputs_shape)} in layer {self.name!r}. Pass a "
                "smaller `pool_size`, or put the layer where there are more places."
            )
        shapes = {
            "query_kernel": (width, key_dim),
            "key_kernel": (width, key_dim),
            "value_kernel": (width, value_dim),
            "output_kernel": (value_dim, width),
        }
        for number, (name, shape) in enumerate(shapes.items()):
            initializer = another(self.kernel_initializer, number)
            setattr(self, name, self.add_kernel(name, shape, initializer))
        self.gate = self.add_weight((), initializer="zeros", name="gate")
        self.pooling = keras.layers.MaxPooling2D(
            self.pool_size,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="pooling",
        )
        self.built = True

    def call(self, inputs, return_attention_scores=False, training=None):
        query = self.project(inputs, self.query_kernel)  # (B, rows, columns, C / 8)
        key = self.pooling(self.project(inputs, self.key_kernel))
        value = self.pooling(self.project(inputs, self.value_kernel))
        result = self.attend(
            *map(one_head, (query, key, value)),
            kind="cross",
            scale=1.0,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        x, weights = result if return_attention_scores else (result, None)
        x = ops.reshape(x, (*ops.shape(inputs)[:3], value.shape[-1]))
        x = inputs + self.gate * self.project(x, self.output_kernel)
        return (x, weights) if return_attention_scores else x

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        names = ("query", "key", "value", "output")
        kernels = [getattr(self, f"{name}_kernel") for name in names]
        return [
            (name, kernel, 0, kernel.shape[1])
            for name, kernel in zip(names, kernels, strict=True)
        ]

    def compute_mask(self, inputs, previous_mask):
        return None


def one_head(x):
    """The places of `(B, rows, columns, H)` as tokens of one head, `(B, T, 1, H)`."""
    batch_size, rows, columns, width = ops.shape(x)
    return ops.reshape(x, (batch_size, rows * columns, 1, width))
