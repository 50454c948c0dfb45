"""KerasHub's tokenizers as ours, so that texts go into `fit`."""

import json
import pathlib
import tempfile
import typing

from keras_attention.tokenizers.loading import load_tokenizer


class Source(typing.NamedTuple):
    """A tokenizer of KerasHub and the published one that it is.

    Attributes:
        published: Class of the published tokenizer.
        files: Dict from its files there to those of the published one.
    """

    published: str
    files: dict


WORDS = {"vocabulary.txt": "vocab.txt"}
PAIRS = {"vocabulary.json": "vocab.json", "merges.txt": "merges.txt"}
SOURCES = {
    "BertTokenizer": Source("BertTokenizer", WORDS),
    "DistilBertTokenizer": Source("DistilBertTokenizer", WORDS),
    "ElectraTokenizer": Source("ElectraTokenizer", WORDS),
    "GPT2Tokenizer": Source("GPT2Tokenizer", PAIRS),
    "RobertaTokenizer": Source("RobertaTokenizer", PAIRS),
    "AlbertTokenizer": Source("AlbertTokenizer", {"vocabulary.spm": "spiece.model"}),
    "DebertaV3Tokenizer": Source("DebertaV2Tokenizer", {"vocabulary.spm": "spm.model"}),
}


def from_keras_hub(tokenizer):
    """Makes the published tokenizer that a tokenizer of KerasHub is after.

    Where the two split a text in different ways, ours does what the published model was
    trained with: KerasHub's BERT keeps accents, for example, and its ALBERT keeps both
    accents and capitals.

    Args:
        tokenizer: A `keras_hub.models.BertTokenizer`, or that of DistilBERT, ELECTRA,
            GPT-2, RoBERTa, ALBERT or DeBERTa v3; or the preprocessor that holds it,
            after whose `sequence_length` texts are then cut, as it does.

    Returns:
        A `PublishedTokenizer`.

    Raises:
        ValueError: There is no such tokenizer here.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "dog"]
    >>> tokenizer = from_keras_hub(keras_hub.models.BertTokenizer(words))
    >>> tokenizer.encode(["the dog"]).tolist()
    [[2, 5, 6, 3]]
    """
    length = None
    if getattr(tokenizer, "tokenizer", None) is not None:
        length, tokenizer = tokenizer.sequence_length, tokenizer.tokenizer
    source = SOURCES.get(type(tokenizer).__name__)
    if source is None:
        raise ValueError(
            f"`tokenizer` must be one of KerasHub's {', '.join(SOURCES)}, or a "
            f"preprocessor with one. Received: {type(tokenizer).__name__}"
        )
    settings = {"tokenizer_class": source.published}
    if hasattr(tokenizer, "lowercase"):
        settings["do_lower_case"] = tokenizer.lowercase
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tokenizer.save_assets(folder)
        for theirs, published in source.files.items():
            (folder / theirs).rename(folder / published)
        text = json.dumps(settings)
        (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
        ours = load_tokenizer(folder)
    if length is not None:
        ours.max_length, ours.truncate = length, True
    return ours
