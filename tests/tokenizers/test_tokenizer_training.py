"""Tokenizers that are learned from files, and opened by transformers."""

import pytest

from keras_attention.tokenizers import train_byte_pairs
from keras_attention.tokenizers import train_word_pieces

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.once

LINES = [
    "The lower house met; the new members, it's said, were loudest.",
    "Newer, lower, loudest: Café 漢字 costs 10 €!",
    "the dogs bark and the dog barked <|endoftext|>",
]
UNSEEN = "The  LOWEST dogs barked:\tcafé!"


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(LINES * 2), encoding="utf-8")
    return path


def opened(tokenizer, folder, model_type):
    """The tokenizer as transformers opens what was saved."""
    folder.mkdir()
    tokenizer.save(folder)
    (folder / "config.json").write_text(f'{{"model_type": "{model_type}"}}')
    return transformers.AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize("lowercase", [True, False])
def test_word_pieces_are_learned(text, tmp_path, lowercase):
    tokenizer = train_word_pieces(text, vocabulary_size=130, lowercase=lowercase)
    assert len(tokenizer) <= 130
    first = tokenizer.tokens([range(5)])[0]
    assert first == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert (tokenizer.padding_id, tokenizer.mask_id) == (0, 4)
    assert (tokenizer.class_id, tokenizer.separator_id) == (2, 3)
    assert tokenizer.special_ids == [0, 1, 2, 3, 4]
    assert "the" in tokenizer and "dog" in tokenizer
    assert ("The" in tokenizer) == (not lowercase)
    ids = tokenizer.encode([UNSEEN])
    assert (
        opened(tokenizer, tmp_path / "saved", "bert")(UNSEEN)["input_ids"]
        == ids[0].tolist()
    )


def test_byte_pairs_are_learned(text, tmp_path):
    tokenizer = train_byte_pairs(text, vocabulary_size=280)
    assert len(tokenizer) == 280
    assert tokenizer.end_id == 0
    assert "Ġthe" in tokenizer
    ids = tokenizer.encode([UNSEEN + "Ω"])
    assert tokenizer.decode(ids) == [UNSEEN + "Ω"]
    theirs = opened(tokenizer, tmp_path / "saved", "gpt2")
    assert theirs(UNSEEN + "Ω")["input_ids"] == ids[0].tolist()
    assert theirs("a<|endoftext|>")["input_ids"][-1] == theirs.eos_token_id == 0


@pytest.mark.parametrize("train", [train_word_pieces, train_byte_pairs])
def test_the_same_text_gives_the_same_tokenizer(text, train):
    """The hash tables of the library tokenizers have another order each time."""
    found = {train(text, 290).get_config()["json"] for _ in range(5)}
    assert len(found) == 1


def test_several_files_are_read(text, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("zebra zebra zebra\n")
    assert "zebra" not in train_word_pieces(text, vocabulary_size=150)
    assert "zebra" in train_word_pieces([text, other], vocabulary_size=150)


@pytest.mark.parametrize(
    ("train", "least"), [(train_word_pieces, r"\d+"), (train_byte_pairs, "257")]
)
def test_too_small_a_vocabulary_is_told(text, train, least):
    message = f"`vocabulary_size` must be at least {least}.*vocabulary_size=12$"
    with pytest.raises(ValueError, match=message):
        train(text, vocabulary_size=12)


@pytest.mark.parametrize("train", [train_word_pieces, train_byte_pairs])
def test_an_empty_file_is_told(tmp_path, train):
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match="There is no text in '.*empty.txt'"):
        train(tmp_path / "empty.txt")
