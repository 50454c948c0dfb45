"""Checkpoints of the Hugging Face hub, as folders."""

import functools
import pathlib
import re

from keras_attention.checkpoints.files import CONFIG
from keras_attention.checkpoints.files import is_published
from keras_attention.checkpoints.files import read_config
from keras_attention.checkpoints.files import WEIGHTS
from keras_attention.checkpoints.tensors import PICKLE_FILES
from keras_attention.checkpoints.tensors import PICKLE_PATTERNS
from keras_attention.checkpoints.tensors import SAFETENSORS_PATTERNS
from keras_attention.checkpoints.tensors import WEIGHT_FILES
from keras_attention.files import import_package

SCHEME = "hf://"
GENERATION = "generation_config.json"

# What published checkpoints have besides weights: tokenizers, and how pictures are
# prepared.
TEXT_FILES = (
    "added_tokens.json",
    GENERATION,
    "merges.txt",
    "preprocessor_config.json",
    "sentencepiece.bpe.model",
    "source.spm",
    "special_tokens_map.json",
    "spiece.model",
    "spm.model",
    "target.spm",
    "target_vocab.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
# What is in `tokenizer.json`, too.
OLDER_FILES = (
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "spm.model",
    "vocab.json",
    "vocab.txt",
)


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
    downloaded. Offline a cache will do that lacks what other files of it hold, too.

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

    def fetch(files):
        find = functools.partial(hub.snapshot_download, name, revision=revision)
        try:
            folder = find(allow_patterns=files)
        except FileNotFoundError as error:
            # Offline, and the cache is known to lack some (huggingface_hub 2).
            found = getattr(error, "snapshot_path", None)
            needed = files if found is None else needed_files(files, found)
            if needed == files:
                raise
            folder = find(allow_patterns=needed)
        return pathlib.Path(folder)

    config = read_config(fetch([CONFIG]))
    if not is_published(config):
        # The config once more: all files of the folder are of one revision, also where
        # the branch has moved between the two calls.
        weight_files = [WEIGHTS] if weights else []
        return fetch([CONFIG, *config["assets"], *weight_files])
    files = [CONFIG, *TEXT_FILES]
    if not weights:
        return fetch(files)
    folder = fetch([*files, *SAFETENSORS_PATTERNS])
    if not any((folder / name).exists() for name in WEIGHT_FILES):
        folder = fetch([*files, *PICKLE_PATTERNS])
    return folder


def needed_files(files, folder):
    """Of some files those that a folder needs, beside what it has.

    Args:
        files: Patterns of names.
        folder: A folder with some of them.

    Returns:
        List of patterns.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "tokenizer.json").write_text("{}")
    >>> needed_files(["config.json", "tokenizer.json", "vocab.txt"], folder)
    ['config.json', 'tokenizer.json']
    """
    folder = pathlib.Path(folder)
    others = {GENERATION}
    if (folder / "tokenizer.json").is_file():
        others.update(OLDER_FILES)
    if any((folder / name).is_file() for name in PICKLE_FILES):
        others.update(SAFETENSORS_PATTERNS)
    return [name for name in files if name not in others]
