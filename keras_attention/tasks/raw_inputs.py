"""Models that are trained on what people have: texts, pictures, names of files.

Letters for axes: n examples, B of them in a batch.
"""

import inspect

import keras
import numpy as np

from keras_attention.tasks.class_ids import class_ids
from keras_attention.tasks.raw_dataset import RawDataset
from keras_attention.tasks.raw_streams import open_stream
from keras_attention.tasks.raw_streams import PreparedDataset
from keras_attention.tokenizers.vocabulary import read_strings

SHORTEST = 8  # a padded sequence; shorter ones are hardly faster


class RawInputs:
    """Lets `fit`, `evaluate` and `predict` take raw inputs, besides prepared ones.

    Abstract: put it before `Application` among the bases of a class, and define

    - `read_raw(x)`: the list of examples in `x`, or `None` where `x` is prepared;
    - `prepare(examples, length)`: the inputs of the model for B examples;
    - `raw_lengths(examples)`, for examples that differ in length.

    Raw inputs are what `read_raw` accepts, or a `tf.data.Dataset`, a torch
    `DataLoader`, a `keras.utils.PyDataset` (whose workers prepare the batches) or a
    generator of batches of it. A batch is prepared when it is needed.
    Examples of similar length are put together and padded to few lengths (8, 12, 16,
    24, 32, 48 and so on), so that little is computed for padding and JAX and TensorFlow
    compile seldom. Nothing is padded beyond `longest_input`.

    Labels may be names, where the model has `class_names`.
    """

    @property
    def longest_input(self):
        """Most tokens that the model reads, its `max_length`, or `None`."""
        return getattr(self, "max_length", None)

    def read_raw(self, x):
        """The examples in raw inputs.

        Args:
            x: What `fit`, `evaluate` or `predict` received, or a batch of it.

        Returns:
            List of n examples, or `None` where `x` is prepared.

        Raises:
            ValueError: An example cannot be used.
        """
        raise NotImplementedError

    def prepare(self, examples, length=None):
        """The inputs of the model for a batch.

        Args:
            examples: List of B examples.
            length: What they are padded to, if they have lengths.

        Returns:
            What the model takes, of NumPy arrays.
        """
        raise NotImplementedError

    def check_prepared(self, x):
        """Refuses prepared inputs that a compiled function would take for others.

        Args:
            x: What `fit`, `evaluate` or `predict` received.

        Raises:
            ValueError: An input is none.
        """

    def check_prepared_labels(self, labels):
        """Refuses numbers of classes that a classifier does not have.

        A compiled loss would take them for none, or for others.

        Args:
            labels: What `fit` or `evaluate` received for `y`; integers `(n,)` or
                `(n, 1)` are looked at.

        Raises:
            ValueError: A number is no class.
        """
        is_integers = isinstance(labels, np.ndarray) and labels.dtype.kind in "iu"
        if not is_integers or labels.shape[1:] not in ((), (1,)):
            return
        shape = self.output_shape
        if isinstance(shape, tuple) and len(shape) == 2:
            class_ids(labels.reshape(-1), num_classes=shape[-1])

    def raw_lengths(self, examples):
        """The lengths that examples have once they are prepared.

        Args:
            examples: List of n examples.

        Returns:
            Integers `(n,)`, or `None` where all become equally large.
        """
        return None

    def read_labels(self, labels, examples):
        """Labels as numbers.

        Args:
            labels: What `fit` or `evaluate` received for `y`.
            examples: List of n examples.

        Returns:
            Array with n rows, a dict of such arrays, or a list of n arrays.

        Raises:
            ValueError: A name or a number is no class.
        """
        if isinstance(labels, dict):
            return {name: np.asarray(part) for name, part in labels.items()}
        shape = self.output_shape
        is_classifier = isinstance(shape, tuple) and len(shape) == 2
        num_classes = shape[-1] if is_classifier else None
        return class_ids(labels, getattr(self, "class_names", None), num_classes)

    def take_labels(self, examples, labels):
        """What is learned from, before labels are read.

        Here all as it is. Where examples are their own labels, they are returned twice.

        Args:
            examples: List of n examples.
            labels: What `fit` or `evaluate` received for `y`, or `None`.

        Returns:
            The examples and the labels.

        Raises:
            ValueError: The model needs labels, or others.
        """
        return examples, labels

    def prepare_to_learn(self, examples, labels, length=None, seed=None):
        """The inputs of the model for a batch, with what it is to answer.

        Args:
            examples: List of B examples.
            labels: The rows of the batch of what `read_labels` returned.
            length: As in `prepare`.
            seed: Integers on which depends what is drawn for the batch, if anything is.
                By default it depends on the state of NumPy.

        Returns:
            The inputs, the targets, and the weights of these or `None`.
        """
        return self.prepare(examples, length), labels, None

    def has_output_for_each_token(self):
        """Whether each of the outputs is padded to the longest example.

        Returns:
            List of booleans, one for each output.
        """
        return [None in tensor.shape[1:2] for tensor in self.outputs]

    # What Keras has.

    def fit(self, x=None, y=None, *args, **kwargs):
        """Trains, as Keras does; inputs and labels may be raw."""
        call = _arguments(super().fit, x, y, *args, **kwargs)
        shuffle, batch_size = call.get("shuffle", True), call.get("batch_size")
        validation_size = call.get("validation_batch_size") or batch_size
        validation = call.get("validation_data")
        given = call.get("x")
        data = self._open(call, batch_size, shuffle, sort=shuffle)
        if validation is not None:
            if is_list_of_examples(validation):  # not what `(x, y)` is
                validation = (validation,)
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(validation)
            parts = {"x": x, "y": y, "sample_weight": sample_weight}
            if self._open(parts, validation_size) is not None:
                call["validation_data"] = parts["x"]
        elif isinstance(data, RawDataset) and call.get("validation_split"):
            split = call.pop("validation_split")
            call["x"], call["validation_data"] = data.split(split, validation_size)
        if call.get("x") is not given:
            can_shuffle = isinstance(data, RawDataset | PreparedDataset)
            call["shuffle"] = shuffle and can_shuffle
        if data is not None:
            call["validation_batch_size"] = validation_size
            if call.get("class_weight") is not None:
                call["class_weight"] = self._weights_by_number(call["class_weight"])
        return super().fit(**call)

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Evaluates, as Keras does; inputs and labels may be raw."""
        call = _arguments(super().evaluate, x, y, *args, **kwargs)
        self._open(call, call.get("batch_size"), sort=call.get("steps") is None)
        return super().evaluate(**call)

    def predict(self, x, *args, **kwargs):
        """Predicts, as Keras does; inputs may be raw.

        The outputs are in the order of the inputs. Where each token has one, they are
        padded to the longest example.
        """
        call = _arguments(super().predict, x, *args, **kwargs)
        of_tokens = self.has_output_for_each_token()
        sort = call.get("steps") is None and not any(of_tokens)
        fill = keras.backend.backend() != "torch"  # where sizes are compiled
        data = self._open(call, call.get("batch_size"), sort=sort, fill=fill)
        outputs = super().predict(**call)
        if not isinstance(data, RawDataset):
            return outputs
        # Each example once, in their order.
        count = len(keras.tree.flatten(outputs)[0])
        _, places = np.unique(np.concatenate(data.batches)[:count], return_index=True)
        outputs = keras.tree.map_structure(lambda output: output[places], outputs)
        if not any(of_tokens):
            return outputs
        parts = zip(keras.tree.flatten(outputs), self.outputs, of_tokens, strict=True)
        parts = [
            part[as_far_as(data.longest, tensor.shape)] if cut else part
            for part, tensor, cut in parts
        ]
        return keras.tree.pack_sequence_as(outputs, parts)

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Trains on one batch, as Keras does; inputs and labels may be raw."""
        if kwargs.get("class_weight") is not None:
            kwargs["class_weight"] = self._weights_by_number(kwargs["class_weight"])
        batch = self._prepare_batch(x, y, sample_weight, learns=True)
        return super().train_on_batch(*batch, **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """Evaluates one batch, as Keras does; inputs and labels may be raw."""
        batch = self._prepare_batch(x, y, sample_weight, learns=True, seed=0)
        return super().test_on_batch(*batch, **kwargs)

    def predict_on_batch(self, x):
        """Predicts one batch, as Keras does; inputs may be raw."""
        return super().predict_on_batch(self._prepare_batch(x)[0])

    def collate(self, rows):
        """A batch to learn from, of rows of a data set.

        The `collate_fn` of a torch `DataLoader`, whose workers prepare batches with it.

        Args:
            rows: List of B examples, or of tuples: an example, its label and, if there
                are any, its weight. An example that is a tuple itself, as a pair of
                texts is, stands in such a tuple in any case.

        Returns:
            Tuple of the inputs, the targets and, if there are any, the weights.
        """
        columns = zip(*rows, strict=True) if isinstance(rows[0], tuple) else (rows,)
        parts = self._prepare_batch(*map(list, columns), learns=True)
        return tuple(part for part in parts if part is not None)

    def _open(self, call, batch_size, shuffle=False, sort=True, fill=False):
        """Puts what Keras takes for raw inputs into the arguments of a call.

        It returns this data set, or `None` where the inputs are prepared.
        """
        x, y, weights = (call.get(name) for name in ("x", "y", "sample_weight"))
        learns = "y" in call  # `predict` has none
        examples = self._read_examples(x)
        if examples is not None:
            targets = self._read_targets(examples, y, weights, learns)
            data = RawDataset(self, *targets, batch_size, shuffle, sort, fill)
        elif y is None:
            x, is_raw = open_stream(self, x, learns, shuffle)
            data = x if is_raw else None
        else:
            self.check_prepared_labels(y)
            data = None
        if x is not None:
            call["x"] = x
        if data is not None:
            call["x"] = data
            for name in ("y", "sample_weight", "batch_size"):
                call.pop(name, None)
        return data

    def _read_examples(self, x):
        is_ready = x is None or isinstance(x, keras.utils.PyDataset)
        examples = None if is_ready else self.read_raw(x)
        if examples is None:
            self.check_prepared(x)
        if examples is not None and not len(examples):
            raise ValueError(
                "At least one example is needed. Received none. Pass a list that is "
                "not empty."
            )
        return examples

    def _read_targets(self, examples, labels, weights, learns):
        """The examples, labels as numbers, and weights, one for each example."""
        labels = read_strings(labels)
        if learns:
            examples, labels = self.take_labels(examples, labels)
        if labels is not None:
            labels = self.read_labels(labels, examples)
        if weights is not None:
            weights = np.asarray(weights)
        parts = labels if isinstance(labels, dict) else {"y": labels}
        for name, part in {**parts, "sample_weight": weights}.items():
            if part is not None and len(part) != len(examples):
                raise ValueError(
                    f"`{name}` must hold one entry for each example. Received: "
                    f"{len(examples)} examples and {len(part)} entries."
                )
        return examples, labels, weights

    def _prepare_batch(
        self,
        x,
        labels=None,
        weights=None,
        learns=False,
        seed=None,
        shortest=None,
        unlike=None,
    ):
        """Inputs, targets and weights, of which the last two may be `None`.

        Of the lengths that come into question it takes none below `shortest`, and not
        `unlike`.
        """
        batch = self._read_batch(x, labels, weights, learns)
        if batch is None:
            self.check_prepared_labels(labels)
            return x, labels, weights
        examples, labels, weights = batch
        length = self.raw_lengths(examples)
        if length is not None:
            length = self.padded_length(max(*length, shortest or 1))
            if length == unlike:
                length = self.padded_length(length + 1)
        return self._prepare_rows(examples, labels, weights, length, seed)

    def _read_batch(self, x, labels=None, weights=None, learns=False):
        """Examples, labels as numbers, and weights; `None` for a prepared batch."""
        examples = self._read_examples(x)
        if examples is None:
            return None
        learns = learns or labels is not None
        return self._read_targets(examples, labels, weights, learns)

    def lengths_of_batch(self, batch, learns=False):
        """The lengths of the examples in a raw batch, with what is learned.

        Args:
            batch: Tuple of inputs and, if there are any, labels and weights.
            learns: Whether targets are needed.

        Returns:
            As `raw_lengths`.
        """
        return self.raw_lengths(self._read_batch(*batch, learns=learns)[0])

    def _prepare_rows(self, examples, labels, weights, length, seed=None):
        if labels is None:
            return self.prepare(examples, length), None, weights
        inputs, targets, own_weights = self.prepare_to_learn(
            examples, labels, length, seed
        )
        if own_weights is None or weights is None:
            return inputs, targets, weights if own_weights is None else own_weights

        def weighted(own):
            return own * weights.reshape(*weights.shape, *(1,) * (own.ndim - 1))

        return inputs, targets, keras.tree.map_structure(weighted, own_weights)

    def padded_length(self, length):
        """The next of 8, 12, 16, 24, 32, ..., or the most that the model takes.

        Args:
            length: Of the longest example.

        Returns:
            An integer.
        """
        power = max(SHORTEST, 1 << (int(length) - 1).bit_length())
        padded = (
            power * 3 // 4 if SHORTEST < power and length <= power * 3 // 4 else power
        )
        return min(padded, self.longest_input or padded)

    def _weights_by_number(self, class_weight):
        """Weights of classes by number, where they are by name."""
        names = getattr(self, "class_names", None) or ()
        numbers = {name: number for number, name in enumerate(names)}
        return {numbers.get(key, key): value for key, value in class_weight.items()}


def is_list_of_examples(x):
    """Whether it is a list of strings, or of tuples of strings."""

    def is_example(x):
        return isinstance(x, str) or (isinstance(x, tuple) and all(map(is_example, x)))

    return isinstance(x, list) and all(map(is_example, x))


def as_far_as(length, shape):
    """The places of an array, up to a length in the axes whose size is not known.

    Args:
        length: An integer.
        shape: Shape of the output of a model.

    Returns:
        Tuple of slices.

    Example:

    >>> as_far_as(3, (None, None, 7))
    (slice(None, None, None), slice(None, 3, None), slice(None, None, None))
    """
    axes = [slice(length) if size is None else slice(None) for size in shape[1:]]
    return slice(None), *axes


def _arguments(function, *args, **kwargs):
    """The arguments of a call by name, however they were passed."""
    found = inspect.signature(function).bind(*args, **kwargs).arguments
    others = found.pop("kwargs", {})
    return {**found, **others}
