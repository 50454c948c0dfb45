"""What decoding step by step needs of each backend: slots, loops, compiled programs.

Letters: B batch, K heads of keys and values, S slots of a cache, T new tokens, H width
of a head, R = B K rows of a cache.
"""

import collections
import contextlib
import threading

import keras
from keras import ops

from keras_attention.backend.exporting import is_exporting
from keras_attention.backend.kept_variables import one_thread

# How many steps of one loop are kept as they were written down, each for its shapes.
MOST_TRACED = 16


def filled_slots(length, count, slots):
    """How many slots a step reads: those that are filled, where that is known.

    On PyTorch, which compiles nothing, the rest is cut off; elsewhere each size would
    be compiled anew.

    Args:
        length: How many were filled before, an integer or a tensor.
        count: How many the step fills.
        slots: S.

    Returns:
        An integer.

    Example:

    >>> filled_slots(3, 1, 8) == (4 if keras.backend.backend() == "torch" else 8)
    True
    """
    if keras.backend.backend() == "torch" and isinstance(length, int):
        return length + count
    return slots


def write_slots(cache, update, start):
    """Writes tokens into a cache, on PyTorch in place.

    Args:
        cache: `(R, S, H)`, which must not be used afterwards.
        update: `(R, T, H)`.
        start: The slot of the first token, an integer or a tensor without axes.

    Returns:
        The changed cache.

    Example:

    >>> cache = write_slots(keras.ops.zeros((1, 3, 1)), [[[5.0]]], 1)
    >>> keras.ops.convert_to_numpy(cache)[0, :, 0].tolist()
    [0.0, 5.0, 0.0]
    """
    update = ops.cast(update, cache.dtype)
    if is_exporting() and update.shape[1] == 1:  # by what every runtime has
        here = ops.equal(ops.arange(cache.shape[1], dtype="int32"), start)
        return ops.where(here[:, None], update, cache)
    if keras.backend.backend() == "torch":
        import torch

        if isinstance(start, int):
            cache[:, start : start + update.shape[1]] = update
            return cache
        places = start + torch.arange(update.shape[1], device=cache.device)
        return cache.index_copy_(1, places, update)
    if keras.backend.backend() == "jax":
        from jax import lax

        return lax.dynamic_update_slice_in_dim(cache, update, start, axis=1)
    return ops.slice_update(cache, (0, start, 0), update)


def while_loop(goes_on, step, number, state):
    """Takes steps while it is so.

    Args:
        goes_on: `goes_on(number, state)` returns a boolean.
        step: `step(number, state)` returns the next state, of the same shapes.
        number: The number of the first step; on PyTorch it stays an integer.
        state: A nested structure of tensors and numbers.

    Returns:
        The number of the step that was not taken, and the state.

    Example:

    >>> number, total = while_loop(
    ...     lambda number, total: number < 4,
    ...     lambda number, total: total + number,
    ...     1,
    ...     keras.ops.convert_to_tensor(0),
    ... )
    >>> int(number), int(total)
    (4, 6)
    """
    if keras.backend.backend() == "torch":
        number = int(number)
        while bool(goes_on(number, state)):
            state = step(number, state)
            number += 1
        return number, state
    number = ops.convert_to_tensor(number, dtype="int32")
    state = keras.tree.map_structure(ops.convert_to_tensor, state)
    if keras.backend.backend() == "jax":
        from jax import lax

        return lax.while_loop(
            lambda loop: goes_on(*loop),
            lambda loop: (loop[0] + 1, step(*loop)),
            (number, state),
        )
    import tensorflow as tf

    return tf.while_loop(
        lambda number, state: goes_on(number, state),
        lambda number, state: (number + 1, step(number, state)),
        (number, state),
    )


class Recent:
    """Values that were made for keys, of which those that were used last are kept.

    Args:
        most: How many.

    Example:

    >>> recent = Recent(most=2)
    >>> [recent.get(key, lambda: key.upper()) for key in "abca"], len(recent)
    (['A', 'B', 'C', 'A'], 2)
    """

    def __init__(self, most):
        self._most, self._made = most, collections.OrderedDict()
        self._lock = threading.RLock()

    def get(self, key, make):
        """The value for a key, made by `make()` where it is not there."""
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
                while len(self._made) > self._most:
                    self._made.popitem(last=False)
            self._made.move_to_end(key)
            return self._made[key]

    def __len__(self):
        return len(self._made)

    def values(self):
        """A list of the values that are kept."""
        with self._lock:
            return list(self._made.values())


