"""Error rates by hand, and edit distances against the plain algorithm."""

import numpy as np
import pytest

from keras_attention.training import edit_distances
from keras_attention.training import nearest_references
from keras_attention.training import sequence_error_rate
from keras_attention.training import token_error_rate

pytestmark = pytest.mark.once


def levenshtein(text, reference):
    """One cell of the table at a time."""
    above = list(range(len(reference) + 1))
    for i, token in enumerate(text, start=1):
        row = [i]
        for j, other in enumerate(reference, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (token != other)))
        above = row
    return above[-1]


def test_distances_are_those_of_the_plain_algorithm(rng):
    texts, references = (
        [list(rng.integers(0, 3, n)) for n in rng.integers(0, most, 200)]
        for most in (8, 11)
    )
    expected = [levenshtein(*pair) for pair in zip(texts, references, strict=True)]
    np.testing.assert_array_equal(edit_distances(texts, references), expected)


def test_distances_by_hand():
    texts = [list("kitten"), [], list("abc"), list("abc")]
    references = [list("sitting"), list("ab"), [], list("abc")]
    assert edit_distances(texts, references).tolist() == [3, 2, 3, 0]
    assert edit_distances([], []).tolist() == []


def test_the_token_error_rate_divides_by_the_tokens_of_the_references():
    """One token of five is missing, and one is too many."""
    rate = token_error_rate(["K AE T", "D AO G Z"], ["K AE T", "D G"])
    assert rate == pytest.approx(100 * 2 / 5)


def test_the_nearest_pronunciation_counts():
    several = [["T AH M EY T OW", "T AH M AA T OW"], "K AE T"]
    texts = ["T AH M AA T OW", "K AH T"]
    assert sequence_error_rate(texts, several) == 50.0
    assert token_error_rate(texts, several) == pytest.approx(100 * 1 / 9)


def test_of_equally_near_ones_the_longest_counts():
    errors, lengths = nearest_references(["A B"], [["A", "A B C"]])
    assert (errors.tolist(), lengths.tolist()) == ([1], [3])


def test_nothing_written_is_all_wrong():
    assert token_error_rate([""], ["A B"]) == 100.0
    assert sequence_error_rate([""], ["A B"]) == 100.0


@pytest.mark.parametrize("rate", [token_error_rate, sequence_error_rate])
@pytest.mark.parametrize(
    ("texts", "references", "message"),
    [
        (["A", "B"], ["A"], "Received: 2 texts, 1 references"),
        ([], [], "Received: 0 texts, 0 references"),
        (["A"], [[]], r"have a reference.*at position 0: \[\]"),
        (["A", "B"], ["A", " "], r"at position 1: \[' '\]"),
    ],
)
def test_missing_references_are_refused(rate, texts, references, message):
    with pytest.raises(ValueError, match=message):
        rate(texts, references)
    with pytest.raises(ValueError, match="Received: 1 texts, 0 references"):
        edit_distances(["A"], [])
