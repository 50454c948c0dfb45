"""In half precision the weights stay float32, and the outputs near."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize
from layers.layer_table import ROWS

POLICIES = {"mixed_bfloat16": "bfloat16", "mixed_float16": "float16"}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_outputs_are_near_those_in_float32(row, policy):
    arrays = {
        name: 0.5 * array if array.dtype == "float32" else array
        for name, array in row.arrays().items()
    }
    exact = row.make()
    row.call(exact, arrays)
    randomize(exact)
    expected = keras.tree.flatten(row.call(exact, arrays, weights=row.gives_weights))
    keras.config.set_dtype_policy(policy)  # nested layers take it too
    rounded = row.make()
    row.call(rounded, arrays)
    assert all(w.dtype == "float32" for w in rounded.weights if "seed" not in w.path)
    rounded.set_weights(exact.get_weights())
    found = keras.tree.flatten(row.call(rounded, arrays, weights=row.gives_weights))
    dtype = "float32" if row.float32 else POLICIES[policy]
    assert keras.backend.standardize_dtype(found[0].dtype) == dtype
    for a, b in zip(to_numpy(found), to_numpy(expected), strict=True):
        a = np.asarray(a, "float32")
        assert np.isfinite(a).all()
        np.testing.assert_allclose(a, b, rtol=3e-2, atol=3e-2)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_softmax_is_computed_in_float32(policy):
    """Of 4096 equal keys each gets 1/4096: a sum in bfloat16 would stop at 256."""
    value = np.full((1, 4096, 1), 3.0, "float32")
    query = np.zeros((1, 1, 1), "float32")
    for layer in (
        layers.ScaledDotProduct(dtype=policy),
        layers.AdditiveAttention(2, dtype=policy),
    ):
        for asked in (False, True):
            output = layer(query, value, value, return_attention_scores=asked)
            output = output[0] if asked else output
            assert float(to_numpy(output)[0, 0, 0]) == pytest.approx(3.0, rel=1e-2)


@pytest.mark.parametrize("policy", POLICIES)
def test_large_scores_stay_finite(policy):
    """Where nothing may be read, too; float16 ends at 65504."""
    inputs = np.full((1, 3, 4), 60.0, "float32")
    mask = np.array([[[True, False, False], [False] * 3, [True] * 3]])
    layer = layers.MultiHeadSelfAttention(1, 4, dtype=policy)
    layer(inputs)
    for asked in (False, True):
        output = layer(inputs, mask=mask, return_attention_scores=asked)
        for tensor in keras.tree.flatten(output):
            assert np.isfinite(np.asarray(to_numpy(tensor), "float32")).all()


def blocks_with(bias):
    """Layers whose attention has no scores but the bias, and how they are called."""
    options = {"num_heads": 2, "mlp_dim": 3}
    block = layers.TransformerEncoderBlock(**options)
    decoder = layers.TransformerDecoderBlock(**options, use_cross_attention=False)
    table = layers.RelativePositionBias(2)
    return {
        "MultiHeadSelfAttention": (layers.MultiHeadSelfAttention(2, 2), {"bias": bias}),
        "TransformerEncoderBlock": (block, {"bias": bias}),
        "TransformerEncoder": (layers.TransformerEncoder(block, 1), {"bias": bias}),
        "TransformerDecoder": (
            layers.TransformerDecoder(decoder, 1),
            {"bias": bias, "use_causal_mask": False},
        ),
        "position_bias": (
            layers.TransformerEncoder(block, 1, position_bias=table),
            {},
        ),
        "position_bias and bias": (
            layers.TransformerEncoder(block, 1, position_bias=layers.AlibiBias(2)),
            {"bias": bias},
        ),
    }


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", blocks_with(None))
def test_a_bias_is_added_in_float32(name, policy):
    """After 1000, bfloat16 knows 1004 and float16 1000.5; the softmax sees 1000.25."""
    keras.config.set_dtype_policy(policy)
    distances = np.arange(4) - np.arange(4)[:, None]
    bias = (1000 + 0.25 * distances).astype("float32")
    layer, given = blocks_with(bias)[name]
    inputs = np.zeros((1, 4, 4), "float32")
    layer(inputs, **given)
    if name == "position_bias":
        buckets = to_numpy(layer.position_bias(np.arange(16.0).reshape(1, 4, 4)))
        table = layer.position_bias.table
        values = np.zeros(table.shape, "float32")
        values[[3, 2, 1, 0, 17, 18, 19]] = 1000 + 0.25 * np.arange(-3, 4)[:, None]
        table.assign(values)
        assert buckets.dtype == "float32"
    _, weights = layer(inputs, **given, return_attention_scores=True)
    weights = weights[0] if isinstance(weights, list) else weights
    expected = np.exp(bias - 1000)[None]
    if name == "position_bias and bias":
        slopes = np.array([2.0**-4, 2.0**-8])[:, None, None]
        expected = np.exp(bias - 1000 - slopes * np.abs(distances))
    expected = expected / expected.sum(axis=-1, keepdims=True)
    found = np.asarray(to_numpy(weights), "float32")[0]
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-2)
