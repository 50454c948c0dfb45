"""The tokenizer of Marian's translation models: SentencePiece and a list of pieces.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import base64
import json
import operator
import os

import keras
import numpy as np

from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.tokenizers.vocabulary import integer_rows
from keras_attention.tokenizers.vocabulary import shorten

END = "</s>"
UNKNOWN = "<unk>"
PAD = "<pad>"


@keras.saving.register_keras_serializable("keras_attention")
class MarianTokenizer:
    """Turns texts into token ids and back, as Marian's translation models do.

    A SentencePiece model splits a text into pieces (Kudo and Richardson 2018,
    arXiv:1808.06226); a list of its own says which id a piece has. Both languages
    have a model each, and one list. A piece that is not in the list is `<unk>`. What
    stands in `>>` and `<<` at the beginning of a source names the language to translate
    into, and is one piece.

    Args:
        model: What a `.spm` file holds, bytes, or the same in base64 as a string.
        pieces: The pieces in the order of their ids; `</s>`, `<unk>` and `<pad>` are
            among them.
        is_target: Whether texts are targets, which begin with the padding token.

    Raises:
        ValueError: `model` is no SentencePiece model; pieces are repeated or missing.
        ImportError: The package sentencepiece is not installed.

    Example:

        folder = checkpoints.download("hf://Helsinki-NLP/opus-mt-en-de")
        source = MarianTokenizer.load(folder / "source.spm")
        token_ids = source.encode(["I saw a cat."])

    >>> MarianTokenizer(b"none", ["</s>", "<unk>", "<pad>"])
    Traceback (most recent call last):
        ...
    ValueError: This is not a SentencePiece model...
    """

    def __init__(self, model, pieces, is_target=False):
        package = import_package(
            "sentencepiece", "sentencepiece", "text", "Splitting into pieces"
        )
        if isinstance(model, str):
            model = base64.b64decode(model)
        pieces = list(pieces)
        ids = {piece: i for i, piece in enumerate(pieces)}
        missing = [piece for piece in (END, UNKNOWN, PAD) if piece not in ids]
        if missing or len(ids) < len(pieces):
            raise ValueError(
                f"`pieces` must be distinct, {END}, {UNKNOWN} and {PAD} among them. "
                f"Received {len(pieces)} pieces, {len(ids)} of them distinct, without "
                f"{', '.join(missing) or 'a gap'}. They are the keys of vocab.json."
            )
        self._processor = package.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except RuntimeError as error:
            raise ValueError(
                f"This is not a SentencePiece model: {error}. Received {len(model)} "
                "bytes. It is what a file source.spm or target.spm holds."
            ) from None
        self._model, self._pieces, self._ids = model, pieces, ids
        self._is_target = is_target

    @property
    def padding_id(self):
        """The id of `<pad>`, which also begins a target."""
        return self._ids[PAD]

    @property
    def end_id(self):
        """The id of `</s>`."""
        return self._ids[END]

    @property
    def pieces(self):
        """The pieces in the order of their ids."""
        return list(self._pieces)

    def __len__(self):
        return len(self._pieces)

    def __contains__(self, piece):
        return piece in self._ids and piece not in (END, UNKNOWN, PAD)

    def __eq__(self, other):
        return isinstance(other, MarianTokenizer) and (
            (self._model, self._pieces, self._is_target)
            == (other._model, other._pieces, other._is_target)
        )

    def __hash__(self):
        return hash((self._model, len(self._pieces), self._is_target))

    def __repr__(self):
        return f"<MarianTokenizer of {len(self)} pieces>"

    def encode(self, texts, max_length=None, truncate=False):
        """Token ids of texts: the pieces, `</s>`, then padding.

        Args:
            texts: List of B strings.
            max_length: L. That of the longest text by default.
            truncate: Cut texts that are too long (they keep their `</s>`) instead of
                refusing them.

        Returns:
            int32 array `(B, L)`.

        Raises:
            ValueError: A text is not a string, is empty, or is too long.
        """
        if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
            raise ValueError(
                f"`texts` must be a list of strings. Received: {shorten(texts)}"
            )
        if not texts:
            raise ValueError("`texts` must hold at least one text. Received none.")
        for i, text in enumerate(texts):
            if not text.strip():
                raise ValueError(
                    f"Text {i} is empty. Received: {text!r}. Leave it out, with its "
                    "translation."
                )
        before = [self.padding_id] if self._is_target else []
        rows = [[*before, *self._encode(text), self.end_id] for text in texts]
        longest = max(len(row) for row in rows)
        max_length = longest if max_length is None else operator.index(max_length)
        if longest > max_length and not truncate:
            i = next(i for i, row in enumerate(rows) if len(row) > max_length)
            raise ValueError(
                f"Text {i} needs {len(rows[i])} tokens, more than max_length="
                f"{max_length}: {shorten(texts[i])}. The longest needs {longest}. "
                "Raise `max_length`, or cut with truncate=True."
            )
        token_ids = np.full((len(rows), max_length), self.padding_id, "int32")
        for found, row in zip(token_ids, rows, strict=True):
            row = row if len(row) <= max_length else [*row[: max_length - 1], row[-1]]
            found[: len(row)] = row
        return token_ids

    def _encode(self, text):
        pieces = []
        if text.startswith(">>") and "<<" in text:
            end = text.index("<<") + 2
            pieces, text = [text[:end]], text[end:]
        pieces += self._processor.encode(text, out_type=str)
        return [self._ids.get(piece, self._ids[UNKNOWN]) for piece in pieces]

    def decode(self, ids):
        """Texts of token ids, each up to its `</s>`.

        Args:
            ids: Integers `(B, L)`, an array, a tensor, or B lists of any lengths.

        Returns:
            List of B strings, without `<unk>` and `<pad>`.

        Raises:
            ValueError: The ids are not integers `(B, L)`, or one is none of ours.
        """
        return [
            self._processor.decode_pieces([p for p in row if p != UNKNOWN]).strip()
            for row in self.tokens(ids)
        ]

    def tokens(self, ids):
        """The pieces that ids stand for, each text up to its `</s>`.

        Args:
            ids: As for `decode`.

        Returns:
            List of B lists of strings, without `</s>` and `<pad>`.
        """
        rows = []
        for row in integer_rows(ids):
            pieces = []
            for i in row:
                if not 0 <= i < len(self):
                    raise ValueError(
                        f"Token ids must be from 0 to {len(self) - 1}. Received: {i}. "
                        "They come from a model with another vocabulary."
                    )
                if i == self.end_id:
                    break
                if i != self.padding_id:
                    pieces.append(self._pieces[i])
            rows.append(pieces)
        return rows

    def save(self, path):
        """Writes the SentencePiece model, and `vocab.json` beside it.

        Args:
            path: Name of the file of the model, such as `source.spm`. Existing files
                are replaced.
        """
        replace_file(path, self._model)
        ids = json.dumps(self._ids, indent=2)
        replace_file(os.path.join(os.path.dirname(path), "vocab.json"), ids.encode())

    @classmethod
    def load(cls, path, vocabulary="vocab.json", is_target=False):
        """Reads a SentencePiece model, and the ids of its pieces.

        Args:
            path: Name of the file of the model, such as `source.spm`.
            vocabulary: Name of the JSON file beside it, from piece to id.
            is_target: Whether texts are targets.

        Returns:
            A `MarianTokenizer`.

        Raises:
            ValueError: The files are not of such a tokenizer.
        """
        with open(path, "rb") as file:
            model = file.read()
        place = os.path.join(os.path.dirname(path), vocabulary)
        with open(place, encoding="utf-8") as file:
            try:
                ids = json.load(file)
                pieces = sorted(ids, key=ids.get)
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(
                    f"{place} must be JSON, from pieces to ids. Received: {error}."
                ) from None
        if [ids[piece] for piece in pieces] != list(range(len(pieces))):
            raise ValueError(
                f"{place} must give its {len(pieces)} pieces the ids from 0 to "
                f"{len(pieces) - 1}, each once. Get the file again."
            )
        return cls(model, pieces, is_target)

    def get_config(self):
        return {
            "model": base64.b64encode(self._model).decode(),
            "pieces": self.pieces,
            "is_target": self._is_target,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
