"""Words and their numbers, for models that read or write text.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import collections
import functools
import operator
import os
import re
import unicodedata

import keras
import numpy as np

from keras_attention.files import replace_file

PAD = "[pad]"
START = "[start]"
END = "[end]"
UNKNOWN = "[unk]"
SPECIAL_TOKENS = (PAD, START, END, UNKNOWN)
PAD_ID, START_ID, END_ID, UNKNOWN_ID = range(4)

# How a text is split into the units that have an id.
SPLITS = ("words", "characters", "spaces")

# Chinese characters and Japanese kana: written without spaces, so each is a word.
UNSPACED = "\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"

# The same as `word_pattern` on ASCII, four times as fast.
ASCII_WORD = re.compile("[a-z0-9]+(?:[-'.][a-z0-9]+)*|[#*&+%$@=]")


@functools.cache
def word_pattern():
    # `\w` leaves out the marks that combine with a letter (accents written apart,
    # vowels of Arabic or Hindi): a word keeps them. All of them lie below U+20000.
    marks = "".join(
        chr(code)
        for code in range(0x20000)
        if unicodedata.category(chr(code)).startswith("M")
    )
    letter = f"(?:[^\\W_{UNSPACED}]|[{marks}])"
    # Inside a word: hyphens, the apostrophe, a point and the (non-)joiners.
    inside = "[-\u2010\u2011'.\u200c\u200d]"
    return re.compile(f"[{UNSPACED}]|{letter}+(?:{inside}{letter}+)*|[#*&+%$€£@=]")


def split_words(caption):
    """Splits a caption into its words, in lower case.

    A word is a run of letters and digits. Hyphens, apostrophes and points inside it
    belong to it (`medium-dark`, `o'clock`, `u.s`), and the signs `# * & + % $ € £ @ =`
    are words of their own; other punctuation is dropped. A Chinese or Japanese
    character is one word. The same letter written in two ways (`é` as one character
    or as `e` with a combining accent, `’` or `'`) gives the same word.

    Args:
        caption: A string.

    Returns:
        List of strings, empty when there is no word.

    Example:

    >>> split_words("A woman's hand, medium-dark (10 o’clock)!")
    ['a', "woman's", 'hand', 'medium-dark', '10', "o'clock"]
    """
    if caption.isascii():
        return ASCII_WORD.findall(caption.lower())
    text = unicodedata.normalize("NFC", caption).lower().replace("\u2019", "'")
    return word_pattern().findall(unicodedata.normalize("NFC", text))


def split_text(text, split):
    """Splits a text into units.

    Args:
        text: A string.
        split: `"words"`, `"characters"` or `"spaces"`, see `Vocabulary`.

    Returns:
        List of strings.
    """
    if split == "words":
        return split_words(text)
    text = unicodedata.normalize("NFC", text)
    return list(text) if split == "characters" else text.split()


@keras.saving.register_keras_serializable("keras_attention")
class Vocabulary:
    """Turns captions and other texts into token ids and back, one id a word.

    Ids 0 to 3 are `[pad]`, `[start]`, `[end]` and `[unk]`, then come the words in the
    order given.

    Args:
        words: List of distinct words, as the split gives them.
        split: How a text is split:

            - `"words"`: into words in lower case, by `split_words`;
            - `"characters"`: each character is a unit, the space too;
            - `"spaces"`: what stands between spaces is a unit, as it is written, for
              symbols such as phonemes or for text that is split already.

    Raises:
        ValueError: `split` is none of these, or a word is empty, repeated, a special
            token, or could never be found because no text is split into such a word.

    Example:

    >>> vocabulary = Vocabulary(["cat", "black", "white"])
    >>> token_ids = vocabulary.encode(["Black cat", "red cat"])
    >>> token_ids.tolist()
    [[1, 5, 4, 2], [1, 3, 4, 2]]
    >>> vocabulary.decode(token_ids)
    ['black cat', '[unk] cat']
    >>> letters = Vocabulary(list("act"), split="characters")
    >>> letters.encode(["cat"]).tolist()
    [[1, 5, 4, 6, 2]]
    """

    def __init__(self, words, split="words"):
        if split not in SPLITS:
            raise ValueError(
                f"`split` must be one of {', '.join(map(repr, SPLITS))}. Received: "
                f"split={split!r}"
            )
        if isinstance(words, str):
            raise ValueError(
                f"`words` must be a list of words. Received the string {words!r}. "
                "To build a vocabulary from text, use `Vocabulary.from_captions`."
            )
        words = [str(word) if isinstance(word, str) else word for word in words]
        check_words(words, split)
        self._words, self._split = words, split
        self._tokens = [*SPECIAL_TOKENS, *words]
        self._ids = {word: i for i, word in enumerate(self._tokens)}

    @classmethod
    def from_captions(cls, captions, max_size=None, min_count=1, split="words"):
        """Collects the words of captions or other texts, the most frequent first.

        Words equally frequent are in alphabetical order, so that the same captions
        in another order give the same vocabulary.

        Args:
            captions: List of strings.
            max_size: Most entries to keep, the four special tokens included: the
                width of a model's output. All by default.
            min_count: Leaves out words that occur less often than this.
            split: How a text is split, see `Vocabulary`.

        Returns:
            A `Vocabulary`.

        Raises:
            ValueError: The captions are no list of strings, one has no word, or
                nothing is left.

        Example:

        >>> Vocabulary.from_captions(["a cat", "a dog", "a cat"]).words
        ['a', 'cat', 'dog']
        >>> Vocabulary.from_captions(["K AE1 T", "T UW1"], split="spaces").words
        ['T', 'AE1', 'K', 'UW1']
        """
        if max_size is not None and operator.index(max_size) <= len(SPECIAL_TOKENS):
            raise ValueError(
                f"`max_size` must be more than {len(SPECIAL_TOKENS)}, as the special "
                f"tokens {', '.join(SPECIAL_TOKENS)} count. "
                f"Received: max_size={max_size}"
            )
        counts = collections.Counter()
        for words in split_captions(captions, split):
            counts.update(words)
        kept = [word for word, count in counts.items() if count >= min_count]
        if not kept:
            raise ValueError(
                f"No word occurs min_count={min_count} times or more. Received "
                f"{len(counts)} distinct words. Lower `min_count`."
            )
        kept.sort(key=lambda word: (-counts[word], word))
        if max_size is not None:
            kept = kept[: max_size - len(SPECIAL_TOKENS)]
        return cls(kept, split)

    @property
    def words(self):
        """The words in the order of their ids, without the special tokens."""
        return list(self._words)

    @property
    def split(self):
        """How a text is split: `"words"`, `"characters"` or `"spaces"`."""
        return self._split

    def __len__(self):
        return len(self._tokens)

    def __contains__(self, word):
        return word in self._ids and word not in SPECIAL_TOKENS

    def __eq__(self, other):
        return (
            isinstance(other, Vocabulary)
            and self._words == other._words
            and self._split == other._split
        )

    def __hash__(self):
        return hash((self._split, *self._words))

    def __repr__(self):
        units = {"spaces": "symbols"}.get(self._split, self._split)
        return f"<Vocabulary of {len(self._words)} {units} and 4 special tokens>"

    def encode(self, captions, max_length=None, truncate=False):
        """Token ids of captions: `[start]`, the words, `[end]`, then padding.

        A word that the vocabulary does not hold becomes `[unk]`.

        Args:
            captions: List of B strings.
            max_length: L, `[start]` and `[end]` included. That of the longest
                caption by default.
            truncate: Cut captions that are too long (they keep their `[end]`)
                instead of refusing them.

        Returns:
            int32 array `(B, L)`.

        Raises:
            ValueError: A caption is not a string, has no word, or is too long.
        """
        rows = [
            [self._ids.get(word, UNKNOWN_ID) for word in words]
            for words in split_captions(captions, self._split)
        ]
        return pad_rows(rows, captions, max_length, truncate, noun_of(self._split))

    def decode(self, ids):
        """Captions of token ids, each up to its `[end]`.

        `[pad]` and `[start]` are left out; `[unk]` stays visible.

        Args:
            ids: Integers `(B, L)`, an array, a tensor, or B lists of any lengths.

        Returns:
            List of B strings.

        Raises:
            ValueError: The ids are not integers `(B, L)`, or one is none of ours.
        """
        return [self._join(words) for words in self.tokens(ids)]

    def tokens(self, ids):
        """The tokens that ids stand for, each text up to its `[end]`.

        Args:
            ids: As for `decode`.

        Returns:
            List of B lists of strings, without `[pad]`, `[start]` and `[end]`.
        """
        return [[self._tokens[i] for i in row] for row in rows_of_text(ids, len(self))]

    def _join(self, words):
        if self._split == "characters":
            return "".join(words)
        text = " ".join(words)
        if self._split == "spaces":
            return text
        # A space, except between two characters of a script without spaces.
        return re.sub(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", text)

    def save(self, path):
        """Writes the tokens to a text file, one a line, the four special ones first.

        Before them stands `[split characters]` or `[split spaces]`, unless texts are
        split into words.

        Args:
            path: Name of the file, in UTF-8. An existing file is replaced.
        """
        head = [] if self._split == "words" else [f"[split {self._split}]"]
        text = "".join(f"{token}\n" for token in [*head, *self._tokens])
        replace_file(path, text.encode())

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Args:
            path: Name of the file.

        Returns:
            A `Vocabulary`.

        Raises:
            ValueError: The file is not a vocabulary.
        """
        path = os.fspath(path)
        with open(path, "rb") as file:
            data = file.read()
        try:
            lines = data.decode("utf-8-sig").replace("\r\n", "\n").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{path!r} is not a vocabulary: it is not text in UTF-8 ({error})."
            ) from None
        if lines[-1] == "":
            lines.pop()
        split = "words"
        if lines and (found := re.fullmatch(r"\[split (\w+)\]", lines[0])):
            split = found[1]
            lines.pop(0)
        head = tuple(lines[: len(SPECIAL_TOKENS)])
        if head != SPECIAL_TOKENS:
            raise ValueError(
                f"{path!r} is not a vocabulary: its first lines must be "
                f"{', '.join(SPECIAL_TOKENS)}. Received: {shorten(head)}. Write it "
                "with `Vocabulary.save`."
            )
        try:
            return cls(lines[len(SPECIAL_TOKENS) :], split)
        except ValueError as error:
            raise ValueError(f"{path!r} is not a vocabulary: {error}") from None

    def get_config(self):
        return {"words": self.words, "split": self._split}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def shorten(value, length=80):
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def noun_of(split):
    return "Caption" if split == "words" else "Text"


