"""A part of two layers stays one: in files, in copies, and in what PyTorch sees."""

import copy
import pickle

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize

B, T, D, N, M = 2, 5, 8, 2, 16


def encoder_block(**options):
    return layers.TransformerEncoderBlock(N, M, **options)


def attention():
    shared = layers.MultiHeadSelfAttention(N, 4)
    return [encoder_block(attention=shared) for _ in range(2)]


def feed_forward():
    shared = layers.FeedForward(M)
    return [encoder_block(feed_forward=shared) for _ in range(2)]


def cross_attention():
    shared = layers.MultiHeadAttention(N, 4)
    return [
        layers.TransformerDecoderBlock(N, M, cross_attention=shared) for _ in range(2)
    ]


def position_bias():
    shared = layers.RelativePositionBias(N)
    return [
        layers.TransformerEncoder(encoder_block(), 1, position_bias=shared)
        for _ in range(2)
    ]


def position_scores():
    shared = layers.RelativePositionBias(N)
    return [
        layers.MultiHeadSelfAttention(N, 4, position_scores=shared) for _ in range(2)
    ]


def called_twice():
    return [encoder_block()] * 2


PARTS = [attention, feed_forward, cross_attention, position_bias, position_scores]
by_part = pytest.mark.parametrize(
    "make", [*PARTS, called_twice], ids=lambda make: make.__name__
)


def model_of(make):
    inputs = keras.Input((None, D))
    x = inputs
    for layer in make():
        reads = isinstance(layer, layers.TransformerDecoderBlock)
        x = layer(x, inputs) if reads else layer(x)
    return keras.Model(inputs, x)


def saved(model, folder):
    model.save(folder / "model.keras")
    return keras.models.load_model(folder / "model.keras")


def cloned(model, folder):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def from_config(model, folder):
    copy = keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    return copy


def pickled(model, folder):
    return pickle.loads(pickle.dumps(model))


def copied(model, folder):
    return copy.deepcopy(model)


WAYS = [saved, cloned, from_config, pickled, copied]


@by_part
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_copy_of_a_model_has_one_part_as_well(make, way, tmp_path, rng):
    model = model_of(make)
    randomize(model)
    x = rng.standard_normal((B, T, D)).astype("float32")
    # A second copy shares nothing with the first.
    first, second = way(model, tmp_path), way(model, tmp_path)
    for found in (first, second):
        assert found.count_params() == model.count_params()
        np.testing.assert_allclose(to_numpy(found(x)), to_numpy(model(x)), atol=1e-6)
    weights = [id(weight) for copy in (model, first, second) for weight in copy.weights]
    assert len(set(weights)) == len(weights)


@by_part
def test_a_file_of_weights_is_read_where_a_part_is_shared(make, tmp_path, rng):
    model, other = model_of(make), model_of(make)
    randomize(model)
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    x = rng.standard_normal((B, T, D)).astype("float32")
    np.testing.assert_allclose(to_numpy(other(x)), to_numpy(model(x)), atol=1e-6)


@pytest.mark.skipif(BACKEND != "torch", reason="It is about modules of PyTorch.")
@by_part
def test_a_state_dict_is_read_where_a_part_is_shared(make, rng):
    model, other = model_of(make), model_of(make)
    for weight, target in zip(model.weights, other.weights, strict=True):
        assert weight.shape == target.shape
    randomize(model)
    assert len(list(model.parameters())) == len(model.trainable_variables)
    state = model.state_dict()
    names = dict(zip(state, other.state_dict(), strict=True))
    other.load_state_dict({names[name]: value for name, value in state.items()})
    x = rng.standard_normal((B, T, D)).astype("float32")
    np.testing.assert_allclose(to_numpy(other(x)), to_numpy(model(x)), atol=1e-6)
