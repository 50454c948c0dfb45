"""What users ask of `generate`, `translate` and `caption`, read and checked once."""

import dataclasses
import operator
import typing

from keras_attention.generation.decode import Rules
from keras_attention.generation.samplers import get_sampler
from keras_attention.generation.samplers import Sampler


class TokenIds(typing.NamedTuple):
    """What the token ids of a model mean.

    Args:
        vocabulary_size: V.
        end_ids: Token ids that end a sequence.
        padding_id: Token id that follows the end.
        forbidden_ids: Token ids that are never written.
        must_end: Whether each sequence has an end.
    """

    vocabulary_size: int
    end_ids: tuple
    padding_id: int
    forbidden_ids: tuple
    must_end: bool = False


@dataclasses.dataclass(frozen=True)
class Options:
    """How a call writes; see `read_options`.

    Args:
        sampler: `Sampler`.
        rules: `Rules`.
        with_weights: Whether the weights of attention are asked for.
        stop_texts: Strings that end a text, which only the text shows.
    """

    sampler: Sampler
    rules: Rules
    with_weights: bool = False
    stop_texts: tuple = ()

    @property
    def key(self):
        """What tells compiled programs from others, hashable."""
        return self.sampler.key, self.rules, self.with_weights


def read_options(
    token_ids,
    sampler,
    *,
    has_text,
    callback=None,
    min_new_tokens=0,
    stop=None,
    repetition_penalty=1.0,
    no_repeat_ngram_size=0,
    forbidden_ids=(),
    return_log_probabilities=False,
    return_attention_scores=False,
):
    """Reads what a call is to write, and how.

    Args:
        token_ids: `TokenIds`.
        sampler: `"greedy"`, `"beam"`, `"random"`, or a `Sampler`.
        has_text: Whether strings come out.
        callback: As for `TextGenerator.generate`, and so are all others.
        min_new_tokens: Tokens that are written before one may end.
        stop: What ends a text besides its end.
        repetition_penalty: More than 1 avoids tokens that were there.
        no_repeat_ngram_size: So many tokens in a row never come twice.
        forbidden_ids: Token ids that are never written, besides those of the model.
        return_log_probabilities: Whether log-probabilities are asked for.
        return_attention_scores: Whether weights are asked for.

    Returns:
        `Options`.

    Raises:
        ValueError: An option cannot be used.

    Example:

    >>> token_ids = TokenIds(9, end_ids=(2,), padding_id=0, forbidden_ids=(0,))
    >>> options = read_options(token_ids, "greedy", has_text=False, forbidden_ids=[7])
    >>> options.rules.forbidden_ids
    (0, 7)
    """
    sampler = get_sampler(sampler)
    if callback is not None and sampler.beam_width > 1:
        raise ValueError(
            "`callback` cannot follow beams: which one comes out is known at the end. "
            f"Received: beam_width={sampler.beam_width}. Leave it out, or follow one "
            "sequence, by greedy search or a RandomSampler."
        )
    if not _is_integer(min_new_tokens) or min_new_tokens < 0:
        raise ValueError(
            "`min_new_tokens` must be an integer from 0. Received: "
            f"min_new_tokens={min_new_tokens!r}"
        )
    size = token_ids.vocabulary_size
    stop_ids, stop_texts = _read_stop(stop, has_text, sampler, size)
    forbidden = _read_ids(forbidden_ids, size, "forbidden_ids")
    forbidden = tuple(dict.fromkeys((*map(int, token_ids.forbidden_ids), *forbidden)))
    if token_ids.must_end and set(token_ids.end_ids) <= set(forbidden):
        raise ValueError(
            "`forbidden_ids` must leave the end, with which each sequence closes. "
            f"Received: {forbidden_ids!r}, and the end is {token_ids.end_ids[0]}. For "
            "longer sequences pass `min_new_tokens`."
        )
    rules = Rules(
        end_ids=token_ids.end_ids,
        padding_id=token_ids.padding_id,
        forbidden_ids=forbidden,
        min_length=operator.index(min_new_tokens),
        repetition_penalty=float(repetition_penalty),
        no_repeat_ngram_size=no_repeat_ngram_size,
        stop_sequences=stop_ids,
        must_end=token_ids.must_end,
        # Beams are compared by them in any case.
        with_log_probabilities=bool(return_log_probabilities) or sampler.beam_width > 1,
    )
    return Options(sampler, rules, bool(return_attention_scores), stop_texts)


def _read_stop(stop, has_text, sampler, vocabulary_size):
    """Stop sequences of token ids, tuples, and of characters."""
    if stop is None:
        return (), ()
    stop = [stop] if isinstance(stop, str) else list(stop)
    if stop and all(_is_integer(i) for i in stop):
        stop = [stop]
    texts = tuple(s for s in stop if isinstance(s, str))
    if "" in texts:
        raise ValueError(f"A stop sequence must not be empty. Received: {stop}")
    if texts and (not has_text or sampler.beam_width > 1):
        raise ValueError(
            "A string stops only texts that are strings, of a sampler with one beam. "
            f"Received: stop={stop}. Pass lists of token ids."
        )
    ids = [s for s in stop if not isinstance(s, str)]
    return tuple(_read_ids(s, vocabulary_size, "stop") for s in ids), texts


def _read_ids(token_ids, vocabulary_size, name):
    """Token ids of an argument, a tuple of integers."""
    token_ids = list(token_ids)
    ours = range(vocabulary_size)
    if not all(_is_integer(i) and i in ours for i in token_ids):
        raise ValueError(
            f"`{name}` must hold token ids, integers from 0 to {vocabulary_size - 1}. "
            f"Received: {token_ids}"
        )
    return tuple(operator.index(i) for i in token_ids)


def _is_integer(value):
    try:
        operator.index(value)
    except TypeError:
        return False
    return not isinstance(value, bool)
