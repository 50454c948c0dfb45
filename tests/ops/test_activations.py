"""When an activation may write over what it reads."""

import contextlib

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.ops.activations import activate
from keras_attention.ops.activations import ACTIVATIONS


@pytest.mark.parametrize("has_gradient", [False, True])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_pytorch_alone_overwrites_and_only_without_gradient(name, has_gradient, rng):
    numbers = rng.normal(size=(3, 4)).astype("float32")
    expected = to_numpy(ACTIVATIONS[name](keras.ops.convert_to_tensor(numbers)))
    x = keras.ops.convert_to_tensor(numbers.copy())
    context = contextlib.nullcontext()
    if BACKEND == "torch" and not has_gradient:
        import torch

        context = torch.no_grad()
    with context:
        found = to_numpy(activate(name, x))
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    overwrites = BACKEND == "torch" and not has_gradient and name != "relu_squared"
    np.testing.assert_array_equal(to_numpy(x), expected if overwrites else numbers)
