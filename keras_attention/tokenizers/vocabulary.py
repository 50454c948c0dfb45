"""Words and their numbers, for models that read or write text.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import collections
import operator
import os
import re

import keras

from keras_attention.files import replace_file
from keras_attention.tokenizers.texts import check_texts
from keras_attention.tokenizers.texts import read_strings as read_strings
from keras_attention.tokenizers.texts import rows_of_text
from keras_attention.tokenizers.texts import shorten
from keras_attention.tokenizers.tokenizer import Tokenizer
from keras_attention.tokenizers.word_layout import save_published
from keras_attention.tokenizers.words import locate_units
from keras_attention.tokenizers.words import split_text
from keras_attention.tokenizers.words import split_words as split_words
from keras_attention.tokenizers.words import SPLITS
from keras_attention.tokenizers.words import UNSPACED

PAD = "[pad]"
START = "[start]"
END = "[end]"
UNKNOWN = "[unk]"
SPECIAL_TOKENS = (PAD, START, END, UNKNOWN)
PAD_ID, START_ID, END_ID, UNKNOWN_ID = range(4)

# Name of its file in a folder.
VOCABULARY = "vocabulary.txt"


@keras.saving.register_keras_serializable("keras_attention")
class Vocabulary(Tokenizer):
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

    @property
    def padding_id(self):
        """The id of `[pad]`."""
        return PAD_ID

    @property
    def start_id(self):
        """The id of `[start]`."""
        return START_ID

    @property
    def end_id(self):
        """The id of `[end]`."""
        return END_ID

    @property
    def unknown_id(self):
        """The id of `[unk]`."""
        return UNKNOWN_ID

    @property
    def noun(self):
        return noun_of(self._split)

    def _rows(self, texts):
        return [
            [self._ids.get(word, UNKNOWN_ID) for word in words]
            for words in split_captions(texts, self._split)
        ]

    def _spans(self, texts):
        split_captions(texts, self._split)
        return [locate_units(text, self._split) for text in texts]

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
        return [
            [self._tokens[i] for i in row]
            for row in rows_of_text(ids, len(self), END_ID, (PAD_ID, START_ID))
        ]

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
        split into words. In a folder it is `vocabulary.txt`, and beside it stand
        `tokenizer.json` and `tokenizer_config.json` for other libraries.

        Args:
            path: Name of the file, in UTF-8, or an existing folder. An existing file is
                replaced.
        """
        if os.path.isdir(path):
            save_published(self, path)
            path = os.path.join(path, VOCABULARY)
        head = [] if self._split == "words" else [f"[split {self._split}]"]
        text = "".join(f"{token}\n" for token in [*head, *self._tokens])
        replace_file(path, text.encode())

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Args:
            path: Name of the file, or of the folder.

        Returns:
            A `Vocabulary`.

        Raises:
            ValueError: The file is not a vocabulary.
        """
        path = os.fspath(path)
        if os.path.isdir(path):
            path = os.path.join(path, VOCABULARY)
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
    captions = check_texts(captions, "captions")
    for i, caption in enumerate(captions):
        words = split_text(caption, split)
        if not words:
            raise ValueError(
                f"{noun_of(split)} {i} has no word. Received: {shorten(caption)}. "
                "Leave it out, with its image or its translation."
            )
        rows.append(words)
    return rows
