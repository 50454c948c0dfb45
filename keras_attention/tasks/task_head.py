"""A head: what follows an encoder for one task, how it learns and what it answers.

The word is that of fine-tuning. What reads in parallel is called an attention head.

Letters: B sequences, T tokens, D width of a token, V vocabulary, C classes.
"""

import dataclasses
import types
import zlib

import keras

from keras_attention.checks import check_positive
from keras_attention.layers.base import another
from keras_attention.layers.channel_bias import ChannelBias
from keras_attention.layers.last_token import LastToken
from keras_attention.ops.activations import ACTIVATIONS
from keras_attention.tasks.class_ids import class_ids

# The layers that heads share, by name.
POOLER = ("pooler",)
WORDS = (
    "masked_language_model_dense",
    "masked_language_model_norm",
    "masked_language_model_head",
    "masked_language_model_bias",
)
CLASSES = ("classifier",)


class TaskHead:
    """What follows an encoder for one task.

    Abstract. Each task has one, an object without weights that serves all models: the
    layers that `attach` makes belong to the model. A subclass sets

    - `name`: the value of `head` that asks for it;
    - `layers`: names of the layers that it makes, new where another head was saved;
    - `num_classes`: how many classes it has by default, `None` for a task without;
    - `dataset`: the data set that makes its labels of a file of text, if there is one;
    - `encoding`: what it asks the tokenizer for besides token ids, if anything.

    Example:

    >>> class Length(TaskHead):
    ...     name = "length"
    ...     layers = ("length",)
    ...     def attach(self, text):
    ...         return keras.layers.Dense(1, name="length")(text.pooled())
    >>> Length().attach(EncodedText(keras.Input((None, 8)))).shape
    (None, 1)
    """

    name = None
    layers = ()
    num_classes = None
    dataset = None
    encoding = types.MappingProxyType({})

    def attach(self, encoded):
        """Makes the layers of the head, and calls them.

        Args:
            encoded: What they read, such as an `EncodedText`.

        Returns:
            The outputs of the model.
        """
        raise NotImplementedError

    def count_classes(self, num_classes, class_names):
        """Checks how many classes there are.

        Args:
            num_classes: Number of classes, or `None`.
            class_names: Their names, or `None`.

        Returns:
            The number, by default as many as there are names; `None` for a task
            without classes.

        Raises:
            ValueError: The task has no classes, or not as many as there are names.
        """
        if self.num_classes is None:
            if num_classes is None and class_names is None:
                return None
            raise ValueError(
                "`num_classes` and `class_names` are for a model that classifies. "
                f"Received: head={self.name!r}, num_classes={num_classes}. Pass "
                'head="classification".'
            )
        return count_classes(num_classes, class_names, self.num_classes)

    # What a user passes, and gets.

    def flatten(self, examples):
        """The texts, or pairs of them, that the tokenizer reads for some examples."""
        return examples

    def unflatten(self, array, examples):
        """What was made of each text, `(rows, ...)`, laid together by example."""
        return array

    def complete(self, model, inputs):
        """The inputs of the model for texts that it is to answer about.

        Args:
            model: The model.
            inputs: What the tokenizer made of the texts.

        Returns:
            Dict of arrays.
        """
        return inputs

    def take_labels(self, model, examples, labels):
        """What is learned from, before labels are read; see `RawInputs.take_labels`.

        Args:
            model: The model.
            examples: The texts or pictures.
            labels: What `fit` or `evaluate` received for `y`, or `None`.

        Returns:
            The examples and the labels.

        Raises:
            ValueError: There are no labels, where the task needs them, or others.
        """
        if labels is not None:
            return examples, labels
        how = "Pass one for each text: fit(texts, labels)."
        if self.dataset:
            how += (
                f" Or write the texts to a file and pass `{self.dataset}(path, "
                "model.tokenizer)` of `keras_attention.data`, which makes them, to "
                "`fit`."
            )
        raise ValueError(
            f"{type(model).__name__} with head={self.name!r} learns from labels. "
            f"Received texts alone. {how}"
        )

    def read_labels(self, model, labels, examples):
        """Labels as numbers.

        Args:
            model: The model.
            labels: What `fit` or `evaluate` received for `y`.
            examples: The texts or pictures.

        Returns:
            Array with n rows, a dict of such arrays, or a list of n arrays.

        Raises:
            ValueError: A label is none.
        """
        return class_ids(labels)

    def prepare_labels(self, model, labels, examples, length=None):
        """The targets of a batch, and their weights or `None`.

        Args:
            model: The model.
            labels: The rows of the batch of what `read_labels` returned.
            examples: Those of the batch.
            length: T.
        """
        return labels, None

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        """The inputs, the targets and their weights; see `RawInputs.prepare_to_learn`.

        Args:
            model: The model.
            examples: Those of the batch.
            labels: The rows of the batch of what `read_labels` returned.
            length: T.
            seed: Integers on which depends what is drawn, if anything is.
        """
        targets = self.prepare_labels(model, labels, examples, length)
        return model.prepare(examples, length), *targets

    def classify(self, model, examples, batch_size=None):
        """The class of each example, and the probabilities of all classes."""
        raise ValueError(
            f"This {type(model).__name__} has head={self.name!r}, so it does not "
            'classify. Load it with head="classification".'
        )

    def answer(
        self,
        model,
        examples,
        batch_size=None,
        max_answer_length=30,
        null_threshold=None,
    ):
        """The part of each second text that answers the first."""
        raise ValueError(
            f"This {type(model).__name__} has head={self.name!r}, so it answers no "
            'questions. Load it with head="question_answering".'
        )

    def choose(self, model, examples, batch_size=None):
        """The most probable of the choices that each text has."""
        raise ValueError(
            f"This {type(model).__name__} has head={self.name!r}, so it chooses "
            'nothing. Load it with head="multiple_choice".'
        )


