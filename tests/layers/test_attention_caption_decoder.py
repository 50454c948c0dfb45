"""The decoder of Show, Attend and Tell.

B = 2 pictures, a grid of 3 x 4 cells of width D = 7, T = 5 tokens of E = 5, an LSTM of
H = 6, scores of A = 9, V = 11 words.
"""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import run_in_fresh_process
from helpers import to_numpy
from helpers import weight_gradients
from keras_attention.layers import AttentionCaptionDecoder
from keras_attention.layers.attention_caption_decoder import doubly_stochastic_penalty

TOKEN_IDS = np.array([[1, 4, 10, 5, 2], [1, 7, 2, 0, 0]], "int32")


def make_decoder(**options):
    options = {"vocabulary_size": 11, "hidden_dim": 6, "word_dim": 5} | options
    return AttentionCaptionDecoder(attention_dim=9, **options)


@pytest.fixture
def grid(rng):
    return rng.normal(size=(2, 3, 4, 7)).astype("float32")


def named_weights(layer):
    return {w.path.split("/", 1)[1]: to_numpy(w.value) for w in layer.weights}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def transcription(weights, grid, token_ids):
    """Equations 1 to 9, 13 and 7 of the paper, one picture and one word at a time."""
    w = {
        name.replace("attention_caption_decoder/", ""): x for name, x in weights.items()
    }

    def linear(name, x):
        return x @ w[f"{name}/kernel"] + w.get(f"{name}/bias", 0)

    all_logits, all_weights = [], []
    for a, ids in zip(grid.reshape(2, 12, 7), token_ids, strict=True):
        h = np.tanh(linear("initial_hidden", a.mean(axis=0)))
        c = np.tanh(linear("initial_cell", a.mean(axis=0)))
        for token_id in ids:
            word = w["embedding/embeddings"][token_id]
            scores = (
                np.tanh(
                    a @ w["attention/key_kernel"]
                    + h @ w["attention/query_kernel"]
                    + w["attention/bias"]
                )
                @ w["attention/score_kernel"][:, 0]
            )
            alpha = np.exp(scores) / np.exp(scores).sum()
            z = sigmoid(linear("gate", h)) * (alpha @ a)
            gates = (
                linear("word_gates", word)
                + linear("context_gates", z)
                + linear("hidden_gates", h)
            )
            i, f, g, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
            features = word + linear("hidden_output", h) + linear("context_output", z)
            all_logits.append(linear("word_output", np.tanh(features)))
            all_weights.append(alpha)
    return np.reshape(all_logits, (2, 5, 11)), np.reshape(all_weights, (2, 5, 3, 4))


def test_it_equals_the_equations_of_the_paper(grid, rng):
    layer = make_decoder()
    layer.build(grid.shape, TOKEN_IDS.shape)
    for weight in layer.weights:  # also those that start at zero
        weight.assign(rng.normal(size=weight.shape, scale=0.5))
    logits, weights = layer(grid, TOKEN_IDS, return_attention_scores=True)
    expected_logits, expected_weights = transcription(
        named_weights(layer), grid, TOKEN_IDS
    )
    np.testing.assert_allclose(to_numpy(logits), expected_logits, atol=1e-5)
    np.testing.assert_allclose(to_numpy(weights), expected_weights, atol=1e-5)


def test_equation_7_as_it_is_printed_has_no_tanh(grid):
    layer, plain = make_decoder(), make_decoder(output_activation=None)
    logits = to_numpy(layer(grid, TOKEN_IDS))
    plain.build(grid.shape, TOKEN_IDS.shape)
    plain.set_weights(layer.get_weights())
    assert not np.allclose(to_numpy(plain(grid, TOKEN_IDS)), logits, atol=1e-4)


def test_the_forget_gates_start_at_one():
    layer = make_decoder()
    layer.build((None, 3, 4, 7), (None, None))
    bias = to_numpy(layer.word_gates.bias.value)
    np.testing.assert_array_equal(bias, [0.0] * 6 + [1.0] * 6 + [0.0] * 12)


def test_the_weights_of_each_word_sum_to_one(grid):
    _, weights = make_decoder()(grid, TOKEN_IDS, return_attention_scores=True)
    sums = to_numpy(weights).sum(axis=(2, 3))
    np.testing.assert_allclose(sums, np.ones((2, 5)), rtol=1e-5)


