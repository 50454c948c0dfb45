"""Self-attention within windows of a grid, every other time shifted (Liu et al. 2021).

Letters: B pictures, R and C rows and columns of the grid, W windows of a picture, M
cells of a window, N heads, D width of a cell.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.backend.constants import constant
from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.continuous_position_bias import ContinuousPositionBias2D
from keras_attention.layers.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.relative_position_bias import RelativePositionBias2D


@keras.saving.register_keras_serializable("keras_attention")
class WindowAttention(BaseLayer):
    """Lets the cells of a grid read those of their own window.

    Liu et al. 2021, arXiv:2103.14030, Section 3.2 (Swin). A grid that windows do not
    fill is padded with zeros at the bottom and at the right, as in the paper's code for
    detection, then shifted: what the edges cut goes on at the opposite edge, where
    cells read only those of their own region. A window is no larger than the shorter
    side of the grid, and where it is as large nothing is shifted.

    Version 2 (Liu et al. 2022, arXiv:2111.09883, Section 3.3) compares queries and keys
    by their angle, and computes what distances add by a small network:
    `use_cosine=True`.

    As `attention` of a `TransformerEncoderBlock` it makes a block of Swin.

    Args:
        num_heads: Number N of heads.
        window_size: Rows and columns of a window.
        shift: By how many rows and columns the windows are shifted.
        use_bias: Whether the projections to query and value have biases, and that to
            keys but for version 2.
        use_cosine: Whether it is that of version 2.
        pretrained_window_size: For version 2, the size of windows for which the network
            of distances was trained. Defaults to that here.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        kernel_initializer: Initializer of each projection.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, R, C, D)`, R and C known.
        mask: `None`: each cell reads all of its window, whoever calls the layer.
        bias: `None`, likewise.
        inputs_mask: `None`, likewise.
        use_causal_mask: `False`, likewise.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, R, C, D)`, and the weights `(B * W, N, M, M)` if asked: the windows of one
        picture after the other, row by row, as `show_windows` reads them.

    Raises:
        ValueError: `num_heads` does not divide D, the grid is not known, or a mask or
            a bias is given.

    Example:

    >>> layer = WindowAttention(num_heads=2, window_size=4, shift=2)
    >>> inputs = keras.ops.ones((3, 7, 10, 8))
    >>> output, weights = layer(inputs, return_attention_scores=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((3, 7, 10, 8), (18, 2, 16, 16))
    """

    def __init__(
        self,
        num_heads,
        window_size,
        shift=0,
        use_bias=True,
        use_cosine=False,
        pretrained_window_size=None,
        dropout=0.0,
        kernel_initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(num_heads=num_heads, window_size=window_size)
        if pretrained_window_size is not None:
            check_positive(pretrained_window_size=pretrained_window_size)
        if not 0 <= shift < window_size:
            raise ValueError(
                "`shift` must be at least 0 and less than the window. Received: "
                f"shift={shift}, window_size={window_size}"
            )
        self.num_heads = num_heads
        self.window_size = window_size
        self.shift = shift
        self.use_bias = use_bias
        self.use_cosine = use_cosine
        self.pretrained_window_size = pretrained_window_size
        self.dropout = dropout
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.seed = seed

    def build(self, inputs_shape):
        if len(inputs_shape) != 4 or None in inputs_shape[1:]:
            raise ValueError(
                "Windows are cut from a grid (B, rows, columns, D) whose size is known."
                f" Received: inputs.shape={tuple(inputs_shape)} in layer {self.name!r}"
            )
        options = {"dtype": self.dtype_policy}
        width = inputs_shape[-1]
        self.attention = MultiHeadSelfAttention(
            self.num_heads,
            key_dim_of(width, self.num_heads, None, self.name),
            use_bias=self.use_bias,
            use_output_bias=True,
            use_key_bias=self.use_bias and not self.use_cosine,
            query_key_norm="cosine" if self.use_cosine else None,
            dropout=self.dropout,
            kernel_initializer=self.kernel_initializer,
            seed=self.seed,
            name="attention",
            **options,
        )
        if self.use_cosine:
            self.position_bias = ContinuousPositionBias2D(
                self.num_heads,
                self.window_size,
                pretrained_size=self.pretrained_window_size,
                name="position_bias",
                **options,
            )
        else:
            self.position_bias = RelativePositionBias2D(
                self.num_heads, self.window_size, name="position_bias", **options
            )
        self.attention.build((None, None, width))
        self.position_bias.build((None, None, width))
        self.built = True

    def call(
        self,
        inputs,
        mask=None,
        bias=None,
        inputs_mask=None,
        use_causal_mask=False,
        return_attention_scores=False,
        training=None,
    ):
        self._refuse(
            mask=mask,
            bias=bias,
            inputs_mask=inputs_mask,
            use_causal_mask=use_causal_mask,
        )
        rows, columns, width = inputs.shape[1:]
        size = min(self.window_size, rows, columns)
        shift = self.shift if size < min(rows, columns) else 0
        x = pad_to_multiple(inputs, size)
        padded = x.shape[1:3]
        if shift:
            x = ops.roll(ops.roll(x, -shift, axis=1), -shift, axis=2)
        x = split_windows(x, size)  # (B W, M, D)
        x = self.attention(
            x,
            mask=self._regions(x, padded, size, shift) if shift else None,
            bias=self.position_bias.of_grid(size, size),
            return_attention_scores=return_attention_scores,
        )
        x, weights = x if return_attention_scores else (x, None)
        x = join_windows(x, size, *padded)  # (B, R, C, D), padded
        if shift:
            x = ops.roll(ops.roll(x, shift, axis=1), shift, axis=2)
        if padded != (rows, columns):
            x = x[:, :rows, :columns]
        return (x, weights) if return_attention_scores else x

    def _refuse(self, **options):
        given = [k for k, v in options.items() if v is not None and v is not False]
        if given:
            raise ValueError(
                f"Windows have no {', '.join(given)} (layer {self.name!r}). Leave it "
                "out, or take `MultiHeadSelfAttention`."
            )

    def _regions(self, windows, padded, size, shift):
        """Which cells of a window are of one region, `(B W, 1, M, M)`."""
        mask = region_mask(*padded, size, shift)  # (W, M, M)
        number, cells, _ = mask.shape
        shape = (ops.shape(windows)[0] // number, number, cells, cells)
        mask = ops.broadcast_to(constant(mask)[None], shape)
        return ops.reshape(mask, (-1, 1, cells, cells))

    def compute_mask(self, inputs, previous_mask):
        return None


def pad_to_multiple(x, size):
    """Pads `(B, R, C, D)` with zeros at the bottom and at the right.

    Example:

    >>> tuple(pad_to_multiple(keras.ops.ones((1, 7, 10, 3)), 4).shape)
    (1, 8, 12, 3)
    """
    # torch.compile looks into this, as it does not into Keras's `pad`.
    for axis in (1, 2):
        missing = -x.shape[axis] % size
        if missing:
            edge = x[:, :1] if axis == 1 else x[:, :, :1]
            x = ops.concatenate([x] + [ops.zeros_like(edge)] * missing, axis=axis)
    return x


def split_windows(x, size):
    """Cuts `(B, R, C, D)` into windows `(B W, M, D)`, row by row."""
    _, rows, columns, width = x.shape
    x = ops.reshape(x, (-1, rows // size, size, columns // size, size, width))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, size * size, width))


def join_windows(x, size, rows, columns):
    """Lays windows `(B W, M, D)` together again."""
    width = x.shape[-1]
    x = ops.reshape(x, (-1, rows // size, columns // size, size, size, width))
    x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
    return ops.reshape(x, (-1, rows, columns, width))


def region_mask(rows, columns, size, shift):
    """Which cells of a shifted window may read each other.

    Args:
        rows: Rows of the padded grid.
        columns: Its columns.
        size: Those of a window.
        shift: By how many the windows are shifted.

    Returns:
        Boolean array `(W, M, M)`, True within a region.

    Example:

    >>> region_mask(4, 4, 2, 1)[0].all(), region_mask(4, 4, 2, 1)[-1].sum()
    (np.True_, np.int64(4))
    """

    def regions(length):
        places = np.arange(length)
        return (places >= length - size).astype(int) + (places >= length - shift)

    numbers = regions(rows)[:, None] * 3 + regions(columns)  # (R, C)
    shape = (rows // size, size, columns // size, size)
    windows = numbers.reshape(shape).transpose(0, 2, 1, 3).reshape(-1, size * size)
    return windows[:, None, :] == windows[:, :, None]
