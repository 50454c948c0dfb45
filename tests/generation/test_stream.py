"""What is told of a text while it is written, joined, is what comes out."""

import pytest

from keras_attention.generation.decode import Rules
from keras_attention.generation.stream import Stream

pytestmark = pytest.mark.once


def decode(token_ids):
    """Byte by byte, as a byte-level tokenizer: half of a character is U+FFFD."""
    return bytes(token_ids).decode("utf-8", errors="replace")


def follow(token_ids, decode=decode, stop_texts=(), **rules):
    """The parts that are told of one text, and what comes out of it."""
    parts = []
    rules = Rules(**rules)
    stream = Stream(1, rules, decode, stop_texts, lambda new: parts.append(new[0]))
    for count in range(1, len(token_ids) + 1):
        row = token_ids[:count]
        ends = row[-1] in rules.end_ids or any(
            tuple(row[-len(s) :]) == s for s in rules.stop_sequences
        )
        if stream.look([0], [row], [ends or count == len(token_ids)])[0]:
            break
    return parts, stream.read(row)


@pytest.mark.parametrize("text", ["a 😀 b", "你好", "👩‍👩‍👧!", "e\u0301", " a"])
def test_characters_come_whole(text):
    parts, written = follow(list(text.encode()))
    assert "".join(parts) == written == text
    assert "\ufffd" not in "".join(parts)


def test_half_of_a_character_comes_at_the_end_where_the_text_is_cut():
    parts, written = follow(list("a😀".encode())[:3])
    assert written == "a\ufffd" and parts == ["a", "", "\ufffd"]


def test_bytes_that_are_no_character_are_told_when_others_follow():
    parts, written = follow([97, 0xFF, 98])
    assert written == "a\ufffdb" and parts == ["a", "", "\ufffdb"]


@pytest.mark.parametrize(
    "text, stop, parts",
    [
        ("a\nUser: b", "\nUser:", ["a", "", "", "", "", "", ""]),
        ("a#b##", "##", ["a", "", "#b", "", ""]),
        ("a😁", "😁", ["a", "", "", "", ""]),
        ("aab", "ab", ["", "a", ""]),
        ("ab", "abc", ["", "ab"]),
    ],
)
def test_what_may_become_a_stop_sequence_waits(text, stop, parts):
    told, written = follow(list(text.encode()), stop_texts=(stop, "zz"))
    assert told == parts
    assert "".join(told) == written == text.partition(stop)[0]


@pytest.mark.parametrize("decode", [decode, None])
def test_stop_sequences_of_token_ids_wait_too(decode):
    token_ids = [97, 98, 99, 98, 98, 99, 100]
    options = {"stop_sequences": ((98, 99, 100),), "end_ids": (1,)}
    told, written = follow(token_ids, decode, **options)
    parts = [[97], [], [], [98, 99], [98], [], []]
    joined = [97, 98, 99, 98]
    if decode:
        parts, joined = ["a", "", "", "bc", "b", "", ""], "abcb"
    assert told == parts and written == joined
    told, written = follow([97, 98, 99, 1], decode, **options)
    assert sum(map(len, told)) == len(written) == 3


def test_texts_are_told_by_their_numbers():
    """Number 1 fills its batch up: it is told once, and stopped twice."""
    parts = []
    stream = Stream(3, Rules(), decode, ["b"], parts.append)
    stopped = stream.look([2, 1, 1], [[97], [98], [98]], [False] * 3)
    assert parts == [["", "", "a"]] and stopped == [False, True, True]
