"""Four neighbors become one: a picture's grid of half the size (Liu et al. 2021)."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.window_attention import pad_to_multiple

# Of the norm, in the published codes.
EPSILON = 1e-5


@keras.saving.register_keras_serializable("keras_attention")
class PatchMerging(BaseLayer):
    """Joins each two by two cells of a grid and projects them to one.

    Liu et al. 2021, arXiv:2103.14030, Section 3.1 (Swin). Where rows or columns are
    odd, zeros follow.

        output = norm(four neighbors) W              (B, R / 2, C / 2, output_dim)
        output = norm(four neighbors W)              version 2 (arXiv:2111.09883)

    Args:
        output_dim: Width of the output. Defaults to twice that of the inputs.
        norm_first: Whether the norm stands in front of the projection, as in version 1.

    Call arguments:
        inputs: `(B, R, C, D)`, R and C known.

    Returns:
        `(B, R / 2, C / 2, output_dim)`, rounded up.

    Example:

    >>> tuple(PatchMerging()(keras.ops.ones((2, 5, 8, 3))).shape)
    (2, 3, 4, 6)
    """

    def __init__(self, output_dim=None, norm_first=True, **kwargs):
        super().__init__(**kwargs)
        if output_dim is not None:
            check_positive(output_dim=output_dim)
        self.output_dim = output_dim
        self.norm_first = norm_first
        self.norm = keras.layers.LayerNormalization(
            epsilon=EPSILON, dtype=self.dtype_policy, name="norm"
        )

    def build(self, inputs_shape):
        width = 4 * inputs_shape[-1]
        output_dim = self.output_dim or 2 * inputs_shape[-1]
        self.kernel = self.add_kernel("kernel", (width, output_dim))
        self.norm.build((*inputs_shape[:-1], width if self.norm_first else output_dim))
        self.built = True

    def call(self, inputs):
        x = pad_to_multiple(inputs, 2)
        parts = [x[:, i::2, j::2] for j in range(2) for i in range(2)]
        x = ops.concatenate(parts, axis=-1)  # (B, R / 2, C / 2, 4 D)
        if self.norm_first:
            return self.project(self.norm(x), self.kernel)
        return self.norm(self.project(x, self.kernel))

    def compute_mask(self, inputs, previous_mask):
        return None
