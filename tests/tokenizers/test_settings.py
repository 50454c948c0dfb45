"""Each field of a tokenizer's files counts, against transformers, or is refused."""

import json

import numpy as np
import pytest

from keras_attention.tokenizers import load_tokenizer
from published_tokenizers import FOLDERS
from published_tokenizers import rows
from published_tokenizers import WORDS
from published_tokenizers import write_json
from published_tokenizers import write_words

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
pytestmark = pytest.mark.once

TEXTS = [
    "The Dog, café 漢the dogs !",
    "a [X] dog  <Y>barked",
    "dog",
    " dog. is n't it ?",
]


def write(folder, name, settings, has_json=False):
    """A folder of a kind with fields in `tokenizer_config.json`."""
    FOLDERS[name](folder)
    if has_json:
        theirs = transformers.AutoTokenizer.from_pretrained(folder)
        theirs.backend_tokenizer.save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", settings)
    return load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)


FIELDS = [
    ("bert", {"do_lower_case": False}),
    ("bert", {"do_lower_case": False, "strip_accents": True}),
    ("bert", {"do_lower_case": True, "strip_accents": False}),
    ("bert", {"do_lower_case": True, "tokenize_chinese_chars": False}),
    ("bert", {"do_lower_case": True, "padding_side": "left"}),
    ("bert", {"do_lower_case": True, "tokenizer_class": "BertTokenizerFast"}),
    ("bert", {"do_lower_case": True, "pad_token": "!", "unk_token": ","}),
    ("bert", {"do_lower_case": True, "additional_special_tokens": ["[X]", "dog"]}),
    ("bert", {"do_lower_case": True, "extra_special_tokens": ["[X]"]}),
    ("bert", {"do_lower_case": True, "extra_special_tokens": {"image_token": "<Y>"}}),
    ("bert", {"do_lower_case": True, "image_token": "<Y>"}),
    (
        "bert",
        {
            "do_lower_case": True,
            "mask_token": {
                "__type": "AddedToken",
                "content": "[MASK]",
                "lstrip": True,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
            },
        },
    ),
    ("distilbert", {"do_lower_case": True, "name_or_path": "/tmp/a", "max_len": 512}),
    ("gpt2", {"add_prefix_space": True}),
    ("gpt2", {"pad_token": "[X]", "errors": "replace"}),
    ("roberta", {"add_prefix_space": True}),
    ("roberta", {"trim_offsets": False}),
    ("camembert", {"add_prefix_space": False}),
    ("xlnet", {"padding_side": "right"}),
]
# In transformers these need older files, or change nothing beside tokenizer.json.
FIELDS_OF_OLD_FILES = [
    ("gpt2", {"add_bos_token": True}),
    ("gpt2", {"add_eos_token": True, "add_bos_token": True}),
    ("albert", {"do_lower_case": False}),
    ("albert", {"keep_accents": True}),
    ("deberta-v2", {"do_lower_case": True}),
    ("deberta-v2", {"split_by_punct": True}),
]


def compare(ours, theirs, texts=TEXTS, **options):
    found = ours(texts, return_offsets=True)
    expected = theirs(texts, return_offsets_mapping=True)
    assert rows(found) == expected["input_ids"]
    for i, offsets in enumerate(expected["offset_mapping"]):
        mask = found["padding_mask"][i]
        assert found["offsets"][i][mask].tolist() == [list(pair) for pair in offsets]
    if theirs.pad_token is not None:
        expected = theirs(texts, padding=True)["input_ids"]
        assert found["token_ids"].tolist() == expected
    ids = theirs(texts)["input_ids"]
    assert ours.decode(ids) == theirs.batch_decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize("has_json", [False, True])
@pytest.mark.parametrize("name, settings", FIELDS)
def test_fields_count(tmp_path, name, settings, has_json):
    ours, theirs = write(tmp_path, name, settings, has_json)
    compare(ours, theirs)
    ours.save(tmp_path)
    assert load_tokenizer(tmp_path) == ours
    compare(ours, transformers.AutoTokenizer.from_pretrained(tmp_path))


@pytest.mark.parametrize("name, settings", FIELDS_OF_OLD_FILES)
def test_fields_of_old_files_count(tmp_path, name, settings):
    texts = [text.strip() for text in TEXTS]
    ours, theirs = write(tmp_path, name, settings)
    compare(ours, theirs, texts)
    ours.save(tmp_path)
    assert load_tokenizer(tmp_path) == ours
    compare(ours, transformers.AutoTokenizer.from_pretrained(tmp_path), texts)


