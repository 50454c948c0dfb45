"""Whole branches dropped at random in training (Huang et al. 2016)."""

import keras
import numpy as np
from keras import ops

from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer


@keras.saving.register_keras_serializable("keras_attention")
class DropPath(BaseLayer):
    """Drops the residual branch of some samples in training, and scales the others.

    Huang et al. 2016, arXiv:1603.09382, Section 3 (stochastic depth), scaled in
    training rather than at inference.

    Args:
        rate: Fraction of samples whose branch is dropped, from 0 to 1.
        seed: Integer, for reproducible drops.

    Call arguments:
        inputs: `(B, ...)`.

    Returns:
        The inputs, with whole samples zero in training.

    Example:

    >>> output = DropPath(0.5)(keras.ops.ones((2, 3)), training=False)
    >>> keras.ops.convert_to_numpy(output).tolist()
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        check_rate(rate=rate)
        self.rate = rate
        self.seed = seed
        if rate > 0:
            self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=None):
        if self.rate == 0 or not training:
            return inputs
        shape = (ops.shape(inputs)[0], *(1,) * (len(inputs.shape) - 1))
        draws = keras.random.uniform(shape, seed=self.seed_generator)
        kept = ops.cast(draws >= self.rate, inputs.dtype) / (1 - self.rate)
        return inputs * kept


def drop_path_rates(drop_path, num_layers):
    """The fraction of dropped branches of each block, which grows from 0.

    Args:
        drop_path: That of the last block.
        num_layers: Number of blocks of each stage.

    Returns:
        A list for each stage.

    Example:

    >>> drop_path_rates(0.2, (1, 2))
    [[0.0], [0.1, 0.2]]
    """
    check_rate(drop_path=drop_path)
    rates = np.linspace(0.0, drop_path, sum(num_layers))
    parts = np.split(rates, np.cumsum(num_layers)[:-1])
    return [part.tolist() for part in parts]
