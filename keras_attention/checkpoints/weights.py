"""The weights of a model: their names, and the safetensors file that holds them."""

import hashlib
import json
import pathlib
import warnings

import keras
import numpy as np

from keras_attention.checkpoints.files import CONFIG
from keras_attention.checkpoints.files import WEIGHTS
from keras_attention.checkpoints.rules import pattern_of
from keras_attention.checkpoints.tensors import open_safetensors
from keras_attention.checkpoints.tensors import write_file
from keras_attention.layers.named_layers import children_of
from keras_attention.layers.named_layers import named_layers
from keras_attention.layers.named_layers import stable_names

# How many names an error message lists before it only counts.
LISTED = 5


def named_weights(model):
    """The weights of a model by the path of their layer and their own name.

    Random states and metrics are not weights.

    Args:
        model: A layer or a model that is built.

    Returns:
        Dict from name to variable. A weight that two layers share is there once.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> {name: tuple(w.shape) for name, w in named_weights(model).items()}
    {'dense/kernel': (3, 2), 'dense/bias': (2,)}
    """
    weights = {}
    seen = set()
    for path, layer in named_layers(model).items():
        inside = {id(w) for child in children_of(layer) for w in child.weights}
        own = [w for w in layer.weights if id(w) not in inside | seen]
        seen.update(id(w) for w in own)
        for name, weight in zip(stable_names(own), own, strict=True):
            weights[f"{path}/{name}" if path else name] = weight
    return weights


def save_weights(model, folder, config):
    """Writes `model.safetensors`: the weights of a model, by `named_weights`.

    Args:
        model: A layer or a model that is built.
        folder: Where it goes, usually what `replace_files` yields.
        config: What `write_config` gave. Its fingerprint goes into the file.

    Example:

    >>> import tempfile
    >>> from keras_attention.checkpoints import write_config
    >>> folder = tempfile.mkdtemp()
    >>> config = write_config(folder, "Doubling", {"units": 4})
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> save_weights(model, folder, config)
    """
    arrays = {
        name: np.asarray(keras.ops.convert_to_numpy(weight), order="C")
        for name, weight in named_weights(model).items()
    }
    write_file(pathlib.Path(folder) / WEIGHTS, arrays, {"config": fingerprint(config)})


def layer_of(path, layers):
    """The layer among some in which a weight is.

    Args:
        path: Path of the weight.
        layers: Paths of layers; `{i}` stands for a number.

    Returns:
        One of `layers`, or `None`.

    Example:

    >>> layer_of("decoder/block_3/norm/gamma", ["head", "decoder/block_{i}/norm"])
    'decoder/block_{i}/norm'
    """
    return next((each for each in layers if pattern_of(each + "/").match(path)), None)


def load_weights(model, folder, config, skip=(), sizes=None, draw=None):
    """Reads `model.safetensors` into the weights of a model.

    The names, shapes and types of all tensors are compared before the first weight
    changes. Then one tensor at a time is read, and converted to the type of its weight.

    Args:
        model: A layer or a model that is built.
        folder: Folder of a checkpoint.
        config: What `read_config` gave.
        skip: Paths of layers whose weights stay as they are.
        sizes: Dict from an argument that is another than the saved one, such as
            `vocabulary_size`, to both sizes. An axis of a weight may differ so: the
            first rows are read, and others stay as they are.
        draw: Function of a list of weights that gives them their first values, for
            those of which only some rows are read. By default they have them.

    Returns:
        The weights that were read, a list.

    Raises:
        ValueError: The file is missing or damaged, belongs to another config, or does
            not fit the model.

    Example:

    >>> import tempfile
    >>> from keras_attention.checkpoints import write_config
    >>> folder = tempfile.mkdtemp()
    >>> config = write_config(folder, "Doubling", {"units": 4})
    >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8)])
    >>> save_weights(model, folder, config)
    >>> len(load_weights(model, folder, config))
    2
    """
    path = pathlib.Path(folder) / WEIGHTS
    with open_safetensors(path) as file:
        written_for = (file.metadata() or {}).get("config", fingerprint(config))
        if written_for != fingerprint(config):
            raise ValueError(
                f"{path} was saved with another {CONFIG} than the one beside it, as a "
                "copy that was interrupted leaves it. Copy or save the whole folder "
                f"again. To change an argument, leave {CONFIG} as it was and pass the "
                "argument to `from_preset`."
            )
        weights = named_weights(model)
        weights = {k: w for k, w in weights.items() if layer_of(k, skip) is None}
        tensors = {name for name in file.keys() if layer_of(name, skip) is None}
        sizes, used = sizes or {}, set()
        _check_fit(model, path, file, weights, tensors, set(sizes.values()))
        for name, weight in weights.items():
            tensor = file.get_tensor(name)
            if tuple(tensor.shape) != tuple(weight.shape):
                if draw is not None:
                    draw([weight])
                used |= {*zip(tensor.shape, weight.shape, strict=True)}
                tensor = with_rows(keras.ops.convert_to_numpy(weight), tensor)
            weight.assign(tensor)
    sizes = {name: pair for name, pair in sizes.items() if pair in used}
    warn_of_new_rows(path, model, sizes, stacklevel=4)
    return list(weights.values())


