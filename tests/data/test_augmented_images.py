"""Batches of pictures that are changed and mixed, and what a teacher says of them."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import DeiT
from keras_attention.data import AugmentedImageDataset
from keras_attention.data import FollowEpochs
from keras_attention.images import ImageProcessor

PROCESSOR = ImageProcessor(image_size=(8, 12))
LABELS = [0, 1, 2, 0, 1]


def shades():
    return [np.full((5, 7, 3), 50 * number, "uint8") for number in range(5)]


def dataset(**options):
    options = {"num_classes": 3, "batch_size": 4, **options}
    return AugmentedImageDataset(shades(), LABELS, PROCESSOR, **options)


@pytest.mark.once
def test_without_layers_the_pictures_are_those_of_the_processor():
    data = dataset(shuffle=False)
    images, shares, weights = data[1]
    np.testing.assert_allclose(images[0], PROCESSOR.load(shades()[4:])[0])
    np.testing.assert_array_equal(shares[0], [0, 1, 0])
    np.testing.assert_array_equal(weights, [1, 0, 0, 0])  # one picture is left


@pytest.mark.once
def test_a_picture_is_repeated_and_changed_in_another_way_each_time():
    flips = keras.layers.RandomTranslation(0.0, 0.5, fill_mode="constant", seed=1)
    data = dataset(repeats=2, augment=[flips], shuffle=False)
    images, shares, _ = data[1]  # the third and the fourth picture, twice each
    np.testing.assert_array_equal(shares.argmax(axis=1), [2, 2, 0, 0])
    assert len(data) == 3
    assert (images[0] != images[1]).any()


def black_and_white(layer):
    """Shares of the second class, and how white the images are, from 0 to 1."""
    pictures = [np.full((8, 12, 3), shade, "uint8") for shade in (0, 255)] * 8
    data = AugmentedImageDataset(
        pictures, [0, 1] * 8, PROCESSOR, 2, batch_size=16, augment=[layer]
    )
    images, shares, _ = data[0]
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    return shares[:, 1], (images.mean(axis=(1, 2, 3)) + 1) / 2


@pytest.mark.once
def test_classes_are_mixed_as_pictures_are():
    shares, white = black_and_white(keras.layers.MixUp(alpha=1.0, seed=3))
    np.testing.assert_allclose(shares, white, atol=1e-5)
    assert ((0.01 < white) & (white < 0.99)).sum() > 3


@pytest.mark.once
def test_parts_of_pictures_are_exchanged():
    """Keras 3.15: its shares are those that were drawn, not those of the parts."""
    shares, white = black_and_white(keras.layers.CutMix(factor=1.0, seed=3))
    mixed = (0.01 < white) & (white < 0.99)
    assert mixed.any()
    np.testing.assert_array_equal(shares[mixed] > 0.5, white[mixed] > 0.5)


@pytest.mark.once
def test_some_of_a_picture_is_erased():
    erase = keras.layers.RandomErasing(
        factor=(1.0, 1.0), scale=(0.3, 0.5), fill_value=9.0, value_range=(-1, 9), seed=1
    )
    images, _, _ = dataset(augment=[erase], shuffle=False)[0]
    assert ((images == 9.0).mean(axis=(1, 2, 3)) > 0.05).all()


@pytest.mark.once
def test_the_teacher_is_asked_about_the_pictures_as_they_are_then():
    """Hard as in DeiT, or soft; only the second token learns it."""
    inputs = keras.Input((8, 12, 3))
    means = keras.layers.GlobalAveragePooling2D()(inputs)  # (B, 3): gray pictures
    teacher = keras.Model(inputs, means * np.array([1.0, 2.0, -3.0], "float32"))
    mix = keras.layers.MixUp(alpha=1.0, seed=2)
    images, targets, weights = dataset(teacher=teacher, augment=[mix])[0]
    logits = to_numpy(teacher(images))
    chosen = targets["distillation_token"]
    np.testing.assert_array_equal(chosen, np.eye(3)[logits.argmax(axis=1)])
    assert (targets["class_token"] != chosen).any()
    assert weights.keys() == targets.keys()
    soft = dataset(teacher=teacher, temperature=2.0, shuffle=False)
    images, targets, _ = soft[0]
    expected = keras.ops.softmax(teacher(images) / 2.0)
    found = targets["distillation_token"]
    np.testing.assert_allclose(found, to_numpy(expected), rtol=1e-5)


@pytest.mark.compiles_much
def test_a_deit_learns_from_labels_and_from_a_teacher():
    model = DeiT(
        image_size=(8, 12),
        patch_size=4,
        hidden_dim=8,
        num_layers=1,
        num_heads=2,
        mlp_dim=8,
        num_classes=3,
        answer="both",
    )
    inputs = keras.Input((8, 12, 3))
    teacher = keras.Model(inputs, keras.layers.Dense(3)(keras.ops.mean(inputs, (1, 2))))
    before = teacher.get_weights()
    model.compile(
        keras.optimizers.Adam(0.03),
        keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    data = dataset(teacher=teacher)
    options = {"epochs": 5, "shuffle": False, "callbacks": [FollowEpochs(data)]}
    losses = model.fit(data, verbose=0, **options).history["loss"]
    assert losses[-1] < losses[0]
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    names, probabilities = model.classify(shades(), top=2)
    assert (len(names), len(names[0])) == (5, 2)
    assert (probabilities[:, 0] >= probabilities[:, 1]).all()


@pytest.mark.once
@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_classes": 2}, "from 0 to 1. Received: 0 to 2"),
        ({"repeats": 3}, "must divide `batch_size`"),
        ({"temperature": 2.0}, "softens what a `teacher` says"),
        ({"batch_size": 0}, "batch_size"),
    ],
)
def test_what_does_not_fit_is_told(options, message):
    with pytest.raises(ValueError, match=message):
        dataset(**options)


@pytest.mark.once
def test_labels_that_are_no_numbers_are_told():
    with pytest.raises(ValueError, match="number of a class. Received: 5 pictures"):
        AugmentedImageDataset(shades(), list("abcde"), PROCESSOR, 3)
