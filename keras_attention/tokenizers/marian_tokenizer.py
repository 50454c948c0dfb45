"""The tokenizer of Marian's translation models: SentencePiece and a list of pieces.

Letters for axes: B texts, L tokens of a text, padding included.
"""

import base64
import itertools
import os
import pathlib
import re

import keras

from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.tokenizers.kinds import read_ids
from keras_attention.tokenizers.sentence_piece import read_message
from keras_attention.tokenizers.settings import added_tokens
from keras_attention.tokenizers.settings import OURS
from keras_attention.tokenizers.settings import read_settings
from keras_attention.tokenizers.settings import SETTINGS
from keras_attention.tokenizers.settings import text_of
from keras_attention.tokenizers.settings import to_json
from keras_attention.tokenizers.texts import check_not_empty
from keras_attention.tokenizers.texts import rows_of_text
from keras_attention.tokenizers.tokenizer import Tokenizer

END = "</s>"
UNKNOWN = "<unk>"
PAD = "<pad>"
# They are special wherever they stand in a text.
SPECIAL = re.compile(f"({END}|{UNKNOWN}|{PAD})")
SOURCE_MODEL, TARGET_MODEL = "source.spm", "target.spm"
PIECES, TARGET_PIECES = "vocab.json", "target_vocab.json"


