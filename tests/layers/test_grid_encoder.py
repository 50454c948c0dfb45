"""Encoders from pictures to grids."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.layers import grid_encoder


@pytest.fixture
def images(rng):
    return rng.integers(0, 256, (2, 32, 48, 3)).astype("uint8")


@pytest.mark.parametrize(
    ("filters", "expected"),
    [((5,), (8, 12, 5)), ((5, 7), (4, 6, 7)), ((5, 6, 9), (2, 3, 9))],
)
def test_each_stage_halves_the_grid(images, filters, expected):
    encoder = grid_encoder(image_size=(32, 48), filters=filters)
    assert encoder.output_shape == (None, *expected)
    assert to_numpy(encoder(images)).shape == (2, *expected)


@pytest.mark.compiles_much
def test_a_named_encoder_prepares_its_pictures(images):
    """Inside is what `preprocess_input` does outside."""
    encoder = grid_encoder("MobileNetV2", image_size=(32, 48))
    network = encoder.layers[-1]
    prepared = keras.applications.mobilenet_v2.preprocess_input(
        images.astype("float32")
    )
    np.testing.assert_allclose(
        to_numpy(encoder(images)), to_numpy(network(prepared)), atol=1e-5
    )


def test_a_named_encoder_is_cut_at_a_layer():
    encoder = grid_encoder("MobileNetV2", 64, output_layer="block_3_project")
    assert encoder.output_shape == (None, 8, 8, 32)


def test_every_model_of_keras_applications_has_its_preparation():
    names = [name for name in vars(keras.applications) if name[0].isupper()]
    assert len(names) > 30
    for name in names:
        module = getattr(keras.applications, name).__module__.rpartition(".")[2]
        assert hasattr(getattr(keras.applications, module), "preprocess_input"), name


def test_an_encoder_of_ones_own_is_taken_as_it_is():
    own = keras.Sequential([keras.Input((32, 48, 3)), keras.layers.Conv2D(4, 8, 8)])
    assert grid_encoder(own, image_size=(32, 48)) is own


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "VGG"}, "has no model 'VGG'. Did you mean 'VGG1[69]'?"),
        ({"encoder": 3}, "`encoder` must be None, the name .* Received: 3"),
        ({"image_size": (32, 32, 3)}, r"one integer or \(height, width\)"),
        ({"image_size": 0}, "`image_size` must be a positive integer"),
        (
            {"encoder": "MobileNetV2", "output_layer": "block_3_projekt"},
            "has no layer 'block_3_projekt'. Did you mean 'block_3_project'",
        ),
        ({"weights": "imagenet"}, "`weights` .* of keras.applications.*=None.*default"),
        ({"output_layer": "relu"}, "`output_layer` .* for another encoder.*=None"),
        ({"encoder": "VGG19", "filters": (4,)}, "`filters` .* the small .*'VGG19'"),
        (
            {"encoder": keras.Sequential(name="own"), "weights": "x.weights.h5"},
            "`weights` .* of keras.applications.*'own'",
        ),
    ],
)
def test_what_is_no_encoder_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        grid_encoder(**options)


def test_an_encoder_for_other_pictures_is_refused():
    own = keras.Sequential([keras.Input((32, 48, 3)), keras.layers.Conv2D(4, 8, 8)])
    with pytest.raises(ValueError, match=r"shape \(None, 64, 64, 3\). Received: "):
        grid_encoder(own, image_size=64)


def test_an_encoder_without_a_grid_is_refused():
    own = keras.Sequential([keras.Input((32, 32, 3)), keras.layers.Flatten()])
    with pytest.raises(ValueError, match="must be a grid"):
        grid_encoder(own, image_size=32)
