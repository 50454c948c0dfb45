"""The head that answers questions: where an answer begins and where it ends.

Letters: B pairs of question and context, T tokens.
"""

import numpy as np

from keras_attention.tasks.task_head import TaskHead
from keras_attention.tokenizers.vocabulary import shorten


class QuestionAnswering(TaskHead):
    """The first and the last token of the answer in a context.

    Devlin et al. 2019, arXiv:1810.04805, Section 4.2: a dict with the logits `start`
    and `end`, `(B, T)` each.
    """

    name = "question_answering"
    layers = ("question_answering_head",)

    def attach(self, encoded):
        x = encoded.tokens
        if encoded.answer_dropout:
            x = encoded.dropped(x, encoded.answer_dropout, "answer_dropout")
        x = encoded.dense(x, 2, "question_answering_head")  # (B, T, 2)
        return {"start": x[..., 0], "end": x[..., 1]}

    def read_labels(self, model, labels, examples):
        if isinstance(labels, dict):
            return {name: np.asarray(part) for name, part in labels.items()}
        spans = np.asarray(labels)
        check_spans(spans, examples)
        return spans

    def prepare_labels(self, model, labels, examples, length=None):
        if isinstance(labels, dict):
            return labels, None
        found = model.encode_examples(examples, length, return_offsets=True)
        contexts = [context for _, context in examples]
        return find_answers(found, contexts, labels), None

    def answer(self, model, examples, batch_size=None, max_answer_length=30):
        questions, contexts = zip(*examples, strict=True)
        found = read_in_windows(model, list(questions), list(contexts))
        inputs = {tensor.name: found[tensor.name] for tensor in model.inputs}
        logits = model.predict(inputs, batch_size=batch_size, verbose=0)
        best = [(-np.inf, "")] * len(examples)  # score and text of each answer
        for window, text in enumerate(found["text_ids"].tolist()):
            place = np.flatnonzero(in_context(found)[window])
            if not place.size:
                continue
            start, end = (logits[name][window, place] for name in ("start", "end"))
            scores = start[:, None] + end[None]  # (first, last)
            allowed = np.triu(np.ones(scores.shape, bool))
            allowed &= ~np.triu(allowed, max_answer_length)
            scores = np.where(allowed, scores, -np.inf)
            if scores.max() > best[text][0]:
                span = np.unravel_index(scores.argmax(), scores.shape)
                first, last = found["offsets"][window, place[list(span)]]
                best[text] = (scores.max(), contexts[text][first[0] : last[1]])
        return [answer for _, answer in best]


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


def find_answers(inputs, contexts, spans):
    """The tokens of answers.

    Args:
        inputs: What a tokenizer returned, with offsets.
        contexts: List of B strings.
        spans: Integers `(B, 2)`, the places of characters.

    Returns:
        Dict with `start` and `end`, int32 `(B,)`: the first and the last token, or 0
        where there is no answer or it was cut off.
    """
    tokens = np.zeros((2, len(contexts)), "int32")
    for row, (context, (first, behind)) in enumerate(zip(contexts, spans, strict=True)):
        place = np.flatnonzero(in_context(inputs)[row])
        begins, ends = inputs["offsets"][row, place].T
        is_cut = bool(context[max(ends, default=0) : behind].strip())
        if first >= 0 and not is_cut:
            tokens[0, row] = place[ends > first][0]
            tokens[1, row] = place[begins < behind][-1]
    return {"start": tokens[0], "end": tokens[1]}


def check_spans(spans, examples):
    """Refuses places of answers that are none."""
    if not isinstance(examples[0], tuple):
        raise ValueError(
            "To answer questions, pass pairs (questions, contexts). Received "
            f"{shorten(examples[0])} at position 0."
        )
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
