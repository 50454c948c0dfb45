"""The tokenizers that published checkpoints bring along, by the library tokenizers.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import functools
import json
import operator
import pathlib

import keras
import numpy as np

from keras_attention.preprocessing.files import import_package
from keras_attention.preprocessing.files import replace_file
from keras_attention.preprocessing.vocabulary import check_texts
from keras_attention.preprocessing.vocabulary import integer_rows
from keras_attention.preprocessing.vocabulary import shorten

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"


@keras.saving.register_keras_serializable("keras_attention")
class PublishedTokenizer:
    """Turns texts into token ids and back, exactly as a published model was trained.

    `BERT.from_preset` and `GPT2.from_preset` make one from the files of a checkpoint;
    it is `model.tokenizer`. Called, it gives the inputs of the model.

    Args:
        json: What a `tokenizer.json` holds, as a string.
        settings: Dict with what `tokenizer_config.json` holds, as far as it counts
            here: the texts of the special tokens, `pad_token` and others.
        has_segments: Whether inputs have `segment_ids`.

    Raises:
        ValueError: `json` is not the text of a tokenizer.
        ImportError: The package tokenizers is not installed.

    Example:

    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s"]
    >>> tokenizer = word_piece_tokenizer(words)
    >>> inputs = tokenizer(["The dogs", "dog"])
    >>> inputs["token_ids"].tolist()
    [[2, 5, 6, 7, 3], [2, 6, 3, 0, 0]]
    >>> tokenizer.decode(inputs["token_ids"])
    ['the dogs', 'dog']
    """

    def __init__(self, json, settings=None, has_segments=False):
        tokenizers = _import_tokenizers()
        try:
            tokenizer = tokenizers.Tokenizer.from_str(json)
        except Exception as error:  # tokenizers raises nothing more precise
            raise ValueError(
                f"This is not the text of a {TOKENIZER}: {error}. Received: "
                f"{shorten(json)}."
            ) from None
        # Some files hold how texts were cut and padded when they were written.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer
        self._settings = dict(settings or {})
        self.has_segments = has_segments

    def _id_of(self, key):
        token = self._settings.get(key)
        if isinstance(token, dict):
            token = token["content"]
        return None if token is None else self._tokenizer.token_to_id(token)

    @property
    def padding_id(self):
        """The id of padding; without one that of the end, which the mask hides."""
        found = (self._id_of(key) for key in ("pad_token", "eos_token"))
        return next((number for number in found if number is not None), 0)

    @property
    def end_id(self):
        """The id that ends a text, or `None`."""
        return self._id_of("eos_token")

    @property
    def mask_id(self):
        """The id of a masked token, or `None`."""
        return self._id_of("mask_token")

    @property
    def class_id(self):
        """The id of what stands before a text to be classified, or `None`."""
        return self._id_of("cls_token")

    @property
    def separator_id(self):
        """The id of what stands behind each text of a pair, or `None`."""
        return self._id_of("sep_token")

    @property
    def special_ids(self):
        """The ids of all special tokens, a sorted list."""
        added = self._tokenizer.get_added_tokens_decoder()
        return sorted(i for i, token in added.items() if token.special)

    def __len__(self):
        return self._tokenizer.get_vocab_size()

    def __contains__(self, token):
        return self._tokenizer.token_to_id(token) is not None

    def __eq__(self, other):
        return (
            isinstance(other, PublishedTokenizer)
            and self.get_config() == other.get_config()
        )

    def __hash__(self):
        return hash(self._json)

    def __repr__(self):
        return f"<PublishedTokenizer of {len(self)} tokens>"

    @functools.cached_property
    def _json(self):
        return self._tokenizer.to_str()

    def __call__(self, texts, pairs=None, max_length=None, truncate=False):
        """The inputs of a model for texts, or for pairs of texts.

        Args:
            texts: List of B strings.
            pairs: List of B strings, the second text of each pair.
            max_length: L, special tokens included. That of the longest by default.
            truncate: Cut what is too long instead of refusing it: of a pair always the
                longer text.

        Returns:
            Dict with `token_ids`, int32 `(B, L)`, `padding_mask`, boolean `(B, L)`,
            and, where the model has them, `segment_ids`, int32 `(B, L)`.

        Raises:
            ValueError: A text is not a string or too long, or there are not as many
                pairs as texts.
        """
        found = self._encode(texts, pairs, max_length, truncate)
        longest = max(len(encoding.ids) for encoding in found)
        length = longest if max_length is None else max_length
        token_ids = np.full((len(found), length), self.padding_id, "int32")
        padding_mask = np.zeros((len(found), length), "bool")
        segment_ids = np.zeros((len(found), length), "int32")
        for i, encoding in enumerate(found):
            size = len(encoding.ids)
            token_ids[i, :size] = encoding.ids
            padding_mask[i, :size] = True
            segment_ids[i, :size] = encoding.type_ids
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self.has_segments:
            inputs["segment_ids"] = segment_ids
        return inputs

    def _encode(self, texts, pairs, max_length, truncate):
        texts = check_texts(texts, "texts")
        inputs = texts
        if pairs is not None:
            pairs = check_texts(pairs, "pairs")
            if len(pairs) != len(texts):
                raise ValueError(
                    "`pairs` must hold the second text of each pair. Received: "
                    f"{len(texts)} texts and {len(pairs)} pairs."
                )
            inputs = list(zip(texts, pairs, strict=True))
        if max_length is not None:
            max_length = operator.index(max_length)
        tokenizer = self._tokenizer
        if truncate and max_length is not None:
            tokenizer = self._copy()
            tokenizer.enable_truncation(max_length, strategy="longest_first")
        found = tokenizer.encode_batch(inputs)
        lengths = [len(encoding.ids) for encoding in found]
        if max_length is not None and max(lengths) > max_length:
            i = next(i for i, length in enumerate(lengths) if length > max_length)
            raise ValueError(
                f"Text {i} needs {lengths[i]} tokens, more than max_length="
                f"{max_length}: {shorten(texts[i])}. The longest needs {max(lengths)}. "
                "Raise `max_length`, or cut with truncate=True."
            )
        return found

    def _copy(self):
        """Another tokenizer: to cut texts is a setting of one, not of a call."""
        return _import_tokenizers().Tokenizer.from_str(self._json)

    def encode(self, texts, max_length=None, truncate=False):
        """Token ids of texts, special tokens included.

        Args:
            texts: List of B strings.
            max_length: L. That of the longest text by default.
            truncate: Cut texts that are too long instead of refusing them.

        Returns:
            int32 array `(B, L)`.

        Raises:
            ValueError: A text is not a string, or is too long.
        """
        inputs = self(texts, max_length=max_length, truncate=truncate)
        return inputs["token_ids"]

    def token_id_lists(self, texts):
        """Token ids of texts as they are: no special tokens, no padding.

        Args:
            texts: List of B strings.

        Returns:
            List of B lists of integers.
        """
        texts = check_texts(texts, "texts")
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def decode(self, ids):
        """Texts of token ids, without special tokens.

        Args:
            ids: Integers `(B, L)`, an array, a tensor, or B lists of any lengths.

        Returns:
            List of B strings.

        Raises:
            ValueError: The ids are not integers `(B, L)`, or one is none of ours.
        """
        rows = [self._check(row) for row in integer_rows(ids)]
        return self._tokenizer.decode_batch(rows, skip_special_tokens=True)

    def tokens(self, ids):
        """The tokens that ids stand for, special ones included.

        Args:
            ids: As for `decode`.

        Returns:
            List of B lists of strings.
        """
        rows = [self._check(row) for row in integer_rows(ids)]
        return [[self._tokenizer.id_to_token(i) for i in row] for row in rows]

    def _check(self, row):
        for i in row:
            if self._tokenizer.id_to_token(i) is None:
                raise ValueError(
                    f"Token ids must be from 0 to {len(self) - 1}. Received: {i}. They "
                    "come from a model with another vocabulary."
                )
        return row

    def save(self, folder):
        """Writes `tokenizer.json` and `tokenizer_config.json`.

        Args:
            folder: An existing folder. Existing files are replaced.
        """
        folder = pathlib.Path(folder)
        text = json.dumps(json.loads(self._json), indent=2, ensure_ascii=False)
        replace_file(folder / TOKENIZER, text.encode())
        settings = json.dumps(self._settings, indent=2)
        replace_file(folder / SETTINGS, settings.encode())

    def get_config(self):
        return {
            "json": self._json,
            "settings": dict(self._settings),
            "has_segments": self.has_segments,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


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
            found = _read_json(path)
            settings.update({k: v for k, v in found.items() if k in KEPT})
    return settings


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(
            f"{path} is not JSON: {error}. Copy or download it again."
        ) from None


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
        return PublishedTokenizer(text, settings, has_segments=True)
    if (folder / "vocab.txt").is_file():
        lines = (folder / "vocab.txt").read_text(encoding="utf-8").split("\n")
        return word_piece_tokenizer(
            [line.rstrip("\r") for line in lines if line.strip()],
            lowercase=settings.get("do_lower_case", True),
            settings=settings,
        )
    return None


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
    tokenizers = _import_tokenizers()
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
    return PublishedTokenizer(tokenizer.to_str(), settings, has_segments=True)


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
        return PublishedTokenizer(text, settings)
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
    return byte_pair_tokenizer(_read_json(folder / "vocab.json"), merges, settings)


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
    tokenizers = _import_tokenizers()
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
    return PublishedTokenizer(tokenizer.to_str(), settings)


def _import_tokenizers():
    return import_package("tokenizers", "tokenizers", "text", "Reading a tokenizer")
