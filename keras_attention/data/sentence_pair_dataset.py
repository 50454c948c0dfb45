"""Batches of sentences and their translations, of few lengths.

Letters for axes: B pairs of a batch, S source tokens, T target tokens that are read.
"""

import math
import operator

import keras
import numpy as np

from keras_attention.tokenizers.vocabulary import PAD_ID


class SentencePairDataset(keras.utils.PyDataset):
    """Batches of pairs of similar length for `fit`.

    An epoch shows each pair once, or a part of them. A batch is what an encoder and
    decoder learn from:

        {"encoder_token_ids": (B, S), "decoder_token_ids": (B, T)}, (B, T)

    the tokens of the source, those of the target without its last, which the decoder
    reads, and without its first, which it must predict. Padding is 0.

    Pairs are put into buckets by the length of their longer side, and padded to the
    longest of their bucket, so that little is computed for padding and a model is
    compiled for few shapes, at most one a bucket. The buckets are those with the least
    padding. What is left over in a bucket goes into a batch of the next longer one; the
    last batch is filled up with rows whose targets are padding, which count in no loss.
    The batches come in another order in each epoch, and so do the pairs in a bucket.

    Args:
        pairs: List of `(source, target)`, as `load_sentence_pairs` gives them.
        source_vocabulary: `Vocabulary` or `SubwordTokenizer` of the sources.
        target_vocabulary: The same of the targets.
        batch_size: B. Fewer pairs make one batch of their own size.
        num_buckets: Most lengths to which batches are padded.
        max_length: Most tokens of a side, `[start]` and `[end]` included. By default
            those of the longest.
        truncate: Cut longer ones instead of refusing them.
        num_parts: How many epochs it takes to show all pairs. With more than 1
            callbacks act more often; the last batches of a pass may be left out so
            that all parts are equal.
        shuffle: Draw another order for each epoch.
        seed: Seed of these orders.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: There are no pairs, one is none, or one cannot be encoded.

    Example:

    >>> from keras_attention.tokenizers import Vocabulary
    >>> pairs = [("a cat", "un chat"), ("a dog", "un chien"), ("a red cat", "le chat")]
    >>> sources, targets = zip(*pairs)
    >>> source_vocabulary = Vocabulary.from_captions(sources)
    >>> target_vocabulary = Vocabulary.from_captions(targets)
    >>> dataset = SentencePairDataset(
    ...     pairs, source_vocabulary, target_vocabulary, batch_size=2
    ... )
    >>> inputs, y = dataset[0]
    >>> len(dataset), inputs["encoder_token_ids"].shape, y.shape
    (2, (2, 5), (2, 3))
    """

    def __init__(
        self,
        pairs,
        source_vocabulary,
        target_vocabulary,
        batch_size=64,
        num_buckets=4,
        max_length=None,
        truncate=False,
        num_parts=1,
        shuffle=True,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (
            ("batch_size", batch_size),
            ("num_buckets", num_buckets),
            ("num_parts", num_parts),
        ):
            if operator.index(value) < 1:
                raise ValueError(
                    f"`{name}` must be 1 or more. Received: {name}={value}"
                )
        sources, targets = split_pairs(pairs)
        self.source_ids = source_vocabulary.encode(sources, max_length, truncate)
        self.target_ids = target_vocabulary.encode(targets, max_length, truncate)
        lengths = np.stack(
            [
                np.count_nonzero(self.source_ids != PAD_ID, axis=1),
                np.count_nonzero(self.target_ids != PAD_ID, axis=1),
            ],
            axis=1,
        )  # (n, 2)
        longer = lengths.max(axis=1)
        bounds = bucket_lengths(longer, num_buckets)
        self.bucket = np.searchsorted(bounds, longer)  # (n,)
        # A batch of a longer bucket takes what is left over in the shorter ones.
        shapes = [lengths[self.bucket == i].max(axis=0) for i in range(len(bounds))]
        self.shapes = np.maximum.accumulate(shapes, axis=0)  # (buckets, 2)
        self.batch_size = min(batch_size, len(sources))
        self.shuffle, self.seed, self.epoch = shuffle, seed, 0
        self.num_parts = min(num_parts, math.ceil(len(sources) / self.batch_size))
        self.batches = self._draw_batches()

    def __len__(self):
        return len(self.batches) // self.num_parts

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"Batch {index} of {len(self)}.")
        begin = self.epoch % self.num_parts * len(self)
        chosen = self.batches[begin + index]
        source_length, target_length = self.shapes[self.bucket[chosen].max()]
        missing = self.batch_size - len(chosen)
        rows = np.concatenate([chosen, np.repeat(chosen[-1:], missing)])
        source_ids = self.source_ids[rows, :source_length]
        target_ids = self.target_ids[rows, :target_length]
        y = target_ids[:, 1:].copy()
        y[len(chosen) :] = PAD_ID
        inputs = {
            "encoder_token_ids": source_ids,
            "decoder_token_ids": target_ids[:, :-1],
        }
        return inputs, y

    def on_epoch_end(self):
        self.epoch += 1
        if self.epoch % self.num_parts == 0:
            self.batches = self._draw_batches()

    def _draw_batches(self):
        """The rows of each batch, a list of arrays."""
        generator = np.random.default_rng((self.seed, self.epoch))
        order = np.arange(len(self.bucket))
        if self.shuffle:
            generator.shuffle(order)
        order = order[np.argsort(self.bucket[order], kind="stable")]
        starts = range(0, len(order), self.batch_size)
        batches = [order[start : start + self.batch_size] for start in starts]
        if self.shuffle:
            # The longest and the shortest batch first: TensorFlow takes for fixed what
            # the first two batches have in common.
            middle = batches[1:-1]
            generator.shuffle(middle)
            ends = [batches[-1], batches[0]] if len(batches) > 1 else batches
            batches = ends + middle
        elif len(batches) > 1:
            batches = [batches[-1], *batches[:-1]]
        return batches


