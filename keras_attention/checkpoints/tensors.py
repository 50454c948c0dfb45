"""The tensors of a checkpoint folder, whatever kind of file holds them.

Nothing but names and shapes is read before a tensor is asked for, and safetensors files
are mapped into memory: a checkpoint may be larger than what is free.
"""

import contextlib
import json
import pathlib
import re

import numpy as np

from keras_attention.checkpoints.files import WEIGHTS
from keras_attention.checkpoints.pickles import read_pickle
from keras_attention.files import import_package
from keras_attention.files import read_json

PICKLE = "pytorch_model.bin"
INDEX = ".index.json"

# In the order in which they are looked for.
PICKLE_FILES = (PICKLE, PICKLE + INDEX)
WEIGHT_FILES = (WEIGHTS, WEIGHTS + INDEX, *PICKLE_FILES)
SAFETENSORS_PATTERNS = (
    WEIGHTS,
    "model-*-of-*.safetensors",
    WEIGHTS + INDEX,
)
PICKLE_PATTERNS = (PICKLE, "pytorch_model-*-of-*.bin", PICKLE + INDEX)

# Bytes of a file before another is begun, as on the Hugging Face hub.
MAX_FILE_BYTES = 5 * 10**9

SAFETENSORS_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
}


class SafeTensor:
    """A tensor of a safetensors file. Nothing is read before `read`."""

    def __init__(self, file, name):
        part = file.get_slice(name)
        dtype = part.get_dtype()
        self.shape = tuple(part.get_shape())
        self.dtype = SAFETENSORS_DTYPES.get(dtype, dtype)
        self._file, self._name = file, name

    def read(self):
        return self._file.get_tensor(self._name)


@contextlib.contextmanager
def open_tensors(folder):
    """Opens the weights in a folder.

    `model.safetensors` or `pytorch_model.bin`, whole or in several files that a
    `.index.json` lists. Where there are both, safetensors are read.

    Args:
        folder: Folder of a checkpoint.

    Yields:
        The path of the file that was found, and a dict from name to tensor, which has
        `shape`, `dtype` and `read()`, the NumPy array.

    Raises:
        ValueError: A file is missing or damaged.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> write_tensors(folder, {"weight": np.ones((2, 3), "float32")})
    >>> with open_tensors(folder) as (path, tensors):
    ...     print(path.name, tensors["weight"].shape, tensors["weight"].read().sum())
    model.safetensors (2, 3) 6.0
    """
    folder = pathlib.Path(folder)
    path = next((folder / n for n in WEIGHT_FILES if (folder / n).is_file()), None)
    if path is None:
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise ValueError(
            f"There is no {WEIGHTS} in {folder}, and no {PICKLE}. Found: {found}. Pass "
            "`load_weights=False` for the architecture alone."
        )
    with contextlib.ExitStack() as stack:
        if path.name.endswith(INDEX):
            yield path, _open_several(path, stack)
        else:
            yield path, _open_one(path, stack)


def _open_one(path, stack):
    if path.suffix == ".bin":
        return read_pickle(path)
    file = stack.enter_context(open_safetensors(path))
    return {name: SafeTensor(file, name) for name in file.keys()}


def _open_several(path, stack):
    found = read_json(path)
    places = found.get("weight_map") if isinstance(found, dict) else None
    is_map = isinstance(places, dict) and bool(places)
    if not is_map or not all(isinstance(name, str) for name in places.values()):
        raise ValueError(
            f"{path} is no list of files. Expected a `weight_map` from tensors to "
            "files. Get it again."
        )
    files = {}
    for name in sorted(set(places.values())):
        if not re.fullmatch(r"[\w.-]+", name) or not (path.parent / name).is_file():
            raise ValueError(
                f"{name} is missing in {path.parent}, though {path.name} lists it. Copy"
                " or download the whole folder again."
            )
        files[name] = _open_one(path.parent / name, stack)
    lost = [name for name, place in places.items() if name not in files[place]]
    if lost:
        raise ValueError(
            f"{lost[0]} is not in {places[lost[0]]}, though {path} says so. Copy or "
            "download the whole folder again."
        )
    return {name: files[place][name] for name, place in places.items()}


def open_safetensors(path):
    """Opens one safetensors file.

    Args:
        path: Its name, a `pathlib.Path`.

    Returns:
        What `safetensors.safe_open` gives, a context manager.

    Raises:
        ValueError: The file is missing or damaged.
    """
    safetensors = import_package(
        "safetensors", "safetensors", "text", "Loading weights"
    )
    if not path.is_file():
        raise ValueError(
            f"There is no {path.name} in {path.parent}. Pass `load_weights=False` for "
            "the architecture alone."
        )
    try:
        return safetensors.safe_open(path, framework="np")
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(
            f"{path} is damaged: {error}. It has {path.stat().st_size} bytes; a copy "
            "or a download that was cut short leaves such a file. Get it again."
        ) from error


def write_tensors(folder, arrays, metadata=None, max_file_bytes=None):
    """Writes `model.safetensors`, or several files and the list of them.

    Args:
        folder: Where they go, usually what `replace_files` yields.
        arrays: Dict from name to NumPy array.
        metadata: Dict of texts that goes into each file.
        max_file_bytes: Where one file would be larger, several are written. By default
            5 GB.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> arrays = {"a": np.zeros(4, "float32"), "b": np.ones(4, "float32")}
    >>> write_tensors(folder, arrays, max_file_bytes=20)
    >>> for path in sorted(folder.iterdir()):
    ...     print(path.name)
    model-00001-of-00002.safetensors
    model-00002-of-00002.safetensors
    model.safetensors.index.json
    """
    folder = pathlib.Path(folder)
    max_file_bytes = max_file_bytes or MAX_FILE_BYTES
    groups, room = [{}], max_file_bytes
    for name, array in arrays.items():
        if groups[-1] and array.nbytes > room:
            groups.append({})
            room = max_file_bytes
        groups[-1][name] = array
        room -= array.nbytes
    if len(groups) == 1:
        write_file(folder / WEIGHTS, groups[0], metadata)
        return
    stem = WEIGHTS.removesuffix(".safetensors")
    places = {}
    for number, group in enumerate(groups, start=1):
        name = f"{stem}-{number:05}-of-{len(groups):05}.safetensors"
        write_file(folder / name, group, metadata)
        places.update(dict.fromkeys(group, name))
    size = sum(array.nbytes for array in arrays.values())
    index = {"metadata": {"total_size": size}, "weight_map": places}
    text = json.dumps(index, indent=2) + "\n"
    (folder / f"{WEIGHTS}{INDEX}").write_text(text, encoding="utf-8")


def write_file(path, arrays, metadata=None):
    """Writes one safetensors file.

    Args:
        path: Its name, a `pathlib.Path`.
        arrays: Dict from name to NumPy array.
        metadata: Dict of texts that goes into it.
    """
    safetensors = import_package(
        "safetensors.numpy", "safetensors", "text", "Saving weights"
    )
    path.touch()
    mode = path.stat().st_mode
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    safetensors.save_file(arrays, path, metadata)
    path.chmod(mode)  # safetensors 0.8 lets nobody else read it


def remove_other_weights(folder, written):
    """Deletes the weights that an earlier save left beside the new ones.

    Args:
        folder: Folder of a checkpoint.
        written: Names of the files that the new save wrote.
    """
    for pattern in SAFETENSORS_PATTERNS:
        for path in pathlib.Path(folder).glob(pattern):
            if path.name not in written:
                path.unlink(missing_ok=True)
