"""SAGAN learns from pictures and classes, each network from its own loss alone."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from helpers import weight_gradients
from keras_attention.applications import from_preset
from keras_attention.applications import SAGAN
from keras_attention.training.adversarial_losses import discriminator_hinge_loss
from keras_attention.visualization import attention_maps

N = 6


def make(**changes):
    arguments = {
        "image_size": (8, 16),
        "num_channels": 2,
        "num_classes": 3,
        "class_names": ["cat", "dog", "owl"],
        "noise_dim": 5,
        "generator_dims": (16, 8),
        "discriminator_dims": (8, 16),
        "attention_sizes": (4,),
        "seed": 1,
    }
    keras.utils.set_random_seed(0)
    return SAGAN(**{**arguments, **changes})


@pytest.fixture
def pictures(rng):
    return rng.uniform(-1, 1, (N, 8, 16, 2)).astype("float32")


LABELS = np.array([0, 1, 2, 2, 1, 0])


def test_each_network_learns_from_its_own_loss(pictures):
    """The gradients of the sum are those of two losses, each with one network fixed."""
    model = make()
    labels, noise = ops.convert_to_tensor(LABELS), ops.ones((N, 5))
    real = ops.convert_to_tensor(pictures)

    def score(images):
        return model.discriminator({"images": images, "labels": labels})

    def generate():
        return model.generator({"noise": noise, "labels": labels})

    def of_both():
        made = generate()
        outputs = {
            "generated": made,
            "real_scores": score(real),
            "generated_scores": score(ops.stop_gradient(made)),
        }
        return model.compute_loss({"labels": labels}, y_pred=outputs)

    def of_discriminator():
        made = ops.stop_gradient(generate())
        return discriminator_hinge_loss(score(real), score(made))

    def of_generator():
        return -ops.mean(score(generate()))

    for network, loss in (
        (model.discriminator, of_discriminator),
        (model.generator, of_generator),
    ):
        expected = weight_gradients(loss, network.trainable_variables)
        found = weight_gradients(of_both, network.trainable_variables)
        assert max(np.abs(gradient).max() for gradient in expected) > 1e-3
        for ours, alone in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours, alone, atol=1e-5)


@pytest.mark.compiles_much
def test_it_learns_and_comes_back_from_a_file(tmp_path, pictures):
    model = make()
    model.compile(model.two_time_scales())
    before = model.get_weights()
    history = model.fit(pictures, LABELS, batch_size=3, epochs=2, verbose=0).history
    assert {"discriminator_loss", "generator_loss", "loss"} <= history.keys()
    sums = np.add(history["discriminator_loss"], history["generator_loss"])
    np.testing.assert_allclose(history["loss"], sums, rtol=1e-4)
    moved = [
        weight.path
        for weight, old in zip(model.weights, before, strict=True)
        if np.abs(to_numpy(weight) - old).max() == 0
    ]
    # What stands before a norm over the batch has no use of its bias.
    assert all("bias" in path for path in moved), moved
    losses = model.evaluate(pictures, LABELS, verbose=0, return_dict=True)
    assert all(np.isfinite(loss) for loss in losses.values())
    made = model.generate(["owl", "cat"], seed=4)
    assert made.shape == (2, 8, 16, 2) and np.abs(made).max() <= 1

    model.save(tmp_path / "model.keras")
    model.save_to_preset(tmp_path / "folder")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for other in (loaded, from_preset(tmp_path / "folder")):
        np.testing.assert_allclose(other.generate([2, 0], seed=4), made, atol=1e-6)
    assert loaded.optimizer.scales == model.optimizer.scales
    loaded.fit(pictures, LABELS, batch_size=3, verbose=0)


@pytest.mark.compiles_much
def test_batches_of_pictures_and_labels_are_read(pictures):
    model = make()
    model.compile(model.two_time_scales())

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return pictures[:3], LABELS[:3]

    assert "generator_loss" in model.fit(Batches(), verbose=0).history


@pytest.mark.once
def test_its_attention_is_seen():
    model = make()
    noise = np.zeros((N, 5), "float32")
    maps = attention_maps(model.generator, {"noise": noise, "labels": LABELS})
    (found,) = maps.values()
    assert found.weights.shape == (N, 1, 4 * 8, 2 * 4)


@pytest.mark.once
@pytest.mark.parametrize("preset", SAGAN.presets())
def test_the_presets_have_so_many_parameters(preset):
    with keras.StatelessScope(initialize_variables=False):
        model = SAGAN.from_preset(preset)
        shapes = [weight.shape for weight in model.trainable_weights]
        count = sum(int(np.prod(shape)) for shape in shapes)
    assert count == SAGAN.presets_table[preset]["parameters"]


@pytest.mark.once
@pytest.mark.parametrize(
    "act, message",
    [
        (lambda: make(image_size=(8, 18)), "multiple of 4. Received: .8, 18."),
        (lambda: make(attention_sizes=(5,)), "`attention_sizes` must be among.*.5."),
        (lambda: make(class_names=["cat"]), "must name each class.*1 names"),
        (lambda: make().generate([3]), "from 0 to 2.*Received 3"),
        (lambda: make().generate(["pig"]), "one of.*Received 'pig'"),
        (lambda: make().generate([0.5]), "whole number from 0 to 2. Received 0.5"),
        (
            lambda: make().generate([1], noise=np.zeros((1, 4))),
            "5 numbers for each label, .1, 5.. Received: noise.shape=.1, 4.",
        ),
    ],
)
def test_what_cannot_be_is_told(act, message):
    with pytest.raises(ValueError, match=message):
        act()


@pytest.mark.once
@pytest.mark.parametrize(
    "arguments, compiled, message",
    [
        (lambda x: (x.astype("uint8"), LABELS), {}, "images / 127.5 - 1"),
        (lambda x: (x,), {}, "images and their labels.*fit.images, labels."),
        (lambda x: (x, LABELS + 1), {}, "from 0 to 2"),
        (lambda x: (x, LABELS, np.ones(N)), {}, "weighs all pictures alike"),
        (lambda x: ({"images": x, "labels": LABELS},), {"loss": "mse"}, "its own loss"),
    ],
)
def test_what_it_cannot_learn_from_is_told(pictures, arguments, compiled, message):
    model = make()
    model.compile("adam", **compiled)
    names = ("x", "y", "sample_weight")
    with pytest.raises(ValueError, match=message):
        model.fit(**dict(zip(names, arguments(pictures), strict=False)), verbose=0)
