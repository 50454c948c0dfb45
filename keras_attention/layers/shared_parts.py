"""Layers that are parts of others, which one part may serve at once.

An attention layer that is passed to two blocks is one layer. It stays one where the
blocks are saved in a `.keras` file, and where they are copied by `clone_model` or from
their configs: the copies of two layers that share a part share a copy of that part,
until one of the two is copied again.
"""

import uuid
import weakref

import keras

_copies = weakref.WeakValueDictionary()  # the last copy of a part, by the part's mark


def build_once(layer, *shapes):
    """Makes the weights of a part, unless it was passed in with weights.

    Args:
        layer: A layer.
        *shapes: Shapes for its `build`.

    Example:

    >>> layer = keras.layers.Dense(3)
    >>> build_once(layer, (2, 5))
    >>> build_once(layer, (2, 5))
    >>> tuple(layer.kernel.shape)
    (5, 3)
    """
    if layer.built:
        layer._is_shared = True
    else:
        layer.build(*shapes)


def serialize_parts(owner, arguments):
    """Serializes the arguments of a layer, and marks the parts it shares with others.

    Args:
        owner: The layer.
        arguments: Its constructor's arguments by name.

    Returns:
        Dict of what JSON can hold.
    """
    config = keras.saving.serialize_keras_object(arguments)
    for name, value in arguments.items():
        if isinstance(value, keras.layers.Layer):
            config[name].pop("build_config", None)  # its owner builds it
            if getattr(value, "_is_shared", False):
                # Keras, too, reads the first, in a file as a whole.
                config[name]["shared_object_id"] = _mark(value)
                config[name]["owner"] = _mark(owner)
    return config


def deserialize_parts(config):
    """Makes the arguments of a layer anew, with one copy of a part for its owners.

    Args:
        config: From `serialize_parts`.

    Returns:
        Dict of arguments.
    """
    arguments = {}
    for name, value in config.items():
        is_shared = isinstance(value, dict) and "owner" in value
        copy = _copies.get(value["shared_object_id"]) if is_shared else None
        if copy is None or value["owner"] in copy._owners_served:
            copy = keras.saving.deserialize_keras_object(value)
        if is_shared:
            if _copies.get(value["shared_object_id"]) is not copy:
                copy._owners_served = []
                copy._is_shared = True
                _copies[value["shared_object_id"]] = copy
            copy._owners_served.append(value["owner"])
        arguments[name] = copy
    return arguments


def _mark(layer):
    """What a layer is known by in configs."""
    if not hasattr(layer, "_mark"):
        layer._mark = uuid.uuid4().hex
    return layer._mark
