"""What distances in a grid add to the scores, by a small network (Liu et al. 2022)."""

import keras
import numpy as np
from keras import ops

from keras_attention.backend.constants import constant
from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.ops import RelativeBias

# The largest distance becomes 8, and its logarithm 1: Liu et al. 2022, Equation 4, and
# the published code.
LARGEST = 8.0
# The largest bias, in the published code.
MOST = 16.0


@keras.saving.register_keras_serializable("keras_attention")
class ContinuousPositionBias2D(BaseLayer):
    """Computes how much each head likes each offset between cells of a grid.

    Liu et al. 2022, arXiv:2111.09883, Section 3.3 (Swin V2): the logarithms of the
    distances go through a network, so that what was learned in small windows holds in
    larger ones.

        d = sign(offset) log2(1 + 8 |offset| / (size - 1)) / 3      rows and columns
        bias = 16 sigmoid(relu(d W + b) W')

    Args:
        num_heads: Number N of heads.
        height: Rows of the grid or window.
        width: Columns of the grid or window. Defaults to `height`.
        mlp_dim: Width of the network.
        pretrained_size: Rows and columns of the grid for which it was trained, which
            distances are divided by. Defaults to those here.
        kernel_initializer: Initializer of the network.

    Call arguments:
        inputs: `(B, height * width, ...)`, the cells row by row, of which only the
            number matters.

    Returns:
        `(1, N, height * width, height * width)` float32.

    Raises:
        ValueError: The number of cells is not `height * width`.

    Example:

    >>> layer = ContinuousPositionBias2D(num_heads=4, height=2, width=3)
    >>> tuple(layer(keras.ops.ones((2, 6, 8))).shape)
    (1, 4, 6, 6)
    """

    def __init__(
        self,
        num_heads,
        height,
        width=None,
        mlp_dim=512,
        pretrained_size=None,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_heads = num_heads
        self.height = height
        self.width = height if width is None else width
        self.mlp_dim = mlp_dim
        check_positive(
            num_heads=num_heads, height=height, width=self.width, mlp_dim=mlp_dim
        )
        if pretrained_size is not None:
            check_positive(pretrained_size=pretrained_size)
        self.pretrained_size = pretrained_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        if inputs_shape[1] not in (None, self.height * self.width):
            raise ValueError(
                f"The grid has {self.height} x {self.width} cells. Received: "
                f"inputs.shape={tuple(inputs_shape)} in layer {self.name!r}"
            )
        # Rounded, near distances would become alike.
        options = {"autocast": False, "initializer": self.kernel_initializer}
        self.hidden_kernel = self.add_weight(
            (2, self.mlp_dim), name="hidden_kernel", **options
        )
        self.hidden_bias = self.add_weight(
            (self.mlp_dim,), initializer="zeros", autocast=False, name="hidden_bias"
        )
        self.output_kernel = self.add_weight(
            (self.mlp_dim, self.num_heads), name="output_kernel", **options
        )
        self.built = True

    def call(self, inputs):
        count = self.height * self.width
        return self.of_grid(self.height, self.width).whole(count, count)

    def of_grid(self, height, width):
        """The bias of a grid of any size, a `RelativeBias`."""
        offsets = self._offsets(height, width)  # ((2h - 1) (2w - 1), 2)
        hidden = ops.matmul(constant(offsets), self.hidden_kernel)
        hidden = ops.relu(hidden + self.hidden_bias)
        table = MOST * ops.sigmoid(ops.matmul(hidden, self.output_kernel))
        shape = (2 * height - 1, 2 * width - 1, self.num_heads)
        return RelativeBias(ops.transpose(ops.reshape(table, shape), (2, 0, 1)))

    def _offsets(self, height, width):
        """Where a query stands from its key, from the last to the first, squeezed."""
        sides = []
        for size in (height, width):
            largest = (self.pretrained_size or size) - 1
            offsets = np.arange(size - 1, -size, -1) * (LARGEST / max(1, largest))
            sides.append(np.sign(offsets) * np.log2(np.abs(offsets) + 1) / 3)
        grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
        return grid.reshape(-1, 2).astype(self.wide_dtype)

    def compute_mask(self, inputs, previous_mask):
        return None
