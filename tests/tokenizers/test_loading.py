"""`load_tokenizer` on folders of every published kind, against transformers."""

import json

import numpy as np
import pytest

from keras_attention.tokenizers import load_tokenizer
from keras_attention.tokenizers import MarianTokenizer
from published_tokenizers import FOLDERS
from published_tokenizers import rows
from published_tokenizers import SENTENCES
from published_tokenizers import write_deberta
from published_tokenizers import write_json
from published_tokenizers import write_marian

transformers = pytest.importorskip("transformers")
pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.once

TEXTS = [
    *SENTENCES,
    "  The dogs,  unwantable Café  ",
    "a dog\tbarked\nit’s naïve",
    "漢字 🙂 \u00a0dogs ``quoted''",
    "DOG",
]
PAIRS = ["the dog", "dogs, dogs", "bark", "A need", "is", "the", "10", "reads"]


IDS = {
    "start_id": "bos_token_id",
    "end_id": "eos_token_id",
    "unknown_id": "unk_token_id",
    "separator_id": "sep_token_id",
    "class_id": "cls_token_id",
    "mask_id": "mask_token_id",
}


@pytest.fixture(scope="module", params=FOLDERS)
def folder(request, tmp_path_factory):
    place = tmp_path_factory.mktemp("folder")
    return FOLDERS[request.param](place)


def compare(ours, theirs, texts, pairs=None):
    """Ids, segments, offsets and padding of both."""
    found = ours(texts, pairs, return_offsets=True, return_word_ids=True)
    expected = theirs(
        texts, pairs, return_offsets_mapping=True, return_token_type_ids=True
    )
    assert rows(found) == expected["input_ids"]
    mask = found["padding_mask"]
    is_deberta = "DebertaV2" in str(type(theirs))
    for i, offsets in enumerate(expected["offset_mapping"]):
        # There transformers 5 takes a space before the first word for its first letter.
        if is_deberta and texts[i] != texts[i].strip():
            continue
        assert found["offsets"][i][mask[i]].tolist() == list(map(list, offsets))
        if "segment_ids" in found:
            segments = found["segment_ids"][i][mask[i]].tolist()
            assert segments == expected["token_type_ids"][i]
    if theirs.pad_token is not None:
        expected = theirs(
            texts, pairs, padding=True, return_tensors="np", return_token_type_ids=True
        )
        np.testing.assert_array_equal(found["token_ids"], expected["input_ids"])
        np.testing.assert_array_equal(mask, expected["attention_mask"])


def test_ids_are_those_of_transformers(folder):
    ours = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    compare(ours, theirs, TEXTS)
    compare(ours, theirs, TEXTS, PAIRS)


def test_texts_come_back_as_from_transformers(folder):
    ours = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ids = theirs(TEXTS)["input_ids"]
    assert ours.decode(ids) == theirs.batch_decode(ids, skip_special_tokens=True)


