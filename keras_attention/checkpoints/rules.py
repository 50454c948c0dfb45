"""Rules between published tensors and our weights, read in both directions.

A family of published checkpoints has one table of rules. Each says which published
tensors hold which weights, and what is done to them on the way:

    Rule("transformer.ln_f.weight", "decoder/norm/gamma")
    Rule(
        ("h.{i}.attn.q.weight", "h.{i}.attn.k.weight", "h.{i}.attn.v.weight"),
        "decoder/block_{i}/self_attention/query_key_value_kernel",
        side_by_side(TRANSPOSED),
    )

`{i}`, `{j}` stand for whole numbers, the same ones on both sides.
"""

import dataclasses
import functools
import re
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Transform:
    """What is done to tensors between a published file and our weights.

    `load` gets the list of published arrays and returns the list of ours, `save` goes
    back. Both work on arrays of any dtype, without changing what they get.
    """

    load: Callable
    save: Callable


def each(load, save):
    """A transform of every tensor by itself.

    Args:
        load: Function from a published array to ours.
        save: The way back.

    Returns:
        A `Transform`.

    Example:

    >>> transform = each(np.transpose, np.transpose)
    >>> transform.load([np.zeros((2, 3))])[0].shape
    (3, 2)
    """
    return Transform(
        lambda arrays: [load(array) for array in arrays],
        lambda arrays: [save(array) for array in arrays],
    )


SAME = each(lambda array: array, lambda array: array)
# PyTorch's `Linear` has its kernel as (outputs, inputs), `Dense` as (inputs, outputs).
TRANSPOSED = each(np.transpose, np.transpose)
# PyTorch's `Conv2d`: (outputs, inputs, height, width).
CONVOLUTION = each(
    lambda kernel: np.transpose(kernel, (2, 3, 1, 0)),
    lambda kernel: np.transpose(kernel, (3, 2, 0, 1)),
)
# One that reads each channel by itself: (channels, 1, height, width).
DEPTHWISE = each(
    lambda kernel: np.transpose(kernel, (2, 3, 0, 1)),
    lambda kernel: np.transpose(kernel, (2, 3, 0, 1)),  # which is its own way back
)
# One of one place, which is a `Linear`: (outputs, inputs, 1, 1).
POINTWISE = each(
    lambda kernel: np.transpose(kernel[..., 0, 0]),
    lambda kernel: np.transpose(kernel)[..., None, None],
)
# PyTorch's `Conv1d`: (outputs, inputs, length).
CONVOLUTION_1D = each(
    lambda kernel: np.transpose(kernel, (2, 1, 0)),
    lambda kernel: np.transpose(kernel, (2, 1, 0)),
)
# A published tensor has one axis more in front, of size 1.
AXIS_IN_FRONT = each(lambda array: np.squeeze(array, 0), lambda array: array[None])


def side_by_side(transform=SAME, parts=3, sizes=None):
    """Lays published tensors along the last axis of one weight, and cuts it again.

    For the projections to query, key and value, which attention layers hold as one
    kernel.

    Args:
        transform: What is done to each published tensor before.
        parts: Number of published tensors of equal size.
        sizes: Their sizes along the last axis, where they differ.

    Returns:
        A `Transform`.

    Example:

    >>> transform = side_by_side(TRANSPOSED, parts=2)
    >>> transform.load([np.zeros((4, 3)), np.ones((4, 3))])[0].shape
    (3, 8)
    >>> [array.shape for array in transform.save([np.zeros((3, 8))])]
    [(4, 3), (4, 3)]
    """
    cuts = parts if sizes is None else np.cumsum(sizes)[:-1].tolist()

    def load(arrays):
        return [np.concatenate(transform.load(arrays), axis=-1)]

    def save(arrays):
        return transform.save(np.split(arrays[0], cuts, axis=-1))

    return Transform(load, save)


