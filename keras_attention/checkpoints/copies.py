"""Tensors of published files that hold nothing new: copies, buffers, unused parts.

A file may have them. What they stand for is known, so that a file that holds something
else there is told from one that does not.
"""

import dataclasses
from collections.abc import Callable

import numpy as np

# A part that the published model does not use itself, such as an extra pooler.
UNUSED = None


@dataclasses.dataclass(frozen=True)
class Copy:
    """A tensor that is tied to another one, of which a file may hold either or both.

    Args:
        of: Name of the other.

    Example:

    >>> Copy("wte.weight").of
    'wte.weight'
    """

    of: str


@dataclasses.dataclass(frozen=True)
class Beside:
    """What nobody reads here and others expect beside a tensor.

    Args:
        of: Name of the tensor.
        value: What is written: a number, or a function of the tensor.

    Example:

    >>> Beside("norm.running_var").value
    0
    """

    of: str
    value: int | Callable = 0


@dataclasses.dataclass(frozen=True)
class Buffer:
    """A tensor that is computed, not learned, such as a causal mask.

    Args:
        values: Function from the tensor's shape and the arguments of the model to what
            it must hold.

    Example:

    >>> causal = Buffer(lambda shape, arguments: np.tri(*shape))
    >>> causal.holds(np.array([[1, 0], [1, 1]]), {}), causal.holds(np.ones((2, 2)), {})
    (True, False)
    """

    values: Callable

    def holds(self, array, arguments):
        """Whether the array is what the buffer must be.

        Args:
            array: A NumPy array.
            arguments: Those of the model.
        """
        expected = self.values(array.shape, arguments)
        array = np.asarray(array, "float64")
        return bool(np.allclose(array, expected, rtol=0.0, atol=2e-3))


POSITION_IDS = Buffer(lambda shape, arguments: np.arange(shape[-1])[None])
CAUSAL_MASK = Buffer(lambda shape, arguments: np.tri(*shape[-2:]))
