"""Parts of words and their numbers: byte pair encoding by the library tokenizers.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import os

import keras

from keras_attention.files import replace_file
from keras_attention.tokenizers.pipelines import import_tokenizers
from keras_attention.tokenizers.pipelines import open_pipeline
from keras_attention.tokenizers.pipelines import template
from keras_attention.tokenizers.settings import TOKENIZER
from keras_attention.tokenizers.settings import write_settings
from keras_attention.tokenizers.texts import check_not_empty
from keras_attention.tokenizers.texts import check_texts
from keras_attention.tokenizers.texts import rows_of_text
from keras_attention.tokenizers.tokenizer import Tokenizer
from keras_attention.tokenizers.vocabulary import END_ID
from keras_attention.tokenizers.vocabulary import PAD_ID
from keras_attention.tokenizers.vocabulary import SPECIAL_TOKENS
from keras_attention.tokenizers.vocabulary import START_ID
from keras_attention.tokenizers.vocabulary import UNKNOWN
from keras_attention.tokenizers.vocabulary import UNKNOWN_ID
from keras_attention.tokenizers.word_layout import SPECIAL_SETTINGS

# Stands for the space before a word, as in SentencePiece.
SPACE = "\u2581"


@keras.saving.register_keras_serializable("keras_attention")
class SubwordTokenizer(Tokenizer):
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
        self._tokenizer = open_pipeline(json)
        found = [self._tokenizer.id_to_token(i) for i in range(len(SPECIAL_TOKENS))]
        if tuple(found) != SPECIAL_TOKENS:
            raise ValueError(
                f"The first tokens must be {', '.join(SPECIAL_TOKENS)}. Received: "
                f"{found}. Make the tokenizer with `SubwordTokenizer.train`."
            )
        # For others that read its file: here `encode` puts them around.
        self._tokenizer.post_processor = template(
            ["[start]:0", "$A:0", "[end]:0"],
            ["[start]:0", "$A:0", "[end]:0", "$B:1", "[end]:1"],
            self._tokenizer,
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

    @property
    def padding_id(self):
        """The id of `[pad]`."""
        return PAD_ID

    @property
    def start_id(self):
        """The id of `[start]`."""
        return START_ID

    @property
    def end_id(self):
        """The id of `[end]`."""
        return END_ID

    @property
    def unknown_id(self):
        """The id of `[unk]`, which stands for characters never seen."""
        return UNKNOWN_ID

    def _rows(self, texts):
        texts = check_not_empty(texts)
        found = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def _spans(self, texts):
        texts = check_not_empty(texts)
        found = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return [encoding.offsets for encoding in found]

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
        rows = rows_of_text(ids, len(self), END_ID, (PAD_ID, START_ID))
        return self._tokenizer.decode_batch(rows, skip_special_tokens=False)

    def tokens(self, ids):
        """The tokens that ids stand for, each text up to its `[end]`.

        Args:
            ids: As for `decode`.

        Returns:
            List of B lists of strings, without `[pad]`, `[start]` and `[end]`.
        """
        rows = rows_of_text(ids, len(self), END_ID, (PAD_ID, START_ID))
        return [[self._tokenizer.id_to_token(i) for i in row] for row in rows]

    def save(self, path):
        """Writes a `tokenizer.json`, which the library tokenizers reads too.

        In a folder `tokenizer_config.json` stands beside it.

        Args:
            path: Name of the file, or an existing folder. An existing file is replaced.
        """
        if os.path.isdir(path):
            write_settings(path, SPECIAL_SETTINGS, "SubwordTokenizer")
            path = os.path.join(path, TOKENIZER)
        replace_file(path, self._tokenizer.to_str(pretty=True).encode())

    @classmethod
    def load(cls, path):
        """Reads a file that `save` wrote.

        Args:
            path: Name of the file, or of the folder.

        Returns:
            A `SubwordTokenizer`.

        Raises:
            ValueError: The file is not a tokenizer of this kind.
        """
        path = os.fspath(path)
        if os.path.isdir(path):
            path = os.path.join(path, TOKENIZER)
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
