"""Positions that join the tokens, learned or sinusoidal."""

import keras
import numpy as np
from keras import ops

from keras_attention.backend.loops import is_symbolic_size
from keras_attention.backend.products import at_least_float32
from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.checks import check_sequence
from keras_attention.layers.base import BaseLayer
from keras_attention.ops import sinusoidal_positions


@keras.saving.register_keras_serializable("keras_attention")
class PositionalEmbedding(BaseLayer):
    """Tells each token its position in the sequence.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.5; learned ones: Gehring et al.
    2017, arXiv:1705.03122, Section 3.1.

        output[t] = inputs[t] + position[t]                      "add"
                    concatenate(inputs[t], position[t])          "concatenate"

    Args:
        max_length: Number of positions. Sinusoidal positions need none, and then have
            no end.
        kind: `"learned"`, a table that is trained, or `"sinusoidal"`.
        combine: `"add"`, or `"concatenate"` along the width.
        position_dim: Width of a position for `"concatenate"`. Defaults to that of the
            inputs.
        longer: What to do with a sequence longer than `max_length`: `"error"`, or
            `"interpolate"`, which stretches the positions over it.
        layout: For sinusoidal positions, `"interleaved"` as in the paper or
            `"concatenated"`, all sines and then all cosines.
        initializer: Initializer of learned positions. Defaults to a truncated normal
            of standard deviation 0.02.
        base: Ratio of the longest to the shortest wavelength of sinusoidal positions.
        offset: Number of the first sinusoidal position.

    Call arguments:
        inputs: `(B, T, D)`.
        positions: `(T,)` or `(B, T)` integers, when the tokens are not at 0, 1, 2, ...
            They are neither checked nor stretched.

    Returns:
        `(B, T, D)`, or `(B, T, D + position_dim)` for `"concatenate"`.

    Raises:
        ValueError: The sequence is longer than `max_length`, or an option is missing
            or unknown.

    Example:

    >>> layer = PositionalEmbedding(max_length=10)
    >>> tuple(layer(keras.ops.ones((2, 5, 8))).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        max_length=None,
        kind="learned",
        combine="add",
        position_dim=None,
        longer="error",
        layout="interleaved",
        initializer=None,
        base=10000.0,
        offset=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_choice(("learned", "sinusoidal"), kind=kind)
        check_choice(("add", "concatenate"), combine=combine)
        check_choice(("error", "interpolate"), longer=longer)
        check_choice(("interleaved", "concatenated"), layout=layout)
        if max_length is not None:
            check_positive(max_length=max_length)
        elif kind == "learned":
            raise ValueError(
                'Learned positions need `max_length`. Received: kind="learned", '
                "max_length=None"
            )
        if position_dim is not None:
            check_positive(position_dim=position_dim)
            if combine == "add":
                raise ValueError(
                    "`position_dim` is for concatenated positions; added ones are as "
                    f"wide as the inputs. Received: position_dim={position_dim}, "
                    'combine="add"'
                )
        if initializer is None:
            initializer = keras.initializers.TruncatedNormal(stddev=0.02)
        self.max_length = max_length
        self.kind = kind
        self.combine = combine
        self.position_dim = position_dim
        self.longer = longer
        self.layout = layout
        self.initializer = keras.initializers.get(initializer)
        self.base = base
        self.offset = offset

    def build(self, inputs_shape):
        if self.kind == "learned":
            self.table = self.add_weight(
                shape=(self.max_length, self.position_dim or inputs_shape[-1]),
                initializer=self.initializer,
                name="table",
            )
        self.built = True

    def call(self, inputs, positions=None):
        check_sequence(self.name, inputs=inputs)
        batch_size, length, _ = ops.shape(inputs)
        width = self.position_dim or inputs.shape[-1]
        if positions is None and is_symbolic_size(length):
            positions = ops.arange(length, dtype="int32")
        if positions is None:
            positions = self._positions(length, width)
        elif self.kind == "learned":
            positions = ops.take(self.table, positions, axis=0)
        else:
            positions = self._encode(positions, width)
        positions = ops.cast(positions, inputs.dtype)  # (T, width) or (B, T, width)
        if self.combine == "add":
            return inputs + positions
        positions = ops.broadcast_to(positions, (batch_size, length, width))
        return ops.concatenate([inputs, positions], axis=-1)

    def compute_output_spec(self, inputs, positions=None):
        if inputs.shape[1] is not None:
            return super().compute_output_spec(inputs)
        # For an unknown length Keras would try one, which may be too long.
        *shape, width = inputs.shape
        if self.combine == "concatenate":
            width += self.position_dim or width
        return keras.KerasTensor((*shape, width), self.compute_dtype)

    def _positions(self, length, width):
        stretched = self._stretched_length(length)
        if self.kind == "learned":
            if stretched is None and isinstance(length, int):
                return self.table[:length]
            if stretched is None:  # known at run time only
                return ops.take(self.table, ops.arange(length, dtype="int32"), axis=0)
            return _stretch(self.table, stretched)[:length]
        positions = length
        if stretched is not None:
            indices = (
                np.arange(length)
                if isinstance(length, int)
                else ops.cast(ops.arange(length), "float64")  # known at run time only
            )
            positions = indices * (self.max_length / stretched)
        return self._encode(positions, width)

    def _encode(self, positions, width):
        """The sines and cosines of positions, or of as many as an integer says."""
        if self.offset:
            if isinstance(positions, int):
                positions = np.arange(positions)
            elif len(getattr(positions, "shape", ())) == 0:  # known at run time only
                positions = ops.arange(positions, dtype="int32")
            positions = positions + self.offset
        return sinusoidal_positions(
            positions,
            width,
            layout=self.layout,
            base=self.base,
            dtype=self.wide_dtype,
        )

    def _stretched_length(self, length):
        """The length that the positions are stretched to, or `None`."""
        if self.max_length is None:
            return None
        if not isinstance(length, int):  # a tensor, known at run time (TensorFlow)
            if self.longer == "interpolate":
                return ops.maximum(length, self.max_length)
            # Too short a table has no such rows; the framework says so, or NaN (JAX).
            return None
        if length > self.max_length and self.longer == "error":
            raise ValueError(
                f"The sequence has {length} tokens, but layer {self.name!r} has "
                f"positions for max_length={self.max_length}. Cut the sequence, make "
                'the layer longer, or stretch its positions with longer="interpolate".'
            )
        return length if length > self.max_length else None


def _stretch(table, length):
    """Resizes a table of positions linearly to another number of rows.

    Each new row lies between two old ones: their middles are laid over each other as
    those of pixels, and the ends repeat.
    """
    last = table.shape[0] - 1
    dtype = at_least_float32(table.dtype)
    ratio = ops.cast(table.shape[0] / length, dtype)
    places = (ops.arange(length, dtype=dtype) + 0.5) * ratio - 0.5
    places = ops.clip(places, 0, last)  # (T,)
    before = ops.floor(places)
    share = ops.expand_dims(places - before, -1)
    before = ops.cast(before, "int32")
    table = ops.cast(table, dtype)
    return (1 - share) * ops.take(table, before, axis=0) + share * ops.take(
        table, ops.minimum(before + 1, last), axis=0
    )
