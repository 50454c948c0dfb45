"""What a backend knows of the weights of a model besides Keras."""

import keras


def track_weights_again(model):
    """Tells PyTorch which weights a model has, after some came or went.

    Keras tells it once, when a layer is built: `parameters()` and `state_dict()` would
    lack what came later. Other backends are not told.

    Args:
        model: A model or a layer.

    Example:

    >>> track_weights_again(keras.Sequential())
    """
    if keras.backend.backend() != "torch":
        return
    for layer in model._flatten_layers():
        if layer.built:
            layer._track_variables()
