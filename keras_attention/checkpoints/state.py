"""What a `.keras` file needs so that training goes on, and Keras leaves out.

Keras 3.15 saves weights and the optimizer. For a model with a constructor of its own it
saves neither which layers are frozen nor, for any model, where the random numbers of
dropout stand: a loaded model would train on differently. Files such as a vocabulary it
saves and loads with `save_assets` and `load_assets` of the model.
"""

import functools
import pathlib

import keras

from keras_attention.checkpoints.weights import named_layers

RANDOM = "random_state_"


def frozen_layers(model):
    """The paths of the layers whose `trainable` is False.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> model.layers[0].trainable = False
    >>> frozen_layers(model)
    ['dense']
    """
    layers = named_layers(model)
    return [path for path, layer in layers.items() if not layer.trainable]


def freeze_layers(model, paths):
    """Makes the layers with these paths the frozen ones, and no others.

    Args:
        model: A layer or a model that is built.
        paths: What `frozen_layers` gave.
    """
    for path, layer in named_layers(model).items():
        layer.trainable = path not in paths


def save_random_states(model, store):
    """Puts the state of each random number generator of a model into a store.

    Args:
        model: A layer or a model that is built.
        store: Dict of arrays, as `save_own_variables` gets it.
    """
    for i, state in enumerate(random_states(model)):
        store[f"{RANDOM}{i}"] = keras.ops.convert_to_numpy(state)


def load_random_states(model, store):
    """Sets the random number generators of a model from a store.

    Args:
        model: A layer or a model that is built.
        store: Dict of arrays, as `load_own_variables` gets it.

    Returns:
        What else is in the store, a dict.
    """
    for i, state in enumerate(random_states(model)):
        if f"{RANDOM}{i}" in store.keys():
            state.assign(store[f"{RANDOM}{i}"])
    return {key: store[key] for key in store.keys() if not key.startswith(RANDOM)}


def random_states(model):
    """The variables that are not weights."""
    weights = {id(weight) for weight in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def skip_without_files(cls):
    """Lets Keras call `load_assets` of a class only where there are files.

    Keras calls `load_assets(folder)` for every `.keras` file, also where `save_assets`
    wrote nothing; then `folder` is empty or None.

    Args:
        cls: A class with a method `load_assets(folder, config)`.
    """
    load_assets = cls.load_assets

    @functools.wraps(load_assets)
    def load_assets_if_any(self, folder, config=None):
        if folder and any(p.is_file() for p in pathlib.Path(folder).iterdir()):
            load_assets(self, folder, config)

    cls.load_assets = load_assets_if_any
