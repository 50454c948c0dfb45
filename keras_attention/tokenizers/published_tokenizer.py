"""The tokenizers that published checkpoints bring along, by the library tokenizers.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import functools
import json
import operator
import pathlib

import keras
import numpy as np

from keras_attention.checks import check_choice
from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.tokenizers.vocabulary import check_texts
from keras_attention.tokenizers.vocabulary import integer_rows
from keras_attention.tokenizers.vocabulary import read_strings
from keras_attention.tokenizers.vocabulary import shorten

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
OURS = "keras_attention"  # in it, what is no setting of a published tokenizer
STRATEGIES = {
    True: "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
}


@keras.saving.register_keras_serializable("keras_attention")
class PublishedTokenizer:
    """Turns texts into token ids and back, exactly as a published model was trained.

    `BERT.from_preset` and `GPT2.from_preset` make one from the files of a checkpoint;
    it is `model.tokenizer`, and saved with the model. Called, it gives the inputs of
    the model, also as the `collate_fn` of a torch `DataLoader`.

    Args:
        json: What a `tokenizer.json` holds, as a string.
        settings: Dict with what `tokenizer_config.json` holds, as far as it counts
            here: the texts of the special tokens, `pad_token` and others.
        has_segments: Whether inputs have `segment_ids`.
        max_length: Most tokens of a text, special tokens included, where a call says
            nothing else. By default there is no limit but that of the model.
        truncate: Whether longer texts are cut instead of refused, where a call says
            nothing else; see `__call__`. Both are attributes that may be set.

    Raises:
        ValueError: `json` is not the text of a tokenizer.
        ImportError: The package tokenizers is not installed.

    Example:

    >>> from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s"]
    >>> tokenizer = word_piece_tokenizer(words)
    >>> inputs = tokenizer(["The dogs", "dog"])
    >>> inputs["token_ids"].tolist()
    [[2, 5, 6, 7, 3], [2, 6, 3, 0, 0]]
    >>> tokenizer.decode(inputs["token_ids"])
    ['the dogs', 'dog']
    """

    def __init__(
        self, json, settings=None, has_segments=False, max_length=None, truncate=False
    ):
        tokenizers = import_tokenizers()
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
        self.max_length, self.truncate = max_length, truncate
        self._cutting = {}

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

    def __call__(
        self,
        texts,
        pairs=None,
        max_length=None,
        truncate=None,
        padded_length=None,
        return_offsets=False,
        return_word_ids=False,
    ):
        """The inputs of a model for texts, or for pairs of texts.

        Args:
            texts: List or array of B strings, or a list of B lists of words.
            pairs: The same, the second text of each pair.
            max_length: Most tokens, special tokens included. By default that of the
                tokenizer.
            truncate: Whether what is longer is cut instead of refused. Of pairs True
                cuts the longer text, token by token; `"only_first"` and
                `"only_second"` cut one of them. By default as the tokenizer does.
            padded_length: L. By default the `max_length` of this call, or else the
                length of the longest.
            return_offsets: Also return which characters each token stands for.
            return_word_ids: Also return which word each token belongs to.

        Returns:
            Dict with `token_ids`, int32 `(B, L)`, `padding_mask`, boolean `(B, L)`,
            and, where the model has them, `segment_ids`, int32 `(B, L)`. If asked with
            `offsets`, int32 `(B, L, 2)`: the place of a token's first character in its
            text or word and the place after its last, both 0 for special tokens; and
            `sequence_ids`, int32 `(B, L)`: 0 for the first text of a pair, 1 for the
            second, -1 for special tokens. And `word_ids`, int32 `(B, L)`, -1 for
            special tokens.

        Raises:
            ValueError: A text is not a string or too long, or there are not as many
                pairs as texts.
        """
        found = self._encode(texts, pairs, max_length, truncate)
        longest = max(len(encoding.ids) for encoding in found)
        length = longest if max_length is None else max_length
        if padded_length is not None:
            length = max(operator.index(padded_length), longest)
        shape = len(found), length
        token_ids = np.full(shape, self.padding_id, "int32")
        padding_mask = np.zeros(shape, "bool")
        segment_ids = np.zeros(shape, "int32")
        offsets = np.zeros((*shape, 2), "int32")
        sequence_ids, word_ids = np.full((2, *shape), -1, "int32")
        for i, encoding in enumerate(found):
            size = len(encoding.ids)
            token_ids[i, :size] = encoding.ids
            padding_mask[i, :size] = True
            segment_ids[i, :size] = encoding.type_ids
            if return_offsets:
                offsets[i, :size] = np.reshape(encoding.offsets, (size, 2))
                sequence_ids[i, :size] = _numbers(encoding.sequence_ids)
            if return_word_ids:
                word_ids[i, :size] = _numbers(encoding.word_ids)
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self.has_segments:
            inputs["segment_ids"] = segment_ids
        if return_offsets:
            inputs["offsets"], inputs["sequence_ids"] = offsets, sequence_ids
        if return_word_ids:
            inputs["word_ids"] = word_ids
        return inputs

    def count_tokens(self, texts, pairs=None, max_length=None, truncate=None):
        """How many tokens texts have, special tokens included.

        Args:
            texts: As in `__call__`.
            pairs: As in `__call__`.
            max_length: As in `__call__`.
            truncate: As in `__call__`.

        Returns:
            int32 array `(B,)`.

        Raises:
            ValueError: As in `__call__`.
        """
        counts = []
        for begin in range(0, len(texts), 10_000):  # not all encodings at once
            rows = slice(begin, begin + 10_000)
            found = self._encode(
                texts[rows],
                None if pairs is None else pairs[rows],
                max_length,
                truncate,
                begin,
            )
            counts.extend(len(encoding.ids) for encoding in found)
        return np.array(counts, "int32")

    def _encode(self, texts, pairs, max_length, truncate, first=0):
        """The encodings of texts, of which the first has the number `first`."""
        if max_length is None:
            max_length = self.max_length
        truncate = self.truncate if truncate is None else truncate
        texts, pairs = read_strings(texts), read_strings(pairs)
        check_choice((False, *STRATEGIES), truncate=truncate)
        is_words = isinstance(texts, list | tuple) and isinstance(
            next(iter(texts), None), list | tuple
        )
        check = check_words if is_words else check_texts
        texts = inputs = check(texts, "texts")
        if pairs is not None:
            pairs = check(pairs, "pairs")
            if len(pairs) != len(texts):
                raise ValueError(
                    "`pairs` must hold the second text of each pair. Received: "
                    f"{len(texts)} texts and {len(pairs)} pairs."
                )
            inputs = list(zip(texts, pairs, strict=True))
        tokenizer = self._tokenizer
        if max_length is not None:
            max_length = operator.index(max_length)
            if truncate:
                tokenizer = self._cutting_at(max_length, truncate, pairs is not None)
        try:
            found = tokenizer.encode_batch(inputs, is_pretokenized=is_words)
        except Exception as error:  # tokenizers raises nothing more precise
            raise ValueError(
                f"The texts cannot be cut to max_length={max_length} with truncate="
                f"{truncate!r}: {error}. Cut with truncate=True, or raise `max_length`."
            ) from None
        lengths = [len(encoding.ids) for encoding in found]
        if max_length is not None and max(lengths) > max_length:
            i = next(i for i, length in enumerate(lengths) if length > max_length)
            raise ValueError(
                f"Text {first + i} needs {lengths[i]} tokens, more than max_length="
                f"{max_length}: {shorten(texts[i])}. The longest needs {max(lengths)}. "
                "Raise `max_length`, or cut with truncate=True."
            )
        return found

    def _cutting_at(self, max_length, truncate, has_pairs):
        """Another tokenizer: to cut texts is a setting of one, not of a call."""
        if truncate == "only_second" and not has_pairs:
            raise ValueError(
                'truncate="only_second" cuts the second text of each pair. Received no '
                "`pairs`. Pass truncate=True."
            )
        special = self._tokenizer.num_special_tokens_to_add(has_pairs)
        if max_length <= special:
            raise ValueError(
                f"`max_length` must be more than {special}, the number of special "
                f"tokens. Received: max_length={max_length}."
            )
        key = max_length, STRATEGIES[truncate]
        if key not in self._cutting:
            tokenizer = import_tokenizers().Tokenizer.from_str(self._json)
            tokenizer.enable_truncation(max_length, strategy=STRATEGIES[truncate])
            self._cutting[key] = tokenizer
        return self._cutting[key]

    def encode(self, texts, max_length=None, truncate=None):
        """Token ids of texts, special tokens included.

        Args:
            texts: List of B strings.
            max_length: L. That of the longest text by default.
            truncate: Whether texts that are too long are cut; see `__call__`.

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
        limits = {"max_length": self.max_length, "truncate": self.truncate}
        settings = json.dumps({**self._settings, OURS: limits}, indent=2)
        replace_file(folder / SETTINGS, settings.encode())

    def get_config(self):
        return {
            "json": self._json,
            "settings": dict(self._settings),
            "has_segments": self.has_segments,
            "max_length": self.max_length,
            "truncate": self.truncate,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def check_words(texts, name):
    """The texts as lists of words; refuses what is something else."""
    for i, words in enumerate(texts):
        is_list = isinstance(words, list | tuple)
        if not is_list or not all(isinstance(word, str) for word in words):
            raise ValueError(
                f"`{name}` must all be lists of words, as the first is. Received "
                f"{shorten(words)} at position {i}."
            )
    return [list(words) for words in texts]


def import_tokenizers():
    return import_package("tokenizers", "tokenizers", "text", "Reading a tokenizer")


def _numbers(ids):
    """Numbers of words or texts, -1 for what belongs to none."""
    return [-1 if number is None else number for number in ids]
