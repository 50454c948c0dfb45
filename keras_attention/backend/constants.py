"""NumPy arrays as tensors, also where a backend compiles what makes them."""

import keras
from keras import ops


def compiled_by_torch():
    """Whether torch.compile looks at what runs: it would not look into a cache."""
    if keras.backend.backend() != "torch":
        return False
    import torch

    return torch.compiler.is_compiling()


def constant(array):
    """Turns a NumPy array into a tensor, also where torch.compile traces NumPy.

    There the array is a tensor already, and Keras would ask it for its NumPy dtype.
    """
    if keras.backend.backend() == "torch":
        import torch

        array = torch.as_tensor(array)
    return ops.convert_to_tensor(array)
