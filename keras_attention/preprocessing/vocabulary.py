"""Words and their numbers, for models that read or write captions.

Letters for axes: B captions, L tokens of a caption, padding included.
"""

import collections
import functools
import operator
import os
import re
import unicodedata

import keras
import numpy as np

from keras_attention.preprocessing.files import replace_file

PAD = "[pad]"
START = "[start]"
END = "[end]"
UNKNOWN = "[unk]"
SPECIAL_TOKENS = (PAD, START, END, UNKNOWN)
PAD_ID, START_ID, END_ID, UNKNOWN_ID = range(4)

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


@keras.saving.register_keras_serializable("keras_attention")
class Vocabulary:
    """Turns captions into token ids and back, one id a word.

    Ids 0 to 3 are `[pad]`, `[start]`, `[end]` and `[unk]`, then come the words in the
    order given. Captions are split by `split_words`.

    Args:
        words: List of distinct words, as `split_words` gives them.

    Raises:
        ValueError: A word is empty, repeated, a special token, or could never be
            found because a caption is not split into such a word.

    Example:

    >>> vocabulary = Vocabulary(["cat", "black", "white"])
    >>> token_ids = vocabulary.encode(["Black cat", "red cat"])
    >>> token_ids.tolist()
    [[1, 5, 4, 2], [1, 3, 4, 2]]
    >>> vocabulary.decode(token_ids)
    ['black cat', '[unk] cat']
    """

    def __init__(self, words):
        if isinstance(words, str):
            raise ValueError(
                f"`words` must be a list of words. Received the string {words!r}. "
                "To build a vocabulary from text, use `Vocabulary.from_captions`."
            )
        words = [str(word) if isinstance(word, str) else word for word in words]
        check_words(words)
        self._words = words
        self._tokens = [*SPECIAL_TOKENS, *words]
        self._ids = {word: i for i, word in enumerate(self._tokens)}

    @classmethod
    def from_captions(cls, captions, max_size=None, min_count=1):
        """Collects the words of captions, the most frequent first.

        Words equally frequent are in alphabetical order, so that the same captions
        in another order give the same vocabulary.

        Args:
            captions: List of strings.
            max_size: Most entries to keep, the four special tokens included: the
                width of a model's output. All by default.
            min_count: Leaves out words that occur less often than this.

        Returns:
            A `Vocabulary`.

        Raises:
            ValueError: The captions are no list of strings, one has no word, or
                nothing is left.

        Example:

        >>> Vocabulary.from_captions(["a cat", "a dog", "a cat"]).words
        ['a', 'cat', 'dog']
        """
        if max_size is not None and operator.index(max_size) <= len(SPECIAL_TOKENS):
            raise ValueError(
                f"`max_size` must be more than {len(SPECIAL_TOKENS)}, as the special "
                f"tokens {', '.join(SPECIAL_TOKENS)} count. "
                f"Received: max_size={max_size}"
            )
        counts = collections.Counter()
        for words in split_captions(captions):
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
        return cls(kept)

    @property
    def words(self):
        """The words in the order of their ids, without the special tokens."""
        return list(self._words)

    def __len__(self):
        return len(self._tokens)

    def __contains__(self, word):
        return word in self._ids and word not in SPECIAL_TOKENS

    def __eq__(self, other):
        return isinstance(other, Vocabulary) and self._words == other._words

    def __hash__(self):
        return hash(tuple(self._words))

    def __repr__(self):
        return f"<Vocabulary of {len(self._words)} words and 4 special tokens>"

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
        split = split_captions(captions)
        longest = max(len(words) for words in split) + 2
        if max_length is None:
            max_length = longest
        max_length = operator.index(max_length)
        if max_length < 3:
            raise ValueError(
                "`max_length` must be at least 3: [start], a word, [end]. "
                f"Received: max_length={max_length}"
            )
        if longest > max_length and not truncate:
            i = next(i for i, ws in enumerate(split) if len(ws) + 2 > max_length)
            raise ValueError(
                f"Caption {i} needs {len(split[i]) + 2} tokens with [start] and "
                f"[end], more than max_length={max_length}: {captions[i]!r}. The "
                f"longest needs {longest}. Raise `max_length`, or cut with "
                "truncate=True."
            )
        token_ids = np.full((len(split), max_length), PAD_ID, "int32")
        for row, words in zip(token_ids, split, strict=True):
            words = words[: max_length - 2]
            row[0] = START_ID
            row[1 : len(words) + 1] = [self._ids.get(w, UNKNOWN_ID) for w in words]
            row[len(words) + 1] = END_ID
        return token_ids

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
        return [self._decode_row(row) for row in integer_rows(ids)]

    def _decode_row(self, row):
        words = []
        for i in row:
            if not 0 <= i < len(self):
                raise ValueError(
                    f"Token ids must be from 0 to {len(self) - 1}. Received: {i}. "
                    "They come from a model with another vocabulary."
                )
            if i == END_ID:
                break
            if i not in (PAD_ID, START_ID):
                words.append(self._tokens[i])
        # A space, except between two characters of a script without spaces.
        return re.sub(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", " ".join(words))

    def save(self, path):
        """Writes the tokens to a text file, one a line, the four special ones first.

        Args:
            path: Name of the file, in UTF-8. An existing file is replaced.
        """
        text = "".join(f"{token}\n" for token in self._tokens)
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
        head = tuple(lines[: len(SPECIAL_TOKENS)])
        if head != SPECIAL_TOKENS:
            raise ValueError(
                f"{path!r} is not a vocabulary: its first lines must be "
                f"{', '.join(SPECIAL_TOKENS)}. Received: {shorten(head)}. Write it "
                "with `Vocabulary.save`."
            )
        try:
            return cls(lines[len(SPECIAL_TOKENS) :])
        except ValueError as error:
            raise ValueError(f"{path!r} is not a vocabulary: {error}") from None

    def get_config(self):
        return {"words": self.words}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def shorten(value, length=80):
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


def check_words(words):
    if not words:
        raise ValueError("A vocabulary needs at least one word. Received none.")
    seen = {}
    for i, word in enumerate(words):
        where = f"Received {shorten(word)} as word {i} (id {i + len(SPECIAL_TOKENS)})."
        if not isinstance(word, str):
            raise ValueError(f"Words must be strings. {where}")
        if not word.strip():
            raise ValueError(f"Words must not be empty. {where}")
        if word in SPECIAL_TOKENS:
            raise ValueError(
                f"Words must not be special tokens, which are there already. {where}"
            )
        if word in seen:
            raise ValueError(
                f"Words must be distinct. {where} It is also word {seen[word]}."
            )
        split = split_words(word)
        if split != [word]:
            raise ValueError(
                "Words must be such as captions are split into, or they are never "
                f"found. {where} It is split into {shorten(split)}."
            )
        seen[word] = i


def split_captions(captions):
    if isinstance(captions, str):
        raise ValueError(
            f"`captions` must be a list of strings. Received the string "
            f"{shorten(captions)}. Put one caption in a list: [caption]."
        )
    split = []
    for i, caption in enumerate(captions):
        if not isinstance(caption, str):
            raise ValueError(
                "`captions` must be strings. Received "
                f"{type(caption).__name__} {shorten(caption)} at position {i}."
            )
        words = split_words(caption)
        if not words:
            raise ValueError(
                f"Caption {i} has no word. Received: {shorten(caption)}. "
                "Leave it out, with its image."
            )
        split.append(words)
    if not split:
        raise ValueError("`captions` must hold at least one caption. Received none.")
    return split


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
