"""The sentences about films are read from the package as it is published."""

import io
import tarfile

import pytest

from helpers import load_script

pytestmark = pytest.mark.once

LINES = (
    "1\t2.26666666667\tSplendid, naïve and long.",
    "2\t-1.5\tEffective but too tepid.",
    "3\t1.0\tNeither here nor there.",
    "4\t-0.6\tA biopic.",
    "5\t-3.1\tBad\x85 and dull.",  # not the end of a line
)


def add(tar, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


@pytest.fixture
def package(tmp_path):
    """A package that holds a second one, as vaderSentiment does."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        table = "\r\n".join(LINES) + "\r\n"
        add(tar, "hutto_ICWSM_2014/tweets_GroundTruth.txt", b"1\t4.0\tno film")
        add(
            tar,
            "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
            table.encode("latin-1"),
        )
    path = tmp_path / "vaderSentiment-3.3.2.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        name = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
        add(tar, name, inner.getvalue())
    return path


def test_sentences_that_readers_agree_on_are_kept(package):
    pairs = load_script("movie_snippets").read_snippets(package)
    assert pairs == [
        ("Splendid, naïve and long.", "for"),
        ("Effective but too tepid.", "against"),
        ("Bad\x85 and dull.", "against"),
    ]


def test_each_sentence_is_either_learned_or_held_out():
    pairs = [(f"text {i}", ["against", "for"][i % 2]) for i in range(10)]
    script = load_script("movie_snippets")
    train, test = script.split_snippets(pairs, held_out=3)
    assert (len(train[0]), len(test[0])) == (7, 3)
    found = [*zip(*train, strict=True), *zip(*test, strict=True)]
    assert sorted(found) == sorted(pairs)
    assert script.split_snippets(pairs[::-1], held_out=3) == [train, test]
