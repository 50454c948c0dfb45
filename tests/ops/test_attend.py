"""`attend` gives the numbers of its equation, whatever the options and the dtype."""

import itertools

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention.ops import attend
from keras_attention.ops import attention_weights
from keras_attention.ops.dropout import draw_seed
from ops.cases import B
from ops.cases import BIAS_AXES
from ops.cases import combine
from ops.cases import distance_scores
from ops.cases import MASK_AXES
from ops.cases import N
from ops.cases import random_bias
from ops.cases import random_mask
from ops.cases import random_sinks
from ops.cases import reference
from ops.cases import S
from ops.cases import SIZES
from ops.cases import tensors

HAS_FUSED = BACKEND in ("jax", "torch")
IMPLEMENTATIONS = ("explicit", "fused") if HAS_FUSED else ("explicit",)


def column(*numbers):
    """A sequence of numbers as a tensor `(1, length, 1, 1)`."""
    return np.reshape(np.array(numbers, "float32"), (1, -1, 1, 1))


def read(scores, values, **options):
    """Attends with one head, one query that is 1, and keys that are the scores.

    Returns:
        The output, a number, and the weights, a list.
    """
    output, weights = attend(
        column(1.0),
        column(*scores),
        column(*values),
        return_attention_scores=True,
        **options,
    )
    return to_numpy(output).item(), to_numpy(weights)[0, 0, 0]


def close(actual, expected, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


# Numbers a person can check.


def test_equal_keys_share_the_attention():
    output, weights = read([5.0, 5.0], [2.0, 4.0])
    close(weights, [0.5, 0.5])
    close(output, 3.0)


def test_the_key_that_matches_takes_e_times_as_much():
    """The score sqrt(2) is divided by the root of the width, 2: it is 1."""
    query = np.array([[[[0.0, 2**0.5]]]], "float32")
    key = np.array([[[[1.0, 0.0]], [[0.0, 1.0]]]], "float32")
    _, weights = attend(query, key, key, return_attention_scores=True)
    close(to_numpy(weights), [[[[1 / (1 + np.e), np.e / (1 + np.e)]]]])


def test_scale_is_the_factor_of_the_scores():
    _, weights = read([2.0, 0.0], [0.0, 0.0], scale=np.log(3) / 2)
    close(weights, [0.75, 0.25])


def test_bias_is_added_to_the_scores():
    _, weights = read([0.0, 0.0], [0.0, 0.0], bias=np.log([[3.0, 1.0]]))
    close(weights, [0.75, 0.25])


def test_a_key_the_mask_leaves_out_gets_exactly_nothing():
    output, weights = read(
        [1.0, 9.0, 1.0], [2.0, 99.0, 4.0], mask=[[True, False, True]]
    )
    assert weights.tolist() == [0.5, 0.0, 0.5]
    close(output, 3.0)


def test_softcap_bounds_the_scores():
    _, weights = read([1000.0, 0.0], [0.0, 0.0], softcap=np.log(3))
    close(weights, [0.75, 0.25])


def test_softcap_does_not_bound_the_bias():
    options = {"softcap": np.log(3), "bias": np.log([[1.0, 9.0]])}
    _, weights = read([1000.0, 0.0], [0.0, 0.0], **options)
    close(weights, [0.25, 0.75])


def test_a_sink_takes_its_share_as_one_more_key():
    output, weights = read([0.0, 0.0], [4.0, 8.0], sinks=np.log([2.0]))
    close(weights, [0.25, 0.25])
    close(output, 3.0)


def test_a_sink_takes_all_where_nothing_may_be_read():
    options = {"sinks": np.array([-5.0]), "mask": [[False, False]]}
    output, weights = read([0.0, 0.0], [4.0, 8.0], **options)
    assert weights.tolist() == [0.0, 0.0]
    assert output == 0.0


def test_a_score_of_ones_own_replaces_the_dot_product_and_its_scale():
    def even_keys(query, key):
        return np.log(np.array([[[[3.0, 1.0]]]], "float32"))

    _, weights = read([7.0, -7.0], [0.0, 0.0], score=even_keys)
    close(weights, [0.75, 0.25])


@pytest.mark.parametrize("query_length", [2, 6])
def test_a_causal_query_reads_the_mean_of_the_values_so_far(query_length):
    """Also with more queries than keys, or fewer: query t reads keys 0 to t."""
    zeros = np.zeros(query_length)
    output = attend(
        column(*zeros), column(*[0] * 4), column(0, 2, 4, 6), is_causal=True
    )
    close(to_numpy(output)[0, :, 0, 0], [0, 1, 2, 3, 3, 3][:query_length])


@pytest.mark.parametrize(
    "window, is_causal, expected",
    [
        (1, False, [0, 2, 4, 6]),
        (2, False, [1, 2, 4, 5]),
        (2, True, [0, 1, 3, 5]),
        ((0, 1), False, [1, 3, 5, 6]),
        ((2, 0), False, [0, 1, 2, 4]),
        ((0, 3), True, [0, 2, 4, 6]),
    ],
)
def test_a_window_reads_the_mean_of_the_neighbours(window, is_causal, expected):
    zeros = column(0, 0, 0, 0)
    values = column(0, 2, 4, 6)
    output = attend(zeros, zeros, values, window=window, is_causal=is_causal)
    close(to_numpy(output)[0, :, 0, 0], expected)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 2], [1, 1, 2, 2]),  # query head n reads head n // 2
        ([1], [1, 1, 1, 1]),
    ],
    ids=["own keys", "grouped", "multi-query"],
)
def test_query_heads_share_key_and_value_heads(values, expected):
    value = np.reshape(np.array(values, "float32"), (1, 1, -1, 1))
    output = attend(np.ones((1, 1, 4, 1), "float32"), value, value)
    close(to_numpy(output)[0, 0, :, 0], expected)


