"""Files of SentencePiece, as pipelines of the library tokenizers.

Kudo and Richardson 2018, arXiv:1808.06226. The file is a message of protocol buffers;
what is asked of it here is little, so it is read without that package.
"""

import struct
import typing

from keras_attention.tokenizers.pipelines import import_tokenizers
from keras_attention.tokenizers.settings import text_of

SPACE = "\u2581"
UNIGRAM, BPE = 1, 2  # kinds of models in the file
CONTROL, USER_DEFINED = 3, 4  # kinds of pieces


class PieceModel(typing.NamedTuple):
    """What a file of SentencePiece says.

    Attributes:
        pieces: List of `(text, score, kind)`, in the order of their ids.
        kind: 1 for a unigram model, 2 for byte pair encoding.
        unknown_id: The id of what has no piece.
        byte_fallback: Whether what has no piece is written as bytes.
        normalizer: How a text is made plain, bytes that the library tokenizers reads.
    """

    pieces: list
    kind: int
    unknown_id: int
    byte_fallback: bool
    normalizer: bytes


def read_pieces(path):
    """Reads a file such as `spiece.model`.

    Args:
        path: A `pathlib.Path`.

    Returns:
        A `PieceModel`.

    Raises:
        ValueError: It is no such file.
    """
    try:
        message = read_message(path.read_bytes())
        pieces = []
        for data in message.get(1, ()):
            piece = read_message(data)
            (text,) = piece[1]
            (score,) = struct.unpack("<f", piece.get(2, [b"\0\0\0\0"])[-1])
            pieces.append((text.decode(), score, piece.get(3, [1])[-1]))
        trainer = read_message(message.get(2, [b""])[-1])
        normalizer = read_message(message.get(3, [b""])[-1])
        found = PieceModel(
            pieces,
            kind=trainer.get(3, [UNIGRAM])[-1],
            unknown_id=trainer.get(40, [0])[-1],
            byte_fallback=bool(trainer.get(35, [0])[-1]),
            normalizer=normalizer.get(2, [b""])[-1],
        )
    except (ValueError, KeyError, IndexError, TypeError, struct.error) as error:
        raise ValueError(
            f"{path} is not a SentencePiece model: {error}. Copy or download it again."
        ) from None
    if not pieces or found.kind not in (UNIGRAM, BPE):
        raise ValueError(
            f"{path} must hold the pieces of a unigram model or of byte pair encoding. "
            f"Received: {len(pieces)} pieces, kind {found.kind}."
        )
    return found


def read_message(data):
    """The fields of a message of protocol buffers.

    Args:
        data: Bytes.

    Returns:
        Dict from the number of a field to a list of its values: integers, or bytes.

    Example:

    >>> read_message(b"\\x08\\x96\\x01\\x12\\x02hi")
    {1: [150], 2: [b'hi']}
    """
    fields, place = {}, 0

    def read_number():
        nonlocal place
        number = shift = 0
        while True:
            byte = data[place]
            place += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number
            if shift > 63:
                raise ValueError("a number is too long")

    while place < len(data):
        tag = read_number()
        kind = tag & 7
        if kind == 0:
            value = read_number()
        else:
            sizes = {1: 8, 5: 4}
            if kind not in (1, 2, 5):
                raise ValueError(f"a field is of the unknown kind {kind}")
            size = read_number() if kind == 2 else sizes[kind]
            value = data[place : place + size]
            place += size
            if place > len(data):
                raise ValueError("it ends within a field")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def piece_pipeline(model, scores, unknown, normalizers, pre_tokenizers, prefix):
    """A pipeline of pieces, without special tokens.

    Args:
        model: The `PieceModel`.
        scores: List of pairs of a piece and its score, in the order of ids.
        unknown: The piece of what has none.
        normalizers: List of `tokenizers.normalizers`.
        pre_tokenizers: List of `tokenizers.pre_tokenizers` before that of spaces.
        prefix: Whether a space is put before the first word: `"always"`, `"first"` or
            `"never"`.

    Returns:
        A `tokenizers.Tokenizer`.

    Raises:
        ValueError: A piece is missing, or twice there.
    """
    tokenizers = import_tokenizers()
    ids = {piece: i for i, (piece, _) in enumerate(scores)}
    if unknown not in ids or len(ids) < len(scores):
        raise ValueError(
            f"A SentencePiece model must have distinct pieces, {unknown} among them. "
            f"Received: {len(scores)} pieces, {len(ids)} of them distinct."
        )
    if model.kind == UNIGRAM:
        kind = tokenizers.models.Unigram(
            scores, unk_id=ids[unknown], byte_fallback=model.byte_fallback
        )
    else:
        kind = tokenizers.models.BPE(
            ids,
            merges_of(scores, ids),
            unk_token=unknown,
            fuse_unk=True,
            byte_fallback=model.byte_fallback,
        )
    tokenizer = tokenizers.Tokenizer(kind)
    if normalizers:
        tokenizer.normalizer = tokenizers.normalizers.Sequence(normalizers)
    spaces = tokenizers.pre_tokenizers.Metaspace(SPACE, prepend_scheme=prefix)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [*pre_tokenizers, spaces]
    )
    tokenizer.decoder = tokenizers.decoders.Metaspace(SPACE, prepend_scheme=prefix)
    return tokenizer