def with_rows(table, rows):
    """A table in which the first rows are others, as far as both reach.

    Example:

    >>> with_rows(np.zeros((3, 2)), np.ones((2, 2))).tolist()
    [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """
    table = np.array(table)
    shapes = zip(table.shape, rows.shape, strict=True)
    place = tuple(slice(min(sizes)) for sizes in shapes)
    table[place] = rows[place]
    return table


def warn_of_new_rows(path, model, sizes, stacklevel):
    """Says which arguments made tables larger than those that were read.

    Args:
        path: The file that was read.
        model: The model.
        sizes: Dict from an argument to the saved size and that of the model.
        stacklevel: As in `warnings.warn`.
    """
    for name, (saved, size) in sorted(sizes.items()):
        if size > saved:
            warnings.warn(
                f"{path} has {name}={saved}, and {model.name!r} {size}: the new rows "
                "stay random until they are trained.",
                stacklevel=stacklevel,
            )


def fingerprint(config):
    """A short text that changes with the class and with each argument.

    Example:

    >>> one = fingerprint({"class_name": "Doubling", "arguments": {"units": 4}})
    >>> two = fingerprint({"class_name": "Doubling", "arguments": {"units": 5}})
    >>> one == two
    False
    """
    text = json.dumps([config["class_name"], config["arguments"]], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _check_fit(model, path, file, weights, found, may_differ=()):
    faults = []
    missing = [name for name in weights if name not in found]
    surplus = sorted(found - weights.keys())
    if missing:
        faults.append(f"{len(missing)} missing ({listed(missing)})")
    if surplus:
        faults.append(f"{len(surplus)} unknown to the model ({listed(surplus)})")
    shapes, types = [], []
    for name in sorted(weights.keys() & found):
        tensor, weight = file.get_slice(name), weights[name]
        shape, expected = tuple(tensor.get_shape()), tuple(weight.shape)
        if shape != expected and not _is_resized(shape, expected, may_differ):
            shapes.append(f"{name} {shape}, expected {expected}")
        elif is_float(tensor.get_dtype()) != is_float(weight.dtype):
            types.append(f"{name} {tensor.get_dtype()}, expected {weight.dtype}")
    if shapes:
        faults.append(f"{len(shapes)} of another shape ({listed(shapes)})")
    if types:
        faults.append(f"{len(types)} of another type ({listed(types)})")
    if faults:
        raise ValueError(
            f"{path} does not fit {type(model).__name__} {model.name!r}, which has "
            f"{len(weights)} weights. Of the {len(found)} tensors: {'; '.join(faults)}."
            " Nothing was loaded."
        )


def _is_resized(shape, expected, sizes):
    """Whether one axis differs, and by two of the sizes that do."""
    if len(shape) != len(expected):
        return False
    different = [pair for pair in zip(shape, expected, strict=True) if len({*pair}) > 1]
    return len(different) == 1 and different[0] in sizes


def is_float(dtype):
    """Whether a dtype is one of real numbers.

    Args:
        dtype: Its name, as `BF16`, `F32`, `float32`; not so `I64`, `uint8`, `BOOL`.
    """
    return dtype.lower().startswith(("f", "bf"))


def listed(names):
    """The first names of a list, and how many more there are."""
    rest = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f", and {rest} more" if rest > 0 else "")
