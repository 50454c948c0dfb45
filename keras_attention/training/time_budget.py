"""Training that ends in time, with a learning rate that knows when."""

import math
import time

import keras


class TimeBudget(keras.callbacks.Callback):
    """Ends training after some minutes, with the learning rate at its end by then.

    The learning rate is set at the beginning of each epoch from the share of the time,
    or of the epochs, that has passed, whichever is more: it rises from a tenth of the
    optimizer's rate to all of it, and then falls to a hundredth along half a cosine
    (Smith and Topin 2018, arXiv:1708.07120, with one value an epoch). So a slow machine
    makes fewer epochs of the same shape.

    An epoch that would not end in time is not begun.

    Args:
        minutes: Time from the beginning of `fit` to the end of its last epoch.
        warmup: Share of the time in which the learning rate rises.
        clock: Function that tells the seconds. Defaults to those of the wall;
            `time.process_time` counts those that the processor works for this process,
            all cores together, so that a machine with other work makes no fewer epochs.

    Raises:
        ValueError: A number is out of its range.

    Example:

    >>> callback = TimeBudget(minutes=2)
    >>> [round(callback.factor(done), 3) for done in (0, 0.1, 0.2, 0.4, 1)]
    [0.1, 0.55, 1.0, 0.855, 0.01]
    """

    def __init__(self, minutes, warmup=0.2, clock=None):
        super().__init__()
        if not minutes > 0:
            raise ValueError(f"`minutes` must be positive. Received: {minutes!r}")
        if not 0 <= warmup < 1:
            raise ValueError(
                f"`warmup` must be at least 0 and less than 1. Received: {warmup!r}"
            )
        self.seconds = 60 * minutes
        self.warmup = warmup
        self.clock = time.perf_counter if clock is None else clock

    def factor(self, done):
        """What the learning rate is multiplied by.

        Args:
            done: Share of the training that has passed, from 0 to 1.

        Returns:
            A number from 0.01 to 1.
        """
        if done < self.warmup:
            return 0.1 + 0.9 * done / self.warmup
        fall = min(1.0, (done - self.warmup) / (1 - self.warmup))
        return 0.01 + 0.99 * (1 + math.cos(math.pi * fall)) / 2

    def on_train_begin(self, logs=None):
        self.begin = self.clock()
        self.rate = float(
            keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)
        )

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_begin = self.clock()
        time_done = (self.epoch_begin - self.begin) / self.seconds
        epochs_done = epoch / self.params["epochs"]
        done = max(time_done, epochs_done)
        self.model.optimizer.learning_rate = self.rate * self.factor(done)

    def on_epoch_end(self, epoch, logs=None):
        now = self.clock()
        if 2 * now - self.epoch_begin > self.begin + self.seconds:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        self.model.optimizer.learning_rate = self.rate
