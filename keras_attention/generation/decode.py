"""The loop that writes token by token: what may follow, what is chosen, what is kept.

Letters: B batch, K beams, S slots of the sequences with their prompts, L new tokens,
V vocabulary.
"""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_attention.backend.constants import constant
from keras_attention.backend.programs import while_loop
from keras_attention.checks import check_positive
from keras_attention.generation.samplers import get_sampler
from keras_attention.generation.samplers import IMPOSSIBLE

# In a slot of a sequence that holds no token.
NOTHING = -1


@dataclasses.dataclass(frozen=True)
class Rules:
    """What may follow, and when a sequence ends.

    Args:
        end_ids: Token ids that end a sequence.
        padding_id: Token id that follows the end.
        forbidden_ids: Token ids that are never written.
        min_length: Tokens that are written before one may end.
        repetition_penalty: What logits of tokens that were there are divided by, and
            if negative multiplied (Keskar et al. 2019, arXiv:1909.05858, Section 4.1).
            1 changes nothing.
        no_repeat_ngram_size: So many tokens in a row never come twice (Paulus et al.
            2017, arXiv:1705.04304, Section 2.5). 0 forbids nothing.
        stop_sequences: Tuples of token ids that end a sequence.
        must_end: Whether the last token is an end.
        with_log_probabilities: Whether one sampled sequence learns its probability;
            beams always do.

    Raises:
        ValueError: A number is out of its range.

    Example:

    >>> Rules(end_ids=(2,), min_length=3).padding_id
    0
    """

    end_ids: tuple = ()
    padding_id: int = 0
    forbidden_ids: tuple = ()
    min_length: int = 0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    stop_sequences: tuple = ()
    must_end: bool = False
    with_log_probabilities: bool = True

    def __post_init__(self):
        if not self.repetition_penalty > 0:
            raise ValueError(
                "`repetition_penalty` must be positive: 1 changes nothing, more avoids "
                f"repetition. Received: repetition_penalty={self.repetition_penalty!r}"
            )
        for name in ("min_length", "no_repeat_ngram_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(
                    f"`{name}` must be an integer from 0. Received: {name}={value!r}"
                )
        if not all(self.stop_sequences):
            raise ValueError(
                "A stop sequence must not be empty. Received: "
                f"{[list(sequence) for sequence in self.stop_sequences]}"
            )


def decode(
    step,
    state,
    *,
    max_length,
    start_id,
    sampler="greedy",
    uniform=None,
    **rules,
):
    """Writes sequences with a function that tells what follows.

    Args:
        step: Function of the token ids `(B, K)` written last and of the state. It
            returns the logits `(B, K, V)` of the next token, the next state, and a
            tensor `(B, K, ...)` of which each step is to be kept, or `None`. K is the
            sampler's `beam_width`, 1 for most.
        state: Nested structure of tensors `(B, 1, ...)`, the state before the start.
            Numbers without axes are the same for all sequences.
        max_length: Most tokens L of a sequence, the end included.
        start_id: Token id that precedes the first token, or token ids `(B,)`.
        sampler: `"greedy"`, `"beam"`, `"random"` or a `Sampler`.
        uniform: `(B, L)`, random numbers for a sampler that draws; see
            `random_numbers`.
        **rules: Those of `Rules`.

    Returns:
        Token ids `(B, K, L)`, the best sequence first; their log-probabilities
        `(B, K)`, minus infinity for beams without a sequence; and what was kept,
        `(B, K, L, ...)`, zero after the end, or `None`.

    Raises:
        ValueError: A number is out of its range.

    Example:

    A model that counts up, and ends with 2:

    >>> def step(token_ids, state):
    ...     return ops.one_hot((token_ids + 1) % 5, 5), state, None
    >>> token_ids, _, _ = decode(
    ...     step, np.zeros((1, 1)), max_length=6, start_id=3, end_ids=(2,)
    ... )
    >>> ops.convert_to_numpy(token_ids)[0].tolist()
    [[4, 0, 1, 2, 0, 0]]
    """
    check_positive(max_length=max_length)
    sampler, rules = get_sampler(sampler), Rules(**rules)
    batch_size = ops.shape(_tensors(state)[0])[0]
    state = repeat_beams(state, sampler.beam_width)
    loop = begin_loop(state, batch_size, sampler, max_length, start_id, uniform)
    loop = take_step(0, loop, step, sampler, rules, max_length)  # tells what is kept
    _, loop = while_loop(
        lambda slot, loop: ops.logical_and(slot < max_length, is_open(loop)),
        lambda slot, loop: take_step(slot, loop, step, sampler, rules, max_length),
        1,
        loop,
    )
    sequences = loop["sequences"]
    token_ids = ops.where(sequences < 0, rules.padding_id, sequences)
    return token_ids, loop["log_p"], loop.get("kept")


