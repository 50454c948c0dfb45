"""`attend` gives compiled what it gives eagerly, also for lengths not known before."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.ops import attend
from keras_attention.ops import causal_mask
from keras_attention.ops import rotary_angles
from keras_attention.ops import use_implementation
from ops.cases import distance_scores
from ops.cases import H
from ops.cases import HV
from ops.cases import N
from ops.cases import random_bias
from ops.cases import random_mask
from ops.cases import random_sinks
from ops.cases import tensors

# torch.compile looks into functions of Keras that only remember what they computed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Dynamo detected a call to a `functools.lru_cache`-wrapped:UserWarning"
)

EVERY = {
    "plain": {},
    "with the weights": {"return_attention_scores": True},
    "masked, causal, windowed": {"mask": "BTS", "is_causal": True, "window": (2, 1)},
    "with a bias and a mask": {"mask": "BS", "bias": "NTS", "scale": 0.3},
    "causal alone": {"is_causal": True},
    "with sinks and softcap": {"sinks": True, "softcap": 2.0, "window": 2},
    "with a score": {"score": distance_scores, "is_causal": True},
}


@pytest.fixture(autouse=True)
def fresh_graphs():
    """Each test starts with no function compiled by torch."""
    if BACKEND == "torch":
        import torch

        torch.compiler.reset()


def case(rng, name, query_length=5):
    """Query, key, value, the options that are tensors, and the others."""
    options = dict(EVERY[name])
    arrays = {}
    if "mask" in options:
        arrays["mask"] = random_mask(rng, options.pop("mask"), query_length)
    if "bias" in options:
        arrays["bias"] = random_bias(rng, options.pop("bias"), query_length)
    if options.pop("sinks", False):
        arrays["sinks"] = random_sinks(rng)
    return tensors(rng, query_length, num_key_heads=2), arrays, options


def check(compiled, inputs, arrays, options):
    """Asserts that a compiled function gives what `attend` gives, to 1e-5."""
    inputs = [keras.ops.convert_to_tensor(x) for x in inputs]
    arrays = {n: keras.ops.convert_to_tensor(x) for n, x in arrays.items()}
    found = keras.tree.flatten(to_numpy(compiled(*inputs, **arrays)))
    expected = keras.tree.flatten(to_numpy(attend(*inputs, **arrays, **options)))
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jit")
@pytest.mark.parametrize("name", EVERY)
def test_jax_jit(name, rng):
    import jax

    inputs, arrays, options = case(rng, name)

    @jax.jit
    def compiled(*inputs, **arrays):
        return attend(*inputs, **arrays, **options)

    check(compiled, inputs, arrays, options)


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jit")
def test_jax_jit_of_the_fused_implementation(rng):
    import jax

    (query, key, _), arrays, options = case(rng, "with a bias and a mask")

    @jax.jit
    def compiled(*inputs, **arrays):
        return attend(*inputs, **arrays, **options, implementation="fused")

    check(compiled, (query, key, key), arrays, options)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
@pytest.mark.parametrize("name", EVERY)
def test_tf_function(name, jit_compile, rng):
    import tensorflow as tf

    inputs, arrays, options = case(rng, name)

    @tf.function(jit_compile=jit_compile)
    def compiled(*inputs, **arrays):
        return attend(*inputs, **arrays, **options)

    check(compiled, inputs, arrays, options)


def unknown_lengths(arrays):
    """TensorSpecs of query, key and value with unknown batch and lengths, and of
    more arrays of which no axis is known."""
    import tensorflow as tf

    inputs = (
        tf.TensorSpec((None, None, N, H)),
        tf.TensorSpec((None, None, 2, H)),
        tf.TensorSpec((None, None, 2, HV)),
    )
    more = {
        name: tf.TensorSpec((N,) if name == "sinks" else (None,) * x.ndim, x.dtype)
        for name, x in arrays.items()
    }
    return inputs, more


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("name", EVERY)
def test_one_tf_function_serves_every_batch_size_and_length(name, rng):
    import tensorflow as tf

    _, arrays, options = case(rng, name)
    specs, more = unknown_lengths(arrays)

    @tf.function
    def function(*inputs, **arrays):
        return attend(*inputs, **arrays, **options)

    compiled = function.get_concrete_function(*specs, **more)
    output = keras.tree.flatten(compiled.structured_outputs)[0]
    assert output.shape.as_list() == [None, None, N, HV]
    for batch_size, query_length in ((8, 5), (8, 9), (2, 7)):
        inputs, arrays, _ = case(rng, name, query_length)
        arrays = {n: x[:batch_size] if n == "mask" else x for n, x in arrays.items()}
        inputs = [x[:batch_size] for x in inputs]
        check(function, inputs, arrays, options)
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.skipif(BACKEND != "tensorflow", reason="SavedModel")
def test_a_saved_model_reads_any_length(tmp_path, rng):
    """As in `model.export`: masks and positions are made from lengths in the graph."""
    import tensorflow as tf

    class Module(tf.Module):
        @tf.function(input_signature=unknown_lengths({})[0])
        def __call__(self, query, key, value):
            key_length = keras.ops.shape(key)[1]
            cosines, _ = rotary_angles(keras.ops.shape(query)[1], H)
            mask = causal_mask(keras.ops.shape(query)[1], key_length)
            return attend(query, key, value, mask=mask), cosines

    tf.saved_model.save(Module(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for query_length in (5, 9):
        inputs = tensors(rng, query_length, num_key_heads=2)
        output, cosines = loaded(*inputs)
        expected = attend(*inputs, is_causal=True)
        np.testing.assert_allclose(to_numpy(output), to_numpy(expected), atol=1e-5)
        expected, _ = rotary_angles(query_length, H)
        np.testing.assert_allclose(to_numpy(cosines), to_numpy(expected), atol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile")
@pytest.mark.parametrize("implementation", [None, "explicit"])
@pytest.mark.parametrize("name", EVERY)
def test_torch_compile_traces_it_in_one_graph(name, implementation, rng):
    import torch

    inputs, arrays, options = case(rng, name)
    options["implementation"] = implementation

    @torch.compile(backend="eager", fullgraph=True)
    def compiled(*inputs, **arrays):
        return attend(*inputs, **arrays, **options)

    check(compiled, inputs, arrays, options)


@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile")
def test_torch_compile_sees_the_implementation_of_its_thread(rng):
    import torch

    inputs = [torch.as_tensor(x) for x in case(rng, "plain")[0]]

    @torch.compile(backend="eager", fullgraph=True)
    def compiled(*inputs):
        return attend(*inputs, softcap=2.0)

    compiled(*inputs)
    with use_implementation("fused"):
        with pytest.raises(Exception, match="it has no `softcap`"):
            compiled(*inputs)


@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile")
@pytest.mark.parametrize("name", EVERY)
def test_torch_compiles_a_second_time_for_all_other_lengths(name, rng):
    """The second length tells torch that it changes; the third needs no new graph."""
    import torch

    options = case(rng, name)[2]
    graphs = []

    def count(graph, example_inputs):
        graphs.append(graph)
        return graph

    @torch.compile(backend=count, fullgraph=True)
    def compiled(*inputs, **arrays):
        return attend(*inputs, **arrays, **options)

    for query_length in (5, 6, 9):
        inputs, arrays, _ = case(rng, name, query_length)
        check(compiled, inputs, arrays, options)
    assert len(graphs) == 2
