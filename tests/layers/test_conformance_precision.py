"""In half precision weights stay float32 and outputs near; float64 is whole."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
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


# Without Keras's norms and cells: on JAX and PyTorch they round to float32.
ALL_OURS = [
    row
    for row in ROWS
    if row.name.startswith(
        (
            *("AdditiveAttention", "AlibiBias", "AttentionPooling", "DotProduct"),
            *("FeedForward", "LSTMN", "LowRankAdapter", "LuongAttention", "MultiHead"),
            *("PatchEmbedding", "Positional", "Relative", "Rotary", "ScaledDot"),
        )
    )
]


@pytest.fixture
def in_float64():
    keras.config.set_dtype_policy("float64")
    if BACKEND != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("row", ALL_OURS, ids=lambda row: row.name)
def test_float64_is_rounded_nowhere(row):
    """A step of 1e-9 has the slope of one of 1e-5; of float32 it would be lost."""
    layer, arrays = row.make(), row.arrays()
    row.call(layer, arrays)
    randomize(layer)
    rng = np.random.default_rng(0)
    steps = {
        k: rng.normal(size=x.shape) for k, x in arrays.items() if x.dtype.kind == "f"
    }

    def slope(size):
        ends = []
        for sign in (size, -size):
            moved = {k: arrays[k] + sign * step for k, step in steps.items()}
            outputs = row.call(layer, {**arrays, **moved}, weights=row.gives_weights)
            outputs = [to_numpy(x) for x in keras.tree.flatten(outputs)]
            assert all(x.dtype == "float64" for x in outputs)
            ends.append(outputs)
        return [(a - b) / (2 * size) for a, b in zip(*ends, strict=True)]

    for fine, coarse in zip(slope(1e-9), slope(1e-5), strict=True):
        size = max(np.abs(coarse).max(), 1e-3)
        np.testing.assert_allclose(fine, coarse, atol=1e-3 * size)


@pytest.mark.usefixtures("in_float64")
def test_positions_are_as_fine_as_float64():
    positions, width = np.arange(1000)[:, None], 8
    angles = positions * 10000.0 ** (-np.arange(0, width, 2) / width)
    zeros, ones = np.zeros((1, 1000, width)), np.ones((1, 1000, 1, width))
    found = layers.PositionalEmbedding(kind="sinusoidal")(zeros)
    np.testing.assert_allclose(to_numpy(found)[0, :, ::2], np.sin(angles), atol=1e-13)
    turned = layers.RotaryEmbedding()(ones)
    expected = np.cos(angles) - np.sin(angles)
    found = to_numpy(turned)[0, :, 0, : width // 2]
    np.testing.assert_allclose(found, expected, atol=1e-13)
    found = to_numpy(layers.AlibiBias(3)(zeros[:, :9]))[0, :, 0, 8]
    np.testing.assert_allclose(found, -8 / np.array([16, 256, 4.0]), atol=1e-13)
