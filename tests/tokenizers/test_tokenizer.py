"""What every tokenizer does alike: one table of them all."""

import keras
import numpy as np
import pytest

from keras_attention.tokenizers import load_tokenizer
from keras_attention.tokenizers import MarianTokenizer
from keras_attention.tokenizers import SubwordTokenizer
from keras_attention.tokenizers import Tokenizer
from keras_attention.tokenizers import train_byte_pairs
from keras_attention.tokenizers import train_word_pieces
from keras_attention.tokenizers import Vocabulary
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from published_tokenizers import FOLDERS
from published_tokenizers import SENTENCES
from published_tokenizers import write_marian

tokenizers = pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")
pytestmark = pytest.mark.once

IDS = ["start_id", "end_id", "unknown_id", "mask_id", "class_id", "separator_id"]


def words(folder):
    return Vocabulary.from_captions(SENTENCES)


def letters(folder):
    return Vocabulary.from_captions(SENTENCES, split="characters")


def symbols(folder):
    return Vocabulary.from_captions(SENTENCES, split="spaces")


def subwords(folder):
    return SubwordTokenizer.train(SENTENCES, vocabulary_size=90)


def source(folder):
    return MarianTokenizer.load(write_marian(folder))


def target(folder):
    return MarianTokenizer.load(write_marian(folder), is_target=True)


def published(name):
    return lambda folder: load_tokenizer(FOLDERS[name](folder))


def trained_words(folder):
    (folder / "text.txt").write_text("\n".join(SENTENCES * 3), encoding="utf-8")
    return train_word_pieces(folder / "text.txt", vocabulary_size=150)


def trained_bytes(folder):
    (folder / "text.txt").write_text("\n".join(SENTENCES * 3), encoding="utf-8")
    return train_byte_pairs(folder / "text.txt", vocabulary_size=320)


def by_hand(folder):
    ids = load_tokenizer(FOLDERS["gpt2"](folder))._pipeline["model"]
    return byte_pair_tokenizer(ids["vocab"], [], {"eos_token": "<|endoftext|>"})


TABLE = {
    "words": words,
    "characters": letters,
    "spaces": symbols,
    "subwords": subwords,
    "marian, source": source,
    "marian, target": target,
    "trained words": trained_words,
    "trained bytes": trained_bytes,
    "bytes by hand": by_hand,
    **{name: published(name) for name in FOLDERS},
}
# All of its words are known to each of them.
TEXT = "the dog reads a text"
LONGER = "a dog , the dogs ' attention !"


@pytest.fixture(scope="module", params=TABLE)
def tokenizer(request, tmp_path_factory):
    return TABLE[request.param](tmp_path_factory.mktemp("folder"))


def test_it_is_one_with_ids_below_its_length(tokenizer):
    assert isinstance(tokenizer, Tokenizer)
    ids = [getattr(tokenizer, name) for name in IDS]
    assert all(i is None or 0 <= i < len(tokenizer) for i in ids)
    assert {i for i in ids if i is not None} <= {*tokenizer.special_ids}
    assert tokenizer.special_ids == sorted(set(tokenizer.special_ids))
    assert 0 <= tokenizer.padding_id < len(tokenizer)
    (last,) = tokenizer.tokens([[len(tokenizer) - 1]])
    assert len(last) <= 1
    with pytest.raises(ValueError, match=f"0 to {len(tokenizer) - 1}. Received: "):
        tokenizer.tokens([[len(tokenizer)]])
    with pytest.raises(ValueError, match="Received: -1"):
        tokenizer.decode([[-1]])


def test_texts_become_ids_and_come_back(tokenizer):
    token_ids = tokenizer.encode([TEXT, LONGER])
    assert token_ids.dtype == "int32" and token_ids.shape[0] == 2
    assert tokenizer.decode(token_ids)[0] == TEXT
    assert tokenizer.decode(keras.ops.convert_to_tensor(token_ids))[0] == TEXT
    rows = tokenizer.token_id_lists([TEXT, LONGER])
    assert tokenizer.decode(rows)[0] == TEXT
    counts = tokenizer.count([TEXT, LONGER])
    assert counts.dtype == "int32" and counts.max() == token_ids.shape[1]
    around = counts[0] - len(rows[0])
    assert counts[1] - len(rows[1]) == around
    place = np.flatnonzero(np.isin(token_ids[0], rows[0]))
    assert set(rows[0]) == set(token_ids[0, place].tolist())


