"""Models that read texts: from strings to token ids, and to what their head learns.

Letters for axes: n texts, B of them in a batch, T tokens.
"""

import keras
import numpy as np

from keras_attention.checks import check_choice
from keras_attention.layers.choices import SplitChoices
from keras_attention.tasks.asked_model import AskedModel
from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tasks.text_heads import ENCODER_HEADS
from keras_attention.tasks.text_heads import TEXT_HEADS
from keras_attention.tasks.texts import check_rows
from keras_attention.tasks.texts import read_texts
from keras_attention.tasks.texts import split_pairs
from keras_attention.tokenizers.published_tokenizer import PublishedTokenizer
from keras_attention.tokenizers.vocabulary import shorten

# The dtypes of the inputs that text models have.
INPUTS = {
    "token_ids": "int32",
    "padding_mask": "bool",
    "segment_ids": "int32",
    "permutation_mask": "bool",
    "target_positions": "int32",
    "answer_mask": "bool",
    "start_positions": "int32",
}
# The inputs that have a number for each pair of tokens.
PAIRWISE = ("permutation_mask",)


class TextInputs(AskedModel, RawInputs):
    """Lets `fit`, `evaluate` and `predict` take texts.

    Abstract: put it before `Application` among the bases of a class, with

    - `task_heads`: the names of the heads that its models can have,

    and the arguments `tokenizer`, `max_length`, `head`, `class_names`, `num_classes`.
    The constructor checks the head by `check_head`, gets its inputs from `text_inputs`,
    and attaches it with `attach_head`.

    Texts are a list of strings. Pairs of texts are a tuple of two such lists, a dict
    with `texts` and `pairs`, or a list of tuples. A text may be a list of words. What
    they are labelled with depends on the head:

    - `"next_token"`: nothing, as each token is the label of those before it; or for
      each text, a prompt, the answer, which alone is learned then. (Prompts with their
      answers may also be pairs of texts.) Both end with the tokenizer's end;
    - `"masked_language_model"`: nothing: words are hidden, others in each epoch;
    - `"replaced_token_detection"`: for each text the text as it was before tokens of it
      were replaced, of as many tokens; train with `TokenBinaryCrossentropy`;
    - `"permutation_language_model"`: nothing: some tokens are predicted in an order
      that is drawn, other ones in each epoch. `predict` takes texts with masks;
    - `"pretraining"`: for each pair the number of `"next_sentence"`, or of the other
      task that the paper has; words are hidden, too;
    - `"classification"`, `"next_sentence"`, `"sentence_order"`: a number or a name for
      each text or pair;
    - `"regression"`: a number for each;
    - `"multi_label"`: a list of names for each, or a 0 or 1 for each class;
    - `"token_classification"`: a list with a number or a name for each word of a text,
      which is a list of words. The first token of a word learns its label, the others
      have the weight 0, so compile with `weighted_metrics`;
    - `"question_answering"`: for each pair, a question and what may answer it, the
      places of the first character of the answer and of that behind its last; twice
      -1 where there is none, which the token of the class learns to say;
    - `"question_answering_beam_search"`: the same. The model has the outputs `start`,
      `end` and `unanswerable`, each with a loss of its own;
    - `"multiple_choice"`: for each text and its list of choices, `(texts, choices)`,
      the number of the right one or the choice itself.

    A text with more than `max_length` tokens is refused. With `tokenizer.truncate =
    True` it is cut, in `fit` as in `predict`, after `tokenizer.max_length` tokens where
    that is set.
    """

    task_heads = ENCODER_HEADS

    @property
    def task(self):
        """The head of this model, a `TaskHead`."""
        return TEXT_HEADS[self.head]

    @classmethod
    def check_head(cls, head, num_classes, class_names):
        """Checks what is asked of the head.

        Args:
            head: Its name.
            num_classes: Number of classes, or `None`.
            class_names: Their names, or `None`.

        Returns:
            The number of classes, or `None`.

        Raises:
            ValueError: There is no such head here, or it has no such classes.
        """
        check_choice(cls.task_heads, head=head)
        return TEXT_HEADS[head].count_classes(num_classes, class_names)

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        layers = {layer for name in cls.task_heads for layer in TEXT_HEADS[name].layers}
        ends = ("masked_language_model_head", "masked_language_model_bias")
        return {
            "head": sorted(layers),
            "num_classes": sorted(layers & {"classifier"}),
            "tie_embeddings": sorted(layers & {*ends, "next_token_head"}),
        }

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
        if examples and not isinstance(self.tokenizer, PublishedTokenizer):
            raise ValueError(
                "To learn from texts, `tokenizer` must be a `PublishedTokenizer`. "
                f"Received: {type(self.tokenizer).__name__}. Train one with "
                "`train_word_pieces` or `train_byte_pairs`, or pass token ids."
            )
        if examples:
            self.tokenizer.check_fits(self.vocabulary_size)  # it may have grown
        return examples

    def check_prepared(self, x):
        """Refuses token ids and segments that have no row in their table.

        Args:
            x: A dict of arrays, or anything else, which is not looked at.

        Raises:
            ValueError: An id is negative or too large.
        """
        sizes = {"token_ids": self.vocabulary_size}
        if any(tensor.name == "segment_ids" for tensor in self.inputs):
            sizes["segment_ids"] = getattr(self, "num_segments", None)
        for name, size in sizes.items():
            check_rows(name, x.get(name) if isinstance(x, dict) else None, size)

    def raw_lengths(self, examples):
        """The number of tokens of each text or pair, special tokens included.

        Args:
            examples: As from `read_raw`.

        Returns:
            Integers `(n,)`.

        Raises:
            ValueError: A text is too long.
        """
        texts = self.task.flatten(examples)
        lengths = self.tokenizer.count(*split_pairs(texts), **self._limits())
        if self.max_length is not None and lengths.max() > self.max_length:
            i = int(np.argmax(lengths > self.max_length))
            raise ValueError(
                f"Text {i} needs {lengths[i]} tokens, and this model reads at most "
                f"{self.max_length}: {shorten(texts[i])}. The longest needs "
                f"{lengths.max()}. To cut them, set model.tokenizer.truncate = True."
            )
        lengths = self.task.unflatten(lengths, examples)
        return lengths.reshape(len(examples), -1).max(axis=1)

    def prepare(self, examples, length=None):
        """The inputs of the model for a batch.

        Args:
            examples: As from `read_raw`.
            length: T. By default that of the longest.

        Returns:
            Dict of arrays `(B, T)`, or `(B, C, T)` where texts have C choices.
        """
        inputs = self.encode_examples(examples, length, **self.task.encoding)
        return self.task.complete(self, inputs)

    def encode_examples(self, examples, length=None, **options):
        """What the tokenizer makes of examples.

        Args:
            examples: As from `read_raw`.
            length: T. By default that of the longest.
            **options: Of the tokenizer, such as `return_offsets`.

        Returns:
            Dict of arrays with a row for each example.
        """
        options = {**options, **self._limits()}
        texts = split_pairs(self.task.flatten(examples))
        inputs = self.tokenizer(*texts, padded_length=length, **options)
        names = {tensor.name for tensor in self.inputs} | options.keys()
        return {
            name: self.task.unflatten(array, examples)
            for name, array in inputs.items()
            if name in names or name not in INPUTS
        }

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
        if isinstance(labels, dict):
            return {name: np.asarray(part) for name, part in labels.items()}
        return self.task.read_labels(self, labels, examples)

    def take_labels(self, examples, labels):
        """What is learned from: texts may be their own labels; see above.

        Args:
            examples: As from `read_raw`.
            labels: What `fit` or `evaluate` received for `y`, or `None`.

        Returns:
            The examples, prompts with their answers, and the labels.

        Raises:
            ValueError: The head needs labels, or others.
        """
        return self.task.take_labels(self, examples, labels)

    def prepare_to_learn(self, examples, labels, length=None, seed=None):
        """The inputs of the model for a batch, with what it is to answer.

        Args:
            examples: As from `read_raw`.
            labels: The rows of the batch of what `read_labels` returned.
            length: T.
            seed: Integers on which depends which words are hidden. By default the state
                of NumPy.

        Returns:
            The inputs, the targets, and the weights of these or `None`: `(B,)`; of
            words and tokens both `(B, T)`; of answers a dict with `start` and `end`,
            the first and the last token `(B,)`.
        """
        return self.task.prepare_to_learn(self, examples, labels, length, seed)

    def has_output_for_each_token(self):
        """Whether each of the outputs is padded to the longest example."""
        return [
            self.head != "multiple_choice" and None in tensor.shape[1:2]
            for tensor in self.outputs
        ]

    def _limits(self):
        """How long a text may become, if it is to be cut."""
        if not self.tokenizer.truncate:
            return {}
        limits = self.tokenizer.max_length, self.max_length
        limits = [limit for limit in limits if limit is not None]
        return {"max_length": min(limits)} if limits else {}


