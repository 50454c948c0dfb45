"""Sentences and their translations for models that read ones and write the others.

Letters for axes: n pairs, B of them in a batch, S tokens of a source, T of a target.
"""

import numpy as np

from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tasks.texts import read_texts
from keras_attention.tasks.texts import split_pairs
from keras_attention.tasks.written_texts import check_written
from keras_attention.tasks.written_texts import teacher_forced
from keras_attention.tasks.written_texts import with_answers
from keras_attention.tokenizers.vocabulary import shorten


class SentenceInputs(RawInputs):
    """Lets `fit`, `evaluate` and `predict` take sentences and their translations.

    Abstract: put it before `Translator` among the bases of a class.

    `fit(sources, targets)` takes two lists of strings, `fit(pairs)` a list of tuples;
    batches of a `keras.utils.PyDataset`, a `tf.data.Dataset`, a `DataLoader` or a
    generator are `(sources, targets)`. Sources are encoded as `translate` does. A
    target has the model's `start_id` before and its `end_id` behind it, and each of its
    tokens is predicted from the source and the true tokens before it. Source and
    target of a batch are padded to one length, and padding of the targets has the
    weight 0. `predict` takes pairs, and gives the logits of the targets.
    """

    longest_input = None  # `max_length` is what is written at most

    def read_raw(self, x):
        """The sentences in what `fit` received; see `RawInputs.read_raw`."""
        examples = read_texts(x)
        if not examples:
            return examples
        check_written(examples)
        for name in ("source_vocabulary", "target_vocabulary"):
            if getattr(self, name) is None:
                raise ValueError(
                    f"This {type(self).__name__} has no {name}, so it learns from "
                    f"token ids. Received strings, such as {shorten(examples[0])}. "
                    f"Build it with `{name}`, or encode the sentences."
                )
        return examples

    def take_labels(self, examples, labels):
        """The pairs, twice: the targets are read, and learned from."""
        if labels is not None:
            examples = with_answers(examples, labels, "translation", "sources")
        self._check_pairs(examples)
        return examples, examples

    def _check_pairs(self, examples):
        if not isinstance(examples[0], tuple):
            raise ValueError(
                "Each source needs the target that is read and learned with it. "
                f"Received sources alone, such as {shorten(examples[0])}. Pass "
                "fit(sources, targets), or pairs; `translate` writes targets."
            )

    def read_labels(self, labels, examples):
        """The pairs as they are."""
        return labels

    def raw_lengths(self, examples):
        """How many tokens the longer one of each pair has, `(n,)`."""
        self._check_pairs(examples)
        sources, targets = split_pairs(examples)
        targets = self.target_vocabulary.token_id_lists(targets)
        target_lengths = np.array([len(ids) + 1 for ids in targets])
        lengths = np.maximum(self.source_vocabulary.count(sources), target_lengths)
        most = self.longest_input
        if most is not None and lengths.max() > most:
            i = int(np.argmax(lengths > most))
            raise ValueError(
                f"Pair {i} needs {lengths[i]} tokens, and this model reads at most "
                f"{most}: {shorten(examples[i])}. Leave it out, or cut such pairs with "
                "`SentencePairDataset(..., truncate=True)`."
            )
        return lengths

    def prepare(self, examples, length=None):
        """Dict with `encoder_token_ids` `(B, S)` and `decoder_token_ids` `(B, T)`."""
        return self.prepare_to_learn(examples, examples, length)[0]

    def prepare_to_learn(self, examples, labels, length=None, seed=None):
        """The inputs, the next token of each target, and 1 for what is no padding."""
        sources, targets = split_pairs(examples)
        source_ids = np.asarray(self.source_vocabulary.encode(sources))
        missing = 0 if length is None else length - source_ids.shape[1]
        source_ids = np.pad(
            source_ids, ((0, 0), (0, missing)), constant_values=self.padding_id
        )
        rows = [
            ([self.start_id, *ids, self.end_id], [True] * (len(ids) + 2))
            for ids in self.target_vocabulary.token_id_lists(targets)
        ]
        target_ids, y, weights, _ = teacher_forced(rows, length, self.padding_id)
        inputs = {"encoder_token_ids": source_ids, "decoder_token_ids": target_ids}
        return inputs, y, weights
