"""Compiled by each framework, a layer gives what it gives step by step."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from layers.layer_table import LOOPS
from layers.layer_table import randomize
from layers.layer_table import ROWS


def compiled(function):
    """The function as one program: XLA on JAX and TensorFlow, one graph on torch."""
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        return tf.function(function, jit_compile=True)
    import torch

    torch.compiler.reset()
    return torch.compile(function, backend="eager", fullgraph=True)


def same(found, expected):
    for a, b in zip(
        keras.tree.flatten(to_numpy(found)),
        keras.tree.flatten(to_numpy(expected)),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


# On torch each step of a loop is traced by itself, and each option of each block of a
# stack, which takes 4 to 50 seconds. Of the blocks the row with all options is asked.
SLOW_ON_TORCH = (
    "TransformerDecoder",
    "TransformerDecoder/full",
    "TransformerDecoderBlock",
    "TransformerDecoderBlock/given parts",
    "TransformerDecoderBlock/without cross-attention",
    "TransformerEncoder",
    "TransformerEncoder/full",
    "TransformerEncoderBlock/given parts",
    "TransformerEncoderBlock/parallel",
)


def param(row):
    is_slow = BACKEND == "torch" and (
        row.cls.__name__ in LOOPS or row.name in SLOW_ON_TORCH
    )
    return pytest.param(row, id=row.name, marks=pytest.mark.slow if is_slow else ())


def test_what_is_slow_is_in_the_table():
    assert set(SLOW_ON_TORCH) <= {row.name for row in ROWS}


@pytest.mark.parametrize("row", [param(row) for row in ROWS])
def test_a_compiled_layer_gives_the_same(row):
    layer = row.make()
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, row.arrays())
    row.call(layer, tensors)
    randomize(layer)
    for weights in (False, True) if row.gives_weights else (False,):

        def function(tensors, weights=weights):
            return row.call(layer, tensors, weights=weights)

        same(compiled(function)(tensors), function(tensors))
