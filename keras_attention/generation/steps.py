"""How a model begins to write and goes on by one token, for the two kinds of decoders.

Letters: B sequences, K beams, R heads of keys and values, N heads, P tokens of the
prompts, S slots of a cache or tokens of a source, T tokens, H width of a head, D width
of a token, V vocabulary.
"""

import keras
from keras import ops

from keras_attention.generation.decode import repeat_beams


class CachedSteps:
    """Steps of a decoder that keeps keys and values, with or without cross-attention.

    Args:
        decoder: A `TransformerDecoder`, or what has its `start_cache` and `step`.
        embed: Function of integers `(B, T)`, token ids and positions, that returns
            `(B, T, D)`. One row of positions may stand for all.
        predict_logits: Function of `(B, T, D)`, what comes out of the decoder, that
            returns logits `(B, T, V)`.
        read_source: With cross-attention, function of the inputs of the model by name
            that returns a dict: `encoded`, from `decoder.read_encoder`, and
            `encoder_outputs_mask`.
    """

    has_attention = True
    use_xla = True

    def __init__(self, decoder, embed, predict_logits, read_source=None):
        self.decoder = decoder
        self.embed = embed
        self.predict_logits = predict_logits
        self.read_source = read_source

    def begin(self, inputs, slots, beam_width, with_weights):
        """Reads the source and the prompts, where there are.

        Args:
            inputs: Dict of tensors: those of the source, or `prompt`, token ids
                `(B, P)`, and `mask`, `(B, slots)`, False for what pads them in front.
            slots: Most tokens of a sequence, its prompt included.
            beam_width: K.
            with_weights: Whether the weights are asked for.

        Returns:
            What `step` needs of the source, the state of K beams, and of the prompts
            the logits `(B, K, V)` of the next token and the weights of the last
            `(B, K, num_layers, N, S)`; `None` without prompts.
        """
        inputs = dict(inputs)
        prompt, mask = inputs.pop("prompt", None), inputs.pop("mask", None)
        source = self.read_source(**inputs) if self.read_source else {}
        if prompt is None:
            batch_size = ops.shape(keras.tree.flatten(inputs)[0])[0]
            cache = self.decoder.start_cache(batch_size * beam_width, slots)
            cache = split_beams(cache, batch_size, beam_width)
            return source, {"cache": cache, "length": 0}, None
        batch_size, size = prompt.shape
        here, positions = None, ops.arange(size, dtype="int32")[None]
        if mask is not None:
            here = mask[:, :size]
            positions = ops.cumsum(ops.cast(here, "int32"), axis=1) - 1
            positions = ops.maximum(positions, 0)
        x, cache, weights = self.decoder.step(
            self.embed(prompt, positions),
            self.decoder.start_cache(batch_size, slots),
            length=0,
            mask=here,
            positions=positions,
            return_attention_scores=with_weights,
            **source,
        )
        logits = self.predict_logits(x[:, -1:])  # (B, 1, V)
        cache = repeat_cache(cache, batch_size, beam_width)
        weights = self._stack(weights, (batch_size, 1), slots) if with_weights else None
        first = [
            None if x is None else ops.repeat(x, beam_width, axis=1)
            for x in (logits, weights)
        ]
        if mask is not None:
            source = {**source, "mask": mask}
        return source, {"cache": cache, "length": size}, first

    def step(self, source, state, token_ids, with_weights):
        """Goes on by one token in each of K sequences.

        Args:
            source: From `begin`.
            state: From `begin` or from this function.
            token_ids: `(B, K)`, the tokens before.
            with_weights: Whether the weights are asked for.

        Returns:
            Logits `(B, K, V)`, the next state, and the weights
            `(B, K, num_layers, N, S)`, of cross-attention where there is any, or
            `None`.
        """
        split = batch_size, beam_width = ops.shape(token_ids)
        length, cache = state["length"], merge_beams(state["cache"])
        source = dict(source)
        mask = source.pop("mask", None)
        if mask is None:
            positions = ops.zeros((1, 1), "int32") + length
        else:
            mask = ops.repeat(mask, beam_width, axis=0)  # (B K, S)
            missing = ops.sum(ops.cast(ops.logical_not(mask), "int32"), axis=1)
            positions = (length - missing)[:, None]
        x = self.embed(ops.reshape(token_ids, (-1, 1)), positions)  # (B K, 1, D)
        x, cache, weights = self.decoder.step(
            x,
            cache,
            length=length,
            mask=mask,
            positions=positions,
            return_attention_scores=with_weights,
            **source,
        )
        logits = ops.reshape(self.predict_logits(x), (*split, -1))  # (B, K, V)
        slots = cache[0][0].shape[1]
        weights = self._stack(weights, split, slots) if with_weights else None
        cache = split_beams(cache, *split)
        return logits, {"cache": cache, "length": length + 1}, weights

    def _stack(self, weights, split, slots):
        """The weights of the last token in all blocks, `(B, K, num_layers, N, S)`."""
        weights = ops.stack([block[-1][:, :, -1] for block in weights], axis=1)
        weights = ops.cast(weights, "float32")
        weights = ops.reshape(weights, (*split, *weights.shape[1:]))
        # What S lacks of the slots was not read.
        missing = 0 if self.read_source else slots - weights.shape[-1]
        return ops.pad(weights, [(0, 0)] * 4 + [(0, missing)]) if missing else weights


