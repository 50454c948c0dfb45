"""Parts of words and their numbers: byte pair encoding by the library tokenizers.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import os

import keras

from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.tokenizers.vocabulary import check_texts
from keras_attention.tokenizers.vocabulary import pad_rows
from keras_attention.tokenizers.vocabulary import rows_of_text
from keras_attention.tokenizers.vocabulary import shorten
from keras_attention.tokenizers.vocabulary import SPECIAL_TOKENS
from keras_attention.tokenizers.vocabulary import UNKNOWN

# Stands for the space before a word, as in SentencePiece.
SPACE = "\u2581"


@keras.saving.register_keras_serializable("keras_attention")
class SubwordTokenizer:
    """Turns texts into token ids and back, where rare words have several tokens.

    Sennrich et al. 2016, arXiv:1508.07909: beginning with characters, the pair of
    tokens that is most frequent in the training texts becomes a token, again and
    again. It has the methods of `Vocabulary`, and the same ids 0 to 3: `[pad]`,
    `[start]`, `[end]` and `[unk]`, which stands for characters never seen.

    A token that begins a word begins with `▁`. Punctuation is a token of its own. Text
    is taken in NFC; upper case and spaces come back as they were.

    Args:
        json: What a `tokenizer.json` holds, as a string. `train` makes a tokenizer
            from texts, and `load` reads the file.

    Raises:
        ValueError: It is not a tokenizer, or one with other special tokens.
        ImportError: The package tokenizers is not installed.

    Example:

    >>> texts = ["low lower lowest", "new newer newest"]
    >>> tokenizer = SubwordTokenizer.train(texts, vocabulary_size=30)
    >>> token_ids = tokenizer.encode(["newest low"])
    >>> tokenizer.tokens(token_ids)
    [['▁ne', 'west', '▁lo', 'w']]
    >>> tokenizer.decode(token_ids)
    ['newest low']
    """

    def __init__(self, json):
        tokenizers = import_tokenizers()
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(json)
        except Exception as error:  # tokenizers raises nothing more precise
            raise ValueError(
                f"This is not the text of a tokenizer.json: {error}. Received: "
                f"{shorten(json)}. `SubwordTokenizer.load` reads a file, "
                "`SubwordTokenizer.train` makes a tokenizer from texts."
            ) from None
        found = [self._tokenizer.id_to_token(i) for i in range(len(SPECIAL_TOKENS))]
        if tuple(found) != SPECIAL_TOKENS:
            raise ValueError(
                f"The first tokens must be {', '.join(SPECIAL_TOKENS)}. Received: "
                f"{found}. Make the tokenizer with `SubwordTokenizer.train`."
            )

    @classmethod
    def train(cls, texts, vocabulary_size=8000, min_count=2, lowercase=False):
        """Learns the tokens from texts.

        Args:
            texts: List of strings, of one language or of both of a translation.
            vocabulary_size: Most tokens, the four special ones included.
            min_count: How often a pair must occur to become a token.
            lowercase: Take texts in lower case.

        Returns:
            A `SubwordTokenizer`.

        Raises:
            ValueError: The texts are no list of strings, or `vocabulary_size` does
                not hold their characters.
        """
        tokenizers = import_tokenizers()
        texts = check_texts(texts, "texts")
        tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token=UNKNOWN))
        normalizers = [tokenizers.normalizers.NFC()]
        if lowercase:
            normalizers.append(tokenizers.normalizers.Lowercase())
        tokenizer.normalizer = tokenizers.normalizers.Sequence(normalizers)
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
            [
                tokenizers.pre_tokenizers.Metaspace(SPACE),
                tokenizers.pre_tokenizers.Punctuation(),
            ]
        )
        tokenizer.decoder = tokenizers.decoders.Metaspace(SPACE)
        # More characters than tokens would leave out the rare ones silently.
        characters = {c for t in texts for c in tokenizer.normalizer.normalize_str(t)}
        characters = (characters | {SPACE}) - {" "}
        if vocabulary_size < len(characters) + len(SPECIAL_TOKENS):
            raise ValueError(
                f"`vocabulary_size` must be at least {len(SPECIAL_TOKENS)} and the "
                f"{len(characters)} characters of the texts. Received: "
                f"vocabulary_size={vocabulary_size}"
            )
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=vocabulary_size,
            min_frequency=min_count,
            special_tokens=list(SPECIAL_TOKENS),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)
        return cls(tokenizer.to_str())

    def __len__(self):
        return self._tokenizer.get_vocab_size()

    def __contains__(self, token):
        found = self._tokenizer.token_to_id(token) is not None
        return found and token not in SPECIAL_TOKENS

    def __eq__(self, other):
        return isinstance(other, SubwordTokenizer) and (
            self._tokenizer.to_str() == other._tokenizer.to_str()
        )

    def __hash__(self):
        return hash(self._tokenizer.to_str())

    def __repr__(self):
        return f"<SubwordTokenizer of {len(self)} tokens, 4 special ones included>"

    def encode(self, texts, max_length=None, truncate=False):
        """Token ids of texts: `[start]`, the tokens, `[end]`, then padding.

        Args:
            texts: List of B strings.
            max_length: L, `[start]` and `[end]` included. That of the longest text by
                default.
            truncate: Cut texts that are too long (they keep their `[end]`) instead
                of refusing them.

        Returns:
            int32 array `(B, L)`.

        Raises:
            ValueError: A text is not a string, is empty, or is too long.
        """
        texts = check_texts(texts, "texts")
        for i, text in enumerate(texts):
            if not text.strip():
                raise ValueError(
                    f"Text {i} is empty. Received: {text!r}. Leave it out, with its "
                    "translation."
                )
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        rows = [encoding.ids for encoding in found]
        return pad_rows(rows, texts, max_length, truncate, "Text")

    def decode(self, ids):
        """Texts of token ids, each up to its `[end]`.

        `[pad]` and `[start]` are left out; `[unk]` stays visible.

        Args:
            ids: Integers `(B, L)`, an array, a tensor, or B lists of any lengths.

        Returns:
            List of B strings.

        Raises:
            ValueError: The ids are not integers `(B, L)`, or one is none of ours.
        """
        rows = rows_of_text(ids, len(self))
        return self._tokenizer.decode_batch(rows, skip_special_tokens=False)

    def tokens(self, ids):
        """The tokens that ids stand for, each text up to its `[end]`.

        Args:
            ids: As for `decode`.

        Returns:
            List of B lists of strings, without `[pad]`, `[start]` and `[end]`.
        """
        rows = rows_of_text(ids, len(self))
        return [[self._tokenizer.id_to_token(i) for i in row] for row in rows]

    def save(self, path):
        """Writes a `tokenizer.json`, which the library tokenizers reads too.

        Args:
            path: Name of the file. An existing file is replaced.
        """
        replace_file(path, self._tokenizer.to_str(pretty=True).encode())

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Args:
            path: Name of the file.

        Returns:
            A `SubwordTokenizer`.

        Raises:
            ValueError: The file is not a tokenizer of this kind.
        """
        path = os.fspath(path)
        with open(path, "rb") as file:
            data = file.read()
        try:
            return cls(data.decode("utf-8-sig"))
        except ValueError as error:
            raise ValueError(f"{path!r} is not a tokenizer: {error}") from None

    def get_config(self):
        return {"json": self._tokenizer.to_str()}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def import_tokenizers():
    return import_package("tokenizers", "tokenizers", "text", "Splitting into subwords")