@dataclasses.dataclass(frozen=True)
class Rule:
    """Which published tensors hold which weights.

    Args:
        published: Pattern of a published name, or several.
        path: Pattern of the path of a weight, as `named_weights` gives it, or several.
        transform: What is done on the way. A transform other than `side_by_side` keeps
            the order.
        optional: Whether the published tensors may be missing. The weight then stays
            as it was made, with a warning.
        resize: Function of an array, the arguments of the published model and those of
            ours, which makes the array fit where the two differ in size.
        sized_by: The argument that says how many rows a table has. Where ours has more,
            the new ones stay as they were drawn; where fewer, the last are left out.

    Example:

    >>> rule = Rule("h.{i}.ln_1.weight", "decoder/block_{i}/norm/gamma")
    >>> rule.numbers_in("decoder/block_12/norm/gamma")
    {'i': '12'}
    >>> rule.published_names({"i": "12"})
    ['h.12.ln_1.weight']
    """

    published: str | tuple
    path: str | tuple
    transform: Transform = SAME
    optional: bool = False
    resize: Callable | None = None
    sized_by: str | None = None

    @functools.cached_property
    def _patterns(self):
        return [pattern_of(path) for path in _several(self.path)]

    def numbers_in(self, path):
        """The numbers for which this rule is about a weight.

        Args:
            path: Path of the weight.

        Returns:
            Dict from letter to number, or `None` if it is about others.
        """
        matches = (pattern.fullmatch(path) for pattern in self._patterns)
        return next((match.groupdict() for match in matches if match), None)

    def published_names(self, numbers):
        """The names of the published tensors for some numbers.

        Args:
            numbers: What `numbers_in` gave.

        Returns:
            List of names.
        """
        return [pattern.format(**numbers) for pattern in _several(self.published)]

    def paths(self, numbers):
        """The paths of the weights for some numbers.

        Args:
            numbers: What `numbers_in` gave.

        Returns:
            List of paths.
        """
        return [pattern.format(**numbers) for pattern in _several(self.path)]

    def renamed(self, rename):
        """The same rule under other published names.

        Args:
            rename: Function from a name to the other.

        Returns:
            A `Rule`.
        """
        names = tuple(map(rename, _several(self.published)))
        published = names[0] if isinstance(self.published, str) else names
        return dataclasses.replace(self, published=published)

    def moved(self, renamed):
        """The same rule for weights at other paths.

        Args:
            renamed: Dict from parts of paths to others.

        Returns:
            A `Rule`.
        """
        paths = tuple(map(renaming(renamed), _several(self.path)))
        return dataclasses.replace(
            self, path=paths[0] if isinstance(self.path, str) else paths
        )

    def fits(self, found, expected, saved, arguments):
        """Whether a published tensor fits, or can be made to.

        Args:
            found: Its shape.
            expected: The shape that it must have for the weight.
            saved: Arguments of the published model.
            arguments: Those of ours.
        """
        if found == expected:
            return True
        if self.sized_by is None or len(found) != len(expected):
            return self.resize is not None
        sizes = saved.get(self.sized_by), arguments.get(self.sized_by)
        if not all(isinstance(size, int) for size in sizes):
            return False
        pairs = zip(found, expected, strict=True)
        return [pair[1] - pair[0] for pair in pairs if pair[0] != pair[1]] == [
            sizes[1] - sizes[0]
        ]

    @property
    def paths_as_written(self):
        """The patterns of the paths of the weights."""
        return _several(self.path)

    def is_published_as(self, name, without_prefix=str):
        """Whether this rule is about a published tensor.

        Args:
            name: Its name, without the prefix.
            without_prefix: What takes the prefix from a name of this rule.
        """
        names = map(without_prefix, _several(self.published))
        return any(pattern_of(text).fullmatch(name) for text in names)


def renaming(renamed):
    """A function that replaces parts of names.

    Args:
        renamed: Dict from parts to others, replaced one after the other.

    Returns:
        A function from a name to the other.

    Example:

    >>> renaming({"bert.": "roberta."})("bert.pooler.dense.weight")
    'roberta.pooler.dense.weight'
    """

    def rename(name):
        for old, new in renamed.items():
            name = name.replace(old, new)
        return name

    return rename


def _several(patterns):
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


@functools.cache
def pattern_of(text):
    """Compiles a text in which `{i}` stands for a number, each time the same one."""
    seen, parts = set(), []
    for part in re.split(r"(\{\w+\})", text):
        name = part[1:-1]
        if not part.startswith("{"):
            parts.append(re.escape(part))
        elif name in seen:
            parts.append(f"(?P={name})")
        else:
            seen.add(name)
            parts.append(f"(?P<{name}>[0-9]+)")
    return re.compile("".join(parts))


@dataclasses.dataclass(frozen=True)
class Transfer:
    """One rule with its numbers filled in: tensors on one side, weights on the other.

    Args:
        rule: The `Rule`.
        names: Names of the published tensors.
        weights: Dict from path to our weight, in the order of the rule.
    """

    rule: Rule
    names: tuple
    weights: dict

    @property
    def published_shapes(self):
        """The shapes that the published tensors must have."""
        # Arrays of one number each, seen as large ones: nothing is computed.
        ours = [np.broadcast_to(np.int8(0), w.shape) for w in self.weights.values()]
        return [tuple(array.shape) for array in self.rule.transform.save(ours)]


def match(rules, weights):
    """Finds the rule of each weight.

    Args:
        rules: The table of a family.
        weights: Dict from path to weight, as `named_weights` gives it.

    Returns:
        List of `Transfer`, in the order of the weights.

    Raises:
        ValueError: A weight has no rule, or two.

    Example:

    >>> weights = {"norm/gamma": np.ones(3)}
    >>> [transfer] = match([Rule("ln_f.weight", "norm/gamma")], weights)
    >>> transfer.names, transfer.published_shapes
    (('ln_f.weight',), [(3,)])
    """
    transfers, done = [], set()
    for path in weights:
        if path in done:
            continue
        found = [(rule, rule.numbers_in(path)) for rule in rules]
        found = [pair for pair in found if pair[1] is not None]
        if len(found) != 1:
            raise ValueError(
                f"The weight {path} has {len(found)} rules, expected one. The table of "
                "published names does not fit this model; please report it."
            )
        ((rule, numbers),) = found
        paths = rule.paths(numbers)
        done.update(paths)
        transfers.append(
            Transfer(
                rule,
                tuple(rule.published_names(numbers)),
                {path: weights[path] for path in paths},
            )
        )
    return transfers
