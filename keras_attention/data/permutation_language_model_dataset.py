"""Batches of a text file for XLNet: tokens that are predicted in a drawn order.

Letters: B rows of a batch, T tokens of a row, M of them that are predicted.
"""

import operator

import numpy as np

from keras_attention.data.corruption import CONTEXT
from keras_attention.data.corruption import LONGEST_SPAN
from keras_attention.data.corruption import permute_tokens
from keras_attention.data.epoch_dataset import EpochDataset
from keras_attention.data.masked_language_model_dataset import cut_sentences
from keras_attention.data.masked_language_model_dataset import pack_sentences
from keras_attention.tokenizers.token_files import tokenize_sentences

# The segments of a text and of the token that stands for it, as XLNet's tokenizer says.
OF_TEXT, OF_CLASS = 0, 2


class PermutationLanguageModelDataset(EpochDataset):
    """Sentences of any number as batches from which XLNet learns.

    Yang et al. 2019, arXiv:1906.08237, Section 3.1: as many sentences in a row as fill
    T tokens, of which one in six is predicted; which, and in which order, is drawn
    anew in each epoch, see `permute_tokens`. A batch is what `XLNet` takes with
    `head="permutation_language_model"`:

        {"token_ids": (B, T), "padding_mask": (B, T), "segment_ids": (B, T),
         "permutation_mask": (B, T, T), "target_positions": (B, M)},
        (B, M), (B, M)

    inputs, the tokens at the target positions, and their weights, 1, and 0 where a row
    has fewer and in what fills up the last batch:

        model.compile("adam", TokenCrossentropy(padding_id=None))

    Padding stands in front. The order of the rows and what is drawn depend on the seed
    and the epoch alone, see `FollowEpochs`. The text is tokenized once, and the token
    ids are kept in a folder of the cache and mapped from there, so it may be larger
    than memory.

    Args:
        paths: A file in UTF-8, or a list of them: a sentence on each line, a blank line
            between documents.
        tokenizer: A `PublishedTokenizer` with `<sep>` and `<cls>`, such as
            `model.tokenizer` of an `XLNet`.
        max_length: T, special tokens included. Longer sentences are cut.
        batch_size: B.
        context: How many tokens there are for each that is predicted.
        longest_span: Most tokens in a row that are predicted.
        num_parts: How many epochs it takes to show all.
        shuffle: Draw another order, and other tokens to predict, for each pass. False
            for validation: each epoch is the same.
        seed: Seed of these draws.
        cache: Folder in which the tokens are kept. Defaults to `tokens` in
            `~/.cache/keras_attention` or in `KERAS_ATTENTION_CACHE`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: A file is not in UTF-8 or has no sentence, the tokenizer lacks a
            token, or a number is out of its range.

    Example:

    >>> import pathlib
    >>> from keras_attention.tokenizers import train_word_pieces
    >>> _ = pathlib.Path("text.txt").write_text("a b c\\nd e\\n\\nf g\\nh\\n")
    >>> tokenizer = train_word_pieces("text.txt", vocabulary_size=40)
    >>> dataset = PermutationLanguageModelDataset(
    ...     "text.txt", tokenizer, max_length=12, batch_size=1, cache=".", context=4
    ... )
    >>> inputs, y, weights = dataset[0]
    >>> print(*tokenizer.tokens(inputs["token_ids"])[0])
    [PAD] a b c d e [SEP] f g h [SEP] [CLS]
    >>> inputs["target_positions"].shape, y.shape
    ((1, 3), (1, 3))
    """

    def __init__(
        self,
        paths,
        tokenizer,
        max_length=128,
        batch_size=32,
        context=CONTEXT,
        longest_span=LONGEST_SPAN,
        num_parts=1,
        shuffle=True,
        seed=0,
        cache=None,
        **kwargs,
    ):
        if operator.index(max_length) < 4:
            raise ValueError(
                f"`max_length` must be 4 or more. Received: max_length={max_length}"
            )
        names = ("class_id", "separator_id")
        missing = [name for name in names if getattr(tokenizer, name) is None]
        if missing:
            raise ValueError(
                "XLNet needs a tokenizer with <sep> and <cls>. Received one without "
                f"{', '.join(missing)}: {tokenizer!r}."
            )
        self.token_ids, sentences, documents = tokenize_sentences(
            paths, tokenizer, cache
        )
        self.tokenizer, self.max_length = tokenizer, max_length
        self.context, self.longest_span = context, longest_span
        room = max_length - 2
        self.sentences, self.documents = cut_sentences(sentences, documents, room)
        self.rows = pack_sentences(self.sentences, self.documents, room)  # (R, 2)
        super().__init__(len(self.rows), batch_size, num_parts, shuffle, seed, **kwargs)

    def __getitem__(self, index):
        number, rows, counts = self.rows_of(index)
        padding_id = self.tokenizer.padding_id
        token_ids = np.full((self.batch_size, self.max_length), padding_id, "int32")
        padding_mask = np.zeros(token_ids.shape, "bool")
        for row, text in enumerate(map(self._text, rows)):
            token_ids[row, -len(text) :] = text
            padding_mask[row, -len(text) :] = True
        segment_ids = np.full(token_ids.shape, OF_TEXT, "int32")
        segment_ids[:, -1] = OF_CLASS
        drawn, labels, weights = permute_tokens(
            token_ids,
            self.tokenizer.special_ids,
            self.context,
            self.longest_span,
            padding_id,
            seed=self.generator(2, number).integers(2**63),
        )
        inputs = {
            "token_ids": token_ids,
            "padding_mask": padding_mask,
            "segment_ids": segment_ids,
            **drawn,
        }
        return inputs, labels, weights * counts[:, None]

    def _text(self, row):
        """The tokens of a row, with a separator between documents and at the end."""
        start, stop = self.rows[row]
        separator_id = self.tokenizer.separator_id
        text = self.token_ids[self.sentences[start] : self.sentences[stop]]
        low, high = np.searchsorted(self.documents, [start, stop], side="right")
        begins = self.sentences[self.documents[low:high]] - self.sentences[start]
        text = np.insert(text, begins[begins < len(text)], separator_id)
        return [*text, separator_id, self.tokenizer.class_id]