def text_inputs(head, *names):
    """The inputs of a text model, and the texts in them, one a row.

    Args:
        head: The head of the model.
        *names: Some of `token_ids`, `padding_mask` and `segment_ids`, and of what
            XLNet reads besides, `permutation_mask` and `target_positions`, or
            `answer_mask` and `start_positions`.

    Returns:
        Dict of `keras.Input`, `(B, T)`, or `(B, C, T)` where each text has C choices,
        and `(B, T, T)` for what is of pairs of tokens;
        and a list of what the encoder reads, `(B, T)` or `(B C, T)`.

    Example:

    >>> inputs, (token_ids,) = text_inputs(None, "token_ids")
    >>> token_ids.shape
    (None, None)
    """
    has_choices = head == "multiple_choice"
    inputs = {}
    for name in names:
        shape = (None,) * (1 + has_choices + (name in PAIRWISE))
        inputs[name] = keras.Input(shape, dtype=INPUTS[name], name=name)
    if not has_choices:
        return inputs, list(inputs.values())
    return inputs, [SplitChoices()(tensor) for tensor in inputs.values()]


def attach_head(head, encoded):
    """The outputs of a model with a head.

    Args:
        head: The name of the head.
        encoded: An `EncodedText`.

    Returns:
        What the head makes of it.

    Example:

    >>> from keras_attention.tasks.task_head import EncodedText
    >>> attach_head("regression", EncodedText(keras.Input((5, 8)), num_classes=1)).shape
    (None, 1)
    """
    return TEXT_HEADS[head].attach(encoded)