def begin_loop(
    state, batch_size, sampler, length, start_id=None, prompt=None, uniform=None
):
    """What goes round in the loop before the first token.

    Args:
        state: Nested structure of tensors, those of all K beams.
        batch_size: B.
        sampler: A `Sampler`.
        length: New tokens L.
        start_id: As for `decode`; without one `place_tokens` writes the first token.
        prompt: `(B, P)`, token ids before, `NOTHING` where there is none.
        uniform: As for `decode`.

    Returns:
        The loop, a dict, for `take_step` and `place_tokens`.
    """
    beam_width = sampler.beam_width
    everyone = ops.zeros((batch_size, beam_width), "int32")  # (B, K)
    sequences = ops.repeat(everyone[:, :, None], length, axis=2) + NOTHING
    if prompt is not None:
        prompt = ops.repeat(ops.cast(prompt, "int32")[:, None], beam_width, axis=1)
        sequences = ops.concatenate([prompt, sequences], axis=2)
    # Of beams that are alike only the first counts.
    first = ops.arange(beam_width, dtype="int32") == 0
    loop = {
        "state": state,
        "log_p": ops.where(first, 0.0, IMPOSSIBLE) + ops.cast(everyone, "float32"),
        "lengths": everyone,
        "ended": ops.not_equal(everyone, 0),
        "sequences": sequences,
    }
    if start_id is not None:
        start_id = ops.convert_to_tensor(start_id, dtype="int32")
        start_id = start_id[:, None] if len(start_id.shape) else start_id
        loop["token_ids"] = everyone + start_id
    if uniform is not None:
        loop["uniform"] = ops.convert_to_tensor(uniform, dtype="float32")
    return loop


def random_numbers(sampler, batch_size, length):
    """Draws what a random sampler needs.

    Args:
        sampler: A `Sampler`.
        batch_size: B.
        length: L.

    Returns:
        `(B, L)` float32, the same for the same seed; row i does not depend on the
        number of rows. `None` if the sampler does not draw.

    Example:

    >>> from keras_attention.generation import RandomSampler
    >>> random_numbers(RandomSampler(seed=1), 2, 3).shape
    (2, 3)
    """
    if not sampler.is_random:
        return None
    seed = np.random.randint(2**31) if sampler.seed is None else sampler.seed
    rows = [
        np.random.default_rng([abs(seed), seed < 0, row]).random(length, "float32")
        for row in range(batch_size)
    ]
    return np.stack(rows)


def repeat_beams(state, beam_width):
    """Repeats the state of one sequence, `(B, 1, ...)`, for K beams."""
    if beam_width == 1:
        return state
    return keras.tree.map_structure(
        lambda x: ops.repeat(x, beam_width, axis=1) if _has_beams(x) else x, state
    )


def is_open(loop):
    """Whether a sequence goes on."""
    return ops.logical_not(ops.all(loop["ended"]))


def take_step(slot, loop, step, sampler, rules, last):
    """Asks the model what follows, and writes it."""
    logits, state, keep = step(loop["token_ids"], loop["state"])
    return place_tokens(
        slot, {**loop, "state": state}, logits, keep, sampler, rules, last
    )


