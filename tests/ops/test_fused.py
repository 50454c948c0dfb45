"""The framework's own kernel gives what the explicit implementation gives."""

import re

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention.ops import attend
from keras_attention.ops import fused
from ops.cases import BIAS_AXES
from ops.cases import combine
from ops.cases import distance_scores
from ops.cases import MASK_AXES
from ops.cases import N
from ops.cases import random_bias
from ops.cases import random_mask
from ops.cases import reference
from ops.cases import S
from ops.cases import tensors

has_fused = pytest.mark.skipif(
    BACKEND not in ("jax", "torch"), reason="TensorFlow has no fused attention."
)
# JAX needs values as wide as keys.
VALUE_DIMS = {"jax": (4,), "torch": (4, 3), "tensorflow": ()}[BACKEND]
NOT_SERVED = {
    "return_attention_scores": True,
    "score": distance_scores,
    "softcap": 2.0,
    "sinks": np.zeros(N, "float32"),
    "dropout": 0.5,
}


@pytest.fixture
def fused_calls(monkeypatch):
    """The keyword arguments of every call of the fused implementation."""
    calls = []
    run = fused.fused_attention

    def spy(*args, **options):
        calls.append(options)
        return run(*args, **options)

    monkeypatch.setattr(fused, "fused_attention", spy)
    return calls


def check_fused(inputs, options, bias=None):
    """Asserts that fused is explicit to 1e-5, forward and backward.

    Args:
        inputs: Query, key and value.
        options: Options of `attend`.
        bias: A bias that is learned, so its gradient counts as well.
    """
    shape = (*inputs[0].shape[:3], inputs[2].shape[-1])
    output_gradient = np.random.default_rng(0).normal(size=shape).astype("float32")
    output_gradient = keras.ops.convert_to_tensor(output_gradient)
    inputs = [*inputs, *(() if bias is None else (bias,))]
    results = {}
    for implementation in ("fused", "explicit"):

        def call(*tensors, implementation=implementation):
            given = dict(zip(("query", "key", "value", "bias"), tensors, strict=False))
            output = attend(**given, **options, implementation=implementation)
            return output * output_gradient

        results[implementation] = [
            to_numpy(call(*inputs)),
            *input_gradients(call, *inputs),
        ]
    names = ("output", "by query", "by key", "by value", "by bias")
    for name, *found in zip(names, *results.values(), strict=False):
        np.testing.assert_allclose(
            *found, rtol=0, atol=1e-5, err_msg=f"{name} with {options}"
        )


@has_fused
@pytest.mark.parametrize("value_dim", VALUE_DIMS)
@pytest.mark.parametrize(
    "query_length, num_key_heads, mask_axes, bias_axes",
    [(5, 2, "BTS", "NTS"), (7, 6, "BNTS", "TS"), (9, 1, "BS", "B1TS")],
    ids=["T<S and grouped heads", "T=S and own keys", "T>S and one key head"],
)
@pytest.mark.compiles_much
def test_fused_equals_explicit_forward_and_backward(
    query_length, num_key_heads, mask_axes, bias_axes, value_dim, rng
):
    """A bias is a constant, which leaves torch its fastest kernel, or is learned."""
    inputs = tensors(rng, query_length, num_key_heads)
    inputs[2] = rng.normal(size=(*inputs[1].shape[:3], value_dim)).astype("float32")
    mask = random_mask(rng, mask_axes, query_length)
    bias = random_bias(rng, bias_axes, query_length)
    every = combine(
        mask=(None, mask),
        window=(None, (2, 1)),
        is_causal=(False, True),
        scale=(None, 0.3),
    )
    if BACKEND == "jax" and query_length >= S:  # it takes long for each new shape
        every = [{"mask": mask, "window": (2, 1), "is_causal": True}]
    for options in every:
        check_fused(inputs, options, bias=bias)
        if len(every) > 1:
            check_fused(inputs, options)
            check_fused(inputs, {**options, "bias": bias})


