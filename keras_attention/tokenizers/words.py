"""How a text is split into units, and where each of them stands in it."""

import functools
import itertools
import re
import unicodedata

# How a text is split into the units that have an id.
SPLITS = ("words", "characters", "spaces")

# Chinese characters and Japanese kana: written without spaces, so each is a word.
UNSPACED = "\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"

# The same as `word_pattern` on ASCII, four times as fast.
ASCII_WORD = re.compile("[a-z0-9]+(?:[-'.][a-z0-9]+)*|[#*&+%$@=]")


@functools.cache
def word_pattern():
    # `\w` leaves out the marks that combine with a letter (accents written apart,
    # vowels of Arabic or Hindi): a word keeps them. All of them lie below U+20000.
    marks = "".join(
        chr(code)
        for code in range(0x20000)
        if unicodedata.category(chr(code)).startswith("M")
    )
    letter = f"(?:[^\\W_{UNSPACED}]|[{marks}])"
    # Inside a word: hyphens, the apostrophe, a point and the (non-)joiners.
    inside = "[-\u2010\u2011'.\u200c\u200d]"
    return re.compile(f"[{UNSPACED}]|{letter}+(?:{inside}{letter}+)*|[#*&+%$€£@=]")


def split_words(caption):
    """Splits a caption into its words, in lower case.

    A word is a run of letters and digits. Hyphens, apostrophes and points inside it
    belong to it (`medium-dark`, `o'clock`, `u.s`), and the signs `# * & + % $ € £ @ =`
    are words of their own; other punctuation is dropped. A Chinese or Japanese
    character is one word. The same letter written in two ways (`é` as one character
    or as `e` with a combining accent, `’` or `'`) gives the same word.

    Args:
        caption: A string.

    Returns:
        List of strings, empty when there is no word.

    Example:

    >>> split_words("A woman's hand, medium-dark (10 o’clock)!")
    ['a', "woman's", 'hand', 'medium-dark', '10', "o'clock"]
    """
    if caption.isascii():
        return ASCII_WORD.findall(caption.lower())
    return word_pattern().findall(plain_text(caption, "words"))


def split_text(text, split):
    """Splits a text into units.

    Args:
        text: A string.
        split: `"words"`, `"characters"` or `"spaces"`, see `Vocabulary`.

    Returns:
        List of strings.
    """
    if split == "words":
        return split_words(text)
    text = plain_text(text, split)
    return list(text) if split == "characters" else text.split()


def locate_units(text, split):
    """Where the units of a text stand in it.

    Args:
        text: A string.
        split: As for `split_text`.

    Returns:
        List of pairs, the place of the first character of each unit and that behind
        its last.

    Example:

    >>> locate_units("A cafe\u0301!", "words")
    [(0, 1), (2, 7)]
    """
    clusters = list(split_clusters(text))
    plain = [plain_text(cluster, split) for cluster in clusters]
    # Where the cluster stands that a character of the plain text comes from.
    ends = itertools.accumulate(map(len, clusters))
    places = [
        (end - len(cluster), end)
        for cluster, part, end in zip(clusters, plain, ends, strict=True)
        for _ in part
    ]
    pattern = {
        "words": word_pattern(),
        "characters": re.compile(".", re.DOTALL),
        "spaces": re.compile(r"\S+"),
    }[split]
    found = pattern.finditer("".join(plain))
    return [(places[m.start()][0], places[m.end() - 1][1]) for m in found]


def split_clusters(text):
    """The characters of a text with the marks that may combine with them."""
    begin = 0
    for i, character in enumerate(text):
        is_jamo = "\u1160" <= character <= "\u11ff"  # joins the syllable before it
        joins = is_jamo or unicodedata.category(character).startswith("M")
        if i > begin and not joins:
            yield text[begin:i]
            begin = i
    if text:
        yield text[begin:]


def plain_text(text, split):
    """A text as its units are looked for."""
    text = unicodedata.normalize("NFC", text)
    if split == "words":
        text = text.lower().replace("\u2019", "'")
    return unicodedata.normalize("NFC", text)
