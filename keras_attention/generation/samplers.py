"""Samplers: which token follows.

A sampler looks at the scores of the next token and chooses. To write one of your own,
derive from `Sampler` and override one method, `choose`.

Letters: B sequences, K beams, V vocabulary.
"""

from keras import ops

from keras_attention.checks import check_positive

IMPOSSIBLE = float("-inf")


class Sampler:
    """Chooses the next token of each sequence.

    A sampler does not change and keeps nothing: two with the same arguments are the
    same, and share what was compiled. A subclass overrides `choose` and keeps each
    argument of its `__init__` in an attribute of the same name.

    Example:

    >>> class SecondBest(Sampler):
    ...     def choose(self, scores, uniform):
    ...         return ops.argsort(scores, axis=-1)[..., -2]
    >>> token_ids = SecondBest().choose(np.array([[[0.1, 0.7, 0.2]]]), None)
    >>> int(token_ids[0, 0])
    2
    """

    # Sequences that are followed at a time for each one that comes out.
    beam_width = 1
    # How many come out, best first; None: one, without an axis for them.
    num_results = None
    # Whether `choose` gets random numbers.
    is_random = False
    # Seed of the random numbers.
    seed = None
    # By what beams are compared; see `BeamSearch`.
    length_penalty = 0.0

    def choose(self, scores, uniform):
        """Chooses the next token of each sequence.

        Args:
            scores: `(B, 1, V)` float32, the logits, minus infinity for what must not
                follow.
            uniform: `(B, 1)`, random numbers from 0 to below 1, or `None` if
                `is_random` is False.

        Returns:
            Token ids `(B, 1)`.
        """
        raise NotImplementedError

    @property
    def key(self):
        """What tells this sampler from others, hashable; the seed does not."""
        arguments = {k: v for k, v in vars(self).items() if k != "seed"}
        return type(self), tuple(sorted(arguments.items()))


class Greedy(Sampler):
    """Takes the most probable token each time.

    Example:

    >>> int(Greedy().choose(np.array([[[0.1, 0.7, 0.2]]]), None)[0, 0])
    1
    """

    def choose(self, scores, uniform):
        """The token with the highest score; see `Sampler.choose`."""
        return ops.argmax(scores, axis=-1)


class BeamSearch(Sampler):
    """Follows the K most probable sequences at a time.

    A sequence that ended is frozen: it keeps its probability and competes with those
    that go on. Sequences are compared by log p / ((5 + n) / 6)^length_penalty with n
    tokens, the end included (Wu et al. 2016, arXiv:1609.08144, Equation 14). One beam
    is greedy search.

    Args:
        beam_width: K.
        length_penalty: 0 compares log-probabilities; more favours longer sequences.
        num_results: How many of the K come out, best first. By default the best, and
            results have no axis for it.

    Raises:
        ValueError: A number is out of its range.

    Example:

    >>> BeamSearch(beam_width=4, num_results=2).beam_width
    4
    """

    def __init__(self, beam_width=4, length_penalty=0.0, num_results=None):
        check_positive(beam_width=beam_width)
        check_length_penalty(length_penalty)
        if num_results is not None:
            check_positive(num_results=num_results)
            if num_results > beam_width:
                raise ValueError(
                    "`num_results` must not exceed `beam_width`, the number of "
                    f"sequences that are followed. Received: num_results={num_results},"
                    f" beam_width={beam_width}"
                )
        self.beam_width = beam_width
        self.length_penalty = length_penalty
        self.num_results = num_results

    def choose(self, scores, uniform):
        """The best token of one beam; several are followed by the loop itself."""
        return ops.argmax(scores, axis=-1)


