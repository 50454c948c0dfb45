"""Checkpoints of the Hugging Face hub, as folders."""

import pathlib
import re

from keras_attention.checkpoints.files import CONFIG
from keras_attention.checkpoints.files import read_config
from keras_attention.checkpoints.files import WEIGHTS
from keras_attention.preprocessing.files import import_package

SCHEME = "hf://"


def is_hub_id(preset):
    """Whether a text names a checkpoint of the hub.

    Example:

    >>> is_hub_id("hf://google/vit-base-patch16-224")
    True
    """
    return isinstance(preset, str) and preset.startswith(SCHEME)


def download(preset, weights=True):
    """Downloads a checkpoint of the hub, or finds it in the cache.

    `huggingface_hub` does the work, so its settings count: the cache, the token, the
    environment variables such as `HF_HUB_OFFLINE`. Only the files that are needed are
    downloaded.

    Args:
        preset: `hf://owner/name` or `hf://owner/name@revision`. A revision is a
            branch, a tag or a commit.
        weights: Whether the weights are needed.

    Returns:
        The folder, a `pathlib.Path`.

    Raises:
        ValueError: `preset` is not of that form, or has no readable `config.json`.

    Example:

    >>> download("hf://name")
    Traceback (most recent call last):
        ...
    ValueError: A hub id must have the form hf://owner/name or hf://owner/name@revision.
    Received: 'hf://name'.
    """
    match = re.fullmatch(rf"{SCHEME}([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", preset)
    if not match:
        raise ValueError(
            f"A hub id must have the form {SCHEME}owner/name or "
            f"{SCHEME}owner/name@revision. Received: {preset!r}."
        )
    name, revision = match.groups()
    hub = import_package(
        "huggingface_hub", "huggingface_hub", "text", f"Loading {preset}"
    )
    files = [CONFIG]
    folder = hub.snapshot_download(name, revision=revision, allow_patterns=files)
    files += read_config(folder)["assets"]
    files += [WEIGHTS] if weights else []
    # The config once more: all files of the folder are of one revision, also where the
    # branch has moved between the two calls.
    folder = hub.snapshot_download(name, revision=revision, allow_patterns=files)
    return pathlib.Path(folder)
