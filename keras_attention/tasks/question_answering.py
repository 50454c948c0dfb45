"""The heads that answer questions: where an answer begins and where it ends.

Letters: B pairs of question and context, T tokens, K beginnings.
"""

import types

import numpy as np

from keras_attention.layers.answer_spans import AnswerSpans
from keras_attention.tasks.answers import find_answers
from keras_attention.tasks.answers import in_context
from keras_attention.tasks.answers import places_of_class
from keras_attention.tasks.answers import read_in_windows
from keras_attention.tasks.answers import read_spans
from keras_attention.tasks.task_head import TaskHead


class AnswerHead(TaskHead):
    """What follows an encoder that finds answers. Abstract.

    A subclass defines `best_span` and `null_score`.
    """

    def read_labels(self, model, labels, examples):
        return read_spans(labels, examples)

    def best_span(self, model, outputs, place, max_answer_length):
        """The best answer in a window.

        Args:
            model: The model.
            outputs: What it gives for the window.
            place: Integers, the tokens of the context.
            max_answer_length: Most tokens of an answer.

        Returns:
            Its score, and its first and last token.
        """
        raise NotImplementedError

    def null_score(self, outputs, place):
        """How much speaks for no answer in a window, of which a token is the class."""
        raise NotImplementedError

    def null_margin(self, null_score, score):
        """How much more speaks for no answer than for the best one."""
        return null_score - score

    def answer(
        self,
        model,
        examples,
        batch_size=None,
        max_answer_length=30,
        null_threshold=None,
    ):
        questions, contexts = zip(*examples, strict=True)
        found = read_in_windows(model, list(questions), list(contexts))
        inputs = self.complete(model, found)
        inputs = {tensor.name: inputs[tensor.name] for tensor in model.inputs}
        logits = model.predict(inputs, batch_size=batch_size, verbose=0)
        best = [(-np.inf, "")] * len(examples)  # score and text of each answer
        null = np.full(len(examples), np.inf)
        classes = places_of_class(model.tokenizer, found)
        for window, text in enumerate(found["text_ids"].tolist()):
            place = np.flatnonzero(in_context(found)[window])
            if not place.size:
                continue
            outputs = {name: part[window] for name, part in logits.items()}
            null[text] = min(null[text], self.null_score(outputs, classes[window]))
            score, *span = self.best_span(model, outputs, place, max_answer_length)
            if score > best[text][0]:
                first, last = found["offsets"][window, span]
                best[text] = (score, contexts[text][first[0] : last[1]])
        if null_threshold is None:
            return [answer for _, answer in best]
        return [
            "" if self.null_margin(other, score) > null_threshold else answer
            for other, (score, answer) in zip(null, best, strict=True)
        ]


class QuestionAnswering(AnswerHead):
    """The first and the last token of the answer in a context.

    Devlin et al. 2019, arXiv:1810.04805, Section 4.2: a dict with the logits `start`
    and `end`, `(B, T)` each. Where there is no answer, both are at the token that
    stands for the text (Section 4.3).
    """

    name = "question_answering"
    layers = ("question_answering_head",)

    def attach(self, encoded):
        x = encoded.tokens
        if encoded.answer_dropout:
            x = encoded.dropped(x, encoded.answer_dropout, "answer_dropout")
        x = encoded.dense(x, 2, "question_answering_head")  # (B, T, 2)
        return {"start": x[..., 0], "end": x[..., 1]}

    def prepare_labels(self, model, labels, examples, length=None):
        if isinstance(labels, dict):
            return labels, None
        found = model.encode_examples(examples, length, return_offsets=True)
        return find_answers(model.tokenizer, found, examples, labels), None

    def best_span(self, model, outputs, place, max_answer_length):
        start, end = (outputs[name][place] for name in ("start", "end"))
        scores = start[:, None] + end[None]  # (first, last)
        allowed = np.triu(np.ones(scores.shape, bool))
        allowed &= ~np.triu(allowed, max_answer_length)
        scores = np.where(allowed, scores, -np.inf)
        span = np.unravel_index(scores.argmax(), scores.shape)
        return scores.max(), *place[list(span)]

    def null_score(self, outputs, place):
        return outputs["start"][place] + outputs["end"][place]


class QuestionAnsweringBeamSearch(AnswerHead):
    """The first token of an answer, and the last one given the first.

    Yang et al. 2019, arXiv:1906.08237, as their code has it: a dict with the logits
    `start`, `(B, T)`; `end`, `(B, K, T)`, of the K beginnings `starts`, `(B, K)`; and
    `unanswerable`, `(B, 1)`. Training knows the beginning, so K is 1; an answer is
    searched for among the most probable ones. See `AnswerSpans`.
    """

    name = "question_answering_beam_search"
    layers = ("answer_spans",)
    encoding = types.MappingProxyType({"return_offsets": True})

    def attach(self, encoded):
        spans = AnswerSpans(encoded.epsilon, encoded.initializer, name=self.layers[0])
        return spans(
            encoded.tokens,
            padding_mask=encoded.padding_mask,
            answer_mask=encoded.answer_mask,
            start_positions=encoded.start_positions,
        )

    def complete(self, model, inputs):
        """Lets answers stand in the context, or at the token of the class for none."""
        rows, length = inputs["token_ids"].shape
        answer_mask = in_context(inputs)
        answer_mask[np.arange(rows), places_of_class(model.tokenizer, inputs)] = True
        count = min(model.num_answer_starts, length)
        inputs = {
            **inputs,
            "answer_mask": answer_mask,
            "start_positions": np.full((rows, count), -1, "int32"),
        }
        return {tensor.name: inputs[tensor.name] for tensor in model.inputs}

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        found = model.encode_examples(examples, length, return_offsets=True)
        inputs = self.complete(model, found)
        if not isinstance(labels, dict):
            labels = find_answers(model.tokenizer, found, examples, labels)
        elif missing := {"start", "end"} - labels.keys():
            raise ValueError(
                "A dict of labels holds the tokens `start` and `end` of answers, and "
                "may hold `unanswerable`. It lacks "
                f"{', '.join(sorted(missing))}. Or pass places of characters (n, 2)."
            )
        starts = labels["start"].astype("int32")[:, None]
        nowhere = places_of_class(model.tokenizer, found)
        unanswerable = labels.get("unanswerable", labels["start"] == nowhere)
        targets = {
            "start": labels["start"],
            "starts": starts,
            "end": labels["end"][:, None],
            "unanswerable": unanswerable.astype("float32").reshape(-1, 1),
        }
        return {**inputs, "start_positions": starts}, targets, None

    def best_span(self, model, outputs, place, max_answer_length):
        start, end = map(log_softmax, (outputs["start"], outputs["end"]))
        best = -np.inf, 0, 0
        for first, ends in zip(outputs["starts"].tolist(), end, strict=True):
            for last in np.argsort(-ends, kind="stable")[: model.num_answer_ends]:
                score = start[first] + ends[last]
                is_span = first <= last < first + max_answer_length
                is_inside = first in place and last in place
                if is_span and is_inside and score > best[0]:
                    best = score, first, last
        return best

    def null_score(self, outputs, place):
        return outputs["unanswerable"][0]

    def null_margin(self, null_score, score):
        return null_score


def log_softmax(logits):
    """Log-probabilities from logits `(..., C)`."""
    logits = logits - logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
