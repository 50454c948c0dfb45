"""Published vision models against transformers and timm: tiny random, odd ones."""

import json

import keras
import numpy as np
import pytest
from timm_reference import randomize
from timm_reference import run_timm
from timm_reference import save_timm
from timm_reference import timm
from vision_stages import RESNET
from vision_table import CASES
from vision_table import named
from vision_table import ONCE
from vision_table import ROWS
from vision_table import TIMM_CASES

from helpers import to_numpy
from keras_attention import applications
from keras_attention.backend.without_values import built_without_values
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints import open_tensors
from keras_attention.checkpoints.arguments import argument_defaults
from published import assert_close
from published import run_reference
from published import state_of

# timm's are as wide as published; test_hybrid_vit.py has narrower ones.
SLOW = ("HybridViT-stages",)


def cases(rows):
    """Pairs of a row and of a case of it."""
    names = [f"{row.published or row.model.__name__}-{case}" for row, case in rows]
    params = [
        pytest.param(*pair, id=name, marks=[pytest.mark.slow] * (name in SLOW))
        for pair, name in zip(rows, names, strict=True)
    ]
    return pytest.mark.parametrize("row, case", params)


has_timm = pytest.mark.skipif(timm is None, reason="timm is not installed.")
PUBLISHED = [row for row in ROWS if row.published]
IN_TRANSFORMERS = [(row, "none") for row in PUBLISHED]