# The equation in NumPy.


def check_equation(inputs, options):
    """Asserts that output and weights are those of the equation, to 1e-5."""
    results = attend(*inputs, **options, return_attention_scores=True)
    for result, expected in zip(results, reference(*inputs, **options), strict=True):
        assert to_numpy(result).shape == expected.shape
        np.testing.assert_allclose(
            to_numpy(result), expected, rtol=0, atol=1e-5, err_msg=options
        )


@pytest.mark.parametrize("size", SIZES)
def test_every_combination_of_options_equals_the_equation(size, rng):
    """A mask, if asked, takes one of its forms after the other; so does a bias.

    What acts on each score alone does not depend on the size: one size will do.
    """
    query_length, num_key_heads = SIZES[size]
    inputs = tensors(rng, query_length, num_key_heads)
    elementwise = {"scale": (None, 0.3), "softcap": (None, 2.0)}
    if query_length >= S:
        elementwise = {"scale": (0.3,), "softcap": (2.0,)}
    mask_axes, bias_axes = itertools.cycle(MASK_AXES), itertools.cycle(BIAS_AXES)
    for options in combine(
        **elementwise,
        score=(None, distance_scores),
        sinks=(None, random_sinks(rng)),
        window=(None, 2, (2, 1)),
        is_causal=(False, True),
        bias=(False, True),
        mask=(False, True),
    ):
        masked, biased = options.pop("mask"), options.pop("bias")
        if masked:
            options["mask"] = random_mask(rng, next(mask_axes), query_length)
        if biased:
            options["bias"] = random_bias(rng, next(bias_axes), query_length)
        check_equation(inputs, options)


