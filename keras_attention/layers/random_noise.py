"""Noise, another one in each call, from which pictures are made."""

import keras
from keras import ops

from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class RandomNoise(BaseLayer):
    """Draws a vector from a normal distribution for each label.

    Args:
        noise_dim: Width Z of a vector.
        seed: Integer, for reproducible vectors.

    Call arguments:
        labels: `(B,)`, of which only the number matters.

    Returns:
        `(B, Z)`.
    """

    def __init__(self, noise_dim, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.noise_dim = noise_dim
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, labels):
        shape = ops.shape(labels)[0], self.noise_dim
        return keras.random.normal(
            shape, dtype=self.compute_dtype, seed=self.seed_generator
        )

    def compute_mask(self, labels, previous_mask):
        return None
