"""Attention is differentiated again, forward, and for each sample, as any function.

Tiles and kernels of a framework have a fast gradient, which no backend knows how to
differentiate: by itself, attention falls back to what can.
"""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import penalty_gradients
from helpers import to_numpy
from helpers import weight_gradients
from keras_attention.layers import TransformerEncoder
from keras_attention.layers import TransformerEncoderBlock
from keras_attention.ops import attend
from keras_attention.ops import chunked
from keras_attention.ops import RelativeBias
from keras_attention.ops import use_implementation
from ops.cases import random_bias
from ops.cases import random_mask
from ops.cases import random_sinks
from ops.cases import tensors

T = 5
CASES = {
    "plain": {},
    "a causal window with a cap": {"window": 2, "is_causal": True, "softcap": 0.7},
    "a mask and a bias": {"mask": "BTS", "bias": "NTS"},
    "a table": {"table": True, "is_causal": True, "offset": 2},
    "sinks and dropout": {"sinks": True, "dropout": 0.3, "seed": 5},
}
OF_KERNELS = ("plain", "a mask and a bias", "a table")
IMPLEMENTATIONS = [("chunked", name) for name in CASES]
if BACKEND == "torch":
    IMPLEMENTATIONS += [("fused", name) for name in OF_KERNELS]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    monkeypatch.setattr(chunked, "tile_size", lambda lengths, window: (3, 4))
    monkeypatch.setattr(chunked, "size_of_rows", lambda *shapes_and_sides: None)


@pytest.fixture
def tiles_are_better(monkeypatch):
    """Tiles are chosen for few tokens, too."""
    monkeypatch.setattr(chunked, "is_better", lambda *inputs, **options: True)
    monkeypatch.setattr("keras_attention.ops.fused.is_better", lambda *_, **__: False)


def case(rng, name):
    """The arrays that are learned, by name, and the other options."""
    options = dict(CASES[name])
    query, key, _ = tensors(rng, T, num_key_heads=2)
    learned = {"query": query, "key": key, "value": key[..., ::-1].copy()}
    if "mask" in options:
        options["mask"] = random_mask(rng, options["mask"], T)
    if "bias" in options:
        learned["bias"] = random_bias(rng, options.pop("bias"), T)
    if options.pop("sinks", False):
        learned["sinks"] = random_sinks(rng)
    if options.pop("table", False):
        shape = query.shape[2], T + key.shape[1] - 1, 1
        learned["table"] = rng.normal(size=shape).astype("float32")
    return learned, options


def function_of(names, options, implementation=None):
    def call(*arrays):
        given = dict(zip(names, arrays, strict=True))
        if "table" in given:
            given["bias"] = RelativeBias(given.pop("table"))
        output = attend(**given, **options, implementation=implementation)
        return keras.ops.sum(output**2)

    return call


@pytest.mark.parametrize("implementation, name", IMPLEMENTATIONS)
def test_a_gradient_is_differentiated_again(implementation, name, rng):
    learned, options = case(rng, name)
    found, expected = (
        penalty_gradients(function_of(learned, options, way), *learned.values())
        for way in (implementation, "explicit")
    )
    for part, one, other in zip(learned, found, expected, strict=True):
        assert np.abs(other).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4, err_msg=part)


def derivative_along(function, arrays, directions):
    """The derivative along directions, by forward differentiation."""
    arrays, directions = (
        [keras.ops.convert_to_tensor(x) for x in xs] for xs in (arrays, directions)
    )
    if BACKEND == "jax":
        import jax

        return to_numpy(jax.jvp(function, arrays, directions)[1])
    if BACKEND == "torch":
        import torch

        return to_numpy(torch.func.jvp(function, tuple(arrays), tuple(directions))[1])
    import tensorflow as tf

    with tf.autodiff.ForwardAccumulator(arrays, directions) as accumulator:
        value = function(*arrays)
    return to_numpy(accumulator.jvp(value))


@pytest.mark.usefixtures("tiles_are_better")
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
def test_forward_differentiation_goes_through(rng):
    learned, options = case(rng, "a causal window with a cap")
    directions = [rng.normal(size=x.shape).astype("float32") for x in learned.values()]
    expected = derivative_along(
        function_of(learned, options, "explicit"), learned.values(), directions
    )
    if BACKEND == "tensorflow":
        with pytest.raises(
            NotImplementedError, match=r"use_implementation\('explicit'"
        ):
            derivative_along(
                function_of(learned, options), learned.values(), directions
            )
        return
    found = derivative_along(
        function_of(learned, options), learned.values(), directions
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.usefixtures("tiles_are_better")
@pytest.mark.skipif(BACKEND == "tensorflow", reason="It has no vmap of gradients.")
def test_gradients_of_each_sample_come_at_once(rng):
    learned, options = case(rng, "a causal window with a cap")
    arrays = [keras.ops.convert_to_tensor(x[:, None]) for x in learned.values()]

    def gradients(function):
        if BACKEND == "jax":
            import jax as of
        else:
            import torch.func as of
        return to_numpy(of.vmap(of.grad(function))(*arrays))

    found, expected = (
        gradients(function_of(learned, options, way)) for way in (None, "explicit")
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def gradient_in_graph(function, x):
    """The gradient of a number by a tensor, which can be differentiated again."""
    if BACKEND == "jax":
        import jax

        return jax.grad(function)(x)
    if BACKEND == "torch":
        import torch

        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x), x, create_graph=True)[0]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        value = function(x)
    return tape.gradient(value, x)


@pytest.mark.usefixtures("tiles_are_better")
def test_a_gradient_penalty_reaches_the_weights_of_a_stack(rng):
    """By it critics and energies are trained."""
    stack = TransformerEncoder(TransformerEncoderBlock(2, 16), 2)
    x = keras.ops.convert_to_tensor(rng.normal(size=(2, T, 8)).astype("float32"))
    direction = keras.ops.convert_to_tensor(rng.normal(size=x.shape).astype("float32"))
    stack.build(x.shape)

    def penalty():
        gradient = gradient_in_graph(lambda x: keras.ops.sum(stack(x) * direction), x)
        return keras.ops.sum(gradient**2)

    found = weight_gradients(penalty, stack.trainable_variables)
    with use_implementation("explicit"):
        expected = weight_gradients(penalty, stack.trainable_variables)
    for weight, one, other in zip(
        stack.trainable_variables, found, expected, strict=True
    ):
        size = np.abs(other).max()
        np.testing.assert_allclose(
            one, other, rtol=1e-4, atol=1e-5 * size, err_msg=weight.path
        )
    assert np.abs(found[0]).max() > 0
