"""Small translations whose alignment is known: dates and numbers, as many as wanted.

Letters for axes: T target tokens, S source tokens.
"""

import datetime
import operator
import typing

import numpy as np

MONTHS = (
    "January February March April May June July August September October November "
    "December"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen "
    "fourteen fifteen sixteen seventeen eighteen nineteen"
).split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

# How a date is written: weekday (a), short weekday (A), day (d), month (m), short
# month (M), month as a number (n), year (y); the rest stands for itself.
DATE_FORMS = ("d m y", "m d, y", "a d m y", "A, M d, y", "d M y", "n/d/y", "d.n.y")


class AlignedPair(typing.NamedTuple):
    """A source, its translation, and which token comes from which.

    Attributes:
        source: List of S strings.
        target: List of T strings.
        alignment: bool `(T, S)`, True where the source token tells the target token.
            A row without any stands for a token that no source token tells.
    """

    source: list
    target: list
    alignment: np.ndarray


def human_dates(count, seed=0, first_year=1900, last_year=2099):
    """Dates as people write them, and in ISO 8601, character by character.

    The order changes: the year comes first, and the weekday is not read at all.
    `Vocabulary(..., split="characters")` encodes `"".join(pair.source)`.

    Args:
        count: Number of pairs.
        seed: Seed of the draw. The same seed gives the same dates.
        first_year: Earliest year, from 1000.
        last_year: Latest year, to 9999.

    Returns:
        List of `AlignedPair`.

    Raises:
        ValueError: A number is out of its range.

    Example:

    >>> pair = human_dates(1, seed=2)[0]
    >>> "".join(pair.source), "".join(pair.target)
    ('July 8, 2067', '2067-07-08')
    """
    check_count(count)
    if not 1000 <= first_year <= last_year <= 9999:
        raise ValueError(
            "The years must be from 1000 to 9999, in order. Received: "
            f"first_year={first_year!r}, last_year={last_year!r}"
        )
    first = datetime.date(first_year, 1, 1).toordinal()
    last = datetime.date(last_year, 12, 31).toordinal()
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        day = datetime.date.fromordinal(int(generator.integers(first, last + 1)))
        form = DATE_FORMS[generator.integers(len(DATE_FORMS))]
        pairs.append(align_date(day, form))
    return pairs


def align_date(day, form):
    """The pair of a date, written in one of `DATE_FORMS`."""
    month, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    parts = {
        "a": weekday,
        "A": weekday[:3],
        "d": str(day.day),
        "m": month,
        "M": month[:3],
        "n": str(day.month),
        "y": f"{day.year:04}",
    }
    source, places = "", {}
    for letter in form:
        part = parts.get(letter, letter)
        places[letter] = range(len(source), len(source) + len(part))
        source += part
    target = day.isoformat()
    alignment = np.zeros((len(target), len(source)), bool)
    for row, place in zip(range(4), places["y"], strict=True):
        alignment[row, place] = True
    if "n" in form:
        align_number(alignment, (5, 6), places["n"])
    else:  # both digits are told by the name
        name = places["m" if "m" in form else "M"]
        alignment[5:7, name.start : name.stop] = True
    align_number(alignment, (8, 9), places["d"])
    return AlignedPair(list(source), list(target), alignment)


def align_number(alignment, rows, places):
    """Two digits from a number of one or two; that it has one tells the zero."""
    for row, place in zip(rows, (places[0], places[-1]), strict=True):
        alignment[row, place] = True


def number_words(count, seed=0, max_digits=6):
    """Numbers in English words, and in digits.

    A digit is told by a word ("forty" the 4 of 42), two by one ("twelve"), and zeros
    by none ("two hundred"). Numbers of each length are equally frequent.

    Args:
        count: Number of pairs.
        seed: Seed of the draw. The same seed gives the same numbers.
        max_digits: Most digits of a number, from 1 to 9.

    Returns:
        List of `AlignedPair`.

    Raises:
        ValueError: A number is out of its range.

    Example:

    >>> pair = align_number_words(2042)
    >>> pair.source, pair.target
    (['two', 'thousand', 'forty', 'two'], ['2', '0', '4', '2'])
    >>> pair.alignment.astype(int).tolist()
    [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    """
    check_count(count)
    if not 1 <= operator.index(max_digits) <= 9:
        raise ValueError(
            f"`max_digits` must be from 1 to 9. Received: max_digits={max_digits!r}"
        )
    generator = np.random.default_rng(seed)
    pairs = []
    for _ in range(count):
        digits = int(generator.integers(1, max_digits + 1))
        lowest = 0 if digits == 1 else 10 ** (digits - 1)
        pairs.append(align_number_words(int(generator.integers(lowest, 10**digits))))
    return pairs


def align_number_words(number):
    """The pair of a number from 0 to 999,999,999."""
    target = str(number)
    said = []  # (word, the positions from the right of the digits that it tells)
    if number == 0:
        said.append((ONES[0], (0,)))
    for power, unit in ((6, "million"), (3, "thousand"), (0, None)):
        group = number // 10**power % 1000
        hundreds, rest = divmod(group, 100)
        if hundreds:
            said += [(ONES[hundreds], (power + 2,)), ("hundred", ())]
        if 10 <= rest < 20:
            said.append((ONES[rest], (power + 1, power)))
        else:
            if rest >= 20:
                said.append((TENS[rest // 10 - 2], (power + 1,)))
            if rest % 10:
                said.append((ONES[rest % 10], (power,)))
        if group and unit:
            said.append((unit, ()))
    alignment = np.zeros((len(target), len(said)), bool)
    for column, (_, positions) in enumerate(said):
        for position in positions:
            alignment[len(target) - 1 - position, column] = True
    return AlignedPair([word for word, _ in said], list(target), alignment)


def check_count(count):
    if operator.index(count) < 1:
        raise ValueError(f"`count` must be 1 or more. Received: count={count}")
