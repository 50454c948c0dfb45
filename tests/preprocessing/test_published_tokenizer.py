"""Tokenizers of published checkpoints, against those of transformers."""

import json

import keras
import numpy as np
import pytest

from keras_attention.preprocessing.published_tokenizer import load_byte_pair_tokenizer
from keras_attention.preprocessing.published_tokenizer import load_word_piece_tokenizer
from keras_attention.preprocessing.published_tokenizer import PublishedTokenizer
from keras_attention.preprocessing.published_tokenizer import word_piece_tokenizer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.once

WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the dog ##s bark ##ed un ##want ##able , ! cafe "
    "Dog caf ##é 漢"
).split()
TEXTS = [
    "The dogs barked, UNwantable!",
    "  Café  漢字 dog\tdogs\n",
    "the [MASK] barked",
    "dog " * 9,
]
PAIRS = ["the dog", "dogs, dogs, the dogs barked!", "bark", "the"]


@pytest.fixture(params=[True, False], ids=["uncased", "cased"])
def bert(tmp_path, request):
    """The folder of a published tokenizer of BERT, as it is in vocab.txt."""
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    settings = {"do_lower_case": request.param, "tokenizer_class": "BertTokenizer"}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path


@pytest.mark.parametrize("pairs", [None, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("max_length", [None, 9])
def test_word_pieces_are_those_of_transformers(bert, pairs, max_length):
    ours = load_word_piece_tokenizer(bert)
    theirs = transformers.AutoTokenizer.from_pretrained(bert)
    found = ours(TEXTS, pairs, max_length=max_length, truncate=True)
    expected = theirs(
        TEXTS,
        pairs,
        padding="longest" if max_length is None else "max_length",
        truncation=max_length is not None,
        max_length=max_length,
        return_tensors="np",
        return_token_type_ids=True,
    )
    for name, key in (
        ("token_ids", "input_ids"),
        ("padding_mask", "attention_mask"),
        ("segment_ids", "token_type_ids"),
    ):
        np.testing.assert_array_equal(found[name], expected[key])
    rows = found["token_ids"].tolist()
    assert ours.decode(rows) == theirs.batch_decode(
        rows, skip_special_tokens=True, clean_up_tokenization_spaces=True
    )


def test_what_is_saved_is_read_by_transformers(bert, tmp_path):
    ours = load_word_piece_tokenizer(bert)
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    assert load_word_piece_tokenizer(tmp_path / "saved") == ours
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "bert"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    expected = theirs(TEXTS, padding=True)["input_ids"]
    assert ours.encode(TEXTS).tolist() == expected


LINES = ["Attention is all you need.", "The naïve café costs 10 € 🙂", "a  b\n\nc"]


@pytest.fixture
def gpt2(tmp_path):
    """The folder of a published tokenizer of GPT-2: vocab.json and merges.txt."""
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        LINES * 3, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False
    )
    trained.save_model(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    return tmp_path


def test_byte_pairs_are_those_of_transformers(gpt2, tmp_path):
    ours = load_byte_pair_tokenizer(gpt2)
    theirs = transformers.AutoTokenizer.from_pretrained(gpt2)
    texts = [*LINES, "needs<|endoftext|> unseen words Ω 漢 it's", "  two spaces "]
    found = ours(texts)
    for row, mask, text in zip(
        found["token_ids"], found["padding_mask"], texts, strict=True
    ):
        assert row[mask].tolist() == theirs(text)["input_ids"]
        assert ours.decode([row[mask]]) == [text.replace("<|endoftext|>", "")]
    assert "segment_ids" not in found
    assert ours.end_id == theirs.eos_token_id
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    assert load_byte_pair_tokenizer(tmp_path / "saved") == ours


def test_a_tokenizer_json_goes_first_and_its_padding_is_left_out(gpt2, tmp_path):
    """Some files hold how texts were cut and padded when they were written."""
    ours = load_byte_pair_tokenizer(gpt2)
    tokenizer = tokenizers.Tokenizer.from_str(ours.get_config()["json"])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    (gpt2 / "tokenizer.json").write_text(tokenizer.to_str())
    (gpt2 / "vocab.json").unlink()
    again = load_byte_pair_tokenizer(gpt2)
    np.testing.assert_array_equal(again.encode(LINES), ours.encode(LINES))


def test_a_tokenizer_survives_its_config():
    tokenizer = word_piece_tokenizer(WORDS, lowercase=False)
    config = keras.saving.serialize_keras_object(tokenizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again == tokenizer
    assert len(again) == len(WORDS)
    assert again.mask_id == 4
    assert again.padding_id == 0


def test_too_long_a_text_is_told():
    tokenizer = word_piece_tokenizer(WORDS)
    with pytest.raises(
        ValueError, match="Text 1 needs 5 tokens, more than max_length=4"
    ):
        tokenizer(["dog", "the dogs"], max_length=4)


def test_a_missing_pair_is_told():
    tokenizer = word_piece_tokenizer(WORDS)
    with pytest.raises(ValueError, match="Received: 2 texts and 1 pairs"):
        tokenizer(["dog", "the dogs"], ["dog"])


def test_an_id_of_another_vocabulary_is_told():
    tokenizer = word_piece_tokenizer(WORDS)
    with pytest.raises(ValueError, match="must be from 0 to 19. Received: 20"):
        tokenizer.decode([[5, 20]])


def test_a_vocabulary_without_special_tokens_is_told():
    with pytest.raises(ValueError, match=r"lacks \[CLS\], \[SEP\]. Received 2 words"):
        word_piece_tokenizer(["[UNK]", "a"])


def test_what_is_no_tokenizer_is_told():
    with pytest.raises(ValueError, match="not the text of a tokenizer.json: .*'{}'"):
        PublishedTokenizer("{}")


def test_a_vocabulary_without_merges_is_told(tmp_path):
    (tmp_path / "vocab.json").write_text("{}")
    with pytest.raises(ValueError, match="has vocab.json, but no merges.txt"):
        load_byte_pair_tokenizer(tmp_path)