def test_padding_stands_on_its_side(tokenizer):
    alone = tokenizer.encode([TEXT])[0].tolist()
    length = len(alone) + 3
    padding = [tokenizer.padding_id] * 3
    is_left = tokenizer.padding_side == "left"
    expected = [*padding, *alone] if is_left else [*alone, *padding]
    assert tokenizer.encode([TEXT], max_length=length).tolist() == [expected]
    assert tokenizer.pad([alone], length).tolist() == [expected]
    assert tokenizer.pad([alone, [3]]).shape == (2, len(alone))
    with pytest.raises(ValueError, match=f"longest row, {len(alone)}.*length=2. Cut"):
        tokenizer.pad([alone], 2)


def test_texts_are_cut_on_request(tokenizer):
    around = tokenizer.count([TEXT])[0] - len(tokenizer.token_id_lists([TEXT])[0])
    length = int(around) + 2
    cut = tokenizer.encode([TEXT], length, truncate=True)
    assert cut.shape == (1, length)
    offsets = tokenizer.offsets([TEXT], length, truncate=True)
    assert offsets.shape == (1, length, 2)
    message = rf"0 needs \d+ tokens.*more than max_length={length}: 'the dog"
    with pytest.raises(ValueError, match=message):
        tokenizer.encode([TEXT], length)


def test_offsets_say_which_characters_a_token_is_of(tokenizer):
    texts = [f"  {TEXT}", LONGER]
    token_ids, offsets = tokenizer.encode(texts), tokenizer.offsets(texts)
    assert offsets.shape == (*token_ids.shape, 2) and offsets.dtype == "int32"
    for row, ids, text in zip(offsets, token_ids, texts, strict=True):
        found = row[row[:, 1] > row[:, 0]]
        assert not row[ids == tokenizer.end_id].any()
        assert (np.diff(found[:, 0]) >= 0).all()
        read = {i for begin, end in found for i in range(begin, end)}
        letters = {i for i, character in enumerate(text) if character.isalpha()}
        assert letters <= read <= set(range(len(text)))


def test_texts_that_are_none_are_told(tokenizer):
    for texts, message in (
        (TEXT, "must be a list of strings. Received the string 'the dog"),
        ([3], "must be strings. Received int 3 at position 0"),
        ([], "must hold at least one .*Received none"),
        (["dog \ud83d"], r"'\\ud83d', as character 4 of the text at position 0"),
    ):
        for method in (tokenizer.encode, tokenizer.token_id_lists, tokenizer.offsets):
            with pytest.raises(ValueError, match=message):
                method(texts)


def test_a_table_that_is_too_small_is_told(tokenizer):
    tokenizer.check_fits(len(tokenizer))
    tokenizer.check_fits(len(tokenizer) + 100)
    size = len(tokenizer) - 1
    message = (
        f"has {size + 1} token ids, from 0 to {size}, and the table .* {size} rows"
    )
    with pytest.raises(ValueError, match=message):
        tokenizer.check_fits(size)


def test_it_survives_saving_and_its_config(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    is_target = bool(getattr(tokenizer, "_is_target", False))
    again = load_tokenizer(tmp_path, is_target=is_target)
    assert again == tokenizer and hash(again) == hash(tokenizer)
    config = keras.saving.serialize_keras_object(tokenizer)
    assert keras.saving.deserialize_keras_object(config) == tokenizer
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.filterwarnings("ignore:Recommended")
def test_its_folder_opens_in_transformers(tokenizer, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    texts = [TEXT, *SENTENCES, "naïve cafe\u0301 漢字 it's"]
    for text, ids in zip(texts, map(theirs.encode, texts), strict=True):
        expected = tokenizer.encode([text])[0].tolist()
        is_target = getattr(tokenizer, "_is_target", False)
        assert ids == expected[1:] if is_target else ids == expected, text
    assert theirs.pad_token_id in (tokenizer.padding_id, None)
    assert theirs.unk_token_id == tokenizer.unknown_id
