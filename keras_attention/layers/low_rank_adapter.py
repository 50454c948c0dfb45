"""A small trained addition to a large frozen projection (LoRA).

Letters: D width of the inputs, E width of the outputs, R rank.
"""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class LowRankAdapter(BaseLayer):
    """Adds to a projection what a product of two thin matrices makes of its inputs.

    Hu et al. 2022, arXiv:2106.09685, Equation 3. Beside a frozen projection W

        output = inputs W + alpha / R (inputs A) B        A (D, R), B (R, E)

    it is the second summand. B begins with zeros, so nothing changes before training.
    `training.add_lora` puts adapters beside the projections of a model.

    Args:
        rank: R.
        output_dim: E.
        alpha: Factor, divided by R.
        dropout: Fraction of the inputs dropped in training, from 0 to 1.
        seed: Integer, for a reproducible A and dropout.

    Call arguments:
        inputs: `(..., D)`.

    Returns:
        `(..., E)`.

    Example:

    >>> layer = LowRankAdapter(rank=2, output_dim=5)
    >>> output = layer(keras.ops.ones((1, 3)))
    >>> keras.ops.convert_to_numpy(output).tolist()
    [[0.0, 0.0, 0.0, 0.0, 0.0]]
    """

    def __init__(self, rank, output_dim, alpha=8.0, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_positive(rank=rank, output_dim=output_dim)
        check_rate(dropout=dropout)
        if not alpha > 0:
            raise ValueError(f"`alpha` must be positive. Received: alpha={alpha!r}")
        self.rank = rank
        self.output_dim = output_dim
        self.alpha = alpha
        self.dropout = dropout
        self.seed = seed
        if dropout > 0:
            self.dropout_layer = keras.layers.Dropout(
                dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
            )

    def build(self, inputs_shape):
        # Section 4.1: Gaussian, so that a unit input gives values of unit size.
        gaussian = keras.initializers.VarianceScaling(
            1.0, "fan_in", "untruncated_normal", seed=self.seed
        )
        shape = (inputs_shape[-1], self.rank)
        self.down = self.add_weight(shape, gaussian, name="down")
        self.up = self.add_weight((self.rank, self.output_dim), "zeros", name="up")
        self.built = True

    @property
    def product(self):
        """What it adds to the kernel, alpha / R A B: `(D, E)`, in float32."""
        down, up = (ops.cast(w, "float32") for w in (self.down, self.up))
        return ops.matmul(down, up) * (self.alpha / self.rank)

    def call(self, inputs, training=None):
        if self.dropout > 0:
            inputs = self.dropout_layer(inputs, training=training)
        x = self.project(inputs, self.down)  # (..., R)
        return self.project(x, self.up) * (self.alpha / self.rank)  # (..., E)
