"""The tokenizers that published checkpoints bring along, by the library tokenizers.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import functools
import json
import operator
import pathlib

import keras
import numpy as np

from keras_attention.files import replace_file
from keras_attention.tokenizers.encoder import Encoder
from keras_attention.tokenizers.overrides import is_rebuilt
from keras_attention.tokenizers.pipelines import append_tokens
from keras_attention.tokenizers.pipelines import number_of_ids
from keras_attention.tokenizers.pipelines import open_pipeline
from keras_attention.tokenizers.settings import is_token_name
from keras_attention.tokenizers.settings import text_of
from keras_attention.tokenizers.settings import to_json
from keras_attention.tokenizers.settings import TOKENIZER
from keras_attention.tokenizers.settings import write_settings
from keras_attention.tokenizers.texts import check_texts
from keras_attention.tokenizers.texts import clean_up
from keras_attention.tokenizers.texts import known_rows
from keras_attention.tokenizers.texts import shorten
from keras_attention.tokenizers.tokenizer import Tokenizer


@keras.saving.register_keras_serializable("keras_attention")
class PublishedTokenizer(Tokenizer):
    """Turns texts into token ids and back, exactly as a published model was trained.

    `BERT.from_preset` and `GPT2.from_preset` make one from the files of a checkpoint;
    it is `model.tokenizer`, and saved with the model. Called, it gives the inputs of
    the model, also as the `collate_fn` of a torch `DataLoader`.

    Args:
        json: What a `tokenizer.json` holds, as a string.
        settings: Dict with what `tokenizer_config.json` holds, as far as it counts
            here: the texts of the special tokens, `pad_token` and others.
        has_segments: Whether inputs have `segment_ids`.
        max_length: Most tokens of a text, special tokens included, where a call says
            nothing else. By default there is no limit but that of the model.
        truncate: Whether longer texts are cut instead of refused, where a call says
            nothing else; see `__call__`. Both are attributes that may be set.

    Raises:
        ValueError: `json` is not the text of a tokenizer.
        ImportError: The package tokenizers is not installed.

    Example:

    >>> from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog", "##s"]
    >>> tokenizer = word_piece_tokenizer(words)
    >>> inputs = tokenizer(["The dogs", "dog"])
    >>> inputs["token_ids"].tolist()
    [[2, 5, 6, 7, 3], [2, 6, 3, 0, 0]]
    >>> tokenizer.decode(inputs["token_ids"])
    ['the dogs', 'dog']
    """

    def __init__(
        self, json, settings=None, has_segments=False, max_length=None, truncate=False
    ):
        self._tokenizer = open_pipeline(json)
        self._settings = {
            key: value
            for key, value in (settings or {}).items()
            if not is_token_name(key) or self._has(text_of(value))
        }
        self.has_segments = has_segments
        self.max_length, self.truncate = max_length, truncate
        self._encoder = Encoder(self._tokenizer, self._settings)

    def _has(self, token):
        """Whether a special token has an id; what is none stays."""
        is_token = isinstance(token, str)
        return not is_token or self._tokenizer.token_to_id(token) is not None

    def _id_of(self, key):
        token = text_of(self._settings.get(key))
        return None if token is None else self._tokenizer.token_to_id(token)

    @property
    def padding_id(self):
        """The id of padding; without one that of the end, which the mask hides."""
        found = (self._id_of(key) for key in ("pad_token", "eos_token"))
        return next((number for number in found if number is not None), 0)

    @property
    def start_id(self):
        return self._id_of("bos_token")

    @property
    def end_id(self):
        return self._id_of("eos_token")

    @property
    def unknown_id(self):
        return self._id_of("unk_token")

    @property
    def mask_id(self):
        return self._id_of("mask_token")

    @property
    def class_id(self):
        return self._id_of("cls_token")

    @property
    def separator_id(self):
        return self._id_of("sep_token")

    @property
    def padding_side(self):
        """Where padding stands, `"right"` or, as XLNet has it, `"left"`."""
        return self._settings.get("padding_side") or "right"

    @property
    def special_ids(self):
        """The ids of all special tokens, a sorted list."""
        added = self._tokenizer.get_added_tokens_decoder()
        return sorted(i for i, token in added.items() if token.special)

    @functools.cached_property
    def _size(self):
        return number_of_ids(self._tokenizer)

    def add_tokens(self, tokens, special=False):
        """Adds tokens that texts are searched for before they are split.

        What the tokenizer has already gets no other id. A model that is to read the new
        ones needs rows for them:

            tokenizer = load_tokenizer(folder)
            tokenizer.add_tokens(["<user>", "<bot>"], special=True)
            model = GPT2.from_preset(
                folder, tokenizer=tokenizer, vocabulary_size=len(tokenizer)
            )

        Args:
            tokens: List of strings.
            special: Whether they are no text: `decode` leaves them out, and they are
                found as they are written, also where texts are taken in lower case.

        Returns:
            The number of new ids.

        Raises:
            ValueError: One is no string, or empty.

        Example:

        >>> from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
        >>> tokenizer = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a"])
        >>> tokenizer.add_tokens(["[E1]", "a"])
        1
        >>> tokenizer.encode(["a [E1] a"]).tolist()
        [[1, 3, 4, 3, 2]]
        """
        tokens = check_texts(tokens, "tokens")
        if not all(token.strip() for token in tokens):
            raise ValueError(
                f"A token must be more than spaces. Received: {shorten(tokens)}."
            )
        count = append_tokens(self._tokenizer, tokens, special)
        self._encoder.forget()
        for cached in ("_json", "_size"):
            self.__dict__.pop(cached, None)
        return count

    def __len__(self):
        return self._size

    def __contains__(self, token):
        return self._tokenizer.token_to_id(token) is not None

    def __eq__(self, other):
        return (
            isinstance(other, PublishedTokenizer)
            and self.get_config() == other.get_config()
        )

    def __hash__(self):
        return hash(self._json)

    def __repr__(self):
        return f"<PublishedTokenizer of {len(self)} tokens>"

    @functools.cached_property
    def _json(self):
        return self._tokenizer.to_str()

    def __call__(
        self,
        texts,
        pairs=None,
        max_length=None,
        truncate=None,
        padded_length=None,
        stride=None,
        return_offsets=False,
        return_word_ids=False,
    ):
        """The inputs of a model for texts, or for pairs of texts.

        Args:
            texts: List or array of B strings, or a list of B lists of words.
            pairs: The same, the second text of each pair.
            max_length: Most tokens, special tokens included. By default that of the
                tokenizer.
            truncate: Whether what is longer is cut instead of refused. Of pairs True
                cuts the longer text, token by token; `"only_first"` and
                `"only_second"` cut one of them. By default as the tokenizer does.
            padded_length: L. By default the `max_length` of this call, or else the
                length of the longest.
            stride: Cut texts into windows of `max_length`, so that nothing is lost: a
                window begins with so many of the tokens that the one before ended
                with. There are W windows in place of B texts. Of pairs the second text
                is cut, unless `truncate` says another.
            return_offsets: Also return which characters each token stands for.
            return_word_ids: Also return which word each token belongs to.

        Returns:
            Dict with `token_ids`, int32 `(B, L)`, `padding_mask`, boolean `(B, L)`,
            and, where the model has them, `segment_ids`, int32 `(B, L)`. If asked with
            `offsets`, int32 `(B, L, 2)`: the place of a token's first character in its
            text or word and the place after its last, both 0 for special tokens; and
            `sequence_ids`, int32 `(B, L)`: 0 for the first text of a pair, 1 for the
            second, -1 for special tokens; and `word_ids`, int32 `(B, L)`, -1 for
            special tokens. With `stride` also `text_ids`, int32 `(W,)`: the number of
            the text that a window is of, and `sequence_ids`.

        Raises:
            ValueError: A text is not a string or too long, there are not as many
                pairs as texts, or `stride` leaves no room in a window.

        Example:

        >>> from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer
        >>> tokenizer = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a", "b", "c"])
        >>> windows = tokenizer(["a b c a", "b"], max_length=5, stride=2)
        >>> windows["token_ids"].tolist()
        [[1, 3, 4, 5, 2], [1, 4, 5, 3, 2], [1, 4, 2, 0, 0]]
        >>> windows["text_ids"].tolist()
        [0, 0, 1]
        """
        if stride is not None:
            truncate = truncate or (True if pairs is None else "only_second")
        found = self._encode(texts, pairs, max_length, truncate, stride=stride)
        text_ids = np.arange(len(found), dtype="int32")
        if stride is not None:
            windows = [[encoding, *encoding.overflowing] for encoding in found]
            text_ids = np.repeat(text_ids, list(map(len, windows)))
            found = [encoding for row in windows for encoding in row]
        longest = max(len(encoding.ids) for encoding in found)
        length = longest if max_length is None else max_length
        if padded_length is not None:
            length = max(operator.index(padded_length), longest)
        shape = len(found), length
        token_ids = np.full(shape, self.padding_id, "int32")
        padding_mask = np.zeros(shape, "bool")
        padding_segment = self._settings.get("pad_token_type_id") or 0
        segment_ids = np.full(shape, padding_segment, "int32")
        offsets = np.zeros((*shape, 2), "int32")
        sequence_ids, word_ids = np.full((2, *shape), -1, "int32")
        for i, encoding in enumerate(found):
            size = len(encoding.ids)
            place = self._place(size, length)
            token_ids[i, place] = encoding.ids
            padding_mask[i, place] = True
            segment_ids[i, place] = encoding.type_ids
            if return_offsets:
                offsets[i, place] = np.reshape(encoding.offsets, (size, 2))
            if return_offsets or stride is not None:
                sequence_ids[i, place] = _numbers(encoding.sequence_ids)
            if return_word_ids:
                word_ids[i, place] = _numbers(encoding.word_ids)
        inputs = {"token_ids": token_ids, "padding_mask": padding_mask}
        if self.has_segments:
            inputs["segment_ids"] = segment_ids
        if return_offsets:
            inputs["offsets"], inputs["sequence_ids"] = offsets, sequence_ids
        if return_word_ids:
            inputs["word_ids"] = word_ids
        if stride is not None:
            inputs.update(text_ids=text_ids, sequence_ids=sequence_ids)
        return inputs

    def count(self, texts, pairs=None, max_length=None, truncate=None):
        """How many tokens texts have, special tokens included.

        Args:
            texts: As in `__call__`.
            pairs: As in `__call__`.
            max_length: As in `__call__`.
            truncate: As in `__call__`.

        Returns:
            int32 array `(B,)`.

        Raises:
            ValueError: As in `__call__`.
        """
        counts = []
        for begin in range(0, len(texts), 10_000):  # not all encodings at once
            rows = slice(begin, begin + 10_000)
            found = self._encode(
                texts[rows],
                None if pairs is None else pairs[rows],
                max_length,
                truncate,
                begin,
            )
            counts.extend(len(encoding.ids) for encoding in found)
        return np.array(counts, "int32")

    def _encode(self, texts, pairs, max_length, truncate, first=0, stride=None):
        """The encodings of texts, of which the first has the number `first`."""
        return self._encoder.encode(
            texts,
            pairs,
            self.max_length if max_length is None else max_length,
            self.truncate if truncate is None else truncate,
            first,
            stride,
        )

    def encode(self, texts, max_length=None, truncate=None):
        """Token ids of texts, special tokens included.

        Args:
            texts: List of B strings.
            max_length: L. That of the longest text by default.
            truncate: Whether texts that are too long are cut; see `__call__`.

        Returns:
            int32 array `(B, L)`.

        Raises:
            ValueError: A text is not a string, or is too long.
        """
        inputs = self(texts, max_length=max_length, truncate=truncate)
        return inputs["token_ids"]

    def offsets(self, texts, max_length=None, truncate=None):
        """Which characters each token stands for; see `Tokenizer.offsets`."""
        return self(
            texts, max_length=max_length, truncate=truncate, return_offsets=True
        )["offsets"]

    def _rows(self, texts):
        texts = check_texts(texts)
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def _spans(self, texts):
        texts = check_texts(texts)
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [encoding.offsets for encoding in found]

    def decode(self, ids):
        """Texts of token ids, without special tokens.

        Args:
            ids: Integers `(B, L)`, an array, a tensor, or B lists of any lengths.

        Returns:
            List of B strings.

        Raises:
            ValueError: The ids are not integers `(B, L)`, or one is none of ours.
        """
        rows = known_rows(ids, len(self))
        texts = self._tokenizer.decode_batch(rows, skip_special_tokens=True)
        # Of byte pairs, spaces are part of the tokens.
        is_pairs = type(self._tokenizer.model).__name__ == "BPE"
        if self._settings.get("clean_up_tokenization_spaces") and not is_pairs:
            return [clean_up(text) for text in texts]
        return texts

    def tokens(self, ids):
        """The tokens that ids stand for, special ones included.

        Args:
            ids: As for `decode`.

        Returns:
            List of B lists of strings, empty for an id that no text has.
        """
        rows = known_rows(ids, len(self))
        return [[self._tokenizer.id_to_token(i) or "" for i in row] for row in rows]

    def save(self, folder):
        """Writes `tokenizer.json` and `tokenizer_config.json`.

        Args:
            folder: An existing folder. Existing files are replaced.
        """
        folder = pathlib.Path(folder)
        settings = dict(self._settings)
        name = settings.get("tokenizer_class")
        if not is_rebuilt(name, self._pipeline):
            settings["tokenizer_class"] = "PreTrainedTokenizerFast"
            names = ["input_ids", "attention_mask"]
            settings["model_input_names"] = names + ["token_type_ids"] * bool(
                self.has_segments
            )
        write_settings(
            folder,
            settings,
            "PublishedTokenizer",
            published_class=name,
            has_segments=self.has_segments,
            max_length=self.max_length,
            truncate=self.truncate,
        )
        replace_file(folder / TOKENIZER, to_json(self._pipeline))

    @property
    def _pipeline(self):
        return json.loads(self._json)

    def get_config(self):
        return {
            "json": self._json,
            "settings": dict(self._settings),
            "has_segments": self.has_segments,
            "max_length": self.max_length,
            "truncate": self.truncate,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _numbers(ids):
    """Numbers of words or texts, -1 for what belongs to none."""
    return [-1 if number is None else number for number in ids]
