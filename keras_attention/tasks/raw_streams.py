"""Batches of raw examples that come from elsewhere: generators, loaders, data sets."""

import itertools
import types

import keras

from keras_attention.backend.streams import to_tensorflow_dataset


def open_stream(model, x, learns=False, shuffle=False):
    """What Keras takes for a stream whose batches a model has to prepare.

    Batches are examples, or a tuple of them with their labels and with weights. A
    `keras.utils.PyDataset` keeps its workers. Prepared batches go through, too, where
    Keras would not read them: as dicts of a `DataLoader`, and of varied lengths on
    TensorFlow.

    Args:
        model: A model with `RawInputs`.
        x: What `fit`, `evaluate` or `predict` received.
        learns: Whether targets are needed.
        shuffle: Whether what is drawn for a batch is another in each epoch.

    Returns:
        What takes the place of `x`; and whether its batches are prepared by the model,
        or `None` where it is no stream.
    """
    is_stream = hasattr(x, "__iter__") and not hasattr(x, "__array__")
    is_dataset = isinstance(x, keras.utils.PyDataset)
    if not is_stream or isinstance(x, dict | list | tuple | Prepared):
        return x, None

    def prepare(batch, number, **options):
        seed = None if shuffle else number
        parts = parts_of(batch)
        parts = model._prepare_batch(*parts, learns=learns, seed=seed, **options)
        parts = tuple(part for part in parts if part is not None)
        return keras.tree.map_structure(keras.ops.convert_to_numpy, parts)

    if is_dataset:
        is_raw = model.read_raw(parts_of(x[0])[0]) is not None
        return (PreparedDataset(x, model, prepare, learns) if is_raw else x), is_raw
    is_tensorflow = hasattr(x, "element_spec")
    begin = getattr(x, "as_numpy_iterator", x.__iter__)
    first = next(iter(begin()), None)
    if isinstance(x, types.GeneratorType) and first is not None:
        # What was taken out to look at it comes first again.
        x = (batch for batch in itertools.chain([first], x))
        begin = x.__iter__
    is_raw = first is not None and model.read_raw(parts_of(first)[0]) is not None
    needs_tensorflow = is_tensorflow or keras.backend.backend() == "tensorflow"
    is_read_by_keras = is_tensorflow or (
        isinstance(x, types.GeneratorType) and not needs_tensorflow
    )
    if first is None or (not is_raw and is_read_by_keras):
        return x, False

    def iterate():
        return (prepare(batch, number) for number, batch in enumerate(begin()))

    try:
        count = len(x)
    except TypeError:  # nobody knows
        count = None
    if needs_tensorflow:
        same_size = is_raw and model.lengths_of_batch(parts_of(first), learns) is None
        x = to_tensorflow_dataset(iterate, prepare(first, 0), count, same_size)
        return x, is_raw
    return (iterate() if count is None else PreparedStream(iterate, count)), is_raw


class Prepared(keras.utils.PyDataset):
    """Marks batches that are prepared."""


class PreparedStream(Prepared):
    """Batches in the order in which something gives them, such as a `DataLoader`.

    Args:
        iterate: Function without arguments that begins to yield batches anew.
        count: How many there are.
    """

    def __init__(self, iterate, count):
        super().__init__()
        self.iterate, self.count = iterate, count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if index == 0:
            self._batches = self.iterate()
        return next(self._batches)


class PreparedDataset(Prepared):
    """The batches of another data set, prepared when they are asked for.

    Its workers prepare them.

    Args:
        dataset: A `keras.utils.PyDataset` of raw batches.
        model: A model with `RawInputs`.
        prepare: Function of a batch and its number, with an option `lengths`.
        learns: Whether targets are needed.
    """

    def __init__(self, dataset, model, prepare, learns=False):
        super().__init__(
            dataset.workers, dataset.use_multiprocessing, dataset.max_queue_size
        )
        self.dataset, self.prepare = dataset, prepare
        self.shortest = self.unlike = None
        if keras.backend.backend() == "tensorflow":
            # TensorFlow takes for fixed what the first two batches have in common.
            # So the second gets another length; or, where the first has all there is,
            # each batch gets it.
            lengths = model.lengths_of_batch(parts_of(dataset[0]), learns)
            if lengths is not None:
                length = model.padded_length(max(lengths))
                is_most = model.padded_length(length + 1) == length
                self.shortest = length if is_most else None
                self.unlike = None if is_most else length

    @property
    def num_batches(self):
        return self.dataset.num_batches

    def __getitem__(self, index):
        unlike = self.unlike if index == 1 else None
        return self.prepare(
            self.dataset[index], index, shortest=self.shortest, unlike=unlike
        )

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


def parts_of(batch):
    """What a batch of a stream may be: inputs, or with targets and weights."""
    is_list = isinstance(batch, list) and isinstance(batch[0], dict | list | tuple)
    parts = tuple(batch) if isinstance(batch, tuple) or is_list else (batch,)
    if len(parts) > 3:
        raise ValueError(
            "A batch is inputs, or a tuple of inputs, targets and weights. Received "
            f"{len(parts)} parts. Yield pairs as columns, (texts, pairs)."
        )
    return parts