def test_every_form_of_mask_and_bias_equals_the_equation(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    for mask_axes, bias_axes in itertools.product(MASK_AXES, BIAS_AXES):
        options = {
            "mask": random_mask(rng, mask_axes, query_length=5),
            "bias": random_bias(rng, bias_axes, query_length=5),
        }
        check_equation(inputs, options)


def test_asking_for_the_weights_does_not_change_the_output(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    for options in combine(
        mask=(None, random_mask(rng, "BTS", 5)),
        bias=(None, random_bias(rng, "NTS", 5)),
        is_causal=(False, True),
        sinks=(None, random_sinks(rng)),
        dropout=(0.0, 0.5),
    ):
        alone = attend(*inputs, **options, seed=3)
        output, _ = attend(*inputs, **options, seed=3, return_attention_scores=True)
        np.testing.assert_allclose(
            to_numpy(alone), to_numpy(output), rtol=0, atol=1e-5, err_msg=options
        )


def test_weights_sum_to_one_where_something_may_be_read(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    mask = random_mask(rng, "BTS", 5)
    _, weights = attend(*inputs, mask=mask, return_attention_scores=True)
    reads = np.broadcast_to(mask.any(-1)[:, None], (B, N, 5))
    assert 0 < reads.sum() < reads.size
    close(to_numpy(weights).sum(-1), reads)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_one_key_alone_is_read_by_all(implementation, rng):
    """As in the first step of a decoder. Query and key have no influence."""
    query, key, _ = (x[:, :1] for x in tensors(rng, 5, num_key_heads=N))
    value = rng.normal(size=key.shape).astype("float32")

    def call(query, key, value):
        return attend(query, key, value, implementation=implementation)

    close(to_numpy(call(query, key, value)), value)
    by_query, by_key, by_value = input_gradients(call, query, key, value)
    assert not by_query.any() and not by_key.any()
    close(by_value, np.ones_like(value))


# Rows with nothing to read.


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_query_that_may_read_nothing_gets_zeros_and_gives_zero_gradients(
    implementation, dtype, rng
):
    """The first sequence is all padding, the second has one such query."""
    query, key, _ = tensors(rng, query_length=5, num_key_heads=2)
    value = rng.normal(size=key.shape).astype("float32")
    mask = np.ones((B, 5, S), bool)
    mask[0] = False
    mask[1, 2] = False
    bias, sinks = random_bias(rng, "BNTS", 5), random_sinks(rng)
    every = [{}, {"bias": bias}, {"bias": bias, "is_causal": True}]
    if implementation == "explicit":
        every += [{"sinks": sinks}, {"sinks": sinks, "bias": bias, "window": (6, 0)}]
    for options in every:

        def call(query, key, value, options=options):
            inputs = (keras.ops.cast(x, dtype) for x in (query, key, value))
            output = attend(
                *inputs, mask=mask, **options, implementation=implementation
            )
            return keras.ops.cast(output, "float32")

        output = to_numpy(call(query, key, value))
        assert np.isfinite(output).all(), options
        assert not output[0].any() and not output[1, 2].any(), options
        assert output[1, 1].all() and output[1, 3].all() and output[2:].all(), options
        by_query, by_key, by_value = input_gradients(call, query, key, value)
        for gradient in (by_query, by_key, by_value):
            assert np.isfinite(gradient).all(), options
            assert not gradient[0].any(), options
            assert gradient[1].any() and gradient[2].any(), options
        assert not by_query[1, 2].any(), options


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_query_after_the_last_window_gets_zeros(implementation, rng):
    """With T = 9, S = 7 and one key to the left, the last query sees no key."""
    query, key, _ = tensors(rng, query_length=9, num_key_heads=1)
    output = attend(query, key, key, window=(1, 0), implementation=implementation)
    assert to_numpy(output)[:, :8].all()
    assert not to_numpy(output)[:, 8].any()


def test_weights_of_a_query_that_may_read_nothing_are_zeros():
    for sinks in (None, np.zeros(2, "float32")):
        weights = attention_weights(
            np.ones((1, 2, 3, 4)), np.zeros((3, 1), bool), sinks
        )
        assert to_numpy(weights).tolist() == np.zeros((1, 2, 3, 4)).tolist()


@pytest.mark.parametrize("least", ["-inf", "min", "min, twice"])
@pytest.mark.parametrize("implementation", (*IMPLEMENTATIONS, "chunked"))
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_bias_of_minus_infinity_hides_as_a_mask_does(
    implementation, least, dtype, rng
):
    """So do the least number of a dtype and twice that, as other libraries write."""
    query, key, _ = tensors(rng, query_length=5, num_key_heads=2)
    value = rng.normal(size=key.shape).astype("float32")
    mask = random_mask(rng, "B1TS", 5)
    mask[0] = False
    mask[1, 0, 2] = False
    numbers = {"bfloat16": -(2.0 - 2.0**-7) * 2.0**127}
    number = numbers.get(dtype) or np.finfo(dtype).min
    number = -np.inf if least == "-inf" else float(number)
    bias = keras.ops.cast(np.where(mask, 0.0, number), dtype)
    if least == "min, twice":
        bias = bias + bias

    def call(options):
        def run(*inputs):
            inputs = (keras.ops.cast(x, dtype) for x in inputs)
            output = attend(*inputs, **options, implementation=implementation)
            return keras.ops.cast(output, "float32") ** 2

        return to_numpy(run(query, key, value)), input_gradients(run, query, key, value)

    output, gradients = call({"bias": bias})
    expected, expected_gradients = call({"mask": mask})
    assert not output[0].any() and not output[1, 2].any() and output[2].any()
    tolerance = 1e-5 if dtype == "float32" else 0.05
    for one, other in zip(
        (output, *gradients), (expected, *expected_gradients), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# Dropout.


def test_a_seed_drops_the_same_on_each_backend():
    """The numbers of one hash, whichever random generator a backend has."""
    generator = keras.random.SeedGenerator(7)
    seeds = [int(draw_seed(seed)) for seed in (7, generator, generator, 2**31 + 5)]
    assert seeds[0] == seeds[1]
    assert seeds == [1420618368, 1420618368, -2065701882, -73847532]


def test_the_same_seed_drops_the_same_weights(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    first, again, other = (
        to_numpy(attend(*inputs, dropout=0.5, seed=seed)) for seed in (7, 7, 8)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_a_seed_generator_drops_anew_in_each_call(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    runs = []
    for _ in range(2):
        seed = keras.random.SeedGenerator(7)
        runs.append([to_numpy(attend(*inputs, dropout=0.5, seed=seed)) for _ in "ab"])
    (first, second), (first_again, second_again) = runs
    assert not np.allclose(first, second)
    np.testing.assert_array_equal(first, first_again)
    np.testing.assert_array_equal(second, second_again)


def test_dropout_drops_its_fraction_and_keeps_the_mean():
    """1,000 queries read 100 equal keys with the value 1; 0.25 are dropped.

    The output is the sum of 100 weights, each 0 or 1 / 75: its mean is 1, and the mean
    of 1,000 of them is off by less than 5 standard deviations, 0.01.
    """
    query, key = np.zeros((1, 1000, 1, 1)), np.zeros((1, 100, 1, 1))
    output = to_numpy(attend(query, key, key + 1, dropout=0.25, seed=7))
    assert output.std() > 0.01
    close(output.mean(), 1.0, atol=0.01)
    close(output.ravel() * 75, np.round(output.ravel() * 75), atol=1e-3)


def test_the_weights_returned_are_those_before_dropout(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    _, weights = attend(*inputs, return_attention_scores=True)
    options = {"dropout": 0.5, "seed": 7, "return_attention_scores": True}
    _, weights_of_training = attend(*inputs, **options)
    np.testing.assert_array_equal(to_numpy(weights), to_numpy(weights_of_training))


def test_without_dropout_the_seed_does_not_act(rng):
    inputs = tensors(rng, query_length=5, num_key_heads=2)
    outputs = [to_numpy(attend(*inputs, dropout=0.0, seed=seed)) for seed in (1, 2)]
    np.testing.assert_array_equal(*outputs)


# Dtypes and large numbers.


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("bias_dtype", ["float32", "bfloat16"])
def test_the_softmax_is_computed_in_float32(implementation, bias_dtype):
    """The scores are 256 and 256 + 1.1, which bfloat16 rounds to 256 or 258.

    A softmax in bfloat16 would give 1 / 2 or 0.88, not 0.75.
    """
    bias = np.array([[np.log(3), 0.0]], "float32")
    query, key, value = (
        keras.ops.convert_to_tensor(column(*numbers), "bfloat16")
        for numbers in ([16], [16, 16], [1, 0])
    )
    output = attend(
        query,
        key,
        value,
        bias=keras.ops.convert_to_tensor(bias, bias_dtype),
        implementation=implementation,
    )
    assert keras.backend.standardize_dtype(output.dtype) == "bfloat16"
    # bfloat16 keeps 8 bits: 1.0986 becomes 1.1016, and 0.75 is off by up to 2^-9.
    close(to_numpy(keras.ops.cast(output, "float32")).item(), 0.75, atol=2**-9 + 6e-4)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_large_scores_do_not_overflow(implementation, dtype):
    """The scores are 1e4, 1e4 and -1e4; exp(1e4) is infinite in every dtype."""
    query, key, value = (
        keras.ops.convert_to_tensor(column(*numbers), dtype)
        for numbers in ([100], [100, 100, -100], [2, 4, 9])
    )
    output = attend(query, key, value, implementation=implementation)
    assert to_numpy(keras.ops.cast(output, "float32")).item() == 3.0


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_large_scores_do_not_overflow_beside_a_sink(sign):
    output, weights = read([sign * 1e4] * 2, [2.0, 4.0], sinks=np.zeros(1))
    close(weights, [max(sign, 0) / 2] * 2)
    close(output, max(sign, 0) * 3)


HALF_AND_SINGLE = ("float32", "bfloat16", "float16")
# JAX has no float64 unless told so.
DTYPES = (*HALF_AND_SINGLE, "int32", *(() if BACKEND == "jax" else ("float64",)))


@pytest.mark.parametrize("dtype", HALF_AND_SINGLE)
def test_output_and_weights_have_the_dtype_of_the_inputs(dtype, rng):
    inputs = [
        keras.ops.convert_to_tensor(x, dtype)
        for x in tensors(rng, query_length=5, num_key_heads=2)
    ]
    for options in (
        {},
        {"bias": random_bias(rng, "NTS", 5), "mask": random_mask(rng, "BTS", 5)},
        {"sinks": random_sinks(rng), "softcap": 2.0},
        {"dropout": 0.5, "seed": 7},
        {"score": distance_scores},
    ):
        output, weights = attend(*inputs, **options, return_attention_scores=True)
        alone = attend(*inputs, **options)
        for result in (output, weights, alone):
            assert keras.backend.standardize_dtype(result.dtype) == dtype, options


@pytest.mark.parametrize("query_dtype", DTYPES)
@pytest.mark.parametrize("value_dtype", DTYPES)
def test_other_and_mixed_dtypes_are_promoted_as_keras_does(
    query_dtype, value_dtype, rng
):
    """Integers become float32; float64 stays so, also where it ends in Keras."""
    query, key, value = (
        keras.ops.cast(x, dtype)
        for x, dtype in zip(
            tensors(rng, query_length=5, num_key_heads=2),
            (query_dtype, query_dtype, value_dtype),
            strict=True,
        )
    )
    output, weights = attend(query, key, value, return_attention_scores=True)
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in (query, value)]
    expected = keras.backend.result_type(*dtypes, float)
    if dtypes == ["float64"] * 2:
        expected = "float64"
    for result in (output, weights, attend(query, key, value)):
        assert keras.backend.standardize_dtype(result.dtype) == expected


@pytest.mark.skipif(BACKEND == "jax", reason="It has float64 only if it is told so.")
def test_float64_is_computed_in_float64(rng):
    inputs = [x.astype("float64") for x in tensors(rng, 5, num_key_heads=2)]
    options = {"bias": rng.normal(size=(N, 5, 7)), "mask": random_mask(rng, "BTS", 5)}
    expected, expected_weights = reference(*inputs, **options)
    output, weights = attend(*inputs, **options, return_attention_scores=True)
    close(to_numpy(output), expected, atol=1e-12)
    close(to_numpy(weights), expected_weights, atol=1e-12)


def test_lists_and_numpy_arrays_are_taken(rng):
    query, key, value = tensors(rng, query_length=5, num_key_heads=2)
    options = {
        "mask": random_mask(rng, "BTS", 5),
        "bias": random_bias(rng, "NTS", 5),
        "sinks": random_sinks(rng),
    }
    expected, _ = reference(query, key, value, **options)
    lists = {name: array.tolist() for name, array in options.items()}
    close(to_numpy(attend(query, key, value, **options)), expected, atol=1e-5)
    output = attend(query.tolist(), key.tolist(), value.tolist(), **lists)
    close(to_numpy(output), expected, atol=1e-5)
    del options["sinks"], lists["sinks"]
    expected, _ = reference(query, key, value, **options)
    close(to_numpy(attend(query.tolist(), key, value, **lists)), expected, atol=1e-5)


# Symbolic inputs.


def test_a_functional_model_attends_with_lengths_not_yet_known(rng):
    query, key, value = (keras.Input((None, N, width)) for width in (4, 4, 3))
    mask = keras.Input((None, None), dtype="bool")
    outputs = attend(query, key, value, mask=mask, return_attention_scores=True)
    assert outputs[0].shape == (None, None, N, 3)
    assert outputs[1].shape == (None, N, None, None)
    model = keras.Model([query, key, value, mask], outputs)
    arrays = tensors(rng, query_length=5, num_key_heads=N)
    reads = random_mask(rng, "BTS", 5)
    output, weights = model([*arrays, reads])
    expected_output, expected_weights = reference(*arrays, mask=reads)
    close(to_numpy(output), expected_output, atol=1e-5)
    close(to_numpy(weights), expected_weights, atol=1e-5)


def test_symbolic_shapes_are_the_real_ones():
    query, key, value = (
        keras.KerasTensor(shape) for shape in ((2, 5, N, 4), (2, 7, 1, 4), (2, 7, 1, 3))
    )
    for options in ({}, {"is_causal": True, "window": 2}, {"softcap": 2.0}):
        output, weights = attend(
            query, key, value, **options, return_attention_scores=True
        )
        assert output.shape == (2, 5, N, 3)
        assert weights.shape == (2, N, 5, 7)
        assert attend(query, key, value, **options).shape == (2, 5, N, 3)
