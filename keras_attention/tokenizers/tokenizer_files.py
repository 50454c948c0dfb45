"""Tokenizers of published kinds, from the files of a checkpoint or from their parts."""

import pathlib

from keras_attention.files import read_json
from keras_attention.tokenizers.published_tokenizer import import_tokenizers
from keras_attention.tokenizers.published_tokenizer import OURS
from keras_attention.tokenizers.published_tokenizer import PublishedTokenizer
from keras_attention.tokenizers.published_tokenizer import SETTINGS
from keras_attention.tokenizers.published_tokenizer import TOKENIZER

# What counts of tokenizer_config.json.
KEPT = (
    "tokenizer_class",
    "model_max_length",
    "bos_token",
    "cls_token",
    "eos_token",
    "mask_token",
    "pad_token",
    "sep_token",
    "unk_token",
    "clean_up_tokenization_spaces",
    "do_lower_case",
    "strip_accents",
    "tokenize_chinese_chars",
    "add_prefix_space",
    OURS,
)

WORD_PIECE_SETTINGS = {
    "tokenizer_class": "BertTokenizer",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}


def read_settings(folder, **defaults):
    """What the files of a checkpoint say of its tokenizer.

    Args:
        folder: Folder of the checkpoint.
        **defaults: What counts where they say nothing.

    Returns:
        Dict.
    """
    settings = dict(defaults)
    for name in ("special_tokens_map.json", SETTINGS):
        path = pathlib.Path(folder) / name
        if path.is_file():
            found = read_json(path)
            settings.update({k: v for k, v in found.items() if k in KEPT})
    return settings


def load_word_piece_tokenizer(folder):
    """The tokenizer of a checkpoint of BERT: `tokenizer.json`, or `vocab.txt`.

    Args:
        folder: Folder of the checkpoint.

    Returns:
        A `PublishedTokenizer`, or `None` where there is neither.

    Example:

    >>> import tempfile
    >>> load_word_piece_tokenizer(tempfile.mkdtemp()) is None
    True
    """
    folder = pathlib.Path(folder)
    settings = read_settings(folder, **WORD_PIECE_SETTINGS)
    if (folder / TOKENIZER).is_file():
        text = (folder / TOKENIZER).read_text(encoding="utf-8")
        return _with_limits(text, settings, has_segments=True)
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        return word_piece_tokenizer(
            [line.rstrip("\r") for line in lines if line.strip()],
            lowercase=settings.get("do_lower_case", True),
            settings=settings,
        )
    return None


def load_tokenizer(folder):
    """The tokenizer of a published folder, or `None`."""
    path = pathlib.Path(folder) / TOKENIZER
    if path.is_file() and '"WordPiece"' not in path.read_text(encoding="utf-8"):
        return load_byte_pair_tokenizer(folder)
    return load_word_piece_tokenizer(folder) or load_byte_pair_tokenizer(folder)


def word_piece_tokenizer(words, lowercase=True, settings=None):
    """Makes the tokenizer of BERT from its vocabulary.

    Wu et al. 2016, arXiv:1609.08144, Section 4.1, as in Devlin et al. 2019: the longest
    piece that a word begins with, then that of the rest, which begins with `##`.

    Args:
        words: The tokens in the order of their ids, `[UNK]`, `[CLS]` and `[SEP]` among
            them.
        lowercase: Whether texts are taken in lower case, without accents.
        settings: What `tokenizer_config.json` says besides.

    Returns:
        A `PublishedTokenizer`.

    Example:

    >>> tokenizer = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a"])
    >>> tokenizer.encode(["A"]).tolist()
    [[1, 3, 2]]
    """
    tokenizers = import_tokenizers()
    settings = {**WORD_PIECE_SETTINGS, **(settings or {})}
    ids = {word: i for i, word in enumerate(words)}
    unknown, first, separator = (
        settings[key] for key in ("unk_token", "cls_token", "sep_token")
    )
    missing = [token for token in (unknown, first, separator) if token not in ids]
    if missing:
        raise ValueError(
            f"The vocabulary lacks {', '.join(missing)}. Received {len(ids)} words."
        )
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordPiece(ids, unk_token=unknown)
    )
    tokenizer.normalizer = tokenizers.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        strip_accents=settings.get("strip_accents"),
        lowercase=lowercase,
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = tokenizers.decoders.WordPiece()
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {separator}:0",
        pair=f"{first}:0 $A:0 {separator}:0 $B:1 {separator}:1",
        special_tokens=[(first, ids[first]), (separator, ids[separator])],
    )
    keys = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = [settings[key] for key in keys if settings[key] in ids]
    tokenizer.add_special_tokens(special)
    settings["do_lower_case"] = lowercase
    return _with_limits(tokenizer.to_str(), settings, has_segments=True)


def load_byte_pair_tokenizer(folder):
    """The tokenizer of a checkpoint of GPT-2: `tokenizer.json`, or `vocab.json`.

    Beside `vocab.json` stands `merges.txt`.

    Args:
        folder: Folder of the checkpoint.

    Returns:
        A `PublishedTokenizer`, or `None` where there is neither.

    Example:

    >>> import tempfile
    >>> load_byte_pair_tokenizer(tempfile.mkdtemp()) is None
    True
    """
    folder = pathlib.Path(folder)
    end = "<|endoftext|>"
    settings = read_settings(
        folder,
        tokenizer_class="GPT2Tokenizer",
        eos_token=end,
        bos_token=end,
        unk_token=end,
    )
    if (folder / TOKENIZER).is_file():
        text = (folder / TOKENIZER).read_text(encoding="utf-8")
        return _with_limits(text, settings)
    if not (folder / "vocab.json").is_file():
        return None
    if not (folder / "merges.txt").is_file():
        raise ValueError(
            f"{folder} has vocab.json, but no merges.txt. Copy or download both."
        )
    lines = (folder / "merges.txt").read_text(encoding="utf-8").split("\n")
    merges = [
        tuple(line.split(" "))
        for line in lines
        if line.strip() and not line.startswith("#version")
    ]
    return byte_pair_tokenizer(read_json(folder / "vocab.json"), merges, settings)


def byte_pair_tokenizer(ids, merges, settings=None):
    """Makes the tokenizer of GPT-2 from its vocabulary.

    Radford et al. 2019, Section 2.2: byte pair encoding of bytes, so that no text has
    an unknown token. Each byte is written as a character that can be seen, the space
    as `Ġ`.

    Args:
        ids: Dict from token to id.
        merges: List of pairs of tokens, in the order in which they are joined.
        settings: What `tokenizer_config.json` says besides.

    Returns:
        A `PublishedTokenizer`.

    Example:

    >>> tokenizer = byte_pair_tokenizer({"a": 0, "b": 1, "ab": 2}, [("a", "b")])
    >>> tokenizer.encode(["abba"]).tolist()
    [[2, 1, 0]]
    """
    tokenizers = import_tokenizers()
    settings = dict(settings or {})
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(ids, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(
        add_prefix_space=settings.get("add_prefix_space", False)
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    tokenizer.post_processor = tokenizers.processors.ByteLevel(trim_offsets=False)
    end = settings.get("eos_token")
    end = end["content"] if isinstance(end, dict) else end
    if end in ids:
        tokenizer.add_special_tokens([end])
    return _with_limits(tokenizer.to_str(), settings)


def _with_limits(json, settings, has_segments=False):
    """A tokenizer with the limits that stand among the settings."""
    limits = settings.get(OURS, {})
    settings = {key: value for key, value in settings.items() if key != OURS}
    return PublishedTokenizer(json, settings, has_segments, **limits)
