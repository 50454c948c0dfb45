"""A vocabulary of words in the layout that other libraries read.

`tokenizer.json` is written by hand, so that no package is needed.
"""

import pathlib

from keras_attention.files import replace_file
from keras_attention.tokenizers.settings import to_json
from keras_attention.tokenizers.settings import TOKENIZER
from keras_attention.tokenizers.settings import write_settings
from keras_attention.tokenizers.words import UNSPACED

# Of `Vocabulary` and of `SubwordTokenizer`.
SPECIAL_SETTINGS = {
    "pad_token": "[pad]",
    "bos_token": "[start]",
    "eos_token": "[end]",
    "unk_token": "[unk]",
}
MARK = "\\p{M}"
LETTER = f"[[\\p{{L}}\\p{{N}}{MARK}]&&[^{UNSPACED}]]"
INSIDE = "[\\-\u2010\u2011'.\u200c\u200d]"
# The words of `split_words`, in the language of the library tokenizers.
WORD = f"[{UNSPACED}]|{LETTER}+(?:{INSIDE}{LETTER}+)*|[#*&+%$€£@=]"
PRE_TOKENIZERS = {
    "words": {
        "type": "Split",
        "pattern": {"Regex": WORD},
        "behavior": "Removed",
        "invert": True,
    },
    "characters": {
        "type": "Split",
        "pattern": {"Regex": "[\\s\\S]"},
        "behavior": "Isolated",
        "invert": False,
    },
    "spaces": {"type": "WhitespaceSplit"},
}
NORMALIZERS = {
    "words": [
        {"type": "NFC"},
        {"type": "Lowercase"},
        {"type": "Replace", "pattern": {"String": "\u2019"}, "content": "'"},
        {"type": "NFC"},
    ],
    "characters": [{"type": "NFC"}],
    "spaces": [{"type": "NFC"}],
}


def save_published(vocabulary, folder):
    """Writes `tokenizer.json` and `tokenizer_config.json` of a `Vocabulary`.

    They give the same ids, except where a text holds a special token as it is written,
    such as `[end]`, which is a word here and the token elsewhere, and where a Greek
    word in upper case ends in sigma.

    Args:
        vocabulary: The `Vocabulary`.
        folder: An existing folder.
    """
    special = list(SPECIAL_SETTINGS.values())
    ids = {token: i for i, token in enumerate([*special, *vocabulary.words])}
    before, text, after = (
        {"SpecialToken": {"id": "[start]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[end]", "type_id": 0}},
    )
    pipeline = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": ids[token],
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token in special
        ],
        "normalizer": {
            "type": "Sequence",
            "normalizers": NORMALIZERS[vocabulary.split],
        },
        "pre_tokenizer": PRE_TOKENIZERS[vocabulary.split],
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [before, text, after],
            "pair": [
                before,
                text,
                after,
                {"Sequence": {"id": "B", "type_id": 1}},
                {"SpecialToken": {"id": "[end]", "type_id": 1}},
            ],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]}
                for token in ("[start]", "[end]")
            },
        },
        "decoder": {"type": "Fuse"} if vocabulary.split == "characters" else None,
        "model": {"type": "WordLevel", "vocab": ids, "unk_token": "[unk]"},
    }
    write_settings(folder, SPECIAL_SETTINGS, "Vocabulary")
    replace_file(pathlib.Path(folder) / TOKENIZER, to_json(pipeline))
