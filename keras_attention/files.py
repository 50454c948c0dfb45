"""Files written whole, JSON, the folder of cached ones, packages that are optional."""

import importlib
import json
import os
import pathlib
import uuid

# Bytes of a file of JSON. The longest of published tokenizers have a tenth.
LARGEST = 400_000_000


def replace_file(path, data):
    """Writes a file whole or not at all: under another name first, then moved.

    Args:
        path: Name of the file. Its folder must exist.
        data: Bytes.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path):
    """What a file of JSON holds.

    Args:
        path: A `pathlib.Path`.

    Raises:
        ValueError: It is not JSON, or no file that anybody would read.
    """
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"{path} has {size / 1e6:,.0f} MB, more than any such file needs, "
            f"{LARGEST / 1e6:,.0f} MB. It is damaged or no file of this kind."
        )
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not JSON: {error}. Copy or download it again."
        ) from None


def cache_folder():
    """The folder of files that can be made again.

    Returns:
        A `pathlib.Path`: `KERAS_ATTENTION_CACHE` where that environment variable is
        set, else `~/.cache/keras_attention`. It need not exist.
    """
    folder = os.environ.get("KERAS_ATTENTION_CACHE")
    if folder:
        return pathlib.Path(folder).expanduser()
    return pathlib.Path.home() / ".cache" / "keras_attention"


def import_package(name, package, extra, purpose):
    """Imports an optional package, or says how to install it.

    Args:
        name: Name to import.
        package: Name to install.
        extra: Extra of this library that holds it.
        purpose: What needs it, the start of a sentence.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{purpose} needs the package {package}, which cannot be imported "
            f'({error}). Install it with: pip install "keras-attention[{extra}]"'
        ) from error
