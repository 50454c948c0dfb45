"""ViT against transformers: tiny random models of odd configurations."""

import json

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import ViT
from keras_attention.backend.without_values import built_without_values
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints import open_tensors
from keras_attention.checkpoints import write_tensors
from keras_attention.images import ImageProcessor
from keras_attention.images.grids import cubic_weights
from published import assert_close
from published import run_reference
from published import save_reference
from published import state_of

transformers = pytest.importorskip("transformers")

RNG = np.random.default_rng(3)
CONFIG = {
    "image_size": [12, 20],
    "patch_size": [4, 5],
    "num_channels": 2,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.05,
}


def pictures(height=12, width=20, channels=2):
    return RNG.normal(size=(3, height, width, channels)).astype("float32")


def channels_first(images):
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False, "hidden_act": "gelu"}])
def test_the_logits_are_those_of_transformers(tmp_path, changes):
    config = {**CONFIG, **changes, "num_labels": 4}
    reference = save_reference("ViTForImageClassification", tmp_path, **config)
    model = applications.from_preset(tmp_path)
    assert type(model) is ViT
    images = pictures()
    expected = run_reference(reference, pixel_values=channels_first(images))
    assert_close(to_numpy(model(images)), expected["logits"])


def test_each_block_computes_what_that_of_transformers_does(tmp_path):
    reference = save_reference("ViTModel", tmp_path, **CONFIG)
    reference.config.output_hidden_states = True
    reference.config.output_attentions = True
    images = pictures()
    expected = run_reference(reference, pixel_values=channels_first(images))
    model = ViT.from_preset(tmp_path)
    x = keras.Model(model.inputs[0], model.get_layer("dropout").output)(images)
    for number, block in enumerate(model.encoder.blocks):
        assert_close(to_numpy(x), expected["hidden_states"][number])
        x, weights = block(x, return_attention_scores=True)
        assert_close(to_numpy(weights), expected["attentions"][number])
    found = to_numpy(model(images))
    assert_close(found["tokens"], expected["last_hidden_state"])
    assert_close(found["pooled"], expected["pooler_output"])


@pytest.mark.once
@pytest.mark.parametrize(
    "name, changes",
    [
        ("ViTModel", {}),
        ("ViTForImageClassification", {"num_labels": 4}),
        ("ViTForImageClassification", {"qkv_bias": False, "num_labels": 3}),
    ],
)
def test_what_is_saved_here_opens_there(tmp_path, name, changes):
    reference = save_reference(name, tmp_path / "theirs", **{**CONFIG, **changes})
    model = applications.from_preset(tmp_path / "theirs")
    model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys"))
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor)
    here = applications.from_preset(tmp_path / "ours")
    new = {"name": "", "image_processor": None}  # which "theirs" does not have
    assert {**here.get_config(), **new} == {**model.get_config(), **new}


@pytest.mark.once
def test_positions_are_stretched_as_transformers_stretches_them(tmp_path):
    config = {**CONFIG, "image_size": 12, "patch_size": 4, "num_labels": 4}
    reference = save_reference("ViTForImageClassification", tmp_path, **config)
    model = ViT.from_preset(tmp_path, image_size=(20, 28))
    images = pictures(20, 28)
    expected = run_reference_resized(reference, channels_first(images))
    assert_close(to_numpy(model(images)), expected)


def run_reference_resized(reference, images):
    import torch

    with torch.no_grad():
        images = torch.from_numpy(images)
        return reference(images, interpolate_pos_encoding=True).logits.numpy()


@pytest.mark.once
def test_a_line_stays_a_line_where_it_is_stretched():
    """Cubic splines keep what is linear, away from the ends."""
    weights = cubic_weights(6, 12)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_allclose(cubic_weights(5, 5), np.eye(5))


def as_timm(folder, **config):
    """Rewrites a checkpoint of transformers as timm writes one."""
    names = {
        "vit.embeddings.cls_token": "cls_token",
        "vit.embeddings.position_embeddings": "pos_embed",
        "vit.embeddings.patch_embeddings.projection": "patch_embed.proj",
        "vit.encoder.layer": "blocks",
        "attention.output.dense": "attn.proj",
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        "intermediate.dense": "mlp.fc1",
        "output.dense": "mlp.fc2",
        "vit.layernorm": config.pop("norm", "norm"),
        "classifier": "head",
    }
    with open_tensors(folder) as (_, tensors):
        arrays = {name: tensor.read() for name, tensor in tensors.items()}
    renamed = {}
    for name, array in arrays.items():
        for old, new in names.items():
            name = name.replace(old, new)
        if ".attention.attention.key" in name or ".attention.attention.val" in name:
            continue
        if ".attention.attention.query" in name:
            parts = [name.replace("query", part) for part in ("query", "key", "value")]
            parts = [p.replace("blocks", "vit.encoder.layer") for p in parts]
            array = np.concatenate([arrays[part] for part in parts])
            name = name.replace("attention.attention.query", "attn.qkv")
        renamed[name] = array
    write_tensors(folder, renamed)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.once
