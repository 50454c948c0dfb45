"""Sentences and token ids as models take them, checked before anything is computed."""

import keras
import numpy as np

from keras_attention.tokenizers.vocabulary import PAD_ID
from keras_attention.tokenizers.vocabulary import shorten
from keras_attention.tokenizers.vocabulary import Vocabulary


def read_sentences(sentences, vocabulary, padding_id=PAD_ID):
    """The token ids of sentences, as the encoder takes them.

    Args:
        sentences: As for `Translator.translate`.
        vocabulary: That of the source, or `None`.
        padding_id: Token id of the padding.

    Returns:
        Integers `(B, S)`, which `check_ids` has not seen yet.

    Raises:
        ValueError: They are no sentences, or one is empty.
    """
    if isinstance(sentences, str) or not len(sentences):
        raise ValueError(
            "`sentences` must be a list of at least one sentence. Received: "
            f"{shorten(sentences)}"
        )
    if any(isinstance(sentence, str) for sentence in sentences):
        return _encode(sentences, vocabulary)
    rows = [np.asarray(keras.ops.convert_to_numpy(row)) for row in sentences]
    if any(row.ndim != 1 or (row.size and row.dtype.kind not in "ui") for row in rows):
        raise ValueError(
            "`sentences` must be strings, or token ids, integers (B, S). Received rows "
            f"of the shape {rows[0].shape}, {rows[0].dtype}."
        )
    token_ids = np.full((len(rows), max(map(len, rows))), padding_id, "int64")
    for i, row in enumerate(rows):
        if not np.any(row != padding_id):
            raise ValueError(
                f"Sentence {i} has no token but padding. Leave it out. Received: "
                f"{row.tolist()}"
            )
        token_ids[i, : len(row)] = row
    return token_ids


def _encode(sentences, vocabulary):
    if vocabulary is None:
        raise ValueError(
            "This model has no source vocabulary, so it reads token ids, integers "
            f"(B, S). Received strings, such as {shorten(sentences[0])}. Build it with "
            "`source_vocabulary`, or encode the sentences."
        )
    for i, sentence in enumerate(sentences):
        if not isinstance(sentence, str) or not sentence.strip():
            raise ValueError(
                "Each sentence must be a string with a word in it. Received: "
                f"{sentence!r} as sentence {i}. Leave it out."
            )
    return np.asarray(vocabulary.encode(list(sentences)))


def check_ids(token_ids, vocabulary_size, name):
    """Refuses an array that holds something else than token ids.

    Args:
        token_ids: A NumPy array.
        vocabulary_size: V.
        name: How the array is called in the message.

    Raises:
        ValueError: It does not hold integers from 0 to V - 1.
    """
    if token_ids.ndim != 2 or token_ids.dtype.kind not in "ui":
        raise ValueError(
            f"`{name}` must be token ids, integers with two axes. Received: shape "
            f"{token_ids.shape}, {token_ids.dtype}. `Vocabulary.encode` makes them "
            "from sentences."
        )
    low, high = token_ids.min(initial=0), token_ids.max(initial=0)
    if low < 0 or high >= vocabulary_size:
        raise ValueError(
            f"`{name}` must be from 0 to {vocabulary_size - 1}, as its vocabulary has "
            f"{vocabulary_size} entries. Received: {low} to {high}. Encode the "
            "sentences with the vocabulary that the model was built with."
        )


def sized_vocabulary(vocabulary, vocabulary_size, name="vocabulary"):
    """A vocabulary and its size, from either.

    Args:
        vocabulary: `Vocabulary` or another tokenizer, list of words, or `None`.
        vocabulary_size: Integer, or `None`.
        name: How the argument is called.

    Returns:
        The vocabulary or `None`, and an integer.

    Raises:
        ValueError: Both are missing, or they do not fit.

    Example:

    >>> sized_vocabulary(["cat", "dog"], None)[1]
    6
    """
    if vocabulary is None and vocabulary_size is None:
        raise ValueError(
            f"Pass `{name}`, a Vocabulary or a list of words, or, for a model that "
            f"reads and writes token ids, `{name}_size`."
        )
    if vocabulary is None:
        return None, vocabulary_size
    if not hasattr(vocabulary, "encode") or isinstance(vocabulary, str):
        vocabulary = Vocabulary(vocabulary)
    if vocabulary_size not in (None, len(vocabulary)):
        raise ValueError(
            f"`{name}` has {len(vocabulary)} entries, special tokens included. "
            f"Received: {name}_size={vocabulary_size}. Leave it out."
        )
    return vocabulary, len(vocabulary)
