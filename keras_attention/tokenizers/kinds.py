"""The classes of published tokenizers: their special tokens, files and pipelines."""

import typing

from keras_attention.files import read_json
from keras_attention.tokenizers import sentence_piece
from keras_attention.tokenizers.pipelines import byte_pairs
from keras_attention.tokenizers.pipelines import ids_of
from keras_attention.tokenizers.pipelines import import_tokenizers
from keras_attention.tokenizers.pipelines import put_around
from keras_attention.tokenizers.pipelines import put_ends
from keras_attention.tokenizers.pipelines import template
from keras_attention.tokenizers.pipelines import whole_words
from keras_attention.tokenizers.pipelines import word_pieces
from keras_attention.tokenizers.settings import text_of

# The mask stands for a word with the space before it.
MASK = {"content": "<mask>", "lstrip": True}
BERT_TOKENS = {
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
    "pad_token": "[PAD]",
    "sep_token": "[SEP]",
    "unk_token": "[UNK]",
}
GPT2_TOKENS = {f"{name}_token": "<|endoftext|>" for name in ("bos", "eos", "unk")}
ROBERTA_TOKENS = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "mask_token": MASK,
    "pad_token": "<pad>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
}
CAMEMBERT_TOKENS = {
    **ROBERTA_TOKENS,
    "additional_special_tokens": ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"],
}
DEBERTA_TOKENS = {**BERT_TOKENS, "bos_token": "[CLS]", "eos_token": "[SEP]"}
ALBERT_TOKENS = {
    **DEBERTA_TOKENS,
    "mask_token": {"content": "[MASK]", "lstrip": True},
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "do_lower_case": True,
}
XLNET_TOKENS = {
    **ROBERTA_TOKENS,
    "cls_token": "<cls>",
    "sep_token": "<sep>",
    "additional_special_tokens": ["<eop>", "<eod>"],
    "do_lower_case": False,
    "pad_token_type_id": 3,
    "padding_side": "left",
}


class Kind(typing.NamedTuple):
    """A class of published tokenizers.

    Attributes:
        files: What it is built from where there is no `tokenizer.json`.
        tokens: Its settings where the files say nothing.
        build: Function of the paths of the files and of the settings, which returns a
            `tokenizers.Tokenizer` without added tokens.
        finish: Function of this one, with them, and of the settings: puts special
            tokens around texts.
        has_segments: Whether its model reads `segment_ids`.
    """

    files: tuple
    tokens: dict
    build: typing.Callable
    finish: typing.Callable
    has_segments: bool = False


def read_words(path):
    """The tokens of `vocab.txt`, each line one, however odd: its number is the id.

    Spaces at the end of a line are no part of a token. A token that a later line
    repeats has the later id alone; what stands at the earlier one is found in no text.

    Args:
        path: A `pathlib.Path`.

    Returns:
        Dict from token to id.

    Raises:
        ValueError: The file is not text in UTF-8.
    """
    words = [line.rstrip() for line in read_text_lines(path)]
    last = {word: i for i, word in enumerate(words)}
    ids, blank = {}, " "
    for i, word in enumerate(words):
        if last[word] == i:
            ids[word] = i
        else:
            ids[blank] = i
            blank += " "
    return ids


def read_merges(path):
    """The pairs of tokens in `merges.txt`.

    Args:
        path: A `pathlib.Path`.

    Returns:
        List of pairs of strings.

    Raises:
        ValueError: The file is not text in UTF-8, or a line is no pair.
    """
    merges = []
    for number, line in enumerate(read_text_lines(path), start=1):
        if not line.strip() or line.startswith("#version"):
            continue
        pair = tuple(line.split(" "))
        if len(pair) != 2 or not all(pair):
            raise ValueError(
                f"{path} must hold two tokens on each line, and a space between them. "
                f"Received line {number}: {line!r}. Copy or download it again."
            )
        merges.append(pair)
    return merges


