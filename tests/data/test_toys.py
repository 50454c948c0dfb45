"""Toys: their translations are right, and their alignments by hand."""

import datetime

import numpy as np
import pytest

from keras_attention.data import human_dates
from keras_attention.data import number_words
from keras_attention.data.toys import align_date
from keras_attention.data.toys import align_number_words
from keras_attention.data.toys import DATE_FORMS

pytestmark = pytest.mark.once


def pointed(pair):
    """What each target token comes from, as one text."""
    return [
        "".join(s for s, yes in zip(pair.source, row, strict=True) if yes)
        for row in pair.alignment
    ]


@pytest.mark.parametrize(
    ("form", "source", "month"),
    [
        ("d m y", "5 March 1998", "March"),
        ("n/d/y", "3/5/1998", "3"),
        ("A, M d, y", "Thu, Mar 5, 1998", "Mar"),
    ],
)
def test_a_date_is_aligned_by_hand(form, source, month):
    pair = align_date(datetime.date(1998, 3, 5), form)
    assert "".join(pair.source) == source
    assert "".join(pair.target) == "1998-03-05"
    assert pair.alignment.shape == (10, len(source))
    assert pointed(pair) == [*"1998", "", month, month, "", "5", "5"]


def test_two_digits_come_from_two():
    pair = align_date(datetime.date(2024, 12, 31), "d.n.y")
    assert "".join(pair.source) == "31.12.2024"
    assert pointed(pair) == ["2", "0", "2", "4", "", "1", "2", "", "3", "1"]
    columns = pair.alignment[[5, 6, 8, 9]].argmax(axis=1)
    assert columns.tolist() == [3, 4, 0, 1]


def test_every_form_tells_the_whole_date():
    for form in DATE_FORMS:
        pair = align_date(datetime.date(1998, 3, 5), form)
        told = pair.alignment.any(axis=1)
        assert told.tolist() == [character != "-" for character in pair.target]


def test_dates_are_of_the_years_asked_for():
    pairs = human_dates(50, seed=1, first_year=1990, last_year=1991)
    years = {"".join(pair.target[:4]) for pair in pairs}
    assert years == {"1990", "1991"}


@pytest.mark.parametrize(
    ("number", "words", "origin"),
    [
        (0, "zero", ["zero"]),
        (12, "twelve", ["twelve", "twelve"]),
        (42, "forty two", ["forty", "two"]),
        (200, "two hundred", ["two", "", ""]),
        (
            310_007,
            "three hundred ten thousand seven",
            ["three", "ten", "ten", "", "", "seven"],
        ),
        (1_000_090, "one million ninety", ["one", "", "", "", "", "ninety", ""]),
    ],
)
def test_a_number_is_aligned_by_hand(number, words, origin):
    pair = align_number_words(number)
    assert " ".join(pair.source) == words
    assert "".join(pair.target) == str(number)
    assert pointed(pair) == origin


def test_numbers_have_all_lengths_up_to_the_longest():
    lengths = {len(pair.target) for pair in number_words(100, max_digits=4)}
    assert lengths == {1, 2, 3, 4}


@pytest.mark.parametrize("make", [human_dates, number_words])
def test_the_seed_decides(make):
    def texts(seed):
        return ["".join(pair.source) for pair in make(20, seed=seed)]

    assert texts(3) == texts(3) != texts(4)
    np.testing.assert_array_equal(make(1)[0].alignment, make(1)[0].alignment)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: human_dates(0), "`count` must be 1 or more. Received: count=0"),
        (
            lambda: number_words(1, max_digits=10),
            "from 1 to 9. Received: max_digits=10",
        ),
        (lambda: human_dates(1, last_year=10_000), "1000 to 9999.*last_year=10000"),
    ],
)
def test_numbers_out_of_range_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
