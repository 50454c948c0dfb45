"""How far texts are from what they should be, counted in tokens between spaces.

Letters for axes: n texts, I tokens of a text, J of a reference.
"""

import numpy as np


def edit_distances(texts, references):
    """The fewest tokens to insert, delete or replace to come from one text to another.

    Levenshtein 1966. All pairs are computed at a time, row by row of the table.

    Args:
        texts: List of n lists of tokens.
        references: List of n lists of tokens.

    Returns:
        Integers `(n,)`.

    Raises:
        ValueError: The lists differ in length.

    Example:

    >>> edit_distances([list("kitten"), list("")], [list("sitting"), list("ab")])
    array([3, 2])
    """
    if len(texts) != len(references):
        raise ValueError(
            "There must be one reference for each text. Received: "
            f"{len(texts)} texts, {len(references)} references."
        )
    number = {}
    rows, columns = (
        [[number.setdefault(token, len(number)) for token in text] for text in several]
        for several in (texts, references)
    )
    lengths, widths = (
        np.array([len(row) for row in several], int) for several in (rows, columns)
    )
    rows, columns = pad(rows, -1), pad(columns, -2)  # (n, I), (n, J)
    places = np.arange(columns.shape[1] + 1)
    table = np.repeat(places[None], len(texts), axis=0)  # (n, J + 1)
    distances = widths.copy()  # of texts without tokens
    for i in range(rows.shape[1]):
        replaced = table[:, :-1] + (columns != rows[:, i : i + 1])
        best = np.minimum(table[:, 1:] + 1, replaced)
        best = np.concatenate([np.full((len(table), 1), i + 1), best], axis=1)
        # Insertions run along the row: the least of best[k] + (j - k) over k <= j.
        table = np.minimum.accumulate(best - places, axis=1) + places
        ended = lengths == i + 1
        distances[ended] = table[ended, widths[ended]]
    return distances


def pad(rows, value):
    width = max((len(row) for row in rows), default=0)
    padded = np.full((len(rows), width), value)
    for line, row in zip(padded, rows, strict=True):
        line[: len(row)] = row
    return padded


def nearest_references(texts, references):
    """The errors of each text, against the nearest of its references.

    Args:
        texts: List of n strings, tokens between spaces.
        references: List of n strings, or of n lists of strings where several texts
            would be right.

    Returns:
        The edit distances `(n,)`, and the numbers of tokens `(n,)` of the references
        to which they were measured: of equally near ones the longest.

    Raises:
        ValueError: There is not one reference, or list of them, for each text.

    Example:

    >>> errors, lengths = nearest_references(["T AH M"], [["T AA M", "T AH M AH"]])
    >>> errors.tolist(), lengths.tolist()
    ([1], [4])
    """
    if len(texts) != len(references) or not len(texts):
        raise ValueError(
            "There must be one reference, or one list of them, for each text. "
            f"Received: {len(texts)} texts, {len(references)} references."
        )
    several = [[r] if isinstance(r, str) else list(r) for r in references]
    for i, right in enumerate(several):
        if not right or not all(reference.split() for reference in right):
            raise ValueError(
                "Each text must have a reference with a token. Received at position "
                f"{i}: {right}"
            )
    index = np.repeat(np.arange(len(texts)), [len(right) for right in several])
    flat = [reference.split() for right in several for reference in right]
    split = [text.split() for text in texts]
    distances = edit_distances([split[i] for i in index], flat)
    lengths = np.array([len(reference) for reference in flat])
    # Sorted by text, then by distance, then by falling length: the first of each text.
    order = np.lexsort((-lengths, distances, index))
    first = order[np.searchsorted(index[order], np.arange(len(texts)))]
    return distances[first], lengths[first]


def token_error_rate(texts, references):
    """How many tokens are wrong, in percent of those of the references.

    The tokens to insert, delete or replace, divided by the tokens of the references.
    Of phonemes it is called phoneme error rate, of words word error rate. It can be
    more than 100. Where a text has several references the nearest counts.

    Args:
        texts: List of n strings, tokens between spaces.
        references: List of n strings, or of n lists of strings where several texts
            would be right.

    Returns:
        A number from 0.

    Raises:
        ValueError: There is not one reference, or list of them, for each text.

    Example:

    >>> token_error_rate(["K AE T", "D AO"], [["K AE T", "K AH T"], "D AO G"])
    16.666666666666668
    """
    errors, lengths = nearest_references(texts, references)
    return float(100 * errors.sum() / lengths.sum())


def sequence_error_rate(texts, references):
    """How many texts have an error, in percent.

    Of words that are written in phonemes it is called word error rate. Where a text
    has several references it is right if it is one of them.

    Args:
        texts: List of n strings, tokens between spaces.
        references: List of n strings, or of n lists of strings where several texts
            would be right.

    Returns:
        A number from 0 to 100.

    Raises:
        ValueError: There is not one reference, or list of them, for each text.

    Example:

    >>> sequence_error_rate(["K AE T", "D AO"], [["K AE T", "K AH T"], "D AO G"])
    50.0
    """
    errors, _ = nearest_references(texts, references)
    return float(100 * np.mean(errors > 0))
