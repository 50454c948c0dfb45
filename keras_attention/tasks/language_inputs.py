"""Texts for language models that have token ids alone for inputs.

Letters for axes: n texts, B of them in a batch, T tokens.
"""

import numpy as np

from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tasks.texts import check_rows
from keras_attention.tasks.texts import read_texts
from keras_attention.tasks.written_texts import check_written
from keras_attention.tasks.written_texts import teacher_forced
from keras_attention.tasks.written_texts import with_answers
from keras_attention.tokenizers.tokenizer import Tokenizer
from keras_attention.tokenizers.vocabulary import shorten


class LanguageInputs(RawInputs):
    """Lets `fit`, `evaluate` and `predict` take texts.

    Abstract: put it before `TextGenerator` among the bases of a class whose one input
    is `token_ids` `(B, T)`.

    `fit(texts)` learns each token from those before it, and the end of each text where
    the model has an `end_id`; `fit(prompts, answers)` learns the answers alone. The
    texts begin as those that `generate` goes on with. `predict` gives the logits behind
    each token, `(n, T, V)`.
    """

    def read_raw(self, x):
        """The texts in what `fit` received; see `RawInputs.read_raw`."""
        examples = read_texts(x)
        if not examples:
            return examples
        check_written(examples)
        if not isinstance(self.tokenizer, Tokenizer):
            raise ValueError(
                f"To learn from texts, {type(self).__name__} needs a `tokenizer` of "
                f"`keras_attention.tokenizers`. Received {shorten(examples[0])}, and "
                f"tokenizer={shorten(self.tokenizer)}. Build it with one, or pass "
                "token ids."
            )
        self.tokenizer.check_fits(self.vocabulary_size)
        return examples

    def check_prepared(self, x):
        """Refuses token ids that have no row; see `RawInputs.check_prepared`."""
        ids = x.get("token_ids") if isinstance(x, dict) else x
        check_rows("token_ids", ids, self.vocabulary_size)

    def take_labels(self, examples, labels):
        """Texts are their own labels; answers go behind their prompts."""
        if labels is not None:
            examples = with_answers(examples, labels)
        return examples, examples

    def read_labels(self, labels, examples):
        """The texts as they are."""
        return labels

    def raw_lengths(self, examples):
        """The number of tokens that are read of each text, `(n,)`."""
        return np.array([len(self._tokens(each)[0]) for each in examples])

    def prepare(self, examples, length=None):
        """Dict with `token_ids` `(B, T)`."""
        rows = [self._tokens(example)[0] for example in examples]
        longest = max(map(len, rows)) if length is None else length
        token_ids = np.full((len(rows), longest), self.padding_id, "int32")
        for found, row in zip(token_ids, rows, strict=True):
            found[: len(row)] = row
        return {"token_ids": token_ids}

    def prepare_to_learn(self, examples, labels, length=None, seed=None):
        """Tokens, the next ones, and which of these are learned, all `(B, T)`."""
        rows = []
        for example in examples:
            ids, is_learned = self._tokens(example)
            if self._end_ids:
                ids, is_learned = [*ids, self._end_ids[0]], [*is_learned, True]
            rows.append((ids, is_learned))
        inputs, targets, weights, _ = teacher_forced(rows, length, self.padding_id)
        return {"token_ids": inputs}, targets, weights

    def _tokens(self, example):
        """The tokens of a text or of a prompt with its answer; which are learned."""
        is_pair = isinstance(example, tuple)
        ids = list(self.encode_prompt(example[0] if is_pair else example))
        is_learned = [not is_pair] * len(ids)
        if is_pair:
            (answer,) = self.tokenizer.token_id_lists([example[1]])
            ids, is_learned = [*ids, *answer], [*is_learned, *[True] * len(answer)]
        return ids, is_learned
