"""Sentences and their translations from files, cleaned."""

import pathlib
import unicodedata

from keras_attention.data.captions import read_text
from keras_attention.tokenizers.vocabulary import shorten


def load_sentence_pairs(
    path,
    target_path=None,
    max_length=None,
    max_ratio=None,
    distinct=False,
):
    """Reads sentences and their translations.

    Args:
        path: A file in UTF-8 with a pair on each line, `source<TAB>target`; more
            columns are left alone, as in the files of Tatoeba. With `target_path`
            (the form of Moses) a file with a source sentence on each line.
        target_path: The file with the translation of each line of `path`.
        max_length: Leave out pairs with more words on a side (as split by spaces).
        max_ratio: Leave out pairs of which one side has more than this many times as
            many words as the other, such as 2.0.
        distinct: Leave out a pair that came before.

    Returns:
        List of `(source, target)`, in the order of the file, in NFC and with single
        spaces.

    Raises:
        ValueError: A file is empty or not in UTF-8, a line has no tab or an empty
            side, the files differ in their number of lines, a limit is out of its
            range, or nothing is left. The message names the line.
        FileNotFoundError: There is no such file.

    Example:

    >>> import pathlib
    >>> text = "the red car\\tla voiture rouge\\na cat\\tun chat\\n"
    >>> _ = pathlib.Path("pairs.tsv").write_text(text)
    >>> load_sentence_pairs("pairs.tsv")
    [('the red car', 'la voiture rouge'), ('a cat', 'un chat')]
    """
    if max_length is not None and not max_length >= 1:
        raise ValueError(
            "`max_length` must be a number of words from 1, or None. Received: "
            f"max_length={max_length!r}"
        )
    if max_ratio is not None and not max_ratio >= 1:
        raise ValueError(
            "`max_ratio` must be at least 1, or None. Received: "
            f"max_ratio={max_ratio!r}"
        )
    path = pathlib.Path(path)
    if target_path is None:
        pairs = read_tsv(path)
    else:
        pairs = read_moses(path, pathlib.Path(target_path))
    kept = [pair for pair in pairs if fits(pair, max_length, max_ratio)]
    if distinct:
        kept = list(dict.fromkeys(kept))
    if not kept:
        raise ValueError(
            f"None of the {len(pairs)} pairs of '{path}' is left. Raise `max_length` "
            f"or `max_ratio`. Received: max_length={max_length}, max_ratio={max_ratio}"
        )
    return kept


def read_lines(path):
    """The lines of a file, without the last when nothing follows it."""
    lines = read_text(path).replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return lines


def read_tsv(path):
    pairs = []
    for number, line in enumerate(read_lines(path), start=1):
        columns = line.split("\t")
        if len(columns) < 2:
            raise ValueError(
                f"'{path}', line {number}: expected source<TAB>target. Received: "
                f"{shorten(line)}. Separate the two by a tab, and leave empty lines "
                "out. Two files, a sentence a line, are read with `target_path`."
            )
        pair = tuple(tidy(column) for column in columns[:2])
        check_pair(pair, f"'{path}', line {number}")
        pairs.append(pair)
    return pairs


def read_moses(path, target_path):
    sources, targets = read_lines(path), read_lines(target_path)
    if len(sources) != len(targets):
        raise ValueError(
            f"'{path}' has {len(sources)} lines, '{target_path}' has {len(targets)}. "
            "Line n of the second must be the translation of line n of the first."
        )
    pairs = []
    for number, pair in enumerate(zip(sources, targets, strict=True), start=1):
        pair = tuple(tidy(sentence) for sentence in pair)
        if not any(pair):
            continue  # empty on both sides: some corpora part documents so
        check_pair(pair, f"'{path}' and '{target_path}', line {number}")
        pairs.append(pair)
    if not pairs:
        raise ValueError(f"There are no sentences in '{path}'.")
    return pairs


def tidy(sentence):
    return " ".join(unicodedata.normalize("NFC", sentence).split())


def check_pair(pair, where):
    for side, sentence in zip(("source", "target"), pair, strict=True):
        if not sentence:
            raise ValueError(
                f"{where}: the {side} is empty. Received: {shorten(pair)}. Leave the "
                "pair out."
            )


def fits(pair, max_length, max_ratio):
    """Whether neither side is too long, by itself or beside the other."""
    shorter, longer = sorted(len(sentence.split()) for sentence in pair)
    if max_length is not None and longer > max_length:
        return False
    return max_ratio is None or longer <= max_ratio * shorter
