"""BLEU, where it can be computed by hand."""

import pytest

from keras_attention.training import bleu

pytest.importorskip("sacrebleu")
pytestmark = pytest.mark.once


def test_a_right_caption_has_100():
    assert bleu(["a red cat sleeps"], ["a red cat sleeps"]) == pytest.approx(100)


def test_by_hand():
    """Of 6 words 5 are right, of 5 pairs 4, of 4 triples 3, of 3 quadruples 2."""
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    found = bleu(["the cat sat on a mat"], ["my cat sat on a mat"])
    assert found == pytest.approx(expected, rel=1e-6)


def test_any_of_several_references_may_be_right():
    references = [["one two three four", "a red cat sleeps"], "a b c d"]
    assert bleu(["a red cat sleeps", "a b c d"], references) == pytest.approx(100)


def test_a_missing_reference_is_refused():
    with pytest.raises(ValueError, match="Received: 2 captions, 1 references"):
        bleu(["a", "b"], ["a"])
