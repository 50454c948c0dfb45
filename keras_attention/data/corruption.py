"""Texts that are hidden in part, for models that learn to tell what is missing, and
texts that are read in a drawn order.

Letters: B sequences, T tokens.
"""

import numpy as np

from keras_attention.checks import check_positive

# The probability that a span is one longer (Joshi et al. 2020, Section 3.1).
LONGER = 0.8
# Of the tokens that are to be predicted (Devlin et al. 2019, Section 3.1, Task 1).
MASKED, REPLACED = 0.8, 0.1


def mask_tokens(
    token_ids,
    mask_id,
    vocabulary_size,
    special_ids=(),
    rate=0.15,
    words=None,
    max_span=None,
    padding_id=0,
    seed=0,
):
    """Chooses tokens that a model is to predict, and hides most of them.

    Devlin et al. 2019, arXiv:1810.04805, Section 3.1, Task 1: in each sequence 15% of
    the tokens are chosen. Of these 80% become `[MASK]`, 10% another token, drawn from
    all, and 10% stay, so that a model must make something of each token that it reads.
    Special tokens and padding are neither chosen nor drawn.

    Args:
        token_ids: Integers `(B, T)`.
        mask_id: Token id of `[MASK]`.
        vocabulary_size: Number of tokens.
        special_ids: Token ids of the other special tokens.
        rate: Share of the tokens that are chosen, above 0, at most 1; rounded, at least
            one of each sequence.
        words: Integers `(B, T)`, which word a token is of, to choose whole words until
            the share is reached: neighbours of one word have the same number.
        max_span: Choose spans of 1 to so many tokens, or words, in a row, until the
            share is reached. Each is one longer with a probability of 0.8 (Joshi et
            al. 2020, arXiv:1907.10529, Section 3.1, where `max_span` is 10, so that
            3.8 are chosen on average), and is hidden, replaced or left as a whole.
        padding_id: Token id of the padding.
        seed: Seed of the draw, an integer or several. The same seed hides the same.

    Returns:
        Three arrays `(B, T)`: the token ids with most of the chosen ones hidden, int32;
        the chosen ones as they were, and padding elsewhere, int32; and weights in
        float32, 1 for the chosen and 0 for the others.

    Raises:
        ValueError: `rate` or `max_span` is out of its range, the token ids are no
            integers `(B, T)`, `words` is of another shape, or there is no ordinary
            token.

    Example:

    >>> token_ids = np.array([[2, 10, 11, 12, 13, 14, 15, 3, 0]])  # [CLS] ... [SEP]
    >>> inputs, labels, weights = mask_tokens(
    ...     token_ids, mask_id=4, vocabulary_size=20, special_ids=[1, 2, 3], rate=0.3
    ... )
    >>> inputs.tolist()
    [[2, 10, 4, 11, 13, 14, 15, 3, 0]]
    >>> labels.tolist()
    [[0, 0, 11, 12, 0, 0, 0, 0, 0]]
    >>> weights.tolist()
    [[0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    token_ids = check_tokens(token_ids)
    if not 0 < rate <= 1:
        raise ValueError(
            f"`rate` must be above 0 and at most 1. Received: rate={rate!r}"
        )
    special = np.unique([mask_id, padding_id, *special_ids])
    ordinary = np.setdiff1d(np.arange(vocabulary_size), special)
    if not len(ordinary):
        raise ValueError(
            "There must be tokens that are not special. Received: vocabulary_size="
            f"{vocabulary_size}, special tokens {special.tolist()}."
        )
    generator = np.random.default_rng(seed)
    free = ~np.isin(token_ids, special)  # (B, T)
    count = np.maximum(np.rint(rate * free.sum(axis=1, keepdims=True)), 1)  # (B, 1)
    keys = np.where(free, generator.random(token_ids.shape), np.inf)
    first = np.arange(token_ids.shape[1])[None]  # where the word of a token begins
    if words is not None:
        first = first_of_words(words, token_ids.shape)
        keys = np.take_along_axis(keys, first, axis=1)
    if max_span is None:
        order = np.argsort(keys, axis=1, kind="stable")
        rank = np.argsort(order, axis=1)
        chosen = np.take_along_axis(rank < count, first, axis=1) & free
        draw = generator.random(token_ids.shape)
    else:
        check_positive(max_span=max_span)
        first = np.broadcast_to(first, token_ids.shape)
        starts = choose_spans(first, free, count[:, 0], max_span, generator)
        chosen = starts >= 0
        draw = np.take_along_axis(
            generator.random(token_ids.shape), np.maximum(starts, 0), axis=1
        )
    others = generator.choice(ordinary, token_ids.shape)
    inputs = np.where(chosen & (draw < MASKED), mask_id, token_ids)
    is_replaced = chosen & (MASKED <= draw) & (draw < MASKED + REPLACED)
    inputs = np.where(is_replaced, others, inputs).astype("int32")
    labels = np.where(chosen, token_ids, padding_id).astype("int32")
    return inputs, labels, chosen.astype("float32")


def first_of_words(words, shape):
    """The place of the first token of each token's word, `(B, T)`."""
    words = np.asarray(words)
    if words.shape != shape:
        raise ValueError(
            "`words` must have the shape of `token_ids`. Received: words.shape="
            f"{words.shape}, token_ids.shape={shape}"
        )
    begins = np.ones(shape, bool)
    begins[:, 1:] = words[:, 1:] != words[:, :-1]
    return np.maximum.accumulate(np.where(begins, np.arange(shape[1]), 0), axis=1)


