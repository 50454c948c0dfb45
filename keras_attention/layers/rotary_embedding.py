"""Rotary positions, which turn queries and keys (Su et al. 2021)."""

import keras
from keras import ops

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer
from keras_attention.ops import apply_rotary
from keras_attention.ops import rotary_angles


@keras.saving.register_keras_serializable("keras_attention")
class RotaryEmbedding(BaseLayer):
    """Turns each pair of channels by an angle that grows with the position.

    Su et al. 2021, arXiv:2104.09864, Equation 15: the product of a turned query and a
    turned key depends on how far apart they are, not on where they are.

        x_i, x_j -> x_i cos(t theta_i) - x_j sin(t theta_i),
                    x_j cos(t theta_i) + x_i sin(t theta_i)
        theta_i  = base^(-2i / R)

    Args:
        rotary_dim: Number R of channels that turn, even; the others pass unchanged.
            Defaults to all.
        base: Ratio of the longest to the shortest wavelength.
        layout: Which channels are a pair: `"half"`, i and i + R / 2 (GPT-NeoX, Llama),
            or `"interleaved"`, 2i and 2i + 1 (the paper, GPT-J).
        scaling: Positions are divided by this to read sequences longer than trained
            (Chen et al. 2023, arXiv:2306.15595).

    Call arguments:
        inputs: `(B, T, N, H)`, queries or keys.
        positions: `(T,)` or `(B, T)` integers. Defaults to 0, 1, 2, ...
        max_length: Number that the positions stay below, if it is known: their angles
            are then read from a table, which is exact and sooner done.

    Returns:
        `(B, T, N, H)`.

    Raises:
        ValueError: The number of channels is odd or less than `rotary_dim`.

    Example:

    >>> layer = RotaryEmbedding()
    >>> tuple(layer(keras.ops.ones((2, 5, 3, 8))).shape)
    (2, 5, 3, 8)
    """

    def __init__(
        self, rotary_dim=None, base=10000.0, layout="half", scaling=1.0, **kwargs
    ):
        super().__init__(**kwargs)
        if rotary_dim is not None:
            check_positive(rotary_dim=rotary_dim)
        check_choice(("half", "interleaved"), layout=layout)
        self.rotary_dim = rotary_dim
        self.base = base
        self.layout = layout
        self.scaling = scaling

    def build(self, inputs_shape):
        rotary_dim = self.rotary_dim or inputs_shape[-1]
        if rotary_dim > inputs_shape[-1]:
            raise ValueError(
                "`rotary_dim` must not exceed the width of a head. Received: "
                f"rotary_dim={rotary_dim}, inputs.shape={tuple(inputs_shape)}"
            )
        self.built = True

    def call(self, inputs, positions=None, max_length=None):
        length = positions
        if max_length is not None and positions is not None:
            length = max_length
        elif positions is None:
            length = ops.shape(inputs)[1]
            if not isinstance(length, int):  # known at run time
                length = ops.arange(length, dtype="int32")
        waves = rotary_angles(
            length,
            self.rotary_dim or inputs.shape[-1],
            base=self.base,
            scaling=self.scaling,
            dtype=self.wide_dtype,
        )
        if length is not positions and positions is not None:
            waves = [ops.take(wave, positions, axis=0) for wave in waves]
        cosines, sines = waves
        return apply_rotary(inputs, cosines, sines, layout=self.layout)
