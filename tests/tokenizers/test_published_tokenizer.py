"""Tokenizers of published checkpoints, against those of transformers."""

import json

import keras
import numpy as np
import pytest

from keras_attention.tokenizers import load_tokenizer
from keras_attention.tokenizers.published_tokenizer import PublishedTokenizer
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer

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


def write_bert(folder, lowercase=True):
    """A published tokenizer of BERT, as it is in vocab.txt."""
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    settings = {"do_lower_case": lowercase, "tokenizer_class": "BertTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return folder


@pytest.fixture(params=[True, False], ids=["uncased", "cased"])
def bert(tmp_path, request):
    return write_bert(tmp_path, request.param)


@pytest.mark.parametrize("pairs", [None, PAIRS], ids=["texts", "pairs"])
@pytest.mark.parametrize("max_length", [None, 9])
def test_word_pieces_are_those_of_transformers(bert, pairs, max_length):
    ours = load_tokenizer(bert)
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
    ours = load_tokenizer(bert)
    (tmp_path / "saved").mkdir()
    ours.save(tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved") == ours
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "bert"}')
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    expected = theirs(TEXTS, padding=True)["input_ids"]
    assert ours.encode(TEXTS).tolist() == expected


LINES = ["Attention is all you need.", "The naïve café costs 10 € 🙂", "a  b\n\nc"]


def write_gpt2(folder):
    """A published tokenizer of GPT-2: vocab.json and merges.txt."""
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator(
        LINES * 3, vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False
    )
    trained.save_model(str(folder))
    (folder / "config.json").write_text('{"model_type": "gpt2"}')
    return folder


@pytest.fixture
def gpt2(tmp_path):
    return write_gpt2(tmp_path)


def test_byte_pairs_are_those_of_transformers(gpt2, tmp_path):
    ours = load_tokenizer(gpt2)
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
    assert load_tokenizer(tmp_path / "saved") == ours


def test_a_tokenizer_json_goes_first_and_its_padding_is_left_out(gpt2, tmp_path):
    """Some files hold how texts were cut and padded when they were written."""
    ours = load_tokenizer(gpt2)
    tokenizer = tokenizers.Tokenizer.from_str(ours.get_config()["json"])
    tokenizer.enable_truncation(3)
    tokenizer.enable_padding(length=20)
    (gpt2 / "tokenizer.json").write_text(tokenizer.to_str())
    (gpt2 / "vocab.json").unlink()
    again = load_tokenizer(gpt2)
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
        load_tokenizer(tmp_path)


HARD = [
    "Café  漢字 dog\tdogs\n",
    "🙂 the👍🏽 dogs",
    "  E\u0301te\u0301 - the dog , naïve  ",
    "unwantable" * 3,
    "",
]
HARD_PAIRS = ["bark", "dogs 漢 dogs", "the dog, the dog, the dog", "", "un 🙂"]


@pytest.mark.parametrize(
    "write, load",
    [
        (write_bert, load_tokenizer),
        (write_gpt2, load_tokenizer),
    ],
    ids=["bert", "gpt2"],
)
@pytest.mark.parametrize(
    "pairs, truncate",
    [
        (None, False),
        (None, True),
        (HARD_PAIRS, False),
        (HARD_PAIRS, True),
        (HARD_PAIRS, "only_first"),
        (HARD_PAIRS, "only_second"),
    ],
)
def test_offsets_and_cuts_are_those_of_transformers(
    tmp_path, write, load, pairs, truncate
):
    ours = load(write(tmp_path))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    theirs.pad_token = theirs.pad_token or theirs.eos_token
    strategies = {True: "longest_first", False: False}
    texts, others = HARD, pairs
    if truncate in ("only_first", "only_second"):  # one is cut, the other is short
        texts = [text or "the" for text in HARD]
        others = ["a"] * 5
        if truncate == "only_second":
            texts, others = others, texts
    limit = 8 if truncate else None
    found = ours(
        texts,
        others,
        max_length=limit,
        truncate=truncate,
        padded_length=30,
        return_offsets=True,
        return_word_ids=True,
    )
    expected = theirs(
        texts,
        others,
        truncation=strategies.get(truncate, truncate),
        max_length=limit,
        return_offsets_mapping=True,
    )
    for i, ids in enumerate(expected["input_ids"]):
        size = len(ids)
        assert found["token_ids"][i, :size].tolist() == ids
        assert found["padding_mask"][i].sum() == size
        offsets = [list(pair) for pair in expected["offset_mapping"][i]]
        assert found["offsets"][i, :size].tolist() == offsets
        words = [-1 if word is None else word for word in expected.word_ids(i)]
        assert found["word_ids"][i, :size].tolist() == words
    counts = ours.count(texts, others, max_length=limit, truncate=truncate)
    assert counts.tolist() == list(map(len, expected["input_ids"]))
    assert not found["offsets"][~found["padding_mask"]].any()


def test_words_are_cut_into_pieces_as_transformers_cuts_them(bert):
    ours = load_tokenizer(bert)
    theirs = transformers.AutoTokenizer.from_pretrained(bert)
    words = [["The", "dogs", "unwantable"], ["Café!", "漢字"], ["dog"]]
    found = ours(words, return_word_ids=True, return_offsets=True)
    expected = theirs(
        words, is_split_into_words=True, padding=True, return_offsets_mapping=True
    )
    np.testing.assert_array_equal(found["token_ids"], expected["input_ids"])
    np.testing.assert_array_equal(found["offsets"], expected["offset_mapping"])
    for i in range(3):
        ids = [-1 if word is None else word for word in expected.word_ids(i)]
        assert found["word_ids"][i].tolist() == ids


def test_a_tokenizer_makes_batches_of_other_libraries():
    tf = pytest.importorskip("tensorflow")
    torch = pytest.importorskip("torch")
    tokenizer = word_piece_tokenizer(WORDS)
    tokenizer.max_length, tokenizer.truncate = 5, True
    texts = ["the dogs", "bark", "dog dog dog dog"]
    expected = [tokenizer(texts[:2])["token_ids"], tokenizer(texts[2:])["token_ids"]]
    loader = torch.utils.data.DataLoader(texts, batch_size=2, collate_fn=tokenizer)

    def encode(batch):
        return tf.numpy_function(
            lambda batch: tokenizer(batch)["token_ids"], [batch], tf.int32
        )

    dataset = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(encode)
    for ids, batch, tensor in zip(expected, loader, dataset, strict=True):
        np.testing.assert_array_equal(batch["token_ids"], ids)
        np.testing.assert_array_equal(tensor, ids)
    assert expected[1].shape == (1, 5)


def test_what_cannot_be_cut_is_told():
    tokenizer = word_piece_tokenizer(WORDS)
    for arguments, message in (
        ({"truncate": "both"}, "`truncate` must be one of .*Received: 'both'"),
        ({"max_length": 2}, "must be more than 2, the number of special tokens"),
        ({"truncate": "only_second"}, "Received no `pairs`"),
        ({"pairs": ["dog " * 9], "truncate": "only_first"}, "cannot be cut to max_len"),
    ):
        with pytest.raises(ValueError, match=message):
            tokenizer(["dog dog"], **{"max_length": 5, "truncate": True, **arguments})
    with pytest.raises(ValueError, match=r"lists of words, as the first is.*'dog' at"):
        tokenizer([["dog"], "dog"])


@pytest.mark.once
@pytest.mark.parametrize("special", [False, True])
def test_tokens_are_added_behind_the_vocabulary(tmp_path, special):
    """They survive each way of saving, and transformers finds the same ids."""
    transformers = pytest.importorskip("transformers")
    tokenizer = word_piece_tokenizer("[PAD] [UNK] [CLS] [SEP] a ##b".split())
    tokenizer.truncate, tokenizer.max_length = True, 9
    tokenizer.encode(["a"])  # keeps a pipeline that cuts
    tokens = ["[E1]", "New York"] if special else ["[E1]", "a", "New York"]
    assert tokenizer.add_tokens(tokens, special=special) == 2
    texts = ["a [E1] ab New York", "new york"]
    found = tokenizer(texts)["token_ids"]
    assert found[0].tolist() == [2, 4, 6, 4, 5, 7, 3]
    assert found[1, 1] == (1 if special else 7)
    expected = ["a ab" if special else "a [e1] ab new york"]
    assert tokenizer.decode(found[:1]) == expected
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for again in (load_tokenizer(tmp_path), type(tokenizer)(**tokenizer.get_config())):
        assert again == tokenizer and len(again) == 8
        np.testing.assert_array_equal(again(texts)["token_ids"], found)
    assert theirs(texts)["input_ids"][0] == found[0].tolist()
    assert theirs.decode(found[0], skip_special_tokens=True) == expected[0]
    for tokens in ([""], [3], "a"):
        with pytest.raises(ValueError, match="`tokens` must be|A token must be"):
            tokenizer.add_tokens(tokens)
