"""Smaller learning rates towards the input."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import Transformer
from keras_attention.applications import ViT
from keras_attention.checkpoints.weights import named_weights
from keras_attention.training import layer_decay
from keras_attention.training import LayerDecay


def tiny_vit(num_classes=3):
    return ViT(
        image_size=8,
        patch_size=4,
        hidden_dim=8,
        num_layers=2,
        num_heads=2,
        mlp_dim=12,
        num_classes=num_classes,
    )


def scales_by_path(model, decay):
    scales = layer_decay("sgd", model, decay).scales
    return dict(zip(named_weights(model), scales, strict=True))


def test_the_scale_falls_from_block_to_block():
    scales = scales_by_path(tiny_vit(), 0.5)
    assert scales["patch_embedding/kernel"] == 0.125
    assert scales["position_embedding/table"] == 0.125
    assert scales["encoder/block_0/self_attention/output_kernel"] == 0.25
    assert scales["encoder/block_1/feed_forward/hidden_bias"] == 0.5
    assert scales["norm/gamma"] == scales["classifier/kernel"] == 1.0


def test_the_blocks_of_a_decoder_come_after_those_of_the_encoder():
    model = Transformer(
        source_vocabulary_size=9,
        target_vocabulary_size=9,
        hidden_dim=8,
        num_layers=2,
        num_heads=2,
        mlp_dim=8,
    )
    scales = scales_by_path(model, 0.5)
    assert scales["token_embedding/embeddings"] == 0.5**5
    assert scales["encoder/block_1/self_attention/output_kernel"] == 0.5**3
    assert scales["decoder/block_0/cross_attention/output_kernel"] == 0.5**2


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_it_is_another_learning_rate_for_each_weight(name):
    """As if each weight had an optimizer of its own, weight decay included."""
    options = {"momentum": 0.9} if name == "SGD" else {}
    options["weight_decay"] = 0.1
    make = getattr(keras.optimizers, name)
    scales, rng = [0.25, 1.0, 0.5], np.random.default_rng(0)
    values = [rng.normal(size=(2, i + 1)).astype("float32") for i in range(3)]
    together = [keras.Variable(value) for value in values]
    alone = [keras.Variable(value) for value in values]
    optimizer = LayerDecay(make(0.1, **options), scales)
    others = [make(0.1 * scale, **options) for scale in scales]
    for _ in range(3):
        gradients = [rng.normal(size=v.shape).astype("float32") for v in values]
        gradients = [keras.ops.convert_to_tensor(g) for g in gradients]
        optimizer.apply(gradients, together)
        for other, gradient, variable in zip(others, gradients, alone, strict=True):
            other.apply([gradient], [variable])
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-6)
    assert int(optimizer.iterations) == 3


@pytest.mark.compiles_much
def test_it_trains_and_is_saved(tmp_path):
    model = tiny_vit()
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    labels = np.arange(4) % 3
    schedule = keras.optimizers.schedules.CosineDecay(1e-3, 10, warmup_target=1e-2)
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    optimizer = layer_decay(optimizer, model, decay=0.5)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    model.fit(images, labels, epochs=3, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.scales == optimizer.scales
    assert int(loaded.optimizer.iterations) == 3
    for one in (model, loaded):
        one.fit(images, labels, epochs=2, verbose=0)
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(other), atol=1e-6)


@pytest.mark.parametrize("decay", [0.0, 1.5, -1])
def test_a_decay_out_of_range(decay):
    with pytest.raises(ValueError, match="`decay` must be above 0 and at most 1"):
        layer_decay("adam", tiny_vit(), decay)


def test_a_model_without_blocks():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="is inside a block, such as encoder/block_0"):
        layer_decay("adam", model)


def test_scales_that_do_not_fit():
    with pytest.raises(ValueError, match="Each of `scales` must be positive"):
        LayerDecay("adam", [1.0, 0.0])
    optimizer = LayerDecay("adam", [1.0])
    with pytest.raises(ValueError, match="There are 1 scales and 2 weights"):
        optimizer.build([keras.Variable(1.0), keras.Variable(2.0)])
