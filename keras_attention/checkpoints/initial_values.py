"""Building a model whose weights are read from a file: no random ones are drawn first.

Drawing the 124 million weights of GPT-2 takes ten times as long as reading them.
"""

import contextlib
import functools
import math
import threading

import keras

ADD_WEIGHT = keras.layers.Layer.add_weight
BUILDING = threading.RLock()


class InitialValues:
    """What the weights of a model begin with, drawn when it is asked for.

    See `postpone_initial_values`.
    """

    def __init__(self, most=None):
        self._initializers = []  # (weight, initializer)
        self._room = most

    def reserve(self, shape):
        """Refuses a weight that makes the model much larger than its files."""
        if self._room is None:
            return
        self._room -= math.prod(shape)
        if self._room < 0:
            raise ValueError(
                "The model would be far larger than the weights that are there: its "
                f"next one has the shape {tuple(shape)}. Its config is damaged, or the "
                "weights are cut short: copy or download both again."
            )

    def add(self, weight, initializer):
        """Keeps the initializer of a weight that is zero so far."""
        self._initializers.append((weight, initializer))

    def draw(self, only=None, except_for=()):
        """Gives weights the values that they begin with, each once.

        Args:
            only: List of weights, by default all.
            except_for: List of weights that have their values.
        """
        done = {id(weight) for weight in except_for}
        wanted = None if only is None else {id(weight) for weight in only}
        rest = []
        for weight, initializer in self._initializers:
            if wanted is not None and id(weight) not in wanted:
                rest.append((weight, initializer))
            elif id(weight) not in done:
                weight.assign(initializer(weight.shape, dtype=weight.dtype))
        self._initializers = rest


@contextlib.contextmanager
def postpone_initial_values(most=None):
    """Lets the weights of layers that are built within be zero at first.

    Only in this thread; other threads that postpone wait.

    Args:
        most: How many numbers they may have in all. By default any.

    Yields:
        `InitialValues`, whose `draw` makes up for it.

    Raises:
        ValueError: They have more.

    Example:

    >>> layer = keras.layers.Dense(2, bias_initializer="ones")
    >>> with postpone_initial_values() as values:
    ...     layer.build((None, 3))
    >>> [float(abs(weight.numpy()).sum()) for weight in layer.weights]
    [0.0, 0.0]
    >>> values.draw(except_for=[layer.kernel])
    >>> [float(abs(weight.numpy()).sum()) for weight in layer.weights]
    [0.0, 2.0]
    """
    values, thread = InitialValues(most), threading.get_ident()

    @functools.wraps(ADD_WEIGHT)
    def add_zeros(layer, shape=(), initializer=None, dtype=None, **options):
        if threading.get_ident() != thread:
            return ADD_WEIGHT(layer, shape, initializer, dtype, **options)
        values.reserve(shape)
        weight = ADD_WEIGHT(layer, shape, "zeros", dtype, **options)
        if initializer is None:
            is_float = "float" in weight.dtype
            initializer = "glorot_uniform" if is_float else "zeros"  # as Keras does
        values.add(weight, keras.initializers.get(initializer))
        return weight

    with BUILDING:
        before = keras.layers.Layer.add_weight
        keras.layers.Layer.add_weight = add_zeros
        try:
            yield values
        finally:
            keras.layers.Layer.add_weight = before
