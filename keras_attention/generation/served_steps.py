"""Steps of `generate`, `translate` and `caption` as models that can be exported.

Letters: B sequences, K heads of keys and values, S slots of a cache, V vocabulary.
"""

import inspect

import keras
from keras import ops

from keras_attention.backend.served_function import ServedFunction
from keras_attention.checks import check_positive


class _Leaves:
    """The tensors of a nested structure by name, with the batch as their first axis.

    Args:
        prefix: What their names begin with.
        examples: The structure for some batch sizes and lengths, a dict from pairs of
            these; B is not known, and an axis that differs between lengths neither.
    """

    def __init__(self, prefix, examples):
        sizes, structures = list(examples), list(examples.values())
        self._structure = structures[0]
        self.names, self._heads, self.specs = [], [], {}
        paths = keras.tree.flatten_with_path(structures[0])
        flat = [keras.tree.flatten(structure) for structure in structures]
        for number, (path, _) in enumerate(paths):
            name = "_".join([prefix, *(str(part) for part in path)])
            shapes = [tuple(getattr(x[number], "shape", ())) for x in flat]
            dtype = keras.backend.standardize_dtype(
                getattr(flat[0][number], "dtype", "int32")
            )
            heads, shape = None, ()
            if shapes[0]:
                heads = shapes[0][0] // sizes[0][0]  # rows of a sequence
                same = [len(set(axis)) == 1 for axis in zip(*shapes, strict=True)]
                rest = [n if s else None for n, s in zip(shapes[0], same, strict=True)]
                shape = (None, *([heads] if heads > 1 else []), *rest[1:])
            self.names.append(name)
            self._heads.append(heads)
            self.specs[name] = keras.InputSpec(shape=shape, dtype=dtype, name=name)

    def pack(self, tensors):
        """The structure, from a dict of tensors."""
        leaves = []
        for name, heads in zip(self.names, self._heads, strict=True):
            x = tensors[name]
            if heads is not None and heads > 1:
                x = ops.reshape(x, (-1, *ops.shape(x)[2:]))
            leaves.append(x)
        return keras.tree.pack_sequence_as(self._structure, leaves)

    def unpack(self, structure):
        """A dict of tensors, from the structure."""
        leaves = {}
        flat = keras.tree.flatten(structure)
        for name, heads, x in zip(self.names, self._heads, flat, strict=True):
            x = ops.convert_to_tensor(x)
            if heads is None:
                x = ops.cast(x, "int32")
            elif heads > 1:
                x = ops.reshape(x, (-1, heads, *ops.shape(x)[1:]))
            leaves[name] = x
        return leaves


def serve_steps(model, slots):
    """The functions that write with a model, without the loop around them.

    Args:
        model: A `WritingModel`.
        slots: S, most tokens of a sequence.

    Returns:
        Two `ServedFunction`s. `begin` goes from what the model reads to what `step`
        needs; it is `None` for a model that continues texts, where all that is zeros.
        `step` goes from `token_ids` `(B, 1)`, the last ones, and that, to `logits`
        `(B, V)` and the next state, under the names with which it came.

    Raises:
        ValueError: `slots` is no positive integer.
    """
    check_positive(slots=slots)
    steps = model.make_steps()
    reader = getattr(steps, "read_source", None) or getattr(steps, "start", None)

    def start(inputs, batch_size=None):
        if reader is not None:
            source, state, _ = steps.begin(inputs, slots, 1, False)
            return source, state
        return {}, {"cache": steps.decoder.start_cache(batch_size, slots), "length": 0}

    signature, examples = {}, {}
    if reader is not None:
        names = inspect.signature(reader).parameters
        for name in names:
            x = model.input[name]
            spec = keras.InputSpec(shape=x.shape, dtype=x.dtype, name=name)
            signature[name] = spec
    for batch_size, length in ((2, 5), (3, 6)):
        inputs = {
            name: ops.ones([batch_size, *(n or length for n in spec.shape[1:])], dtype)
            for name, spec in signature.items()
            for dtype in [spec.dtype]
        }
        examples[batch_size, length] = start(inputs, batch_size)
    source = _Leaves("source", {size: pair[0] for size, pair in examples.items()})
    state = _Leaves("state", {size: pair[1] for size, pair in examples.items()})

    def begin(inputs):
        first, second = start(inputs)
        return {**source.unpack(first), **state.unpack(second)}

    def step(inputs):
        token_ids = inputs["token_ids"]
        logits, after, _ = steps.step(
            source.pack(inputs), state.pack(inputs), token_ids, False
        )
        return {"logits": logits[:, 0], **state.unpack(after)}

    tokens = keras.InputSpec(shape=(None, 1), dtype="int32", name="token_ids")
    needs = {"token_ids": tokens, **source.specs, **state.specs}
    first = None
    if reader is not None:
        first = ServedFunction(model, begin, signature, name="begin")
    return first, ServedFunction(model, step, needs, name="step")
