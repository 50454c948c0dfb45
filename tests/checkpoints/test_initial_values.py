"""Weights that are read from a file are not drawn before."""

import threading

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import ViT
from keras_attention.checkpoints.initial_values import postpone_initial_values


def build(layer, width=3):
    layer.build((None, width))
    return layer


def is_zero(weight):
    return not to_numpy(weight).any()


def test_what_is_not_read_is_drawn():
    with postpone_initial_values() as values:
        first = build(keras.layers.Dense(4, kernel_initializer="ones"))
        second = build(keras.layers.Dense(4, bias_initializer="ones"))
        assert all(is_zero(w) for w in first.weights + second.weights)
    values.draw(except_for=first.weights)
    assert all(is_zero(w) for w in first.weights)
    np.testing.assert_array_equal(to_numpy(second.bias), np.ones(4))
    assert 0 < np.abs(to_numpy(second.kernel)).max() <= (6 / 7) ** 0.5  # Glorot


def test_afterwards_layers_are_built_as_ever():
    with pytest.raises(KeyError), postpone_initial_values():
        raise KeyError
    assert not is_zero(build(keras.layers.Dense(4)).kernel)


def test_other_threads_are_not_concerned():
    built = []
    with postpone_initial_values():
        thread = threading.Thread(
            target=lambda: built.append(build(keras.layers.Dense(4)))
        )
        thread.start()
        thread.join()
    assert not is_zero(built[0].kernel)


def test_a_model_that_is_read_within_keeps_its_weights():
    with postpone_initial_values() as outer:
        with postpone_initial_values() as inner:
            layer = build(keras.layers.Dense(4))
        layer.kernel.assign(np.ones((3, 4)))
        inner.draw(except_for=[layer.kernel])
    outer.draw()
    np.testing.assert_array_equal(to_numpy(layer.kernel), np.ones((3, 4)))


def test_a_new_head_is_drawn_and_the_rest_is_read(tmp_path):
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 12}
    model = ViT(image_size=8, patch_size=4, num_classes=3, **sizes)
    model.save_to_preset(tmp_path / "vit")
    other = ViT.from_preset(tmp_path / "vit", num_classes=5)
    assert not is_zero(other.get_layer("classifier").kernel)
    for one, two in zip(model.weights[:-2], other.weights[:-2], strict=True):
        np.testing.assert_array_equal(to_numpy(one), to_numpy(two))
    untrained = ViT.from_preset(tmp_path / "vit", load_weights=False)
    assert not is_zero(untrained.get_layer("patch_embedding").kernel)
