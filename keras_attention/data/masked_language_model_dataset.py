"""Batches of a text file for BERT's kin: masked tokens, and how sentences follow.

Letters: B rows of a batch, T tokens of a row, N tokens of the text, M sentences, R rows
of the data set.
"""

import operator

import numpy as np

from keras_attention.data.corruption import mask_tokens
from keras_attention.data.epoch_dataset import EpochDataset
from keras_attention.tokenizers.token_files import tokenize_sentences

# Label of a second text that follows the first, and of one that does not or that was
# exchanged with it.
FOLLOWS, OTHERWISE = 0, 1
# What begins a word in the tokens of byte pair encoding and of SentencePiece, and what
# goes on with one in those of WordPiece.
BEGINS, GOES_ON = ("Ġ", "▁"), "##"
# How often a place is drawn, at most, from where a text is long enough.
TRIES = 20


class MaskedLanguageModelDataset(EpochDataset):
    """Sentences of any number as batches from which BERT learns.

    Devlin et al. 2019, arXiv:1810.04805, Section 3.1: as many sentences in a row as
    fill T tokens, of which some are hidden, others in each epoch (as Liu et al. 2019,
    arXiv:1907.11692, Section 4.1). A batch is what `BERT` takes with
    `head="masked_language_model"`:

        {"token_ids": (B, T), "padding_mask": (B, T), "segment_ids": (B, T)},
        (B, T), (B, T)

    inputs, the hidden tokens, which are padding elsewhere, and their weights, 1 and 0.
    With `next_sentence=True` it is what `head="pretraining"` takes: a row holds two
    texts, and in half of the rows the second does not follow the first but comes from
    another document. Targets and weights are dicts then, with the label `next_sentence`
    `(B,)`, 0 where it follows and 1 where it does not:

        model.compile(
            "adam",
            {
                "masked_language_model": TokenCrossentropy(),
                "next_sentence": keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True
                ),
            },
            weighted_metrics={
                "masked_language_model": TokenAccuracy(),
                "next_sentence": "accuracy",
            },
        )

    `sentence_order=True` is ALBERT's task (Lan et al. 2020, arXiv:1909.11942, Section
    3.1) in its place, with a label of that name: in half of the rows the two texts,
    which follow each other, are exchanged.

    The weights matter in the last batch, which is filled up. An epoch shows all rows,
    or a part of them. Their order and what is hidden depend on the seed and the epoch
    alone, see `FollowEpochs`.

    The text is tokenized once, and the token ids are kept in a folder of the cache and
    mapped from there, so it may be larger than memory.

    Args:
        paths: A file in UTF-8, or a list of them: a sentence on each line, a blank line
            between documents.
        tokenizer: A `PublishedTokenizer` with `[CLS]`, `[SEP]` and `[MASK]`, whatever
            they are called, such as `model.tokenizer` of a `BERT` or what
            `train_word_pieces` makes. Inputs have segments if it has.
        max_length: T, special tokens included. Longer sentences are cut.
        batch_size: B.
        next_sentence: Whether rows are pairs of texts. Documents of one sentence are
            left out then. Without, rows go on into the next document, behind a
            `[SEP]`.
        sentence_order: Whether rows are pairs of texts, of which half are exchanged.
        whole_word: Hide all pieces of a word or none.
        max_span: Hide spans of 1 to so many tokens, or words; see `mask_tokens`.
        rate: Share of the tokens that are to be predicted.
        num_parts: How many epochs it takes to show all. With more than 1 callbacks act
            more often, such as one that saves; the last batches of a pass may be left
            out so that all parts are equal.
        shuffle: Draw another order, other masks and other pairs for each pass. False
            for validation: each epoch is the same.
        seed: Seed of these draws.
        cache: Folder in which the tokens are kept. Defaults to `tokens` in
            `~/.cache/keras_attention` or in `KERAS_ATTENTION_CACHE`.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: A file is not in UTF-8 or has no sentence, there are no two
            documents of two sentences for `next_sentence`, the tokenizer lacks a
            token, or a number is out of its range.

    Example:

    >>> import pathlib
    >>> from keras_attention.tokenizers import train_word_pieces
    >>> _ = pathlib.Path("text.txt").write_text("a b c\\nd e\\n\\nf g\\nh\\n")
    >>> tokenizer = train_word_pieces("text.txt", vocabulary_size=40)
    >>> dataset = MaskedLanguageModelDataset(
    ...     "text.txt", tokenizer, max_length=12, batch_size=1, cache=".", seed=2
    ... )
    >>> inputs, y, weights = dataset[0]
    >>> print(*tokenizer.tokens(inputs["token_ids"])[0])
    [CLS] a b [MASK] d e [SEP] f g h [SEP] [PAD]
    >>> tokenizer.tokens(y[weights == 1][None])
    [['c']]
    """

    def __init__(
        self,
        paths,
        tokenizer,
        max_length=128,
        batch_size=32,
        next_sentence=False,
        sentence_order=False,
        whole_word=False,
        max_span=None,
        rate=0.15,
        num_parts=1,
        shuffle=True,
        seed=0,
        cache=None,
        **kwargs,
    ):
        if next_sentence and sentence_order:
            raise ValueError(
                "A model learns `next_sentence` or `sentence_order`. Received both. "
                "Leave one out."
            )
        self.pair_task = None
        if next_sentence or sentence_order:
            self.pair_task = "next_sentence" if next_sentence else "sentence_order"
        special = 3 if self.pair_task else 2  # [CLS] A [SEP] B [SEP], or [CLS] A [SEP]
        if operator.index(max_length) < special + 2:
            raise ValueError(
                f"`max_length` must be {special + 2} or more. Received: max_length="
                f"{max_length}"
            )
        self.token_ids, sentences, documents = tokenize_sentences(
            paths, tokenizer, cache
        )
        check_special(tokenizer)
        self.tokenizer, self.max_length = tokenizer, max_length
        self.whole_word, self.max_span, self.rate = whole_word, max_span, rate
        self.room = max_length - special
        self.sentences, self.documents = cut_sentences(sentences, documents, self.room)
        pack = pack_pairs if self.pair_task else pack_sentences
        self.rows = pack(self.sentences, self.documents, self.room)  # (R, 2)
        if self.pair_task:
            self.document_of_row = self._document(self.rows[:, 0])
            check_pairs(self.document_of_row, len(self.documents) - 1, self.pair_task)
        if whole_word:
            self.begins_word = begins_word(tokenizer)
        super().__init__(len(self.rows), batch_size, num_parts, shuffle, seed, **kwargs)

    def __getitem__(self, index):
        number, rows, counts = self.rows_of(index)
        generator = self.generator(2, number)
        padding_id, mask_id = self.tokenizer.padding_id, self.tokenizer.mask_id
        token_ids = np.full((self.batch_size, self.max_length), padding_id)
        segment_ids = np.zeros(token_ids.shape, "int32")
        padding_mask = np.zeros(token_ids.shape, "bool")
        pair_labels = np.full(self.batch_size, FOLLOWS, "int32")
        for i, row in enumerate(rows):
            texts, pair_labels[i] = self._texts(row, generator)
            end = 0
            for segment, text in enumerate(texts):
                begin, end = end, end + len(text)
                token_ids[i, begin:end] = text
                segment_ids[i, begin:end] = segment
            padding_mask[i, :end] = True

        words = None
        if self.whole_word:
            words = np.cumsum(self.begins_word[token_ids], axis=1)
        token_ids, labels, weights = mask_tokens(
            token_ids,
            mask_id,
            len(self.tokenizer),
            self.tokenizer.special_ids,
            rate=self.rate,
            words=words,
            max_span=self.max_span,
            padding_id=padding_id,
            seed=generator.integers(2**63),
        )
        labels = np.where(counts[:, None], labels, padding_id).astype("int32")
        weights *= counts[:, None]
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self.tokenizer.has_segments:
            inputs["segment_ids"] = segment_ids
        if self.pair_task is None:
            return inputs, labels, weights
        labels = {"masked_language_model": labels, self.pair_task: pair_labels}
        weights = {
            "masked_language_model": weights,
            self.pair_task: counts.astype("float32"),
        }
        return inputs, labels, weights

    def _texts(self, row, generator):
        """The texts of a row with their special tokens, and the label of a pair."""
        first_id, separator_id = self.tokenizer.class_id, self.tokenizer.separator_id
        start, stop = self.rows[row]
        if self.pair_task is None:
            text = self._tokens(start, stop)
            low, high = np.searchsorted(self.documents, [start, stop], side="right")
            begins = self.sentences[self.documents[low:high]] - self.sentences[start]
            text = np.insert(text, begins[begins < len(text)], separator_id)
            return [[first_id, *text, separator_id]], FOLLOWS
        middle = generator.integers(start + 1, stop)
        first, second = self._tokens(start, middle), self._tokens(middle, stop)
        label = OTHERWISE if generator.random() < 0.5 else FOLLOWS
        if label == OTHERWISE and self.pair_task == "next_sentence":
            second = self._elsewhere(
                row, len(second), self.room - len(first), generator
            )
        first, second = cut_pair(first, second, self.room)
        if label == OTHERWISE and self.pair_task == "sentence_order":
            first, second = second, first
        return [[first_id, *first, separator_id], [*second, separator_id]], label

    def _elsewhere(self, row, size, room, generator):
        """Sentences of another document, of about as many tokens as asked for.

        The lengths must not tell what does not follow. So where a document ends too
        early, another is looked for, and as many sentences are taken as come nearest.
        """
        document = self.document_of_row[row]
        low, high = np.searchsorted(self.document_of_row, [document, document + 1])
        for _ in range(TRIES):
            other = generator.integers(len(self.rows) - (high - low))
            other += (high - low) * (other >= low)
            start, stop = self.rows[other]
            middle = generator.integers(start + 1, stop)
            end = self.documents[self._document(middle) + 1]
            if self.sentences[end] - self.sentences[middle] >= size:
                break
        limit = self.sentences[middle] + room
        stop = np.searchsorted(self.sentences[: end + 1], limit, side="right")
        ends = self.sentences[middle + 1 : max(stop, middle + 2)]
        nearest = np.abs(ends - self.sentences[middle] - size).argmin()
        return self._tokens(middle, middle + 1 + nearest)

    def _document(self, sentences):
        """The documents that sentences are of."""
        return np.searchsorted(self.documents, sentences, side="right") - 1

    def _tokens(self, start, stop):
        """The token ids of the sentences from one to before another."""
        return self.token_ids[self.sentences[start] : self.sentences[stop]]