def place_tokens(slot, loop, logits, keep, sampler, rules, last):
    """Chooses the next tokens, and writes them.

    Args:
        slot: Where they go.
        loop: The loop so far.
        logits: `(B, K, V)`.
        keep: `(B, K, ...)` or `None`.
        sampler: A `Sampler`.
        rules: `Rules`.
        last: The slot behind the last that may be written.

    Returns:
        The loop.
    """
    loop = dict(loop)
    size = logits.shape[-1]
    scores = ops.cast(logits, "float32")  # (B, K, V)
    if rules.repetition_penalty != 1:
        if "seen" not in loop:
            loop["seen"] = _mark(loop["sequences"], size)
        penalty = rules.repetition_penalty
        penalized = ops.where(scores > 0, scores / penalty, scores * penalty)
        scores = ops.where(loop["seen"], penalized, scores)
    has_beams = sampler.beam_width > 1
    log_p = None
    if has_beams or rules.with_log_probabilities:
        log_p = ops.log_softmax(scores, axis=-1)
    allowed = _allowed(slot, loop, rules, size, last)
    ended = loop["ended"]
    loop["lengths"] = loop["lengths"] + ops.cast(ops.logical_not(ended), "int32")
    if has_beams:
        if allowed is not None:
            log_p = ops.where(allowed, log_p, IMPOSSIBLE)
        is_padding = ops.equal(ops.arange(size, dtype="int32"), rules.padding_id)
        frozen = ops.where(is_padding, 0.0, IMPOSSIBLE)
        log_p = ops.where(ended[:, :, None], frozen, log_p)
        chosen, loop["log_p"] = _best(loop, log_p, sampler)
        parents, token_ids = chosen // size, chosen % size
    else:
        if allowed is not None:
            scores = ops.where(allowed, scores, IMPOSSIBLE)
        uniform = None
        if sampler.is_random:
            count = loop["uniform"].shape[1]
            number = slot - (loop["sequences"].shape[2] - count)
            uniform = ops.take(loop["uniform"], number, axis=1)[:, None]  # (B, 1)
        token_ids = ops.cast(sampler.choose(scores, uniform), "int32")
        if log_p is not None:
            gain = take_beams(ops.reshape(log_p, (-1, size, 1)), token_ids)[..., 0]
            loop["log_p"] = loop["log_p"] + ops.where(ended, 0.0, gain)
        token_ids = ops.where(ended, rules.padding_id, token_ids)
    if keep is not None:
        _keep(loop, keep, slot, ended)
    if has_beams:
        names = ("state", "lengths", "ended", "sequences", "kept", "seen")
        for name in names:
            if name in loop:
                loop[name] = keras.tree.map_structure(
                    lambda x: take_beams(x, parents) if _has_beams(x) else x,
                    loop[name],
                )
    return _write(slot, loop, token_ids, rules)


def _allowed(slot, loop, rules, size, last):
    """Which tokens may follow, `(V,)` or `(B, K, V)`, boolean, or `None` for all."""
    tokens = np.arange(size)
    forbidden = np.isin(tokens, rules.forbidden_ids)
    ends = np.isin(tokens, rules.end_ids)
    allowed = None
    if forbidden.any():
        allowed = constant(~forbidden)
    conditions = []
    if rules.min_length and ends.any():
        early = loop["lengths"][:, :, None] < rules.min_length
        conditions.append(ops.logical_not(ops.logical_and(early, constant(ends))))
    if rules.must_end:
        is_last = ops.equal(slot, last - 1)
        conditions.append(ops.logical_or(ops.logical_not(is_last), constant(ends)))
    if rules.no_repeat_ngram_size:
        repeats = _repeats(slot, loop["sequences"], rules.no_repeat_ngram_size, size)
        conditions.append(ops.logical_not(repeats))
    for condition in conditions:
        allowed = condition if allowed is None else ops.logical_and(allowed, condition)
    return allowed


def _best(loop, log_p, sampler):
    """The best K of the K V candidates: numbers `(B, K)`, and log-probabilities."""
    candidates = loop["log_p"][:, :, None] + log_p  # (B, K, V)
    ranks = candidates
    if sampler.length_penalty:
        lengths = ops.cast(loop["lengths"], "float32")
        ranks = (
            candidates / (((5.0 + lengths) / 6.0) ** sampler.length_penalty)[..., None]
        )
    count = candidates.shape[1] * candidates.shape[2]
    _, chosen = ops.top_k(ops.reshape(ranks, (-1, count)), sampler.beam_width)
    chosen = ops.cast(chosen, "int32")
    found = take_beams(ops.reshape(candidates, (-1, count, 1)), chosen)
    return chosen, found[..., 0]


def room_for(keep, length):
    """Room for what each of L steps keeps: zeros `(B, K, L, ...)`."""
    return ops.zeros_like(ops.repeat(keep[:, :, None], length, axis=2))


