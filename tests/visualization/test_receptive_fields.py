"""The pixels that bear on a place are those that its layers read."""

import keras
import numpy as np
import pytest

from keras_attention.layers import SelfAttention2D
from keras_attention.visualization import field_distance
from keras_attention.visualization import receptive_field


def convolutions(count, **options):
    return keras.Sequential(
        [keras.layers.Conv2D(3, 3, padding="same", **options) for _ in range(count)]
    )


def test_two_convolutions_see_five_pixels(rng):
    images = rng.normal(size=(2, 9, 11, 1))
    field = receptive_field(convolutions(2), images, place=(3, 4))
    seen = np.argwhere(field > 0)
    assert seen.min(axis=0).tolist() == [1, 2] and seen.max(axis=0).tolist() == [5, 6]
    assert field.sum() == pytest.approx(1, rel=1e-5)
    assert 0 < field_distance(field, (3, 4)) < np.hypot(2, 2)


def test_attention_sees_everything(rng):
    layer = SelfAttention2D(pool_size=1)
    images = rng.normal(size=(2, 6, 6, 8))
    layer(images)
    assert (receptive_field(layer, images) > 0).sum() == 1  # the gate is closed
    layer.gate.assign(1.0)
    assert (receptive_field(layer, images) > 0).all()


@pytest.mark.once
def test_the_distance_is_from_the_middle_of_what_is_seen():
    field = np.zeros((5, 5))
    field[2, [0, 4]] = 0.5
    assert field_distance(field) == 2
    assert field_distance(field, (2, 0)) == 2
    assert field_distance(field, (0, 2)) == pytest.approx(np.sqrt(8))


@pytest.mark.once
def test_features_that_are_no_map_are_told():
    layer = keras.layers.GlobalAveragePooling2D()
    with pytest.raises(ValueError, match="must give .B, rows, columns, D..*.1, 3."):
        receptive_field(layer, np.ones((1, 4, 4, 3)))


@pytest.mark.once
def test_a_constant_network_is_told():
    layer = convolutions(1, kernel_initializer="zeros")
    with pytest.raises(ValueError, match="No pixel bears on the place"):
        receptive_field(layer, np.ones((1, 4, 4, 1)))
