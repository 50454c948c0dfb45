"""Attention to a few points of feature maps, at places that a query chooses itself.

Zhu et al. 2021, arXiv:2010.04159 (Deformable DETR).

Letters: B pictures, T queries, L maps, R and C rows and columns of a map, N heads, P
points of a head on each map, D width of a query, E of a map, H of a head.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import another
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.recorder import recorder_for
from keras_attention.ops.explicit import attention_weights
from keras_attention.ops.sampling import sample_bilinear


def first_offsets(num_heads, num_levels, num_points):
    """Where the points stand at first: on a ray for each head, one place apart.

    As in the authors' code, in row and column.

    Args:
        num_heads: N.
        num_levels: L.
        num_points: P.

    Returns:
        `(N L P 2,)`, NumPy.

    Example:

    >>> first_offsets(4, 1, 2)[:4].tolist()
    [0.0, 1.0, 0.0, 2.0]
    """
    angles = 2 * np.pi * np.arange(num_heads) / num_heads
    rays = np.stack([np.sin(angles), np.cos(angles)], axis=-1)  # (N, 2)
    rays = rays / np.abs(rays).max(axis=-1, keepdims=True)
    steps = np.arange(1, num_points + 1)[:, None]
    points = np.broadcast_to(
        rays[:, None, None] * steps, (num_heads, num_levels, num_points, 2)
    )
    return points.reshape(-1).astype("float32")


@keras.saving.register_keras_serializable("keras_attention")
class DeformableAttention(BaseLayer):
    """Lets each query read a few points of feature maps, around a point of its own.

    Zhu et al. 2021, arXiv:2010.04159, Equation 3, with several maps, each of another
    size. What is read and how much it counts follow from the query alone:

        offsets = query W_p + b_p                                  (B, T, N, L, P, 2)
        weights = softmax(query W_a + b_a), over maps and points   (B, T, N, L P)
        head_n  = sum over maps l and points p of
                  weights[n, l, p] value_l[reference + offsets[n, l, p]] W_v,n
        output  = concatenate(head_1, ..., head_N) W_o + b_o       (B, T, D)

    Maps are read between their places and are zero outside. The cost does not grow with
    the maps: each query reads N L P points.

    Args:
        num_heads: Number N of heads.
        num_points: Number P of points that each head reads on each map.
        value_dim: Width H of a head. Defaults to D / N.
        output_dim: Width of the output. Defaults to D.
        kernel_initializer: Initializer of the projections of values and outputs. Those
            of offsets and weights begin with zeros, and the points on rays.

    Call arguments:
        query: `(B, T, D)`.
        value: Feature map `(B, R, C, E)`, or a list of them, of any sizes, always as
            many as in the first call: L.
        reference_points: Where each query stands, from 0 to 1 of the height and of the
            width: `(B, T, 2)`, row and column; offsets count in places of the map. Or
            boxes `(B, T, 4)`, whose last two numbers are their height and width;
            offsets count in 2 P parts of these (Appendix A.4). `(B, T, L, 2)` and `(B,
            T, L, 4)` have others for each map.
        return_attention_scores: Also return the weights.

    Returns:
        `(B, T, D)`, and the weights `(B, N, T, L P)` if asked, the points of one map
        after those of the other.

    Raises:
        ValueError: `num_heads` does not divide D, there are not L maps, or reference
            points have other axes.

    Example:

    >>> layer = DeformableAttention(num_heads=2, num_points=3)
    >>> maps = [keras.ops.ones((2, 8, 12, 6)), keras.ops.ones((2, 4, 6, 6))]
    >>> output, weights = layer(
    ...     keras.ops.ones((2, 5, 4)),
    ...     maps,
    ...     keras.ops.full((2, 5, 2), 0.5),
    ...     return_attention_scores=True,
    ... )
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 5, 4), (2, 2, 5, 6))
    """

    def __init__(
        self,
        num_heads,
        num_points=4,
        value_dim=None,
        output_dim=None,
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        # Reference points are not rounded with the rest.
        super().__init__(autocast=False, **kwargs)
        check_positive(num_heads=num_heads, num_points=num_points)
        for name, size in {"value_dim": value_dim, "output_dim": output_dim}.items():
            if size is not None:
                check_positive(**{name: size})
        self.num_heads = num_heads
        self.num_points = num_points
        self.value_dim = value_dim
        self.output_dim = output_dim
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, query_shape, value_shape, reference_points_shape=None):
        width = query_shape[-1]
        is_list = isinstance(value_shape[0], tuple | list)
        shapes = value_shape if is_list else [value_shape]
        self.num_levels = len(shapes)
        key_dim = key_dim_of(width, self.num_heads, self.value_dim, self.name)
        count = self.num_heads * self.num_levels * self.num_points
        inside = self.num_heads * key_dim
        rays = first_offsets(self.num_heads, self.num_levels, self.num_points)
        drawn = [another(self.kernel_initializer, number) for number in range(2)]
        for name, shape, kernel, bias in (
            ("offset", (width, 2 * count), "zeros", lambda shape, dtype: rays),
            ("weight", (width, count), "zeros", "zeros"),
            ("value", (shapes[0][-1], inside), drawn[0], "zeros"),
            ("output", (inside, self.output_dim or width), drawn[1], "zeros"),
        ):
            setattr(
                self, f"{name}_kernel", self.add_kernel(f"{name}_kernel", shape, kernel)
            )
            setattr(
                self,
                f"{name}_bias",
                self.add_weight(shape[1:], bias, name=f"{name}_bias"),
            )
        self.built = True

    def call(self, query, value, reference_points, return_attention_scores=False):
        maps = list(value) if isinstance(value, list | tuple) else [value]
        self._check(maps, reference_points)
        heads, levels, points = self.num_heads, self.num_levels, self.num_points
        length = ops.shape(query)[1]
        scores = self.project(query, self.weight_kernel, self.weight_bias)
        scores = ops.reshape(scores, (-1, length, heads, levels * points))
        weights = attention_weights(ops.transpose(scores, (0, 2, 1, 3)))
        recorder = recorder_for(self.path)
        if recorder is not None:  # (B, N, T, L P)
            weights = recorder.record(self.path, "cross", weights)

        offsets = self.project(query, self.offset_kernel, self.offset_bias)
        offsets = ops.reshape(offsets, (-1, length, heads, levels, points, 2))
        offsets = ops.cast(offsets, self.wide_dtype)
        references = ops.cast(reference_points, self.wide_dtype)
        read = []
        for level, features in enumerate(maps):
            of_map = (
                references[:, :, level] if len(references.shape) == 4 else references
            )
            read.append(self._read(features, offsets[:, :, :, level], of_map))
        x = ops.concatenate(read, axis=3)  # (B, N, T, L P, H)
        x = ops.sum(x * ops.cast(weights, x.dtype)[..., None], axis=3)
        x = ops.transpose(x, (0, 2, 1, 3))  # (B, T, N, H)
        x = ops.reshape(x, (-1, length, self.output_kernel.shape[0]))
        x = self.project(x, self.output_kernel, self.output_bias)
        return (x, weights) if return_attention_scores else x

    def _read(self, features, offsets, references):
        """What each head reads of a map.

        Args:
            features: `(B, R, C, E)`.
            offsets: `(B, T, N, P, 2)`.
            references: `(B, T, 2)` or `(B, T, 4)`.

        Returns:
            `(B, N, T, P, H)`.
        """
        _, rows, columns, _ = ops.shape(features)
        sides = ops.stack([ops.cast(side, offsets.dtype) for side in (rows, columns)])
        references = references[:, :, None, None]  # (B, T, 1, 1, 2)
        if references.shape[-1] == 4:
            parts = references[..., 2:] * (sides / (2 * self.num_points))
            offsets = offsets * parts
        places = references[..., :2] * sides + offsets - 0.5  # (B, T, N, P, 2)
        length, heads = ops.shape(places)[1], self.num_heads
        places = ops.transpose(places, (0, 2, 1, 3, 4))
        places = ops.reshape(places, (-1, length * self.num_points, 2))

        x = self.project(features, self.value_kernel, self.value_bias)
        width = x.shape[-1] // heads
        x = ops.reshape(x, (-1, rows, columns, heads, width))
        x = ops.reshape(
            ops.transpose(x, (0, 3, 1, 2, 4)), (-1, rows, columns, width)
        )  # (B N, R, C, H)
        x = sample_bilinear(x, places)  # (B N, T P, H)
        return ops.reshape(x, (-1, heads, length, self.num_points, width))

    def _check(self, maps, reference_points):
        if len(maps) != self.num_levels:
            raise ValueError(
                f"The layer {self.name!r} reads {self.num_levels} feature maps, as in "
                f"its first call. Received: {len(maps)}. Pass a list of so many."
            )
        shape = tuple(reference_points.shape)
        levels = shape[2:-1]
        if (
            len(shape) not in (3, 4)
            or shape[-1] not in (2, 4)
            or levels not in ((), (self.num_levels,))
        ):
            raise ValueError(
                "`reference_points` must be points (B, T, 2) or boxes (B, T, 4), or "
                f"those of each map, (B, T, {self.num_levels}, 2) or (B, T, "
                f"{self.num_levels}, 4). Received: reference_points.shape={shape} in "
                f"layer {self.name!r}"
            )

    def adaptable_kernels(self):
        """What adapters can stand beside; see `training.add_lora`."""
        kernels = {
            "query": (self.offset_kernel, self.weight_kernel),
            "value": (self.value_kernel,),
            "output": (self.output_kernel,),
        }
        return [
            (name, kernel, 0, kernel.shape[1])
            for name, found in kernels.items()
            for kernel in found
        ]

    def compute_mask(self, query, previous_mask):
        return None
