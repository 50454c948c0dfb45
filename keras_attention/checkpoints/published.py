"""Published weights: read into a model, written from one, nothing lost in silence."""

import math
import warnings

import keras
import numpy as np

from keras_attention.checkpoints.copies import Beside
from keras_attention.checkpoints.copies import Buffer
from keras_attention.checkpoints.copies import Copy
from keras_attention.checkpoints.rules import match
from keras_attention.checkpoints.rules import pattern_of
from keras_attention.checkpoints.tensors import open_tensors
from keras_attention.checkpoints.tensors import write_tensors
from keras_attention.checkpoints.weights import is_float
from keras_attention.checkpoints.weights import layer_of
from keras_attention.checkpoints.weights import listed
from keras_attention.checkpoints.weights import named_weights
from keras_attention.checkpoints.weights import warn_of_new_rows
from keras_attention.checkpoints.weights import with_rows

# The arguments that say how many blocks there are.
BLOCKS = ("num_layers", "num_decoder_layers")
# Numbers that a model may have besides: a new head, more words.
ROOM = 10**8
# What no family says of a name.
UNKNOWN = object()


def load_published(
    model,
    folder,
    family,
    saved,
    arguments,
    new_layers=(),
    head_layers=(),
    may_resize=False,
    may_have_other_heads=False,
    draw=None,
):
    """Reads published weights into a model.

    All names and shapes are compared before the first weight changes.

    Args:
        model: A model that is built.
        folder: Folder of the checkpoint.
        family: Its `Family`.
        saved: Arguments of the published model.
        arguments: Arguments of `model`.
        new_layers: Paths of layers that stay as they were made where their tensors are
            missing or do not fit, since another head was asked for.
        head_layers: Paths of layers, of all heads, whose tensors may be left over.
        may_resize: Whether a rule may fit a tensor to another size, since an argument
            was asked for that the published model does not have.
        may_have_other_heads: Whether tensors outside the body may be left over, since
            the published model has a head that is not known here.
        draw: Function of a list of weights that gives them their first values, for
            tables of which only some rows are read. By default they have them.

    Returns:
        The weights that were read, a list.

    Raises:
        ValueError: The files are missing or damaged, or do not fit the model.
    """
    weights = named_weights(model)
    rules = family.rules_for(arguments)
    with open_tensors(folder) as (path, published):
        tensors = {family.without_prefix(name): t for name, t in published.items()}
        faults = _Faults(model, path, len(weights), len(published))
        kinds = family.harmless_for(saved)
        kinds = {pattern_of(name): kind for name, kind in kinds.items()}
        _merge_copies(tensors, kinds, faults)
        outside = {
            name
            for name in published
            if family.prefix and not name.startswith(family.prefix)
        }
        plan, stay, random, left = [], set(), [], []
        for transfer in match(rules, weights):
            names = [family.without_prefix(name) for name in transfer.names]
            parts = [tensors.pop(name, None) for name in names]
            fault = faults.of(transfer, parts, may_resize, saved, arguments)
            layers = {layer_of(path, new_layers) for path in transfer.weights}
            if fault is None:
                plan.append((transfer, parts, layers))
            elif layers != {None}:
                stay |= layers  # a layer of which only a part fits is new as a whole
            elif transfer.rule.optional and all(part is None for part in parts):
                random.extend(transfer.names)
            else:
                faults.add(*fault)
        spare = [
            rule
            for rule in (*rules, *family.rules_for(saved))
            if layer_of(rule.paths_as_written[0], head_layers)
        ]
        for name in sorted(tensors):
            if any(rule.is_published_as(name, family.without_prefix) for rule in spare):
                continue
            if may_have_other_heads and name in outside:
                left.append(name)
                continue
            fault = _fault_of_spare(name, tensors[name], kinds, saved)
            if fault is not None:
                faults.add(fault, name)
        faults.tell()
        if left:
            warnings.warn(
                f"{path} has a head that is not known here, left out: "
                f"{', '.join(left)}.",
                stacklevel=4,
            )
        if random:
            warnings.warn(
                f"{path} has no {', '.join(random)}: these weights of {model.name!r} "
                "stay random until they are trained.",
                stacklevel=4,
            )
        loaded, grown = [], set()
        for transfer, parts, layers in plan:
            if layers & (stay - {None}):
                continue
            weights = list(transfer.weights.values())
            size = transfer.rule.sized_by
            if size and arguments[size] != saved[size]:
                if draw is not None:
                    draw(weights)
                if arguments[size] > saved[size]:
                    grown.add(size)
            _load(transfer, parts, saved, arguments)
            loaded.extend(weights)
        sizes = {name: (saved[name], arguments[name]) for name in grown}
        warn_of_new_rows(path, model, sizes, stacklevel=5)
        return loaded


def room_for_weights(folder, arguments, place):
    """How many numbers a model may have that is built for the weights in a folder.

    What a user asks for besides, such as another head, has room.

    Args:
        folder: Folder of a checkpoint.
        arguments: Those that its config gives.
        place: Where they were read, for messages.

    Returns:
        An integer.

    Raises:
        ValueError: There are fewer tensors than blocks, or no files.
    """
    with open_tensors(folder) as (path, tensors):
        for name, value in arguments.items():
            # Layers of a group share their weights.
            value = arguments.get("num_groups", value)
            is_count = name in BLOCKS and isinstance(value, int)
            if is_count and value > len(tensors):
                raise ValueError(
                    f"{place} asks for {name}={value}, and {path.name} has "
                    f"{len(tensors)} tensors, less than one for each. One of the two "
                    "is damaged: copy or download both again."
                )
        return ROOM + 10 * sum(math.prod(tensor.shape) for tensor in tensors.values())


