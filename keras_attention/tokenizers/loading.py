"""The tokenizer of a folder, whichever files the folder has."""

import json
import pathlib

from keras_attention.tokenizers.kinds import AROUND
from keras_attention.tokenizers.kinds import FILES
from keras_attention.tokenizers.kinds import GENERAL
from keras_attention.tokenizers.kinds import Kind
from keras_attention.tokenizers.kinds import KINDS
from keras_attention.tokenizers.kinds import MODEL_TYPES
from keras_attention.tokenizers.marian_tokenizer import MarianTokenizer
from keras_attention.tokenizers.overrides import check_around
from keras_attention.tokenizers.overrides import override
from keras_attention.tokenizers.overrides import said_by
from keras_attention.tokenizers.overrides import STEPS
from keras_attention.tokenizers.pipelines import add_tokens
from keras_attention.tokenizers.pipelines import open_pipeline
from keras_attention.tokenizers.published_tokenizer import PublishedTokenizer
from keras_attention.tokenizers.sentence_piece import added_pieces
from keras_attention.tokenizers.sentence_piece import read_pieces
from keras_attention.tokenizers.settings import added_tokens
from keras_attention.tokenizers.settings import CONFIG
from keras_attention.tokenizers.settings import EXTRA
from keras_attention.tokenizers.settings import is_token_name
from keras_attention.tokenizers.settings import named_tokens
from keras_attention.tokenizers.settings import OURS
from keras_attention.tokenizers.settings import read_class
from keras_attention.tokenizers.settings import read_object
from keras_attention.tokenizers.settings import read_settings
from keras_attention.tokenizers.settings import SETTINGS
from keras_attention.tokenizers.settings import text_of
from keras_attention.tokenizers.settings import TOKENIZER
from keras_attention.tokenizers.subwords import SubwordTokenizer
from keras_attention.tokenizers.vocabulary import VOCABULARY
from keras_attention.tokenizers.vocabulary import Vocabulary

OWN = {"Vocabulary": Vocabulary, "SubwordTokenizer": SubwordTokenizer}
MARIAN = "MarianTokenizer"


def load_tokenizer(folder, has_segments=None, is_target=False):
    """The tokenizer of a folder with a published checkpoint, or with one of ours.

    It reads what `Tokenizer.save` and the library transformers write:
    `tokenizer.json`; `vocab.txt` of BERT, DistilBERT and their like; `vocab.json` and
    `merges.txt` of GPT-1, GPT-2, RoBERTa and DeBERTa; files of SentencePiece of
    CamemBERT and XLM-RoBERTa (`sentencepiece.bpe.model`), ALBERT and XLNet
    (`spiece.model`), DeBERTa v2 and v3 (`spm.model`) and Marian (`source.spm`,
    `target.spm`); and `vocabulary.txt`. Beside them it reads `tokenizer_config.json`,
    `special_tokens_map.json` and `added_tokens.json`, and of `config.json` which model
    it is. Each of their fields counts, or is refused.

    Args:
        folder: Name of the folder.
        has_segments: Whether inputs have `segment_ids`. By default as the model that
            `config.json` names reads them, or else as that of the tokenizer's class.
        is_target: Of two tokenizers, one for each language, that of the targets.

    Returns:
        A `Tokenizer`, or `None` where the folder has no file of one.

    Raises:
        ValueError: A file is damaged, the files do not belong together, a field is
            unknown, or the tokenizer is of a class that is not here.
        ImportError: The package tokenizers or sentencepiece is not installed.

    Example:

    >>> import pathlib
    >>> _ = pathlib.Path("vocab.txt").write_text("[UNK]\\n[CLS]\\n[SEP]\\nthe\\ndog\\n")
    >>> load_tokenizer(".").encode(["The dog"]).tolist()
    [[1, 3, 4, 2]]
    """
    folder = pathlib.Path(folder).expanduser()
    if not folder.is_dir():
        raise ValueError(
            f"{str(folder)!r} is no folder. Pass the folder with the files of a "
            "tokenizer; `checkpoints.download` fetches one of the hub."
        )
    config = read_object(folder / CONFIG) if (folder / CONFIG).is_file() else {}
    ours = read_ours(folder)
    if ours.get("class") in OWN:
        return OWN[ours["class"]].load(folder)
    name = ours.get("published_class") or class_of(folder, config)
    if name is None:
        return load_own(folder, is_target)
    if name == MARIAN:
        return MarianTokenizer.load(folder, is_target=is_target)
    kind = kind_of(name, folder)  # before any field, which another class may have
    said = read_settings(folder)
    said.pop(OURS, None)
    settings = {**kind.tokens, **said, "tokenizer_class": name}
    if (folder / TOKENIZER).is_file():
        pipeline = read_pipeline(folder, kind, said, settings)
    else:
        pipeline = build_pipeline(folder, kind, said, settings)
    keep_found(settings, pipeline)
    if has_segments is None:
        has_segments = ours.get("has_segments")
    if has_segments is None:
        has_segments = reads_segments(config, settings, kind)
    settings.pop("model_input_names", None)
    return PublishedTokenizer(
        pipeline.to_str(),
        settings,
        has_segments,
        ours.get("max_length"),
        ours.get("truncate", False),
    )


def read_ours(folder):
    """What `tokenizer_config.json` says that is no setting of a published tokenizer."""
    path = folder / SETTINGS
    found = read_object(path).get(OURS) if path.is_file() else None
    return found if isinstance(found, dict) else {}