def test_a_checkpoint_of_timm_is_read(tmp_path):
    """timm is not asked: its names are written down here."""
    config = {
        **CONFIG,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "image_size": 12,
        "patch_size": 4,
        "num_channels": 3,
        "intermediate_size": 24,
        "num_labels": 4,
    }
    reference = save_reference("ViTForImageClassification", tmp_path, **config)
    images = pictures(12, 12, 3)
    expected = run_reference(reference, pixel_values=channels_first(images))["logits"]
    published = {
        "architecture": "vit_tiny_patch4_12.augreg_in21k",
        "num_classes": 4,
        "num_features": 12,
        "global_pool": "token",
        "model_args": {"embed_dim": 12, "depth": 2, "num_heads": 3, "mlp_ratio": 2},
        "pretrained_cfg": {"input_size": [3, 12, 12]},
    }
    as_timm(tmp_path, **published)
    model = applications.from_preset(tmp_path)
    assert_close(to_numpy(model(images)), expected)
    as_timm(tmp_path, **{**published, "architecture": "vit_tiny_r_s16_p8_12"})
    with pytest.raises(ValueError, match="architecture 'vit_tiny_r_s16_p8_12' is n"):
        applications.from_preset(tmp_path)


@pytest.mark.once
def test_the_mean_of_the_patches_is_classified():
    """Before the last norm, as in timm, and without the class token."""
    model = ViT(**SMALL, pooling="average")
    images = pictures(8, 12, 3)
    tokens = keras.Model(model.inputs[0], model.get_layer("encoder").output)(images)
    assert tokens.shape == (3, 7, 4)
    means = to_numpy(tokens)[:, 1:].mean(axis=1)
    logits = model.get_layer("classifier")(model.get_layer("norm")(means))
    np.testing.assert_allclose(to_numpy(model(images)), to_numpy(logits), atol=1e-5)
    assert "class_token/tokens" not in named_weights(
        ViT(**SMALL, pooling="average", use_class_token=False)
    )


OPTIONS = {
    "query_key_norm": "layer_norm",
    "layer_scale": 0.5,
    "num_registers": 3,
    "use_prefix_positions": False,
    "pooling": "attention",
}


@pytest.mark.once
def test_a_learned_query_reads_the_patches():
    """Not the class token and the registers; behind it is a feed-forward network."""
    model = ViT(**SMALL, **OPTIONS)
    assert named_weights(model)["position_embedding/table"].shape == (6, 4)
    images = pictures(8, 12, 3)
    tokens = keras.Model(model.inputs[0], model.get_layer("norm").output)(images)
    assert tokens.shape == (3, 4 + 6, 4)
    read = model.get_layer("pooling")(tokens[:, 4:])
    inner = model.get_layer("pooling_norm")(read)
    pooled = read + model.get_layer("pooling_feed_forward")(inner)
    logits = to_numpy(model.get_layer("classifier")(pooled))
    np.testing.assert_allclose(to_numpy(model(images)), logits, atol=1e-5)


@pytest.mark.once
def test_without_options_there_are_the_weights_of_the_paper():
    names = set(named_weights(ViT(**SMALL)))
    added = set(named_weights(ViT(**SMALL, **OPTIONS))) - names
    assert not any(key in name for name in names for key in ("scale", "registers"))
    block = "encoder/block_0/self_attention"
    assert {"registers/tokens", f"{block}/query_norm/gamma"} < added
    assert {f"{block}_residual/scale/scale", "pooling/query"} < added


@pytest.mark.once
def test_a_model_that_only_timm_knows_is_written_for_timm(tmp_path):
    model = ViT(**SMALL, **OPTIONS, class_names=list("vwxyz"))
    model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["architecture"] == "vit_base_patch16_224"
    assert config["model_args"]["reg_tokens"] == 3
    assert config["pretrained_cfg"]["mean"] == [0.5, 0.5, 0.5]
    again = applications.from_preset(tmp_path)
    assert again.class_names == list("vwxyz")
    for name, weight in named_weights(model).items():
        np.testing.assert_array_equal(named_weights(again)[name], weight)


