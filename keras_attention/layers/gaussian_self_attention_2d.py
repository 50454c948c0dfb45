"""Self-attention by distance alone, which any convolution is (Cordonnier et al. 2020).

Letters: B pictures, R and C rows and columns, p rows and columns of zeros around them,
T = R C queries, S = (R + 2p) (C + 2p) keys, N heads, D channels of the input, E of the
output.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.attention_layer import AttentionLayer
from keras_attention.layers.convolution.normed_convolution import padded

# The sharpness of a head that stands for a place of a kernel: the nearest other place
# gets exp(-49), which is nothing in float32.
SHARP = 7.0


@keras.saving.register_keras_serializable("keras_attention")
class GaussianSelfAttention2D(AttentionLayer):
    """Lets each head read what lies around one offset, as far around as it learns.

    Cordonnier, Loukas & Jaggi 2020, arXiv:1911.03584, Equations 8 and 9, the quadratic
    encoding; in the form of the authors' code, where heads average the inputs
    themselves:

        scores[n, t, s] = -(sharpness_n |place(s) - place(t) - center_n|)^2
        head_n  = softmax(scores[n]) x                          (B, R, C, D)
        output  = concatenate(head_1, ..., head_N) W + b        (B, R, C, E)

    Neither queries nor keys count, only where they are. A head that is sharp reads one
    place, so nine of them are a convolution of 3 x 3 (Theorem 1), and
    `set_to_convolution` makes them one. Training may find others.

    Args:
        num_heads: Number N of heads; a convolution of K x K needs K K.
        output_dim: Number E of channels of the output. Defaults to D.
        padding: Rows and columns of zeros around the picture, that heads can read; as
            many as the farthest center for a convolution that pads with zeros.
        use_bias: Whether there is a bias b.
        sharpness: First value of the sharpness of each head, above 0.
        center_initializer: Initializer of the centers, `(N, 2)`, in rows and columns.
            Defaults to a normal distribution of deviation 1.
        kernel_initializer: Initializer of W.
        dropout: Fraction of weights dropped in training, from 0 to 1.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, R, C, D)`.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, R, C, E)`, and the weights `(B, N, T, S)` if asked, places row by row,
        those of the keys with the zeros around.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> layer = GaussianSelfAttention2D(num_heads=9, output_dim=5)
    >>> convolution = keras.layers.Conv2D(5, 3, padding="same")
    >>> inputs = keras.random.normal((2, 4, 6, 3))
    >>> expected, _ = convolution(inputs), layer(inputs)
    >>> layer.set_to_convolution(convolution)
    >>> difference = keras.ops.convert_to_numpy(layer(inputs) - expected)
    >>> bool(abs(difference).max() < 1e-4)
    True
    """

    def __init__(
        self,
        num_heads=9,
        output_dim=None,
        padding=1,
        use_bias=True,
        sharpness=1.0,
        center_initializer=None,
        kernel_initializer="glorot_uniform",
        dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(dropout=dropout, seed=seed, **kwargs)
        check_positive(num_heads=num_heads)
        if output_dim is not None:
            check_positive(output_dim=output_dim)
        if padding != 0:
            check_positive(padding=padding)
        if not sharpness > 0:
            raise ValueError(
                f"`sharpness` must be above 0. Received: sharpness={sharpness!r}"
            )
        self.num_heads = num_heads
        self.output_dim = output_dim
        self.padding = padding
        self.use_bias = use_bias
        self.sharpness = sharpness
        if center_initializer is None:
            center_initializer = keras.initializers.RandomNormal(stddev=1.0)
        self.center_initializer = keras.initializers.get(center_initializer)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, inputs_shape):
        width = inputs_shape[-1]
        output_dim = self.output_dim or width
        self.centers = self.add_weight(
            (self.num_heads, 2), self.center_initializer, autocast=False, name="centers"
        )
        self.head_sharpness = self.add_weight(
            (self.num_heads,),
            keras.initializers.Constant(self.sharpness),
            autocast=False,
            name="head_sharpness",
        )
        self.kernel = self.add_kernel(
            "kernel", (self.num_heads * width, output_dim), self.kernel_initializer
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight((output_dim,), "zeros", name="bias")
        self.built = True

    def call(self, inputs, return_attention_scores=False, training=None):
        batch_size, rows, columns, width = ops.shape(inputs)
        x = padded(inputs, self.padding)
        x = ops.reshape(x, (batch_size, -1, 1, width))  # (B, S, 1, D), for all heads
        nothing = ops.zeros_like(x[..., :1])  # what queries and keys have in common
        query = ops.zeros_like(inputs[..., :1])
        query = ops.reshape(query, (batch_size, rows * columns, 1, 1))
        result = self.attend(
            ops.broadcast_to(query, (*ops.shape(query)[:2], self.num_heads, 1)),
            nothing,
            x,
            kind="cross" if self.padding else "self",
            bias=self.position_scores(rows, columns),
            return_attention_scores=return_attention_scores,
            training=training,
        )
        x, weights = result if return_attention_scores else (result, None)
        x = ops.reshape(x, (batch_size, rows, columns, self.num_heads * width))
        x = self.project(x, self.kernel, self.bias)
        return (x, weights) if return_attention_scores else x

    def position_scores(self, rows, columns):
        """What a place's offset from another is worth to each head.

        Args:
            rows: R.
            columns: C.

        Returns:
            `(1, N, T, S)`, in float32 at least.
        """
        squares = []
        for axis, length in enumerate((rows, columns)):
            places = ops.arange(length, dtype=self.wide_dtype)
            keys = ops.arange(length + 2 * self.padding, dtype=self.wide_dtype)
            offsets = keys - self.padding - places[:, None]  # (R, R + 2p)
            center = self.centers[:, axis, None, None]
            squares.append(ops.square(offsets - center))  # (N, R, R + 2p)
        by_row, by_column = squares
        total = by_row[:, :, None, :, None] + by_column[:, None, :, None, :]
        padding = 2 * self.padding
        shape = (self.num_heads, rows * columns, (rows + padding) * (columns + padding))
        sharpness = ops.square(self.head_sharpness)[:, None, None]
        return -(sharpness * ops.reshape(total, shape))[None]

    def set_to_convolution(self, convolution):
        """Gives the layer the weights of a convolution, with which it is the same.

        A head for each place of the kernel, row by row, is sharp around its offset.

        Args:
            convolution: A `keras.layers.Conv2D` that is built, with
                `padding="same"`, without strides, groups and activation.

        Raises:
            ValueError: It is no such convolution, or has other sizes than this layer.
        """
        size = convolution.kernel_size
        dilation = convolution.dilation_rate
        kernel = ops.convert_to_tensor(convolution.kernel)  # (rows, columns, D, E)
        offsets = [
            [place * step - (count - 1) * step // 2 for place in range(count)]
            for count, step in zip(size, dilation, strict=True)
        ]
        self._check_convolution(convolution, max(map(abs, sum(offsets, []))))
        centers = [[row, column] for row in offsets[0] for column in offsets[1]]
        self.centers.assign(centers)
        self.head_sharpness.assign([SHARP] * self.num_heads)
        self.kernel.assign(ops.reshape(kernel, self.kernel.shape))
        if self.use_bias:
            bias = convolution.bias
            self.bias.assign(ops.zeros(self.bias.shape) if bias is None else bias)

    def _check_convolution(self, convolution, reach):
        count = convolution.kernel_size[0] * convolution.kernel_size[1]
        channels = convolution.kernel.shape[2:]
        ours = self.kernel.shape[0] // self.num_heads, self.kernel.shape[1]
        wrong = {
            f"padding={convolution.padding!r}": convolution.padding != "same",
            f"strides={convolution.strides}": set(convolution.strides) != {1},
            f"groups={convolution.groups}": convolution.groups != 1,
            "an activation": convolution.activation is not keras.activations.linear,
            f"{count} places in its kernel": count != self.num_heads,
            f"{channels} channels": tuple(channels) != ours,
            f"offsets of {reach}": reach > self.padding,
            "a bias": convolution.use_bias and not self.use_bias,
        }
        found = [text for text, is_wrong in wrong.items() if is_wrong]
        if found:
            raise ValueError(
                f"The layer {self.name!r}, of {self.num_heads} heads, {ours} channels, "
                f"padding={self.padding} and use_bias={self.use_bias}, is no such "
                f"convolution. Received one with {', '.join(found)}. It needs "
                'padding="same", no strides, groups or activation, and a head for each '
                "place of its kernel."
            )

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        return [("output", self.kernel, 0, self.kernel.shape[1])]

    def compute_mask(self, inputs, previous_mask):
        return None
