"""The layers of a model by their place: names that do not count a process's objects."""

import re

import keras


def named_layers(layer):
    """A layer and all layers inside it, by their place.

    A path is made of layer names, as in `encoder/block_0/attention`. A name that Keras
    made up ends in a number that counts all layers of the process, `dense_7`; here it
    counts from the first such layer in the same parent: `dense`, `dense_1`. So two
    models of the same constructor have the same paths, and no path is there twice.
    Names that count from 0, `block_0`, stay as they are.

    A model may say which of its attributes are models with names of their own, in
    `parts`: their names are then those of the attributes.

    Args:
        layer: A layer or a model that is built.

    Returns:
        Dict from path to layer. `layer` itself is first, with the path `""`; parents
        come before what is inside them. A layer that stands in two places has the path
        of the first.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> list(named_layers(model))
    ['', 'dense']
    """
    layers = {"": layer}
    _collect(layer, "", layers, seen={id(layer)})
    return layers


def _collect(parent, path, layers, seen):
    children = children_of(parent)
    parts = {id(getattr(parent, name)): name for name in getattr(parent, "parts", ())}
    for name, child in zip(stable_names(children), children, strict=True):
        name = parts.get(id(child), name)
        if id(child) not in seen:
            seen.add(id(child))
            layers[path + name] = child
            _collect(child, f"{path}{name}/", layers, seen)


def children_of(layer):
    """The layers that stand in a layer, without what is in these."""
    children = layer._flatten_layers(include_self=False, recursive=False)
    return [c for c in children if not isinstance(c, keras.layers.InputLayer)]


def stable_names(things):
    """Distinct names of layers or variables that do not count the process's objects."""
    given = {thing.name for thing in things}
    made_up = [_made_up(thing) for thing in things]
    numbers = {}  # stem: the numbers that Keras gave
    for stem, number in made_up:
        numbers.setdefault(stem, []).append(number)
    names = {}  # name: None, for the order
    for thing, (stem, number) in zip(things, made_up, strict=True):
        name = thing.name
        if stem is not None and f"{stem}_0" not in given:
            place = sorted(numbers[stem]).index(number)
            name = f"{stem}_{place}" if place else stem
        distinct, copies = name, 0
        while distinct in names:
            copies += 1
            distinct = f"{name}_{copies}"
        names[distinct] = None
    return list(names)


def _made_up(thing):
    """`("dense", 7)` for a `Dense` named `dense_7`, else `(None, None)`.

    Keras writes a class name in small letters with underscores, and adds a number from
    the second on. `Bidirectional` puts `forward_` and `backward_` before.
    """
    counted = re.fullmatch(r"(.+)_([1-9][0-9]*)", thing.name)
    for stem, number in ((thing.name, 0), *([counted.groups()] if counted else [])):
        bare = re.sub("^(forward|backward)_", "", stem)
        if _letters(bare) == _letters(type(thing).__name__):
            return stem, int(number)
    return None, None


def _letters(name):
    return re.sub(r"[\W_]", "", name).lower()
