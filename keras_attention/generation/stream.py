"""Texts while they are written: what is told of them, and what stops them."""

# What stands for the bytes of half a character.
HALF = "\ufffd"


class Stream:
    """Follows the texts of a call, token by token.

    It hands over what is new only when nothing can take it back: half of a character
    waits for the rest, and so does what may be the beginning of a stop sequence. What
    was handed over, joined, is what comes out.

    Args:
        count: B.
        rules: `Rules`.
        decode: Function of a list of token ids that returns a string, or `None` where
            texts are token ids.
        stop_texts: Strings that end a text.
        callback: Function of a list of B strings or lists of token ids, or `None`.

    Example:

    >>> from keras_attention.generation.decode import Rules
    >>> stream = Stream(1, Rules(), "".join, ["c!"], print)
    >>> stream.look([0], [["a", "c"]], [False])
    ['a']
    [False]
    >>> stream.look([0], [["a", "c", "b", "c", "!"]], [False])
    ['cb']
    [True]
    """

    def __init__(self, count, rules, decode=None, stop_texts=(), callback=None):
        self._rules = rules
        self._decode = decode
        self._stop_texts = stop_texts
        self._callback = callback
        self._nothing = [] if decode is None else ""
        self._told = [self._nothing] * count

    @property
    def is_needed(self):
        """Whether someone listens, or strings stop a text."""
        return self._callback is not None or bool(self._stop_texts)

    def read(self, token_ids):
        """What comes out for the new tokens of a text that is over.

        Args:
            token_ids: List of integers.

        Returns:
            A string, or without `decode` a list of integers.
        """
        token_ids = strip_end(token_ids, self._rules)
        if self._decode is None:
            return token_ids
        text = self._decode(token_ids) if token_ids else ""
        return cut_at(text, self._stop_texts)

    def look(self, numbers, rows, are_over):
        """Tells what was written so far.

        Args:
            numbers: Which of the B texts these are. Of a number that comes twice the
                first counts.
            rows: The new tokens of each, lists of integers.
            are_over: Whether each ended.

        Returns:
            List of booleans, whether a string stops the text.
        """
        parts = [self._nothing] * len(self._told)
        stopped = {}
        for number, row, is_over in zip(numbers, rows, are_over, strict=True):
            if number in stopped:
                continue
            text, stopped[number] = self._read_so_far(row, is_over)
            before = self._told[number]
            if text[: len(before)] == before:
                parts[number] = text[len(before) :]
                self._told[number] = text
        if self._callback is not None and len(parts):
            self._callback(parts)
        return [stopped[number] for number in numbers]

    def _read_so_far(self, row, is_over):
        """What is certain of a text, and whether a string stops it."""
        if is_over:
            return self.read(row), True
        if self._decode is None:
            return without_start_of(self._rules.stop_sequences, row), False
        text = self._decode(row) if row else ""
        cut = cut_at(text, self._stop_texts)
        if cut != text:
            return cut, True
        row = without_start_of(self._rules.stop_sequences, row)
        text = self._decode(row).rstrip(HALF) if row else ""
        return without_start_of(self._stop_texts, text), False


def strip_end(token_ids, rules):
    """Leaves out what ended a sequence.

    Args:
        token_ids: List of the new token ids.
        rules: `Rules`.

    Returns:
        A list.

    Example:

    >>> from keras_attention.generation.decode import Rules
    >>> strip_end([5, 6, 2], Rules(end_ids=(2,)))
    [5, 6]
    """
    if token_ids and token_ids[-1] in rules.end_ids:
        return token_ids[:-1]
    for sequence in rules.stop_sequences:
        if tuple(token_ids[-len(sequence) :]) == sequence:
            return token_ids[: -len(sequence)]
    return token_ids


def cut_at(text, stops):
    """The text before the first of some strings.

    Args:
        text: A string.
        stops: Strings.

    Returns:
        A string.

    Example:

    >>> cut_at("one. two. three", [" three", ". "])
    'one'
    """
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return text[: min(places)] if places else text


def without_start_of(stops, text):
    """The text without what may go on to be one of some stop sequences.

    Args:
        stops: Strings, or tuples of integers.
        text: A string, or a list of integers.

    Returns:
        The text up to there.

    Example:

    >>> without_start_of(["<end>", "e!"], "one<e")
    'one'
    >>> without_start_of([(5, 6, 7)], [4, 5, 6])
    [4]
    """
    for count in range(max(map(len, stops), default=1) - 1, 0, -1):
        tail = text[-count:]
        tail = tail if isinstance(text, str) else tuple(tail)
        if len(tail) == count and any(stop[:count] == tail for stop in stops):
            return text[:-count]
    return text


def with_prompt(decode, prompt, new, text):
    """A whole text, cut where that of the new tokens was.

    Args:
        decode: Function from a list of token ids to a string.
        prompt: Token ids of the prompt.
        new: Those of what was written.
        text: The text of these, which a stop sequence may have cut.

    Returns:
        A string.

    Example:

    >>> with_prompt(lambda ids: "".join("abc"[i] for i in ids), [0], [1, 2], "b")
    'ab'
    """
    whole = decode([*prompt, *new])
    missing = len(decode(new) if new else "") - len(text)
    return whole[: len(whole) - missing]
