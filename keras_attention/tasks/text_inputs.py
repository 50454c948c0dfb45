"""Models that read texts: from strings to token ids, and from words to labels.

Letters for axes: n texts, B of them in a batch, T tokens.
"""

import numpy as np

from keras_attention.tasks.raw_inputs import class_ids
from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tokenizers.vocabulary import read_strings
from keras_attention.tokenizers.vocabulary import shorten

# What makes the targets of a head out of texts alone.
PRETRAINED_BY = {
    "language_model": "LanguageModelDataset",
    "masked_language_model": "MaskedLanguageModelDataset",
    "pretraining": "MaskedLanguageModelDataset",
}


class TextInputs(RawInputs):
    """Lets `fit`, `evaluate` and `predict` take texts.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` set

    - `tokenizer`: a `PublishedTokenizer`, or `None`;
    - `max_length`: the most tokens that the model reads;
    - `head`: what follows the encoder;
    - `class_names`: names of the classes, or `None`.

    Texts are a list of strings. Pairs of texts are a tuple of two such lists, a dict
    with `texts` and `pairs`, or a list of tuples. A text may be a list of words. What
    they are labelled with depends on the head:

    - `"classification"`, `"next_sentence"`: a number or a name for each text or pair;
    - `"token_classification"`: a list with a number or a name for each word of a text,
      which is a list of words. The first token of a word learns its label, the others
      have the weight 0, so compile with `weighted_metrics`;
    - `"question_answering"`: for each pair, a question and what may answer it, the
      places of the first character of the answer and of that behind its last; twice
      -1 where there is none, which the first token learns to say.

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
        if examples and not hasattr(self.tokenizer, "count_tokens"):
            raise ValueError(
                "To learn from texts, `tokenizer` must be a `PublishedTokenizer`. "
                f"Received: {type(self.tokenizer).__name__}. Train one with "
                "`train_word_pieces` or `train_byte_pairs`, or pass token ids."
            )
        return examples

    def save_assets(self, folder):
        """Writes the tokenizer.

        Args:
            folder: An existing folder.
        """
        if self.tokenizer is not None:
            self.tokenizer.save(folder)

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

    def read_labels(self, labels, examples):
        """Labels as numbers; see above.

        Args:
            labels: What `fit` or `evaluate` received for `y`.
            examples: As from `read_raw`.

        Returns:
            Integers `(n,)`; of words a list of n arrays; of answers `(n, 2)`.

        Raises:
            ValueError: A label is none, or none for what it stands at.
        """
        if self.head == "token_classification":
            check_word_labels(labels, examples)
            flat = [label for row in labels for label in row]
            ids = class_ids(flat, self.class_names, self.output_shape[-1])
            return np.split(ids, np.cumsum([len(row) for row in labels])[:-1])
        if self.head == "question_answering" and not isinstance(labels, dict):
            spans = np.asarray(labels)
            check_spans(spans, examples)
            return spans
        return super().read_labels(labels, examples)

    def check_labels_given(self):
        """Refuses texts without labels, and says how to pretrain on them.

        Raises:
            ValueError: What to do instead.
        """
        dataset = PRETRAINED_BY.get(self.head)
        how = (
            f"Write the texts to a file and pass `{dataset}(path, model.tokenizer)` "
            "of `keras_attention.training`, which makes them, to `fit`."
            if dataset
            else "Pass one for each text: fit(texts, labels)."
        )
        raise ValueError(
            f"{type(self).__name__} with head={self.head!r} learns from labels. "
            f"Received texts alone. {how}"
        )

    def prepare_labels(self, labels, examples, length=None):
        """The targets of a batch.

        Args:
            labels: The rows of the batch of what `read_labels` returned.
            examples: As from `read_raw`.
            length: T.

        Returns:
            The targets, and their weights or `None`: `(B,)`; of words both `(B, T)`; of
            answers a dict with `start` and `end`, the first and the last token `(B,)`.
        """
        if self.head == "token_classification":
            words = self._encode(examples, length, return_word_ids=True)["word_ids"]
            is_first = first_tokens(words)
            targets = np.zeros(words.shape, "int32")
            for row, numbers in enumerate(labels):
                targets[row, is_first[row]] = numbers[words[row, is_first[row]]]
            return targets, is_first.astype("float32")
        if self.head == "question_answering" and not isinstance(labels, dict):
            found = self._encode(examples, length, return_offsets=True)
            contexts = split_pairs(examples)[1]
            return find_answers(found, contexts, labels), None
        return labels, None

    def classify(self, texts, batch_size=None):
        """The class that a classifier finds most probable.

        Args:
            texts: As for `predict`.
            batch_size: B.

        Returns:
            List of n names, or numbers without `class_names`, and the probabilities of
            all classes, `(n, num_classes)`. Of words lists of names, and a list of
            arrays `(words, num_classes)`; what was cut off has none.

        Raises:
            ValueError: The model is no classifier of texts.

        Example:

        >>> from keras_attention.applications import BERT
        >>> from keras_attention.tokenizers.tokenizer_files import (
        ...     word_piece_tokenizer,
        ... )
        >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad"]
        >>> model = BERT(
        ...     tokenizer=word_piece_tokenizer(words), vocabulary_size=6, hidden_dim=8,
        ...     num_layers=1, num_heads=2, mlp_dim=8, head="classification",
        ...     class_names=["against", "for"],
        ... )
        >>> names, probabilities = model.classify(["good", "bad bad"])
        >>> probabilities.shape
        (2, 2)
        """
        of_words = self.head == "token_classification"
        if not of_words and self.head != "classification":
            raise ValueError(
                f"This {type(self).__name__} has head={self.head!r}, so it does not "
                'classify. Load it with head="classification".'
            )
        if self.output_shape[-1] == 1:
            raise ValueError(
                "One logit has no classes to choose from: with num_classes=1 the model "
                "is a regression. Use `predict`."
            )
        logits = self.predict(texts, batch_size=batch_size, verbose=0)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities = powers / powers.sum(axis=-1, keepdims=True)
        if not of_words:
            return self._names_of(probabilities), probabilities
        examples = self.read_raw(texts)
        words = self._encode(examples, None, return_word_ids=True)["word_ids"]
        is_first = first_tokens(words)
        rows = [
            row[chosen] for row, chosen in zip(probabilities, is_first, strict=True)
        ]
        return [self._names_of(row) for row in rows], rows

    def _names_of(self, probabilities):
        numbers = probabilities.argmax(axis=-1).tolist()
        names = self.class_names
        return numbers if names is None else [names[number] for number in numbers]

    def answer(self, questions, contexts, batch_size=None, max_answer_length=30):
        """Finds the answers to questions in texts.

        Args:
            questions: List of n strings.
            contexts: List of n strings, in which the answers stand.
            batch_size: B.
            max_answer_length: Most tokens of an answer.

        Returns:
            List of n strings: the part of each context whose first and last token have
            the highest sum of logits.

        Raises:
            ValueError: The model answers no questions.
        """
        if self.head != "question_answering":
            raise ValueError(
                f"This {type(self).__name__} has head={self.head!r}, so it answers no "
                'questions. Load it with head="question_answering".'
            )
        examples = self.read_raw((questions, contexts))
        logits = self.predict(examples, batch_size=batch_size, verbose=0)
        found = self._encode(examples, None, return_offsets=True)
        answers = []
        for row, context in enumerate(contexts):
            place = np.flatnonzero(in_context(found)[row])
            if not place.size:
                answers.append("")
                continue
            start, end = (logits[name][row, place] for name in ("start", "end"))
            scores = start[:, None] + end[None]  # (first, last)
            allowed = np.triu(np.ones(scores.shape, bool))
            allowed &= ~np.triu(allowed, max_answer_length)
            best = np.where(allowed, scores, -np.inf).argmax()
            first, last = place[list(np.unravel_index(best, scores.shape))]
            offsets = found["offsets"][row]
            answers.append(context[offsets[first, 0] : offsets[last, 1]])
        return answers

    def _encode(self, examples, length, **options):
        options = {**options, **self._limits()}
        return self.tokenizer(*split_pairs(examples), padded_length=length, **options)

    def _limits(self):
        """How long a text may become, if it is to be cut."""
        if not self.tokenizer.truncate:
            return {}
        limit = self.tokenizer.max_length or self.max_length
        return {"max_length": min(limit, self.max_length)}


def first_tokens(word_ids):
    """Where the first token of each word stands.

    Args:
        word_ids: Integers `(B, T)`, -1 for what belongs to none.

    Returns:
        Booleans `(B, T)`.

    Example:

    >>> first_tokens(np.array([[-1, 0, 1, 1, -1]])).astype(int).tolist()
    [[0, 1, 1, 0, 0]]
    """
    before = np.pad(word_ids, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]
    return (word_ids >= 0) & (word_ids != before)


def in_context(inputs):
    """Which tokens belong to the second text of their pair, `(B, T)`."""
    offsets = inputs["offsets"]
    return (inputs["segment_ids"] == 1) & (offsets[..., 1] > offsets[..., 0])


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


def check_word_labels(labels, examples):
    """Refuses labels that are not one for each word."""
    for i, (words, row) in enumerate(zip(examples, labels, strict=False)):
        if not isinstance(words, list):
            raise ValueError(
                "To label words, each text must be a list of words. Received "
                f"{shorten(words)} at position {i}. Split it."
            )
        if len(row) != len(words):
            raise ValueError(
                f"Each word needs a label. Received {len(words)} words and {len(row)} "
                f"labels at position {i}: {shorten(words)}."
            )


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
