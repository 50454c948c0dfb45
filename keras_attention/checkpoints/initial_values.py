"""Building a model whose weights are read from a file: no random ones are drawn first.

Drawing the 124 million weights of GPT-2 takes ten times as long as reading them.
"""

import contextlib
import functools
import threading

import keras

ADD_WEIGHT = keras.layers.Layer.add_weight
BUILDING = threading.RLock()


class InitialValues:
    """What the weights of a model begin with, drawn when it is asked for.

    See `postpone_initial_values`.
    """

    def __init__(self):
        self._initializers = []  # (weight, initializer)

    def add(self, weight, initializer):
        """Keeps the initializer of a weight that is zero so far."""
        self._initializers.append((weight, initializer))

    def draw(self, except_for=()):
        """Gives weights the values that they begin with.

        Args:
            except_for: List of weights that have their values.
        """
        done = {id(weight) for weight in except_for}
        for weight, initializer in self._initializers:
            if id(weight) not in done:
                weight.assign(initializer(weight.shape, dtype=weight.dtype))
        self._initializers = []


@contextlib.contextmanager
def postpone_initial_values():
    """Lets the weights of layers that are built within be zero at first.

    Only in this thread; other threads that postpone wait.

    Yields:
        `InitialValues`, whose `draw` makes up for it.

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
    values, thread = InitialValues(), threading.get_ident()

    @functools.wraps(ADD_WEIGHT)
    def add_zeros(layer, shape=(), initializer=None, dtype=None, **options):
        if threading.get_ident() != thread:
            return ADD_WEIGHT(layer, shape, initializer, dtype, **options)
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
