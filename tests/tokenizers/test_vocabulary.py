"""Words to ids and back."""

import string
import unicodedata

import keras
import numpy as np
import pytest

from keras_attention.tokenizers import split_words
from keras_attention.tokenizers import Vocabulary

pytestmark = pytest.mark.once

WORDS = ["cat", "black", "o'clock", "medium-dark", "château"]


@pytest.mark.parametrize(
    "caption, words",
    [
        ("A black CAT.", ["a", "black", "cat"]),
        ("medium-dark skin tone", ["medium-dark", "skin", "tone"]),
        ("one o’clock, o'clock", ["one", "o'clock", "o'clock"]),
        ("Mrs. Claus, U.S. (1999)!", ["mrs", "claus", "u.s", "1999"]),
        ("keycap # and keycap *", ["keycap", "#", "and", "keycap", "*"]),
        ("Trinidad & Tobago", ["trinidad", "&", "tobago"]),
        ("snake_case -dash- 'quoted'", ["snake", "case", "dash", "quoted"]),
        ("Île-de-France à l’œuvre", ["île-de-france", "à", "l'œuvre"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("प्रकाश مُعَلِّم می‌خواهم", ["प्रकाश", "مُعَلِّم", "می‌خواهم"]),
        ("红心 top", ["红", "心", "top"]),
        ("  \t... !?", []),
    ],
)
def test_captions_are_split_into_words(caption, words):
    assert split_words(caption) == words


def test_plain_text_is_split_as_any_other(rng):
    """ASCII has its own short way; a letter beyond it takes the long one."""
    characters = list(string.printable)
    for _ in range(200):
        caption = "".join(rng.choice(characters, 30))
        assert [*split_words(caption), "é"] == split_words(f"{caption} é")


def test_special_tokens_have_the_first_four_ids():
    vocabulary = Vocabulary(WORDS)
    token_ids = vocabulary.encode(["Black cat", "cat at one o’clock"])
    assert token_ids.dtype == "int32"
    # start black cat end pad pad, start cat [unk] [unk] o'clock end
    assert token_ids.tolist() == [[1, 5, 4, 2, 0, 0], [1, 4, 3, 3, 6, 2]]
    assert len(vocabulary) == 9
    assert vocabulary.words == WORDS
    assert "cat" in vocabulary and "dog" not in vocabulary
    assert "[pad]" not in vocabulary


@pytest.mark.parametrize(
    "caption",
    [
        "cat medium-dark",
        "château o'clock black",
        "cat #",
        "红 心",
    ],
)
def test_encoding_what_was_decoded_changes_nothing(caption):
    vocabulary = Vocabulary.from_captions([caption, *WORDS])
    token_ids = vocabulary.encode([caption])
    decoded = vocabulary.decode(token_ids)
    np.testing.assert_array_equal(vocabulary.encode(decoded), token_ids)
    if "红" not in caption:
        assert decoded == [caption]


def test_chinese_characters_are_joined_without_spaces():
    vocabulary = Vocabulary.from_captions(["红心 top hat"])
    assert vocabulary.decode(vocabulary.encode(["红心 top hat"])) == ["红心 top hat"]


def test_a_caption_is_decoded_up_to_its_end():
    vocabulary = Vocabulary(WORDS)
    ids = [[1, 4, 2, 5, 2], [0, 1, 5, 3], [], [2]]
    assert vocabulary.decode(ids) == ["cat", "black [unk]", "", ""]


def test_max_length_fixes_the_shape():
    vocabulary = Vocabulary(WORDS)
    assert vocabulary.encode(["cat"], max_length=5).tolist() == [[1, 4, 2, 0, 0]]
    assert vocabulary.encode(["black cat"], max_length=4).tolist() == [[1, 5, 4, 2]]


def test_truncate_cuts_words_and_keeps_the_end():
    vocabulary = Vocabulary(WORDS)
    token_ids = vocabulary.encode(["black cat", "cat"], max_length=3, truncate=True)
    assert token_ids.tolist() == [[1, 5, 2], [1, 4, 2]]


def test_frequent_words_come_first_whatever_the_order_of_the_captions():
    captions = ["a cat", "a dog", "a cat runs", "zebra"]
    for order in (captions, captions[::-1]):
        words = Vocabulary.from_captions(order).words
        assert words == ["a", "cat", "dog", "runs", "zebra"]
    assert Vocabulary.from_captions(captions, min_count=2).words == ["a", "cat"]
    small = Vocabulary.from_captions(captions, max_size=7)
    assert len(small) == 7 and small.words == ["a", "cat", "dog"]


def test_saved_words_are_loaded(tmp_path):
    vocabulary = Vocabulary(WORDS)
    path = tmp_path / "words.txt"
    path.write_text("old")
    vocabulary.save(path)
    assert path.read_text("utf-8").split("\n") == [
        *("[pad]", "[start]", "[end]", "[unk]"),
        *WORDS,
        "",
    ]
    assert Vocabulary.load(str(path)) == vocabulary
    # No temporary file is left.
    assert [p.name for p in tmp_path.iterdir()] == ["words.txt"]


def test_a_file_edited_on_windows_is_loaded(tmp_path):
    path = tmp_path / "words.txt"
    Vocabulary(WORDS).save(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert Vocabulary.load(path).words == WORDS


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "words.txt"
    Vocabulary(["old"]).save(path)

    def full_disk(*args):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="no space left"):
        Vocabulary(WORDS).save(path)
    assert Vocabulary.load(path).words == ["old"]
    assert len(list(tmp_path.iterdir())) == 1


HEAD = "[pad]\n[start]\n[end]\n[unk]\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("", r"first lines must be \[pad\], \[start\].*Received: \(\)"),
        ("cat\ndog\n", r"first lines must be .*Received: \('cat', 'dog'\)"),
        ("[pad]\n[end]\n[start]\n[unk]\ncat", "first lines must be"),
        (HEAD, "at least one word"),
        (HEAD + "cat\n\ndog\n", r"not be empty. Received '' as word 1 \(id 5\)"),
        (HEAD + "cat\ndog\ncat\n", "distinct. Received 'cat' as word 2 .* also word 0"),
        (HEAD + "[pad]\n", r"not be special tokens.*Received '\[pad\]'"),
        (HEAD + "two words\n", r"split into \['two', 'words'\]"),
        (HEAD + "Cat\n", r"Received 'Cat' as word 0 .* split into \['cat'\]"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, text, message):
    path = tmp_path / "words.txt"
    path.write_text(text, "utf-8")
    with pytest.raises(
        ValueError, match="words.txt' is not a vocabulary: .*" + message
    ):
        Vocabulary.load(path)


def test_a_binary_file_is_refused(tmp_path):
    path = tmp_path / "words.bin"
    path.write_bytes(b"\x89PNG\xff")
    with pytest.raises(ValueError, match="words.bin' is not .*not text in UTF-8"):
        Vocabulary.load(path)


@pytest.mark.parametrize(
    "captions, arguments, message",
    [
        (["cat", ""], {}, "Caption 1 has no word. Received: ''. Leave it out"),
        (["..."], {}, "Caption 0 has no word. Received: '...'"),
        (["cat", 3], {}, "must be strings. Received int 3 at position 1"),
        ([None], {}, "Received NoneType None at position 0"),
        ("cat", {}, r"list of strings. Received the string 'cat'.*\[caption\]"),
        ([], {}, "at least one caption. Received none"),
        (["cat"], {"max_length": 2}, "at least 3.*Received: max_length=2"),
        (
            ["cat", "black cat"],
            {"max_length": 3},
            "Caption 1 needs 4 tokens .* max_length=3: 'black cat'. The longest",
        ),
    ],
)
def test_captions_that_cannot_be_encoded_are_refused(captions, arguments, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(WORDS).encode(captions, **arguments)


@pytest.mark.parametrize(
    "ids, message",
    [
        ([[1, 9]], "from 0 to 8. Received: 9"),
        ([[1, -1]], "from 0 to 8. Received: -1"),
        ([1, 4, 2], r"shape \(B, L\).*row of shape \(\)"),
        (np.zeros((2, 3, 4), int), r"row of shape \(3, 4\)"),
        ([[0.5]], "type float64"),
    ],
)
def test_ids_that_are_none_of_ours_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(WORDS).decode(ids)


@pytest.mark.parametrize(
    "words, message",
    [
        ("cat", "must be a list of words. Received the string 'cat'"),
        ([], "at least one word"),
        ([5], "must be strings. Received 5 as word 0"),
    ],
)
def test_words_that_are_no_list_of_words_are_refused(words, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(words)


def test_a_vocabulary_that_would_be_empty_is_refused():
    with pytest.raises(ValueError, match="min_count=3 .* Received 2 distinct words"):
        Vocabulary.from_captions(["a cat"], min_count=3)
    with pytest.raises(ValueError, match="more than 4.*Received: max_size=4"):
        Vocabulary.from_captions(["a cat"], max_size=4)


def test_keras_serializes_a_vocabulary():
    vocabulary = Vocabulary(WORDS)
    config = keras.saving.serialize_keras_object(vocabulary)
    assert keras.saving.deserialize_keras_object(config) == vocabulary
    assert len({vocabulary, Vocabulary(WORDS)}) == 1
    assert repr(vocabulary) == "<Vocabulary of 5 words and 4 special tokens>"


def test_letters_are_encoded_one_by_one():
    vocabulary = Vocabulary.from_captions(["a cat", "act"], split="characters")
    assert vocabulary.words == ["a", "c", "t", " "]  # 3 a, 2 c, 2 t, 1 space
    token_ids = vocabulary.encode(["cat", "a cab"])
    assert token_ids.tolist() == [[1, 5, 4, 6, 2, 0, 0], [1, 4, 7, 5, 4, 3, 2]]
    assert vocabulary.decode(token_ids) == ["cat", "a ca[unk]"]
    assert vocabulary.tokens(token_ids) == [list("cat"), [*"a ca", "[unk]"]]


def test_an_accent_written_apart_is_the_same_letter():
    vocabulary = Vocabulary(["é"], split="characters")
    assert vocabulary.encode(["e\u0301"]).tolist() == [[1, 4, 2]]


def test_symbols_stand_between_spaces_as_they_are_written():
    vocabulary = Vocabulary(["AH0", "ah0", "[-]"], split="spaces")
    token_ids = vocabulary.encode([" AH0  [-] ah0"])
    assert token_ids.tolist() == [[1, 4, 6, 5, 2]]
    assert vocabulary.decode(token_ids) == ["AH0 [-] ah0"]


@pytest.mark.parametrize(
    ("split", "words"), [("characters", [" ", "a", "é"]), ("spaces", ["AH0", "T"])]
)
def test_the_split_is_saved_and_serialized(split, words, tmp_path):
    vocabulary = Vocabulary(words, split=split)
    path = tmp_path / "words.txt"
    vocabulary.save(path)
    assert path.read_text("utf-8").startswith(f"[split {split}]\n[pad]\n[start]\n")
    config = keras.saving.serialize_keras_object(vocabulary)
    for again in (
        Vocabulary.load(path),
        keras.saving.deserialize_keras_object(config),
    ):
        assert again == vocabulary and again.split == split
        assert hash(again) == hash(vocabulary)
        assert again.words == words


def test_equal_words_split_in_another_way_are_another_vocabulary():
    assert Vocabulary(["a"], split="characters") != Vocabulary(["a"])


@pytest.mark.parametrize(
    ("words", "split", "message"),
    [
        (["a"], "letters", "one of 'words', 'characters', 'spaces'.*split='letters'"),
        (["ab"], "characters", r"split into \['a', 'b'\]"),
        (["a b"], "spaces", r"split into \['a', 'b'\]"),
        (["\n"], "characters", "must not hold the end of a line"),
        ([""], "characters", "must not be empty"),
    ],
)
def test_words_that_do_not_fit_the_split_are_refused(words, split, message):
    with pytest.raises(ValueError, match=message):
        Vocabulary(words, split=split)


def test_an_empty_text_is_refused():
    for split in ("characters", "spaces"):
        vocabulary = Vocabulary(["a"], split=split)
        with pytest.raises(ValueError, match="Text 1 has no word. Received: ''"):
            vocabulary.encode(["a", ""])


def test_other_libraries_split_words_alike(tmp_path, rng):
    """Letters of many scripts, marks, digits and signs, in any order."""
    tokenizers = pytest.importorskip("tokenizers")
    characters = [
        *" aZ9-'.’_#*&+%$€£@=!\t\n",
        *"éÉßçñøÅ½²Ⅷ٣०",
        *"жЖαΑשلحकिᄒ가漢ひカー々",
        *"\u0301\u0308\u0323\u064b\u200c\u200d\u2010",
    ]
    texts = ["".join(rng.choice(characters, 12)) for _ in range(500)]
    texts = [text for text in texts if split_words(text)]
    vocabulary = Vocabulary.from_captions(texts)
    vocabulary.save(tmp_path)
    theirs = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for text in texts:
        (ids,) = vocabulary.encode([text]).tolist()
        assert theirs.encode(text).ids == ids, repr(text)


def test_offsets_are_those_of_the_words(rng):
    """The characters of a word, taken alone, are that word again."""
    characters = [*" aB-'’.!", *"éकिñжα漢", "\u0301", "\u0323", "\u1112", "\u1161"]
    for split in ("words", "characters", "spaces"):
        texts = ["".join(rng.choice(characters, 15)) for _ in range(200)]
        texts = [t for t in texts if split_words(t) and t.strip()]
        vocabulary = Vocabulary.from_captions(texts, split=split)
        for text, row in zip(texts, vocabulary.offsets(texts), strict=True):
            (tokens,) = vocabulary.tokens(vocabulary.encode([text]))
            found = [text[begin:end] for begin, end in row.tolist()[1:] if end]
            assert len(found) == len(tokens)
            for part, token in zip(found, tokens, strict=True):
                plain = unicodedata.normalize("NFC", part)
                if split == "words":
                    plain = plain.lower().replace("’", "'")
                assert token in plain, (text, part, token)
