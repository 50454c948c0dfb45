"""What tests share: `from helpers import to_numpy`."""

import importlib
import importlib.util
import inspect
import os
import pathlib
import pkgutil
import subprocess
import sys
import tempfile
import textwrap

import keras

ROOT = pathlib.Path(__file__).parents[1]
BACKEND = keras.backend.backend()
BACKENDS = ("jax", "torch", "tensorflow")


def load_script(name):
    """The script of that name in tutorials/, as a module of its own."""
    path = ROOT / "tutorials" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def to_numpy(structure):
    """The tensors of a nested structure as NumPy arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, structure)


def run_in_fresh_process(code, *, backend=BACKEND, cwd=None, env=None, timeout=300):
    """Runs Python code in a new process and gives back what it printed.

    The process starts outside the repository, or in `cwd`, so that it sees the
    package only as it is installed. If it fails, the test fails with what the process
    wrote.
    """
    result = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        cwd=cwd or tempfile.gettempdir(),
        env={**os.environ, "KERAS_BACKEND": backend, **(env or {})},
        timeout=timeout,
    )
    assert result.returncode == 0, (
        f"The process ended with {result.returncode}.\n"
        f"--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"
    )
    return result.stdout


def input_gradients(function, *arrays):
    """The gradient of `sum(function(*arrays))` by each array, as NumPy arrays."""
    if BACKEND == "jax":
        import jax

        def total(*tensors):
            return keras.ops.sum(function(*tensors))

        tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
        return to_numpy(list(jax.grad(total, range(len(tensors)))(*tensors)))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(array) for array in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = keras.ops.sum(function(*tensors))
        return to_numpy(tape.gradient(total, tensors))
    tensors = [
        keras.ops.convert_to_tensor(array).detach().clone().requires_grad_()
        for array in arrays
    ]
    keras.ops.sum(function(*tensors)).backward()
    return [to_numpy(tensor.grad) for tensor in tensors]


def penalty_gradients(function, *arrays):
    """The gradients of a number and of the squares of its gradients, by each array."""
    indices = range(len(arrays))
    if BACKEND == "jax":
        import jax

        def penalized(*tensors):
            value, gradients = jax.value_and_grad(function, indices)(*tensors)
            return value + sum(keras.ops.sum(x**2) for x in gradients)

        tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
        return to_numpy(list(jax.grad(penalized, indices)(*tensors)))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        tensors = [tf.convert_to_tensor(array) for array in arrays]
        with tf.GradientTape() as outer:
            outer.watch(tensors)
            with tf.GradientTape() as inner:
                inner.watch(tensors)
                value = function(*tensors)
            gradients = inner.gradient(value, tensors)
            total = value + sum(keras.ops.sum(x**2) for x in gradients)
        return to_numpy(outer.gradient(total, tensors))
    import torch

    tensors = [
        keras.ops.convert_to_tensor(array).detach().clone().requires_grad_()
        for array in arrays
    ]
    value = function(*tensors)
    gradients = torch.autograd.grad(value, tensors, create_graph=True)
    total = value + sum(keras.ops.sum(x**2) for x in gradients)
    return to_numpy(list(torch.autograd.grad(total, tensors)))


def weight_gradients(function, weights):
    """The gradient of `sum(function())` by each weight, as NumPy arrays.

    A weight that does not act has None on TensorFlow and torch and zeros on JAX: here
    it is zeros everywhere.
    """
    if BACKEND == "jax":
        import jax

        def total(values):
            with keras.StatelessScope(state_mapping=zip(weights, values, strict=True)):
                return keras.ops.sum(function())

        gradients = jax.jit(jax.grad(total))([weight.value for weight in weights])
    elif BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            total = keras.ops.sum(function())
        gradients = tape.gradient(total, [weight.value for weight in weights])
    else:
        for weight in weights:
            weight.value.grad = None
        keras.ops.sum(function()).backward()
        gradients = [weight.value.grad for weight in weights]
    return [
        to_numpy(keras.ops.zeros(weight.shape) if gradient is None else gradient)
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def modules():
    """The names of all modules of the package, `__main__` left out."""
    found = {"keras_attention"}
    for package in ("keras_attention", "keras_attention.applications"):
        path = importlib.import_module(package).__path__
        found.add(package)
        found.update(m.name for m in pkgutil.walk_packages(path, f"{package}."))
    return sorted(name for name in found if not name.endswith("__main__"))


def public_objects():
    """The public classes and functions by name: what the packages' contents list.

    Each stands under one name, as `keras_attention.layers.AdditiveAttention`.
    """
    found = {}
    for package in modules():
        if not hasattr(importlib.import_module(package), "__path__"):
            continue
        for name, value in vars(importlib.import_module(package)).items():
            is_ours = getattr(value, "__module__", "").startswith("keras_attention")
            if is_ours and callable(value) and not name.startswith("_"):
                found.setdefault(id(value), (f"{package}.{name}", value))
    return dict(sorted(found.values()))


def public_methods(cls):
    """The public methods that a class of ours adds to those of its foreign bases."""
    foreign = [b for b in cls.__mro__ if not b.__module__.startswith("keras_attention")]
    found = {}
    for base in cls.__mro__:
        if base in foreign:
            continue
        for name, value in vars(base).items():
            value = getattr(value, "__func__", value)
            if (
                inspect.isfunction(value)
                and not name.startswith("_")
                and not any(hasattr(other, name) for other in foreign)
            ):
                found.setdefault(name, value)
    return found


def parameters(function):
    """The names of a function's parameters, without `self`, `*args`, `**kwargs`."""
    starred = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind not in starred and name not in ("self", "cls")
    ]