@pytest.mark.parametrize("side", ["left", "right"])
def test_texts_are_cut_on_the_side_and_to_the_length_that_is_said(tmp_path, side):
    settings = {"truncation_side": side, "model_max_length": 6, "do_lower_case": True}
    ours, theirs = write(tmp_path, "bert", settings)
    found = ours(TEXTS, truncate=True)
    assert rows(found) == theirs(TEXTS, truncation=True)["input_ids"]
    assert found["token_ids"].shape == (4, 6)
    found = ours(TEXTS, TEXTS, max_length=9, truncate=True)
    expected = theirs(TEXTS, TEXTS, truncation=True, max_length=9)
    assert rows(found) == expected["input_ids"]
    assert max(map(len, rows(ours(TEXTS)))) > 6  # nobody asked to cut


@pytest.mark.parametrize("name", ["bert", "albert", "gpt2"])
@pytest.mark.parametrize("value", [True, False, None])
@pytest.mark.filterwarnings("ignore")
def test_spaces_are_cleaned_up_where_it_is_said(tmp_path, name, value):
    settings = {"clean_up_tokenization_spaces": value, "do_lower_case": True}
    if name == "gpt2":
        del settings["do_lower_case"]
    ours, theirs = write(tmp_path, name, settings)
    texts = ["the dog , is ' a dog .", "it 's a dog !", "do n't"]
    ids = theirs(texts)["input_ids"]
    assert ours.decode(ids) == theirs.batch_decode(ids, skip_special_tokens=True)


TOKENS = {"[X]": 0, "<Y>": 1}


@pytest.mark.parametrize("name", ["bert", "gpt2", "roberta", "xlnet"])
@pytest.mark.parametrize("how", ["added_tokens.json", "added_tokens_decoder"])
def test_tokens_that_were_added_have_their_ids(tmp_path, name, how):
    FOLDERS[name](tmp_path)
    size = len(load_tokenizer(tmp_path))
    if how == "added_tokens.json":
        write_json(tmp_path / how, {text: size + i for text, i in TOKENS.items()})
    else:
        flags = {"lstrip": False, "rstrip": True, "single_word": False}
        decoder = {
            str(size + i): {"content": text, "special": not i, "normalized": False}
            | flags
            for text, i in TOKENS.items()
        }
        write_json(
            tmp_path / "tokenizer_config.json", {"added_tokens_decoder": decoder}
        )
    ours = load_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    compare(ours, theirs)
    ids = [size, size + 1]
    assert ours.tokens([ids]) == [theirs.convert_ids_to_tokens(ids)]
    ours.save(tmp_path)
    (tmp_path / "added_tokens.json").unlink(missing_ok=True)
    assert load_tokenizer(tmp_path) == ours
    compare(ours, transformers.AutoTokenizer.from_pretrained(tmp_path))


