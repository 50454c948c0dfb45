"""Positions: the papers' equations, their promises and their precision."""

import math

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from keras_attention.ops.positions import _table
from layers.layer_table import randomize
from layers.reference import rotate

B, T, S, N, H, D = 2, 5, 7, 3, 8, 6


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=atol)


def sinusoids(positions, width):
    """Vaswani et al. 2017, Section 3.5, one number at a time."""
    table = np.zeros((len(positions), width))
    for row, position in enumerate(positions):
        for i in range(width // 2):
            angle = position / 10000 ** (2 * i / width)
            table[row, 2 * i] = math.sin(angle)
            table[row, 2 * i + 1] = math.cos(angle)
    return table


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((B, T, D)).astype("float32")


def test_learned_positions_are_rows_of_a_table(inputs):
    layer = layers.PositionalEmbedding(max_length=9)
    layer.build(inputs.shape)
    randomize(layer)
    (table,) = layer.get_weights()
    assert table.shape == (9, D)
    close(layer(inputs), inputs + table[:T])


@pytest.mark.parametrize("layout", ["interleaved", "concatenated"])
def test_sinusoidal_positions_are_vaswani_s(inputs, layout):
    table = sinusoids(range(T), D)
    if layout == "concatenated":
        table = np.hstack([table[:, 0::2], table[:, 1::2]])
    layer = layers.PositionalEmbedding(kind="sinusoidal", layout=layout)
    close(layer(inputs), inputs + table)
    assert not layer.weights


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
@pytest.mark.parametrize("width", [None, 4])
def test_positions_can_stand_beside_the_tokens(inputs, kind, width):
    layer = layers.PositionalEmbedding(9, kind, "concatenate", position_dim=width)
    output = to_numpy(layer(inputs))
    assert output.shape == (B, T, D + (width or D))
    close(output[..., :D], inputs)
    table = sinusoids(range(T), width or D)
    table = layer.get_weights()[0][:T] if kind == "learned" else table
    close(output[..., D:], np.stack([table] * B))


def test_learned_positions_stretch_over_a_longer_sequence():
    """Four positions over eight tokens: each token between two, the ends repeated."""
    layer = layers.PositionalEmbedding(4, longer="interpolate")
    layer.build((None, None, 1))
    layer.set_weights([np.array([[0.0], [4.0], [8.0], [12.0]])])
    found = to_numpy(layer(np.zeros((1, 8, 1), "float32")))[0, :, 0]
    close(found, [0, 1, 3, 5, 7, 9, 11, 12])
    close(layer(np.zeros((1, 3, 1), "float32"))[0, :, 0], [0, 4, 8])


def test_sinusoidal_positions_stretch_over_a_longer_sequence(inputs):
    layer = layers.PositionalEmbedding(2, "sinusoidal", longer="interpolate")
    close(layer(inputs), inputs + sinusoids(0.4 * np.arange(T), D))
    close(layer(inputs[:, :2]), inputs[:, :2] + sinusoids([0, 1], D))


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_positions_that_are_passed_are_those_of_the_whole_sequence(inputs, kind):
    """The tokens 2 to 4 of five, and each token of two rows at its own place."""
    layer = layers.PositionalEmbedding(9, kind)
    layer.build(inputs.shape)
    randomize(layer)
    whole = to_numpy(layer(inputs))
    close(layer(inputs[:, 2:], positions=np.arange(2, T)), whole[:, 2:])
    places = np.array([[3], [1]])
    picked = np.stack([inputs[0, 3:4], inputs[1, 1:2]])
    found = layer(picked, positions=keras.ops.convert_to_tensor(places))
    close(found, np.stack([whole[0, 3:4], whole[1, 1:2]]))


def test_sinusoids_may_begin_later_and_have_another_base():
    """With base 100 and width 4 the angles are 2, 3 and a tenth of them."""
    layer = layers.PositionalEmbedding(
        kind="sinusoidal", layout="concatenated", base=100.0, offset=2
    )
    angles = np.array([[2.0, 0.2], [3.0, 0.3]])
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    close(layer(np.zeros((1, 2, 4), "float32"))[0], expected)
    close(
        layer(np.zeros((1, 1, 4), "float32"), positions=np.array([1]))[0], expected[1:]
    )


def test_tokens_take_positions_that_are_passed():
    layer = layers.TokenAndPositionEmbedding(7, 4, max_length=9)
    whole = to_numpy(layer(np.array([[3, 5, 6]])))
    close(layer(np.array([[6]]), positions=np.array([[2]])), whole[:, 2:])


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
@pytest.mark.parametrize("longer", ["error", "interpolate"])
def test_a_length_known_at_run_time_only(kind, longer):
    """A model for any length, compiled for one and used with others."""
    layer = layers.PositionalEmbedding(4, kind, longer=longer)
    tokens = keras.Input((None, D))
    model = keras.Model(tokens, layer(tokens))
    for length in (3, 4, *((6, 7) if longer == "interpolate" else ())):
        x = np.ones((B, length, D), "float32")
        close(model.predict_on_batch(x), to_numpy(layer(x)))


def test_what_is_wished_of_positions():
    """Unique, bounded, the same for all lengths, and their distances too."""
    layer = layers.PositionalEmbedding(kind="sinusoidal")
    short, long = (
        to_numpy(layer(np.zeros((1, length, 16), "float32")))[0] for length in (50, 500)
    )
    close(long[:50], short)  # deterministic, and one position in every sequence
    assert np.abs(long).max() <= 1.0  # bounded, also beyond any length seen
    apart = np.linalg.norm(long[:, None] - long[None], axis=-1)  # (500, 500)
    assert apart[~np.eye(500, dtype=bool)].min() > 1e-2  # unique
    for k in (1, 10, 100):  # one distance between neighbours k steps apart
        close(np.diagonal(apart, k), np.full(500 - k, apart[0, k]), atol=1e-4)
    # A step of k is one linear map, whatever the position (Section 3.5).
    step = np.linalg.lstsq(long[:400], long[3:403], rcond=None)[0]
    close(long[400:490] @ step, long[403:493], atol=1e-3)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
@pytest.mark.parametrize("rotary_dim", [None, 4])
@pytest.mark.parametrize("scaling", [1.0, 2.5])
def test_rotary_positions_are_su_s(rng, layout, rotary_dim, scaling):
    x = rng.standard_normal((B, T, N, H)).astype("float32")
    options = {"layout": layout, "base": 100.0, "scaling": scaling}
    layer = layers.RotaryEmbedding(rotary_dim, **options)
    by_row = np.array([[0, 3, 4, 9, 11], [2, 4, 6, 8, 10]], "int32")
    for positions in (None, by_row[0], by_row):
        places = np.arange(T) if positions is None else positions
        expected = rotate(x, places[..., None], width=rotary_dim, **options)
        close(layer(x, positions=positions), expected)


@pytest.mark.parametrize("layout", ["half", "interleaved"])
def test_rotary_products_depend_on_the_distance_alone(rng, layout):
    query, key = rng.standard_normal((2, 1, 1, 1, H)).astype("float32")
    layer = layers.RotaryEmbedding(layout=layout)

    def product(t, s):
        turned = (
            layer(x, positions=np.array([p], "int32"))
            for x, p in ((query, t), (key, s))
        )
        return np.sum(np.prod([to_numpy(x) for x in turned], axis=0))

    for distance in (-9, 0, 4):
        products = [product(t, t + distance) for t in (9, 10, 57, 1000)]
        assert np.ptp(products) < 1e-3
        assert products[0] == pytest.approx(product(9, 9 + distance))
    assert abs(product(9, 9) - product(9, 13)) > 1e-2
    norms = [np.linalg.norm(to_numpy(x)) for x in (query, layer(query))]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)