def _keep(loop, keep, slot, ended):
    """Keeps something of this step, zero where the sequence ended before."""
    if "kept" not in loop:
        loop["kept"] = room_for(keep, loop["sequences"].shape[2])
    count = loop["kept"].shape[2]
    goes_on = ops.logical_not(ended)
    axes = (1,) * (len(keep.shape) - 2)
    goes_on = ops.reshape(goes_on, (-1, *goes_on.shape[1:], *axes))
    keep = ops.where(goes_on, keep, ops.zeros_like(keep))[:, :, None]  # (B, K, 1, ...)
    number = slot - (loop["sequences"].shape[2] - count)
    here = ops.equal(ops.arange(count, dtype="int32"), number)
    loop["kept"] = ops.where(ops.reshape(here, (-1, *axes)), keep, loop["kept"])


def _write(slot, loop, token_ids, rules):
    """Writes the chosen tokens `(B, K)`, and sees who ended."""
    ended = loop["ended"]
    here = ops.equal(ops.arange(loop["sequences"].shape[2], dtype="int32"), slot)
    written = ops.where(ended, NOTHING, token_ids)[:, :, None]
    loop["sequences"] = ops.where(here, written, loop["sequences"])
    loop["token_ids"] = token_ids
    if "seen" in loop:
        tokens = ops.arange(loop["seen"].shape[2], dtype="int32")
        loop["seen"] = ops.logical_or(loop["seen"], ops.equal(tokens, written))
    for end_id in rules.end_ids:
        ended = ops.logical_or(ended, ops.equal(token_ids, end_id))
    for sequence in rules.stop_sequences:
        count = len(sequence)
        tail = _tail(slot + 1, loop["sequences"], count)
        same = ops.all(ops.equal(tail, constant(np.array(sequence, "int32"))), axis=-1)
        same = ops.logical_and(same, loop["lengths"] >= count)
        ended = ops.logical_or(ended, same)
    loop["ended"] = ended
    return loop


def _tail(slot, sequences, count):
    """The tokens of the last slots before one, `(B, K, count)`."""
    slots = ops.maximum(slot - count + ops.arange(count, dtype="int32"), 0)
    return ops.take(sequences, slots, axis=2)


def _repeats(slot, sequences, count, size):
    """Which tokens would end a run that was there before: `(B, K, V)`, boolean."""
    length = sequences.shape[2]
    if length < count:
        return ops.zeros((1, 1, size), "bool")
    follows = sequences[:, :, count - 1 :]
    same = follows >= 0
    if count > 1:
        tail = _tail(slot, sequences, count - 1)
        for place in range(count - 1):
            before = sequences[:, :, place : length - count + 1 + place]
            known = ops.logical_and(before >= 0, slot >= count - 1)
            same = ops.logical_and(same, known)
            same = ops.logical_and(same, ops.equal(before, tail[:, :, place, None]))
    return _mark(ops.where(same, follows, NOTHING), size)


def _mark(token_ids, size):
    """Which tokens occur in `(B, K, S)`: `(B, K, V)`, boolean."""
    batch_size, beam_width, length = ops.shape(token_ids)
    rows = ops.arange(batch_size * beam_width, dtype="int32")[:, None]
    rows = ops.repeat(rows, length, axis=1)
    columns = ops.reshape(token_ids, (-1, length))
    columns = ops.where(columns < 0, size, columns)  # one more, for what is none
    places = ops.stack([ops.reshape(rows, (-1,)), ops.reshape(columns, (-1,))], axis=1)
    marks = ops.scatter_update(
        ops.zeros((batch_size * beam_width, size + 1), "int32"),
        places,
        ops.ones_like(places[:, 0]),
    )
    marks = ops.reshape(marks[:, :size], (batch_size, beam_width, size))
    return ops.not_equal(marks, 0)


def take_beams(x, parents):
    """The entries `(B, K, ...)` of `x` `(B, N, ...)` that `parents` `(B, K)` names."""
    offsets = ops.arange(ops.shape(x)[0], dtype="int32")[:, None] * x.shape[1]
    rows = ops.reshape(x, (-1, *x.shape[2:]))
    return ops.take(rows, parents + offsets, axis=0)


def _has_beams(x):
    return len(getattr(x, "shape", ())) > 1


def _tensors(state):
    return [x for x in keras.tree.flatten(state) if _has_beams(x)]