def test_what_the_map_of_special_tokens_says_counts(tmp_path):
    """And a special token that has no id gets the next one."""
    FOLDERS["gpt2"](tmp_path)
    size = len(load_tokenizer(tmp_path))
    write_json(
        tmp_path / "special_tokens_map.json",
        {
            "pad_token": "[PAD]",
            "bos_token": {"content": "<|endoftext|>", "normalized": True},
            "eos_token": "<|endoftext|>",
            "unk_token": "<|endoftext|>",
            "additional_special_tokens": ["[X]"],
        },
    )
    ours = load_tokenizer(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert ours.padding_id == theirs.pad_token_id == size
    compare(ours, theirs)


ODD = {
    "line separator": "\u2028",
    "wide space": "\u3000",
    "no-break space": "\u00a0",
    "next line": "\u0085",
    "nothing": "",
    "spaces": "  ",
    "tab": "\t",
}


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_ids_are_the_numbers_of_lines(tmp_path, odd):
    words = [*WORDS[:6], odd, *WORDS[6:]]
    ours = load_tokenizer(write_words(tmp_path, words=words, do_lower_case=True))
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    assert ours.token_id_lists(["the dog"]) == [
        [words.index("the"), words.index("dog")]
    ]
    compare(ours, theirs)
    assert len(ours) == len(words)
    assert ours.decode([[2, 5, 7]]) == ["the dog"]
    ours.save(tmp_path)
    assert load_tokenizer(tmp_path) == ours
    compare(ours, transformers.AutoTokenizer.from_pretrained(tmp_path))


def test_several_odd_lines_and_repeated_ones(tmp_path):
    """A word that stands twice has the number of its last line, as in transformers."""
    words = [*WORDS[:6], "", "the", "", *WORDS[6:], "dog", "last"]
    ours = load_tokenizer(write_words(tmp_path, words=words))
    found = ours.token_id_lists(["the dog barked last"])
    assert found == [[7, len(words) - 2, 11, 12, len(words) - 1]]
    assert len(ours) == len(words)
    assert ours.tokens([[5, 6, 8]])[0][0].strip() == ""
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    compare(ours, theirs, ["the dog barked last"])


@pytest.mark.parametrize("head", [b"", b"\xef\xbb\xbf"], ids=["", "with a mark"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["unix", "windows"])
def test_files_of_any_system_are_read(tmp_path, head, end):
    for name in ("bert", "gpt2", "xlnet"):
        folder = tmp_path / name
        folder.mkdir()
        expected = load_tokenizer(FOLDERS[name](folder))
        write_json(folder / "tokenizer_config.json", {})
        for path in folder.iterdir():
            if path.suffix in (".txt", ".json"):
                lines = path.read_bytes().replace(b"\n", end.encode())
                path.write_bytes(head + lines)
        assert load_tokenizer(folder) == expected


@pytest.mark.parametrize(
    "settings, message",
    [
        (
            {"never_split": ["dog"]},
            "has 'never_split': .*'dog'.*Here it can be None or",
        ),
        (
            {"do_basic_tokenize": False},
            "'do_basic_tokenize': False.*None or True only",
        ),
        ({"errors": "strict"}, "'errors': 'strict'"),
        ({"auto_map": {"AutoTokenizer": ["a.B", None]}}, "has 'auto_map'"),
        ({"split_special_tokens": True}, "'split_special_tokens': True"),
        ({"lower_all": True}, "field 'lower_all', of which nobody knows"),
        ({"do_lower_case": "no"}, "must have true or false as 'do_lower_case'"),
        ({"padding_side": "top"}, "'left' or 'right' as 'padding_side'. .*'top'"),
        ({"model_max_length": "long"}, "a number as 'model_max_length'"),
        ({"pad_token": 3}, "a token as 'pad_token', .*Received: 3"),
        ({"mask_token": {"lstrip": True}}, "a token as 'mask_token'"),
        ({"additional_special_tokens": "[X]"}, "a list of tokens as 'additional_sp"),
        ({"additional_special_tokens": [3]}, "a token as 'additional_special_tokens'"),
        ({"added_tokens_decoder": {"a": "b"}}, "an object from ids to tokens"),
        ({"added_tokens_decoder": {"5": {"content": "[X]"}}}, r"'\[X\]' .*id 5"),
        (
            {"added_tokens_decoder": {"5": {"content": "dog"}}},
            "'dog' .*id 5, and has 6",
        ),
        ({"cls_token": "[FIRST]", "unk_token": "[NONE]"}, r"lacks \[NONE\], \[FIRST\]"),
        ([1], "must hold an object of JSON. Received: list"),
    ],
)
@pytest.mark.parametrize("has_json", [False, True])
def test_fields_that_cannot_count_are_told(tmp_path, settings, message, has_json):
    FOLDERS["bert"](tmp_path)
    if has_json:
        load_tokenizer(tmp_path).save(tmp_path)
        if isinstance(settings, dict) and "cls_token" in settings:
            message = "puts other tokens around texts than the cls_token"
    write_json(tmp_path / "tokenizer_config.json", settings)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)
    assert before == {path.name: path.read_bytes() for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "name, settings, message",
    [
        (
            "albert",
            {"do_lower_case": False},
            "'do_lower_case': False, and .* has the",
        ),
        (
            "xlnet",
            {"do_lower_case": True},
            "lacks the step Lowercase of its",
        ),
        ("albert", {"keep_accents": True}, "has the step StripAccents"),
        ("deberta-v2", {"split_by_punct": True}, "lacks the step Punctuation"),
        ("bert", {"add_prefix_space": True}, "has no step that puts spaces"),
        ("gpt2", {"do_lower_case": True}, "lacks the step Lowercase"),
        ("roberta", {"strip_accents": True}, "lacks the step StripAccents"),
    ],
)
def test_fields_that_tokenizer_json_denies_are_told(tmp_path, name, settings, message):
    load_tokenizer(FOLDERS[name](tmp_path)).save(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", settings)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("gpt2", {"do_lower_case": True}, "lacks the step Lowercase"),
        ("camembert", {"do_lower_case": True}, "lacks the step Lowercase"),
        ("roberta", {"split_by_punct": True}, "lacks the step Punctuation"),
        ("distilbert", {"add_prefix_space": True}, "has no step that puts spaces"),
    ],
)
def test_fields_that_a_class_has_not_are_told(tmp_path, name, settings, message):
    FOLDERS[name](tmp_path)
    write_json(tmp_path / "tokenizer_config.json", settings)
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


