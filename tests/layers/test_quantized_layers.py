"""Each layer with matrices, quantized: in a model of Keras, alone, saved and loaded."""

import warnings

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import input_gradients
from helpers import to_numpy
from keras_attention import layers
from keras_attention.backend.quantized_products import multiply_int4
from keras_attention.backend.quantized_products import multiply_int8
from keras_attention.backend.quantized_products import unpack_weights
from layers.layer_table import randomize
from layers.layer_table import ROWS

RNG = np.random.default_rng(0)
# What has no matrix of words or projections.
SMALL = (
    *("AlibiBias", "ChannelBias", "ClassToken", "DropPath", "LastToken", "LayerScale"),
    *(
        "PatchEmbedding",
        "PositionalEmbedding",
        "RelativePositionBias",
        "ScaledDotProduct",
    ),
    *("RelativePositionBias2D", "RotaryEmbedding", "LowRankAdapter", "TokenPositions"),
    *("DistanceTable", "GridEncoder", "MaskToken", "NeighborConvolution"),
    *("BiTBlock", "ContinuousPositionBias2D", "GlobalResponseNorm", "ResNetBlock"),
    *("ConditionalBatchNormalization", "SpectralNormalization"),
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Keras collects garbage for each matrix that it replaces."""
    monkeypatch.setattr("gc.collect", lambda *generation: 0)


def is_quantized(layer):
    return any(getattr(x, "_is_quantized", False) for x in layer._flatten_layers())


def one_of_each():
    """The fullest row of each class."""
    rows = {row.cls: row for row in ROWS}
    rows |= {row.cls: row for row in ROWS if row.left_out is not None}
    return [pytest.param(row, id=row.name) for row in rows.values()]


@pytest.mark.parametrize("row", one_of_each())
def test_each_layer_is_quantized_and_saved(tmp_path, row):
    layer = row.make()
    model = row.model(layer)
    randomize(layer)
    arrays = row.arrays()
    before = keras.tree.flatten(model(arrays))
    with warnings.catch_warnings():  # Keras's, of each layer without matrices
        warnings.simplefilter("ignore")
        model.quantize("int8")
    if not is_quantized(layer):
        assert row.cls.__name__ in SMALL
        return
    assert row.cls.__name__ not in SMALL
    after = keras.tree.flatten(model(arrays))
    for x, y in zip(before, after, strict=True):
        x, y = to_numpy(x), to_numpy(y)
        assert np.abs(x - y).max() < 0.1 * np.abs(x).max() + 1e-3
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for x, y in zip(after, keras.tree.flatten(loaded(arrays)), strict=True):
        np.testing.assert_allclose(to_numpy(x), to_numpy(y), atol=1e-6)


@pytest.mark.parametrize("rows", [1, 40])
def test_products_of_8_bits(rows):
    values = RNG.integers(-127, 128, (5, 12)).astype("int8")
    scale = RNG.random(5).astype("float32")
    x = RNG.normal(size=(2, rows, 12)).astype("float32")
    weights = values * scale[:, None]
    y = multiply_int8(keras.ops.convert_to_tensor(x), values, scale)
    # PyTorch knows 15 bits of the inputs, here of products of 200.
    np.testing.assert_allclose(to_numpy(y), x @ weights.T, rtol=1e-4, atol=0.03)
    (gradient,) = input_gradients(lambda x: multiply_int8(x, values, scale), x)
    expected = np.broadcast_to(weights.sum(0), x.shape)
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("width", "block"), [(12, 4), (13, 4), (7, 128)])
def test_products_of_4_bits_in_groups(width, block):
    """They are those of the weights that Keras's quantizer rounds to."""
    kernel = RNG.normal(size=(width, 6)).astype("float32")
    values, scale, zero = keras.quantizers.abs_max_quantize_grouped_with_zero_point(
        kernel, block_size=block, to_numpy=True
    )
    group = np.arange(width) // block
    values, scale, zero = (to_numpy(x).astype("float32") for x in (values, scale, zero))
    rounded = (values - zero[group]) * scale[group]
    assert np.abs(rounded - kernel).max() < 0.5
    packed, _, _ = keras.quantizers.pack_int4(
        keras.ops.convert_to_tensor(values.T.astype("int8")), axis=-1
    )
    parts = packed, scale.T, zero.T, block
    unpacked = to_numpy(unpack_weights(packed, width, scale.T, zero.T, block))
    np.testing.assert_allclose(unpacked, rounded.T, atol=1e-6)
    x = RNG.normal(size=(2, width)).astype("float32")
    y = multiply_int4(keras.ops.convert_to_tensor(x), *parts)
    np.testing.assert_allclose(to_numpy(y), x @ rounded, atol=1e-4)


def test_a_layer_alone_is_quantized_with_all_that_is_in_it():
    """Without a model, and once."""
    block = layers.TransformerEncoderBlock(num_heads=2, mlp_dim=16, dropout=0.1)
    x = RNG.normal(size=(2, 3, 8)).astype("float32")
    before = to_numpy(block(x))
    block.quantize("int8")
    after = to_numpy(block(x))
    assert 0 < np.abs(after - before).max() < 0.1
    again = type(block).from_config(block.get_config())
    again.build(x.shape)
    again.set_weights(block.get_weights())
    np.testing.assert_allclose(to_numpy(again(x)), after, atol=1e-6)
    with pytest.raises(ValueError, match="already quantized"):
        block.quantize("int8")
    with pytest.raises(NotImplementedError, match="quantize"):
        norm = layers.LayerScale()
        norm.build((None, 3, 8))
        norm.quantize("int8")
    if BACKEND == "torch":
        names = {id(v.value) for v in block.variables}
        assert {id(p) for p in block.parameters()} <= names
