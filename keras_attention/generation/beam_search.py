"""Beam search: the most probable sequences of a model that writes token by token.

Letters: B batch, K beams, L length of the sequences, V vocabulary.
"""

import operator

import keras
from keras import ops

IMPOSSIBLE = float("-inf")


def beam_search(
    step,
    state,
    *,
    beam_width,
    max_length,
    start_id,
    end_id,
    padding_id=0,
    forbidden_ids=(),
    length_penalty=0.0,
):
    """Searches for the most probable sequences, K at a time.

    A sequence ends with `end_id`. From then on it is frozen: it keeps its probability,
    is followed by padding, and competes with those that go on. After `max_length`
    tokens only the end may follow, so each sequence has one. The search stops when all
    are frozen. One beam is greedy search; with as many beams as there are sequences
    the most probable one is found.

    Sequences are compared by log p / ((5 + n) / 6)^length_penalty, n being the number
    of tokens, the end included (Wu et al. 2016, arXiv:1609.08144, Equation 14).

    Args:
        step: Function of the token ids `(B, K)` written last and of the state. It
            returns the logits `(B, K, V)` of the next token, the next state, and a
            tensor `(B, K, ...)` of which each step is to be kept, or `None`.
        state: Nested structure of tensors `(B, 1, ...)`, the state before the start.
        beam_width: K.
        max_length: Most tokens of a sequence, without the end.
        start_id: Token id that precedes the first token.
        end_id: Token id that ends a sequence.
        padding_id: Token id that follows the end.
        forbidden_ids: Token ids that are never written.
        length_penalty: 0 compares log-probabilities; more favours longer sequences.

    Returns:
        Token ids `(B, K, L)` with L = `max_length` + 1, the best sequence first; their
        log-probabilities `(B, K)`, minus infinity for beams without a sequence; and
        what was kept, `(B, K, L, ...)`, zero after the end, or `None`.

    Raises:
        ValueError: `beam_width`, `max_length` or `length_penalty` is out of its range.

    Example:

    A model that ends, or writes 3 or 4, whatever was before:

    >>> def step(token_ids, state):
    ...     logits = np.log([[[1e-9, 1e-9, 0.5, 0.3, 0.2]]]).astype("float32")
    ...     return ops.broadcast_to(logits, (1, 3, 5)), state, None
    >>> token_ids, log_probabilities, _ = beam_search(
    ...     step, np.zeros((1, 1)), beam_width=3, max_length=1, start_id=1, end_id=2
    ... )
    >>> ops.convert_to_numpy(token_ids)[0].tolist()
    [[2, 0], [3, 2], [4, 2]]
    >>> np.exp(ops.convert_to_numpy(log_probabilities).astype(float)).round(3).tolist()
    [[0.5, 0.15, 0.1]]
    """
    check_search(beam_width, max_length, length_penalty)
    length = max_length + 1
    batch_size = ops.shape(keras.tree.flatten(state)[0])[0]
    everyone = ops.zeros((batch_size, beam_width), "int32")  # (B, K)
    places = ops.arange(length, dtype="int32")  # (L,)

    def next_log_probabilities(logits, ended, t):
        """What each token adds to log p: `(B, K, V)`."""
        tokens = ops.arange(logits.shape[-1], dtype="int32")  # (V,)

        def only(token_id):
            return ops.where(ops.equal(tokens, token_id), 0.0, IMPOSSIBLE)  # (V,)

        added = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
        for token_id in forbidden_ids:
            added = ops.where(ops.equal(tokens, token_id), IMPOSSIBLE, added)
        added = ops.where(ops.equal(t, max_length), added + only(end_id), added)
        return ops.where(ended[:, :, None], only(padding_id), added)

    def advance(t, token_ids, state, log_p, lengths, ended, sequences, kept):
        logits, state, keep = step(token_ids, state)
        added = next_log_probabilities(logits, ended, t)
        candidates = log_p[:, :, None] + added  # (B, K, V)
        lengths = lengths + ops.cast(ops.logical_not(ended), "int32")  # (B, K)
        penalty = ((5.0 + ops.cast(lengths, "float32")) / 6.0) ** length_penalty
        ranks = candidates / penalty[:, :, None]

        # The best K of the K V candidates, each with the beam it continues.
        size = logits.shape[-1]
        _, chosen = ops.top_k(ops.reshape(ranks, (-1, beam_width * size)), beam_width)
        chosen = ops.cast(chosen, "int32")  # (B, K)
        parents, token_ids = chosen // size, chosen % size
        log_p = _take(ops.reshape(candidates, (-1, beam_width * size, 1)), chosen)
        if keep is None:
            kept = ()
        else:
            keep = _mask(ops.logical_not(ended), keep)[:, :, None]  # (B, K, 1, ...)
            if kept is None:
                kept = ops.zeros_like(ops.repeat(keep, length, axis=2))
            here = ops.reshape(
                ops.equal(places, t), (-1,) + (1,) * (len(keep.shape) - 3)
            )
            kept = ops.where(here, keep, kept)  # (B, K, L, ...)

        state, lengths, ended, sequences, kept = keras.tree.map_structure(
            lambda x: _take(x, parents), (state, lengths, ended, sequences, kept)
        )
        sequences = ops.where(ops.equal(places, t), token_ids[:, :, None], sequences)
        ended = ops.logical_or(ended, ops.equal(token_ids, end_id))
        return t + 1, token_ids, state, log_p[..., 0], lengths, ended, sequences, kept

    first = ops.arange(beam_width, dtype="int32") == 0
    loop = advance(
        ops.convert_to_tensor(0, dtype="int32"),
        everyone + start_id,
        keras.tree.map_structure(lambda x: ops.repeat(x, beam_width, axis=1), state),
        ops.where(first, 0.0, IMPOSSIBLE) + ops.cast(everyone, "float32"),
        everyone,
        ops.not_equal(everyone, 0),
        ops.repeat(everyone[:, :, None], length, axis=2) + padding_id,
        None,
    )
    loop = ops.while_loop(
        lambda t, *rest: ops.logical_and(
            ops.less(t, length), ops.logical_not(ops.all(rest[4]))
        ),
        advance,
        loop,
    )
    _, _, _, log_p, _, _, sequences, kept = loop
    return sequences, log_p, None if isinstance(kept, tuple) else kept


def check_search(beam_width, max_length, length_penalty):
    """Refuses numbers with which there is nothing to search."""
    for name, number in (("beam_width", beam_width), ("max_length", max_length)):
        try:
            wrong = isinstance(number, bool) or operator.index(number) < 1
        except TypeError:
            wrong = True
        if wrong:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={number!r}"
            )
    if not length_penalty >= 0:
        raise ValueError(
            "`length_penalty` must not be negative: 0 compares log-probabilities, 1 "
            f"almost their means. Received: length_penalty={length_penalty!r}"
        )


def _take(x, index):
    """The entries `(B, K, ...)` of `x` `(B, N, ...)` that `index` `(B, K)` names."""
    size = x.shape[1]
    offsets = ops.arange(ops.shape(x)[0], dtype="int32")[:, None] * size
    return ops.take(ops.reshape(x, (-1, *x.shape[2:])), index + offsets, axis=0)


def _mask(mask, x):
    """`x` `(B, K, ...)` where `mask` `(B, K)` is true, else zero."""
    mask = ops.reshape(mask, (-1, *mask.shape[1:], *(1,) * (len(x.shape) - 2)))
    return ops.where(mask, x, ops.zeros_like(x))