def split_pairs(pairs):
    """The sources and the targets of pairs."""
    pairs = list(pairs)
    if not pairs:
        raise ValueError("`pairs` must hold at least one pair. Received none.")
    for i, pair in enumerate(pairs):
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2
        if not is_pair or not all(isinstance(text, str) for text in pair):
            raise ValueError(
                "Each pair must be (source, target), two strings. Received as pair "
                f"{i}: {pair!r:.80}"
            )
    sources, targets = zip(*pairs, strict=True)
    return list(sources), list(targets)


def bucket_lengths(lengths, num_buckets):
    """The lengths of the buckets with the least padding.

    Args:
        lengths: Integers `(n,)`.
        num_buckets: Most buckets.

    Returns:
        Sorted array of at most `num_buckets` of the lengths, the largest among them.

    Example:

    >>> bucket_lengths([3, 3, 3, 4, 9, 9, 10], num_buckets=2).tolist()
    [4, 10]
    """
    values, counts = np.unique(lengths, return_counts=True)
    total = np.concatenate([[0], np.cumsum(counts)])
    # cost[j]: tokens, padding included, of the j shortest lengths in k buckets.
    cost = np.where(np.arange(len(total)) == 0, 0.0, np.inf)
    choices = []
    for _ in range(min(num_buckets, len(values))):
        # (j, i): the last bucket holds the lengths i to j - 1.
        sizes = np.maximum(total[1:, None] - total[None, :-1], 0)
        candidates = cost[None, :-1] + sizes * values[:, None]
        later = np.arange(len(values))[None] > np.arange(len(values))[:, None]
        candidates = np.where(later, np.inf, candidates)
        choices.append(candidates.argmin(axis=1))
        cost = np.concatenate([[np.inf], candidates.min(axis=1)])
    bounds, j = [], len(values)
    for choice in reversed(choices):
        bounds.append(values[j - 1])
        j = choice[j - 1]
    return np.array(bounds[::-1])
