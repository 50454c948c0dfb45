"""The command that learns to translate: what is held out, bad input, a short run."""

import numpy as np
import pytest

from keras_attention.commands import translate
from keras_attention.tokenizers import Vocabulary

PAIRS = [(f"the {i} cats", f"les {i} chats") for i in range(400)]


@pytest.fixture
def table(tmp_path):
    """A table of 400 pairs."""
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"{a}\t{b}\n" for a, b in PAIRS), "utf-8")
    return path


@pytest.mark.once
def test_a_sentence_is_in_one_part_with_all_its_translations():
    twice = [*PAIRS, *((source, f"{target} !") for source, target in PAIRS)]
    training, held_out = translate.hold_out(twice)
    assert sorted(training + held_out) == sorted(twice)
    assert 0 < len(held_out) < len(training) / 10
    assert not {source for source, _ in training} & {source for source, _ in held_out}


@pytest.mark.once
def test_the_same_sentences_are_held_out_whatever_else_there_is():
    _, few = translate.hold_out(PAIRS[:200])
    _, many = translate.hold_out(PAIRS)
    assert set(few) <= set(many)


@pytest.mark.once
def test_no_more_are_held_out_than_are_translated_in_a_moment(monkeypatch):
    _, many = translate.hold_out(PAIRS)
    monkeypatch.setattr(translate, "MOST_HELD_OUT", 3)
    training, few = translate.hold_out(PAIRS)
    assert few == many[:3]
    assert not set(training) & set(many)


@pytest.mark.once
def test_translations_are_scored_by_the_length_of_the_source(capsys):
    """The short one is right, the long one has nothing in common with the truth."""
    pytest.importorskip("sacrebleu")
    sources = ["a b c d", "a b c d e f g"]
    scores = translate.score(sources, ["w x y z", "q"], ["w x y z", "k l m n o p r"])
    assert list(scores) == ["all", "1-5", "6-10"]
    assert scores["1-5"] == (1, pytest.approx(100), pytest.approx(100))
    assert scores["6-10"] == (1, 0, 0)
    assert scores["all"][0] == 2
    translate.print_scores(scores, translate.score(sources, sources, sources))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [*"words of a source pairs BLEU chrF copied".split()]
    assert lines[2].split() == ["1-5", "1", "100.0", "100.0", "100.0"]


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a cat\tun chat\n", [], "too few pairs to hold some out. Received: 1"),
        ("a cat un chat\n", [], "line 1: expected source<TAB>target"),
        ("a\t\n", [], "the target is empty"),
        ("", [], "is empty"),
        ("a\tb\n", ["--minutes", "0"], "--minutes must be positive. Received: 0.0"),
        ("a\tb\n", ["--max-words", "0"], "--max-words must be positive. Received: 0"),
    ],
)
def test_bad_input_is_told(tmp_path, capsys, text, options, message):
    path = tmp_path / "pairs.tsv"
    path.write_text(text, "utf-8")
    with pytest.raises(SystemExit):
        translate.main([str(path), *options])
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.once
def test_a_missing_file_is_told(capsys):
    with pytest.raises(SystemExit):
        translate.main(["nowhere.tsv"])
    assert "nowhere.tsv" in capsys.readouterr().err


class Parrot:
    """Writes what it reads, looking at the same word; the second one it cannot."""

    source_vocabulary = target_vocabulary = Vocabulary(list("abcdefg"))

    def translate(self, sentences, max_length, return_attention_scores):
        assert return_attention_scores
        length = max(len(sentence.split()) for sentence in sentences)
        weights = np.zeros(
            (2, len(sentences), 3, length, length + 2)
        )  # (L, B, N, T, S)
        for i, sentence in enumerate(sentences):
            for t in range(len(sentence.split())):
                weights[:, i, :, t, t + 1] = 1.0
        texts = list(sentences)
        texts[1] = ""
        return texts, weights


@pytest.mark.once
def test_sentences_of_some_length_are_aligned():
    """The first is too short, and for the third nothing was written."""
    sources = ["a b", "a b c d e", "e d c b a", "a b c d e f g"]
    views = translate.align(Parrot(), sources)
    assert list(views) == ["a b c d e", "a b c d e f g"]
    assert repr(views["a b c d e f g"]) == "<View 'a b c d e f g'>"
    assert translate.align(Parrot(), ["a b"]) == {}


@pytest.mark.slow
@pytest.mark.parametrize("model", ["attention", "rnn", "transformer"])
def test_it_learns_and_saves(table, tmp_path, capsys, model):
    for package in ("tokenizers", "sacrebleu"):
        pytest.importorskip(package)
    from keras_attention.applications import from_preset

    folder = tmp_path / "translate"
    arguments = ["--quick", "--folder", str(folder), "--vocabulary-size", "60"]
    translate.main([str(table), *arguments, "--model", model])
    printed = capsys.readouterr().out
    assert "BLEU " in printed
    has_page = (folder / "alignments.html").is_file()
    assert has_page != ("has no alignment to show" in printed)
    again = from_preset(folder / "model")
    assert len(again.translate(["the 5 cats", "the 6"], max_length=4)) == 2