class RecurrentSteps:
    """Steps of a decoder whose state is a few vectors.

    Args:
        start: Function of the inputs of the model by name that returns what
            `decoder.write` needs of them, and the first state, tensors `(B, 1, ...)`.
        decoder: A layer with `write` and `attention_weights`, such as `BahdanauDecoder`
            or `AttentionCaptionDecoder`.
        use_xla: Whether TensorFlow compiles `start` with XLA; see `Program`.
    """

    def __init__(self, start, decoder, use_xla=True):
        self.start = start
        self.decoder = decoder
        self.use_xla = use_xla

    @property
    def has_attention(self):
        """Whether there are weights to ask for."""
        return self.decoder.has_attention

    def begin(self, inputs, slots, beam_width, with_weights):
        """Reads the source and the prompts; see `CachedSteps.begin`."""
        inputs = dict(inputs)
        prompt = inputs.pop("prompt", None)
        source, state = self.start(**inputs)
        if prompt is None:
            return source, repeat_beams(state, beam_width), None
        for place in range(prompt.shape[1]):
            logits, state = self.decoder.write(
                source, state, prompt[:, place : place + 1]
            )
        weights = self.decoder.attention_weights(state) if with_weights else None
        first = [
            None if x is None else ops.repeat(x, beam_width, axis=1)
            for x in (logits, weights)
        ]
        return source, repeat_beams(state, beam_width), first

    def step(self, source, state, token_ids, with_weights):
        """Goes on by one token; see `CachedSteps.step`. The weights: `(B, K, S)`."""
        logits, state = self.decoder.write(source, state, token_ids)
        weights = self.decoder.attention_weights(state) if with_weights else None
        return logits, state, weights


def repeat_cache(cache, batch_size, beam_width):
    """The cache of B sequences `(B R, S, H)` each, as `split_beams` gives it."""
    if beam_width == 1:
        return cache
    return keras.tree.map_structure(
        lambda x: ops.repeat(
            ops.reshape(x, (batch_size, 1, -1, *x.shape[-2:])), beam_width, axis=1
        ),
        cache,
    )


def merge_beams(cache):
    """The cache of `split_beams` as the layers take it, `(B K R, S, H)` each."""
    return keras.tree.map_structure(
        lambda x: ops.reshape(x, (-1, *x.shape[-2:])), cache
    )


def split_beams(cache, batch_size, beam_width):
    """A cache of layers with an axis for beams, `(B, K, R, S, H)` each.

    That of one beam stays as it is, since beams are then not reordered: XLA changes a
    slot in place only where nothing reshapes the cache between two steps.
    """
    if beam_width == 1:
        return cache
    return keras.tree.map_structure(
        lambda x: ops.reshape(x, (batch_size, beam_width, -1, *x.shape[-2:])), cache
    )
