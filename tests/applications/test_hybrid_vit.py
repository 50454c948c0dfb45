"""Hybrid ViTs of transformers, which version 5 has no more: made of its parts."""

import json

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import HybridViT
from keras_attention.checkpoints import open_tensors
from keras_attention.checkpoints import write_tensors
from published import assert_close
from published import run_reference

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

BACKBONE = {
    "model_type": "bit",
    "layer_type": "bottleneck",
    "depths": [1, 1],
    "global_padding": "SAME",
    "embedding_dynamic_padding": True,
    "out_features": ["stage2"],
}
BODY = {
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.05,
    "num_labels": 4,
}
SIZE, GRID = (40, 56), (5, 7)
CONFIG = {
    **BODY,
    "model_type": "vit-hybrid",
    "architectures": ["ViTHybridForImageClassification"],
    "image_size": list(SIZE),
    "patch_size": 1,
    "backbone_config": BACKBONE,
    "backbone_featmap_shape": [1, 512, *GRID],
}


@pytest.fixture(scope="module")
def parts():
    """A BiT and a ViT that reads its features."""
    torch.manual_seed(3)
    backbone = transformers.BitBackbone(transformers.BitConfig(**BACKBONE)).eval()
    grid = {"image_size": list(GRID), "patch_size": 1, "num_channels": 512}
    config = transformers.ViTConfig(**BODY, **grid)
    vit = transformers.ViTForImageClassification(config).eval()
    with torch.no_grad():
        for parameter in (*backbone.parameters(), *vit.parameters()):
            parameter.normal_(std=0.2)
    return backbone, vit


def save(parts, folder):
    """The checkpoint of both, as `ViTHybridForImageClassification` wrote it."""
    backbone, vit = parts
    vit.save_pretrained(folder)
    with open_tensors(folder) as (_, tensors):
        arrays = {name: tensor.read() for name, tensor in tensors.items()}
    stem = "vit.embeddings.patch_embeddings.backbone."
    for name, tensor in backbone.state_dict().items():
        arrays[stem + name] = tensor.numpy()
    write_tensors(folder, arrays)
    (folder / "config.json").write_text(json.dumps(CONFIG))


def pictures():
    return np.random.default_rng(0).normal(size=(2, *SIZE, 3)).astype("float32")


def test_the_logits_are_those_of_its_parts(tmp_path, parts):
    save(parts, tmp_path)
    model = applications.from_preset(tmp_path)
    assert type(model) is HybridViT
    images = pictures()
    pixels = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
    with torch.no_grad():
        features = parts[0](pixels).feature_maps[-1]
    expected = run_reference(parts[1], pixel_values=features.numpy())["logits"]
    assert_close(to_numpy(model(images)), expected)


@pytest.mark.once
def test_what_is_written_for_transformers_is_what_was_read(tmp_path, parts):
    """timm has no such stages and activation."""
    (tmp_path / "theirs").mkdir()
    save(parts, tmp_path / "theirs")
    model = HybridViT.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    config = json.loads((tmp_path / "ours" / "config.json").read_text())
    for name, value in CONFIG.items():
        if name not in ("num_labels", "backbone_config"):
            assert config[name] == value, name
    assert {**config["backbone_config"], **BACKBONE} == config["backbone_config"]
    found = []
    for folder in ("theirs", "ours"):
        with open_tensors(tmp_path / folder) as (_, tensors):
            found.append({name: tensor.read() for name, tensor in tensors.items()})
    assert found[0].keys() == found[1].keys()
    for name, array in found[0].items():
        np.testing.assert_array_equal(found[1][name], array, err_msg=name)


@pytest.mark.once
def test_another_backbone_is_told(tmp_path, parts):
    save(parts, tmp_path)
    for change in ({"layer_type": "preactivation"}, {"out_features": ["stage1"]}):
        config = {**CONFIG, "backbone_config": {**BACKBONE, **change}}
        (tmp_path / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match="preactivation|is not known here"):
            HybridViT.from_preset(tmp_path)
