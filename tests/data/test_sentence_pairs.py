"""Sentence pairs from files: two formats, cleaning, and what is wrong with a line."""

import re

import pytest

from keras_attention.data import load_sentence_pairs

pytestmark = pytest.mark.once


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a file in the working folder; gives back its name."""
    monkeypatch.chdir(tmp_path)

    def write(content, name="pairs.tsv"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return name

    return write


def test_a_table_is_read(write):
    """Also with more columns, a byte order mark, and lines that end as on Windows."""
    path = write("\ufeffa cat\tun chat\tCC-BY\r\n la  voiture\tthe\u00a0car\r\n")
    assert load_sentence_pairs(path) == [
        ("a cat", "un chat"),
        ("la voiture", "the car"),
    ]


def test_two_files_are_read_line_by_line(write):
    source, target = (
        write("a cat\n\na dog\n", "a.en"),
        write("un chat\n\nun chien", "a.fr"),
    )
    assert load_sentence_pairs(source, target) == [
        ("a cat", "un chat"),
        ("a dog", "un chien"),
    ]


def test_an_accent_written_apart_is_joined(write):
    assert load_sentence_pairs(write("e\u0301te\u0301\tsummer")) == [("été", "summer")]


def test_long_uneven_and_repeated_pairs_are_left_out(write):
    path = write("a b c d\tx\na b\tx\na b c\tx y z\na b\tx\n")
    assert load_sentence_pairs(path, max_length=3) == [
        ("a b", "x"),
        ("a b c", "x y z"),
        ("a b", "x"),
    ]
    assert load_sentence_pairs(path, max_ratio=2.0, distinct=True) == [
        ("a b", "x"),
        ("a b c", "x y z"),
    ]
    assert load_sentence_pairs(path, max_ratio=1.0) == [("a b c", "x y z")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "a\tb\na cat, un chat\n",
            "line 2: expected source<TAB>target. Received: 'a c",
        ),
        ("a\tb\n\nc\td\n", "line 2: expected source<TAB>target. Received: ''"),
        ("a\tb\nc\t \n", r"line 2: the target is empty. Received: \('c', ''\)"),
        ("\tb\n", "line 1: the source is empty"),
        ("", "'pairs.tsv' is empty"),
        (
            "a\tb\n\u00e9t\u00e9\tc".encode("latin-1"),
            "not text in UTF-8: line 2 .* 0xe9",
        ),
    ],
)
def test_a_broken_table_is_refused(write, content, message):
    with pytest.raises(ValueError, match=message):
        load_sentence_pairs(write(content))


def test_files_of_unequal_length_are_refused(write):
    source, target = write("a\nb\n", "a.en"), write("x\n", "a.fr")
    with pytest.raises(ValueError, match="'a.en' has 2 lines, 'a.fr' has 1"):
        load_sentence_pairs(source, target)
    target = write("x\n\n", "a.fr")
    with pytest.raises(ValueError, match="'a.en' and 'a.fr', line 2: the target is em"):
        load_sentence_pairs(source, target)


def test_a_limit_that_leaves_nothing_is_refused(write):
    path = write("a b c\tx y z\n")
    with pytest.raises(ValueError, match="None of the 1 pairs .* max_length=2"):
        load_sentence_pairs(path, max_length=2)


@pytest.mark.parametrize("limit", [{"max_length": 0}, {"max_ratio": 0.5}])
def test_limits_out_of_range_are_refused(write, limit):
    ((name, value),) = limit.items()
    with pytest.raises(ValueError, match=re.escape(f"Received: {name}={value}")):
        load_sentence_pairs(write("a\tb"), **limit)


def test_a_missing_file_is_told():
    with pytest.raises(FileNotFoundError):
        load_sentence_pairs("nowhere.tsv")
