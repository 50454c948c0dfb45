"""The one engine behind `generate`, `translate` and `caption`.

Letters: B sequences, K beams, n of them that come out, P slots of the prompts, S slots
with what is written, or tokens of a source, L new tokens, N heads, V vocabulary.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.backend.kept_variables import one_thread
from keras_attention.backend.programs import Loop
from keras_attention.backend.programs import Program
from keras_attention.backend.programs import Recent
from keras_attention.checks import check_positive
from keras_attention.generation.decode import begin_loop
from keras_attention.generation.decode import is_open
from keras_attention.generation.decode import NOTHING
from keras_attention.generation.decode import place_tokens
from keras_attention.generation.decode import random_numbers
from keras_attention.generation.decode import room_for
from keras_attention.generation.decode import take_step
from keras_attention.generation.results import read_loop
from keras_attention.generation.served_steps import serve_steps

# Programs for so many options of `generate` are kept, those that were used last.
MOST_OPTIONS = 32


class WritingModel:
    """Gives a model a `Writer`.

    Abstract. A subclass has `make_steps()`, which returns what has `begin` and `step`,
    such as `CachedSteps`, and may have `start_id`, the token id that precedes the first
    one of a model without prompts.
    """

    start_id = None

    def make_steps(self):
        """How this model begins and goes on: `CachedSteps` or `RecurrentSteps`."""
        raise NotImplementedError

    @property
    def writer(self):
        """The `Writer` of this model, which keeps what it compiled."""
        if not hasattr(self, "_writer"):
            self._writer = Writer(self, self.make_steps(), self.start_id)
        return self._writer

    def serve_steps(self, slots):
        """The functions that write, without the loop around them, to be exported.

        Args:
            slots: S, most tokens of a sequence.

        Returns:
            Two models with `signature` and `export`. `begin` goes from what this model
            reads to what `step` needs; it is `None` for a model that continues texts,
            where all that begins with zeros. `step` goes from `token_ids` `(B, 1)`, the
            last ones, and that, to `logits` `(B, V)` and the next state, under the
            names with which it came.

        Raises:
            ValueError: `slots` is no positive integer.

        Example:

        >>> from keras_attention.applications import GPT2
        >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=1, num_heads=2)
        >>> _, step = model.serve_steps(slots=16)
        >>> {name: spec.shape for name, spec in step.signature.items()}
        {'token_ids': (None, 1), 'state_cache_0_0': (None, 2, 16, 4),
        'state_cache_0_1': (None, 2, 16, 4), 'state_length': ()}
        """
        return serve_steps(self, slots)

    @property
    def num_compilations(self):
        """How many programs were compiled to write with this model."""
        return self.writer.num_compilations


class Writer:
    """Writes sequences with a model: begins, goes on token by token, until all ended.

    It keeps what it compiled: two programs for a sampler and rules, of which one begins
    and the other is the loop. Nothing in the model changes.

    Args:
        model: The model, whose variables the programs read.
        steps: What has `begin` and `step`, such as `CachedSteps`.
        start_id: Token id that precedes the first token, for a model without prompts.
    """

    def __init__(self, model, steps, start_id=None):
        self.steps = steps
        self._model = model
        self._start_id = start_id
        self._made = Recent(MOST_OPTIONS)

    @property
    def num_compilations(self):
        """How many programs were compiled."""
        return sum(p.num_compilations for pair in self._made.values() for p in pair)

    def write(self, read, lengths, count, options, *, batch_size=None, stream=None):
        """Writes B sequences, batch by batch.

        Args:
            read: Function of the numbers of some sequences that returns a dict of NumPy
                arrays, what `steps.begin` takes, and the number of slots.
            lengths: How long what is read for each of them is: sequences of like
                lengths share a batch.
            count: Most new tokens, the end included.
            options: `Options`.
            batch_size: Most sequences at a time. By default all.
            stream: `Stream` or `None`.

        Returns:
            List of B `Written`, in the order of `lengths`.

        Raises:
            ValueError: More tokens must be written than may be.
        """
        rules = options.rules
        if rules.must_end and rules.min_length >= count:
            raise ValueError(
                f"`min_new_tokens` must be at most {count - 1}, as many as may be "
                f"written. Received: min_new_tokens={rules.min_length}. Raise "
                "`max_length`."
            )
        uniform = random_numbers(options.sampler, len(lengths), count)
        written = [None] * len(lengths)
        for numbers in into_batches(lengths, batch_size):
            inputs, slots = read(numbers)
            drawn = None if uniform is None else uniform[numbers]
            look = None
            if stream is not None and stream.is_needed:
                look = _looks(stream, numbers)
            found = self._write_batch(inputs, slots, count, drawn, options, look)
            for number, each in zip(numbers, found, strict=True):
                written[number] = each
        return written

    def _write_batch(self, inputs, slots, count, uniform, options, look):
        has_prompt = "prompt" in inputs
        size = inputs["prompt"].shape[1] if has_prompt else 0
        last = size + count
        given = {"inputs": inputs, "places": np.zeros(slots, "bool")}  # their number
        if uniform is not None:
            # One for each slot, so that the shape does not depend on the prompt.
            given["uniform"] = np.pad(uniform, [(0, 0), (size, slots - last)])
        given = keras.tree.map_structure(ops.convert_to_tensor, given)
        begin, go_on = self._programs_for(options)
        source, loop = begin(given, last)
        slot = size
        if has_prompt or _takes_first_step(options):
            slot += 1
            loop = look(loop, size, slot == last) if look else loop
        while slot < last and not np.all(ops.convert_to_numpy(loop["ended"])):
            end = slot + 1 if look else last
            slot, loop = go_on(slot, end, last, loop, source)
            slot = int(slot)
            loop = look(loop, size, slot == last) if look else loop
        return read_loop(inputs, loop, size, options)

    def _programs_for(self, options):
        """The compiled programs with these options, made at the first call."""
        if hasattr(self._model, "jax_state_sync"):
            with one_thread(self._model):
                self._model.jax_state_sync()  # within a callback, fit has the newest
        variables = self._model.variables
        key = (*options.key, tuple(map(id, variables)))

        def make():
            sampler, rules = options.sampler, options.rules

            def step_with(source):
                return lambda token_ids, state: self.steps.step(
                    source, state, token_ids, options.with_weights
                )

            def begin(given, last):
                return self._begin(given, last, step_with, options)

            def go_on(slot, loop, source, last):
                return take_step(slot, loop, step_with(source), sampler, rules, last)

            return (
                Program(
                    begin, variables, use_xla=self.steps.use_xla, model=self._model
                ),
                Loop(is_open, go_on, variables, model=self._model),
            )

        return self._made.get(key, make)

    def _begin(self, given, last, step_with, options):
        """Reads what there is, and writes the first token where the loop needs it."""
        sampler, rules = options.sampler, options.rules
        inputs, slots = given["inputs"], given["places"].shape[0]
        source, state, first = self.steps.begin(
            inputs, slots, sampler.beam_width, options.with_weights
        )
        prompt, mask = inputs.get("prompt"), inputs.get("mask")
        size = 0 if prompt is None else prompt.shape[1]
        if mask is not None:
            prompt = ops.where(mask[:, :size], prompt, NOTHING)
        loop = begin_loop(
            state,
            keras.tree.flatten(inputs)[0].shape[0],
            sampler,
            slots - size,
            self._start_id,
            prompt,
            given.get("uniform"),
        )
        if first is not None:
            logits, weights = first
            if weights is not None:
                loop["kept"] = room_for(weights, slots - size)
            loop = place_tokens(size, loop, logits, weights, sampler, rules, last)
        elif _takes_first_step(options):
            loop = take_step(0, loop, step_with(source), sampler, rules, last)
        return source, loop


def _takes_first_step(options):
    """Whether only a step tells what goes round in the loop: weights, what was seen."""
    return options.with_weights or options.rules.repetition_penalty != 1


def _looks(stream, numbers):
    """The function that shows a stream what the loop wrote, and ends what it stops."""

    def look(loop, size, is_last):
        rows = ops.convert_to_numpy(loop["sequences"])[:, 0, size:]
        rows = [[int(i) for i in row if i >= 0] for row in rows]
        ended = ops.convert_to_numpy(loop["ended"])[:, 0]
        stopped = stream.look(numbers, rows, (ended | is_last).tolist())
        if not any(stopped):
            return loop
        stopped = ops.convert_to_tensor(np.array(stopped)[:, None])
        return {**loop, "ended": ops.logical_or(loop["ended"], stopped)}

    return look


def into_batches(lengths, batch_size=None):
    """Puts sequences of like lengths together.

    All batches have one size, so that few are compiled: the last is filled up with the
    sequence that it ends with.

    Args:
        lengths: A length for each sequence.
        batch_size: Most sequences at a time. Fewer are filled up to a power of two. By
            default all are one batch, which is filled up where sizes are compiled.

    Returns:
        List of arrays of numbers.

    Example:

    >>> [numbers.tolist() for numbers in into_batches([5, 2, 9], 2)]
    [[2, 0], [1, 1]]
    """
    count = len(lengths)
    power = 1 << (count - 1).bit_length()
    if batch_size is None:
        batch_size = count if keras.backend.backend() == "torch" else power
    check_positive(batch_size=batch_size)
    batch_size = min(batch_size, power)
    # The longest first: what does not fit into memory fails at once.
    order = np.argsort(-np.asarray(lengths), kind="stable")
    order = np.concatenate([order, np.repeat(order[-1:], -count % batch_size)])
    return list(order.reshape(-1, batch_size))