def check_words(words, split="words"):
    if not words:
        raise ValueError("A vocabulary needs at least one word. Received none.")
    seen = {}
    for i, word in enumerate(words):
        where = f"Received {shorten(word)} as word {i} (id {i + len(SPECIAL_TOKENS)})."
        if not isinstance(word, str):
            raise ValueError(f"Words must be strings. {where}")
        if not word or (split != "characters" and not word.strip()):
            raise ValueError(f"Words must not be empty. {where}")
        if "\n" in word or "\r" in word:
            raise ValueError(f"Words must not hold the end of a line. {where}")
        if word in SPECIAL_TOKENS:
            raise ValueError(
                f"Words must not be special tokens, which are there already. {where}"
            )
        if word in seen:
            raise ValueError(
                f"Words must be distinct. {where} It is also word {seen[word]}."
            )
        parts = split_text(word, split)
        if parts != [word]:
            raise ValueError(
                "Words must be such as captions are split into, or they are never "
                f"found. {where} It is split into {shorten(parts)}."
            )
        seen[word] = i


def split_captions(captions, split="words"):
    rows = []
    captions = check_texts(captions)
    for i, caption in enumerate(captions):
        words = split_text(caption, split)
        if not words:
            raise ValueError(
                f"{noun_of(split)} {i} has no word. Received: {shorten(caption)}. "
                "Leave it out, with its image or its translation."
            )
        rows.append(words)
    return rows


