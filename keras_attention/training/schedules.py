"""Learning rates that change with the steps."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_attention")
class InverseSquareRoot(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of the Transformer: a linear rise, then 1 / sqrt(step).

    Vaswani et al. 2017, arXiv:1706.03762, Section 5.3, Equation 3, with the first step
    counted as 1:

        rate = factor hidden_dim^-0.5 min(step^-0.5, step warmup_steps^-1.5)

    It is largest at `warmup_steps`: factor / sqrt(hidden_dim warmup_steps).

    Args:
        hidden_dim: Width of the tokens, 512 in the paper's base model.
        warmup_steps: Steps of the rise, 4000 in the paper.
        factor: Multiplies the rate, 1 in the paper.

    Raises:
        ValueError: A number is not positive.

    Example:

    >>> schedule = InverseSquareRoot(hidden_dim=64, warmup_steps=100)
    >>> rates = [schedule(step - 1) for step in (50, 100, 400)]
    >>> [round(float(rate), 5) for rate in rates]
    [0.00625, 0.0125, 0.00625]
    """

    def __init__(self, hidden_dim=512, warmup_steps=4000, factor=1.0):
        super().__init__()
        for name, value in (
            ("hidden_dim", hidden_dim),
            ("warmup_steps", warmup_steps),
            ("factor", factor),
        ):
            if not value > 0:
                raise ValueError(f"`{name}` must be positive. Received: {value!r}")
        self.hidden_dim = hidden_dim
        self.warmup_steps = warmup_steps
        self.factor = factor

    def __call__(self, step):
        step = ops.cast(step, "float32") + 1.0
        largest = self.factor * (self.hidden_dim * self.warmup_steps) ** -0.5
        rise = step / self.warmup_steps
        fall = ops.rsqrt(rise)
        return largest * ops.minimum(rise, fall)

    def get_config(self):
        return {
            "hidden_dim": self.hidden_dim,
            "warmup_steps": self.warmup_steps,
            "factor": self.factor,
        }
