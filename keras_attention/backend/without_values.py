"""Models whose variables have shapes and no values, and what a step of theirs holds.

A model of hundreds of gigabytes can be built, counted and measured on any machine.
"""

import contextlib
import math
import re
import threading
import weakref

import keras


def built_without_values(make):
    """Makes a model, or anything else with variables, that takes no memory.

    Args:
        make: Function without arguments.

    Returns:
        What `make` returns. Its variables have shapes and dtypes, but no values, so it
        can be counted and measured, but not used.

    Example:

    >>> layer = keras.layers.Dense(10**6)
    >>> built_without_values(lambda: layer.build((None, 10**6)))
    >>> layer.count_params()
    1000001000000
    """
    policy, made, errors = keras.config.dtype_policy(), [], []

    def run():
        keras.config.set_dtype_policy(policy)
        try:
            with keras.StatelessScope(initialize_variables=False):
                made.append(make())
        except BaseException as error:  # raised again by the thread that asked
            errors.append(error)

    # Keras lists the variables that wait for values by thread, and at the next
    # occasion gives them their values. This thread has no next occasion.
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return made[0]


def bytes_of(arrays):
    """How many bytes variables, tensors or arrays take together.

    Args:
        arrays: List of what has a shape and a dtype.

    Example:

    >>> bytes_of([np.zeros((2, 3), "float32"), np.zeros(5, "bool")])
    29
    """
    dtypes = [keras.backend.standardize_dtype(array.dtype) for array in arrays]
    return sum(
        math.prod(array.shape) * bytes_of_one(dtype)
        for array, dtype in zip(arrays, dtypes, strict=True)
    )


def bytes_of_one(dtype):
    """How many bytes a number takes: 2 for `"bfloat16"`."""
    return 1 if dtype == "bool" else int(re.search(r"\d+", dtype).group()) // 8


def bytes_of_result(function):
    """How many bytes a function's result takes; it is not computed.

    Args:
        function: Function without arguments that makes tensors with `keras.ops`.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        result = jax.eval_shape(function)
    elif backend == "torch":
        with _fake_tensors():
            result = function()
    else:
        import tensorflow as tf

        with tf.Graph().as_default():
            result = function()
    return bytes_of(keras.tree.flatten(result))


def bytes_of_optimizer(optimizer, variables):
    """How many bytes an optimizer keeps for variables, its own counts included.

    Args:
        optimizer: A Keras optimizer that is not built.
        variables: Those of a model of `built_without_values`.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.Graph().as_default():  # whose optimizers take no other variables
            shapes = [(v.shape, v.dtype) for v in variables]
            optimizer.build([keras.Variable("zeros", *shape) for shape in shapes])
    else:
        built_without_values(lambda: optimizer.build(variables))
    return bytes_of(optimizer.variables)


def bytes_of_step(model, inputs, loss, devices=1):
    """The most bytes that forward and backward pass hold at once, beside the weights.

    Nothing is computed. On JAX it is what XLA sets aside for the compiled program, on
    PyTorch the tensors that are alive together.

    Args:
        model: A model of `built_without_values`.
        inputs: `keras.KerasTensor`s, or a structure of them, without unknown axes.
        loss: Function of the outputs that returns a scalar.
        devices: How many devices share the gradients of the weights.

    Returns:
        Bytes without the gradients of weights, and with what one device holds of them.
        Two times `None` on TensorFlow, which cannot say it without running the step.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        return _bytes_on_jax(model, inputs, loss, devices)
    if backend == "torch":
        return _bytes_on_torch(model, inputs, loss, devices)
    return None, None


def _bytes_on_jax(model, inputs, loss, devices):
    import jax

    def spec(x):
        return jax.ShapeDtypeStruct(x.shape, keras.backend.standardize_dtype(x.dtype))

    arguments = keras.tree.map_structure(
        spec, (model.trainable_variables, model.non_trainable_variables, inputs)
    )

    def loss_of(*arguments):
        outputs, _ = model.stateless_call(*arguments, training=True)
        return loss(outputs)

    program = jax.jit(jax.grad(loss_of)).lower(*arguments).compile()
    needed = program.memory_analysis()
    alone = needed.temp_size_in_bytes
    return alone, alone + -(-needed.output_size_in_bytes // devices)


def _bytes_on_torch(model, inputs, loss, devices):
    import torch

    def empty(x, requires_grad=False):
        dtype = getattr(torch, keras.backend.standardize_dtype(x.dtype))
        return torch.empty(x.shape, dtype=dtype, requires_grad=requires_grad)

    with _fake_tensors():
        values = [(v, empty(v, requires_grad=v.trainable)) for v in model.variables]
        inputs = keras.tree.map_structure(empty, inputs)
        # Blocks that are computed again read their variables in the backward pass.
        with keras.StatelessScope(state_mapping=values), _alive_tensors() as alive:
            for _, value in values:
                if value.requires_grad:
                    value.register_post_accumulate_grad_hook(
                        lambda value: alive.share(value, devices)
                    )
            loss(model(inputs, training=True)).backward()
    return alive.most, alive.most_with_gradients


@contextlib.contextmanager
def _fake_tensors():
    """Tensors of PyTorch with shapes and no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def _alive_tensors():
    """A context that counts the bytes of the tensors that PyTorch makes in it.

    Returns:
        A context manager. `most` is the most that was alive at once, but for the
        gradients that were given to `share`.
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    class AliveTensors(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.now = self.most = 0
            self.gradients = self.most_with_gradients = 0
            self.known = weakref.WeakSet()

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            for x in keras.tree.flatten(result):
                if hasattr(x, "untyped_storage"):
                    self.count(x.untyped_storage())
            return result

        def count(self, storage):
            if storage in self.known:
                return
            self.known.add(storage)
            self.now += storage.nbytes()
            self.look()
            weakref.finalize(storage, self.forget, storage.nbytes())

        def forget(self, size):
            self.now -= size

        def share(self, value, devices):
            """Leaves the gradient of a weight to so many devices."""
            self.gradients += -(-value.grad.untyped_storage().nbytes() // devices)
            value.grad = None
            self.look()

        def look(self):
            self.most = max(self.most, self.now)
            together = self.now + self.gradients
            self.most_with_gradients = max(self.most_with_gradients, together)

    return AliveTensors()