@pytest.mark.once
def test_a_published_model_gets_what_it_does_not_have(tmp_path):
    """New registers, with a warning; its own weights are loaded."""
    model = ViT(**SMALL)
    model.save_to_preset(tmp_path)
    with pytest.warns(UserWarning, match="has no reg_token: these weights"):
        other = ViT.from_preset(tmp_path, num_registers=2)
    table = to_numpy(named_weights(other)["position_embedding/table"])
    expected = to_numpy(named_weights(model)["position_embedding/table"])
    np.testing.assert_array_equal(table[[0, 3, 8]], expected[[0, 1, 6]])
    np.testing.assert_array_equal(table[1:3], 0)
    with pytest.raises(ValueError, match="positions for 1 tokens in front.* for 0"):
        ViT.from_preset(tmp_path, use_prefix_positions=False)
    reads = ViT.from_preset(tmp_path, pooling="attention")
    assert "pooling/query" in named_weights(reads)


@pytest.mark.once
def test_a_model_that_is_not_published_is_saved_in_our_own_layout(tmp_path):
    model = ViT(**SMALL, pooling="average", epsilon=0.1)
    model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["class_name"] == "keras_attention>ViT"
    again = applications.from_preset(tmp_path)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_a_model_without_a_head_and_pooler_comes_back(tmp_path):
    model = ViT(**{**SMALL, "num_classes": None})
    model.save_to_preset(tmp_path)
    again = ViT.from_preset(tmp_path)
    images = pictures(8, 12, 3)
    np.testing.assert_array_equal(
        to_numpy(again(images)["pooled"]), to_numpy(model(images)["pooled"])
    )


@pytest.mark.once
def test_another_number_of_classes_drops_the_head(tmp_path):
    model = ViT(**SMALL)
    model.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="classes must be|must be a positive integer"):
        ViT.from_preset(tmp_path, num_classes=0)
    other = ViT.from_preset(tmp_path, num_classes=9)
    before, after = named_weights(model), named_weights(other)
    assert after["classifier/kernel"].shape == (4, 9)
    for name in before:
        if not name.startswith("classifier/"):
            np.testing.assert_array_equal(after[name], before[name])


@pytest.mark.once
@pytest.mark.parametrize(
    "preset, size",
    [
        ("vit_tiny_patch16_224", 5_717_416),
        ("vit_small_patch16_224", 22_050_664),
        ("vit_base_patch16_224", 86_567_656),
        ("vit_base_patch32_224", 88_224_232),
        ("vit_large_patch16_224", 304_326_632),
        ("vit_large_patch32_224", 306_535_400),
        ("vit_huge_patch14_224", 632_045_800),
    ],
)
def test_the_presets_have_the_published_sizes(preset, size):
    """Counted with one block, whose like the others are."""
    entry = {
        k: v
        for k, v in ViT.presets_table[preset].items()
        if k not in ("description", "parameters")
    }
    num_layers = entry.pop("num_layers")
    model = built_without_values(lambda: ViT(num_layers=1, **entry))
    block = sum(int(np.prod(w.shape)) for w in model.encoder.blocks[0].weights)
    assert model.count_params() + (num_layers - 1) * block == size


SMALL = {
    "image_size": (8, 12),
    "patch_size": 4,
    "hidden_dim": 4,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 6,
    "num_classes": 5,
}


def levels(*sizes):
    return [RNG.integers(0, 256, (*size, 3)).astype("uint8") for size in sizes]


def compiled(model, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], **options)
    return model


