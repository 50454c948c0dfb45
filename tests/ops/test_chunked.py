"""Attention tile by tile gives what the explicit implementation gives."""

import re
import threading

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.ops import attend
from keras_attention.ops import chunked
from keras_attention.ops import use_implementation
from ops.cases import distance_scores
from ops.cases import H
from ops.cases import HV
from ops.cases import random_bias
from ops.cases import random_mask
from ops.cases import random_sinks
from ops.cases import reference
from ops.cases import SIZES
from ops.cases import tensors

# Each with masks, biases and lengths that are no whole number of tiles.
OPTIONS = {
    "plain": {},
    "causal": {"is_causal": True},
    "a window": {"window": (3, 1)},
    "a causal window": {"window": 2, "is_causal": True},
    "a window that holds whole tiles": {"window": (5, 4)},
    "a mask": {"mask": "BTS"},
    "padding and causal": {"mask": "BS", "is_causal": True},
    "a mask for each head": {"mask": "1NT1", "window": 4},
    "a bias": {"bias": "NTS", "scale": 0.3},
    "a bias for all": {"bias": "TS", "mask": "B1"},
    "a bias for each key": {"bias": "1N1S", "softcap": 0.7},
    "a bias for each sequence": {"bias": "B1TS", "is_causal": True},
    "sinks": {"sinks": True, "window": (1, 0)},
    "dropout": {"dropout": 0.3, "seed": 5},
    "all": {
        **{"mask": "BNTS", "bias": "BNTS", "sinks": True, "softcap": 2.0},
        **{"window": (4, 3), "is_causal": True, "dropout": 0.2, "seed": 1},
    },
}
# Those of which whole rows are made: of all keys, or of those in a window.
IN_WHOLE_ROWS = [
    name
    for name, options in OPTIONS.items()
    if "sinks" not in options and ("window" in options or "is_causal" not in options)
]


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of three queries and four keys, so that few tokens fill several."""
    monkeypatch.setattr(chunked, "tile_size", lambda lengths, window: (3, 4))
    monkeypatch.setattr(chunked, "size_of_rows", lambda *shapes_and_sides: None)


@pytest.fixture
def whole_rows(small_tiles, monkeypatch):
    """Two queries with all keys and one more, or with the tiles of three keys that a
    window may reach, on each backend; backward as above."""

    def size_of_rows(shape, key_length, sides):
        if None in sides:
            return 2, key_length + 1, 1
        span = 1 + sum(-(-side // 3) for side in sides)
        return 3, 3, min(span, -(-key_length // 3))

    monkeypatch.setattr(chunked, "size_of_rows", size_of_rows)


def case(rng, name, query_length):
    """The options that are learned, and the others."""
    options, learned = dict(OPTIONS[name]), {}
    if "mask" in options:
        options["mask"] = random_mask(rng, options["mask"], query_length)
    if "bias" in options:
        learned["bias"] = random_bias(rng, options.pop("bias"), query_length)
    if options.pop("sinks", False):
        learned["sinks"] = random_sinks(rng)
    return learned, options


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize(
    "name, size", list(zip(OPTIONS, list(SIZES) * 5, strict=False)), ids=str
)
def test_tiles_equal_explicit_forward_and_backward(name, size, rng):
    compare_with_explicit(name, size, rng)


@pytest.mark.usefixtures("whole_rows")
@pytest.mark.parametrize(
    "name, size", list(zip(IN_WHOLE_ROWS, list(SIZES) * 5, strict=False)), ids=str
)
def test_whole_rows_equal_explicit_forward_and_backward(name, size, rng):
    compare_with_explicit(name, size, rng)


def compare_with_explicit(name, size, rng):
    query_length, num_key_heads = SIZES[size]
    inputs = tensors(rng, query_length, num_key_heads)
    learned, options = case(rng, name, query_length)
    names = ("query", "key", "value", *learned)
    arrays = (*inputs, *learned.values())
    shape = (*inputs[0].shape[:3], HV)
    output_gradient = keras.ops.convert_to_tensor(rng.normal(size=shape), "float32")
    results = {}
    for implementation in ("chunked", "explicit"):

        def call(*tensors, implementation=implementation):
            given = dict(zip(names, tensors, strict=True))
            output = attend(**given, **options, implementation=implementation)
            return output * output_gradient

        results[implementation] = [
            to_numpy(call(*arrays)),
            *input_gradients(call, *arrays),
        ]
    for part, *found in zip(("output", *names), *results.values(), strict=True):
        assert found[0].any()
        np.testing.assert_allclose(*found, rtol=0, atol=1e-5, err_msg=part)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sums_are_in_float32_in_half_precision(dtype, rng):
    """300 equal weights: in half precision their sum would stop growing."""
    query, key = np.ones((1, 1, 1, H)), np.ones((1, 300, 1, H))
    value = rng.integers(0, 2, size=(1, 300, 1, 1))
    query, key, tensor = (keras.ops.cast(x, dtype) for x in (query, key, value))
    output = attend(query, key, tensor, implementation="chunked")
    assert keras.backend.standardize_dtype(output.dtype) == dtype
    np.testing.assert_allclose(
        to_numpy(keras.ops.cast(output, "float32")).item(), value.mean(), atol=2**-9
    )


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("options", [{"is_causal": True}, {"window": (3, 1)}], ids=str)
def test_tiles_that_hold_nothing_to_read_are_not_visited(options, rng):
    """Numbers that are not finite in a tile would spoil each row that it adds to."""
    inputs = tensors(rng, query_length=7, num_key_heads=6)
    expected = attend(*inputs, **options, implementation="chunked")
    for x in inputs[1:]:
        x[:, 4:] = np.nan  # the second tile of keys
    output = attend(*inputs, **options, implementation="chunked")
    np.testing.assert_array_equal(to_numpy(output)[:, :3], to_numpy(expected)[:, :3])
    assert np.isnan(to_numpy(output)[:, 6:]).all()


def test_memory_of_long_sequences_is_linear(rng):
    """The weights would take 16 GiB."""
    query = rng.normal(size=(1, 2**16, 1, 4)).astype("float32")
    output = attend(query, query, query, window=2, is_causal=True)
    expected, _ = reference(*(x[:, -3:] for x in [query] * 3), window=2, is_causal=True)
    np.testing.assert_allclose(to_numpy(output)[:, -2:], expected[:, -2:], atol=1e-5)


def test_a_row_that_reads_nothing_is_zeros_among_whole_rows(whole_rows, rng):
    query, key, value = tensors(rng, query_length=7, num_key_heads=6)
    mask = np.ones((7, key.shape[1]), bool)
    mask[4] = False

    def call(*inputs):
        return attend(*inputs, mask=mask[None], implementation="chunked")

    output = to_numpy(call(query, key, value))
    gradients = input_gradients(call, query, key, value)
    assert not output[:, 4].any() and output[:, 3].any()
    assert not gradients[0][:, 4].any() and gradients[0][:, 3].any()


@pytest.mark.usefixtures("small_tiles")
def test_rows_that_fill_up_the_last_tile_do_not_overflow(rng):
    """Exponentials of large scores, which no log-sum of these rows would bound."""
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    bias = np.full((1, 1, 1, inputs[1].shape[1]), 200.0, "float32")

    def call(*inputs):
        return attend(*inputs, bias=bias, implementation="chunked")

    for gradient in input_gradients(call, *inputs):
        assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    "lengths, expected",
    [
        ((8192, 8192), (128, 8192, 1)),
        ((300, 5000), (112, 5000, 1)),
        ((32768, 32768), (64, 32768, 1)),
        ((8, 2**17), None),
        ((None, 8192), None),
    ],
)
def test_tensorflow_alone_takes_whole_rows(lengths, expected):
    shape = (1, lengths[0], 4, 64)
    if BACKEND != "tensorflow":
        expected = None
    assert chunked.size_of_rows(shape, lengths[1], (None, None)) == expected


@pytest.mark.once
@pytest.mark.parametrize(
    "lengths, sides, expected",
    [
        ((4096, 4096), (255, 0), (256, 256, 2)),
        ((4096, 4096), (256, 1), (256, 256, 3)),
        ((300, 700), (255, 200), None),  # five tiles, where there are three
        ((1, 4096), (255, 0), None),  # few rows
        ((4096, 4096), (4000, 4000), None),  # wider than all keys
        ((8192, 8192), (4095, 0), None),  # many weights at once
        ((4096, 4096), (None, 0), None),
        ((None, 4096), (255, 0), None),
    ],
)
def test_a_window_s_rows_are_whole_where_they_are_short(lengths, sides, expected):
    assert chunked.size_of_rows((1, lengths[0], 8, 64), lengths[1], sides) == expected


# Which implementation runs.


@pytest.fixture
def chunked_calls(monkeypatch):
    """One entry for each call of the chunked implementation."""
    calls = []
    run = chunked.chunked_attention

    def spy(*args, **options):
        calls.append(options)
        return run(*args, **options)

    monkeypatch.setattr(chunked, "chunked_attention", spy)
    return calls


def test_few_weights_are_computed_at_once(chunked_calls, rng):
    attend(*tensors(rng, query_length=5, num_key_heads=2), softcap=2.0)
    assert not chunked_calls


def test_many_weights_are_computed_tile_by_tile(chunked_calls, monkeypatch, rng):
    monkeypatch.setattr(chunked, "TILE", 4)
    monkeypatch.setitem(chunked.MOST_WEIGHTS, BACKEND, 5)
    attend(*tensors(rng, query_length=5, num_key_heads=2), softcap=2.0)
    assert len(chunked_calls) == 1


@pytest.mark.parametrize("is_causal", [False, True])
def test_causality_has_a_limit_of_its_own(chunked_calls, monkeypatch, rng, is_causal):
    monkeypatch.setattr(chunked, "TILE", 4)
    monkeypatch.setitem(chunked.MOST_WEIGHTS_IF_CAUSAL, BACKEND, 5)
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    attend(*inputs, softcap=2.0, is_causal=is_causal)
    assert len(chunked_calls) == is_causal


def test_the_framework_s_kernel_is_not_given_a_mask_for_a_long_window(
    chunked_calls, monkeypatch, rng
):
    monkeypatch.setattr(chunked, "TILE", 4)
    monkeypatch.setitem(chunked.MOST_WEIGHTS_IF_CAUSAL, BACKEND, 5)
    monkeypatch.setattr("keras_attention.ops.fused.LARGEST_MASK", 5)
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    attend(*inputs, window=2, is_causal=True)
    assert len(chunked_calls) == 1


@pytest.mark.parametrize(
    "option, value", [("return_attention_scores", True), ("score", distance_scores)]
)
def test_what_needs_all_weights_is_explicit(
    option, value, chunked_calls, monkeypatch, rng
):
    monkeypatch.setattr(chunked, "TILE", 4)
    monkeypatch.setitem(chunked.MOST_WEIGHTS, BACKEND, 5)
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    attend(*inputs, **{option: value})
    assert not chunked_calls
    message = (
        f"The chunked implementation cannot serve this call: it has no `{option}`. "
        "Leave `implementation` out, and one that can is chosen."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        attend(*inputs, **{option: value}, implementation="chunked")


def test_a_context_decides_for_all_calls_in_it(chunked_calls, rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    with use_implementation("chunked"):
        attend(*inputs)
        with use_implementation(None):
            attend(*inputs)
        attend(*inputs, implementation="explicit")
        attend(*inputs)
    attend(*inputs)
    assert len(chunked_calls) == 2


def test_a_context_decides_for_its_own_thread_alone(chunked_calls, rng):
    """One thread enters and leaves while the other is within its own context."""
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    entered, left = threading.Event(), threading.Event()

    def explicit_meanwhile():
        with use_implementation("explicit"):
            entered.set()
            left.wait(10)
            attend(*inputs)

    thread = threading.Thread(target=explicit_meanwhile)
    with use_implementation("chunked"):
        thread.start()
        entered.wait(10)
        attend(*inputs)
    left.set()
    thread.join()
    assert len(chunked_calls) == 1
    attend(*inputs)
    assert len(chunked_calls) == 1


def test_a_context_refuses_an_unknown_implementation():
    with pytest.raises(ValueError, match="Received: implementation='flash'"):
        with use_implementation("flash"):
            raise AssertionError


@pytest.mark.skipif(BACKEND == "torch", reason="Lengths are known there.")
def test_a_function_compiled_for_any_length(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    if BACKEND == "jax":
        import jax

        compiled = jax.jit(lambda *x: attend(*x, implementation="chunked"))
    else:
        import tensorflow as tf

        compiled = tf.function(
            lambda *x: attend(*x, is_causal=True, mask=x[2][..., 0, 0] > 0),
            [tf.TensorSpec((None, None, *x.shape[2:])) for x in inputs],
        )
        with use_implementation("chunked"):
            compiled.get_concrete_function()
        for length in (5, 7):
            short = [x[:2, :length] for x in inputs]
            mask = short[2][..., 0, 0] > 0
            expected, _ = reference(*short, is_causal=True, mask=mask)
            np.testing.assert_allclose(to_numpy(compiled(*short)), expected, atol=1e-5)
        return
    expected, _ = reference(*inputs)
    np.testing.assert_allclose(to_numpy(compiled(*inputs)), expected, atol=1e-5)


def test_a_layer_trains_on_sequences_of_many_lengths(monkeypatch, rng):
    monkeypatch.setattr(chunked, "TILE", 4)
    inputs = keras.Input((None, 6))
    attention = MultiHeadSelfAttention(num_heads=2, key_dim=3)
    model = keras.Model(inputs, attention(inputs))
    model.compile("sgd", "mse")
    with use_implementation("chunked"):
        for length in (9, 12, 7):
            x = rng.normal(size=(1, length, 6)).astype("float32")
            assert np.isfinite(model.train_on_batch(x, x))
