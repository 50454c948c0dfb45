"""The heads that learn from labels: of texts, of their words, of choices, of pictures.

Letters: B examples, T tokens, C classes.
"""

import numpy as np

from keras_attention.layers.choices import JoinChoices
from keras_attention.tasks.class_ids import class_ids
from keras_attention.tasks.task_head import CLASSES
from keras_attention.tasks.task_head import POOLER
from keras_attention.tasks.task_head import TaskHead
from keras_attention.tokenizers.vocabulary import shorten


class Classification(TaskHead):
    """One of several classes for each example: logits `(B, C)`."""

    name = "classification"
    layers = (*POOLER, *CLASSES)
    num_classes = 2

    def attach(self, encoded):
        return encoded.classes(encoded.pooled())

    def count_classes(self, num_classes, class_names):
        if num_classes == 1:
            raise ValueError(
                "One class leaves nothing to choose. Received: num_classes=1. Pass "
                'head="regression" for a number, or num_classes=2.'
            )
        return super().count_classes(num_classes, class_names)

    def read_labels(self, model, labels, examples):
        return class_ids(labels, model.class_names, model.output_shape[-1])

    def classify(self, model, examples, batch_size=None):
        logits = model.predict(examples, batch_size=batch_size, verbose=0)
        probabilities = softmax(logits)
        return names_of(probabilities, model.class_names), probabilities


class Regression(TaskHead):
    """A number, or several, for each example: `(B, C)`."""

    name = "regression"
    layers = (*POOLER, *CLASSES)
    num_classes = 1

    def attach(self, encoded):
        return encoded.classes(encoded.pooled())

    def read_labels(self, model, labels, examples):
        try:
            numbers = np.asarray(labels, "float32")
        except ValueError:
            raise ValueError(
                f"A regression learns numbers. Received: {shorten(labels[0])}. Pass "
                "floats, or head='classification' for names."
            ) from None
        return numbers[:, None] if numbers.ndim == 1 else numbers

    def classify(self, model, examples, batch_size=None):
        raise ValueError(
            f"This {type(model).__name__} has head='regression': it gives numbers, not "
            "classes. Use `predict`."
        )


class MultiLabel(TaskHead):
    """Any of several classes for each example, each by itself: logits `(B, C)`.

    Train it with `keras.losses.BinaryCrossentropy(from_logits=True)`.
    """

    name = "multi_label"
    layers = (*POOLER, *CLASSES)
    num_classes = 2

    def attach(self, encoded):
        return encoded.classes(encoded.pooled())

    def read_labels(self, model, labels, examples):
        """Names as lists, one list for each example, or numbers 0 and 1 `(n, C)`."""
        size = model.output_shape[-1]
        if not any(isinstance(name, str) for row in labels for name in row):
            if any(len(row) != size for row in labels):  # a list with no name is none
                labels = [row if len(row) else [0] * size for row in labels]
            numbers = np.asarray(labels, "float32")
            if numbers.ndim != 2 or numbers.shape[1] != size:
                raise ValueError(
                    "The labels must be lists of names, or a number from 0 to 1 for "
                    f"each of the {size} classes. Received: shape {numbers.shape}."
                )
            return numbers
        targets = np.zeros((len(labels), size), "float32")
        for row, names in zip(targets, labels, strict=True):
            if isinstance(names, str):
                raise ValueError(
                    "Each example has a list of names. Received the string "
                    f"{names!r}. Put one name in a list: [name]."
                )
            if len(names):
                row[class_ids(list(names), model.class_names, size)] = 1.0
        return targets

    def classify(self, model, examples, batch_size=None):
        """The classes that are more probable than not, and all probabilities."""
        logits = model.predict(examples, batch_size=batch_size, verbose=0)
        probabilities = 1.0 / (1.0 + np.exp(-logits))
        names = model.class_names or list(range(logits.shape[-1]))
        chosen = [
            [name for name, p in zip(names, row, strict=True) if p > 0.5]
            for row in probabilities
        ]
        return chosen, probabilities


