"""What models that continue a text have in common: `generate`.

Letters: B prompts, K beams, P slots of the prompts, S slots with what is written, L new
tokens, D width of a token, V vocabulary, N heads.
"""

import types

import keras
import numpy as np
from keras import ops

from keras_attention.backend.programs import Loop
from keras_attention.backend.programs import Program
from keras_attention.checks import check_positive
from keras_attention.generation.caches import merge_beams
from keras_attention.generation.caches import repeat_cache
from keras_attention.generation.caches import split_beams
from keras_attention.generation.caches import stack_weights
from keras_attention.generation.decode import is_open
from keras_attention.generation.decode import NOTHING
from keras_attention.generation.decode import place_tokens
from keras_attention.generation.decode import random_numbers
from keras_attention.generation.decode import Rules
from keras_attention.generation.decode import start_loop
from keras_attention.generation.decode import take_step
from keras_attention.generation.samplers import get_sampler

# Lengths are filled up to these, so that few are compiled: prompts to a power of two,
# all slots to a multiple.
SMALLEST_BUCKET = 16
SLOT_STEP = 64


class TextGenerator:
    """Gives a decoder-only language model `generate`.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` set

    - `decoder`: a `TransformerDecoder` of blocks without cross-attention, or what has
      its `start_cache` and `step`;
    - `tokenizer`: an object with `encode` and `decode`, or `None` for a model that
      reads and writes token ids;
    - `vocabulary_size`: V;
    - `max_length`: most tokens of a text, prompt included, or `None`;
    - `end_id`: token id that ends a text, a tuple of several, or `None`.

    It may set `padding_id`, what follows the end where texts have different lengths
    (0), and `forbidden_ids`, which are never written (none). It must have

    - `embed(token_ids, positions)`: from integers `(B, T)`, both, to `(B, T, D)`;
    - `predict_logits(x)`: from `(B, T, D)`, what comes out of `decoder`, to logits
      `(B, T, V)`.

    Both are called with the layers that the training graph calls. Where a tokenizer
    adds more than an end, or calls for arguments, `encode_prompt(text)`, which returns
    a list of integers, and `decode_text(token_ids)`, which returns a string, are to be
    overridden.

    Example:

    >>> from keras_attention import layers
    >>> class TinyGPT(TextGenerator, keras.Model):
    ...     def __init__(self):
    ...         embedding = layers.TokenAndPositionEmbedding(9, 8, max_length=32)
    ...         block = layers.TransformerDecoderBlock(2, 16, use_cross_attention=False)
    ...         decoder = layers.TransformerDecoder(block, num_layers=2)
    ...         token_ids = keras.Input((None,), dtype="int32")
    ...         x = decoder(embedding(token_ids))
    ...         super().__init__(token_ids, embedding.token_embedding(x, reverse=True))
    ...         self.embedding, self.decoder, self.tokenizer = embedding, decoder, None
    ...         self.vocabulary_size, self.max_length, self.end_id = 9, 32, None
    ...     def embed(self, token_ids, positions):
    ...         return self.embedding(token_ids, positions=positions)
    ...     def predict_logits(self, x):
    ...         return self.embedding.token_embedding(x, reverse=True)
    >>> TinyGPT().generate([[3, 5], [4]], max_new_tokens=6).shape
    (2, 8)
    """

    padding_id = 0
    forbidden_ids = ()

    def embed(self, token_ids, positions):
        """Vectors `(B, T, D)` of tokens at their positions."""
        raise NotImplementedError

    def predict_logits(self, x):
        """Logits `(B, T, V)` of what comes out of the decoder."""
        raise NotImplementedError

    def encode_prompt(self, text):
        """The token ids of a prompt, a list of integers."""
        token_ids = np.asarray(self.tokenizer.encode([text]))[0].tolist()
        while token_ids and token_ids[-1] in self._end_ids:
            token_ids.pop()  # the text goes on
        return token_ids

    def decode_text(self, token_ids):
        """The text of a list of token ids."""
        return self.tokenizer.decode([token_ids])[0]

    def generate(
        self,
        prompts,
        max_length=None,
        max_new_tokens=None,
        min_new_tokens=0,
        sampler="greedy",
        stop=None,
        repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        callback=None,
        include_prompt=True,
        return_log_probabilities=False,
        return_attention_scores=False,
    ):
        """Continues texts.

        The prompts are read at once, their keys and values kept, and then one token
        after the other is written. On JAX and TensorFlow both are compiled, for a new
        length of the prompts only where it enters another bucket. Nothing in the model
        changes.

        Args:
            prompts: A string or a list of strings; without a tokenizer, or where they
                are encoded already, lists of token ids of any lengths, or integers
                `(B, P)`.
            max_length: Most tokens of a text, its prompt included. By default what the
                model has positions for.
            max_new_tokens: Most tokens that are written, in place of `max_length`.
            min_new_tokens: Tokens that are written before a text may end.
            sampler: `"greedy"`, `"beam"`, `"random"`, or a `Sampler` such as
                `RandomSampler(top_p=0.9, seed=1)`.
            stop: What ends a text besides `end_id`, and is left out of it: a string, a
                list of strings, or of lists of token ids.
            repetition_penalty: More than 1 avoids tokens that were there.
            no_repeat_ngram_size: So many tokens in a row never come twice.
            callback: Called with the new part of each text, a list of B strings or
                lists of token ids, each time some are written. Not for beams.
            include_prompt: Whether a text begins with its prompt.
            return_log_probabilities: Also return how probable is what was written.
            return_attention_scores: Also return what each new token's prediction read.

        Returns:
            A string for a string, and a list of B for several; where the model or the
            prompts have no strings, integers `(B, T)`, `padding_id` behind the end. If
            asked, in a tuple, in this order: log-probabilities `(B,)`, and weights
            `(B, L, num_layers, N, T)` as NumPy arrays, where row i is what was read to
            predict new token i and T counts the tokens from the first of the prompt;
            an end that was drawn has no row. With `BeamSearch(num_results=n)` lists of
            n, and an axis n behind B.

        Raises:
            ValueError: A prompt or an option cannot be used.

        """
        sampler = get_sampler(sampler)
        is_one = isinstance(prompts, str)
        rows, has_text = self._read_prompts([prompts] if is_one else prompts)
        stop_ids, stop_texts = self._read_stop(stop, has_text, sampler)
        if callback is not None and sampler.beam_width > 1:
            raise ValueError(
                "`callback` cannot follow beams: which one comes out is known at the "
                f"end. Received: beam_width={sampler.beam_width}. Leave it out."
            )
        rules = Rules(
            end_ids=self._end_ids,
            padding_id=self.padding_id,
            forbidden_ids=tuple(self.forbidden_ids),
            min_length=min_new_tokens,
            repetition_penalty=float(repetition_penalty),
            no_repeat_ngram_size=no_repeat_ngram_size,
            stop_sequences=stop_ids,
            with_log_probabilities=bool(return_log_probabilities),
        )
        longest = max(map(len, rows))
        count = self._count_new(longest, max_length, max_new_tokens)
        result = self._write_texts(
            rows,
            count,
            sampler,
            rules,
            bool(return_attention_scores),
            callback=callback and self._stream(callback, has_text, stop_texts),
            stop_texts=stop_texts,
        )
        return self._finish(
            rows,
            result,
            sampler,
            rules,
            has_text=has_text,
            is_one=is_one,
            stop_texts=stop_texts,
            include_prompt=include_prompt,
            return_log_probabilities=return_log_probabilities,
            return_attention_scores=return_attention_scores,
        )

    @property
    def num_compilations(self):
        """How many programs `generate` has compiled for this model."""
        made = getattr(self, "_programs", None)
        programs = [] if made is None else made.made.values()
        return sum(p.num_compilations for pair in programs for p in pair)

    @property
    def _end_ids(self):
        if self.end_id is None:
            return ()
        ids = self.end_id if isinstance(self.end_id, tuple | list) else (self.end_id,)
        return tuple(int(i) for i in ids)

    # What comes in.

    def _read_prompts(self, prompts):
        """The token ids of prompts, as lists, and whether they were strings."""
        if not isinstance(prompts, list | tuple | np.ndarray):
            prompts = ops.convert_to_numpy(prompts)
        if not len(prompts):
            raise ValueError("`prompts` must hold at least one prompt. Received none.")
        has_text = any(isinstance(prompt, str) for prompt in prompts)
        if has_text:
            return [self._read_prompt(*item) for item in enumerate(prompts)], True
        rows = []
        for i, prompt in enumerate(prompts):
            row = np.asarray(prompt)
            if row.ndim != 1 or (row.size and row.dtype.kind not in "ui"):
                raise ValueError(
                    "`prompts` must be strings, or token ids, a list of integers each. "
                    f"Received: {prompt!r} as prompt {i}."
                )
            rows.append(self._check_row(i, row.tolist()))
        return rows, False

    def _read_prompt(self, number, text):
        if self.tokenizer is None:
            raise ValueError(
                f"This {type(self).__name__} has no tokenizer, so it reads token ids. "
                f"Received the string {text!r}. Build it with one, or encode the "
                "prompts."
            )
        if not isinstance(text, str) or not text.strip():
            raise ValueError(
                f"Each prompt must be a string that is not empty. Received: {text!r} "
                f"as prompt {number}."
            )
        return self._check_row(number, [int(i) for i in self.encode_prompt(text)])

    def _check_row(self, number, token_ids):
        if not token_ids:
            raise ValueError(
                f"Prompt {number} has no token. Give each prompt one at least, such as "
                "the start token."
            )
        low, high = min(token_ids), max(token_ids)
        if low < 0 or high >= self.vocabulary_size:
            raise ValueError(
                f"Token ids must be from 0 to {self.vocabulary_size - 1}. Received: "
                f"{low} to {high} in prompt {number}."
            )
        return token_ids

    def _read_stop(self, stop, has_text, sampler):
        """Stop sequences of token ids, tuples, and of characters."""
        if stop is None:
            return (), ()
        stop = [stop] if isinstance(stop, str) else list(stop)
        if stop and all(isinstance(i, int) for i in stop):
            stop = [stop]
        texts = tuple(s for s in stop if isinstance(s, str))
        if "" in texts:
            raise ValueError(f"A stop sequence must not be empty. Received: {stop}")
        if texts and (not has_text or sampler.beam_width > 1):
            raise ValueError(
                "A string stops only texts that are strings, of a sampler with one "
                f"beam. Received: stop={stop}. Pass lists of token ids."
            )
        ids = tuple(tuple(map(int, s)) for s in stop if not isinstance(s, str))
        return ids, texts

    def _count_new(self, longest, max_length, max_new_tokens):
        """How many tokens are written at most."""
        if max_length is not None and max_new_tokens is not None:
            raise ValueError(
                "`max_length` counts the prompt, `max_new_tokens` does not. Received "
                f"both: {max_length} and {max_new_tokens}. Leave one out."
            )
        positions = self.max_length
        if max_new_tokens is not None:
            check_positive(max_new_tokens=max_new_tokens)
            wanted = longest + max_new_tokens
        elif max_length is not None:
            check_positive(max_length=max_length)
            wanted = max_length
        elif positions is None:
            raise ValueError("Pass `max_length` or `max_new_tokens`: both are missing.")
        else:
            wanted = positions
        if positions is not None and wanted > positions:
            raise ValueError(
                f"The model has positions for {positions} tokens. Received a prompt of "
                f"{longest} tokens, and {wanted} tokens asked for in all. Ask for "
                "fewer, or cut the prompt."
            )
        if longest >= wanted:
            raise ValueError(
                f"The longest prompt has {longest} tokens, which leaves none to write "
                f"below max_length={wanted}. Cut it, or raise `max_length`."
            )
        return wanted - longest

    # The programs.

    def _write_texts(
        self, rows, count, sampler, rules, with_weights, callback, stop_texts
    ):
        """Runs the programs: the loop after the last step, as NumPy arrays."""
        size, slots = bucket_lengths(max(map(len, rows)), count)
        token_ids = np.full((len(rows), size), self.padding_id, "int32")
        mask = np.ones((len(rows), slots), "bool")
        for i, row in enumerate(rows):
            token_ids[i, size - len(row) :] = row
            mask[i, : size - len(row)] = False
        uniform = random_numbers(sampler, len(rows), slots - size)
        inputs = {
            "token_ids": token_ids,
            "mask": mask,
            "places": np.zeros(slots, "bool"),  # for their number
        }
        if uniform is not None:
            inputs["uniform"] = uniform
        inputs = {name: ops.convert_to_tensor(x) for name, x in inputs.items()}
        if mask.all() and keras.backend.backend() == "torch":
            del inputs["mask"]
        last = size + count
        start, go_on = self._programs_for(sampler, rules, with_weights)
        loop = start(inputs, last)
        is_watched = callback is not None or bool(stop_texts)
        slot = size + 1
        if is_watched:
            loop = self._look(loop, size, rules, callback, stop_texts)
        while slot < last and not np.all(ops.convert_to_numpy(loop["ended"])):
            end = slot + 1 if is_watched else last
            slot, loop = go_on(slot, end, last, loop, inputs.get("mask", ()))
            slot = int(slot)
            if is_watched:
                loop = self._look(loop, size, rules, callback, stop_texts)
        names = ("sequences", "log_p", "kept")
        found = {k: ops.convert_to_numpy(loop[k]) for k in names if k in loop}
        return {**found, "size": size}

    def _look(self, loop, size, rules, callback, stop_texts):
        """Tells what was written so far, and ends texts in which a string stops."""
        sequences = ops.convert_to_numpy(loop["sequences"])[:, 0, size:]
        rows = [[int(i) for i in row if i >= 0] for row in sequences]
        rows = [strip_end(row, rules) for row in rows]
        if stop_texts:
            texts = [self.decode_text(row) if row else "" for row in rows]
            stopped = [cut_at(text, stop_texts) != text for text in texts]
            stopped = ops.convert_to_tensor(np.array(stopped)[:, None])
            loop = {**loop, "ended": ops.logical_or(loop["ended"], stopped)}
        if callback is not None:
            callback(rows)
        return loop

    def _programs_for(self, *options):
        """The compiled programs with these options, made at the first call."""
        if not hasattr(self, "_programs"):
            # Not a dict: Keras would take what is in it for a part of this model.
            self._programs = types.SimpleNamespace(made={})
        if hasattr(self, "jax_state_sync"):
            self.jax_state_sync()  # within a callback, fit holds the newest weights
        sampler, rules, with_weights = options
        key = (sampler.key, rules, with_weights, tuple(map(id, self.variables)))
        if key not in self._programs.made:

            def start(inputs, last):
                return self._start(inputs, last, *options)

            def go_on(slot, loop, mask, last):
                step = self._step(mask, with_weights)
                return take_step(slot, loop, step, sampler, rules, last)

            self._programs.made[key] = (
                Program(start, self.variables),
                Loop(is_open, go_on, self.variables),
            )
        return self._programs.made[key]

    def _start(self, inputs, last, sampler, rules, with_weights):
        """Reads the prompts and writes the first token."""
        token_ids = inputs["token_ids"]
        batch_size, size = token_ids.shape
        mask = inputs.get("mask")
        slots = inputs["places"].shape[0]
        if mask is None:
            here, positions = None, ops.arange(size, dtype="int32")[None]
            prompt = token_ids
        else:
            here = mask[:, :size]
            positions = ops.cumsum(ops.cast(here, "int32"), axis=1) - 1
            positions = ops.maximum(positions, 0)
            prompt = ops.where(here, token_ids, NOTHING)
        x, cache, weights = self.decoder.step(
            self.embed(token_ids, positions),
            self.decoder.start_cache(batch_size, slots),
            length=0,
            mask=here,
            positions=positions,
            return_attention_scores=with_weights,
        )
        logits = self.predict_logits(x[:, -1:])  # (B, 1, V)
        cache = repeat_cache(cache, batch_size, sampler.beam_width)
        state = {"cache": cache, "length": size}
        loop = start_loop(state, batch_size, sampler, slots - size, prompt)
        if "uniform" in inputs:
            loop["uniform"] = inputs["uniform"]
        keep = None
        if with_weights:
            keep = stack_weights([w[0][:, None, :, -1:] for w in weights], slots)
            keep = ops.repeat(keep, sampler.beam_width, axis=1)
            loop["count"] = slots - size
        logits = ops.repeat(logits, sampler.beam_width, axis=1)  # (B, K, V)
        loop = place_tokens(size, loop, logits, keep, sampler, rules, last)
        loop.pop("count", None)
        return loop

    def _step(self, mask, with_weights):
        """The function of the last tokens and the state that the loop calls."""

        def step(token_ids, state):
            batch_size, beam_width = token_ids.shape
            length = state["length"]
            cache = merge_beams(state["cache"])
            if isinstance(mask, tuple):
                here = None
                positions = ops.zeros((1, 1), "int32") + length
            else:
                here = ops.repeat(mask, beam_width, axis=0)  # (B K, S)
                missing = ops.sum(ops.cast(ops.logical_not(here), "int32"), axis=1)
                positions = (length - missing)[:, None]
            x = self.embed(ops.reshape(token_ids, (-1, 1)), positions)  # (B K, 1, D)
            x, cache, weights = self.decoder.step(
                x,
                cache,
                length=length,
                mask=here,
                positions=positions,
                return_attention_scores=with_weights,
            )
            logits = self.predict_logits(x)
            logits = ops.reshape(logits, (batch_size, beam_width, -1))
            keep = None
            if with_weights:
                split = (batch_size, beam_width)
                weights = [
                    ops.reshape(w[0], (*split, *w[0].shape[1:])) for w in weights
                ]
                keep = stack_weights(weights, cache[0][0].shape[1])
            cache = split_beams(cache, batch_size, beam_width)
            return logits, {"cache": cache, "length": length + 1}, keep

        return step

    # What goes out.

    def _stream(self, callback, has_text, stop_texts):
        """A function of the rows so far that hands over what is new in each."""
        told = {}

        def tell(rows):
            parts = []
            for i, row in enumerate(rows):
                before = told.get(i, "" if has_text else [])
                now = row
                if has_text:
                    now = cut_at(self.decode_text(row) if row else "", stop_texts)
                    if now.endswith("\ufffd"):  # half of a character
                        now = before
                parts.append(now[len(before) :])
                told[i] = now
            callback(parts)

        return tell

    def _finish(
        self,
        rows,
        result,
        sampler,
        rules,
        *,
        has_text,
        is_one,
        stop_texts,
        include_prompt,
        return_log_probabilities,
        return_attention_scores,
    ):
        size, count = result["size"], sampler.num_results or 1
        texts = []
        for row, beams in zip(rows, result["sequences"][:, :count], strict=True):
            for sequence in beams:
                new = [int(i) for i in sequence[size:] if i >= 0]
                texts.append((row, strip_end(new, rules)))
        if has_text:
            outputs = [self._text(*text, stop_texts, include_prompt) for text in texts]
            outputs = [outputs[i : i + count] for i in range(0, len(outputs), count)]
            if sampler.num_results is None:
                outputs = [few[0] for few in outputs]
            outputs = outputs[0] if is_one else outputs
        else:
            outputs = [row + new if include_prompt else new for row, new in texts]
            longest = max(map(len, outputs))
            padded = np.full((len(outputs), longest), self.padding_id, "int32")
            for i, row in enumerate(outputs):
                padded[i, : len(row)] = row
            outputs = padded
            if sampler.num_results is not None:
                outputs = outputs.reshape(len(rows), count, longest)
        results = [outputs]
        if return_log_probabilities:
            log_p = result["log_p"][:, :count]
            results.append(log_p if sampler.num_results is not None else log_p[:, 0])
        if return_attention_scores:
            kept = result["kept"][:, :count]  # (B, n, L, num_layers, N, S)
            written = max(len(new) for _, new in texts)
            longest = max(len(row) + len(new) for row, new in texts)
            weights = np.zeros(
                (*kept.shape[:2], written, *kept.shape[3:5], longest), kept.dtype
            )
            for i, row in enumerate(rows):
                part = kept[i, :, :written, :, :, size - len(row) :][..., :longest]
                weights[i, :, : part.shape[1], ..., : part.shape[-1]] = part
            results.append(
                weights if sampler.num_results is not None else weights[:, 0]
            )
        return tuple(results) if len(results) > 1 else outputs

    def _text(self, prompt, new, stop_texts, include_prompt):
        text = self.decode_text(new) if new else ""
        cut = cut_at(text, stop_texts)
        if not include_prompt:
            return cut
        if cut != text or not new:
            return self.decode_text(prompt) + cut
        return self.decode_text(prompt + new)


def bucket_lengths(longest, count):
    """How many slots prompts and texts get.

    On PyTorch the prompts are not compiled, so there they get as many as they need.

    Args:
        longest: Tokens of the longest prompt.
        count: Tokens to write at most.

    Returns:
        P, slots of the prompts, and S, slots in all.

    Example:

    >>> expected = (37, 64) if keras.backend.backend() == "torch" else (64, 128)
    >>> bucket_lengths(37, 10) == expected
    True
    """
    size = longest
    if keras.backend.backend() != "torch":
        size = max(SMALLEST_BUCKET, 1 << (longest - 1).bit_length())
    return size, -(-(size + count) // SLOT_STEP) * SLOT_STEP


def strip_end(token_ids, rules):
    """Leaves out what ended a sequence.

    Args:
        token_ids: List of the new token ids.
        rules: `Rules`.

    Returns:
        A list.

    Example:

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
