"""Attention by distance alone: its equation, and the convolution that it can be."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.layers import GaussianSelfAttention2D
from keras_attention.visualization import attention_maps
from layers.layer_table import randomize

B, R, C, D, E, N = 2, 4, 6, 3, 5, 2


def test_each_head_reads_around_its_offset(rng):
    """In NumPy, of a picture with one row and one column of zeros around."""
    layer = GaussianSelfAttention2D(num_heads=N, output_dim=E)
    x = rng.normal(size=(B, R, C, D)).astype("float32")
    layer.build(x.shape)
    randomize(layer)
    places = np.stack(np.meshgrid(range(R), range(C), indexing="ij"), -1)
    keys = np.stack(np.meshgrid(range(-1, R + 1), range(-1, C + 1), indexing="ij"), -1)
    apart = keys.reshape(1, 1, -1, 2) - places.reshape(1, -1, 1, 2)
    apart = apart - to_numpy(layer.centers)[:, None, None]  # (N, T, S, 2)
    scores = -((to_numpy(layer.head_sharpness)[:, None, None, None] * apart) ** 2)
    weights = np.exp(scores.sum(-1))
    weights = weights / weights.sum(-1, keepdims=True)
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)]).reshape(B, -1, D)
    read = np.einsum("nts,bsd->btnd", weights, padded).reshape(B, R, C, N * D)
    expected = read @ to_numpy(layer.kernel) + to_numpy(layer.bias)
    output, found = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(output), expected, atol=1e-5)
    found = to_numpy(found)
    np.testing.assert_allclose(found, np.stack([weights] * B), atol=1e-5)


@pytest.mark.parametrize(
    "size, dilation, padding", [((3, 3), 1, 1), ((2, 4), 1, 2), ((1, 3), 2, 2)]
)
def test_it_is_a_convolution(rng, size, dilation, padding):
    convolution = keras.layers.Conv2D(
        E, size, padding="same", dilation_rate=dilation, data_format="channels_last"
    )
    layer = GaussianSelfAttention2D(size[0] * size[1], E, padding)
    x = rng.normal(size=(B, R, C, D)).astype("float32")
    convolution.build(x.shape)
    randomize(convolution)
    layer.build(x.shape)
    layer.set_to_convolution(convolution)
    np.testing.assert_allclose(to_numpy(layer(x)), to_numpy(convolution(x)), atol=1e-4)


@pytest.mark.compiles_much
def test_training_finds_the_convolution(rng):
    """An edge: two heads learn where its two places are, and what they are worth."""
    kernel = np.zeros((3, 3, 1, 1), "float32")
    kernel[1, 0], kernel[1, 2] = -1.0, 1.0
    x = rng.normal(size=(64, 5, 5, 1)).astype("float32")
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (0, 0)])
    y = padded[:, :, 2:] - padded[:, :, :-2]
    layer = GaussianSelfAttention2D(num_heads=2, output_dim=1)
    model = keras.Sequential([keras.Input(x.shape[1:]), layer])
    layer.centers.assign([[0.4, -0.5], [-0.3, 0.6]])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    model.fit(x, y, batch_size=64, epochs=200, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.01 * np.mean(y**2)
    np.testing.assert_allclose(to_numpy(layer.centers), [[0, -1], [0, 1]], atol=0.1)


@pytest.mark.once
@pytest.mark.parametrize("padding, kind, count", [(0, "self", 24), (1, "cross", 48)])
def test_its_weights_are_recorded(padding, kind, count):
    inputs = keras.Input((R, C, D))
    model = keras.Model(inputs, GaussianSelfAttention2D(N, padding=padding)(inputs))
    (found,) = attention_maps(model, np.zeros((B, R, C, D))).values()
    assert found.kind == kind
    assert found.weights.shape == (B, N, R * C, count)


@pytest.mark.once
@pytest.mark.parametrize(
    "options, message",
    [
        ({"strides": 2}, "strides=.2, 2."),
        ({"padding": "valid"}, "padding='valid'"),
        ({"activation": "relu"}, "an activation"),
        ({"kernel_size": 2}, "4 places in its kernel"),
        ({"filters": 4}, "channels"),
        ({"dilation_rate": 2}, "offsets of 2"),
    ],
)
def test_another_convolution_is_told(options, message):
    options = {"filters": E, "kernel_size": 3, "padding": "same", **options}
    convolution = keras.layers.Conv2D(**options, data_format="channels_last")
    layer = GaussianSelfAttention2D(9, E)
    for each in (convolution, layer):
        each.build((None, R, C, D))
    with pytest.raises(ValueError, match=f"no such convolution.*{message}"):
        layer.set_to_convolution(convolution)


@pytest.mark.once
def test_a_sharpness_is_positive():
    with pytest.raises(ValueError, match="must be above 0. Received: sharpness=0"):
        GaussianSelfAttention2D(sharpness=0)
