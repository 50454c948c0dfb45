"""Pictures and signals as sequences of patches (Dosovitskiy et al. 2021)."""

import numbers

import keras
from keras import ops

from keras_attention.backend.products import matmul
from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class PatchEmbedding(BaseLayer):
    """Cuts an image or a signal into patches and projects each to a token.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Equation 1. The patches do not overlap,
    so this is a convolution whose stride is its size; the kernel has the shape of one.

    Args:
        hidden_dim: Width D of a token.
        patch_size: Size of a patch: `(height, width)` in pixels, an integer for both,
            or for signals a number of steps.
        use_bias: Whether the projection has a bias.

    Call arguments:
        inputs: Images `(B, height, width, C)`, or signals `(B, steps, C)`.

    Returns:
        `(B, N, D)`, the N patches row by row.

    Raises:
        ValueError: The image does not divide into patches.

    Example:

    >>> layer = PatchEmbedding(hidden_dim=8, patch_size=(4, 2))
    >>> tuple(layer(keras.ops.ones((2, 12, 10, 3))).shape)
    (2, 15, 8)
    """

    def __init__(self, hidden_dim, patch_size, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        is_one = isinstance(patch_size, numbers.Integral)
        sizes = (patch_size,) if is_one else tuple(patch_size)
        for size in sizes:
            check_positive(patch_size=size)
        check_positive(hidden_dim=hidden_dim)
        self.hidden_dim = hidden_dim
        self.patch_size = int(patch_size) if is_one else tuple(map(int, sizes))
        self.use_bias = use_bias

    def build(self, inputs_shape):
        rank = len(inputs_shape) - 2
        sizes = self.patch_size
        sizes = (sizes,) * rank if isinstance(sizes, int) else sizes
        if rank not in (1, 2) or len(sizes) != rank:
            raise ValueError(
                "Expected images (B, height, width, C) and a patch size of one or two "
                "numbers, or signals (B, steps, C) and one number. Received: "
                f"inputs.shape={tuple(inputs_shape)}, patch_size={self.patch_size} in "
                f"layer {self.name!r}"
            )
        self.kernel = self.add_weight(
            shape=(*sizes, inputs_shape[-1], self.hidden_dim), name="kernel"
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.hidden_dim,), initializer="zeros", name="bias"
            )
        self.built = True

    def call(self, inputs):
        *sizes, channels, _ = self.kernel.shape
        for axis, size in zip(inputs.shape[1:-1], sizes, strict=True):
            if axis is not None and (axis < size or axis % size):
                raise ValueError(
                    f"The input does not divide into patches of {tuple(sizes)}. "
                    f"Received: inputs.shape={tuple(inputs.shape)} in layer "
                    f"{self.name!r}. Resize or pad it to a multiple of the patch size."
                )
        if len(sizes) == 1:  # a signal is an image of one row
            inputs, sizes = inputs[:, None], (1, *sizes)
        (p, q), (batch_size, height, width, _) = sizes, ops.shape(inputs)
        rows, columns = height // p, width // q
        x = ops.reshape(inputs, (batch_size, rows, p, columns, q, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))  # (B, rows, columns, p, q, C)
        x = ops.reshape(x, (batch_size, rows * columns, p * q * channels))
        kernel = ops.reshape(self.kernel, (p * q * channels, self.hidden_dim))
        x = matmul(x, kernel)  # (B, N, D)
        return x if self.bias is None else x + self.bias

    def compute_mask(self, inputs, previous_mask):
        return None
