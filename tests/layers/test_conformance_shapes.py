"""The shape a layer announces is the shape it gives, with queries and keys unequal."""

import keras
import pytest

from helpers import BACKEND
from helpers import to_numpy
from layers.layer_table import ROWS
from layers.layer_table import shape_of
from layers.layer_table import UNKNOWN

by_name = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


def expected_shapes(row, weights, unknown=()):
    letters = row.outputs if weights else row.outputs[:1]
    return [shape_of(axes, unknown) for axes in letters]


def shapes(outputs):
    return [tuple(tensor.shape) for tensor in keras.tree.flatten(outputs)]


def ways(row):
    return (False, True) if row.gives_weights else (False,)


@by_name
def test_announced_and_real_shapes_and_dtypes_agree(row):
    layer = row.make()
    for weights in ways(row):
        announced = row.call(layer, row.symbolic(()), weights=weights)
        outputs = row.call(layer, row.arrays(), weights=weights)
        assert shapes(announced) == shapes(outputs) == expected_shapes(row, weights)
        for symbol, tensor in zip(
            keras.tree.flatten(announced), keras.tree.flatten(outputs), strict=True
        ):
            assert symbol.dtype == keras.backend.standardize_dtype(tensor.dtype)


@by_name
def test_unknown_axes_stay_unknown(row):
    """A model without a batch size or a length serves any."""
    layer = row.make()
    for weights in ways(row):
        announced = row.call(layer, row.symbolic(), weights=weights)
        assert shapes(announced) == expected_shapes(row, weights, UNKNOWN)


@pytest.mark.skipif(BACKEND != "torch", reason="Keras may compute here on torch only.")
@by_name
def test_shapes_are_announced_without_computing(row, monkeypatch):
    """On torch's device without data, or Keras would compute 83 x 83 scores."""
    layer, devices = row.make(), set()
    call = layer.call

    def spy(*args, **kwargs):
        tensors = keras.tree.flatten((args, kwargs))
        devices.update(x.device.type for x in tensors if keras.ops.is_tensor(x))
        return call(*args, **kwargs)

    monkeypatch.setattr(layer, "call", spy)
    for weights in ways(row):
        row.call(layer, row.symbolic(), weights=weights)
    assert devices <= {"meta"}


@by_name
def test_weights_are_from_0_to_1(row):
    if row.gives_weights:
        output, *weights = row.call(row.make(), row.arrays(), weights=True)
        assert len(keras.tree.flatten(weights)) == len(row.outputs) - 1
        for tensor in keras.tree.flatten(weights):
            assert 0.0 <= to_numpy(tensor).min() and to_numpy(tensor).max() <= 1.0