def read_text_lines(path):
    """The lines of a file in UTF-8, whichever system wrote it."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not text in UTF-8: {error}.") from None
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    return lines if lines[-1] else lines[:-1]


def read_ids(path):
    """The tokens of `vocab.json` and their ids.

    Args:
        path: A `pathlib.Path`.

    Returns:
        Dict from token to id.

    Raises:
        ValueError: The file does not hold distinct ids.
    """
    ids = read_json(path)
    values = ids.values() if isinstance(ids, dict) else ()
    are_ids = all(isinstance(i, int) and 0 <= i < 2**31 for i in values)
    if not values or not are_ids or len(set(values)) < len(values):
        raise ValueError(
            f"{path} must be JSON, from tokens to distinct ids. Copy or download it "
            "again."
        )
    return ids


def _word_pieces(paths, settings):
    return word_pieces(read_words(paths[0]), settings)


def _byte_pairs(paths, settings):
    return byte_pairs(read_ids(paths[0]), read_merges(paths[1]), settings)


def _whole_words(paths, settings):
    return whole_words(read_ids(paths[0]), read_merges(paths[1]), settings)


def _pieces(build):
    return lambda paths, settings: build(sentence_piece.read_pieces(paths[0]), settings)


def _around(tokenizer, settings):
    put_around(
        tokenizer, text_of(settings["cls_token"]), text_of(settings["sep_token"])
    )


def _roberta(tokenizer, settings):
    """`<s> A </s>` and `<s> A </s></s> B </s>`."""
    first, last = (text_of(settings[key]) for key in ("cls_token", "sep_token"))
    first_id, last_id = ids_of(tokenizer, first, last)
    tokenizer.post_processor = import_tokenizers().processors.RobertaProcessing(
        (last, last_id),
        (first, first_id),
        settings.get("trim_offsets", True),
        bool(settings.get("add_prefix_space")),
    )


def _fairseq(tokenizer, settings):
    """As RoBERTa, but that no space is cut from what a token stands for."""
    first, last = (text_of(settings[key]) for key in ("bos_token", "eos_token"))
    single = [f"{first}:0", "$A:0", f"{last}:0"]
    pair = [*single, f"{last}:0", "$B:0", f"{last}:0"]
    tokenizer.post_processor = template(single, pair, tokenizer)


def _xlnet(tokenizer, settings):
    """`A <sep> <cls>`, the class at the end, in a segment of its own."""
    last, first = (text_of(settings[key]) for key in ("sep_token", "cls_token"))
    texts = ["$A:0", f"{last}:0"], ["$B:1", f"{last}:1"]
    tokenizer.post_processor = template(
        [*texts[0], f"{first}:2"], [*texts[0], *texts[1], f"{first}:2"], tokenizer
    )


def _nothing(tokenizer, settings):
    pass


# What puts `cls_token` and `sep_token` around texts.
AROUND = (_around, _roberta, _xlnet)


WORDS, PAIRS = ("vocab.txt",), ("vocab.json", "merges.txt")
BERT = Kind(WORDS, BERT_TOKENS, _word_pieces, _around, has_segments=True)
ROBERTA = Kind(PAIRS, ROBERTA_TOKENS, _byte_pairs, _roberta)
KINDS = {
    "BertTokenizer": BERT,
    "DistilBertTokenizer": BERT._replace(has_segments=False),
    "ElectraTokenizer": BERT,
    "GPT2Tokenizer": Kind(PAIRS, GPT2_TOKENS, _byte_pairs, put_ends),
    "RobertaTokenizer": ROBERTA,
    "BartTokenizer": ROBERTA,
    "DebertaTokenizer": Kind(
        PAIRS,
        {**DEBERTA_TOKENS, "mask_token": {"content": "[MASK]", "lstrip": True}},
        _byte_pairs,
        _around,
        has_segments=True,
    ),
    "OpenAIGPTTokenizer": Kind(PAIRS, {"unk_token": "<unk>"}, _whole_words, _nothing),
    "CamembertTokenizer": Kind(
        ("sentencepiece.bpe.model",),
        CAMEMBERT_TOKENS,
        _pieces(sentence_piece.fairseq_pieces),
        _fairseq,
    ),
    "XLMRobertaTokenizer": Kind(
        ("sentencepiece.bpe.model",),
        ROBERTA_TOKENS,
        _pieces(sentence_piece.fairseq_pieces),
        _fairseq,
    ),
    "AlbertTokenizer": Kind(
        ("spiece.model",),
        ALBERT_TOKENS,
        _pieces(sentence_piece.stripped_pieces),
        _around,
        has_segments=True,
    ),
    "XLNetTokenizer": Kind(
        ("spiece.model",),
        XLNET_TOKENS,
        _pieces(sentence_piece.stripped_pieces),
        _xlnet,
        has_segments=True,
    ),
    "DebertaV2Tokenizer": Kind(
        ("spm.model",),
        DEBERTA_TOKENS,
        _pieces(sentence_piece.deberta_pieces),
        _around,
        has_segments=True,
    ),
}
# Those whose whole pipeline stands in tokenizer.json.
GENERAL = ("PreTrainedTokenizerFast", "PreTrainedTokenizer", "TokenizersBackend")
# The class where tokenizer_config.json names none, by what config.json says.
MODEL_TYPES = {
    "albert": "AlbertTokenizer",
    "bart": "BartTokenizer",
    "bert": "BertTokenizer",
    "blip": "BertTokenizer",
    "camembert": "CamembertTokenizer",
    "deberta": "DebertaTokenizer",
    "deberta-v2": "DebertaV2Tokenizer",
    "distilbert": "DistilBertTokenizer",
    "electra": "ElectraTokenizer",
    "git": "BertTokenizer",
    "gpt2": "GPT2Tokenizer",
    "gpt_neo": "GPT2Tokenizer",
    "marian": "MarianTokenizer",
    "megatron-bert": "BertTokenizer",
    "openai-gpt": "OpenAIGPTTokenizer",
    "roberta": "RobertaTokenizer",
    "vilt": "BertTokenizer",
    "xlm-roberta": "XLMRobertaTokenizer",
    "xlnet": "XLNetTokenizer",
}
# The class where config.json says nothing either, by the files.
FILES = {
    "source.spm": "MarianTokenizer",
    "vocab.txt": "BertTokenizer",
    "spm.model": "DebertaV2Tokenizer",
    "sentencepiece.bpe.model": "CamembertTokenizer",
    "vocab.json": "GPT2Tokenizer",
}