@pytest.mark.compiles_much
def test_it_learns_from_pictures_what_it_learns_from_arrays(tmp_path):
    """Files, Pillow images and arrays, and labels by name."""
    pillow = pytest.importorskip("PIL.Image")
    images = levels((5, 9), (30, 20), (8, 12), (7, 40), (16, 16))
    pillow.fromarray(images[0]).save(tmp_path / "a.png")
    pillow.fromarray(images[1]).save(tmp_path / "b.png")
    raw = [str(tmp_path / "a.png"), tmp_path / "b.png", images[2]]
    raw += [pillow.fromarray(images[3]), images[4] / 255]
    names = ["v", "w", "x", "y", "z"]
    labels = ["z", "v", "y", "w", "v"]
    numbers = np.array([4, 0, 3, 1, 0])
    results = []
    model = ViT(**SMALL, class_names=names)
    before = model.get_weights()
    prepared = model.image_processor.load(images)
    assert prepared.shape == (5, 8, 12, 3)
    for x, y in ((raw, labels), (prepared, numbers)):
        model.set_weights(before)
        compiled(model)
        history = model.fit(
            x, y, batch_size=2, epochs=2, shuffle=False, verbose=0, validation_split=0.4
        )
        scores = model.evaluate(x, y, batch_size=2, verbose=0)
        found = model.predict(x, batch_size=2, verbose=0)
        results.append([history.history["val_loss"], scores, found])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    model.fit(raw, labels, validation_data=(raw[:2], labels[:2]), verbose=0)
    expected = model.predict_on_batch(prepared)
    np.testing.assert_allclose(model.predict_on_batch(raw), expected, atol=1e-5)


@pytest.mark.once
def test_levels_are_no_prepared_inputs():
    """An array of integers is scaled; Keras would take 255 for 255."""
    model = ViT(**SMALL)
    images = np.stack(levels((9, 7), (9, 7), (9, 7)))
    found = model.predict(images, verbose=0)
    assert_close(found, model.predict(list(images), verbose=0))
    white = model.image_processor.load([np.full((2, 2, 3), 255)])
    np.testing.assert_allclose(white, 1)


@pytest.mark.once
def test_gray_and_boolean_arrays_are_pictures():
    model = ViT(**SMALL)
    gray = np.random.default_rng(0).integers(0, 256, (3, 9, 7), "uint8")
    expected = model.predict(np.repeat(gray[..., None], 3, axis=-1), verbose=0)
    for x in (gray, gray[..., None], list(gray), list(gray / 255), gray.astype(int)):
        assert_close(model.predict(x, verbose=0), expected)
    marks = gray > 127
    expected = model.predict(marks * np.uint8(255), verbose=0)
    for x in (marks, list(marks), marks[..., None]):
        assert_close(model.predict(x, verbose=0), expected)
    with pytest.raises(ValueError, match=r"Received one, of shape \(9, 7, 3\). Put"):
        model.predict(np.zeros((9, 7, 3), "uint8"))


