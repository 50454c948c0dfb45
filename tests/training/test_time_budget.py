"""Training that ends in time, with a clock that the test turns."""

import types

import keras
import numpy as np
import pytest

from keras_attention.training import time_budget
from keras_attention.training import TimeBudget


@pytest.fixture
def clock(monkeypatch):
    clock = types.SimpleNamespace(now=100.0, perf_counter=lambda: clock.now)
    monkeypatch.setattr(time_budget, "time", clock)
    return clock


def fit(clock, seconds_per_epoch, epochs, minutes=1.0, budget_clock=None):
    """Trains epochs that take so long; returns the learning rate of each."""

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.rates = []

        def on_epoch_begin(self, epoch, logs=None):
            rate = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
            self.rates.append(float(rate))
            clock.now += seconds_per_epoch

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.5), "mse")
    watch = Clock()
    model.fit(
        np.ones((2, 2)),
        np.ones((2, 1)),
        epochs=epochs,
        callbacks=[TimeBudget(minutes, clock=budget_clock), watch],
        verbose=0,
    )
    after = float(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return watch.rates, after


def test_no_epoch_is_begun_that_would_end_too_late(clock):
    """60 seconds hold four epochs of 14, not five."""
    rates, _ = fit(clock, seconds_per_epoch=14.0, epochs=50)
    assert len(rates) == 4


def test_another_clock_may_tell_the_time(clock):
    rates, _ = fit(clock, 14.0, epochs=9, budget_clock=lambda: clock.now / 2)
    assert len(rates) == 8


def test_with_time_enough_all_epochs_are_made(clock):
    rates, _ = fit(clock, seconds_per_epoch=0.01, epochs=5)
    assert len(rates) == 5


def test_the_rate_follows_the_epochs_or_the_time_whichever_is_further(clock):
    """Ten quick epochs and ten that fill the time see the same rates."""
    quick, _ = fit(clock, seconds_per_epoch=0.0, epochs=10)
    slow, _ = fit(clock, seconds_per_epoch=6.0, epochs=1000)
    np.testing.assert_allclose(quick, slow, rtol=1e-5)
    # Epoch 2 of 10 is at the end of the rise; epoch 6 half way down.
    np.testing.assert_allclose(quick[0], 0.05, rtol=1e-5)
    np.testing.assert_allclose(quick[2], 0.5, rtol=1e-5)
    np.testing.assert_allclose(quick[6], 0.5 * 0.505, rtol=1e-5)


def test_afterwards_the_rate_is_what_it_was(clock):
    _, after = fit(clock, seconds_per_epoch=0.0, epochs=3)
    np.testing.assert_allclose(after, 0.5, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 0}, "`minutes` must be positive. Received: 0"),
        ({"minutes": 1, "warmup": 1.0}, "`warmup` must be at least 0 and less than 1"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TimeBudget(**options)
