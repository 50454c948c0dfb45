"""What the three backends call differently: loops and compiling."""

import functools

import keras
from keras import ops


def compiled(function):
    """Compiles a function of a dict of tensors and of options that do not change.

    On TensorFlow into a graph, whose kernels are faster than what XLA makes of them.
    PyTorch runs it as it is.

    Args:
        function: Called as `function(inputs, options)`, with `options` hashable.

    Returns:
        A function with the same arguments.
    """

    @functools.cache
    def program(options):
        specialized = functools.partial(function, options=options)
        if keras.backend.backend() == "jax":
            import jax

            return jax.jit(specialized)
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return tf.function(specialized)
        return specialized

    @functools.wraps(function)
    def run(inputs, options):
        return program(options)(inputs)

    return run


def on_gpu():
    """Whether the backend computes on a GPU.

    Returns:
        True or False.

    Example:

    >>> on_gpu() in (True, False)
    True
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "gpu"
    if backend == "torch":
        import torch

        return torch.cuda.is_available()
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


def is_symbolic_size(size):
    """Whether a size stands for any, in a program that JAX exports.

    Args:
        size: An integer, or what `keras.ops.shape` gives besides.

    Returns:
        True or False.

    Example:

    >>> is_symbolic_size(3)
    False
    """
    return not (size is None or isinstance(size, int) or hasattr(size, "shape"))


def is_traced_by_jax(x):
    """Whether a tensor stands for any, in a function that JAX compiles.

    Args:
        x: A tensor.

    Returns:
        True or False.

    Example:

    >>> is_traced_by_jax(keras.ops.ones(2))
    False
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    return isinstance(x, jax.core.Tracer)


def repeat(first, end, step, state):
    """Takes one step after the other.

    Args:
        first: The first number.
        end: The number before which it ends.
        step: `step(number, state)` returns the next state.
        state: A nested structure of tensors.

    Returns:
        The state after the last step.

    Example:

    >>> int(repeat(1, 4, lambda number, total: total + number, 0))
    6
    """
    if keras.backend.backend() != "tensorflow":
        return ops.fori_loop(first, end, step, state)
    import tensorflow as tf

    def as_before(after, before):
        """Tells TensorFlow again what it knew of a shape before the step."""
        if isinstance(after, tf.Tensor):
            return tf.ensure_shape(after, before.shape)
        return after

    def take(number, state):
        after = step(number, state)
        return number + 1, tf.nest.map_structure(as_before, after, state)

    # One step at a time: each has a tile of its own in memory.
    return tf.while_loop(
        lambda number, state: number < end,
        take,
        (first, state),
        parallel_iterations=1,
        maximum_iterations=end - first,  # by which XLA finds a gradient
    )[1]


def make_rows(shape, dtype):
    """Makes room for tensors that are written one after the other.

    Args:
        shape: `(n, ...)`, with n the number of tensors.
        dtype: That of the tensors.

    Returns:
        Something for `write_at` and `join_rows`, which `repeat` can carry.

    Example:

    >>> rows = write_at(make_rows((1, 2), "float32"), 0, keras.ops.ones(2))
    >>> keras.ops.convert_to_numpy(join_rows(rows)).tolist()
    [[1.0, 1.0]]
    """
    if keras.backend.backend() != "tensorflow":
        return ops.zeros(shape, dtype)
    import tensorflow as tf

    # A list of tensors: one changes without a copy of the others.
    return tf.TensorArray(dtype, shape[0], clear_after_read=False)


def write_at(rows, number, row):
    """Writes one of the tensors.

    Args:
        rows: From `make_rows`; must not be used again.
        number: Integer, which tensor.
        row: The tensor.

    Returns:
        The changed rows.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        return rows.write(number, row)
    if backend == "torch":
        rows[number].copy_(row)
        return rows
    from jax import lax

    return lax.dynamic_update_index_in_dim(rows, row, number, axis=0)


def make_sums(shape, dtype):
    """Makes a row of sums that begin at zero.

    Args:
        shape: `(n, ...)`, with n the number of sums.
        dtype: That of the sums.

    Returns:
        Something for `add_at` and `join_rows`, which `repeat` can carry.

    Example:

    >>> sums = add_at(make_sums((2, 3), "float32"), 1, keras.ops.ones(3))
    >>> keras.ops.convert_to_numpy(join_rows(sums)).tolist()
    [[0.0, 0.0, 0.0], [1.0, 1.0, 1.0]]
    """
    sums = make_rows(shape, dtype)
    if keras.backend.backend() != "tensorflow":
        return sums
    zeros = ops.zeros(shape[1:], dtype)  # one tensor for all
    return repeat(0, shape[0], lambda number, sums: sums.write(number, zeros), sums)


def add_at(sums, number, update):
    """Adds to one of the sums.

    Args:
        sums: From `make_sums`; must not be used again.
        number: Integer, which sum.
        update: What is added, without the first axis.

    Returns:
        The changed sums.
    """
    if keras.backend.backend() == "torch":
        sums[number].add_(update)
        return sums
    if keras.backend.backend() == "tensorflow":
        before = sums.read(number)
    else:
        from jax import lax

        before = lax.dynamic_index_in_dim(sums, number, keepdims=False)
    return write_at(sums, number, before + update)


def join_rows(rows):
    """Gives the sums or the tensors as one.

    Args:
        rows: From `make_sums` or `make_rows`.

    Returns:
        `(n, ...)`.
    """
    return rows.stack() if keras.backend.backend() == "tensorflow" else rows


def add_slice(x, start, update):
    """Adds to a part of a tensor, in place where the backend can.

    Args:
        x: A tensor, which must not be used afterwards.
        start: For each axis, where the part begins.
        update: A tensor with as many axes.

    Returns:
        The changed tensor.

    Example:

    >>> x = add_slice(keras.ops.zeros((2, 3)), (1, 1), keras.ops.ones((1, 2)))
    >>> keras.ops.convert_to_numpy(x).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]]
    """
    if keras.backend.backend() == "torch":
        part = x
        for axis, begin in enumerate(start):
            part = part.narrow(axis, begin, update.shape[axis])
        part.add_(update)
        return x
    part = ops.slice(x, start, ops.shape(update))
    return ops.slice_update(x, start, part + update)