class RandomSampler(Sampler):
    """Draws the next token by its probability.

        p = softmax(logits / temperature)

    of the tokens that `top_k`, `top_p` and `min_p` leave, each of which looks at p as
    it is before the others cut.

    Args:
        temperature: Below 1 the probable becomes more so; above 1, less.
        top_k: Leaves the k most probable tokens (Fan et al. 2018, arXiv:1805.04833,
            Section 5.4).
        top_p: Leaves the fewest tokens whose probabilities sum to this (nucleus;
            Holtzman et al. 2020, arXiv:1904.09751, Section 3.1).
        min_p: Leaves the tokens at least so probable in proportion to the most
            probable (Nguyen et al. 2024, arXiv:2407.01082, Section 3).
        seed: Integer. The same seed draws the same text, on each backend. Without one
            each call draws another text.

    Raises:
        ValueError: A number is out of its range.

    Example:

    >>> sampler = RandomSampler(top_p=0.6, seed=1)
    >>> int(sampler.choose(np.log([[[0.1, 0.7, 0.2]]]), np.array([[0.9]]))[0, 0])
    1
    """

    is_random = True

    def __init__(self, temperature=1.0, top_k=None, top_p=None, min_p=None, seed=None):
        if not temperature > 0:
            raise ValueError(
                "`temperature` must be positive. Received: temperature="
                f"{temperature!r}. For the most probable token take Greedy()."
            )
        if top_k is not None:
            check_positive(top_k=top_k)
        for name, share in (("top_p", top_p), ("min_p", min_p)):
            if share is not None and not 0 < share <= 1:
                raise ValueError(
                    f"`{name}` must be above 0 and at most 1. "
                    f"Received: {name}={share!r}"
                )
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
            raise ValueError(f"`seed` must be an integer. Received: seed={seed!r}")
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.min_p = min_p
        self.seed = seed

    def choose(self, scores, uniform):
        """A token drawn by its probability; see `Sampler.choose`."""
        scores = ops.cast(scores, "float32")
        scores = scores - ops.max(scores, axis=-1, keepdims=True)
        # The best stays 0, however cold: so 1e-45 divides nothing by nothing.
        scores = ops.where(scores < 0, scores / self.temperature, 0.0)
        size = scores.shape[-1]
        cuts = self.top_k is not None and self.top_k < size
        if not (cuts or self.top_p is not None):  # the order does not matter
            probabilities = ops.softmax(scores, axis=-1)
            return _draw(self._keep_probable(probabilities), uniform)
        whole = ops.logsumexp(scores, axis=-1, keepdims=True)
        scores, token_ids = ops.top_k(scores, self.top_k if cuts else size)
        probabilities = ops.exp(scores - whole)  # most probable first
        probabilities = self._keep_probable(probabilities)
        if self.top_p is not None:
            before = ops.cumsum(ops.exp(scores - whole), axis=-1)
            before = before - ops.exp(scores - whole)
            probabilities = ops.where(before < self.top_p, probabilities, 0.0)
        chosen = _draw(probabilities, uniform)
        return ops.take_along_axis(
            ops.cast(token_ids, "int32"), chosen[..., None], axis=-1
        )[..., 0]

    def _keep_probable(self, probabilities):
        if self.min_p is None:
            return probabilities
        most = ops.max(probabilities, axis=-1, keepdims=True)
        return ops.where(probabilities >= self.min_p * most, probabilities, 0.0)


def _draw(probabilities, uniform):
    """Draws a place by probabilities `(..., V)` that need not sum to 1."""
    sums = ops.cumsum(probabilities, axis=-1)
    threshold = ops.cast(uniform, sums.dtype)[..., None] * sums[..., -1:]
    place = ops.sum(ops.cast(sums <= threshold, "int32"), axis=-1)
    # Rounded up to the whole sum, a number would point behind the last possible place.
    possible = ops.cast(probabilities > 0, "int32")
    last = probabilities.shape[-1] - 1 - ops.argmax(ops.flip(possible, -1), axis=-1)
    return ops.minimum(place, ops.cast(last, "int32"))


def get_sampler(sampler):
    """Reads what a user says of the sampler.

    Args:
        sampler: A `Sampler`, or `"greedy"`, `"beam"` or `"random"` for one with its
            defaults.

    Returns:
        A `Sampler`.

    Raises:
        ValueError: It is none of these.

    Example:

    >>> get_sampler("beam").beam_width
    4
    """
    named = {"greedy": Greedy, "beam": BeamSearch, "random": RandomSampler}
    if isinstance(sampler, str) and sampler in named:
        return named[sampler]()
    if isinstance(sampler, Sampler):
        return sampler
    raise ValueError(
        f"`sampler` must be one of {tuple(named)} or a Sampler, such as "
        f"BeamSearch(beam_width=5). Received: sampler={sampler!r}"
    )


def check_length_penalty(length_penalty):
    """Refuses a penalty that would favour what is improbable.

    Args:
        length_penalty: A number.

    Raises:
        ValueError: It is negative or no number.
    """
    if not length_penalty >= 0:
        raise ValueError(
            "`length_penalty` must not be negative: 0 compares log-probabilities, 1 "
            f"almost their means. Received: length_penalty={length_penalty!r}"
        )
