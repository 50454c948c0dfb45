"""Batches that are a function of the epoch, so that training can be resumed."""

import operator

import keras
import numpy as np


class EpochDataset(keras.utils.PyDataset):
    """Batches of rows in an order that only the seed and the epoch decide.

    Abstract: a subclass makes `__getitem__` of `rows_of`.

    Args:
        num_rows: Number of rows.
        batch_size: B, rows of a batch.
        num_parts: How many epochs it takes to show all rows.
        shuffle: Draw another order for each pass.
        seed: Seed of the orders.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.
    """

    def __init__(self, num_rows, batch_size, num_parts, shuffle, seed, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("batch_size", batch_size), ("num_parts", num_parts)):
            if operator.index(value) < 1:
                raise ValueError(
                    f"`{name}` must be 1 or more. Received: {name}={value}"
                )
        self.num_rows, self.batch_size = num_rows, batch_size
        self.batches_of_a_pass = -(-num_rows // batch_size)
        self.num_parts = min(num_parts, self.batches_of_a_pass)
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self._order = None, None

    def __len__(self):
        return self.batches_of_a_pass // self.num_parts

    def on_epoch_end(self):
        self.epoch += 1

    @property
    def pass_index(self):
        """How often all rows were shown before; 0 where nothing is shuffled."""
        return self.epoch // self.num_parts if self.shuffle else 0

    def generator(self, *numbers):
        """A NumPy generator for this pass and for what the numbers stand for.

        The first number says what is drawn, 0 for the order of the rows.
        """
        return np.random.default_rng((self.seed, self.pass_index, *numbers))

    def rows_of(self, index):
        """The rows of a batch.

        Args:
            index: Number of the batch in this epoch.

        Returns:
            The number of the batch in this pass; integers `(B,)`, the rows, of which
            the last is repeated to fill up the last batch; and booleans `(B,)`, False
            for what fills up.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        number = self.epoch % self.num_parts * len(self) + index
        places = number * self.batch_size + np.arange(self.batch_size)
        counts = places < self.num_rows
        places = np.minimum(places, self.num_rows - 1)
        return number, self._rows_in_order()[places], counts

    def _rows_in_order(self):
        drawn, order = self._order
        if drawn != self.pass_index:
            drawn, order = self.pass_index, np.arange(self.num_rows)
            if self.shuffle:
                self.generator(0).shuffle(order)
            self._order = drawn, order
        return order


class FollowEpochs(keras.callbacks.Callback):
    """Tells data sets which epoch begins, so that training goes on where it was.

    Without it they count the epochs that they were asked for. Training that was killed,
    and is resumed with `keras.callbacks.BackupAndRestore` or with `initial_epoch`,
    needs them to begin elsewhere: with this callback each epoch has the batches that it
    would have had. Where the model has a `seed` for its dropout, it ends with the same
    weights as if it had not been killed.

    `fit` needs `shuffle=False`. The data sets shuffle their rows themselves; Keras
    would shuffle the batches once more, each time in another way.

    Args:
        *datasets: `LanguageModelDataset`, `MaskedLanguageModelDataset`,
            `PermutationLanguageModelDataset`, `MaskedImageDataset`,
            `AugmentedImageDataset`.

    Raises:
        ValueError: One is of another kind.

    Example:

        model.fit(
            dataset,
            epochs=20,
            shuffle=False,
            callbacks=[
                keras.callbacks.BackupAndRestore("backup", double_checkpoint=True),
                FollowEpochs(dataset),
            ],
        )

    >>> FollowEpochs([1, 2, 3])
    Traceback (most recent call last):
        ...
    ValueError: Expected a `LanguageModelDataset`, a `MaskedLanguageModelDataset` or a
    `PermutationLanguageModelDataset`. Received: [1, 2, 3]
    """

    def __init__(self, *datasets):
        super().__init__()
        for dataset in datasets:
            if not isinstance(dataset, EpochDataset):
                raise ValueError(
                    "Expected a `LanguageModelDataset`, a "
                    "`MaskedLanguageModelDataset` or a "
                    f"`PermutationLanguageModelDataset`. Received: {dataset!r}"
                )
        self.datasets = datasets

    def on_epoch_begin(self, epoch, logs=None):
        for dataset in self.datasets:
            dataset.epoch = epoch