def class_of(folder, config):
    """The name of the class of a folder's tokenizer, without `Fast`, or `None`."""
    has_any = (folder / TOKENIZER).is_file() or any(
        (folder / name).is_file() for name in (*FILES, "spiece.model")
    )
    if not has_any:
        return None
    name = read_class(folder)
    if name is not None:
        return name if name in GENERAL else name.removesuffix("Fast")
    name = MODEL_TYPES.get(config.get("model_type"))
    if name is not None:
        return name
    if (folder / TOKENIZER).is_file():
        return GENERAL[0]
    for file, name in FILES.items():
        if (folder / file).is_file():
            return name
    pieces = {piece for piece, _, _ in read_pieces(folder / "spiece.model").pieces}
    for piece, name in (("[CLS]", "AlbertTokenizer"), ("<cls>", "XLNetTokenizer")):
        if piece in pieces:
            return name
    raise ValueError(
        f"{folder / 'spiece.model'} is neither of ALBERT nor of XLNet, and no other "
        "file says of which model it is. Put config.json beside it."
    )


def kind_of(name, folder):
    """How a class is read, or an error that names it."""
    if name in GENERAL:
        if not (folder / TOKENIZER).is_file():
            raise ValueError(
                f"{folder} names the tokenizer class {name!r}, which stands in "
                f"{TOKENIZER} alone, and there is no such file. Copy or download it."
            )
        return Kind((), {}, None, None)
    if name not in KINDS:
        has_json = (folder / TOKENIZER).is_file()
        known = ", ".join(sorted({*KINDS, MARIAN}))
        raise ValueError(
            f"{folder} names the tokenizer class {name!r}, which is not here. Those "
            f"here are {known}."
            + (
                f" If its {TOKENIZER} is the whole tokenizer, write "
                f"{GENERAL[0]!r} as tokenizer_class into tokenizer_config.json."
                if has_json
                else f" With transformers, write its {TOKENIZER} (`save_pretrained`)."
            )
        )
    return KINDS[name]


def load_own(folder, is_target):
    """A tokenizer in a layout of our own, or `None`."""
    side = "target" if is_target else "source"
    for name in (VOCABULARY, f"{side}_{VOCABULARY}"):
        path = folder / name
        if path.is_file():
            with open(path, "rb") as file:
                is_json = file.read(1) == b"{"
            return (SubwordTokenizer if is_json else Vocabulary).load(path)
    return None


def read_pipeline(folder, kind, said, settings):
    """The pipeline of `tokenizer.json`, with what the other files say besides."""
    path = folder / TOKENIZER
    pipeline = read_object(path)
    override(pipeline, said, path)
    if kind.finish in AROUND:
        check_around(pipeline, settings, path)
    tokenizer = open_pipeline(json.dumps(pipeline), path)
    added = added_tokens(folder, said)
    add_tokens(tokenizer, added, known_tokens(tokenizer, added, said, settings))
    return tokenizer


def known_tokens(tokenizer, added, said, settings):
    """The special tokens that files name, or that the vocabulary has besides."""
    known = {text_of(token) for token in named_tokens(said)}
    known |= {token["content"] for token in added.values()}
    known |= tokenizer.get_vocab().keys()
    return [token for token in named_tokens(settings) if text_of(token) in known]


def build_pipeline(folder, kind, said, settings):
    """The pipeline of older files."""
    paths = [folder / name for name in kind.files]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        found = sorted(path.name for path in paths if path.is_file())
        has = f"{', '.join(found)}, but no" if found else "neither"
        last = f"{', '.join(missing)}" if found else f"{TOKENIZER} nor {missing[0]}"
        raise ValueError(
            f"{folder} has {has} {last}, which {settings['tokenizer_class']} is made "
            "of. Copy or download all files."
        )
    tokenizer = kind.build(paths, settings)
    # What it did not build is refused here.
    override(json.loads(tokenizer.to_str()), said, settings["tokenizer_class"])
    added = added_tokens(folder, said)
    if paths[0].suffix == ".model":
        # The last special tokens are in no file: `[MASK]` of DeBERTa.
        named = named_tokens(settings)
        for piece in added_pieces(read_pieces(paths[0])):
            add_piece(tokenizer, piece)
    else:
        named = known_tokens(tokenizer, added, said, settings)
    add_tokens(tokenizer, added, named)
    kind.finish(tokenizer, settings)
    return tokenizer


def add_piece(tokenizer, piece):
    number = tokenizer.token_to_id(piece["content"])
    if number is not None:  # CamemBERT leaves one out
        add_tokens(tokenizer, {number: piece}, [])


def keep_found(settings, pipeline):
    """Leaves in settings what the pipeline lacks, and the tokens that it has."""
    for key in ("added_tokens_decoder", *STEPS):
        settings.pop(key, None)
    settings.update(said_by(json.loads(pipeline.to_str())))
    for key in list(settings):
        value = text_of(settings[key])
        if is_token_name(key) and isinstance(value, str):
            settings[key] = value
        elif key in EXTRA and isinstance(value, list):
            texts = [text_of(token) for token in value]
            settings[key] = [t for t in texts if pipeline.token_to_id(t) is not None]


def reads_segments(config, settings, kind):
    """Whether the model of a folder reads `segment_ids`."""
    name = MODEL_TYPES.get(config.get("model_type"))
    if name in KINDS:
        return KINDS[name].has_segments
    if settings.get("model_input_names"):
        return "token_type_ids" in settings["model_input_names"]
    return kind.has_segments
