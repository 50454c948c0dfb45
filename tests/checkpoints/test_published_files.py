"""Published weights of any kind of file, read without torch and without trust."""

import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from helpers import run_in_fresh_process
from keras_attention.checkpoints.pickles import read_pickle
from keras_attention.checkpoints.tensors import open_tensors
from keras_attention.checkpoints.tensors import remove_other_weights
from keras_attention.checkpoints.tensors import write_tensors

pytestmark = pytest.mark.once
torch = pytest.importorskip("torch")


def state_dict():
    """Tensors of every kind that such files hold, and two that share their numbers."""
    numbers = torch.arange(24, dtype=torch.float32)
    return {
        "whole": numbers.reshape(2, 3, 4),
        "strided": numbers.reshape(4, 6).T,
        "part": numbers[5:9],
        "half": torch.tensor([[0.5, -2.0]], dtype=torch.float16),
        "short": torch.tensor([1.0, 3.140625], dtype=torch.bfloat16),
        "double": torch.tensor(0.25, dtype=torch.float64),
        "long": torch.tensor([[7, -8]]),
        "mask": torch.tensor([True, False]),
        "bytes": torch.tensor([1, 255], dtype=torch.uint8),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "older"])
def test_a_pickle_is_read_as_torch_reads_it(tmp_path, is_zip):
    path = tmp_path / "pytorch_model.bin"
    torch.save(state_dict(), path, _use_new_zipfile_serialization=is_zip)
    tensors = read_pickle(path)
    assert set(tensors) == set(state_dict())
    for name, expected in state_dict().items():
        array = tensors[name].read()
        assert tensors[name].shape == array.shape == tuple(expected.shape)
        assert str(tensors[name].dtype) == str(expected.dtype).removeprefix("torch.")
        array = array.astype("float64")
        np.testing.assert_array_equal(array, expected.detach().double().numpy())


def test_the_state_of_a_module_is_read(tmp_path):
    """Its dict carries the versions of the layers along."""
    layer = torch.nn.Linear(2, 3)
    torch.save(layer.state_dict(), tmp_path / "pytorch_model.bin")
    with open_tensors(tmp_path) as (path, tensors):
        assert path.name == "pytorch_model.bin"
        assert list(tensors) == ["weight", "bias"]
        np.testing.assert_array_equal(
            tensors["weight"].read(), layer.weight.detach().numpy()
        )


def test_weights_are_found_as_peoples_scripts_save_them(tmp_path):
    """In a dict, under prefixes of wrappers, as parameters with attributes."""
    weight = torch.nn.Parameter(torch.ones(2))
    weight.shard = 3
    path = tmp_path / "pytorch_model.bin"
    for content in (
        {"weight": weight},
        {"model_state_dict": {"weight": weight}, "optimizer_state_dict": {}},
        {"state_dict": {"module.weight": weight}, "epoch": 3},
        {"model": {"_orig_mod.module.weight": weight}, "rate": 0.1},
    ):
        torch.save(content, path)
        tensors = read_pickle(path)
        assert list(tensors) == ["weight"]
        assert tensors["weight"].read().tolist() == [1, 1]


def test_no_torch_is_imported(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    code = """
        import sys
        from keras_attention.checkpoints import open_tensors

        with open_tensors(".") as (path, tensors):
            print(tensors["weight"].read().tolist(), "torch" in sys.modules)
    """
    output = run_in_fresh_process(code, backend="jax", cwd=tmp_path)
    assert output == "[1.0, 1.0] False\n"


class Hostile:
    def __init__(self, function, argument):
        self.call = (function, (argument,))

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "older"])
def test_a_pickle_that_asks_for_more_than_tensors_is_refused(tmp_path, is_zip):
    mark = tmp_path / "ran"
    content = {"weight": torch.ones(2), "evil": Hostile(os.mkdir, str(mark))}
    path = tmp_path / "pytorch_model.bin"
    torch.save(content, path, _use_new_zipfile_serialization=is_zip)
    with pytest.raises(
        ValueError, match=r"it asks for (posix|nt)\.mkdir, which is not"
    ):
        read_pickle(path)
    assert not mark.exists()