def _merge_copies(tensors, kinds, faults):
    """Takes out the second of two names of a tied tensor; either may be missing."""
    for name in sorted(tensors):
        kind = _kind_of(name, kinds)
        if not isinstance(kind, Copy):
            continue
        tensor = tensors.pop(name)
        if kind.of not in tensors:
            tensors[kind.of] = tensor
        elif not _are_equal(tensor, tensors[kind.of]):
            faults.add("unlike what it is tied to", f"{name} and {kind.of}")


def _fault_of_spare(name, tensor, kinds, saved):
    """What is wrong with a tensor that no weight asked for, or `None`."""
    kind = _kind_of(name, kinds)
    if kind is UNKNOWN:
        return "unknown to the model"
    if isinstance(kind, Buffer) and not kind.holds(tensor.read(), saved):
        return "with other numbers than are computed there"
    return None


def _kind_of(name, kinds):
    """What a published name is, by the harmless ones of its family."""
    return next((k for p, k in kinds.items() if p.fullmatch(name)), UNKNOWN)


def _are_equal(one, other):
    return one.shape == other.shape and np.array_equal(one.read(), other.read())


def _load(transfer, parts, saved, arguments):
    arrays = [part.read() for part in parts]
    if any(is_float(weight.dtype) for weight in transfer.weights.values()):
        arrays = [a.astype("float32") if a.dtype.itemsize == 2 else a for a in arrays]
    arrays = transfer.rule.transform.load(arrays)
    for weight, array in zip(transfer.weights.values(), arrays, strict=True):
        if tuple(array.shape) == tuple(weight.shape):
            pass
        elif transfer.rule.resize is not None:
            array = transfer.rule.resize(array, saved, arguments)
        else:
            array = with_rows(keras.ops.convert_to_numpy(weight), array)
        weight.assign(np.ascontiguousarray(array))


class _Faults:
    """Collects what does not fit, and tells it in one message."""

    def __init__(self, model, path, num_weights, num_tensors):
        self.model, self.path = model, path
        self.num_weights, self.num_tensors = num_weights, num_tensors
        self.found = {}

    def add(self, kind, *texts):
        self.found.setdefault(kind, []).extend(texts)

    def of(self, transfer, parts, may_resize, saved, arguments):
        """What is wrong with the tensors of a rule, `(kind, *texts)`, or `None`."""
        missing = [n for n, p in zip(transfer.names, parts, strict=True) if p is None]
        if missing:
            return "missing", *missing
        shapes = transfer.published_shapes
        for name, part, shape in zip(transfer.names, parts, shapes, strict=True):
            fits = transfer.rule.fits(part.shape, shape, saved, arguments)
            if part.shape != shape and not (may_resize and fits):
                return "of another shape", f"{name} {part.shape}, expected {shape}"
            weights = transfer.weights.values()
            if is_float(str(part.dtype)) != any(is_float(w.dtype) for w in weights):
                return "of another type", f"{name} {part.dtype}"
        return None

    def tell(self):
        if not self.found:
            return
        counted = "; ".join(
            f"{len(texts)} {kind} ({listed(texts)})"
            for kind, texts in self.found.items()
        )
        raise ValueError(
            f"{self.path} does not fit {type(self.model).__name__} "
            f"{self.model.name!r}, which has {self.num_weights} weights. Of the "
            f"{self.num_tensors} tensors: {counted}. Nothing was loaded. To drop the "
            "head and make a new one, pass its argument: `num_classes` or `head`."
        )


def save_published(model, folder, family, arguments):
    """Writes the weights of a model under their published names.

    Args:
        model: A model that is built.
        folder: Where the files go, usually what `replace_files` yields.
        family: The `Family` to write.
        arguments: The arguments of the model.
    """
    is_bare = family.is_bare(arguments)
    arrays = {}
    for transfer in match(family.rules_for(arguments), named_weights(model)):
        weights = [
            np.asarray(keras.ops.convert_to_numpy(weight))
            for weight in transfer.weights.values()
        ]
        parts = transfer.rule.transform.save(weights)
        for name, array in zip(transfer.names, parts, strict=True):
            name = family.without_prefix(name) if is_bare else name
            arrays[name] = np.asarray(array, order="C")
    arrays |= _numbers_beside(arrays, family, arguments)
    write_tensors(folder, arrays, {"format": "pt"})


def _numbers_beside(arrays, family, arguments):
    """What others expect beside the tensors that are written."""
    found = {}
    for pattern, kind in family.harmless_for(arguments).items():
        if not isinstance(kind, Beside):
            continue
        for name in list(arrays):
            short = family.without_prefix(name)
            match = pattern_of(kind.of).fullmatch(short)
            if match:
                prefix = name.removesuffix(short)
                full = prefix + pattern.format(**match.groupdict())
                value = kind.value
                found[full] = (
                    value(arrays[name]) if callable(value) else np.int64(value)
                )
    return found