@keras.saving.register_keras_serializable("keras_attention")
class MarianTokenizer(Tokenizer):
    """Turns texts into token ids and back, as Marian's translation models do.

    A SentencePiece model splits a text into pieces (Kudo and Richardson 2018,
    arXiv:1808.06226); a list of its own says which id a piece has. Both languages
    have a model each, and one list. A piece that is not in the list is `<unk>`. What
    stands in `>>` and `<<` at the beginning of a source names the language to translate
    into, and is one piece. So are `</s>`, `<unk>` and `<pad>`, wherever they stand.

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
    def start_id(self):
        """The id that begins a target, that of `<pad>`; sources have none."""
        return self.padding_id if self._is_target else None

    @property
    def end_id(self):
        """The id of `</s>`."""
        return self._ids[END]

    @property
    def unknown_id(self):
        """The id of `<unk>`."""
        return self._ids[UNKNOWN]

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

    @property
    def _around(self):
        return [self.padding_id] if self._is_target else [], [self.end_id]

    def _rows(self, texts):
        rows = []
        for text in check_not_empty(texts):
            pieces = []
            for part, _, is_whole in split_parts(text):
                encode = self._processor.encode
                pieces += [part] if is_whole else encode(part, out_type=str)
            rows.append([self._ids.get(piece, self.unknown_id) for piece in pieces])
        return rows

    def _spans(self, texts):
        rows = []
        for text in check_not_empty(texts):
            spans = []
            for part, place, is_whole in split_parts(text):
                found = [(0, len(part))] if is_whole else self._places(part)
                spans += [(place + begin, place + end) for begin, end in found]
            rows.append(spans)
        return rows

    def _places(self, part):
        """Where the pieces of a part of a text stand in it."""
        data = self._processor.encode(part, out_type="serialized_proto")
        # SentencePiece counts bytes.
        sizes = (len(character.encode()) for character in part)
        number = {place: i for i, place in enumerate(itertools.accumulate(sizes), 1)}
        number[0] = 0
        pieces = [read_message(piece) for piece in read_message(data).get(2, ())]
        return [
            tuple(number[piece.get(field, [0])[-1]] for field in (4, 5))
            for piece in pieces
        ]

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
        rows = rows_of_text(ids, len(self), self.end_id, (self.padding_id,))
        return [[self._pieces[i] for i in row] for row in rows]

    def save(self, path):
        """Writes the SentencePiece model, and `vocab.json` beside it.

        Args:
            path: Name of the file of the model, such as `source.spm`, or an existing
                folder, where both languages are written as this one; see `save_pair`.
                Existing files are replaced.
        """
        if os.path.isdir(path):
            save_pair(self, self, path)
            return
        replace_file(path, self._model)
        replace_file(pathlib.Path(path).with_name(PIECES), to_json(self._ids))

    @classmethod
    def load(cls, path, vocabulary=None, is_target=False):
        """Reads a SentencePiece model, and the ids of its pieces.

        Args:
            path: Name of the file of the model, such as `source.spm`, or of the folder.
            vocabulary: Name of the JSON file beside it, from piece to id. By default
                `vocab.json`, or for the targets of a folder `target_vocab.json` if it
                is there.
            is_target: Whether texts are targets.

        Returns:
            A `MarianTokenizer`.

        Raises:
            ValueError: The files are not of such a tokenizer.
        """
        path = pathlib.Path(path)
        settings, added = {}, {}
        if path.is_dir():
            settings = read_settings(path)
            added = added_tokens(path, settings)
            has_two = is_target and (path / TARGET_PIECES).is_file()
            vocabulary = vocabulary or (TARGET_PIECES if has_two else None)
            path = path / (TARGET_MODEL if is_target else SOURCE_MODEL)
        place = path.with_name(vocabulary or PIECES)
        for file in (path, place):
            if not file.is_file():
                raise ValueError(
                    f"{file} is missing, which a tokenizer of Marian is made of. Copy "
                    "or download it."
                )
        ids = read_ids(place)
        pieces = sorted(ids, key=ids.get)
        if [ids[piece] for piece in pieces] != list(range(len(pieces))):
            raise ValueError(
                f"{place} must give its {len(pieces)} pieces the ids from 0 to "
                f"{len(pieces) - 1}, each once. Get the file again."
            )
        check_special(settings, added, ids, path.parent)
        return cls(path.read_bytes(), pieces, is_target)

    def get_config(self):
        return {
            "model": base64.b64encode(self._model).decode(),
            "pieces": self.pieces,
            "is_target": self._is_target,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def split_parts(text):
    """The parts of a text that are pieces as they are, and those between them.

    Yields:
        Triples of a part, its place in the text, and whether it is a piece.

    Example:

    >>> list(split_parts(">>fra<< a</s>"))
    [('>>fra<<', 0, True), (' a', 7, False), ('</s>', 9, True)]
    """
    place = 0
    for part in SPECIAL.split(text):
        if part.startswith(">>") and "<<" in part:
            end = part.index("<<") + 2
            yield part[:end], place, True
            place, part = place + end, part[end:]
        if part:
            yield part, place, SPECIAL.fullmatch(part) is not None
        place += len(part)


def save_pair(source, target, folder):
    """Writes the tokenizers of both languages, as transformers reads them.

    Args:
        source: The `MarianTokenizer` of the sources.
        target: That of the targets.
        folder: An existing folder. It gets `source.spm`, `target.spm`, `vocab.json`,
            `tokenizer_config.json` and, where the pieces of the targets are others,
            `target_vocab.json`. Existing files are replaced.
    """
    folder = pathlib.Path(folder)
    has_two = source.pieces != target.pieces
    target.save(folder / TARGET_MODEL)
    if has_two:
        os.replace(folder / PIECES, folder / TARGET_PIECES)
    source.save(folder / SOURCE_MODEL)
    settings = {
        "tokenizer_class": "MarianTokenizer",
        "separate_vocabs": has_two,
        OURS: {"class": "MarianTokenizer"},
    }
    replace_file(folder / SETTINGS, to_json(settings))


def check_special(settings, added, ids, folder):
    """Refuses special tokens that are none here."""
    for key, expected in (
        ("eos_token", END),
        ("unk_token", UNKNOWN),
        ("pad_token", PAD),
    ):
        token = text_of(settings.get(key))
        if token not in (None, expected):
            raise ValueError(
                f"A tokenizer of Marian has the {key} {expected!r}. Received: "
                f"{token!r} in {folder}."
            )
    for number, token in added.items():
        if token["content"] not in (END, UNKNOWN, PAD):
            raise ValueError(
                f"A tokenizer of Marian has no added tokens but {END}, {UNKNOWN} and "
                f"{PAD} here. Received: {token['content']!r} in {folder}."
            )
        if ids.get(token["content"]) != number:
            raise ValueError(
                f"The added token {token['content']!r} has the id {number}, and "
                f"{ids.get(token['content'])} in the list of pieces in {folder}. The "
                "files are of different tokenizers: copy them all again."
            )
