"""The shape a layer announces is the shape it gives, with queries and keys unequal."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import ROWS
from layers.layer_table import shape_of
from layers.layer_table import SIZES
from layers.layer_table import UNKNOWN

WITHIN_OTHERS = {
    "MultiHeadSelfAttention": lambda: layers.MultiHeadSelfAttention(2, 4),
    "AttentionPooling": lambda: layers.AttentionPooling(2),
    "TransformerEncoder": lambda: layers.TransformerEncoder(
        layers.TransformerEncoderBlock(2, 16), 2
    ),
    "LSTMN": lambda: layers.LSTMN(4),
}

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


@by_name
def test_shapes_are_known_before_there_are_weights(row):
    """As `TimeDistributed`, `Sequential` and people ask for them."""
    layer = row.make()
    first, *others = row.inputs.items()
    others = {f"{name}_shape": shape_of(letters) for name, letters in others}
    found = layer.compute_output_shape(shape_of(first[1]), **others)
    assert tuple(found) == expected_shapes(row, False)[0]
    assert not layer.built or not layer.weights


@pytest.mark.parametrize("name", WITHIN_OTHERS)
def test_a_layer_reads_each_of_many_sequences(name, rng):
    layer = WITHIN_OTHERS[name]()
    inputs = keras.Input((3, 5, 8))
    model = keras.Model(inputs, keras.layers.TimeDistributed(layer)(inputs))
    x = rng.normal(size=(2, 3, 5, 8)).astype("float32")
    expected = np.stack([to_numpy(layer(x[:, i])) for i in range(3)], axis=1)
    np.testing.assert_allclose(to_numpy(model(x)), expected, atol=1e-5)


def test_each_of_many_sequences_has_its_own_padding():
    """Words of sentences, as hierarchical attention reads them."""
    tokens = np.array([[[1, 2, 3, 0, 0], [4, 5, 0, 0, 0], [6, 7, 8, 9, 1]]])
    embedding = keras.layers.Embedding(10, 8, mask_zero=True)
    pooling = layers.AttentionPooling(2)
    inputs = keras.Input((3, 5), dtype="int32")
    words = embedding(inputs)
    model = keras.Model(inputs, keras.layers.TimeDistributed(pooling)(words))
    alone = to_numpy(pooling(embedding(np.array([[4, 5]]))))
    np.testing.assert_allclose(to_numpy(model(tokens))[:, 1], alone, atol=1e-5)


EMPTY = {
    "no sequence": {"B": 0, "T": 1, "S": 1},
    "no token": {"T": 0},
    "no key": {"S": 0},
}
# Without a token they have no state to go on from.
NEED_A_TOKEN = ("RNNEncoder", "RNNDecoder", "BahdanauDecoder", "LuongDecoder")
PLAIN_ROWS = [row for row in ROWS if "/" not in row.name]


@pytest.mark.parametrize("empty", EMPTY)
@pytest.mark.parametrize("row", PLAIN_ROWS, ids=lambda row: row.name)
def test_axes_may_be_empty(row, empty):
    """The last shard of a data set, or what a filter left."""
    sizes = EMPTY[empty]
    letters = " ".join((*row.inputs.values(), *row.outputs)).replace("+", " ").split()
    if not set(sizes) & set(letters):
        return
    layer = row.make()
    if row.name in NEED_A_TOKEN and BACKEND == "tensorflow" and sizes.get("B") == 0:
        return  # its cells refuse an empty batch
    if row.name in NEED_A_TOKEN and row.name != "RNNEncoder" and empty == "no key":
        return
    needs = row.name in NEED_A_TOKEN or "CaptionDecoder" in row.name
    missing = "S" if row.name == "RNNEncoder" else "T"
    if needs and sizes.get(missing) == 0:
        with pytest.raises(ValueError, match="must have one token at least"):
            row.call(layer, row.arrays(**sizes))
        return
    output = row.call(layer, row.arrays(**sizes))
    expected = [
        sum(int(x) if x.isdigit() else {**SIZES, **sizes}[x] for x in axis.split("+"))
        for axis in row.outputs[0].split()
    ]
    assert list(output.shape) == expected
    assert np.isfinite(to_numpy(output)).all()


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
