"""ViT against timm: tiny random models of odd configurations, and its names."""

import keras
import numpy as np
import pytest
from timm_reference import timm

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import ViT
from keras_attention.checkpoints.families.timm_vit import FIELDS
from keras_attention.checkpoints.families.timm_vit import read_name
from published import assert_close
from published import state_of

torch = pytest.importorskip("torch")
if timm is None:
    pytest.skip("timm is not installed.", allow_module_level=True)

RNG = np.random.default_rng(5)
SMALL = {
    "img_size": (8, 20),
    "patch_size": (4, 5),
    "embed_dim": 12,
    "depth": 2,
    "num_heads": 3,
    "mlp_ratio": 1.75,
    "num_classes": 5,
}
CASES = {
    "class token": {},
    "mean": {"global_pool": "avg", "act_layer": "gelu_tanh"},
    "mean after the norm": {"global_pool": "avg", "fc_norm": False},
    "token before the norm": {"fc_norm": True, "qkv_bias": False},
    "attention": {"global_pool": "map", "class_token": False},
    "attention beside a class token": {"global_pool": "map", "reg_tokens": 2},
    "registers": {"reg_tokens": 3, "no_embed_class": True},
    "registers with positions": {"reg_tokens": 2, "init_values": 0.1},
    "norm of queries and keys": {"qk_norm": True, "init_values": 1e-5},
    "all": {
        "global_pool": "map",
        "reg_tokens": 4,
        "no_embed_class": True,
        "qk_norm": True,
        "init_values": 0.5,
    },
}
FOR_TRANSFORMERS = {"class token", "token before the norm"}


def save_reference(folder, **changes):
    """Saves a model of timm with random weights, as timm saves it."""
    torch.manual_seed(7)
    model = timm.create_model("vit_base_patch16_224", **{**SMALL, **changes}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    squash = {"crop_mode": "squash"}  # pictures that are no squares need it
    timm.models.save_for_hf(model, folder, safe_serialization=True, data_config=squash)
    return model


def pictures(height=8, width=20):
    return RNG.normal(size=(4, height, width, 3)).astype("float32")


def channels_first(images):
    return torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_each_block_and_the_logits_are_those_of_timm(tmp_path, changes):
    reference = save_reference(tmp_path, **changes)
    model = applications.from_preset(tmp_path)
    assert type(model) is ViT
    images = pictures()
    outputs = []
    for block in reference.blocks:
        block.register_forward_hook(lambda _, x, y: outputs.append((x[0], y)))
    with torch.no_grad():
        expected = reference(channels_first(images)).numpy()
    for block, (x, y) in zip(model.encoder.blocks, outputs, strict=True):
        assert_close(to_numpy(block(x.numpy())), y.numpy())
    tokens = keras.Model(model.inputs[0], model.encoder.output)(images)
    assert_close(to_numpy(tokens), outputs[-1][1].numpy())
    assert_close(to_numpy(model(images)), expected)


@pytest.mark.once
@pytest.mark.parametrize("case", sorted(CASES.keys() - FOR_TRANSFORMERS))
def test_what_is_saved_here_opens_in_timm(tmp_path, case):
    """But for those that transformers has, too, and that are written for it."""
    reference = save_reference(tmp_path / "theirs", **CASES[case])
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    name = f"local-dir:{tmp_path / 'ours'}"
    again = timm.create_model(name, pretrained=True).eval()
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor)
    images = channels_first(pictures())
    with torch.no_grad():
        assert torch.equal(again(images), reference(images))
    here = applications.from_preset(tmp_path / "ours")
    new = {"name": "", "image_processor": None}
    assert {**here.get_config(), **new} == {**model.get_config(), **new}


@pytest.mark.once
@pytest.mark.parametrize("size", [(20, 30), (8, 10)])
def test_positions_are_stretched_as_timm_stretches_them(tmp_path, size):
    """Also to fewer, which averages."""
    reference = save_reference(tmp_path, img_size=(16, 25), reg_tokens=2)
    model = ViT.from_preset(tmp_path, image_size=size)
    reference.set_input_size(size)
    images = pictures(*size)
    with torch.no_grad():
        expected = reference(channels_first(images)).numpy()
    assert_close(to_numpy(model(images)), expected)


@pytest.mark.once
def test_a_name_stands_for_what_timm_builds_of_it(monkeypatch):
    """Every name of timm that is read here, without building a model."""
    module = timm.models.vision_transformer
    built = {}
    monkeypatch.setattr(
        module,
        "_create_vision_transformer",
        lambda name, pretrained=False, **arguments: built.update({name: arguments}),
    )
    for name in timm.list_models("vit_*", module="vision_transformer"):
        timm.model_entrypoint(name)()
    fields = {field.name: field.default for field in FIELDS} | {"mlp_ratio": 4}
    known = 0
    for name, theirs in built.items():
        try:
            ours = read_name(name)
        except ValueError:
            continue
        known += 1
        size = {"img_size": ours.get("img_size", fields["img_size"])}
        assert {**fields, **ours} == {**fields, **size, **theirs}, name
    assert known > 60


@pytest.mark.once
def test_what_timm_can_and_we_cannot_is_told(tmp_path):
    save_reference(tmp_path, pre_norm=True)
    with pytest.raises(ValueError, match="model_args that are not.*pre_norm=True"):
        applications.from_preset(tmp_path)
