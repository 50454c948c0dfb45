"""Answers as places of characters and as tokens, in contexts of any length.

Letters: B pairs of question and context, W windows, T tokens.
"""

import numpy as np

from keras_attention.tokenizers.vocabulary import shorten


def read_in_windows(model, questions, contexts):
    """The inputs for questions, with contexts of any length cut into windows.

    Windows are as long as the model reads and overlap by half of that, so each answer
    stands in one of them with what is around it (Devlin et al. 2019, its code,
    `doc_stride`).

    Args:
        model: A model with a tokenizer.
        questions: List of B strings.
        contexts: List of B strings.

    Returns:
        Dict of arrays of W windows, as the tokenizer gives them with `stride` and
        offsets.

    Raises:
        ValueError: A question leaves no room for its context.
    """
    tokenizer = model.tokenizer
    most = min(tokenizer.max_length or model.max_length, model.max_length)
    counts = tokenizer.count(questions, contexts, truncate=False, max_length=10**9)
    taken = tokenizer.count(questions, [""] * len(questions), truncate=False)
    room = most - int(taken.max())
    if room < 2:
        raise ValueError(
            f"A question needs {taken.max()} tokens, which leaves no room for its "
            f"context: the model reads {most}. Ask a shorter one."
        )
    return tokenizer(
        questions,
        contexts,
        max_length=most,
        stride=min(most // 2, room - 1),
        padded_length=model.padded_length(min(counts.max(), most)),
        return_offsets=True,
    )


def in_context(inputs):
    """Which tokens belong to the second text of their pair, `(B, T)`."""
    offsets = inputs["offsets"]
    return (inputs["sequence_ids"] == 1) & (offsets[..., 1] > offsets[..., 0])


def places_of_class(tokenizer, inputs):
    """Where the token stands that stands for the whole text.

    Args:
        tokenizer: What made the inputs.
        inputs: Dict with `token_ids` and `sequence_ids`, `(B, T)`.

    Returns:
        Integers `(B,)`; 0 with a tokenizer that has no such token.
    """
    is_special = inputs["sequence_ids"] < 0  # not one that is written in a text
    return np.argmax(is_special & (inputs["token_ids"] == tokenizer.class_id), axis=1)


def find_answers(tokenizer, inputs, examples, spans):
    """The tokens of answers.

    Args:
        tokenizer: What made the inputs.
        inputs: Dict of arrays, with offsets.
        examples: List of B pairs of strings.
        spans: Integers `(B, 2)`, the places of characters.

    Returns:
        Dict with `start` and `end`, int32 `(B,)`: the first and the last token, or that
        of the class where there is no answer or it was cut off.
    """
    tokens = np.stack([places_of_class(tokenizer, inputs)] * 2).astype("int32")
    for row, ((_, context), (first, behind)) in enumerate(
        zip(examples, spans, strict=True)
    ):
        place = np.flatnonzero(in_context(inputs)[row])
        begins, ends = inputs["offsets"][row, place].T
        is_cut = bool(context[max(ends, default=0) : behind].strip())
        if first >= 0 and not is_cut:
            tokens[0, row] = place[ends > first][0]
            tokens[1, row] = place[begins < behind][-1]
    return {"start": tokens[0], "end": tokens[1]}


def read_spans(labels, examples):
    """The places of answers as integers `(B, 2)`, unless some are none.

    Args:
        labels: What is to be read.
        examples: List of B examples.

    Returns:
        Array.

    Raises:
        ValueError: The examples are no pairs, or an answer is not in its context.
    """
    if not isinstance(examples[0], tuple):
        raise ValueError(
            "To answer questions, pass pairs (questions, contexts). Received "
            f"{shorten(examples[0])} at position 0."
        )
    spans = np.asarray(labels)
    if spans.ndim != 2 or spans.shape[1] != 2 or spans.dtype.kind not in "iu":
        raise ValueError(
            "An answer is the places of its first character and of that behind its "
            f"last, integers (n, 2). Received: shape {spans.shape}, {spans.dtype}."
        )
    for i, ((first, behind), (_, context)) in enumerate(
        zip(spans.tolist(), examples, strict=False)
    ):
        is_inside = 0 <= first < behind <= len(context)
        if first == behind == -1 or is_inside and context[first:behind].strip():
            continue
        raise ValueError(
            f"Answer {i} must stand in its context of {len(context)} characters. "
            f"Received: from {first} to {behind}. Where there is none: (-1, -1)."
        )
    return spans