def bucket(distance, num_buckets, max_distance, bidirectional):
    """Raffel et al. 2020, as in the published code; `distance` is key minus query."""
    first = 0
    if bidirectional:
        num_buckets //= 2
        first = num_buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = num_buckets // 2
    if distance < exact:
        return first + distance
    growth = math.log(distance / exact) / math.log(max_distance / exact)
    return first + min(exact + int(growth * (num_buckets - exact)), num_buckets - 1)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_position_bias_is_raffel_s(bidirectional):
    query, key = np.zeros((B, 40, 3), "float32"), np.zeros((B, 57, 4), "float32")
    # Distances whose border between buckets is no whole number, so that it is no
    # matter of rounding.
    layer = layers.RelativePositionBias(N, 10, 37, bidirectional)
    bias = to_numpy(layer(query, key))
    (table,) = layer.get_weights()
    for t in range(40):
        for s in range(57):
            row = table[bucket(s - t, 10, 37, bidirectional)]
            np.testing.assert_array_equal(bias[0, :, t, s], row)
    assert bias.shape == (1, N, 40, 57)
    np.testing.assert_array_equal(to_numpy(layer(query)), bias[..., :40])


def test_relative_position_bias_in_two_dimensions_is_liu_s():
    height, width = 2, 3
    layer = layers.RelativePositionBias2D(N, height, width)
    bias = to_numpy(layer(np.zeros((B, height * width, 4), "float32")))
    (table,) = layer.get_weights()
    table = table.reshape(2 * height - 1, 2 * width - 1, N)
    for t in range(6):
        for s in range(6):
            down = t // width - s // width + height - 1
            right = t % width - s % width + width - 1
            np.testing.assert_array_equal(bias[0, :, t, s], table[down, right])


