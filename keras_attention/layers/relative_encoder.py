"""The blocks of XLNet and of Transformer-XL, and what they leave for the next segment.

Letters: B batch, T tokens, M queries of the second stream, P tokens of the memory, S =
P + T tokens that are read, N heads, D width of a token.
"""

import functools

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.checks import check_rate
from keras_attention.layers.base import BaseLayer
from keras_attention.layers.base import copy_layer
from keras_attention.layers.residual import NORMS
from keras_attention.ops import causal_mask
from keras_attention.ops import combine_masks
from keras_attention.ops import window_mask

MEMORY = "memory"


@keras.saving.register_keras_serializable("keras_attention")
class RelativeEncoder(BaseLayer):
    """Repeats a `RelativeEncoderBlock`; what each copy read is the next memory.

    Dai et al. 2019, arXiv:1901.02860, Section 3.2: each block reads what it read of the
    segments before, and no gradient goes there.

    Args:
        block: A `RelativeEncoderBlock`. It is copied, not used itself.
        num_layers: Number of blocks.
        use_causal_mask: Whether token t reads only what stands before it, and itself.
        window: With a causal mask, how many tokens each one reads, itself included;
            `"memory"` for as many as the memory holds and one more (`same_length` in
            the papers' code). `None` for all.
        query_start: How the second stream begins: `None` where there is none, else a
            vector (Yang et al. 2019, arXiv:1906.08237, Section 2.3), that is
            `"learned"`, or `"kept"` as it is.
        dropout: Fraction of the inputs and of the outputs dropped in training.
        initializer: Initializer of that vector.
        seed: Integer, for reproducible dropout.

    Call arguments:
        inputs: `(B, T, D)`.
        padding_mask: `(B, T)`, True (or 1) for a token that is no padding. Padding
            reads what the others do, and itself.
        segment_ids: `(B, T)` integers; the memory has 0.
        permutation_mask: `(B, T, T)`, True (or 1) where a token may be read. Each also
            reads itself, but for the second stream.
        target_positions: `(B, M)` integers, where the queries of the second stream
            stand; -1 for one that stands nowhere.

    Returns:
        `(B, T, D)`, or `(B, M, D)` with `target_positions`.

    Raises:
        ValueError: There is a window without a causal mask, or a memory does not fit.

    Example:

    >>> from keras_attention.layers.relative_attention import RelativeAttention
    >>> from keras_attention.layers.relative_encoder_block import (
    ...     RelativeEncoderBlock,
    ... )
    >>> attention = RelativeAttention(num_heads=2, key_dim=3, hidden_dim=6)
    >>> block = RelativeEncoderBlock(2, mlp_dim=8, attention=attention)
    >>> encoder = RelativeEncoder(block, num_layers=3)
    >>> tuple(encoder(keras.ops.ones((1, 5, 6))).shape)
    (1, 5, 6)
    """

    def __init__(
        self,
        block,
        num_layers,
        use_causal_mask=False,
        window=None,
        query_start=None,
        dropout=0.0,
        initializer="glorot_uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_positive(num_layers=num_layers)
        check_rate(dropout=dropout)
        if window is not None and not use_causal_mask:
            raise ValueError(
                "A window of the tokens before each one needs a causal mask. Received: "
                f"window={window!r}, use_causal_mask=False"
            )
        self._copy_of_block = functools.partial(copy_layer, copy_layer(block))
        self.num_layers = num_layers
        self.use_causal_mask = use_causal_mask
        self.window = window
        self.query_start = query_start
        self.dropout = dropout
        self.initializer = keras.initializers.get(initializer)
        self.seed = seed
        self.drop = keras.layers.Dropout(
            dropout, seed=seed, dtype=self.dtype_policy, name="dropout"
        )
        self.blocks = [
            self._copy_of_block(100 * i, name=f"block_{i}") for i in range(num_layers)
        ]
        self.norm = None
        if block.norm_order != "post":
            self.norm = NORMS[block.norm](
                epsilon=block.epsilon, dtype=self.dtype_policy, name="norm"
            )

    @property
    def block(self):
        """A copy of the block that is repeated, without weights."""
        return copy_layer(self._copy_of_block())

    def build(self, inputs_shape, *others):
        for block in self.blocks:
            block.build(inputs_shape)
        if self.norm is not None:
            self.norm.build(inputs_shape)
        if self.query_start is not None:
            self.query_vector = self.add_weight(
                (inputs_shape[-1],),
                self.initializer,
                trainable=self.query_start == "learned",
                name="query_vector",
            )
        self.built = True

    def call(
        self,
        inputs,
        padding_mask=None,
        segment_ids=None,
        permutation_mask=None,
        target_positions=None,
        training=None,
    ):
        x, _, _ = self.read(
            inputs,
            padding_mask=padding_mask,
            segment_ids=segment_ids,
            permutation_mask=permutation_mask,
            target_positions=target_positions,
        )
        return x

    def read(
        self,
        inputs,
        memories=None,
        padding_mask=None,
        segment_ids=None,
        permutation_mask=None,
        target_positions=None,
        memory_mask=None,
        return_attention_scores=False,
    ):
        """Reads a segment behind those of which there are memories.

        Args:
            inputs: `(B, T, D)`.
            memories: List of `(B, P, D)`, one for each block, or `None`.
            padding_mask: As for `call`, of the segment alone.
            segment_ids: Likewise.
            permutation_mask: Likewise; all of the memory is read.
            target_positions: As for `call`.
            memory_mask: `(B, P)`, boolean, True for what may be read of the memories.
                By default all.
            return_attention_scores: Whether to compute the weights.

        Returns:
            What `call` returns; a list of what each block read, `(B, T, D)`; and a list
            of tuples with the weights `(B, N, T, S)` of the tokens and of the second
            stream, or an empty list.

        Raises:
            ValueError: A memory does not fit.
        """
        x = self.drop(ops.cast(inputs, self.compute_dtype))
        self._check_memories(memories, x)
        before = 0 if memories is None else ops.shape(memories[0])[1]
        mask, mask_of_queries = self._masks(
            x, before, padding_mask, permutation_mask, memory_mask
        )
        options = {"mask": mask}
        if segment_ids is not None:
            options["same_segment"] = same_segment(segment_ids, before)
        queries = None
        if target_positions is not None:
            places = target_positions[:, :, None] == ops.arange(ops.shape(x)[1])
            options["places"] = ops.cast(places, x.dtype)  # (B, M, T)
            options["mask_of_queries"] = mask_of_queries
            shape = (*ops.shape(target_positions), x.shape[-1])
            start = ops.cast(self.query_vector, x.dtype)
            queries = self.drop(ops.broadcast_to(start, shape))  # (B, M, D)
        entered, weights = [], []
        for block, memory in zip(
            self.blocks, memories or [None] * self.num_layers, strict=True
        ):
            entered.append(x)
            x, queries, *block_weights = block(
                x,
                queries=queries,
                memory=memory,
                return_attention_scores=return_attention_scores,
                **options,
            )
            if return_attention_scores:
                weights.append(tuple(block_weights))
        x = x if queries is None else queries
        if self.norm is not None:
            x = self.norm(x)
        return self.drop(x), entered, weights

    def _check_memories(self, memories, x):
        if memories is None:
            return
        shapes = [tuple(memory.shape) for memory in memories]
        expected = x.shape[0], x.shape[2]
        fits = all((shape[0], shape[-1]) == expected for shape in shapes)
        if len(shapes) != self.num_layers or len(set(shapes)) > 1 or not fits:
            raise ValueError(
                f"Layer {self.name!r} reads one memory for each of its "
                f"{self.num_layers} blocks, (B, P, D) with B={expected[0]} and "
                f"D={expected[1]} as in its inputs. Received {len(shapes)}, of the "
                f"shapes {sorted(set(shapes))}. Pass those that the segment before "
                "gave, for the same sequences."
            )

    def _masks(self, x, before, padding_mask, permutation_mask, memory_mask):
        """Who reads whom, `(B, 1, T, S)`, for the tokens and for the second stream."""
        length = ops.shape(x)[1]
        given = [
            None if mask is None else ops.cast(mask, "bool")
            for mask in (padding_mask, permutation_mask)
        ]
        mask = combine_masks(*given)
        itself = ops.eye(length, dtype="bool")
        own = None if mask is None else ops.logical_or(mask, itself)
        if memory_mask is not None and mask is None:
            own = mask = ops.ones((ops.shape(x)[0], 1, 1, length), "bool")
        masks = []
        for found in (own, mask):
            if found is not None:
                shape = (*ops.shape(found)[:-1], before)
                read = ops.ones(shape, "bool")
                if memory_mask is not None:
                    read = ops.broadcast_to(memory_mask[:, None, None], shape)
                found = ops.concatenate([read, found], axis=-1)
            masks.append(combine_masks(found, self._past(length, before)))
        return masks

    def _past(self, length, before):
        if not self.use_causal_mask:
            return None
        mask = causal_mask(length, before + length, offset=before)
        if self.window is None:
            return mask
        window = before + 1 if self.window == MEMORY else self.window
        near = window_mask(length, before + length, window=window, offset=before)
        return ops.logical_and(mask, near)

    def compute_output_spec(
        self,
        inputs,
        padding_mask=None,
        segment_ids=None,
        permutation_mask=None,
        target_positions=None,
        training=None,
    ):
        rows = inputs if target_positions is None else target_positions
        return keras.KerasTensor(
            (*rows.shape[:2], inputs.shape[-1]), self.compute_dtype
        )

    def compute_mask(self, inputs, previous_mask):
        return None


def same_segment(segment_ids, before=0):
    """Where two tokens are of one segment.

    Args:
        segment_ids: `(B, T)` integers.
        before: How many tokens of segment 0 are read before these.

    Returns:
        `(B, T, S)` booleans, S = `before` + T.

    Example:

    >>> found = same_segment(np.array([[0, 1]]), before=1)
    >>> keras.ops.convert_to_numpy(found).astype(int).tolist()
    [[[1, 1, 0], [0, 0, 1]]]
    """
    segment_ids = ops.convert_to_tensor(segment_ids)
    read = ops.pad(segment_ids, ((0, 0), (before, 0)))
    return ops.equal(segment_ids[:, :, None], read[:, None])


def next_memories(memories, entered, memory_length=None, reused_length=None):
    """What the next segment reads: the last of the old memories and of the new ones.

    Args:
        memories: List of `(B, P, D)`, or `None`.
        entered: List of `(B, T, D)`, what each block read of this segment.
        memory_length: Most tokens of a memory; `None` for no limit.
        reused_length: How many tokens of the segment, from its first on, are kept;
            `None` for all.

    Returns:
        List of `(B, P', D)`, without gradient.

    Example:

    >>> memories, entered = [np.zeros((1, 3, 2))], [np.ones((1, 4, 2))]
    >>> [tuple(x.shape) for x in next_memories(memories, entered, 5, reused_length=3)]
    [(1, 5, 2)]
    """
    found = []
    for number, x in enumerate(entered):
        x = ops.convert_to_tensor(x)[:, :reused_length]
        if memories is not None:
            old = ops.cast(memories[number], x.dtype)
            x = ops.concatenate([old, x], axis=1)
        if memory_length is not None:
            x = x[:, max(ops.shape(x)[1] - memory_length, 0) :]
        found.append(ops.stop_gradient(x))
    return found
