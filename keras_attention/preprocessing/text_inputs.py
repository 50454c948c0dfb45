"""Models that read texts: from strings to token ids, and from words to labels.

Letters for axes: n texts, B of them in a batch, T tokens.
"""

import numpy as np

from keras_attention.preprocessing.raw_inputs import RawInputs
from keras_attention.preprocessing.vocabulary import read_strings
from keras_attention.preprocessing.vocabulary import shorten


class TextInputs(RawInputs):
    """Lets `fit`, `evaluate` and `predict` take texts.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` set

    - `tokenizer`: a `PublishedTokenizer`, or `None`;
    - `max_length`: the most tokens that the model reads;
    - `head`: what follows the encoder;
    - `class_names`: names of the classes, or `None`.

    Texts are a list of strings. Pairs of texts are a tuple of two such lists, a dict
    with `texts` and `pairs`, or a list of tuples. A text may be a list of words.

    A text with more than `max_length` tokens is refused. With `tokenizer.truncate =
    True` it is cut, in `fit` as in `predict`, after `tokenizer.max_length` tokens where
    that is set.
    """

    def read_raw(self, x):
        """The texts or pairs in what `fit` received.

        Args:
            x: Texts, pairs of texts, or prepared inputs.

        Returns:
            List of n strings, lists of words, or tuples of two of these; `None` for
            prepared inputs.

        Raises:
            ValueError: One is no text, or the model has no tokenizer.
        """
        examples = read_texts(x, self.head)
        if examples and self.tokenizer is None:
            raise ValueError(
                f"{type(self).__name__} was built without a tokenizer, so it reads "
                f"token ids. Received texts, such as {shorten(examples[0])}. Load it "
                "from a folder with the files of its tokenizer, or pass `tokenizer`."
            )
        return examples

    def raw_lengths(self, examples):
        """The number of tokens of each text or pair, special tokens included.

        Args:
            examples: As from `read_raw`.

        Returns:
            Integers `(n,)`.

        Raises:
            ValueError: A text is too long.
        """
        lengths = self.tokenizer.count_tokens(*split_pairs(examples), **self._limits())
        if lengths.max() > self.max_length:
            i = int(np.argmax(lengths > self.max_length))
            raise ValueError(
                f"Text {i} needs {lengths[i]} tokens, and this model reads at most "
                f"{self.max_length}: {shorten(examples[i])}. The longest needs "
                f"{lengths.max()}. To cut them, set model.tokenizer.truncate = True."
            )
        return lengths

    def prepare(self, examples, length=None):
        """The inputs of the model for a batch.

        Args:
            examples: As from `read_raw`.
            length: T. By default that of the longest.

        Returns:
            Dict of arrays `(B, T)`.
        """
        return self._encode(examples, length)

    def _encode(self, examples, length, **options):
        options = {**options, **self._limits()}
        return self.tokenizer(*split_pairs(examples), padded_length=length, **options)

    def _limits(self):
        """How long a text may become, if it is to be cut."""
        if not self.tokenizer.truncate:
            return {}
        limit = self.tokenizer.max_length or self.max_length
        return {"max_length": min(limit, self.max_length)}


def read_texts(x, head=None):
    """The texts, or pairs of texts, of one argument.

    Args:
        x: Anything.
        head: The head of the model.

    Returns:
        List, or `None` where there are no strings.

    Raises:
        ValueError: Only some of it are texts.

    Example:

    >>> read_texts((["What?", "Who?"], ["That.", "She."]))
    [('What?', 'That.'), ('Who?', 'She.')]
    """
    x = read_strings(x)
    if isinstance(x, str):
        raise ValueError(
            f"Texts must be a list of strings. Received the string {shorten(x)}. Put "
            "one text in a list: [text]."
        )
    if isinstance(x, dict) and "texts" in x:
        if x.keys() - {"texts", "pairs"}:
            raise ValueError(
                "A dict of texts holds `texts`, and `pairs` for the second text of "
                f"each pair. Received: {', '.join(sorted(x))}."
            )
        x = (x["texts"], x["pairs"]) if "pairs" in x else read_strings(x["texts"])
    if not isinstance(x, list | tuple):
        return None
    if isinstance(x, tuple) and len(x) == 2 and head != "token_classification":
        columns = [read_strings(column) for column in x]
        if all(isinstance(column, list | tuple) for column in columns):
            x = _pair_up(*columns)
    if not any(_is_text(example) for example in x):
        return [] if len(x) == 0 else None
    kind = next((kind for kind in (tuple, list) if isinstance(x[0], kind)), str)
    for i, example in enumerate(x):
        if not _is_text(example) or not isinstance(example, kind):
            raise ValueError(
                "Texts must be strings, lists of words, or tuples of two texts, all of "
                f"one kind. Received {shorten(example)} at position {i}."
            )
    return list(x)


def _pair_up(texts, pairs):
    if len(texts) != len(pairs):
        raise ValueError(
            "Each text needs the second text of its pair. Received: "
            f"{len(texts)} texts and {len(pairs)} pairs."
        )
    return list(zip(texts, pairs, strict=True))


def _is_text(example):
    """Whether it is a string, a list of words, or a pair of texts."""
    if isinstance(example, tuple):
        return len(example) == 2 and all(map(_is_text, example))
    is_words = isinstance(example, list)
    return isinstance(example, str) or (
        is_words and all(isinstance(word, str) for word in example)
    )


def split_pairs(examples):
    """The first texts, and the second ones or `None`."""
    if not isinstance(examples[0], tuple):
        return examples, None
    return tuple(map(list, zip(*examples, strict=True)))