def choose_spans(first, free, counts, max_span, generator):
    """Chooses spans of words until there are enough tokens.

    Args:
        first: Integers `(B, T)`, where the word of each token begins.
        free: Booleans `(B, T)`, whether a token may be chosen.
        counts: Integers `(B,)`, how many tokens are enough.
        max_span: Most words of a span.
        generator: NumPy generator.

    Returns:
        Integers `(B, T)`: where the span of a token begins, or -1 if it is in none.

    Example:

    >>> first = np.array([[0, 1, 1, 3, 4, 5]])
    >>> free = np.array([[False, True, True, True, True, False]])
    >>> generator = np.random.default_rng(1)
    >>> choose_spans(first, free, [3], max_span=2, generator=generator).tolist()
    [[-1, 1, 1, 3, 4, -1]]
    """
    lengths = np.arange(1, max_span + 1)
    probabilities = LONGER ** (lengths - 1)
    probabilities /= probabilities.sum()
    starts = np.full(first.shape, -1)
    for row, begin, is_free, count in zip(starts, first, free, counts, strict=True):
        words = np.unique(begin[is_free])  # where each begins
        left = list(generator.permutation(len(words)))
        while left and (row >= 0).sum() < count:
            start = left.pop()
            size = generator.choice(lengths, p=probabilities)
            for word in words[start : start + size]:
                is_over = (row >= 0).sum() >= count
                if is_over or not is_free[word] or row[word] >= 0:
                    break  # enough, or another span
                if word > words[start] and not is_free[words[start] : word].all():
                    break  # a special token stands between
                row[(begin == word) & is_free] = words[start]
    return starts


# How many tokens there are for each that is predicted, and the longest span of these
# (Yang et al. 2019, Section 3.1: K is 6, spans have up to 5 tokens).
CONTEXT, LONGEST_SPAN = 6, 5