class Program:
    """A function of tensors that reads the weights of a model, compiled.

    It is compiled once for each set of shapes of its inputs: by JAX, with the weights
    as arguments, by TensorFlow with XLA. PyTorch runs it as it is, in inference mode.

    Args:
        function: A function of nested structures of tensors and numbers.
        variables: The variables that it reads.
        donated: Numbers of the arguments that are not used afterwards.
        use_xla: Whether TensorFlow compiles it with XLA, or leaves it a graph of its
            kernels, which convolve twice as fast on a processor.
        model: The model whose variables they are, if other threads may run it.

    Example:

    >>> double = Program(lambda x: 2 * x, [])
    >>> [float(double(keras.ops.convert_to_tensor(x))) for x in (1.0, 2.0)]
    [2.0, 4.0]
    >>> double.num_compilations == (0 if keras.backend.backend() == "torch" else 1)
    True
    """

    def __init__(self, function, variables, donated=(), use_xla=True, model=None):
        self.num_compilations = 0
        self._model = model
        self._variables = list(variables)
        self._function = function
        backend = keras.backend.backend()
        if backend == "jax":
            import jax

            numbers = tuple(number + 1 for number in donated)
            self._compiled = jax.jit(self._with_values, donate_argnums=numbers)
        elif backend == "tensorflow":
            import tensorflow as tf

            self._compiled = tf.function(
                self._traced, jit_compile=use_xla, autograph=False
            )

    def _traced(self, *inputs):
        self.num_compilations += 1  # runs when it is traced
        return self._function(*inputs)

    def _with_values(self, values, *inputs):
        mapping = list(zip(self._variables, values, strict=True))
        with keras.StatelessScope(state_mapping=mapping):
            return self._traced(*inputs)

    def __call__(self, *inputs):
        backend = keras.backend.backend()
        if backend == "torch":
            import torch

            with torch.inference_mode():
                return self._function(*inputs)
        if backend == "jax":
            others = contextlib.nullcontext()
            if self._model is not None:  # they would take the values away
                others = one_thread(self._model)
            with others:
                return self._compiled([v.value for v in self._variables], *inputs)
        # Numbers as tensors, or each would be compiled for itself.
        inputs = keras.tree.map_structure(
            lambda x: None if x is None else ops.convert_to_tensor(x), inputs
        )
        return self._compiled(*inputs)


class Loop:
    """A loop that reads the weights of a model, compiled.

    On JAX and TensorFlow the whole of it is one program. On PyTorch the loop runs in
    Python, and what it repeats is written down once as the plain list of kernels that
    it calls (`torch.fx`), without what Python does to find them.

    Args:
        goes_on: Function of the state that says whether there is more to do.
        step: Function of the number of the step, the state, what else there is, and
            the number of the last step plus one. It returns the next state, of the same
            shapes and dtypes.
        variables: The variables that `step` reads.
        model: As for `Program`.

    Example:

    >>> double = Loop(lambda x: x < 9, lambda number, x, extra, last: x + extra, [])
    >>> extra = keras.ops.convert_to_tensor(4)
    >>> [int(x) for x in double(2, 5, 5, keras.ops.convert_to_tensor(3), extra)]
    [4, 11]
    """

    def __init__(self, goes_on, step, variables, model=None):
        self._goes_on = goes_on
        self._step = step
        self._traced = Recent(MOST_TRACED)
        self._program = Program(self._run, variables, donated=(3,), model=model)

    @property
    def num_compilations(self):
        """How often it was compiled."""
        return self._program.num_compilations + len(self._traced)

    def _run(self, number, end, last, state, extra):
        return while_loop(
            lambda number, state: ops.logical_and(number < end, self._goes_on(state)),
            lambda number, state: self._step(number, state, extra, last),
            number,
            state,
        )

    def __call__(self, number, end, last, state, extra):
        """Takes steps.

        Args:
            number: The number of the first.
            end: The number at which it ends at the latest.
            last: The number at which it could end; `step` gets it.
            state: A nested structure of tensors and numbers, not used afterwards.
            extra: A nested structure of tensors.

        Returns:
            The number of the step that was not taken, and the state.
        """
        if keras.backend.backend() != "torch":
            return self._program(number, end, last, state, extra)
        import torch

        from keras_attention.backend.torch_steps import from_leaves
        from keras_attention.backend.torch_steps import to_leaves
        from keras_attention.backend.torch_steps import TracedStep

        # Each number is a tensor, or it would be written down as it is.
        rest = to_leaves((extra, last))
        leaves = to_leaves(state)
        key = tuple((tuple(x.shape), x.dtype, x.device) for x in leaves + rest)

        def trace():
            with torch.no_grad():
                return TracedStep(
                    self._goes_on, self._step, (number, state, extra, last)
                )

        step = self._traced.get(key, trace)
        number = int(number)
        with torch.inference_mode():
            goes_on = self._goes_on(state)
            while number < end and bool(goes_on):
                goes_on, *leaves = step(torch.tensor(number), *leaves, *rest)
                number += 1
        return number, from_leaves(state, leaves)
