"""What papers train Vision Transformers with, and Keras has: each changes its part."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import ViT
from keras_attention.training import layer_decay

pytestmark = pytest.mark.compiles_much

IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
LABELS = np.eye(3)[[0, 1, 2, 0]]


def tiny(**options):
    keras.utils.set_random_seed(1)
    return ViT(
        image_size=8,
        patch_size=4,
        hidden_dim=8,
        num_layers=2,
        num_heads=2,
        mlp_dim=12,
        num_classes=3,
        **options,
    )


def trained(model, optimizer, batch_size=4, epochs=1, smoothing=0.0):
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=smoothing
    )
    model.compile(optimizer, loss)
    history = model.fit(
        IMAGES,
        LABELS,
        batch_size=batch_size,
        epochs=epochs,
        shuffle=False,
        verbose=0,
    )
    return model.get_weights(), history.history["loss"]


def assert_equal(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_gradients_of_two_batches_are_those_of_one():
    whole, _ = trained(tiny(), keras.optimizers.SGD(0.1))
    halves = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    assert_equal(trained(tiny(), halves, batch_size=2)[0], whole)


@pytest.mark.parametrize("decay", [None, 0.5])
def test_the_weights_are_means_over_the_steps(decay):
    """Also those that a smaller rate moves."""

    def optimizer(model, **options):
        inner = keras.optimizers.SGD(0.1, **options)
        return inner if decay is None else layer_decay(inner, model, decay)

    steps = []
    for count in (1, 2):
        model = tiny()
        steps.append(trained(model, optimizer(model), epochs=count)[0])
    model = tiny()
    mean = optimizer(model, use_ema=True, ema_momentum=0.75)
    found, _ = trained(model, mean, epochs=2)
    expected = [0.75 * one + 0.25 * two for one, two in zip(*steps, strict=True)]
    assert_equal(found, expected)


def test_the_rate_begins_at_0_and_rises():
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, 4, warmup_target=0.1, warmup_steps=1
    )
    model = tiny()
    before = model.get_weights()
    assert_equal(trained(model, keras.optimizers.SGD(schedule))[0], before)
    after, _ = trained(model, keras.optimizers.SGD(schedule), epochs=2)
    assert any((one != two).any() for one, two in zip(before, after, strict=True))


def test_labels_are_softened():
    logits = to_numpy(tiny()(IMAGES))
    targets = LABELS * 0.7 + 0.1
    logs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    expected = -(targets * logs).sum(axis=-1).mean()
    _, losses = trained(tiny(), "sgd", smoothing=0.3)
    np.testing.assert_allclose(losses, [expected], rtol=1e-5)


def test_computing_again_changes_nothing():
    whole, _ = trained(tiny(), keras.optimizers.SGD(0.1))
    blocks = ["block_0", "block_1"]
    with keras.RematScope(mode="list_of_layers", layer_names=blocks):
        model = tiny()
    assert all(block._remat_mode is not None for block in model.encoder.blocks)
    assert_equal(trained(model, keras.optimizers.SGD(0.1))[0], whole)


def test_half_precision_computes_in_bfloat16_and_keeps_float32():
    whole, (loss,) = trained(tiny(), keras.optimizers.SGD(0.1))
    model = tiny(dtype="mixed_bfloat16")
    found, (half,) = trained(model, keras.optimizers.SGD(0.1))
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    assert model.encoder.compute_dtype == "bfloat16"
    assert half != loss
    np.testing.assert_allclose(half, loss, rtol=0.05)


def test_branches_are_dropped_in_training_alone():
    model = tiny(drop_path=0.9, seed=1)
    fixed = to_numpy(model(IMAGES))
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), fixed)
    assert (to_numpy(model(IMAGES, training=True)) != fixed).any()
    np.testing.assert_allclose(fixed, to_numpy(tiny()(IMAGES)), atol=1e-6)