def test_asking_for_the_weights_changes_nothing(grid):
    layer = make_decoder()
    logits, _ = layer(grid, TOKEN_IDS, return_attention_scores=True)
    np.testing.assert_array_equal(to_numpy(layer(grid, TOKEN_IDS)), to_numpy(logits))


@pytest.mark.parametrize("changed", [1, 3, 4])
def test_a_token_changes_nothing_before_it(grid, changed):
    layer = make_decoder()
    other = TOKEN_IDS.copy()
    other[:, changed] = 8
    logits, others = to_numpy([layer(grid, TOKEN_IDS), layer(grid, other)])
    np.testing.assert_array_equal(logits[:, :changed], others[:, :changed])
    assert np.abs(logits[:, changed:] - others[:, changed:]).max() > 1e-3


def test_the_grid_is_a_set(grid, rng):
    """Moving cells moves their weights along, and changes no word."""
    layer, order = make_decoder(), rng.permutation(12)
    moved = grid.reshape(2, 12, 7)[:, order].reshape(grid.shape)
    logits, weights = to_numpy(layer(grid, TOKEN_IDS, return_attention_scores=True))
    others, moved = to_numpy(layer(moved, TOKEN_IDS, return_attention_scores=True))
    np.testing.assert_allclose(others, logits, atol=1e-6)
    np.testing.assert_allclose(
        moved.reshape(2, 5, 12), weights.reshape(2, 5, 12)[:, :, order], atol=1e-6
    )


def test_equal_cells_are_read_as_their_mean():
    """With all cells alike the context is the cell, wherever the model looks."""
    layer = make_decoder()
    cell = np.arange(7, dtype="float32")
    grid = np.broadcast_to(cell, (2, 3, 4, 7))
    _, weights = layer(grid, TOKEN_IDS, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(weights), 1 / 12, rtol=1e-5)


def test_the_penalty_by_hand():
    """Two cells, three steps, the last of them padding."""
    weights = np.array([[[0.5, 0.5], [0.9, 0.1], [0.3, 0.7]]], "float32")
    mask = np.array([[True, True, False]])
    penalty = to_numpy(doubly_stochastic_penalty(weights, mask))
    # (1 - 1.4)^2 + (1 - 0.6)^2
    np.testing.assert_allclose(penalty, [0.32], rtol=1e-5)


def test_the_penalty_is_nothing_where_each_cell_was_read_once():
    weights = np.full((1, 4, 4), 0.25, "float32")
    penalty = doubly_stochastic_penalty(weights, np.ones((1, 4), bool))
    np.testing.assert_allclose(to_numpy(penalty), [0.0], atol=1e-12)


def test_the_penalty_is_a_loss_of_training_only(grid):
    layer = make_decoder(attention_penalty=3.0, dropout=0.0)
    _, weights = layer(grid, TOKEN_IDS, return_attention_scores=True)
    assert layer.losses == []
    layer(grid, TOKEN_IDS, training=True)
    # The second caption has two steps: [start] and its word. Its end is no step.
    steps = np.array([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]], "float32")[:, :, None]
    sums = (to_numpy(weights).reshape(2, 5, 12) * steps).sum(axis=1)
    expected = 3.0 * ((1 - sums) ** 2).sum(axis=1).mean()
    np.testing.assert_allclose(to_numpy(layer.losses[0]), expected, rtol=1e-5)


def test_without_penalty_there_is_no_loss(grid):
    layer = make_decoder(attention_penalty=0.0)
    layer(grid, TOKEN_IDS, training=True)
    assert layer.losses == []


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


def test_writing_word_by_word_equals_reading_the_whole(grid):
    layer = make_decoder()
    logits = to_numpy(layer(grid, TOKEN_IDS))
    picture, state = layer.start(keras.ops.convert_to_tensor(grid))
    for t in range(5):
        step, state = layer.write(picture, state, TOKEN_IDS[:, t : t + 1])
        np.testing.assert_allclose(to_numpy(step)[:, 0], logits[:, t], atol=1e-5)


