"""Texts through a pipeline of the library tokenizers, cut where they are too long."""

import operator

from keras_attention.checks import check_choice
from keras_attention.tokenizers.pipelines import import_tokenizers
from keras_attention.tokenizers.texts import check_texts
from keras_attention.tokenizers.texts import check_words
from keras_attention.tokenizers.texts import read_strings
from keras_attention.tokenizers.texts import shorten

STRATEGIES = {
    True: "longest_first",
    "only_first": "only_first",
    "only_second": "only_second",
}


class Encoder:
    """Encodes texts; to cut is a setting of a pipeline, so it has one for each way.

    Args:
        pipeline: A `tokenizers.Tokenizer`.
        settings: What `tokenizer_config.json` holds.
    """

    def __init__(self, pipeline, settings):
        self._pipeline, self._settings = pipeline, settings
        self._cutting = {}

    def forget(self):
        """Drops the pipelines that cut, as this one has other tokens now."""
        self._cutting.clear()

    def encode(self, texts, pairs, max_length, truncate, first=0, stride=None):
        """The encodings of texts, or of pairs of texts.

        Args:
            texts: List or array of B strings, or a list of B lists of words.
            pairs: The same, the second text of each pair, or `None`.
            max_length: Most tokens, special ones included, or `None`.
            truncate: What is cut: `False`, or one of `STRATEGIES`.
            first: The number of the first text, for messages.
            stride: By how many tokens windows overlap, or `None`.

        Returns:
            List of B encodings.

        Raises:
            ValueError: A text is none, too long, or cannot be cut so.
        """
        if max_length is None and truncate:
            max_length = self._length_when_cut(stride)
        texts, pairs = read_strings(texts), read_strings(pairs)
        check_choice((False, *STRATEGIES), truncate=truncate)
        is_words = isinstance(texts, list | tuple) and isinstance(
            next(iter(texts), None), list | tuple
        )
        check = check_words if is_words else check_texts
        texts = inputs = check(texts, "texts")
        if pairs is not None:
            pairs = check(pairs, "pairs")
            if len(pairs) != len(texts):
                raise ValueError(
                    "`pairs` must hold the second text of each pair. Received: "
                    f"{len(texts)} texts and {len(pairs)} pairs."
                )
            inputs = list(zip(texts, pairs, strict=True))
        tokenizer = self._pipeline
        if max_length is not None:
            max_length = operator.index(max_length)
            if truncate:
                has_pairs = pairs is not None
                tokenizer = self._cutting_at(max_length, truncate, has_pairs, stride)
        try:
            found = tokenizer.encode_batch(inputs, is_pretokenized=is_words)
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException as error:  # the library raises nothing more precise
            overlap = "" if stride is None else f", stride={stride}"
            raise ValueError(
                f"The texts cannot be cut to max_length={max_length} with truncate="
                f"{truncate!r}{overlap}: {error}. Cut with truncate=True, or raise "
                "`max_length`."
            ) from None
        lengths = [len(encoding.ids) for encoding in found]
        if max_length is not None and max(lengths) > max_length:
            i = next(i for i, length in enumerate(lengths) if length > max_length)
            raise ValueError(
                f"Text {first + i} needs {lengths[i]} tokens, more than max_length="
                f"{max_length}: {shorten(texts[i])}. The longest needs {max(lengths)}. "
                "Raise `max_length`, or cut with truncate=True."
            )
        return found

    def _length_when_cut(self, stride):
        """The length that the model was published with, if a text is to be cut."""
        length = self._settings.get("model_max_length")
        if length is not None and length < 2**31:
            return int(length)
        if stride is not None:
            raise ValueError(
                f"`stride` cuts texts into windows of `max_length`. Received: stride="
                f"{stride} without `max_length`, and the tokenizer has none either."
            )
        return None

    def _cutting_at(self, max_length, truncate, has_pairs, stride):
        """Another tokenizer: to cut texts is a setting of one, not of a call."""
        if truncate == "only_second" and not has_pairs:
            raise ValueError(
                'truncate="only_second" cuts the second text of each pair. Received no '
                "`pairs`. Pass truncate=True."
            )
        special = self._pipeline.num_special_tokens_to_add(has_pairs)
        if max_length <= special:
            raise ValueError(
                f"`max_length` must be more than {special}, the number of special "
                f"tokens. Received: max_length={max_length}."
            )
        stride = 0 if stride is None else operator.index(stride)
        if not 0 <= stride < max_length - special:
            raise ValueError(
                f"`stride` must be from 0 to {max_length - special - 1}, as there are "
                f"{special} special tokens in a window of max_length={max_length}. "
                f"Received: stride={stride}."
            )
        key = max_length, STRATEGIES[truncate], stride
        if key not in self._cutting:
            tokenizer = import_tokenizers().Tokenizer.from_str(self._pipeline.to_str())
            tokenizer.enable_truncation(
                max_length,
                stride=stride,
                strategy=STRATEGIES[truncate],
                direction=self._settings.get("truncation_side") or "right",
            )
            self._cutting[key] = tokenizer
        return self._cutting[key]