def saved(row, case, folder):
    """A model of transformers with random weights and statistics, saved."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    end, changes, *_ = row.heads[case]
    cls = getattr(transformers, row.published + end)
    torch.manual_seed(7)
    config = {**row.config, **changes}
    model = cls(cls.config_class(**config, attn_implementation="eager")).eval()
    randomize(model)
    model.save_pretrained(folder)
    return model


def run_published(reference, images, **options):
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return run_reference(reference, pixel_values=images, **options)


def loaded(row, folder, **changes):
    model = applications.from_preset(folder, **row.given, **changes)
    assert type(model) is row.model
    return model


@cases(CASES)
def test_the_outputs_are_those_of_transformers(tmp_path, row, case):
    reference = saved(row, case, tmp_path)
    _, _, changes, outputs = row.heads[case]
    model = loaded(row, tmp_path, **changes)
    images = row.pictures(size=model.input_shape[1:3])
    expected = run_published(reference, images)
    found = to_numpy(model(images))
    for name, published in outputs.items():
        one = found if name is None else found[name]
        theirs = expected[published]
        if theirs.ndim == one.ndim == 4:  # channels first
            one = one.transpose(0, 3, 1, 2)
        assert_close(one.reshape(theirs.shape), theirs)


@cases(IN_TRANSFORMERS)
def test_each_block_computes_what_that_of_transformers_does(tmp_path, row, case):
    reference = saved(row, case, tmp_path)
    reference.config.output_hidden_states = True
    images = row.pictures()
    reference.config.output_attentions = True
    expected = run_published(reference, images)
    model = loaded(row, tmp_path)
    states = list(row.states(model, images))
    assert len(states) >= 2
    weights = [weight for _, weight in states if weight is not None]
    for (state, _), theirs in zip(states, expected["hidden_states"], strict=False):
        assert_close(state, theirs)
    for ours, theirs in zip(weights, expected.get("attentions", []), strict=True):
        assert_close(ours, theirs)


@pytest.mark.once
@named([row for row in PUBLISHED if row.has_any_size])
def test_images_of_another_size_are_read(tmp_path, row):
    """Which nothing divides: windows, patches, strides."""
    reference = saved(row, "classes", tmp_path)
    model = row.model.from_preset(tmp_path, image_size=(33, 41))
    images = row.pictures(size=(33, 41))
    expected = run_published(reference, images)["logits"]
    assert_close(to_numpy(model(images)), expected)


@pytest.mark.once
def test_a_map_smaller_than_a_kernel_is_padded(tmp_path):
    """A ResNet whose last stages read 2 x 2 and 1 x 1 places."""
    reference = saved(RESNET, "classes", tmp_path)
    model = RESNET.model.from_preset(tmp_path, image_size=(8, 7))
    images = RESNET.pictures(size=(8, 7))
    expected = run_published(reference, images)["logits"]
    assert_close(to_numpy(model(images)), expected)


@pytest.mark.once
@named([row for row in PUBLISHED if row.stretched])
def test_positions_are_stretched_as_transformers_stretches_them(tmp_path, row):
    """To fewer rows and more columns."""
    reference = saved(row, "classes", tmp_path)
    model = row.model.from_preset(tmp_path, image_size=row.stretched)
    images = row.pictures(size=row.stretched)
    expected = run_published(reference, images)["logits"]
    assert_close(to_numpy(model(images)), expected)


@pytest.mark.once
@cases(CASES)
def test_what_is_saved_here_opens_there(tmp_path, row, case):
    reference = saved(row, case, tmp_path / "theirs")
    _, _, changes, _ = row.heads[case]
    model = loaded(row, tmp_path / "theirs", **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        model.save_to_preset(tmp_path / "ours")
    again, report = type(reference).from_pretrained(
        tmp_path / "ours", output_loading_info=True
    )
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys"))
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    for key, tensor in theirs.items():
        expected = (
            np.zeros_like(tensor) if key.endswith(row.not_kept or "/") else tensor
        )
        np.testing.assert_array_equal(ours[key], expected, err_msg=key)
    for field in row.config:
        assert getattr(again.config, field) == getattr(reference.config, field), field
    here = applications.from_preset(tmp_path / "ours")
    new = {"name": "", "image_processor": None}  # which "theirs" does not have
    assert {**here.get_config(), **new} == {**model.get_config(), **new}


@has_timm
@pytest.mark.once
@cases(TIMM_CASES)
def test_the_logits_are_those_of_timm(tmp_path, row, case):
    reference = save_timm(row.timm[case][0], tmp_path / "theirs", **row.timm[case][1])
    model = loaded(row, tmp_path / "theirs")
    images = row.pictures(3, model.input_shape[1:3])
    expected = run_timm(reference, images)
    assert_close(to_numpy(model(images)), expected)
    if not row.is_written_for_timm:
        return
    model.save_to_preset(tmp_path / "ours")
    name = f"local-dir:{tmp_path / 'ours'}"
    again = timm.create_model(name, pretrained=True).eval()
    theirs, ours = state_of(reference), state_of(again)
    assert set(ours) == set(theirs)
    np.testing.assert_array_equal(run_timm(again, images), expected)
    here = applications.from_preset(tmp_path / "ours")
    new = {"name": "", "image_processor": None}
    assert {**here.get_config(), **new} == {**model.get_config(), **new}


def numbers(weights):
    """How many numbers they hold."""
    return sum(int(np.prod(weight.shape)) for weight in weights)


def counted(cls, preset, num_layers):
    """How many parameters a preset has, by the second block of each stage.

    Built without values and, as published counts are, without running statistics.
    """
    is_staged = isinstance(num_layers, list)
    few = [2] * len(num_layers) if is_staged else 1
    model = built_without_values(lambda: cls.from_preset(preset, num_layers=few))
    if not is_staged:
        (block,) = model.encoder.blocks
        more = (num_layers - 1) * numbers(block.trainable_weights)
    else:
        blocks = [model.get_layer(f"stage_{i}_block_1") for i in range(len(num_layers))]
        more = sum(
            (count - 2) * numbers(block.trainable_weights)
            for count, block in zip(num_layers, blocks, strict=True)
        )
    return numbers(model.trainable_weights) + more


@pytest.mark.once
@named(ONCE)
def test_the_presets_have_the_published_sizes(row):
    for preset, entry in row.model.presets_table.items():
        said = f"{entry['parameters']:,} parameters"
        assert said in row.model.presets()[preset]
        found = counted(row.model, preset, entry["num_layers"])
        assert found == entry["parameters"], preset


@pytest.mark.once
@named(ONCE)
def test_every_argument_survives_a_keras_file(tmp_path, row):
    names = row.model.__init__.__signature__.parameters.keys()
    # Another head excludes classes: test_masked_images.py.
    assert row.arguments.keys() == names - {"self", "dtype", "head"}
    defaults = argument_defaults(row.model)
    same = [name for name, value in row.arguments.items() if value == defaults[name]]
    assert same == []
    model = row.model(**row.arguments)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.once
@named([row for row in ONCE if row.published])
def test_every_argument_survives_the_published_files(tmp_path, row):
    arguments = {k: v for k, v in row.arguments.items() if k not in row.unpublished}
    model = row.model(**arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        model.save_to_preset(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config["model_type"]
    again = row.model.from_preset(tmp_path, name="mine", seed=2)
    new = {"image_processor": None}  # has another name
    assert {**again.get_config(), **new} == {**model.get_config(), **new}


@pytest.mark.once
@named(PUBLISHED)
def test_a_pickle_is_read_and_other_classes_are_new(tmp_path, row):
    torch = pytest.importorskip("torch")
    case = next(iter(row.heads))
    saved(row, case, tmp_path)
    before = named_weights(loaded(row, tmp_path))
    with open_tensors(tmp_path) as (path, tensors):
        state = {n: torch.from_numpy(x.read().copy()) for n, x in tensors.items()}
    path.unlink()
    torch.save(state, tmp_path / "pytorch_model.bin")
    model = loaded(row, tmp_path, num_classes=9)
    after = named_weights(model)
    for name, weight in before.items():
        if "classifier" in name:
            assert after[name].shape[-1] == 9
        else:
            np.testing.assert_array_equal(after[name], weight, err_msg=name)


@pytest.mark.compiles_much
@named(ONCE)
def test_one_step_of_training_moves_every_weight(row):
    arguments = {"dropout": 0.1, "attention_dropout": 0.1, "drop_path": 0.1, "seed": 1}
    names = row.arguments.keys()
    arguments = {k: v for k, v in arguments.items() if k in names}
    activation = {"activation": "gelu"} if "activation" in names else {}
    model = row.model(**{**row.arguments, **arguments, **activation})
    model.compile("adam", "mse")
    before = model.get_weights()
    shape = model.input_shape[1:]
    images = np.random.default_rng(0).normal(size=(4, *shape)).astype("float32")
    model.fit(images, np.ones((4, 3)), epochs=1, verbose=0)
    names = [weight.path for weight in model.weights]
    after = model.get_weights()
    still = [n for n, a, b in zip(names, before, after, strict=True) if (a == b).all()]
    assert still == []


@pytest.mark.once
@named(ONCE)
def test_a_folder_that_is_none_of_it_is_told(tmp_path, row):
    """Without a config, of another model, cut short: nothing is loaded."""
    model = row.model(**row.arguments)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("warnings.warn", lambda *_, **__: None)
        model.save_to_preset(tmp_path)
    with pytest.raises(ValueError, match="not BERT. Load it with"):
        applications.BERT.from_preset(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="model.safetensors"):
        row.model.from_preset(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match="config.json"):
        row.model.from_preset(tmp_path)