def merges_of(scores, ids):
    """The pairs that byte pair encoding joins, the best piece first."""
    merges = []
    for piece, score in scores:
        pairs = ((piece[:i], piece[i:]) for i in range(1, len(piece)))
        pairs = [pair for pair in pairs if pair[0] in ids and pair[1] in ids]
        pairs.sort(key=lambda pair: (ids[pair[0]], ids[pair[1]]))
        merges.extend((score, pair) for pair in pairs)
    merges.sort(key=lambda merge: -merge[0])
    return [pair for _, pair in merges]


def plain(model):
    """How the file makes a text plain, a list."""
    if not model.normalizer:
        return []
    return [import_tokenizers().normalizers.Precompiled(model.normalizer)]


def fairseq_pieces(model, settings):
    """The pipeline of CamemBERT and of XLM-RoBERTa, whose ids are those of fairseq.

    Both begin with special tokens of their own and end with the mask. CamemBERT keeps
    the pieces `<unk>`, `<s>` and `</s>` of the file behind them, the first under a name
    that no text has.

    Args:
        model: The `PieceModel`.
        settings: Dict with the special tokens.
    """
    tokenizers = import_tokenizers()
    names = ("bos_token", "pad_token", "eos_token", "unk_token", "mask_token")
    first, padding, last, unknown, mask = (text_of(settings[name]) for name in names)
    scores = [(piece, score) for piece, score, _ in model.pieces]
    if settings["tokenizer_class"] == "CamembertTokenizer":
        special = [("<s>NOTUSED", 0.0), (padding, 0.0), ("</s>NOTUSED", 0.0)]
        special += [(unknown, 0.0), ("<unk>NOTUSED", -100.0)]
        scores = [*special, *scores[1:], (mask, 0.0)]
    else:
        special = [(first, 0.0), (padding, 0.0), (last, 0.0), (unknown, 0.0)]
        scores = [*special, *scores[3:], (mask, 0.0)]
    return piece_pipeline(
        model,
        scores,
        unknown,
        plain(model),
        [tokenizers.pre_tokenizers.WhitespaceSplit()],
        prefix="never" if settings.get("add_prefix_space") is False else "always",
    )


def stripped_pieces(model, settings):
    """The pipeline of ALBERT and of XLNet: other quotes, no accents.

    A piece that ends in a digit and a comma is used where nothing else is left only, as
    the code of both models cuts it.

    Args:
        model: The `PieceModel`.
        settings: Dict with the special tokens, `keep_accents` and `do_lower_case`.
    """
    tokenizers = import_tokenizers()
    normal = tokenizers.normalizers
    normalizers = [normal.Replace("``", '"'), normal.Replace("''", '"')]
    if not settings.get("keep_accents"):
        normalizers += [normal.NFKD(), normal.StripAccents()]
    if settings["do_lower_case"]:
        normalizers.append(normal.Lowercase())
    scores = [
        (piece, score - 100 if piece[-1:] == "," and piece[-2:-1].isdigit() else score)
        for piece, score, _ in model.pieces
    ]
    return piece_pipeline(
        model,
        scores,
        text_of(settings["unk_token"]),
        [*normalizers, *plain(model)],
        [tokenizers.pre_tokenizers.WhitespaceSplit()],
        prefix="never" if settings.get("add_prefix_space") is False else "always",
    )


def deberta_pieces(model, settings):
    """The pipeline of DeBERTa v2 and v3.

    Args:
        model: The `PieceModel`.
        settings: Dict with the special tokens, `do_lower_case` and `split_by_punct`.
    """
    tokenizers = import_tokenizers()
    normal = tokenizers.normalizers
    normalizers = [normal.Lowercase()] if settings.get("do_lower_case") else []
    normalizers += [normal.Strip(), *plain(model)]
    spaces = tokenizers.Regex(r"\s{2,}|[\n\r\t]")
    normalizers.append(normal.Replace(spaces, " "))
    punctuation = tokenizers.pre_tokenizers.Punctuation(behavior="isolated")
    return piece_pipeline(
        model,
        [(piece, score) for piece, score, _ in model.pieces],
        text_of(settings["unk_token"]),
        normalizers,
        [punctuation] if settings.get("split_by_punct") else [],
        prefix="first" if settings.get("add_prefix_space") is False else "always",
    )


def added_pieces(model):
    """The pieces that a text is searched for before it is split.

    Args:
        model: The `PieceModel`.

    Returns:
        List of dicts, in the order of their ids.
    """
    return [
        {"content": piece, "normalized": False, "special": kind == CONTROL}
        for piece, _, kind in model.pieces
        if kind in (CONTROL, USER_DEFINED)
    ]
