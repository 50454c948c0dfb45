"""The counts that the GPT-2 of the novels is held against, and its command."""

import itertools
import re

import numpy as np
import pytest

from helpers import load_script

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def script():
    pytest.importorskip("tokenizers")
    return load_script("gpt2_on_jane_austen")


def test_probabilities_of_single_tokens(script):
    """By hand: 4, 3, 2, 1 times of 10, less 5/3, 5/3, 1, 1/3, which are shared out."""
    train = np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 3])
    found = script.kneser_ney(train, np.arange(4), size=4, order=1)
    np.testing.assert_allclose(found, np.array([42, 30, 26, 22]) / 120)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_sum_to_one(script, order):
    """Behind tokens that were seen, and behind such as were not."""
    train = np.random.default_rng(0).integers(5, size=60) ** 2 // 4  # of 0, 1, 2, 4
    for before in itertools.product(range(5), repeat=order - 1):
        p = [
            script.kneser_ney(train, np.array([*before, last]), size=5, order=order)
            for last in range(5)
        ]
        assert np.min(p) > 0
        np.testing.assert_allclose(np.sum(p), 1)


def test_what_integers_cannot_count_is_told(script):
    with pytest.raises(ValueError, match="size=10000, order=5. Take fewer tokens"):
        script.kneser_ney(np.arange(9), np.arange(9), size=10_000, order=5)


def test_it_learns_and_writes(script, tmp_path, capsys):
    for name in ("emma", "persuasion"):
        (tmp_path / f"{name}.txt").write_text("It was a truth. She was sure.\n" * 60)
    sizes = "--vocabulary 270 --width 32 --blocks 1 --length 32 --minutes 0.001"
    script.main([str(tmp_path), *sizes.split()])
    printed = capsys.readouterr().out
    assert re.findall(r"^(\d)-gram", printed, re.M) == ["1", "2", "3", "4", "5"]
    assert float(re.search(r"^GPT-2 +([\d.]+) ", printed, re.M)[1]) < 270
    assert "> Captain Wentworth" in printed


def test_a_folder_without_novels_is_told(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script.main([str(tmp_path)])
    assert "must hold persuasion.txt and other novels" in capsys.readouterr().err
