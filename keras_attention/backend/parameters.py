"""What PyTorch itself sees of a model's weights."""

import keras


def track_parameters(model):
    """Tells PyTorch of weights that were added to a model, or taken from it.

    Keras writes them down for `parameters()` and `state_dict()` when a layer is built,
    in the layer and in each that it stands in. The other backends read the layers.

    Args:
        model: A model that is built.

    Example:

    >>> track_parameters(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]))
    """
    if keras.backend.backend() == "torch":
        for layer in model._flatten_layers():
            if layer.built:
                layer._track_variables()
