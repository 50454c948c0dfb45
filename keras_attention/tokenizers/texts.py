"""What is asked of texts and of token ids, whichever tokenizer reads them.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import operator

import keras
import numpy as np


def shorten(value, length=80):
    """What a value looks like, cut for a message.

    Args:
        value: Anything.
        length: Most characters.

    Example:

    >>> shorten("a" * 100, 8)
    "'aaaa..."
    """
    text = repr(value)
    return text if len(text) <= length else text[: length - 3] + "..."


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


def clean_up(text):
    """Takes out spaces as `clean_up_tokenization_spaces` asks, for English.

    Example:

    >>> clean_up("it 's a dog , is n't it ?")
    "it's a dog, isn't it?"
    """
    for end in (".", "?", "!", ","):
        text = text.replace(f" {end}", end)
    text = text.replace(" ' ", "'")
    for end in ("n't", "'m", "'s", "'ve", "'re"):
        text = text.replace(f" {end}", end)
    return text


def check_texts(texts, name="texts"):
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
        if not text.isascii():
            check_characters(text, i, name)
    if not texts:
        raise ValueError(f"`{name}` must hold at least one {name[:-1]}. Received none.")
    return texts


def check_characters(text, position, name):
    """Refuses half of a character, which no file can hold."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"`{name}` must be text in Unicode. Received half of a character, "
            f"{text[error.start]!r}, as character {error.start} of the text at "
            f"position {position}. Decode it with errors='replace'."
        ) from None


def check_not_empty(texts):
    """The texts as a list, each with more than spaces."""
    texts = check_texts(texts)
    for i, text in enumerate(texts):
        if not text.strip():
            raise ValueError(
                f"Text {i} is empty. Received: {text!r}. Leave it out, with its "
                "translation."
            )
    return texts


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


def cut_rows(rows, texts, before, after, max_length, truncate, noun="Text"):
    """Rows of tokens with the special ones around them, none too long.

    Args:
        rows: List of B lists.
        texts: List of B texts, for the message.
        before: List of what stands before each row.
        after: List of what stands behind each.
        max_length: Most tokens, special ones included, or `None`.
        truncate: Cut what is longer, instead of refusing.
        noun: How a text is called in the message.

    Returns:
        List of B lists.
    """
    special = len(before) + len(after)
    if max_length is not None:
        max_length = operator.index(max_length)
        if max_length <= special:
            raise ValueError(
                f"`max_length` must be at least {special + 1}: {special} special "
                f"tokens and one of the text. Received: max_length={max_length}"
            )
        lengths = [len(row) + special for row in rows]
        if max(lengths) > max_length and not truncate:
            i = next(i for i, length in enumerate(lengths) if length > max_length)
            raise ValueError(
                f"{noun} {i} needs {lengths[i]} tokens with the special ones, more "
                f"than max_length={max_length}: {shorten(texts[i])}. The longest needs "
                f"{max(lengths)}. Raise `max_length`, or cut with truncate=True."
            )
        rows = [row[: max_length - special] for row in rows]
    return [[*before, *row, *after] for row in rows]


def integer_rows(ids):
    """Token ids as a list of lists, whatever holds them."""
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


def known_rows(ids, size):
    """Token ids as a list of lists, all of them below a size."""
    rows = integer_rows(ids)
    for i in (i for row in rows for i in row):
        if not 0 <= i < size:
            raise ValueError(
                f"Token ids must be from 0 to {size - 1}. Received: {i}. "
                "They come from a model with another vocabulary."
            )
    return rows


def rows_of_text(ids, size, end_id, hidden_ids):
    """The ids up to the end of each text, without those that say nothing.

    Args:
        ids: Integers `(B, L)`.
        size: How many ids there are.
        end_id: What ends a text.
        hidden_ids: What is left out.

    Returns:
        List of B lists of integers.

    Example:

    >>> rows_of_text([[1, 5, 2, 6], [5, 0, 0, 0]], 7, end_id=2, hidden_ids=(0, 1))
    [[5], [5]]
    """
    rows = known_rows(ids, size)
    rows = [row[: row.index(end_id)] if end_id in row else row for row in rows]
    return [[i for i in row if i not in hidden_ids] for row in rows]
