"""Texts as users pass them: strings, pairs, lists of words, texts with choices."""

import numpy as np

from keras_attention.tokenizers.vocabulary import read_strings
from keras_attention.tokenizers.vocabulary import shorten


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
            x = pair_up(*columns)
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


def pair_up(texts, pairs):
    """A list of tuples of two lists."""
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


def check_rows(name, ids, size):
    """Refuses ids that have no row in their table.

    JAX would take another row, PyTorch and TensorFlow fail far from here.

    Args:
        name: How they are called in the message.
        ids: An array, or anything else, which is not looked at.
        size: Number of rows, or `None`.

    Raises:
        ValueError: An id is negative, too large or no whole number.

    Example:

    >>> check_rows("token_ids", np.array([3, 12]), 10)
    Traceback (most recent call last):
        ...
    ValueError: `token_ids` must be from 0 to 9. Received: 3 to 12. Encode the texts...
    """
    if size is None or not isinstance(ids, np.ndarray) or not ids.size:
        return
    if ids.dtype.kind == "f" and (ids != np.floor(ids)).any():
        wrong = ids[ids != np.floor(ids)][0]
        raise ValueError(
            f"`{name}` must be whole numbers. Received: {wrong}. Pass token ids, not "
            "vectors of them."
        )
    low, high = ids.min(), ids.max()
    if low < 0 or high >= size:
        raise ValueError(
            f"`{name}` must be from 0 to {size - 1}. Received: {low} to {high}. Encode "
            "the texts with the tokenizer that the model was trained with."
        )


def split_pairs(examples):
    """The first texts, and the second ones or `None`."""
    if not isinstance(examples[0], tuple):
        return examples, None
    return tuple(map(list, zip(*examples, strict=True)))