def read_strings(x):
    """A list where an array, a column or a tensor holds strings.

    Args:
        x: Anything.

    Returns:
        List of strings, or `x` as it is.

    Example:

    >>> read_strings(np.array([b"caf\\xc3\\xa9"]))
    ['café']
    """
    dtype = getattr(x, "dtype", None)
    if getattr(dtype, "name", "") != "string" and getattr(dtype, "kind", "") not in (
        *"OSUT",
    ):
        return x
    return [
        part.decode() if isinstance(part, bytes) else part
        for part in np.asarray(x).tolist()
    ]


def check_texts(texts, name="captions"):
    """The texts as a list; refuses what is no list of strings, or an empty one."""
    if isinstance(texts, str):
        raise ValueError(
            f"`{name}` must be a list of strings. Received the string "
            f"{shorten(texts)}. Put one {name[:-1]} in a list: [{name[:-1]}]."
        )
    texts = list(texts)
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(
                f"`{name}` must be strings. Received "
                f"{type(text).__name__} {shorten(text)} at position {i}."
            )
    if not texts:
        raise ValueError(f"`{name}` must hold at least one {name[:-1]}. Received none.")
    return texts


def pad_rows(rows, texts, max_length, truncate, noun):
    """`[start]`, the ids of a text, `[end]` and padding, for each text.

    Args:
        rows: List of B lists of ids.
        texts: List of B strings, for the message.
        max_length: L, or None for the longest.
        truncate: Cut what is longer, instead of refusing.
        noun: How a text is called in the message.

    Returns:
        int32 array `(B, L)`.
    """
    longest = max(map(len, rows)) + 2
    if max_length is None:
        max_length = longest
    max_length = operator.index(max_length)
    if max_length < 3:
        raise ValueError(
            "`max_length` must be at least 3: [start], a word, [end]. "
            f"Received: max_length={max_length}"
        )
    if longest > max_length and not truncate:
        i = next(i for i, row in enumerate(rows) if len(row) + 2 > max_length)
        raise ValueError(
            f"{noun} {i} needs {len(rows[i]) + 2} tokens with [start] and "
            f"[end], more than max_length={max_length}: {shorten(texts[i])}. The "
            f"longest needs {longest}. Raise `max_length`, or cut with "
            "truncate=True."
        )
    token_ids = np.full((len(rows), max_length), PAD_ID, "int32")
    for padded, row in zip(token_ids, rows, strict=True):
        row = row[: max_length - 2]
        padded[: len(row) + 2] = [START_ID, *row, END_ID]
    return token_ids


def rows_of_text(ids, size):
    """The ids up to `[end]`, without `[pad]` and `[start]`, of each text."""
    rows = integer_rows(ids)
    for i in (i for row in rows for i in row):
        if not 0 <= i < size:
            raise ValueError(
                f"Token ids must be from 0 to {size - 1}. Received: {i}. "
                "They come from a model with another vocabulary."
            )
    rows = [row[: row.index(END_ID)] if END_ID in row else row for row in rows]
    return [[i for i in row if i not in (PAD_ID, START_ID)] for row in rows]


def integer_rows(ids):
    if not isinstance(ids, list | tuple):
        ids = keras.ops.convert_to_numpy(ids)
    rows = []
    for row in ids:
        row = np.asarray(
            row if isinstance(row, list | tuple) else keras.ops.convert_to_numpy(row)
        )
        if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
            raise ValueError(
                "`ids` must be integers of shape (B, L), one row a caption. Received "
                f"a row of shape {row.shape} and type {row.dtype}. Put the ids of one "
                "caption in a list: [ids]."
            )
        rows.append(row.tolist())
    return rows