@pytest.mark.once
def test_only_the_pictures_of_a_batch_are_read(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "a.png"
    pillow.fromarray(*levels((4, 4))).save(path)
    model = compiled(ViT(**SMALL))
    missing = [path] * 6 + [tmp_path / "no.png"] * 2
    model.evaluate(missing, np.zeros(8, int), batch_size=2, steps=3, verbose=0)
    with pytest.raises(FileNotFoundError, match="no.png"):
        model.evaluate(missing, np.zeros(8, int), batch_size=2, verbose=0)


@pytest.mark.once
def test_the_processor_comes_and_goes_with_the_model(tmp_path):
    """Also to transformers, and for images of another size."""
    save_reference(
        "ViTForImageClassification",
        tmp_path,
        **{**CONFIG, "num_channels": 3, "num_labels": 4},
    )
    theirs = transformers.ViTImageProcessorPil(
        size={"height": 14, "width": 24},
        do_center_crop=True,
        crop_size={"height": 12, "width": 20},
        image_mean=[0.1, 0.2, 0.3],
        resample=3,
    )
    theirs.save_pretrained(tmp_path)
    model = ViT.from_preset(tmp_path, num_classes=5)
    assert model.image_processor.image_size == (14, 24)
    model.save_to_preset(tmp_path / "ours")
    again = transformers.ViTImageProcessorPil.from_pretrained(tmp_path / "ours")
    image = np.array(levels((31, 17))[0])
    expected = theirs(image, input_data_format="channels_last", return_tensors="np")
    found = again(image, input_data_format="channels_last", return_tensors="np")
    np.testing.assert_allclose(found["pixel_values"], expected["pixel_values"])
    wanted = expected["pixel_values"].transpose(0, 2, 3, 1)
    model.save(tmp_path / "model.keras")
    kept = keras.models.load_model(tmp_path / "model.keras")
    for one in (model, kept, ViT.from_preset(tmp_path / "ours")):
        found = one.image_processor.load([image])
        np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert_close(one.predict([image], verbose=0), to_numpy(model(wanted)))
    larger = ViT.from_preset(tmp_path, image_size=(24, 40)).image_processor
    assert (larger.image_size, larger.crop_size) == ((28, 48), (24, 40))


@pytest.mark.once
def test_a_processor_that_is_passed_replaces_one_that_nobody_knows(tmp_path):
    save_reference("ViTModel", tmp_path, **{**CONFIG, "num_channels": 3})
    config = json.dumps({"image_processor_type": "BeetleImageProcessor"})
    (tmp_path / "preprocessor_config.json").write_text(config)
    with pytest.raises(ValueError, match="BeetleImageProcessor"):
        ViT.from_preset(tmp_path)
    own = ImageProcessor((12, 20), mean=(0.1, 0.2, 0.3))
    model = ViT.from_preset(tmp_path, image_processor=own)
    assert model.image_processor.mean == (0.1, 0.2, 0.3)


@pytest.mark.once
def test_what_is_no_list_of_pictures_is_told():
    model = ViT(**SMALL)
    with pytest.raises(ValueError, match="Received one: 'a.png'. Put it in a list"):
        model.predict("a.png")
    gray = ViT(**SMALL, num_channels=1)
    with pytest.raises(ValueError, match="of 1 channels.*floats .n, height, width, 1"):
        gray.predict(["a.png"])
    assert gray.predict(pictures(8, 12, 1), verbose=0).shape == (3, 5)
    with pytest.raises(ValueError, match="from 0 to 4.*Received 5 at position 1"):
        compiled(model).fit(levels((3, 4), (5, 6)), [0, 5])


@pytest.mark.compiles_much
def test_one_step_of_training_moves_every_weight():
    model = ViT(**SMALL, dropout=0.2, attention_dropout=0.1, drop_path=0.1, seed=1)
    model.compile("adam", "mse")
    before = model.get_weights()
    model.fit(pictures(8, 12, 3), np.ones((3, 5)), epochs=1, verbose=0)
    moved = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    assert all(moved)


@pytest.mark.once
def test_every_argument_survives_a_keras_file(tmp_path):
    arguments = {
        **SMALL,
        "image_processor": ImageProcessor(shortest_edge=9, crop_size=(8, 12)),
        "num_channels": 1,
        "activation": "relu",
        "epsilon": 0.1,
        "dropout": 0.2,
        "attention_dropout": 0.3,
        "drop_path": 0.1,
        "use_attention_bias": False,
        "query_key_norm": "rms_norm",
        "layer_scale": 0.1,
        "use_class_token": False,
        "num_registers": 2,
        "use_prefix_positions": False,
        "pooling": "average",
        "norm_before_pooling": True,
        "use_pooler": True,
        "class_names": ["v", "w", "x", "y", "z"],
        "seed": 2,
        "name": "mine",
    }
    model = ViT(**arguments)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
def test_arguments_that_contradict_each_other_are_told():
    with pytest.raises(ValueError, match='reads the class token.*Pass pooling="aver'):
        ViT(**SMALL, use_class_token=False)


@pytest.mark.once
def test_what_the_published_layout_cannot_say_comes_back(tmp_path):
    """Beside it where training alone asks for it, or in the layout of timm."""
    model = ViT(**SMALL, drop_path=0.2)
    with pytest.warns(
        UserWarning, match="has no field for drop_path. What .*stands in"
    ):
        model.save_to_preset(tmp_path / "beside")
    config = json.loads((tmp_path / "beside" / "config.json").read_text())
    assert config["model_type"] == "vit"
    assert config["keras_attention"] == {"drop_path": 0.2}
    again = ViT.from_preset(tmp_path / "beside")
    same = {"name": "", "image_processor": None}
    assert {**again.get_config(), **same} == {**model.get_config(), **same}
    transformers.AutoModel.from_pretrained(tmp_path / "beside")

    model = ViT(**SMALL, norm_before_pooling=False)
    model.save_to_preset(tmp_path / "timm")
    again = ViT.from_preset(tmp_path / "timm")
    assert again.norm_before_pooling is False
    images = pictures(8, 12, 3)
    np.testing.assert_allclose(to_numpy(again(images)), to_numpy(model(images)))


@pytest.mark.once
def test_pictures_are_classified_by_name():
    model = ViT(**SMALL, class_names=list("vwxyz"))
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), "uint8")
    names, probabilities = model.classify(images)
    logits = model.predict(images, verbose=0)
    assert names == ["vwxyz"[i] for i in logits.argmax(axis=-1)]
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-5)
    with pytest.raises(ValueError, match="has no classes to choose from"):
        ViT(**{**SMALL, "num_classes": None}).classify(images)
