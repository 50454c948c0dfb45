"""Texts that a model learns to write: from texts alone, or of prompts the answers.

Letters: B texts, T tokens.
"""

import numpy as np

from keras_attention.tasks.texts import pair_up
from keras_attention.tokenizers.vocabulary import shorten


def check_written(examples):
    """Refuses what is no string, nor a pair of strings.

    Args:
        examples: List of what `read_texts` returned.

    Raises:
        ValueError: One is a list of words, or a pair of such.

    Example:

    >>> check_written(["a cat", ["a", "dog"]])
    Traceback (most recent call last):
        ...
    ValueError: What a model is to write is a string... Received ['a', 'dog'] at...
    """
    for i, example in enumerate(examples):
        texts = example if isinstance(example, tuple) else (example,)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(
                "What a model is to write is a string, or a prompt and its answer. "
                f"Received {shorten(example)} at position {i}. Join its words."
            )


def with_answers(examples, answers, noun="answer", noun_of_texts="prompts"):
    """Pairs of what is read and what is to be written behind it.

    Args:
        examples: List of n strings.
        answers: List of n strings.
        noun: How one of them is called in messages.
        noun_of_texts: How the others are called there.

    Returns:
        List of n tuples.

    Raises:
        ValueError: They are pairs already, or an answer is no string.

    Example:

    >>> with_answers(["1 + 1"], ["2"])
    [('1 + 1', '2')]
    """
    if isinstance(examples[0], tuple):
        raise ValueError(
            f"Each text has one {noun}. Received pairs of texts, and labels besides. "
            f"Leave the labels out, or pass fit({noun_of_texts}, {noun}s)."
        )
    for i, answer in enumerate(answers):
        if not isinstance(answer, str):
            raise ValueError(
                "A model that writes learns from texts alone, or from texts and their "
                f"{noun}s, which are strings. Received {shorten(answer)} at position "
                f"{i} of the {noun}s."
            )
    return pair_up(examples, answers)


def teacher_forced(rows, length=None, padding_id=0):
    """The tokens that are read, and for each of them the one that is to be written.

    Args:
        rows: List of B pairs: n token ids, and for each whether it is learned.
        length: T. By default that of the longest row, less one.
        padding_id: Token id of the padding.

    Returns:
        Tokens without the last, int32 `(B, T)`; those without the first, int32
        `(B, T)`; the weights of these, float32 `(B, T)`, 0 for what is not learned;
        and which of the first are no padding, boolean `(B, T)`.

    Example:

    >>> inputs, targets, weights, mask = teacher_forced([([1, 5, 2], [True] * 3)], 3)
    >>> inputs.tolist(), targets.tolist(), weights.tolist(), mask.tolist()
    ([[1, 5, 0]], [[5, 2, 0]], [[1.0, 1.0, 0.0]], [[True, True, False]])
    """
    sizes = [max(len(ids) - 1, 0) for ids, _ in rows]
    shape = len(rows), max(sizes) if length is None else length
    inputs, targets = np.full((2, *shape), padding_id, "int32")
    weights = np.zeros(shape, "float32")
    for i, (size, (ids, is_learned)) in enumerate(zip(sizes, rows, strict=True)):
        inputs[i, :size], targets[i, :size] = ids[:-1], ids[1:]
        weights[i, :size] = is_learned[1:]
    mask = np.arange(shape[1]) < np.array(sizes)[:, None]
    return inputs, targets, weights, mask