def test_names_of_files_elsewhere_are_not_followed(tmp_path):
    other, folder = tmp_path / "other", tmp_path / "folder"
    other.mkdir()
    folder.mkdir()
    expected = load_tokenizer(FOLDERS["bert"](folder))
    write_words(other, words=[*WORDS[:5], "secret"])
    write_json(
        folder / "tokenizer_config.json",
        {
            "vocab_file": str(other / "vocab.txt"),
            "tokenizer_file": "../other/tokenizer.json",
            "special_tokens_map_file": "../other/special_tokens_map.json",
        },
    )
    assert load_tokenizer(folder) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("[]", "must hold an object of JSON. Received: list"),
        ("{}", "is not the text of a tokenizer.json"),
        ('{"version": "1.0", "model": {"type": "New"}}', "not the text of a tokenizer"),
        ('{"normalizer": 3, "model": null}', "is not the text of a tokenizer.json"),
    ],
)
def test_a_damaged_tokenizer_json_is_told(tmp_path, text, message):
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert "tokenizer.json" in str(caught.value) and len(str(caught.value)) < 600


def test_a_part_that_fails_at_the_first_text_is_told(tmp_path, capfd):
    """The library tells of it in its own way, which is no error of Python."""
    load_tokenizer(FOLDERS["bert"](tmp_path)).save(tmp_path)
    path = tmp_path / "tokenizer.json"
    pipeline = json.loads(path.read_text())
    pipeline["post_processor"]["special_tokens"] = {}
    write_json(path, pipeline)
    with pytest.raises(ValueError, match="is not the text of a tokenizer.json"):
        load_tokenizer(tmp_path)
    capfd.readouterr()


def test_a_file_that_is_too_long_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_attention.files.LARGEST", 100)
    (tmp_path / "tokenizer.json").write_text(" " * 101)
    with pytest.raises(ValueError, match="tokenizer.json has 0 MB, more than any such"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "name, file, data, message",
    [
        ("gpt2", "merges.txt", None, "has vocab.json, but no merges.txt"),
        ("gpt2", "merges.txt", b"a b c\n", "two tokens on each line.*line 1: 'a b c'"),
        ("gpt2", "merges.txt", b"qq zz\n", "merges.txt does not belong to vocab.json"),
        ("gpt2", "vocab.json", b'{"a": 0, "b": 0}', "from tokens to distinct ids"),
        ("gpt2", "vocab.json", b'{"a": "0"}', "from tokens to distinct ids"),
        ("gpt2", "vocab.json", b"{}", "from tokens to distinct ids"),
        ("bert", "vocab.txt", b"[UNK]\n\xff", "not text in UTF-8"),
        ("bert", "vocab.txt", b"[UNK]\na\n", r"lacks \[CLS\], \[SEP\]. Received 2"),
        ("albert", "spiece.model", b"", "Received: 0 pieces"),
        ("albert", "spiece.model", b"\x0a\xff\x01", "is not a SentencePiece model"),
        ("albert", "spiece.model", b"no model at all", "is not a SentencePiece model"),
        ("xlnet", "config.json", b'{"model_type": "xlnet"', "is not JSON"),
        ("xlnet", "spiece.model", None, None),
    ],
)
def test_damaged_files_are_told(tmp_path, name, file, data, message):
    FOLDERS[name](tmp_path)
    (tmp_path / file).unlink()
    if data is not None:
        (tmp_path / file).write_bytes(data)
    if message is None:
        assert load_tokenizer(tmp_path) is None
        return
    with pytest.raises(ValueError, match=message):
        load_tokenizer(tmp_path)


def test_pieces_of_an_unknown_model_are_told(tmp_path):
    FOLDERS["camembert"](tmp_path)
    (tmp_path / "sentencepiece.bpe.model").rename(tmp_path / "spiece.model")
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match="neither of ALBERT nor of XLNet"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("name", ["albert", "xlnet"])
def test_pieces_say_of_which_model_they_are(tmp_path, name):
    expected = load_tokenizer(FOLDERS[name](tmp_path))
    (tmp_path / "config.json").unlink()
    assert load_tokenizer(tmp_path) == expected
    np.testing.assert_array_equal(load_tokenizer(tmp_path).pad([[1]]), [[1]])