def permute_tokens(
    token_ids,
    special_ids=(),
    context=CONTEXT,
    longest_span=LONGEST_SPAN,
    padding_id=0,
    seed=0,
):
    """Draws the order in which a model reads tokens, the last of which it predicts.

    Yang et al. 2019, arXiv:1906.08237, Sections 2.2 and 3.1: of each sequence a part,
    one of `context` tokens, is predicted. They are spans of 1 to `longest_span` tokens,
    each drawn within `context` times as many. All else is read from the beginning; the
    tokens of the spans come one by one, in any order, and each reads those before it.

    Args:
        token_ids: Integers `(B, T)`.
        special_ids: Token ids that are never predicted.
        context: How many tokens there are for each that is predicted.
        longest_span: Most tokens of a span.
        padding_id: Token id of the padding.
        seed: Seed of the draw, an integer or several.

    Returns:
        Dict of inputs: `permutation_mask` `(B, T, T)`, True where a token is read, and
        `target_positions` `(B, M)`, int32, with -1 where a sequence has fewer; the
        tokens there, `(B, M)`, int32, and padding; and weights `(B, M)` in float32,
        1 for a token and 0 for padding. M is T over `context`, rounded.

    Raises:
        ValueError: The token ids are no integers `(B, T)`, or a number is out of its
            range.

    Example:

    >>> token_ids = np.array([[10, 11, 12, 13, 14, 15, 4, 3]])  # ... <sep> <cls>
    >>> drawn, labels, weights = permute_tokens(token_ids, [3, 4], context=3)
    >>> drawn["target_positions"].tolist(), labels.tolist(), weights.tolist()
    ([[3, 4, -1]], [[13, 14, 0]], [[1.0, 1.0, 0.0]])
    >>> drawn["permutation_mask"][0, 4].astype(int).tolist()
    [1, 1, 1, 1, 0, 1, 1, 1]
    """
    token_ids = check_tokens(token_ids)
    for name, number in (("context", context), ("longest_span", longest_span)):
        if number < 1:
            raise ValueError(f"`{name}` must be 1 or more. Received: {name}={number}")
    generator = np.random.default_rng(seed)
    batch_size, length = token_ids.shape
    most = max(round(length / context), 1)
    free = ~np.isin(token_ids, np.unique([padding_id, *special_ids]))  # (B, T)
    rank = np.zeros((batch_size, length), "int64")  # 0 for what is read at first
    positions = np.full((batch_size, most), -1, "int32")
    for row in range(batch_size):
        places = np.flatnonzero(free[row])
        count = min(most, max(round(len(places) / context), 1), len(places))
        chosen = generator.permutation(
            places[draw_spans(len(places), count, context, longest_span, generator)]
        )
        rank[row, chosen] = 1 + np.arange(len(chosen))
        positions[row, : len(chosen)] = chosen
    is_read = (rank == 0)[:, None] | (rank[:, None] < rank[:, :, None])
    stands = positions >= 0
    labels = np.take_along_axis(token_ids, np.maximum(positions, 0), axis=1)
    labels = np.where(stands, labels, padding_id).astype("int32")
    drawn = {"permutation_mask": is_read, "target_positions": positions}
    return drawn, labels, stands.astype("float32")


def draw_spans(size, count, context, longest_span, generator):
    """Draws places in spans.

    Args:
        size: Number of places.
        count: How many are drawn.
        context: How many places there are for each that is drawn.
        longest_span: Most places of a span.
        generator: A NumPy generator.

    Returns:
        Integers `(count,)`, in ascending order.

    Example:

    >>> generator = np.random.default_rng(0)
    >>> draw_spans(20, 4, 5, 3, generator).tolist()
    [8, 9, 10, 16]
    """
    chosen, begin = np.zeros(size, bool), 0
    while chosen.sum() < count:
        if begin >= size:  # the spans that were drawn did not fill their share
            rest = np.flatnonzero(~chosen)
            chosen[generator.choice(rest, count - chosen.sum(), replace=False)] = True
            break
        span = min(generator.integers(1, longest_span + 1), count - chosen.sum())
        room = min(span * context, size - begin)
        span = min(span, room)
        first = begin + generator.integers(room - span + 1)
        chosen[first : first + span] = True
        begin += room
    return np.flatnonzero(chosen)


def check_tokens(token_ids):
    """Refuses what are no token ids, and gives them as an array."""
    token_ids = np.asarray(token_ids)
    if token_ids.ndim != 2 or token_ids.dtype.kind not in "ui":
        raise ValueError(
            "`token_ids` must be integers (B, T). Received: shape "
            f"{token_ids.shape}, {token_ids.dtype}."
        )
    return token_ids
