"""Subwords: byte pairs counted by hand, texts that come back, files."""

import keras
import numpy as np
import pytest

from keras_attention.tokenizers import SubwordTokenizer

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.once

TEXTS = ["low lower lowest, low", "Un été (très) long – l’été"]


@pytest.fixture(scope="module")
def tokenizer():
    return SubwordTokenizer.train(TEXTS, vocabulary_size=60)


def test_the_most_frequent_pair_is_merged_first():
    """Of `ab ab ab ac` the pair ▁a is there four times, ▁ab three times."""
    tokenizer = SubwordTokenizer.train(["ab ab ab ac"], vocabulary_size=10)
    assert len(tokenizer) == 10  # 4 special, ▁ a b c, ▁a, ▁ab
    tokens = tokenizer.tokens(tokenizer.encode(["ab ac"]))
    assert tokens == [["▁ab", "▁a", "c"]]


def test_special_tokens_have_the_first_four_ids(tokenizer):
    token_ids = tokenizer.encode(["low", "low lower"])
    assert token_ids.dtype == "int32"
    low = token_ids[0, 1]
    assert low > 3
    assert token_ids[0].tolist()[:3] == [1, low, 2]
    assert token_ids[1, :2].tolist() == [1, low] and 2 in token_ids[1]
    assert (token_ids[0, 3:] == 0).all()


@pytest.mark.parametrize("text", [*TEXTS, "slow", "lower,long (été)", "Un–Un"])
def test_a_text_comes_back_as_it_was(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode([text])) == [text]


def test_an_unknown_character_stays_visible(tokenizer):
    (tokens,) = tokenizer.tokens(tokenizer.encode(["low 東"]))
    assert tokens == ["▁low", "▁", "[unk]"]
    assert "[unk]" in tokenizer.decode(tokenizer.encode(["low 東"]))[0]


def test_a_text_is_decoded_up_to_its_end(tokenizer):
    low = tokenizer.encode(["low"])[0, 1]
    assert tokenizer.decode([[1, low, 2, low], [low, 0], []]) == ["low", "low", ""]
    assert tokenizer.tokens([[1, low, 2, low]]) == [["▁low"]]


def test_max_length_fixes_the_shape_and_cuts_on_request(tokenizer):
    assert tokenizer.encode(["low"], max_length=5).shape == (1, 5)
    low = tokenizer.encode(["low"])[0, 1]
    cut = tokenizer.encode(["low low low"], max_length=4, truncate=True)
    assert cut.tolist() == [[1, low, low, 2]]


def test_lower_case_is_a_choice():
    tokenizer = SubwordTokenizer.train(["A CAT a cat"], 20, lowercase=True)
    a, b = tokenizer.encode(["A cat", "a CAT"])
    np.testing.assert_array_equal(a, b)
    assert tokenizer.decode([a]) == ["a cat"]


def test_it_is_saved_loaded_and_serialized(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    config = keras.saving.serialize_keras_object(tokenizer)
    for again in (
        SubwordTokenizer.load(path),
        keras.saving.deserialize_keras_object(config),
    ):
        assert again == tokenizer and hash(again) == hash(tokenizer)
        np.testing.assert_array_equal(again.encode(TEXTS), tokenizer.encode(TEXTS))
    assert "▁low" in tokenizer and "[pad]" not in tokenizer and "xyz" not in tokenizer
    assert repr(tokenizer).startswith("<SubwordTokenizer of ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"words", "tokenizer.json' is not a tokenizer: .*Received: 'words'"),
        (b"\xff", "tokenizer.json' is not a tokenizer"),
        (
            b'{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": []}}',
            r"first tokens must be \[pad\], .*Received: \[None",
        ),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, content, message):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        SubwordTokenizer.load(path)


@pytest.mark.parametrize(
    ("texts", "arguments", "message"),
    [
        (["low", " "], {}, "Text 1 is empty. Received: ' '"),
        ("low", {}, r"`texts` must be a list of strings.*Received the string 'low'"),
        ([3], {}, "`texts` must be strings. Received int 3 at position 0"),
        ([], {}, "`texts` must hold at least one text. Received none"),
        (["low low"], {"max_length": 3}, "Text 0 needs 4 tokens .* max_length=3"),
    ],
)
def test_texts_that_cannot_be_encoded_are_refused(tokenizer, texts, arguments, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(texts, **arguments)


def test_ids_that_are_none_of_ours_are_refused(tokenizer):
    with pytest.raises(ValueError, match=f"from 0 to {len(tokenizer) - 1}.*9999"):
        tokenizer.decode([[9999]])


def test_too_few_tokens_for_the_characters_are_refused():
    """Three characters and the mark of a space."""
    with pytest.raises(ValueError, match="the 4 characters.*vocabulary_size=7"):
        SubwordTokenizer.train(["abc"], vocabulary_size=7)