@dataclasses.dataclass
class EncodedText:
    """What an encoder made of texts, and how its paper pools them and predicts words.

    Args:
        tokens: `(B, T, D)`.
        embedding: The layer that made vectors of the token ids, with a
            `token_embedding`, for heads that predict words.
        padding_mask: `(B, T)`, for a sequence that its last token stands for.
        answer_mask: `(B, T)`, for a head that searches for answers.
        start_positions: `(B, K)`, for that head; see `AnswerSpans`.
        token_ids: `(B, C, T)`, where texts have choices.
        pooled_from: Which token stands for the whole text: `"first"`, `"last"` of those
            that are no padding, or `"end"`, whatever stands there.
        pooler: Activation of the layer behind it, or `None` for no such layer.
        pooler_dropout: Fraction dropped in front of that layer.
        has_pooled_output: Whether a model without a head returns that, too.
        activation: Activation of the layer that predicts words, or tells which were
            replaced.
        epsilon: Of its norm.
        tie_embeddings: Whether words are predicted by the table that is read.
        second_task: Name of the head that is pretrained beside the masked words.
        num_classes: C.
        dropout: Fraction dropped in front of the classes.
        answer_dropout: Fraction dropped in front of the places of answers.
        use_bias: Whether the classes have biases.
        initializer: Initializer of the kernels of heads.
        seed: Integer, for reproducible dropout.
    """

    tokens: object
    embedding: object = None
    padding_mask: object = None
    answer_mask: object = None
    start_positions: object = None
    token_ids: object = None
    pooled_from: str = "first"
    pooler: str | None = "tanh"
    pooler_dropout: float = 0.0
    has_pooled_output: bool = True
    activation: str = "gelu"
    epsilon: float = 1e-12
    tie_embeddings: bool = True
    second_task: str = "next_sentence"
    num_classes: int | None = None
    dropout: float = 0.0
    answer_dropout: float = 0.0
    use_bias: bool = True
    initializer: object = "glorot_uniform"
    seed: int | None = None

    def pooled(self):
        """One vector for each text, `(B, D)`."""
        x = self.tokens
        if self.pooled_from == "last":
            x = LastToken(name="last_token")(x, self.padding_mask)
        else:
            x = x[:, -1 if self.pooled_from == "end" else 0]
        if self.pooler is None:
            return x
        if self.pooler_dropout:
            x = self.dropped(x, self.pooler_dropout, "pooler_dropout")
        x = self.dense(x, self.tokens.shape[-1], "pooler")
        return ACTIVATIONS[self.pooler](x)

    def words(self):
        """Logits of the word at each place, `(B, T, V)`."""
        table = self.embedding.token_embedding
        x = self.dense(self.tokens, table.output_dim, "masked_language_model_dense")
        x = ACTIVATIONS[self.activation](x)
        x = keras.layers.LayerNormalization(
            epsilon=self.epsilon, name="masked_language_model_norm"
        )(x)
        if self.tie_embeddings:
            x = table(x, reverse=True)
        else:
            x = self.dense(
                x, table.input_dim, "masked_language_model_head", use_bias=False
            )
        return ChannelBias(name="masked_language_model_bias")(x)

    def classes(self, x):
        """Logits `(..., C)` of `x` `(..., D)`."""
        x = self.dropped(x, self.dropout, "classifier_dropout")
        return self.dense(x, self.num_classes, "classifier", use_bias=self.use_bias)

    def dense(self, x, units, name, **options):
        """Projects `x` by a layer of the head, with first values of its own."""
        initializer = another(self.initializer, zlib.crc32(name.encode()) % 1000)
        return dense(x, units, name, kernel_initializer=initializer, **options)

    def dropped(self, x, rate, name):
        """`x` with a fraction dropped in training."""
        return keras.layers.Dropout(rate, seed=self.seed, name=name)(x)


def dense(x, units, name, **options):
    """Projects `x` by a layer of the head."""
    return keras.layers.Dense(units, name=name, **options)(x)


def count_classes(num_classes, class_names, by_default=2):
    """Checks how many classes there are.

    Args:
        num_classes: Number of classes, or `None`.
        class_names: Their names, or `None`.
        by_default: The number where neither is given.

    Returns:
        The number of classes.

    Raises:
        ValueError: There are not as many classes as names.

    Example:

    >>> count_classes(None, ["cat", "dog", "fox"])
    3
    """
    if num_classes is None:
        return by_default if class_names is None else len(class_names)
    check_positive(num_classes=num_classes)
    if class_names is not None and len(class_names) != num_classes:
        raise ValueError(
            f"`class_names` must be as many as there are classes. Received: "
            f"num_classes={num_classes}, {len(class_names)} names."
        )
    return num_classes
