"""Batches of a text file for models that predict the next token.

Letters: B rows of a batch, T tokens of a row, N tokens of the text.
"""

import operator

import numpy as np

from keras_attention.data.epoch_dataset import EpochDataset
from keras_attention.tokenizers.token_files import tokenize_text


class LanguageModelDataset(EpochDataset):
    """A text of any length as batches from which a GPT learns.

    The text is one row of tokens, an end token behind each document, that is cut into
    rows of equal length, so that nothing is computed for padding. A batch is what
    `GPT2` takes:

        {"token_ids": (B, T), "padding_mask": (B, T)}, (B, T), (B, T)

    the tokens, the token that follows each of them, and the weights of these: 1, and 0
    for what fills up the last batch. They are for the loss, and for the metrics that
    `compile` gets as `weighted_metrics`:

        model.compile(
            "adam",
            TokenCrossentropy(padding_id=None),  # no token is padding
            weighted_metrics=[Perplexity(padding_id=None)],
        )

    An epoch shows each token once, or a part of them. Where the cuts are and the order
    of the rows change from epoch to epoch; they depend on the seed and the epoch alone,
    see `FollowEpochs`.

    The text is tokenized once, and the token ids are kept in a folder of the cache and
    mapped from there, so it may be larger than memory.

    Args:
        paths: A file in UTF-8, or a list of them. Each is a document, or several.
        tokenizer: A `PublishedTokenizer` with an end token, such as `model.tokenizer`
            of a `GPT2` or what `train_byte_pairs` makes.
        length: T.
        batch_size: B.
        separator: The line that stands between two documents of a file, such as `""`
            for a blank one. Defaults to the text of the end token.
        num_parts: How many epochs it takes to show all. With more than 1 callbacks act
            more often, such as one that saves; the last batches of a pass may be left
            out so that all parts are equal.
        shuffle: Draw other cuts and another order for each pass. False for validation.
        seed: Seed of these draws.
        cache: Folder in which the tokens are kept. Defaults to `tokens` in
            `~/.cache/keras_attention` or in `KERAS_ATTENTION_CACHE`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: A file is not in UTF-8 or too short, the tokenizer has no end token,
            or a number is out of its range.

    Example:

    >>> import pathlib
    >>> from keras_attention.tokenizers import train_byte_pairs
    >>> _ = pathlib.Path("text.txt").write_text("abcabcabc\\nabcabc\\n")
    >>> tokenizer = train_byte_pairs("text.txt", vocabulary_size=257)
    >>> dataset = LanguageModelDataset(
    ...     "text.txt", tokenizer, length=6, batch_size=2, shuffle=False, cache="."
    ... )
    >>> inputs, y, weights = dataset[0]
    >>> tokenizer.decode(inputs["token_ids"]), tokenizer.decode(y)
    (['abcabc', 'abc\\nab'], ['bcabca', 'bc\\nabc'])
    """

    def __init__(
        self,
        paths,
        tokenizer,
        length=128,
        batch_size=32,
        separator=None,
        num_parts=1,
        shuffle=True,
        seed=0,
        cache=None,
        **kwargs,
    ):
        if operator.index(length) < 1:
            raise ValueError(f"`length` must be 1 or more. Received: length={length}")
        self.token_ids = tokenize_text(paths, tokenizer, separator, cache)  # (N,)
        self.length = length
        num_rows = -(-(len(self.token_ids) - 1) // length)
        super().__init__(num_rows, batch_size, num_parts, shuffle, seed, **kwargs)

    def __getitem__(self, index):
        _, rows, counts = self.rows_of(index)
        size = len(self.token_ids)
        places = rows[:, None] * self.length + np.arange(self.length + 1)  # (B, T + 1)
        weights = (places[:, 1:] < size) & counts[:, None]
        if self.shuffle:
            # The text is a ring, cut open elsewhere each time.
            places = places + self.generator(1).integers(size)
        token_ids = self.token_ids[places % size].astype("int32")
        inputs = {
            "token_ids": token_ids[:, :-1],
            "padding_mask": np.ones(weights.shape, "bool"),
        }
        return inputs, token_ids[:, 1:], weights.astype("float32")
