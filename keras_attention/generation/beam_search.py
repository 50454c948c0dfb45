"""Beam search: the most probable sequences of a model that writes token by token.

Letters: B batch, K beams, L length of the sequences, V vocabulary.
"""

import operator

from keras_attention.generation.decode import decode
from keras_attention.generation.samplers import BeamSearch
from keras_attention.generation.samplers import check_length_penalty


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
    ...     return keras.ops.broadcast_to(logits, (1, 3, 5)), state, None
    >>> token_ids, log_probabilities, _ = beam_search(
    ...     step, np.zeros((1, 1)), beam_width=3, max_length=1, start_id=1, end_id=2
    ... )
    >>> keras.ops.convert_to_numpy(token_ids)[0].tolist()
    [[2, 0], [3, 2], [4, 2]]
    >>> found = keras.ops.convert_to_numpy(log_probabilities).astype(float)
    >>> np.exp(found).round(3).tolist()
    [[0.5, 0.15, 0.1]]
    """
    check_search(beam_width, max_length, length_penalty)
    return decode(
        step,
        state,
        sampler=BeamSearch(operator.index(beam_width), length_penalty),
        max_length=operator.index(max_length) + 1,
        start_id=start_id,
        end_ids=(end_id,),
        padding_id=padding_id,
        forbidden_ids=tuple(forbidden_ids),
        must_end=True,
    )


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
    check_length_penalty(length_penalty)