def test_a_class_token_has_biases_of_its_own():
    """It reads cells, they read it, and it reads itself: the last rows of the table."""
    plain = layers.RelativePositionBias2D(N, 2, 3)
    layer = layers.RelativePositionBias2D(N, 2, 3, has_class_token=True)
    for each, count in ((plain, 6), (layer, 7)):
        each.build((None, count, D))
    table = np.random.default_rng(0).normal(size=(15 + 3, N)).astype("float32")
    layer.set_weights([table])
    plain.set_weights([table[:15]])
    found = to_numpy(layer(np.zeros((1, 7, D))))[0]
    close(found[:, 1:, 1:], to_numpy(plain(np.zeros((1, 6, D))))[0])
    to_cells, from_cells, itself = table[15:]
    close(found[:, 0, 1:], np.repeat(to_cells[:, None], 6, axis=1))
    close(found[:, 1:, 0], np.repeat(from_cells[:, None], 6, axis=1))
    close(found[:, 0, 0], itself)
    some = layer(np.zeros((1, 2, D)), np.zeros((1, 5, D)), offset=1)
    close(to_numpy(some)[0], found[:, 1:3, :5])


def test_alibi_is_press_s():
    """The slopes of four heads, and the distance of query and key."""
    query, key = np.zeros((B, T, 3), "float32"), np.zeros((B, S, 4), "float32")
    slopes = np.array([2**-2, 2**-4, 2**-6, 2**-8])
    distances = np.abs(np.arange(T)[:, None] - np.arange(S))
    expected = -slopes[None, :, None, None] * distances
    layer = layers.AlibiBias(4)
    close(layer(query, key), expected)
    close(layer(query), expected[..., :T])


def test_positions_stay_exact_in_half_precision():
    """Biases are float32 under any policy; bfloat16 would keep 8 bits of a position."""
    long = np.zeros((1, 600, 4), "float32")
    expected = to_numpy(layers.AlibiBias(2)(long))
    assert len(np.unique(expected[0, 0, 0])) == 600
    for policy in ("mixed_bfloat16", "mixed_float16"):
        found = layers.AlibiBias(2, dtype=policy)(long)
        assert keras.backend.standardize_dtype(found.dtype) == "float32"
        np.testing.assert_array_equal(to_numpy(found), expected)
        for layer in (
            layers.RelativePositionBias(2, dtype=policy),
            layers.RelativePositionBias2D(2, 20, 30, dtype=policy),
        ):
            found = layer(long)
            assert keras.backend.standardize_dtype(found.dtype) == "float32"
            table = layer.get_weights()[0]
            assert np.isin(to_numpy(found), table).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_far_positions_are_rounded_once_in_half_precision(policy):
    """At position 3999, where bfloat16 knows 3984 and 4000."""
    x = np.zeros((1, 4000, 8), "float32")
    layer = layers.PositionalEmbedding(kind="sinusoidal", dtype=policy)
    found = np.asarray(to_numpy(layer(x)), "float32")[0]
    close(found, sinusoids(range(4000), 8), atol=4e-3)
    x = np.ones((1, 4000, 1, 8), "float32")
    layer = layers.RotaryEmbedding(dtype=policy)
    found = np.asarray(to_numpy(layer(x)), "float32")[0]
    close(found, rotate(x[0].astype("float64"), np.arange(4000)[:, None]), atol=1e-2)


def test_a_table_of_positions_is_made_once_for_all_layers_and_steps(rng):
    _table.cache_clear()
    x = rng.normal(size=(2, 7, 3, 4)).astype("float32")
    for layer in (layers.RotaryEmbedding(), layers.RotaryEmbedding()):
        for _ in range(2):
            layer(x)
    assert _table.cache_info().misses == 1
    assert _table.cache_info().hits == 3
