"""Text files as token ids on disk: what stands there, and that it is kept."""

import re

import numpy as np
import pytest

from keras_attention.tokenizers import token_files
from keras_attention.tokenizers import train_byte_pairs
from keras_attention.tokenizers import Vocabulary
from keras_attention.tokenizers.token_files import ArrayWriter
from keras_attention.tokenizers.token_files import tokenize_sentences
from keras_attention.tokenizers.token_files import tokenize_text
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.once

WORDS = word_piece_tokenizer(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "##c"])


def test_sentences_and_documents_are_found(tmp_path):
    """Blank lines and ends of files part documents; line ends of Windows are read."""
    first, second = tmp_path / "1.txt", tmp_path / "2.txt"
    first.write_bytes(b"\xef\xbb\xbfa b\r\nac\r\n\r\n  \n b\n")
    second.write_text("\nb b b")
    found = tokenize_sentences([first, second], WORDS, tmp_path / "cache")
    assert found.token_ids.tolist() == [4, 5, 4, 6, 5, 5, 5, 5]
    assert found.sentences.tolist() == [0, 2, 4, 5, 8]
    assert found.documents.tolist() == [0, 2, 3, 4]
    assert found.token_ids.dtype == "uint16"
    assert all(isinstance(array, np.memmap) for array in found)


def test_more_lines_than_are_read_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(token_files, "SENTENCES_AT_ONCE", 3)
    path = tmp_path / "text.txt"
    path.write_text("a\n" * 4 + "\n" + "b b\n" * 3)
    found = tokenize_sentences(path, WORDS, tmp_path / "cache")
    assert found.sentences.tolist() == [0, 1, 2, 3, 4, 6, 8, 10]
    assert found.documents.tolist() == [0, 4, 7]


TEXT = """
One line, and another.
  Indented; it's 10 €.

After a blank line\twith a tab
and trailing space \n\n\nThree line breaks.
The end.
"""


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 3, encoding="utf-8")
    return path


@pytest.mark.parametrize("size", [1, 20, 10_000])
def test_a_text_is_cut_where_no_token_is(text, tmp_path, monkeypatch, size):
    """Cut into parts of any size, it has the tokens of the text as a whole."""
    monkeypatch.setattr(token_files, "BLOCK", size)
    monkeypatch.setattr(token_files, "BLOCKS_AT_ONCE", 2)
    tokenizer = train_byte_pairs(text, vocabulary_size=320)
    blocks = list(token_files.blocks_of([text], separator="<|endoftext|>"))
    assert (len(blocks) > 1) == (size < 10_000)
    found = tokenize_text(text, tokenizer, cache=tmp_path / "cache")
    (whole,) = tokenizer.token_id_lists([(TEXT * 3).strip("\n")])
    assert found.tolist() == [*whole, 0]


def test_an_end_token_stands_behind_each_document(tmp_path):
    """By default a line with the end token parts documents, on request a blank one."""
    path = tmp_path / "text.txt"
    path.write_text("ab\n\nab\n<|endoftext|>\n\nc\n<|endoftext|>\n")
    other = tmp_path / "other.txt"
    other.write_text("d")
    tokenizer = train_byte_pairs(path, vocabulary_size=257)

    def read(paths, separator=None):
        found = tokenize_text(paths, tokenizer, separator, tmp_path / "cache")
        return "".join(tokenizer.tokens([found])[0]).replace("Ċ", "\n")

    assert read([path, other]) == "ab\n\nab<|endoftext|>c<|endoftext|>d<|endoftext|>"
    path.write_text("ab\n\n\nab\nc\n\n")
    assert read(path, separator="") == "ab<|endoftext|>ab\nc<|endoftext|>"


