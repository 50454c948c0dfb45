"""Positions are what their papers say, and exact far from the start."""

import itertools
import math

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.ops import alibi_bias
from keras_attention.ops import alibi_slopes
from keras_attention.ops import apply_rotary
from keras_attention.ops import relative_position_buckets
from keras_attention.ops import relative_position_index
from keras_attention.ops import rotary_angles
from keras_attention.ops import sinusoidal_positions

# Rounding to float32 moves a sine by up to 2^-25.
ROUNDED = 2**-25 * 1.01


def close(actual, expected, atol):
    np.testing.assert_allclose(to_numpy(actual), expected, rtol=0, atol=atol)


def is_float32(tensor):
    return keras.backend.standardize_dtype(tensor.dtype) == "float32"


# Sinusoidal.


def sinusoids(positions, hidden_dim, base=10000.0):
    """The equation of Vaswani et al., Section 3.5, in plain Python."""
    table = np.zeros((len(positions), hidden_dim))
    for row, t in enumerate(positions):
        for i in range(hidden_dim // 2):
            table[row, 2 * i] = math.sin(t / base ** (2 * i / hidden_dim))
            table[row, 2 * i + 1] = math.cos(t / base ** (2 * i / hidden_dim))
    return table


@pytest.mark.parametrize("base", [10000.0, 100.0])
def test_sinusoidal_positions(base):
    encodings = sinusoidal_positions(7, 10, base=base)
    assert is_float32(encodings)
    close(encodings, sinusoids(range(7), 10, base), atol=ROUNDED)


def test_concatenated_sines_come_before_cosines():
    encodings = sinusoidal_positions(7, 10, layout="concatenated")
    expected = sinusoids(range(7), 10)
    expected = np.concatenate([expected[:, 0::2], expected[:, 1::2]], axis=1)
    close(encodings, expected, atol=ROUNDED)


@pytest.mark.parametrize("layout", ["interleaved", "concatenated"])
def test_sinusoidal_positions_are_exact_far_from_the_start(layout):
    """In float32 the angle 100,001 would be off by up to 0.004, in bfloat16 by 256."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    positions = [0, 1, 513, 99_999, 100_001]
    expected = sinusoids(positions, 8)
    if layout == "concatenated":
        expected = np.concatenate([expected[:, 0::2], expected[:, 1::2]], axis=1)
    for given in (positions, np.array(positions)):
        encodings = sinusoidal_positions(given, 8, layout=layout)
        assert is_float32(encodings)
        close(encodings, expected, atol=ROUNDED)
    whole = sinusoidal_positions(100_002, 8, layout=layout)
    close(whole[100_001], expected[-1], atol=ROUNDED)


def tolerance(positions):
    """How far positions given as tensors may be off.

    JAX has no float64 unless told so, so there the frequency, the angle and the sine
    are each rounded to float32: an angle up to p is off by up to 2 x 2^-24 x p.
    """
    return ROUNDED if BACKEND != "jax" else 2**-23 * np.max(positions) + 2**-22


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_sinusoidal_positions_of_a_tensor_are_those_of_the_numbers(dtype):
    positions = np.array([[0, 1, 2, 500], [3, 1, 7, 1000]])
    encodings = sinusoidal_positions(keras.ops.convert_to_tensor(positions, dtype), 6)
    assert is_float32(encodings)
    assert tuple(encodings.shape) == (2, 4, 6)
    close(encodings, sinusoidal_positions(positions, 6), tolerance(positions))
    for row in range(2):
        expected = sinusoids(positions[row], 6)
        close(encodings[row], expected, tolerance(positions))


@pytest.mark.parametrize("hidden_dim", [7, 1, 0, -2])
def test_sinusoidal_positions_need_an_even_width(hidden_dim):
    message = f"need an even width, .* Received: hidden_dim={hidden_dim}$"
    with pytest.raises(ValueError, match=message):
        sinusoidal_positions(3, hidden_dim)


# Rotary.


def turn(x, positions, pairs, base=10000.0, scaling=1.0):
    """Turns `(T, H)` by the equation of Su et al., pair by pair, in plain Python."""
    turned = x.astype("float64")
    for row, t in enumerate(positions):
        for i, (a, b) in enumerate(pairs):
            angle = t / scaling * base ** (-2 * i / (2 * len(pairs)))
            cosine, sine = math.cos(angle), math.sin(angle)
            turned[row, a] = x[row, a] * cosine - x[row, b] * sine
            turned[row, b] = x[row, b] * cosine + x[row, a] * sine
    return turned


PAIRS = {
    "half": lambda width: [(i, i + width // 2) for i in range(width // 2)],
    "interleaved": lambda width: [(2 * i, 2 * i + 1) for i in range(width // 2)],
}


@pytest.mark.parametrize("layout", PAIRS)
@pytest.mark.parametrize("rotary_dim", [8, 6, 2])
@pytest.mark.parametrize("options", [{}, {"base": 100.0, "scaling": 4.0}], ids=str)
def test_rotary_turns_pairs_of_channels(layout, rotary_dim, options, rng):
    """B = 2, T = 5, N = 3, H = 8; channels beyond `rotary_dim` pass unchanged."""
    x = rng.normal(size=(2, 5, 3, 8)).astype("float32")
    cosines, sines = rotary_angles(5, rotary_dim, **options)
    assert is_float32(cosines) and is_float32(sines)
    assert tuple(cosines.shape) == tuple(sines.shape) == (5, rotary_dim // 2)
    turned = apply_rotary(keras.ops.convert_to_tensor(x), cosines, sines, layout=layout)
    for b, n in itertools.product(range(2), range(3)):
        expected = turn(x[b, :, n], range(5), PAIRS[layout](rotary_dim), **options)
        close(turned[b, :, n], expected, atol=1e-6)
    np.testing.assert_array_equal(
        to_numpy(turned)[..., rotary_dim:], x[..., rotary_dim:]
    )


@pytest.mark.parametrize("layout", PAIRS)
def test_rotary_makes_products_depend_on_the_distance_only(layout, rng):
    """The same query and key everywhere: row m, column n is a function of m - n."""
    query, key = rng.normal(size=(2, 1, 1, 1, 6)).astype("float32")
    angles = rotary_angles(9, 6)
    query, key = (
        to_numpy(apply_rotary(np.tile(x, (1, 9, 1, 1)), *angles, layout=layout))[
            0, :, 0
        ]
        for x in (query, key)
    )
    products = query @ key.T
    for distance in range(-8, 9):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], rtol=0, atol=1e-5)
    assert np.ptp(products) > 0.1


def test_rotary_keeps_lengths_and_leaves_the_first_token(rng):
    x = rng.normal(size=(2, 5, 3, 8)).astype("float32")
    turned = to_numpy(apply_rotary(x, *rotary_angles(5, 8)))
    norms = (np.linalg.norm(array, axis=-1) for array in (turned, x))
    np.testing.assert_allclose(*norms, rtol=1e-5)
    np.testing.assert_array_equal(turned[:, 0], x[:, 0])


def test_rotary_of_positions_that_differ_between_sequences(rng):
    """As with padding on the left: each sequence has positions of its own."""
    x = rng.normal(size=(2, 4, 3, 6)).astype("float32")
    positions = np.array([[0, 0, 1, 2], [5, 6, 7, 1000]])
    for given in (positions, keras.ops.convert_to_tensor(positions, "int32")):
        angles = rotary_angles(given, 6)
        assert tuple(angles[0].shape) == (2, 4, 3)
        turned = apply_rotary(x, *angles)
        for b, n in itertools.product(range(2), range(3)):
            expected = turn(x[b, :, n], positions[b], PAIRS["half"](6))
            close(turned[b, :, n], expected, atol=1e-6 + 4 * tolerance(positions))


def test_rotary_scaling_reads_a_longer_text_between_the_positions_trained():
    """With scaling 4 the positions 0, 4, 8 have the angles of 0, 1, 2."""
    scaled, plain = rotary_angles(9, 6, scaling=4.0), rotary_angles(3, 6)
    for long, short in zip(scaled, plain, strict=True):
        close(long[::4], to_numpy(short), atol=ROUNDED)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_rotary_in_half_precision_rounds_once(dtype, rng):
    x = keras.ops.convert_to_tensor(rng.normal(size=(1, 5, 2, 4)), dtype)
    angles = rotary_angles(np.arange(5) + 100_000, 4)
    turned = apply_rotary(x, *angles)
    assert keras.backend.standardize_dtype(turned.dtype) == dtype
    exact = keras.ops.cast(apply_rotary(keras.ops.cast(x, "float32"), *angles), dtype)
    turned, exact = (to_numpy(keras.ops.cast(y, "float32")) for y in (turned, exact))
    np.testing.assert_array_equal(turned, exact)


@pytest.mark.parametrize("rotary_dim", [3, 1, 0])
def test_rotary_turns_an_even_number_of_channels(rotary_dim):
    message = f"turn pairs of channels, .* be even. Received: rotary_dim={rotary_dim}$"
    with pytest.raises(ValueError, match=message):
        rotary_angles(5, rotary_dim)


def test_rotary_refuses_to_turn_more_channels_than_there_are():
    message = (
        r"at least twice as wide .* x.shape=\(1, 5, 2, 4\), cosines.shape=\(5, 3\)"
    )
    with pytest.raises(ValueError, match=message):
        apply_rotary(np.ones((1, 5, 2, 4), "float32"), *rotary_angles(5, 6))


def test_unknown_layouts_are_refused():
    message = (
        r"`layout` must be one of \('interleaved', 'concatenated'\). Received: 'x'"
    )
    with pytest.raises(ValueError, match=message):
        sinusoidal_positions(5, 4, layout="x")
    message = r"`layout` must be one of \('half', 'interleaved'\). Received: 'x'"
    with pytest.raises(ValueError, match=message):
        apply_rotary(np.ones((1, 5, 2, 4)), *rotary_angles(5, 4), layout="x")


# ALiBi.


@pytest.mark.parametrize(
    "num_heads, exponents",
    [
        (1, [8]),
        (2, [4, 8]),
        (8, [1, 2, 3, 4, 5, 6, 7, 8]),  # 1/2, 1/4, ..., 1/256: the paper, Section 3
        (16, np.arange(1, 17) / 2),  # 2^-0.5, 2^-1, ..., 2^-8: the same place
        # The slopes of 8, then every other one of 16, as in the authors' code.
        (12, [1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5]),
        (3, [4, 8, 2]),
    ],
)
def test_alibi_slopes_are_those_of_the_paper(num_heads, exponents):
    slopes = alibi_slopes(num_heads)
    assert slopes.dtype == "float32"
    np.testing.assert_allclose(slopes, 2.0 ** -np.array(exponents), rtol=1e-7)


@pytest.mark.parametrize(
    "query_length, key_length", [(4, 6), (6, 6), (6, 4), (3, None)]
)
@pytest.mark.parametrize("offset", [0, 3])
def test_alibi_bias_falls_with_the_distance(query_length, key_length, offset):
    bias = alibi_bias(3, query_length, key_length, offset)
    assert is_float32(bias)
    shape = (1, 3, query_length, key_length or query_length)
    expected = np.zeros(shape)
    for b, n, t, s in itertools.product(*(range(size) for size in shape)):
        expected[b, n, t, s] = -(2.0 ** -(4, 8, 2)[n]) * abs(t + offset - s)
    close(bias, expected, atol=0)


def test_alibi_tells_all_distances_apart_under_bfloat16():
    """bfloat16 keeps 8 bits: there 1,024 distances would be 513 different numbers."""
    keras.config.set_dtype_policy("mixed_bfloat16")
    assert len(np.unique(to_numpy(alibi_bias(1, 1, 1024)))) == 1024


# Buckets of relative positions.


def bucket(distance, num_buckets, max_distance, bidirectional):
    """The rule of Raffel et al., Section 2.1, for key minus query, in plain Python."""
    side = 0
    if bidirectional:
        num_buckets //= 2
        side = num_buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    num_exact = num_buckets // 2
    if distance < num_exact:
        return side + distance
    share = math.log(distance / num_exact) / math.log(max_distance / num_exact)
    # 1e-9: so that a distance on a border is not below it by a rounding error.
    far = num_exact + math.floor(share * (num_buckets - num_exact) + 1e-9)
    return side + min(far, num_buckets - 1)


BUCKETS = [(32, 128), (32, 20), (16, 64), (8, 8), (6, 100), (4, 3), (320, 800)]


@pytest.mark.parametrize("num_buckets, max_distance", BUCKETS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_position_buckets(num_buckets, max_distance, bidirectional):
    """Of one query in the middle of 2,001 keys."""
    rule = {
        "num_buckets": num_buckets,
        "max_distance": max_distance,
        "bidirectional": bidirectional,
    }
    buckets = relative_position_buckets(1, 2001, offset=1000, **rule)
    assert keras.backend.standardize_dtype(buckets.dtype) == "int32"
    expected = [[bucket(s - 1000, **rule) for s in range(2001)]]
    np.testing.assert_array_equal(to_numpy(buckets), expected)
    assert set(expected[0]) <= set(range(num_buckets))


@pytest.mark.parametrize("query_length, key_length", [(4, 6), (6, 4), (5, None)])
def test_relative_position_buckets_are_of_key_minus_query(query_length, key_length):
    rule = {"num_buckets": 8, "max_distance": 8, "bidirectional": True}
    buckets = relative_position_buckets(query_length, key_length, offset=2, **rule)
    key_length = key_length or query_length
    expected = [
        [bucket(s - (t + 2), **rule) for s in range(key_length)]
        for t in range(query_length)
    ]
    np.testing.assert_array_equal(to_numpy(buckets), expected)


@pytest.mark.once
@pytest.mark.parametrize("num_buckets, max_distance", BUCKETS)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_position_buckets_are_those_of_t5(
    num_buckets, max_distance, bidirectional
):
    torch = pytest.importorskip("torch")
    t5 = pytest.importorskip("transformers.models.t5.modeling_t5")
    rule = {
        "num_buckets": num_buckets,
        "max_distance": max_distance,
        "bidirectional": bidirectional,
    }
    expected = t5.T5Attention._relative_position_bucket(
        torch.arange(2001)[None] - 1000, **rule
    )
    buckets = relative_position_buckets(1, 2001, offset=1000, **rule)
    np.testing.assert_array_equal(to_numpy(buckets), expected.numpy())


@pytest.mark.parametrize(
    "num_buckets, bidirectional, max_distance",
    [(2, True, 128), (1, False, 128), (0, False, 128), (32, True, 8), (32, False, 16)],
)
def test_buckets_that_hold_nothing_are_refused(
    num_buckets, bidirectional, max_distance
):
    side = num_buckets // 2 if bidirectional else num_buckets
    message = (
        "`num_buckets` must be at least 4, or 2 if not bidirectional, .* Received: "
        f"{side} buckets on one side, max_distance={max_distance}"
    )
    with pytest.raises(ValueError, match=message):
        relative_position_buckets(
            5,
            num_buckets=num_buckets,
            bidirectional=bidirectional,
            max_distance=max_distance,
        )


# The offsets of a grid.


@pytest.mark.parametrize(
    "height, width", [(3, 5), (5, 3), (1, 4), (4, 1), (7, 7), (1, 1)]
)
def test_relative_position_index(height, width):
    index = relative_position_index(height, width)
    assert index.dtype == "int32"
    cells = list(itertools.product(range(height), range(width)))
    expected = np.zeros((len(cells), len(cells)))
    for (t, (row, column)), (s, (other_row, other_column)) in itertools.product(
        enumerate(cells), enumerate(cells)
    ):
        down, right = row - other_row + height - 1, column - other_column + width - 1
        expected[t, s] = down * (2 * width - 1) + right
    np.testing.assert_array_equal(index, expected)
    assert len(np.unique(index)) == (2 * height - 1) * (2 * width - 1)
    assert index.min() == 0 and index.max() == (2 * height - 1) * (2 * width - 1) - 1


# Lengths that are known at run time only.


def everything(length):
    """One of each, for a length."""
    return (
        sinusoidal_positions(length, 4),
        *rotary_angles(length, 4),
        alibi_bias(2, length),
        relative_position_buckets(length, num_buckets=8, max_distance=8),
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
def test_positions_are_made_in_a_graph_of_unknown_length():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None))])
    def graph(x):
        return everything(keras.ops.shape(x)[1])

    for length in (3, 600):
        found = graph(np.ones((2, length), "float32"))
        for a, b in zip(found, everything(length), strict=True):
            close(a, to_numpy(b), atol=1e-7)


@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile")
@pytest.mark.filterwarnings(
    "ignore:Dynamo detected a call to a `functools.lru_cache`-wrapped:UserWarning"
)
def test_positions_are_made_by_torch_compile_for_lengths_that_change():
    import torch

    torch.compiler.reset()
    compiled = torch.compile(
        lambda x: everything(x.shape[1]), backend="eager", fullgraph=True
    )
    for length in (3, 4, 600):
        found = compiled(torch.ones((2, length)))
        for a, b in zip(found, everything(length), strict=True):
            close(a, to_numpy(b), atol=1e-7)


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jit")
def test_positions_are_made_under_jit():
    import jax

    for a, b in zip(jax.jit(lambda: everything(5))(), everything(5), strict=True):
        close(a, to_numpy(b), atol=1e-7)