def test_the_first_pickles_of_the_older_form_are_restricted_too(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(pickle.dumps(Hostile(os.mkdir, str(tmp_path / "ran"))))
    with pytest.raises(ValueError, match="it asks for"):
        read_pickle(path)
    assert not (tmp_path / "ran").exists()


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path):
    """Read as it says, it would show what else is in memory."""
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.ones(4)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    # In the pickle: the shape (4,), then the stride (1,).
    changed = {
        name: data.replace(b"K\x04\x85", b"K\x09\x85") if "pkl" in name else data
        for name, data in members.items()
    }
    assert changed != members
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in changed.items():
            archive.writestr(name, data)
    with pytest.raises(ValueError, match="a tensor reaches beyond its storage"):
        read_pickle(path)


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "older"])
def test_a_pickle_that_was_cut_short_is_told(tmp_path, is_zip):
    path = tmp_path / "pytorch_model.bin"
    torch.save({"weight": torch.ones(500)}, path, _use_new_zipfile_serialization=is_zip)
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(ValueError, match="cannot be read: .*cut short"):
        read_pickle(path)


def test_a_file_of_another_kind_is_told(tmp_path):
    path = tmp_path / "pytorch_model.bin"
    path.write_text("version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="cannot be read: .*It has 42 bytes"):
        read_pickle(path)


def test_several_files_are_read_as_one(tmp_path):
    arrays = {f"layer.{i}": np.full((3, 2), i, "float32") for i in range(5)}
    write_tensors(tmp_path, arrays, max_file_bytes=50)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names[0] == "model-00001-of-00003.safetensors"
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 120}
    with open_tensors(tmp_path) as (_, tensors):
        assert set(tensors) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(tensors[name].read(), array)


def test_several_pickles_are_read_as_one(tmp_path):
    places = {}
    for number, name in enumerate(("a", "b"), start=1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: torch.full((2,), float(number))}, tmp_path / file)
        places[name] = file
    index = {"metadata": {}, "weight_map": places}
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    with open_tensors(tmp_path) as (_, tensors):
        assert tensors["b"].read().tolist() == [2.0, 2.0]


def test_a_missing_part_is_told(tmp_path):
    arrays = {name: np.zeros(4, "float32") for name in ("a", "b")}
    write_tensors(tmp_path, arrays, max_file_bytes=20)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(ValueError, match="model-00002-of-00002.safetensors is missing"):
        with open_tensors(tmp_path):
            pass


def test_an_index_leads_to_no_other_folder(tmp_path):
    index = {"weight_map": {"a": "../model.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="../model.safetensors is missing in"):
        with open_tensors(tmp_path):
            pass


def test_an_index_that_is_none_is_told(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text("[1]")
    with pytest.raises(ValueError, match="is no list of files"):
        with open_tensors(tmp_path):
            pass


def test_safetensors_cut_short_are_told(tmp_path):
    write_tensors(tmp_path, {"a": np.zeros(100, "float32")})
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(ValueError, match="model.safetensors is damaged: .*cut short"):
        with open_tensors(tmp_path):
            pass


def test_a_folder_without_weights_is_told(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="no model.safetensors in .*Found: notes.txt"):
        with open_tensors(tmp_path):
            pass


def test_numbers_of_half_precision_are_read(tmp_path):
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps(header).encode()
    data = struct.pack("<Q", len(header)) + header + bytes([0x80, 0x3F, 0x00, 0xC0])
    (tmp_path / "model.safetensors").write_bytes(data)
    with open_tensors(tmp_path) as (_, tensors):
        assert tensors["a"].dtype == "bfloat16"
        assert tensors["a"].read().astype("float32").tolist() == [1.0, -2.0]


def test_weights_of_an_earlier_save_are_removed(tmp_path):
    arrays = {name: np.zeros(4, "float32") for name in ("a", "b")}
    write_tensors(tmp_path, arrays, max_file_bytes=20)
    write_tensors(tmp_path, arrays)
    (tmp_path / "notes.txt").write_text("")
    remove_other_weights(tmp_path, {"model.safetensors"})
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["model.safetensors", "notes.txt"]