def test_what_was_made_is_found_again(tmp_path, monkeypatch):
    path, cache = tmp_path / "text.txt", tmp_path / "cache"
    path.write_text("a b\n")
    first = tokenize_sentences(path, WORDS, cache)
    with monkeypatch.context() as patch:
        patch.setattr(type(WORDS), "token_id_lists", None)  # nothing is tokenized
        again = tokenize_sentences(path, WORDS, cache)
    assert again.token_ids.tolist() == first.token_ids.tolist() == [4, 5]
    assert len(list(cache.iterdir())) == 1
    path.write_text("b a a\n")  # another text, another tokenizer: another folder
    assert tokenize_sentences(path, WORDS, cache).token_ids.tolist() == [5, 4, 4]
    other = word_piece_tokenizer(["[UNK]", "[CLS]", "[SEP]", "a", "b"])
    assert tokenize_sentences(path, other, cache).token_ids.tolist() == [4, 3, 3]
    assert len(list(cache.iterdir())) == 3


def test_an_interrupted_run_leaves_nothing_behind(tmp_path, monkeypatch):
    path, cache = tmp_path / "text.txt", tmp_path / "cache"
    path.write_text("a b\n")

    def stop(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(WORDS), "token_id_lists", stop)
        with pytest.raises(KeyboardInterrupt):
            tokenize_sentences(path, WORDS, cache)
    assert list(cache.iterdir()) == []
    assert tokenize_sentences(path, WORDS, cache).token_ids.tolist() == [4, 5]


def test_another_process_may_be_faster(tmp_path, monkeypatch):
    path, cache = tmp_path / "text.txt", tmp_path / "cache"
    path.write_text("a b\n")
    encode = type(WORDS).token_id_lists

    def twice(self, texts):
        with monkeypatch.context() as patch:
            patch.setattr(type(WORDS), "token_id_lists", encode)
            tokenize_sentences(path, WORDS, cache)
        return encode(self, texts)

    monkeypatch.setattr(type(WORDS), "token_id_lists", twice)
    assert tokenize_sentences(path, WORDS, cache).token_ids.tolist() == [4, 5]
    assert len(list(cache.iterdir())) == 1


def test_long_texts_show_how_far_they_are(tmp_path, monkeypatch, capsys):
    path = tmp_path / "text.txt"
    path.write_text("a b\n" * 10)  # 40 bytes
    monkeypatch.setattr(token_files, "LONG", 40)
    monkeypatch.setattr(token_files, "MEGABYTE", 12)
    tokenize_sentences(path, WORDS, tmp_path / "cache")
    assert "4/4" in capsys.readouterr().out
    monkeypatch.setattr(token_files, "LONG", 41)
    tokenize_sentences(path, WORDS, tmp_path / "other")
    assert capsys.readouterr().out == ""


def test_arrays_grow_beyond_their_first_header(tmp_path):
    with ArrayWriter(tmp_path / "ids.npy", "uint32") as writer:
        for _ in range(1000):
            writer.append(range(12))
    found = np.load(tmp_path / "ids.npy")
    assert found.dtype == "uint32"
    np.testing.assert_array_equal(found, np.tile(np.arange(12), 1000))


def test_texts_that_cannot_be_read_are_told(tmp_path):
    path, cache = tmp_path / "text.txt", tmp_path / "cache"
    path.write_bytes(b"a\nb\xff\n")
    with pytest.raises(ValueError, match="not text in UTF-8: line 2 holds .* 0xff"):
        tokenize_sentences(path, WORDS, cache)
    path.write_text("\n \n")
    with pytest.raises(ValueError, match="There is no text in '.*text.txt'"):
        tokenize_sentences(path, WORDS, cache)
    with pytest.raises(ValueError, match="must name at least one file"):
        tokenize_sentences([], WORDS, cache)
    with pytest.raises(FileNotFoundError):
        tokenize_sentences(tmp_path / "missing.txt", WORDS, cache)


def test_a_tokenizer_that_does_not_fit_is_told(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("a\n")
    with pytest.raises(ValueError, match="must be a `PublishedTokenizer`.*Vocabulary"):
        tokenize_sentences(path, Vocabulary(["a"]))
    with pytest.raises(ValueError, match=re.escape("with an end token")):
        tokenize_text(path, WORDS)
