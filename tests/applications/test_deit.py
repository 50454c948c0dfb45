"""What DeiT has and ViT has not: two heads, and names of its own."""

import json

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import DeiT
from keras_attention.applications import ViT
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints.families.timm_vit import is_vit
from keras_attention.checkpoints.families.timm_vit import read_name

SMALL = {
    "image_size": 8,
    "patch_size": 4,
    "hidden_dim": 4,
    "num_layers": 1,
    "num_heads": 2,
    "mlp_dim": 6,
    "num_classes": 3,
}


def pictures(size=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, size, size, 3)).astype("float32")


@pytest.mark.once
def test_one_answer_is_the_mean_of_both_heads():
    model = DeiT(**SMALL, answer="both", class_names=["x", "y", "z"])
    images = pictures()
    both = to_numpy(model(images))
    mean = (both["class_token"] + both["distillation_token"]) / 2
    names, probabilities = model.classify(images)
    assert names == ["xyz"[i] for i in mean.argmax(axis=-1)]
    powers = np.exp(mean)
    expected = powers / powers.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(probabilities, expected, rtol=1e-4)
    one = DeiT(**SMALL)
    one.set_weights(model.get_weights())
    np.testing.assert_allclose(to_numpy(one(images)), mean, atol=1e-6)


@pytest.mark.compiles_much
def test_each_token_learns_from_its_own_labels():
    model = DeiT(**SMALL, answer="both")
    model.compile("sgd", "mse", jit_compile=False)
    before = named_weights(model)
    before = {name: to_numpy(weight) for name, weight in before.items()}
    targets = {"class_token": np.ones((4, 3)), "distillation_token": np.zeros((4, 3))}
    history = model.fit(pictures(), targets, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    for name in ("classifier/kernel", "distillation_classifier/kernel"):
        assert (to_numpy(named_weights(model)[name]) != before[name]).any()


@pytest.mark.once
def test_positions_of_both_tokens_stay_where_the_others_are_stretched(tmp_path):
    model = DeiT(**SMALL)
    model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architectures"] == ["DeiTForImageClassificationWithTeacher"]
    other = applications.from_preset(tmp_path, image_size=(12, 16))
    one, two = (named_weights(m)["position_embedding/table"] for m in (model, other))
    assert two.shape == (2 + 3 * 4, 4)
    np.testing.assert_array_equal(to_numpy(one)[:2], to_numpy(two)[:2])


@pytest.mark.once
def test_without_a_distillation_token_it_is_a_vit():
    assert read_name("deit_small_patch16_224.fb_in1k")["embed_dim"] == 384
    assert not is_vit("deit_small_distilled_patch16_224")
    assert not is_vit("deit3_small_patch16_224")
    config = {"architecture": "deit_tiny_patch16_224.fb_in1k", "num_classes": 1000}
    (family,) = [family for family in ViT.families if family.owns(config)]
    arguments = family.read_arguments(config, "config.json")
    assert (arguments["hidden_dim"], arguments["num_heads"]) == (192, 3)


@pytest.mark.once
def test_a_published_deit_that_is_a_vit_is_read_as_one(tmp_path):
    """facebook/deit-tiny-patch16-224 has the layout of ViT and pictures of DeiT."""
    tiny = {**SMALL, "num_classes": 3}
    model = ViT(**tiny)
    model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["_name_or_path"] = "facebook/deit-tiny-patch16-224"
    (tmp_path / "config.json").write_text(json.dumps(config))
    processor = {"feature_extractor_type": "DeiTFeatureExtractor", "size": 9}
    processor |= {"crop_size": 8, "do_center_crop": True, "resample": 3}
    path = tmp_path / "preprocessor_config.json"
    path.write_text(json.dumps(processor))
    again = applications.from_preset(tmp_path)
    assert type(again) is ViT
    assert again.image_processor.crop_size == (8, 8)
    images = pictures()
    np.testing.assert_array_equal(to_numpy(again(images)), to_numpy(model(images)))
