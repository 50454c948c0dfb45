"""Layers that work on each token or patch alone, against NumPy."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers import reference
from layers.layer_table import randomize
from layers.reference import weights_of

B, T, D, M = 3, 5, 4, 7


def close(found, expected):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def inputs(rng):
    return rng.standard_normal((B, T, D)).astype("float32")


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize(
    "activation", [*reference.ACTIVATIONS, *reference.GATES], ids=str
)
def test_feed_forward_is_two_projections(inputs, activation, use_bias):
    layer = layers.FeedForward(M, activation, output_dim=6, use_bias=use_bias)
    layer.build(inputs.shape)
    randomize(layer)
    weights = weights_of(layer)
    wide = M * (2 if activation in reference.GATES else 1)
    assert weights["hidden_kernel"].shape == (D, wide)
    assert len(weights) == (4 if use_bias else 2)
    close(layer(inputs), reference.feed_forward(weights, inputs, activation))


@pytest.mark.parametrize("activation", reference.ACTIVATIONS, ids=str)
def test_feed_forward_predicts_as_it_trains(inputs, activation):
    """PyTorch overwrites the hidden activations where no gradient needs them."""
    layer = layers.FeedForward(D, activation)
    layer.build(inputs.shape)
    randomize(layer)
    expected = to_numpy(layer(inputs))
    tensor, before = keras.ops.convert_to_tensor(inputs), inputs.copy()
    close(keras.Sequential([layer]).predict_on_batch(tensor), expected)
    np.testing.assert_array_equal(to_numpy(tensor), before)


@pytest.mark.once
def test_all_activations_have_an_equation_in_the_tests():
    with pytest.raises(ValueError, match="must be one of") as error:
        layers.FeedForward(M, activation="unknown")
    for name in (*reference.ACTIVATIONS, *reference.GATES):
        assert repr(name) in str(error.value)
    names = str(error.value).partition("(")[2].partition(")")[0].split(", ")
    assert len(names) == len(reference.ACTIVATIONS) + len(reference.GATES)


def test_feed_forward_treats_each_token_alone(inputs):
    layer = layers.FeedForward(M)
    whole = to_numpy(layer(inputs))
    for t in range(T):
        close(layer(inputs[:, t : t + 1]), whole[:, t : t + 1])
    close(layer(inputs[:, 0]), whole[:, 0])  # tokens need no axis of their own


def test_layer_scale_multiplies_each_channel(inputs):
    layer = layers.LayerScale(0.25)
    close(layer(inputs), 0.25 * inputs)
    randomize(layer)
    close(layer(inputs), inputs * layer.get_weights()[0])


def test_drop_path_drops_whole_samples_and_keeps_the_mean(rng):
    """A third of 3000 samples is dropped, give or take four standard deviations."""
    inputs = rng.standard_normal((3000, 2, 2)).astype("float32")
    output = to_numpy(layers.DropPath(1 / 3, seed=0)(inputs, training=True))
    dropped = ~output.any(axis=(1, 2))
    assert abs(dropped.mean() - 1 / 3) < 4 * np.sqrt(2 / 9 / 3000)
    close(output[~dropped], 1.5 * inputs[~dropped])


def test_drop_path_of_rate_0_is_nothing(inputs):
    np.testing.assert_array_equal(
        to_numpy(layers.DropPath(0.0)(inputs, training=True)), inputs
    )


@pytest.mark.parametrize("use_bias", [False, True])
def test_patches_of_an_image_are_a_convolution(rng, use_bias):
    """Of stride and size 2 x 3: each patch times the kernel, row by row."""
    images = rng.standard_normal((B, 4, 9, 5)).astype("float32")
    layer = layers.PatchEmbedding(D, (2, 3), use_bias=use_bias)
    layer.build(images.shape)
    randomize(layer)
    kernel, *bias = layer.get_weights()
    assert kernel.shape == (2, 3, 5, D)
    expected = np.zeros((B, 6, D))
    for i in range(2):
        for j in range(3):
            patch = images[:, 2 * i : 2 * i + 2, 3 * j : 3 * j + 3]
            expected[:, 3 * i + j] = np.einsum("bpqc,pqcd->bd", patch, kernel)
    expected += bias[0] if use_bias else 0
    close(layer(images), expected)
    convolution = keras.layers.Conv2D(D, (2, 3), (2, 3), use_bias=use_bias)
    convolution.build(images.shape)
    convolution.set_weights(layer.get_weights())
    close(layer(images), to_numpy(convolution(images)).reshape(B, 6, D))


def test_patches_of_a_signal_are_a_convolution(rng):
    signals = rng.standard_normal((B, 8, 3)).astype("float32")
    layer = layers.PatchEmbedding(D, 2)
    layer.build(signals.shape)
    randomize(layer)
    kernel, bias = layer.get_weights()
    expected = signals.reshape(B, 4, 6) @ kernel.reshape(6, D) + bias
    close(layer(signals), expected)
    convolution = keras.layers.Conv1D(D, 2, 2)
    convolution.build(signals.shape)
    convolution.set_weights([kernel, bias])
    close(layer(signals), to_numpy(convolution(signals)))


@pytest.mark.parametrize("num_tokens", [1, 2])
def test_learned_tokens_stand_in_front(inputs, num_tokens):
    layer = layers.ClassToken(num_tokens)
    assert not to_numpy(layer(inputs))[:, :num_tokens].any()
    randomize(layer)
    output = to_numpy(layer(inputs))
    close(output[:, :num_tokens], np.stack([layer.get_weights()[0]] * B))
    close(output[:, num_tokens:], inputs)


def test_learned_tokens_stand_behind_others(inputs):
    layer = layers.ClassToken(2, behind=1)
    layer.build(inputs.shape)
    randomize(layer)
    output = to_numpy(layer(inputs))
    close(output[:, [0]], inputs[:, [0]])
    close(output[:, 1:3], np.stack([layer.get_weights()[0]] * B))
    close(output[:, 3:], inputs[:, 1:])


@pytest.mark.parametrize("kind", ["learned", "sinusoidal"])
def test_tokens_and_positions_are_added(rng, kind):
    ids = rng.integers(0, 11, (B, T))
    layer = layers.TokenAndPositionEmbedding(11, D, 8, kind, scale=3.0)
    layer.build(ids.shape)
    randomize(layer)
    tokens, *positions = layer.get_weights()
    assert tokens.shape == (11, D)
    place = layers.PositionalEmbedding(kind="sinusoidal")(np.zeros((1, T, D)))
    place = positions[0][:T] if positions else to_numpy(place)[0]
    close(layer(ids), 3 * tokens[ids] + place)


def test_token_embeddings_turn_back_into_logits(inputs):
    """The same table, read in the other direction."""
    layer = layers.TokenAndPositionEmbedding(11, D, 8)
    layer(np.zeros((1, 2), "int32"))
    logits = layer.token_embedding(inputs, reverse=True)
    table = to_numpy(layer.token_embedding.embeddings)
    close(logits, inputs @ table.T)
    assert len(layer.trainable_weights) == 2


# Keras turns a vector by `x.T` there.
@pytest.mark.filterwarnings("ignore:The use of `x.T`:UserWarning")
def test_a_tied_embedding_keeps_what_the_layer_of_keras_can(inputs):
    """A cap, a table of its own for the way back, another dtype there, and int8."""
    for options in (
        {"logit_soft_cap": 2.0},
        {"tie_weights": False},
        {"reverse_dtype": "float16"},
    ):
        ours = layers.TiedEmbedding(11, D, **options)
        theirs = keras.layers.ReversibleEmbedding(11, D, **options)
        for layer in (ours, theirs):
            layer(np.zeros((1, 2), "int32"))
        theirs.set_weights(ours.get_weights())
        expected = to_numpy(theirs(inputs, reverse=True))
        found = to_numpy(ours(inputs, reverse=True))
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
        assert ours.get_config().keys() == theirs.get_config().keys()

    layer = layers.TiedEmbedding(11, D)
    layer(np.zeros((1, 2), "int32"))
    before = to_numpy(layer(inputs, reverse=True))
    layer.quantize("int8")
    assert keras.backend.standardize_dtype(layer.embeddings.dtype) == "int8"
    after = to_numpy(layer(inputs, reverse=True))
    np.testing.assert_allclose(after, before, atol=0.02 * np.abs(before).max())
