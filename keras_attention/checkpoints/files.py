"""The files of one checkpoint: `config.json`, and what stands beside it."""

import contextlib
import json
import pathlib

from keras_attention.checkpoints.replacing import files_in
from keras_attention.checkpoints.replacing import finish_replacing
from keras_attention.files import read_json

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

# What `write_config` writes; and what tells a published layout: that of Hugging Face
# today and in its first years, and timm's.
OUR_KEYS = ("class_name", "arguments", "assets", "versions")
# What must be of one type before anything is built.
KINDS = {
    "architectures": (list, "a list of names"),
    "arguments": (dict, "an object"),
    "assets": (list, "a list of names"),
    "class_name": (str, "a name"),
    "model_type": (str, "a name"),
}
PUBLISHED_KEYS = ("model_type", "architectures", "vocab_size", "architecture")


def write_config(folder, class_name, arguments, **versions):
    """Writes `config.json`: what rebuilds a model. Every other file is there already.

    Args:
        folder: Where it goes, usually what `replace_files` yields.
        class_name: What the model is.
        arguments: What its constructor gets, as JSON can hold it.
        **versions: The version of each library that wrote it.

    Returns:
        What `read_config` will give.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> config = write_config(folder, "Doubling", {"units": 4}, keras="3.15.1")
    >>> config["assets"]
    []
    """
    folder = pathlib.Path(folder)
    assets = [path.as_posix() for path in files_in(folder) if path.name != WEIGHTS]
    config = {
        "class_name": class_name,
        "arguments": arguments,
        "assets": assets,
        "versions": versions,
    }
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / CONFIG).write_text(text + "\n", encoding="utf-8")
    return config


def read_config(folder):
    """Reads `config.json`, after finishing a save that was interrupted.

    Args:
        folder: Folder of a checkpoint.

    Returns:
        Dict with the keys `class_name`, `arguments`, `assets` and `versions`; or, for a
        checkpoint in a published layout (`is_published`), what the file holds.

    Raises:
        ValueError: There is no such folder or file, or it is neither.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> config = write_config(folder, "Doubling", {"units": 4}, keras="3.15.1")
    >>> read_config(folder)["arguments"]
    {'units': 4}
    """
    folder = pathlib.Path(folder)
    if folder.is_file():
        raise ValueError(
            f"Expected the folder of a checkpoint. Received a file: {folder}. Load a "
            "`.keras` file with `keras.saving.load_model`."
        )
    if not folder.is_dir():
        raise ValueError(f"There is no folder {folder}. Expected one with {CONFIG}.")
    finish_replacing(folder)
    path = folder / CONFIG
    if not path.is_file():
        found = ", ".join(sorted(p.name for p in folder.iterdir())) or "nothing"
        raise ValueError(
            f"There is no {CONFIG} in {folder}. Expected the folder of a checkpoint. "
            f"Found: {found}."
        )
    config = read_json(path)
    is_dict = isinstance(config, dict)
    for name, (kind, words) in KINDS.items() if is_dict else ():
        value = config.get(name)
        is_kind = isinstance(value, kind)
        if kind is list:
            is_kind = is_kind and all(isinstance(each, str) for each in value)
        is_asked = name in OUR_KEYS and name in config or value is not None
        if is_asked and not is_kind:
            raise ValueError(
                f"{path} has {name}={value!r}, expected {words}. Copy or download the "
                "file again."
            )
    if is_dict and (is_published(config) or config.keys() >= set(OUR_KEYS)):
        return config
    found = ", ".join(config) if is_dict else repr(config)
    raise ValueError(
        f"{path} is not a config of this library, which holds {', '.join(OUR_KEYS)}, "
        "nor of a published model, which holds a model_type. Received: "
        f"{found or 'nothing'}."
    )


def is_published(config):
    """Whether a `config.json` is in a published layout, not our own.

    Args:
        config: What `read_config` gave.

    Example:

    >>> is_published({"model_type": "gpt2", "n_layer": 12})
    True
    """
    return "class_name" not in config and any(key in config for key in PUBLISHED_KEYS)


def check_assets(folder, config):
    """Refuses a checkpoint in which a file is missing that `config.json` lists.

    Args:
        folder: Folder of a checkpoint.
        config: What `read_config` gave.

    Raises:
        ValueError: A file is missing.
    """
    folder = pathlib.Path(folder)
    missing = [name for name in config["assets"] if not (folder / name).is_file()]
    if missing:
        raise ValueError(
            f"{', '.join(missing)} is missing in {folder}, though {CONFIG} lists it. "
            "Copy or save the whole folder again."
        )


def check_replaceable(folder, class_name, is_same=None):
    """Refuses a folder that holds a checkpoint of anything else.

    Args:
        folder: Folder to write to. It may be missing.
        class_name: What is to be written.
        is_same: Function from a published config to whether it is of the same class.

    Raises:
        ValueError: Something else is there.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"A checkpoint is a folder. Received the name of a file: {folder}."
        )
    finish_replacing(folder)
    files = [name for name in (CONFIG, WEIGHTS) if (folder / name).exists()]
    if not files:
        return
    owner = f"something else ({', '.join(files)})"
    with contextlib.suppress(ValueError):
        config = read_config(folder)
        if "class_name" in config:
            owner = config["class_name"]
        elif is_same is not None and is_same(config):
            return
    if owner != class_name:
        raise ValueError(
            f"{folder} holds {owner}, so {class_name} is not written there. Choose "
            "another folder, or pass `overwrite=True` to replace it."
        )