def test_special_ids_are_those_of_transformers(folder):
    ours = load_tokenizer(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for name, other in IDS.items():
        assert getattr(ours, name) == getattr(theirs, other), name
    assert ours.special_ids == sorted(set(ours.special_ids))
    assert {i for i in map(ours.__getattribute__, IDS) if i is not None} <= {
        *ours.special_ids
    }
    assert ours.padding_side == theirs.padding_side
    assert len(ours) == len(theirs)


def test_what_is_saved_opens_in_transformers(folder, tmp_path):
    ours = load_tokenizer(folder)
    ours.save(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    assert load_tokenizer(tmp_path) == ours
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    compare(ours, theirs, TEXTS, PAIRS)
    assert {*theirs.all_special_ids} <= {*ours.special_ids}


def test_what_transformers_saves_is_read(folder, tmp_path):
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    theirs.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    ours = load_tokenizer(tmp_path)
    compare(ours, theirs, TEXTS, PAIRS)
    assert ours.padding_side == theirs.padding_side


@pytest.mark.parametrize(
    "name, truth",
    [("bert", True), ("distilbert", False), ("roberta", False), ("xlnet", True)],
)
def test_segments_are_made_for_models_that_read_them(tmp_path, name, truth):
    FOLDERS[name](tmp_path)
    assert ("segment_ids" in load_tokenizer(tmp_path)(["a"])) == truth
    asked = load_tokenizer(tmp_path, has_segments=not truth)
    assert ("segment_ids" in asked(["a"])) != truth


@pytest.mark.filterwarnings("ignore:Recommended")
def test_marian_has_two_tokenizers_in_a_folder(tmp_path):
    write_marian(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    source, target = (load_tokenizer(tmp_path, is_target=t) for t in (False, True))
    assert isinstance(source, MarianTokenizer)
    texts = [
        ">>fra<< The dog reads.",
        "a </s> b<unk> <pad>",
        "</s>",
        ">>fra<< </s> >>fra<< dog",
        "naïve 🙂",
    ]
    expected = theirs(texts, padding=True)["input_ids"]
    assert source.encode(texts).tolist() == expected
    begun = target.encode(texts)
    assert begun[:, 0].tolist() == [target.padding_id] * 5
    np.testing.assert_array_equal(
        begun[:, 1:], theirs(text_target=texts, padding=True)["input_ids"]
    )


def test_deberta_of_byte_pairs(tmp_path):
    """Its pairs are `[CLS] A [SEP] B [SEP]`; transformers 5 doubles the first end."""
    ours = load_tokenizer(write_deberta(tmp_path))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert rows(ours(TEXTS)) == theirs(TEXTS)["input_ids"]
    found = ours(["dog"], ["dog"])
    (single,) = rows(ours(["dog"]))
    assert rows(found) == [[*single, *single[1:]]]
    assert found["segment_ids"].tolist() == [[0] * len(single) + [1] * len(single[1:])]


def test_a_mask_stands_for_the_space_before_it(tmp_path):
    """As in the published tokenizer.json of RoBERTa."""
    ours = load_tokenizer(FOLDERS["roberta"](tmp_path))
    mask = transformers.AddedToken("<mask>", lstrip=True)
    theirs = transformers.RobertaTokenizer.from_pretrained(tmp_path, mask_token=mask)
    texts = ["the <mask> barked", "<mask>", "a<mask>  <mask> b"]
    compare(ours, theirs, texts)


def test_segments_of_padding_are_those_of_the_model(tmp_path):
    ours = load_tokenizer(FOLDERS["xlnet"](tmp_path))
    found = ours(["dog", "the dogs and the dog"])
    assert not found["padding_mask"][0, 0] and found["padding_mask"][0, -1]
    assert found["segment_ids"][0, [0, -1]].tolist() == [3, 2]
    assert found["token_ids"][0, -2:].tolist() == [ours.separator_id, ours.class_id]


def test_a_folder_without_a_tokenizer_has_none(tmp_path):
    assert load_tokenizer(tmp_path) is None
    write_json(tmp_path / "config.json", {"model_type": "bert"})
    assert load_tokenizer(tmp_path) is None
    with pytest.raises(ValueError, match="'.*missing' is no folder"):
        load_tokenizer(tmp_path / "missing")


@pytest.mark.parametrize("has_json", [False, True])
def test_a_class_that_is_not_here_is_told(tmp_path, has_json):
    FOLDERS["bert"](tmp_path)
    if has_json:
        load_tokenizer(tmp_path).save(tmp_path)
    write_json(
        tmp_path / "tokenizer_config.json",
        {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"},
    )
    message = "'BertJapaneseTokenizer', which is not here. Those here are AlbertTok"
    with pytest.raises(ValueError, match=message) as caught:
        load_tokenizer(tmp_path)
    assert ("If its tokenizer.json is the whole" in str(caught.value)) == has_json


def test_pieces_that_end_in_a_number_and_a_comma_are_not_taken(tmp_path):
    """As the code of ALBERT cuts them: `2000,` is a number and a comma."""
    import sentencepiece

    FOLDERS["albert"](tmp_path)
    path = tmp_path / "spiece.model"
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = load_tokenizer(tmp_path)
    tokens = ours.tokens(ours.encode(["in 2000, the"]))[0]
    assert "," in tokens and not any(t[-1:] == "," and len(t) > 1 for t in tokens)
    assert model.get_piece_size() == len(ours)


def test_pieces_of_byte_pair_encoding(tmp_path):
    """SentencePiece has two kinds of models; both give the ids of its own package."""
    import sentencepiece

    from published_tokenizers import train_pieces

    path = tmp_path / "sentencepiece.bpe.model"
    train_pieces(path, kind="bpe", size=120)
    write_json(tmp_path / "config.json", {"model_type": "xlm-roberta"})
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    ours = load_tokenizer(tmp_path)
    texts = [text for text in TEXTS if "``" not in text]
    for text, ids in zip(texts, ours.token_id_lists(texts), strict=True):
        expected = [i + 1 if i else ours.unknown_id for i in model.encode(text)]
        assert ids == expected, text


def test_full_width_letters_are_made_plain(tmp_path):
    """The file of DeBERTa says how, though transformers 5 does not read it."""
    import sentencepiece

    ours = load_tokenizer(FOLDERS["deberta-v2"](tmp_path))
    model = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    texts = ["ｔｈｅ ｄｏｇ ﬁ", "the dog"]
    assert ours.token_id_lists(texts) == model.encode(texts)


def test_the_json_of_a_saved_tokenizer_can_be_read(tmp_path):
    load_tokenizer(FOLDERS["camembert"](tmp_path)).save(tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"
    assert settings["keras_attention"]["published_class"] == "CamembertTokenizer"
