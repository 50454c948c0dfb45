"""Files that are damaged or hostile, drawn at random: they load, or an error says so.

Nothing of them is executed or written, and memory stays bounded.
"""

import functools
import io
import json
import os
import pickle
import resource
import struct
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies

from keras_attention import applications
from keras_attention.checkpoints import open_tensors
from keras_attention.checkpoints.pickles import read_pickle

pytestmark = pytest.mark.once

NO_HEALTH = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
FEW = settings(
    max_examples=25, deadline=None, derandomize=True, suppress_health_check=NO_HEALTH
)
MANY = settings(FEW, max_examples=400, derandomize=False)

ODD = (
    None,
    True,
    -1,
    0,
    1,
    3,
    2**31,
    10**9,
    10**30,
    0.5,
    -1.5,
    float("nan"),
    float("inf"),
    "",
    "12",
    "../../escape",
    "gelu",
    [],
    [3],
    ["3"],
    [10**9, 10**9],
    {},
    {"a": 1},
    {"0": "x", "1": "y"},
    {"class_name": "function", "config": "system", "module": "os"},
)
SIZES = {"hidden_dim": 4, "num_layers": 1, "num_heads": 2, "mlp_dim": 6}
MODELS = {
    "bert": lambda: applications.BERT(
        vocabulary_size=9, max_length=8, num_classes=3, head="classification", **SIZES
    ),
    "roberta": lambda: applications.RoBERTa(vocabulary_size=9, max_length=8, **SIZES),
    "distilbert": lambda: applications.DistilBERT(
        vocabulary_size=9, max_length=8, **SIZES
    ),
    "gpt2": lambda: applications.GPT2(
        vocabulary_size=9, max_length=8, end_id=8, **SIZES
    ),
    "vit": lambda: applications.ViT(
        image_size=8, patch_size=4, num_classes=2, class_names=["a", "b"], **SIZES
    ),
    "marian": lambda: applications.Transformer(
        source_vocabulary_size=9,
        positions="marian",
        max_length=8,
        epsilon=1e-5,
        activation="gelu",
        scale_embeddings=False,
        use_output_bias=True,
        forbidden_ids=[8],
        padding_id=8,
        start_id=8,
        end_id=0,
        **SIZES,
    ),
    "our own layout": lambda: applications.LSTMNLanguageModel(
        vocabulary_size=9, hidden_dim=4, word_dim=2
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of each model, and what its `config.json` holds."""
    found = {}
    for name, make in MODELS.items():
        folder = tmp_path_factory.mktemp("model")
        make().save_to_preset(folder)
        found[name] = folder, (folder / "config.json").read_text()
    return found


def peak_memory():
    """Most memory that this process had so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def check_config(folders, data):
    folder, text = folders[data.draw(strategies.sampled_from(sorted(folders)))]
    config = json.loads(text)
    inner = data.draw(
        strategies.sampled_from([config, config.get("arguments", config)])
    )
    for name in data.draw(
        strategies.lists(strategies.sampled_from(sorted(inner)), min_size=1, max_size=2)
    ):
        inner[name] = data.draw(strategies.sampled_from(ODD))
    (folder / "config.json").write_text(json.dumps(config))
    before = files_of(folder), peak_memory()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that a file does not have
            applications.from_preset(folder)
    except ValueError as error:
        assert str(error)
    assert files_of(folder) == before[0]
    assert peak_memory() - before[1] < 2**30


def files_of(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@FEW
@given(strategies.data())
def test_a_config_with_odd_values_loads_or_is_refused(folders, data):
    check_config(folders, data)


@pytest.mark.slow
@MANY
@given(strategies.data())
def test_configs_with_odd_values_load_or_are_refused(folders, data):
    check_config(folders, data)


def safetensors_file(header, numbers=b"\0" * 24):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + numbers


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


HEADERS = {
    "whole": {"a": entry(), "b": entry(shape=(4,), offsets=(8, 24))},
    "overlapping": {"a": entry(), "b": entry(shape=(5,), offsets=(4, 24))},
    "a hole": {"a": entry(), "b": entry(shape=(2,), offsets=(16, 24))},
    "beyond the end": {"a": entry(shape=(99,), offsets=(0, 396))},
    "huge shape": {"a": entry(shape=(2**62, 2**62), offsets=(0, 24))},
    "a negative size": {"a": entry(shape=(-2,))},
    "numbers as strings": {"a": entry(shape=("2",), offsets=("0", "8"))},
    "unknown type": {"a": entry("F128")},
    "no object": [1, 2],
    "a list of tensors": {"a": [1]},
    "a path": {"../../escape": entry(shape=(6,), offsets=(0, 24))},
    "metadata alone": {"__metadata__": {"format": 3}},
    "twice the same name": b'{"a":%s,"a":%s}'
    % tuple(
        json.dumps(e).encode() for e in (entry(), entry(shape=(4,), offsets=(8, 24)))
    ),
    "deep": b"[" * 100_000,
}


def read_all(folder):
    """Reads all tensors, or meets an error that names the file."""
    before = peak_memory()
    try:
        with open_tensors(folder) as (_, tensors):
            arrays = {name: tensor.read() for name, tensor in tensors.items()}
    except ValueError as error:
        assert str(folder) in str(error)
        arrays = None
    assert peak_memory() - before < 2**29
    return arrays


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_does_not_fit_its_numbers_is_refused(tmp_path, name):
    (tmp_path / "model.safetensors").write_bytes(safetensors_file(HEADERS[name]))
    arrays = read_all(tmp_path)
    assert (arrays is not None) == (name in ("whole", "a path"))
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("length", [0, 7, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_a_length_that_is_none_is_refused(tmp_path, length):
    data = struct.pack("<Q", length) + safetensors_file(HEADERS["whole"])[8:]
    (tmp_path / "model.safetensors").write_bytes(data)
    assert read_all(tmp_path) is None


@pytest.mark.parametrize(
    "weight_map",
    [
        None,
        [],
        {},
        {"a": 3},
        {"a": "../outside.safetensors"},
        {"a": "/etc/hostname"},
        {"a": "."},
        {"a": "missing.safetensors"},
        {"a": "part\0.safetensors"},
        {"b": "part.safetensors"},
    ],
)
def test_an_index_names_files_of_its_folder_alone(tmp_path, weight_map):
    whole = safetensors_file({"a": entry()}, b"\0" * 8)
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "outside.safetensors").write_bytes(whole)
    (folder / "part.safetensors").write_bytes(whole)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    assert read_all(folder) is None
    index.write_text(json.dumps({"weight_map": {"a": "part.safetensors"}}))
    assert read_all(folder)["a"].tolist() == [0, 0]


@functools.cache  # an older file has the addresses of its storages in it
def torch_file(is_zip):
    torch = pytest.importorskip("torch")
    data = io.BytesIO()
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4).half()}
    tensors["c"] = torch.ones(1).expand(5)
    torch.save(tensors, data, _use_new_zipfile_serialization=is_zip)
    return data.getvalue()


def damaged(data, whole):
    """Some bytes of a file changed, cut out or repeated."""
    whole = bytearray(whole)
    for _ in range(data.draw(strategies.integers(1, 6))):
        if not whole:
            break
        place = data.draw(strategies.integers(0, len(whole) - 1))
        kind = data.draw(strategies.sampled_from(("change", "cut", "repeat", "end")))
        if kind == "change":
            whole[place] = data.draw(strategies.integers(0, 255))
        elif kind == "cut":
            del whole[place : place + data.draw(strategies.integers(1, 40))]
        elif kind == "repeat":
            whole[place:place] = whole[place : place + 40]
        else:
            del whole[place + 1 :]
    return bytes(whole)


def check_damaged(folder, data):
    kind = data.draw(strategies.sampled_from(("safetensors", "zip", "older")))
    if kind == "safetensors":
        name, whole = "model.safetensors", safetensors_file(HEADERS["whole"])
    else:
        name, whole = "pytorch_model.bin", torch_file(kind == "zip")
    for path in folder.iterdir():
        path.unlink()
    (folder / name).write_bytes(damaged(data, whole))
    read_all(folder)
    assert [path.name for path in folder.iterdir()] == [name]


@FEW
@given(strategies.data())
def test_a_damaged_file_is_read_or_refused(tmp_path, data):
    check_damaged(tmp_path, data)


@pytest.mark.slow
@MANY
@given(strategies.data())
def test_damaged_files_are_read_or_refused(tmp_path, data):
    check_damaged(tmp_path, data)


def test_a_view_repeats_no_number_without_end(tmp_path):
    """`expand` makes a tensor that is larger than its file; a bomb is far larger."""
    torch = pytest.importorskip("torch")
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(1).expand(10**7)}, path)
    assert read_pickle(path)["a"].read().sum() == 10**7
    torch.save({"a": torch.ones(1).expand(10**6, 10**6)}, path)
    with pytest.raises(ValueError, match="more numbers than its storage"):
        read_pickle(path)