def begins_word(tokenizer):
    """Which tokens begin a word, an array of booleans."""
    (texts,) = tokenizer.tokens([range(len(tokenizer))])
    if any(text.startswith(BEGINS) for text in texts):
        return np.array([text.startswith(BEGINS) for text in texts])
    return np.array([not text.startswith(GOES_ON) for text in texts])


def check_special(tokenizer):
    names = ("class_id", "separator_id", "mask_id")
    missing = [name for name in names if getattr(tokenizer, name) is None]
    if missing:
        raise ValueError(
            "Masked words need a tokenizer with [CLS], [SEP] and [MASK], or what they "
            f"are called there. Received one without {', '.join(missing)}: "
            f"{tokenizer!r}. `train_word_pieces` makes one."
        )


def check_pairs(document_of_row, num_documents, task):
    found, least = len(np.unique(document_of_row)), 1 + (task == "next_sentence")
    if found < least:
        raise ValueError(
            f"`{task}` needs {('a document', 'two documents')[least - 1]} of two "
            f"sentences or more. Received {num_documents} documents, {found} of them "
            "with two sentences. Write a sentence on each line and a blank line "
            f"between documents, or leave `{task}` out."
        )


def cut_sentences(sentences, documents, room):
    """Cuts sentences of more tokens than there is room for.

    Args:
        sentences: Integers `(M + 1,)`, where each begins, and N.
        documents: Integers `(K + 1,)`, the first sentence of each document, and M.
        room: Most tokens of a sentence.

    Returns:
        The same two arrays of the parts.

    Example:

    >>> sentences, documents = np.array([0, 2, 9, 10]), np.array([0, 2, 3])
    >>> [array.tolist() for array in cut_sentences(sentences, documents, room=3)]
    [[0, 2, 5, 8, 9, 10], [0, 4, 5]]
    """
    parts = -(-np.diff(sentences) // room)  # (M,)
    first = np.concatenate([[0], np.cumsum(parts)])  # (M + 1,)
    number = np.arange(first[-1]) - np.repeat(first[:-1], parts)
    begins = np.repeat(sentences[:-1], parts) + number * room
    return np.append(begins, sentences[-1]), first[documents]


def pack_sentences(sentences, documents, room):
    """Fills rows with sentences, from the first to the last.

    Args:
        sentences, documents: As for `cut_sentences`, no sentence longer than `room`.
        room: Most tokens of a row, a separator for each document that begins within it
            included.

    Returns:
        Integers `(R, 2)`: the first sentence of each row, and that of the next.

    Example:

    >>> sentences, documents = np.array([0, 2, 4, 5, 8]), np.array([0, 2, 4])
    >>> pack_sentences(sentences, documents, room=6).tolist()
    [[0, 3], [3, 4]]
    """
    document = np.repeat(np.arange(len(documents) - 1), np.diff(documents))  # (M,)
    begins, ends = sentences[:-1] + document, sentences[1:] + document
    stop = np.searchsorted(ends, begins + room, side="right")  # (M,)
    return follow(stop, stop)


def pack_pairs(sentences, documents, room):
    """Fills rows with two sentences or more, all of one document.

    Two that are too long together are a row nevertheless. The last sentence of a
    document, where it would be alone, comes with the one before it once more.

    Args:
        sentences, documents: As for `cut_sentences`.
        room: Most tokens of a row.

    Returns:
        Integers `(R, 2)`: the first sentence of each row, and that behind the last.

    Example:

    >>> sentences, documents = np.array([0, 2, 4, 5, 6, 8]), np.array([0, 1, 5])
    >>> pack_pairs(sentences, documents, room=4).tolist()
    [[1, 4], [3, 5]]
    """
    end = np.repeat(documents[1:], np.diff(documents))  # (M,)
    stop = np.searchsorted(sentences[1:], sentences[:-1] + room, side="right")
    stop = np.minimum(np.maximum(stop, np.arange(len(stop)) + 2), end)
    rows = follow(stop, np.where(end - stop == 1, end - 2, stop))
    return rows[rows[:, 1] - rows[:, 0] >= 2]


def follow(stop, after):
    """Rows from each place on to its `stop`; the next one begins at `after`."""
    stop, after = stop.tolist(), after.tolist()
    rows, place = [], 0
    while place < len(stop):
        rows.append((place, stop[place]))
        place = after[place]
    return np.array(rows)


def cut_pair(first, second, room):
    """Cuts the longer of two texts, then both, where they do not touch.

    Example:

    >>> cut_pair([1, 2, 3, 4, 5], [6, 7], room=5)
    ([3, 4, 5], [6, 7])
    >>> cut_pair([1, 2, 3], [4, 5, 6, 7, 8], room=5)
    ([2, 3], [4, 5, 6])
    """
    half = room // 2
    size = max(room - len(second), min(len(first), half))
    first = first[-size:]
    return first, second[: room - len(first)]
