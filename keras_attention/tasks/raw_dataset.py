"""Batches of raw examples, which a model prepares when they are asked for.

Letters for axes: n examples, B of them in a batch.
"""

import operator

import numpy as np

from keras_attention.tasks.raw_streams import Prepared

GROUP = 50  # batches that are sorted by length together


class RawDataset(Prepared):
    """Batches of raw examples, which are prepared when they are asked for.

    Args:
        model: A model with `RawInputs`.
        examples: List of n examples.
        labels: What `read_labels` returned, or `None`.
        weights: `(n,)`, or `None`.
        batch_size: B, by default 32.
        shuffle: Draw other batches for each epoch, and of them anew what is drawn.
        sort: Put examples of similar length together. Without, they stay in their order
            and all are padded to the longest.
        fill: Repeat the last example of a short batch up to a power of two of them, so
            that few sizes are compiled.

    Raises:
        ValueError: `batch_size` is less than 1.
    """

    def __init__(
        self,
        model,
        examples,
        labels=None,
        weights=None,
        batch_size=None,
        shuffle=False,
        sort=True,
        fill=False,
    ):
        super().__init__()
        batch_size = 32 if batch_size is None else operator.index(batch_size)
        if batch_size < 1:
            raise ValueError(
                f"`batch_size` must be 1 or more. Received: batch_size={batch_size}"
            )
        self.model, self.examples = model, examples
        self.labels, self.weights = labels, weights
        self.batch_size, self.shuffle, self.sort = batch_size, shuffle, sort
        self.fill = fill
        self.lengths = model.raw_lengths(examples)
        if self.lengths is not None:
            self.lengths = np.asarray(self.lengths)
            self.longest = int(self.lengths.max())
        self.epoch = 0
        self.batches = self._draw_batches()
        self.padded_lengths = sorted(set(map(self._padded_length, self.batches)))

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        rows = self.batches[index]
        parts = self.model._prepare_rows(
            [self.examples[row] for row in rows],
            take_rows(self.labels, rows),
            take_rows(self.weights, rows),
            self._length_of(rows),
            seed=(index, *self.drawn),
        )
        return tuple(part for part in parts if part is not None)

    def on_epoch_end(self):
        if self.shuffle:
            self.epoch += 1
            self.batches = self._draw_batches()

    def split(self, fraction, batch_size=None):
        """Two data sets, of the first examples and of the last, as Keras splits.

        Args:
            fraction: The part of the examples in the second, between 0 and 1.
            batch_size: B of the second.

        Returns:
            The data sets. The second is not shuffled.

        Raises:
            ValueError: One would be empty.
        """
        count = len(self.examples)
        begin = int(count * (1.0 - fraction))
        if not 0 < begin < count:
            raise ValueError(
                "`validation_split` must leave examples on both sides. Received: "
                f"validation_split={fraction} of {count} examples."
            )
        options = (self.batch_size, self.shuffle, self.sort), (batch_size, False, True)
        return tuple(
            RawDataset(
                self.model,
                self.examples[rows.start : rows.stop],
                take_rows(self.labels, rows),
                take_rows(self.weights, rows),
                *chosen,
            )
            for rows, chosen in zip(
                (range(begin), range(begin, count)), options, strict=True
            )
        )

    def _draw_batches(self):
        """The rows of each batch, a list of arrays."""
        count = len(self.examples)
        order = np.random.permutation(count) if self.shuffle else np.arange(count)
        # What else is drawn in this epoch follows from it.
        self.drawn = (self.epoch, *order[:8]) if self.shuffle else ()
        if self.lengths is not None and self.sort:
            size = GROUP * self.batch_size if self.shuffle else count
            groups = [order[i : i + size] for i in range(0, count, size)]
            order = np.concatenate(
                [rows[np.argsort(self.lengths[rows], kind="stable")] for rows in groups]
            )
        starts = range(0, count, self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        if self.lengths is not None and self.sort and len(batches) > 1:
            # TensorFlow takes for fixed what the first two batches have in common. The
            # order in which `fit` shows them is another.
            batches.sort(key=lambda rows: self.lengths[rows].max())
            batches = [batches[-1], *batches[:-1]]
        return [self._filled(rows) for rows in batches] if self.fill else batches

    def _filled(self, rows):
        size = min(self.batch_size, 1 << (len(rows) - 1).bit_length())
        return np.pad(rows, (0, size - len(rows)), mode="edge")

    def _padded_length(self, rows):
        """What a batch would be padded to on its own; 0 without lengths."""
        if self.lengths is None:
            return 0
        longest = self.lengths[rows].max() if self.sort else self.longest
        return self.model.padded_length(longest)

    def _length_of(self, rows):
        """What a batch is padded to, one of the lengths of the first epoch."""
        if self.lengths is None:
            return None
        if len(rows) < self.batch_size:  # one shape for all that are short
            return self.padded_lengths[-1]
        needed = self._padded_length(rows)
        return next(length for length in self.padded_lengths if length >= needed)


def take_rows(values, rows):
    """Some rows of an array, a list, or a dict of arrays; nothing of `None`."""
    if values is None:
        return None
    if isinstance(values, dict):
        return {name: take_rows(part, rows) for name, part in values.items()}
    if isinstance(values, list):
        return [values[row] for row in rows]
    return values[np.asarray(rows)]