def test_a_zip_that_unpacks_to_more_is_refused(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(torch_file(is_zip=True))
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match="is compressed, which torch never does"):
        read_pickle(path)


@pytest.mark.parametrize("place", ["tokenizer", "hidden_dim"])
def test_a_config_of_ours_calls_nothing(tmp_path, place):
    """What Keras builds of a config is a layer or the like, never any function."""
    mark = tmp_path / "ran"
    folder = tmp_path / "model"
    MODELS["our own layout"]().save_to_preset(folder)
    config = json.loads((folder / "config.json").read_text())
    for hostile in (
        {"class_name": "function", "config": "system", "module": "os"},
        {"class_name": "__lambda__", "config": {"value": "x"}},
        {
            "class_name": "Popen",
            "module": "subprocess",
            "config": {"args": ["touch", str(mark)]},
            "registered_name": "Popen",
        },
        {
            "class_name": "Lambda",
            "module": "keras.layers",
            "config": {"function": {"class_name": "__lambda__", "config": {}}},
            "registered_name": None,
        },
    ):
        config["arguments"][place] = hostile
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError):
            applications.from_preset(folder)
        assert not mark.exists()


def test_a_pickle_of_ours_calls_nothing(tmp_path):
    """Also where what is called is one of the few things that are admitted."""
    mark = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(mark),)

    path = tmp_path / "pytorch_model.bin"
    for content in (Hostile(), {"a": Hostile()}, [Hostile()]):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(ValueError, match="cannot be read"):
            read_pickle(path)
    assert not mark.exists()


def test_weights_of_other_sizes_than_the_config_are_refused_first(folders):
    """Before a model is built for them that no memory holds."""
    folder, text = folders["gpt2"]
    for field, value, message in (
        ("n_layer", 10**9, "asks for num_layers=1000000000, and model.safetensors"),
        ("vocab_size", 10**12, "far larger than the weights that are there"),
        ("n_embd", 10**9, "far larger than the weights that are there"),
        ("n_layer", "2", "n_layer='2', expected a whole number"),
        ("layer_norm_epsilon", "1e-5", "layer_norm_epsilon='1e-5', expected a number"),
        ("n_head", True, "n_head=True, expected a whole number"),
    ):
        config = {**json.loads(text), field: value}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match=message):
            applications.from_preset(folder)
    (folder / "config.json").write_text(text)
    assert isinstance(applications.from_preset(folder), applications.GPT2)
    assert np.isfinite(applications.from_preset(folder).get_weights()[0]).all()
