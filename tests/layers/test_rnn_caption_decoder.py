"""The decoder without attention: B = 2, a 3 x 4 grid of D = 7, T = 5, H = 6, E = 5."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from helpers import weight_gradients
from keras_attention.layers import RNNCaptionDecoder

TOKEN_IDS = np.array([[1, 4, 10, 5, 2], [1, 7, 2, 0, 0]], "int32")


def make_decoder(**options):
    options = {"vocabulary_size": 11, "hidden_dim": 6, "word_dim": 5} | options
    return RNNCaptionDecoder(**options)


@pytest.fixture
def grid(rng):
    return rng.normal(size=(2, 3, 4, 7)).astype("float32")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_it_equals_its_equations(grid, rng):
    layer = make_decoder()
    layer.build(grid.shape, TOKEN_IDS.shape)
    for weight in layer.weights:
        weight.assign(rng.normal(size=weight.shape, scale=0.5))
    w = {
        weight.path.split("/", 1)[1]: to_numpy(weight.value) for weight in layer.weights
    }

    def linear(name, x):
        return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)

    expected = []
    for a, ids in zip(grid.reshape(2, 12, 7), TOKEN_IDS, strict=True):
        first = h = np.tanh(linear("initial_hidden", a.mean(axis=0)))
        c = np.tanh(linear("initial_cell", a.mean(axis=0)))
        for token_id in ids:
            word = w["embedding/embeddings"][token_id]
            i, f, g, o = np.split(
                linear("word_gates", word)
                + linear("context_gates", first)
                + linear("hidden_gates", h),
                4,
            )
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            features = (
                word + linear("hidden_output", h) + linear("context_output", first)
            )
            expected.append(linear("word_output", np.tanh(features)))
    np.testing.assert_allclose(
        to_numpy(layer(grid, TOKEN_IDS)), np.reshape(expected, (2, 5, 11)), atol=1e-5
    )


def test_it_knows_no_more_of_a_picture_than_the_mean(grid):
    layer = make_decoder()
    mean = np.broadcast_to(grid.mean(axis=(1, 2), keepdims=True), grid.shape)
    np.testing.assert_allclose(
        to_numpy(layer(mean, TOKEN_IDS)), to_numpy(layer(grid, TOKEN_IDS)), atol=1e-6
    )


def test_a_token_changes_nothing_before_it(grid):
    layer = make_decoder()
    other = TOKEN_IDS.copy()
    other[:, 3] = 8
    logits, others = to_numpy([layer(grid, TOKEN_IDS), layer(grid, other)])
    np.testing.assert_array_equal(logits[:, :3], others[:, :3])
    assert np.abs(logits[:, 3:] - others[:, 3:]).max() > 1e-3


def test_writing_word_by_word_equals_reading_the_whole(grid):
    layer = make_decoder()
    logits = to_numpy(layer(grid, TOKEN_IDS))
    picture, state = layer.start(keras.ops.convert_to_tensor(grid))
    for t in range(5):
        step, state = layer.write(picture, state, TOKEN_IDS[:, t : t + 1])
        np.testing.assert_allclose(to_numpy(step)[:, 0], logits[:, t], atol=1e-5)


def test_the_gradient_reaches_every_weight(grid):
    layer = make_decoder(dropout=0.0)
    layer.build(grid.shape, TOKEN_IDS.shape)
    everything = np.arange(11, dtype="int32")[None].repeat(2, axis=0)
    factors = np.linspace(-1, 1, 11).astype("float32")
    gradients = weight_gradients(
        lambda: keras.ops.multiply(layer(grid, everything), factors),
        layer.trainable_weights,
    )
    for weight, gradient in zip(layer.trainable_weights, gradients, strict=True):
        assert np.abs(gradient).max() > 0, weight.path


def test_the_symbolic_shape_is_the_real_one(grid):
    layer = make_decoder(dtype="mixed_bfloat16")
    spec = layer(keras.KerasTensor((2, 3, 4, 7)), keras.KerasTensor((2, 5), "int32"))
    real = layer(grid, TOKEN_IDS)
    assert tuple(spec.shape) == tuple(real.shape) == (2, 5, 11)
    assert spec.dtype == keras.backend.standardize_dtype(real.dtype) == "bfloat16"


def test_it_comes_back_from_its_config():
    layer = RNNCaptionDecoder(
        vocabulary_size=11,
        hidden_dim=6,
        word_dim=5,
        output_activation=None,
        dropout=0.3,
        seed=4,
        name="writer",
        dtype="mixed_bfloat16",
    )
    config = layer.get_config()
    assert RNNCaptionDecoder.from_config(config).get_config() == config


def test_a_vector_in_place_of_a_grid_is_refused():
    with pytest.raises(ValueError, match=r"must be a grid .* Received: \(2, 7\)"):
        make_decoder().build((2, 7), (2, 5))
