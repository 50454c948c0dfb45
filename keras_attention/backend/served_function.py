"""A function of a model as a model of its own."""

import types

import keras

from keras_attention.backend.exporting import export_model


class ServedFunction(keras.Model):
    """A function that reads the weights of a model, to be exported.

    Args:
        model: The model.
        function: Function of a tensor, or of a dict of them, that returns a dict.
        signature: `keras.InputSpec`, or a dict of them: what it is called with.

    Call arguments:
        inputs: Tensor or dict of tensors.

    Returns:
        Dict of tensors.

    Example:

    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    >>> signature = keras.InputSpec(shape=(None, 2), dtype="float32", name="x")
    >>> served = ServedFunction(model, lambda x: {"y": model(x)}, signature)
    >>> tuple(served(keras.ops.ones((4, 2)))["y"].shape)
    (4, 3)
    """

    def __init__(self, model, function, signature, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.function = function
        # No dict: Keras would take it for a container of layers.
        self._called_with = types.SimpleNamespace(signature=signature)
        self.built = True

    @property
    def signature(self):
        """`keras.InputSpec`, or a dict of them: what it is called with."""
        return self._called_with.signature

    def call(self, inputs):
        return self.function(inputs)

    def export(self, filepath, format="tf_saved_model", verbose=None, **kwargs):
        """Writes it as a program for another runtime; see `Application.export`."""
        export_model(self, filepath, format, self.signature, verbose, **kwargs)
