"""Learning rates by the formula of the paper."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.training import InverseSquareRoot


def test_the_rate_is_that_of_the_paper():
    """512^-0.5 min(step^-0.5, step 4000^-1.5), at the first step and at the top."""
    schedule = InverseSquareRoot()
    for step in (1, 1000, 4000, 100_000):
        expected = 512**-0.5 * min(step**-0.5, step * 4000**-1.5)
        np.testing.assert_allclose(to_numpy(schedule(step - 1)), expected, rtol=1e-5)


def test_an_optimizer_follows_it():
    schedule = InverseSquareRoot(hidden_dim=4, warmup_steps=2, factor=3.0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(schedule), "mse")
    rates = []
    for _ in range(3):
        rates.append(float(to_numpy(model.optimizer.learning_rate)))
        model.train_on_batch(np.ones((2, 2)), np.ones((2, 1)))
    top = 3 / np.sqrt(4 * 2)
    np.testing.assert_allclose(rates, [top / 2, top, top * np.sqrt(2 / 3)], rtol=1e-5)


def test_it_comes_back_from_its_config():
    schedule = InverseSquareRoot(hidden_dim=64, warmup_steps=10, factor=0.5)
    optimizer = keras.optimizers.Adam(schedule)
    config = keras.saving.serialize_keras_object(optimizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.get_config() == optimizer.get_config()
    assert float(to_numpy(again.learning_rate)) == float(to_numpy(schedule(0)))


@pytest.mark.once
@pytest.mark.parametrize("name", ["hidden_dim", "warmup_steps", "factor"])
def test_numbers_that_are_not_positive_are_refused(name):
    with pytest.raises(ValueError, match=f"`{name}` must be positive. Received: 0"):
        InverseSquareRoot(**{name: 0})
