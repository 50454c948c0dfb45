"""Tokenizers of every published kind against transformers', on hundreds of texts.

Accents, emoji, Chinese, control characters, long runs of spaces, and special tokens
inside the text: ids, offsets and decoded texts.
"""

import unicodedata

import numpy as np
import pytest

from keras_attention.tokenizers import load_tokenizer
from published_tokenizers import FOLDERS
from published_tokenizers import SENTENCES

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.once

COUNT = 500
LETTERS = """é É ñandú Ångström naïve ﬁn ½ ǆ Straße İstanbul ﷺ Ⅷ cafe\u0301 a\u0323
🙂 👩\u200d🚒 🇫🇷 👍🏽 漢字 中文的 東京は ひらがな 안녕 สวัสดี עברית العربية हिन्दी
1,234.5 2000, 3, it's don't I'm l'été co-op ... --- (a) [b] `` '' “q” ‘r’ ’ _ __ ▁ ▁a
<s> </s> <unk> <pad> <mask> [MASK] [CLS] [SEP] [UNK] <cls> <sep> <eop> <eod> [PAD]
<|endoftext|> < > [ ]"""
SPACES = (
    "\t,\n,\r\n,\x00,\x07,\x1b[0m,\x7f,\x85,\u200b,\ufeff,\u00a0,\u3000,\u2028,\u00ad"
)
PARTS = [
    *" ".join(SENTENCES).split(),
    *LETTERS.split(),
    *SPACES.split(","),
    *["\ufffd", "  ", " " * 30, "\n\n\n", ""],
]
JOINTS = [" ", " ", " ", "", "  "]


def texts():
    """Texts of up to eight parts, each part at least once alone."""
    rng = np.random.default_rng(11)
    found = list(PARTS)
    while len(found) < COUNT + len(PARTS):
        text = ""
        for _ in range(rng.integers(1, 9)):
            text += PARTS[rng.integers(len(PARTS))] + JOINTS[rng.integers(len(JOINTS))]
        found.append(text)
    return found


TEXTS = texts()


def made_plain(text):
    """A text that the rules of a file of SentencePiece leave as it is."""
    text = "".join(x for x in unicodedata.normalize("NFKC", text) if x != "\ufffd")
    text = "".join(x if x.isprintable() else " " for x in text)
    return " ".join(text.replace("▁", " ").split()).replace("] ", "]")


# DeBERTa's files say how a text is made plain: transformers 5 leaves that out, and
# takes a space behind a special token for a part of the next word.
PLAIN = [made_plain(text) for text in TEXTS]


def said(name):
    """What transformers has to be told: what the published tokenizer.json says."""
    if not name.endswith("roberta"):
        return {}
    return {"mask_token": transformers.AddedToken("<mask>", lstrip=True)}


@pytest.mark.parametrize("name", FOLDERS)
def test_ids_offsets_and_decoded_texts_are_those_of_transformers(tmp_path, name):
    folder = FOLDERS[name](tmp_path)
    ours = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder, **said(name))
    given = PLAIN if name == "deberta-v2" else TEXTS
    expected = theirs(given, return_offsets_mapping=True)
    found = ours(given, return_offsets=True)
    wrong = []
    for i, text in enumerate(given):
        mask = found["padding_mask"][i]
        ids = found["token_ids"][i][mask].tolist()
        offsets = [tuple(pair) for pair in found["offsets"][i][mask].tolist()]
        if (ids, offsets) != (expected["input_ids"][i], expected["offset_mapping"][i]):
            wrong.append(text)
    assert (wrong, len(given) > COUNT) == ([], True)
    ids = expected["input_ids"]
    if name == "xlnet":  # its end of a paragraph is special, as in the published file
        (end,) = theirs.convert_tokens_to_ids(["<eop>"])
        ids = [[i for i in row if i != end] for row in ids]
    assert ours.decode(ids) == theirs.batch_decode(ids, skip_special_tokens=True)
