"""A decoder that goes on over memories of one length, at one cost for each token.

Letters: B sequences, P tokens of a memory, T tokens, S slots of the texts, D width of a
token, N heads.
"""

from keras import ops


class MemoryDecoder:
    """What `CachedSteps` asks of a decoder, of an encoder that reads memories.

    A token reads what each block read of the last P tokens, and itself, however long
    the text has become (Dai et al. 2019, arXiv:1901.02860, Section 3.2).

    Args:
        encoder: A `RelativeEncoder` with a causal mask, which is built.
        memory_length: P.
        hidden_dim: D.
    """

    def __init__(self, encoder, memory_length, hidden_dim):
        self.encoder = encoder
        self.memory_length = memory_length
        self.hidden_dim = hidden_dim

    def start_cache(self, batch_size, length):
        """Memories in which nothing is, and which of their tokens may be read.

        Args:
            batch_size: B.
            length: S.

        Returns:
            List of tuples of `(B, ..., ...)`: of which the first has S slots, for the
            weights, and which tokens of the memory may be read; the others are the
            memories, `(B, P, D)`.
        """
        dtype, size = self.encoder.compute_dtype, self.memory_length
        first = ops.zeros((batch_size, length, 1), dtype)
        is_read = ops.zeros((batch_size, size, 1), dtype)
        shape = (batch_size, size, self.hidden_dim)
        memories = [(ops.zeros(shape, dtype),) for _ in self.encoder.blocks]
        return [(first, is_read), *memories]

    def step(self, x, cache, *, length, mask, positions, return_attention_scores):
        """Reads T more tokens; see `TransformerDecoder.step`."""
        del positions  # distances are counted
        (first, is_read), *memories = cache
        count = x.shape[1]
        here = ops.ones((ops.shape(x)[0], count), "bool")
        if mask is not None and isinstance(length, int) and length == 0:
            here = mask[:, :count]  # what stands in front of prompts
        x, entered, weights = self.encoder.read(
            x,
            [memory for (memory,) in memories],
            padding_mask=here,
            memory_mask=is_read[:, :, 0] > 0,
            return_attention_scores=return_attention_scores,
        )
        here = ops.cast(here, is_read.dtype)[:, :, None]
        is_read = ops.concatenate([is_read, here], axis=1)[:, count:]
        memories = [
            (ops.concatenate([memory, new], axis=1)[:, count:],)
            for (memory,), new in zip(memories, entered, strict=True)
        ]
        weights = [(self._by_slot(w[0], length, first.shape[1]),) for w in weights]
        return x, [(first, is_read), *memories], weights

    def _by_slot(self, weights, length, slots):
        """Weights `(B, N, T, P + T)` of the slots of the text, `(B, N, T, S)`."""
        places = ops.arange(slots, dtype="int32") - length + self.memory_length
        size = weights.shape[-1]
        is_there = ops.logical_and(places >= 0, places < size)
        found = ops.take(weights, ops.clip(places, 0, size - 1), axis=-1)
        return found * ops.cast(is_there, found.dtype)