class TokenClassification(TaskHead):
    """A class for each word of a text: logits of tokens `(B, T, C)`.

    Devlin et al. 2019, arXiv:1810.04805, Section 5.3: the first token of a word stands
    for it.
    """

    name = "token_classification"
    layers = CLASSES
    num_classes = 2

    def attach(self, encoded):
        return encoded.classes(encoded.tokens)

    def read_labels(self, model, labels, examples):
        check_word_labels(labels, examples)
        flat = [label for row in labels for label in row]
        ids = class_ids(flat, model.class_names, model.output_shape[-1])
        return np.split(ids, np.cumsum([len(row) for row in labels])[:-1])

    def prepare_labels(self, model, labels, examples, length=None):
        words = model.encode_examples(examples, length, return_word_ids=True)
        words = words["word_ids"]  # (B, T)
        is_first = first_tokens(words)
        targets = np.zeros(words.shape, "int32")
        for row, numbers in enumerate(labels):
            targets[row, is_first[row]] = numbers[words[row, is_first[row]]]
        return targets, is_first.astype("float32")

    def classify(self, model, examples, batch_size=None):
        logits = model.predict(examples, batch_size=batch_size, verbose=0)
        probabilities = softmax(logits)
        examples = model.read_raw(examples)
        words = model.encode_examples(examples, return_word_ids=True)["word_ids"]
        is_first = first_tokens(words)
        rows = [
            row[chosen] for row, chosen in zip(probabilities, is_first, strict=True)
        ]
        return [names_of(row, model.class_names) for row in rows], rows


class MultipleChoice(TaskHead):
    """The best of several second texts for each first: logits `(B, C)`.

    Radford et al. 2018, "Improving Language Understanding by Generative Pre-Training",
    Figure 1: each choice is read together with the text, and gets one number.
    """

    name = "multiple_choice"
    layers = (*POOLER, *CLASSES)

    def attach(self, encoded):
        encoded.num_classes = 1
        numbers = encoded.classes(encoded.pooled())  # (B C, 1)
        return JoinChoices(name="choices")(numbers, encoded.token_ids)

    def flatten(self, examples):
        for i, (_, choices) in enumerate(examples):
            if len(choices) != len(examples[0][1]):
                raise ValueError(
                    "Each text needs as many choices as the others. Received: "
                    f"{len(examples[0][1])} at position 0, {len(choices)} at position "
                    f"{i}."
                )
        return [(text, choice) for text, choices in examples for choice in choices]

    def unflatten(self, array, examples):
        return array.reshape(len(examples), len(examples[0][1]), *array.shape[1:])

    def read_labels(self, model, labels, examples):
        """The number of the right choice, or the choice itself."""
        found = []
        for i, (label, (_, choices)) in enumerate(zip(labels, examples, strict=False)):
            number = choices.index(label) if label in choices else label
            if isinstance(number, str) or not 0 <= number < len(choices):
                raise ValueError(
                    "A label is the number of the right choice, or that choice. "
                    f"Received {label!r} at position {i}, with {len(choices)} choices."
                )
            found.append(number)
        return np.array(found, "int32")

    def choose(self, model, examples, batch_size=None):
        logits = model.predict(examples, batch_size=batch_size, verbose=0)
        probabilities = softmax(logits)
        chosen = [
            choices[number]
            for (_, choices), number in zip(
                examples, probabilities.argmax(axis=-1), strict=True
            )
        ]
        return chosen, probabilities


def softmax(logits):
    """Probabilities from logits `(..., C)`."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def names_of(probabilities, class_names):
    """The most probable classes, by name or, without names, by number."""
    numbers = probabilities.argmax(axis=-1).tolist()
    if class_names is None:
        return numbers
    return [class_names[number] for number in numbers]


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
