"""Models that read a long text in parts, each behind memories of those before.

Letters: B sequences, P tokens of a memory, D width of a token.
"""

import keras

from keras_attention.layers.relative_encoder import next_memories

# What heads have that cannot be told of a part of a text.
WHOLE = {
    "multiple_choice": "several choices",
    "question_answering_beam_search": "an answer that is searched for",
}


class SegmentReader:
    """Gives a model `read_segment`.

    Abstract: put it before `Application` among the bases of a class with an `embedding`
    of token ids, an `encoder` that is a `RelativeEncoder`, and the arguments
    `memory_length` and `head`. It may have `reused_length`.
    """

    def read_segment(self, inputs, memories=None):
        """Reads a part of a text behind those that were read before.

        Dai et al. 2019, arXiv:1901.02860, Section 3.2: each block also reads what it
        read of the parts before. So a text of any length is read at the cost of its
        parts:

            memories = None
            for part in parts:
                outputs, memories = model.read_segment(part, memories)

        Args:
            inputs: What the model is called with, for this part.
            memories: What the part before gave, or `None` for the first one. All of it
                is read, so leave padding to the first part and to the last.

        Returns:
            What the model returns; and the memories for the next part, a list of
            `(B, P, D)`, one for each block, without gradient. P is at most
            `memory_length`.

        Raises:
            ValueError: The memories are of other sequences, an id has no row, or the
                head needs a text as a whole.

        Example:

        >>> from keras_attention.applications import XLNet
        >>> model = XLNet(
        ...     vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
        ...     memory_length=6,
        ... )
        >>> ids = np.array([[7, 5, 4, 3]])
        >>> part = {
        ...     "token_ids": ids, "padding_mask": ids > 0, "segment_ids": 0 * ids,
        ... }
        >>> outputs, memories = model.read_segment(part)
        >>> outputs, memories = model.read_segment(part, memories)
        >>> tuple(outputs.shape), [tuple(memory.shape) for memory in memories]
        ((1, 4, 8), [(1, 6, 8), (1, 6, 8)])
        """
        if self.head in WHOLE:
            raise ValueError(
                f"A text with {WHOLE[self.head]} is read as a whole. Received: "
                f"head={self.head!r}. Call the model with all of it."
            )
        self.check_prepared(inputs)
        inputs = {
            name: keras.ops.convert_to_tensor(tensor) for name, tensor in inputs.items()
        }
        x = self.embedding(inputs.pop("token_ids"))
        x, entered, _ = self.encoder.read(x, memories, **inputs)
        if self.head is not None:
            x = keras.Function(self.encoder.output, self.output)(x)
        reused_length = getattr(self, "reused_length", None)
        memories = next_memories(memories, entered, self.memory_length, reused_length)
        return x, memories
