"""What every tokenizer can do: the methods that models and data sets call.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import abc
import operator

import numpy as np

from keras_attention.tokenizers.texts import cut_rows


class Tokenizer(abc.ABC):
    """Turns texts into token ids and back.

    Abstract: `Vocabulary`, `SubwordTokenizer`, `MarianTokenizer` and
    `PublishedTokenizer` derive from it, and `load_tokenizer` returns one of them. Each
    has, besides what follows,

    - `encode(texts, max_length=None, truncate=False)`: token ids, int32 `(B, L)`, with
      the special tokens and padding;
    - `decode(ids)`: a list of B strings;
    - `tokens(ids)`: a list of B lists of strings, one for each token;
    - `token_id_lists(texts)`: lists of ids without special tokens and padding;
    - `count(texts)`: how many tokens each text has, special ones included, `(B,)`;
    - `offsets(texts)`: which characters each token of `encode(texts)` stands for,
      int32 `(B, L, 2)`: the place of the first and that behind the last; both are 0 for
      special tokens and padding;
    - `len(tokenizer)`: how many ids there are, the highest and one;
    - `save(folder)`: writes the files that `load_tokenizer` reads, and `AutoTokenizer`
      of the library transformers, with the same ids.

    A class needs to define `_rows`, `_spans`, `decode`, `tokens`, `save` and `__len__`
    only, and the special ids that it has; the others are `None`.

    Example:

    >>> from keras_attention.tokenizers import Vocabulary
    >>> tokenizer = Vocabulary(["black", "cat"])
    >>> tokenizer.encode(["black cat", "cat"]).tolist()
    [[1, 4, 5, 2], [1, 5, 2, 0]]
    >>> tokenizer.offsets(["A black cat"])[0].tolist()
    [[0, 0], [0, 1], [2, 7], [8, 11], [0, 0]]
    >>> tokenizer.check_fits(5)
    Traceback (most recent call last):
        ...
    ValueError: The tokenizer has 6 token ids, from 0 to 5, and the table...
    """

    # Where padding stands: behind a text ("right") or before it ("left").
    padding_side = "right"
    # How a text is called in messages.
    noun = "Text"

    # The ids of special tokens.

    @property
    @abc.abstractmethod
    def padding_id(self):
        """The id of padding."""

    @property
    def start_id(self):
        """The id that begins a text, or `None`."""
        return None

    @property
    def end_id(self):
        """The id that ends a text, or `None`."""
        return None

    @property
    def unknown_id(self):
        """The id of what has no other, or `None`."""
        return None

    @property
    def mask_id(self):
        """The id of a masked token, or `None`."""
        return None

    @property
    def class_id(self):
        """The id of what stands for a text to be classified, or `None`."""
        return None

    @property
    def separator_id(self):
        """The id of what stands behind each text of a pair, or `None`."""
        return None

    @property
    def special_ids(self):
        """The ids of all special tokens, a sorted list."""
        ids = (
            self.padding_id,
            self.start_id,
            self.end_id,
            self.unknown_id,
            self.mask_id,
            self.class_id,
            self.separator_id,
        )
        return sorted({i for i in ids if i is not None})

    # What a class defines.

    @abc.abstractmethod
    def __len__(self):
        """How many ids there are."""

    @abc.abstractmethod
    def decode(self, ids):
        """Texts of token ids."""

    @abc.abstractmethod
    def tokens(self, ids):
        """The tokens that ids stand for."""

    @abc.abstractmethod
    def save(self, folder):
        """Writes the tokenizer into a folder."""

    @abc.abstractmethod
    def _rows(self, texts):
        """The ids of texts, which are checked here, without special tokens: lists."""

    @abc.abstractmethod
    def _spans(self, texts):
        """For each of these ids the place of its first character and behind it."""

    @property
    def _around(self):
        """The ids before a text and those behind it, two lists."""
        return [self.start_id], [self.end_id]

    # What follows from it.

    def encode(self, texts, max_length=None, truncate=False):
        """Token ids of texts, with special tokens and padding.

        What the tokenizer does not know gets the id `unknown_id`.

        Args:
            texts: List of B strings.
            max_length: L, special tokens included. That of the longest text by default.
            truncate: Cut texts that are too long (they keep their special tokens)
                instead of refusing them.

        Returns:
            int32 array `(B, L)`.

        Raises:
            ValueError: A text is not a string, is empty, or is too long.
        """
        rows = self._rows(texts)
        rows = cut_rows(rows, texts, *self._around, max_length, truncate, self.noun)
        return self.pad(rows, max_length)

    def token_id_lists(self, texts):
        """Token ids of texts as they are: no special tokens, no padding.

        Args:
            texts: List of B strings.

        Returns:
            List of B lists of integers.
        """
        return self._rows(texts)

    def count(self, texts):
        """How many tokens texts have, special tokens included.

        Args:
            texts: List of B strings.

        Returns:
            int32 array `(B,)`.

        Raises:
            ValueError: A text is not a string or is empty.
        """
        special = sum(map(len, self._around))
        return np.array([len(row) + special for row in self._rows(texts)], "int32")

    def offsets(self, texts, max_length=None, truncate=False):
        """Which characters each token of `encode` stands for.

        Args:
            texts: As for `encode`.
            max_length: As for `encode`.
            truncate: As for `encode`.

        Returns:
            int32 array `(B, L, 2)`: the place of a token's first character in its text
            and that behind its last, both 0 for special tokens and padding.

        Raises:
            ValueError: A text is not a string, is empty, or is too long.
        """
        around = [[(0, 0)] * len(ids) for ids in self._around]
        rows = self._spans(texts)
        rows = cut_rows(rows, texts, *around, max_length, truncate, self.noun)
        length = max(map(len, rows)) if max_length is None else max_length
        offsets = np.zeros((len(rows), length, 2), "int32")
        for found, row in zip(offsets, rows, strict=True):
            found[: len(row)] = row
        return offsets

    def pad(self, rows, length=None):
        """Rows of token ids as one array.

        Args:
            rows: List of B lists of integers.
            length: L. That of the longest row by default.

        Returns:
            int32 array `(B, L)`, with `padding_id` on the `padding_side` of each row.

        Raises:
            ValueError: A row is longer than `length`.

        Example:

        >>> from keras_attention.tokenizers import Vocabulary
        >>> Vocabulary(["cat"]).pad([[4, 2], [4]], length=3).tolist()
        [[4, 2, 0], [4, 0, 0]]
        """
        longest = max(map(len, rows), default=0)
        length = longest if length is None else operator.index(length)
        if longest > length:
            raise ValueError(
                f"`length` must be at least that of the longest row, {longest}. "
                f"Received: length={length}. Cut the rows, or raise it."
            )
        token_ids = np.full((len(rows), length), self.padding_id, "int32")
        for padded, row in zip(token_ids, rows, strict=True):
            padded[self._place(len(row), length)] = row
        return token_ids

    def _place(self, size, length):
        """Where so many tokens stand among padding."""
        begin = length - size if self.padding_side == "left" else 0
        return slice(begin, begin + size)

    def check_fits(self, vocabulary_size):
        """Refuses a model whose table of tokens does not hold all ids.

        Without a row in the table, an id means another token on one backend, and NaN on
        another. Rows without an id do no harm.

        Args:
            vocabulary_size: Rows of the table.

        Raises:
            ValueError: There are fewer rows than ids.
        """
        if len(self) > vocabulary_size:
            raise ValueError(
                f"The tokenizer has {len(self)} token ids, from 0 to {len(self) - 1}, "
                f"and the table of the model {vocabulary_size} rows, so that the "
                "last ids have none. Load the tokenizer that the model was trained "
                "with, or build the model with a larger `vocabulary_size`."
            )


def check_tokenizer(tokenizer):
    """Refuses what is no tokenizer of ours.

    Args:
        tokenizer: The tokenizer of a model.

    Raises:
        ValueError: It is something else.

    Example:

    >>> check_tokenizer("bert-base-cased")
    Traceback (most recent call last):
        ...
    ValueError: `tokenizer` must be a `Tokenizer` of `keras_attention.tokenizers`.
    Received: str. Read one from a folder by `load_tokenizer`, or make one of KerasHub's
    by `from_keras_hub`.
    """
    if not isinstance(tokenizer, Tokenizer):
        raise ValueError(
            "`tokenizer` must be a `Tokenizer` of `keras_attention.tokenizers`. "
            f"Received: {type(tokenizer).__name__}. Read one from a folder by "
            "`load_tokenizer`, or make one of KerasHub's by `from_keras_hub`."
        )