def test_two_captions_of_a_picture_are_written_side_by_side(grid):
    """K beams give what each of them gives alone."""
    layer = make_decoder()
    layer.build(grid.shape, TOKEN_IDS.shape)
    picture, state = layer.start(keras.ops.convert_to_tensor(grid))
    both = tuple(keras.ops.repeat(x, 2, axis=1) for x in state)
    token_ids = np.array([[4, 9], [5, 3]], "int32")
    logits, _ = layer.write(picture, both, token_ids)
    for k in range(2):
        alone, _ = layer.write(picture, state, token_ids[:, k : k + 1])
        np.testing.assert_allclose(
            to_numpy(logits)[:, k], to_numpy(alone)[:, 0], atol=1e-6
        )


def test_the_symbolic_shapes_are_the_real_ones(grid):
    layer = make_decoder()
    symbols = (
        keras.KerasTensor((2, 3, 4, 7)),
        keras.KerasTensor((2, 5), "int32"),
    )
    spec = layer(*symbols, return_attention_scores=True)
    real = layer(grid, TOKEN_IDS, return_attention_scores=True)
    assert [tuple(s.shape) for s in spec] == [tuple(r.shape) for r in real]
    assert [s.dtype for s in spec] == [
        keras.backend.standardize_dtype(r.dtype) for r in real
    ]


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_the_weights_in_float32(grid, policy):
    layer = make_decoder(dtype=policy, dropout=0.2)
    logits, weights = layer(
        grid, TOKEN_IDS, training=True, return_attention_scores=True
    )
    assert keras.backend.standardize_dtype(logits.dtype) == policy[6:]
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    exact = make_decoder(dtype="float32")
    exact.build(grid.shape, TOKEN_IDS.shape)
    exact.set_weights(layer.get_weights())
    close = to_numpy(keras.ops.cast(layer(grid, TOKEN_IDS), "float32"))
    np.testing.assert_allclose(close, to_numpy(exact(grid, TOKEN_IDS)), atol=0.05)


def test_it_comes_back_from_its_config():
    layer = AttentionCaptionDecoder(
        vocabulary_size=11,
        hidden_dim=6,
        word_dim=5,
        attention_dim=9,
        attention_penalty=0.25,
        output_activation="relu",
        dropout=0.3,
        seed=4,
        padding_id=3,
        end_id=7,
        name="writer",
        dtype="mixed_bfloat16",
    )
    config = layer.get_config()
    again = AttentionCaptionDecoder.from_config(config)
    assert again.get_config() == config
    assert config["padding_id"] == 3 and config["attention_penalty"] == 0.25


@pytest.mark.skipif(BACKEND == "jax", reason="The others are compared with JAX.")
def test_backends_agree():
    """The same numbers from each backend: weights and pictures made by NumPy."""
    code = """
        import keras
        import numpy as np
        from keras_attention.layers import AttentionCaptionDecoder

        rng = np.random.default_rng(0)
        layer = AttentionCaptionDecoder(vocabulary_size=11, hidden_dim=6, word_dim=5)
        grid = rng.normal(size=(2, 3, 4, 7)).astype("float32")
        ids = np.array([[1, 4, 10, 5, 2], [1, 7, 2, 0, 0]], "int32")
        layer.build(grid.shape, ids.shape)
        for weight in layer.weights:
            weight.assign(rng.normal(size=weight.shape, scale=0.5))
        logits = keras.ops.convert_to_numpy(layer(grid, ids))
        print(" ".join(f"{x:.5f}" for x in logits.ravel()))
    """
    here, there = (
        np.array(run_in_fresh_process(code, **options).split()[-110:], float)
        for options in ({}, {"backend": "jax"})
    )
    np.testing.assert_allclose(here, there, atol=2e-5)


def test_a_vector_in_place_of_a_grid_is_refused():
    with pytest.raises(ValueError, match=r"must be a grid .* Received: \(2, 7\)"):
        make_decoder().build((2, 7), (2, 5))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dim": 0}, "`hidden_dim` must be a positive integer. Received"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and less than 1"),
        ({"attention_penalty": -1}, "`attention_penalty` must not be negative"),
        ({"vocabulary_size": 2.5}, "`vocabulary_size` must be a positive integer"),
    ],
)
def test_impossible_sizes_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        make_decoder(**options)