@has_fused
@pytest.mark.parametrize("value_dim", VALUE_DIMS)
@pytest.mark.parametrize(
    "mask_axes, bias_axes", list(zip(MASK_AXES, BIAS_AXES, strict=True))
)
@pytest.mark.compiles_much
def test_fused_takes_every_form_of_mask_and_bias(mask_axes, bias_axes, value_dim, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    inputs[2] = rng.normal(size=(*inputs[1].shape[:3], value_dim)).astype("float32")
    mask, bias = random_mask(rng, mask_axes, 5), random_bias(rng, bias_axes, 5)
    check_fused(inputs, {"mask": mask}, bias=bias)


@has_fused
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_fused_in_half_precision_is_right_to_its_precision(dtype, rng):
    """bfloat16 keeps 8 bits, so numbers up to 2 are off by up to 2^-8 after rounding,
    of the inputs as of the output."""
    query, key, _ = tensors(rng, query_length=5, num_key_heads=2)
    arrays = query, key, key[..., ::-1]
    for options in combine(
        bias=(None, random_bias(rng, "NTS", 5)),
        mask=(None, random_mask(rng, "BTS", 5)),
        is_causal=(False, True),
    ):
        inputs = [keras.ops.cast(x, dtype) for x in arrays]
        output = attend(*inputs, **options, implementation="fused")
        assert keras.backend.standardize_dtype(output.dtype) == dtype
        given = {k: v for k, v in options.items() if v is not None}
        expected, _ = reference(*arrays, **given)
        np.testing.assert_allclose(
            to_numpy(keras.ops.cast(output, "float32")),
            expected,
            rtol=0,
            atol=0.04,
            err_msg=options,
        )


# Which implementation runs.


@pytest.mark.skipif(BACKEND != "torch", reason="Only torch has a fast one on CPUs.")
def test_torch_runs_its_kernel_whenever_it_serves_the_call(fused_calls, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    every = combine(
        mask=(None, random_mask(rng, "BTS", 5)),
        bias=(None, random_bias(rng, "NTS", 5)),
        is_causal=(False, True),
        window=(None, 2),
        dropout=(0.0,),
        seed=(None, 7),
    )
    for options in every:
        attend(*inputs, **options)
    assert len(fused_calls) == len(every)


@pytest.mark.parametrize("option", NOT_SERVED)
def test_a_call_that_fused_does_not_serve_runs_explicitly(option, fused_calls, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    attend(*inputs, **{option: NOT_SERVED[option]})
    assert not fused_calls


@pytest.mark.skipif(BACKEND != "jax", reason="JAX has no kernel of its own on CPUs.")
def test_jax_runs_explicitly_on_a_cpu_unless_fused_is_asked_for(fused_calls, rng):
    query, key, _ = tensors(rng, query_length=5, num_key_heads=2)
    attend(query, key, key)
    assert not fused_calls
    attend(query, key, key, implementation="fused")
    assert len(fused_calls) == 1


@has_fused
def test_explicit_can_be_asked_for(fused_calls, rng):
    attend(*tensors(rng, 5, num_key_heads=2), implementation="explicit")
    assert not fused_calls


@has_fused
def test_causality_alone_is_left_to_the_kernel(fused_calls, rng):
    """No mask of T x S is made for what the kernel does by itself."""
    query, key, _ = tensors(rng, query_length=5, num_key_heads=2)
    attend(query, key, key, is_causal=True, implementation="fused")
    assert fused_calls[0]["is_causal"] and fused_calls[0]["mask"] is None


# What cannot be served says so.


@has_fused
@pytest.mark.parametrize("option", NOT_SERVED)
def test_fused_refuses_an_option_it_has_not(option, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    message = (
        f"The fused implementation cannot serve this call: it has no `{option}`. "
        "Leave `implementation` out, and one that can is chosen."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        attend(*inputs, **{option: NOT_SERVED[option]}, implementation="fused")


@has_fused
def test_fused_names_every_option_it_has_not(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    with pytest.raises(ValueError, match="it has no `softcap`, `sinks`, `dropout`"):
        attend(
            *inputs,
            softcap=2.0,
            sinks=np.zeros(N),
            dropout=0.1,
            implementation="fused",
        )


@pytest.mark.skipif(BACKEND != "jax", reason="A limit of JAX.")
def test_fused_on_jax_refuses_values_of_another_width(fused_calls, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    with pytest.raises(ValueError, match="JAX needs values as wide as keys"):
        attend(*inputs, implementation="fused")
    attend(*inputs)
    assert not fused_calls


@has_fused
def test_a_model_of_keras_tensors_takes_the_kernel_when_it_runs(fused_calls, rng):
    x = keras.Input((5, N, 4))
    model = keras.Model(x, attend(x, x, x, implementation="fused"))
    fused_calls.clear()
    model(rng.normal(size=(2, 5, N, 4)))
    assert len(fused_calls) == 1


@pytest.mark.skipif(BACKEND != "tensorflow", reason="The others have one.")
def test_tensorflow_says_that_it_has_none(fused_calls, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    message = "the backend 'tensorflow' has no fused attention kernel"
    with pytest.raises(ValueError, match=message):
        attend(*inputs, implementation="fused")
    attend(*inputs)
    assert not fused_calls


# Windows in blocks.


@pytest.mark.skipif(BACKEND != "torch", reason="The others go tile by tile.")
@pytest.mark.parametrize("mask_axes", [None, "BS", "1N1S"])
@pytest.mark.parametrize(
    "window, is_causal", [(2, False), (2, True), ((0, 3), False), ((70, 5), True)]
)
@pytest.mark.parametrize("query_length", [5, 150, 400])
def test_a_window_is_read_in_blocks(
    query_length, window, is_causal, mask_axes, monkeypatch, rng
):
    """Blocks of 64 or 128 queries, fewer and more than there are keys, 321."""
    blocks = []
    run = fused.torch_attention_in_blocks
    monkeypatch.setattr(
        fused,
        "torch_attention_in_blocks",
        lambda *arguments: blocks.append(arguments) or run(*arguments),
    )
    query = rng.normal(size=(2, query_length, 4, 3)).astype("float32")
    key = rng.normal(size=(2, 321, 2, 3)).astype("float32")
    value = rng.normal(size=(2, 321, 2, 5)).astype("float32")
    options = {"window": window, "is_causal": is_causal}
    if mask_axes is not None:
        shape = {"BS": (2, 321), "1N1S": (1, 4, 1, 321)}[mask_axes]
        options["mask"] = rng.random(shape) < 0.5
    check_fused([query, key, value], options)
    assert len(blocks) == 2  # forward, and forward with its gradient
