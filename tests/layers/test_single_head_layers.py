"""Attention with one head: numbers to check by hand, and the papers' equations."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize
from layers.reference import attention
from layers.reference import may_read
from layers.reference import softmax
from layers.reference import weights_of

B, T, S, DQ, DV, DK, U = 3, 5, 7, 4, 6, 9, 8


def close(found, expected):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def tensors(rng):
    """Query, value and key whose axes all differ."""
    shapes = ((B, T, DQ), (B, S, DV), (B, S, DK))
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


def test_equal_keys_share_the_attention():
    value = np.array([[[0.0, 2.0], [4.0, 6.0]]], "float32")
    key = np.ones((1, 2, 3), "float32")
    output, weights = layers.AdditiveAttention(units=4)(
        np.ones((1, 1, 5), "float32"), value, key, return_attention_scores=True
    )
    close(weights, [[[0.5, 0.5]]])
    close(output, [[[2.0, 4.0]]])


def test_dot_product_weighs_by_the_exponential_of_the_product():
    """The scores are 0 and log 3, so the weights are 1/4 and 3/4."""
    query = np.array([[[np.log(3.0)]]], "float32")
    key = np.array([[[0.0], [1.0]]], "float32")
    value = np.array([[[8.0], [16.0]]], "float32")
    output, weights = layers.DotProductAttention()(
        query, value, key, return_attention_scores=True
    )
    close(weights, [[[0.25, 0.75]]])
    close(output, [[[14.0]]])


def test_the_scale_is_the_square_root_of_the_width():
    """Of width 4, the product 2 log 3 is halved."""
    query = np.full((1, 1, 4), np.log(3.0) / 2, "float32")
    key = np.array([[[0.0] * 4, [1.0] * 4]], "float32")
    for layer in (layers.ScaledDotProduct(), layers.DotProductAttention("scaled")):
        _, weights = layer(query, key, return_attention_scores=True)
        close(weights, [[[0.25, 0.75]]])


@pytest.mark.parametrize("use_bias", [False, True])
@pytest.mark.parametrize("with_key", [False, True])
def test_additive_attention_is_bahdanau_s(tensors, use_bias, with_key):
    query, value, key = tensors
    key = key if with_key else value
    layer = layers.AdditiveAttention(U, use_bias=use_bias)
    layer.build(query.shape, value.shape, key.shape)
    randomize(layer)
    weights = weights_of(layer)
    left = query @ weights["query_kernel"]
    right = key @ weights["key_kernel"] + weights.get("bias", 0)
    hidden = np.tanh(left[:, :, None] + right[:, None])  # (B, T, S, U)
    expected = softmax((hidden @ weights["score_kernel"])[..., 0])
    output, found = layer(
        query, value, key if with_key else None, return_attention_scores=True
    )
    close(found, expected)
    close(output, expected @ value)


def test_projected_keys_stand_for_the_keys(tensors):
    query, value, key = tensors
    layer = layers.AdditiveAttention(U, use_bias=True)
    expected = layer(query, value, key)
    projected = layer.project_keys(keras.ops.convert_to_tensor(key))
    assert tuple(projected.shape) == (B, S, U)
    close(layer(query, value, projected_key=projected), to_numpy(expected))


@pytest.mark.parametrize("score", ["dot", "general", "scaled"])
@pytest.mark.parametrize("causal", [False, True])
def test_dot_product_attention_is_luong_s(rng, score, causal):
    shapes = {
        "query": (B, T, DQ),
        "value": (B, S, DV),
        "key": (B, S, DK if score == "general" else DQ),
    }
    query, value, key = (
        rng.standard_normal(shape).astype("float32") for shape in shapes.values()
    )
    layer = layers.DotProductAttention(score)
    layer.build(query.shape, value.shape, key.shape)
    randomize(layer)
    turned = query @ weights_of(layer)["kernel"] if score == "general" else query
    expected, expected_weights = attention(
        turned[:, :, None],
        key[:, :, None],
        value[:, :, None],
        may_read(T, S, causal=causal),
        scale=DQ**-0.5 if score == "scaled" else 1,
    )
    output, weights = layer(
        query, value, key, use_causal_mask=causal, return_attention_scores=True
    )
    close(output, expected[:, :, 0])
    close(weights, expected_weights[:, 0])
    close(layer(query, value, key, use_causal_mask=causal), expected[:, :, 0])
    if score == "scaled":
        same = layers.ScaledDotProduct()
        close(same(query, value, key, use_causal_mask=causal), expected[:, :, 0])


def layers_and_keys():
    """Each layer with one head, and the width of the keys it takes."""
    return [
        (layers.AdditiveAttention(U), DK),
        (layers.DotProductAttention("dot"), DQ),
        (layers.DotProductAttention("general"), DK),
        (layers.ScaledDotProduct(), DQ),
    ]


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("axes", [2, 3, 4])
def test_a_mask_leaves_the_softmax_of_the_others(tensors, rng, number, axes):
    layer, width = layers_and_keys()[number]
    query, value, key = tensors
    key = key[..., :width]
    mask = rng.random({2: (B, S), 3: (B, T, S), 4: (B, 1, T, S)}[axes]) < 0.6
    mask[0] = False  # the first sequence has nothing to read
    _, free = layer(query, value, key, return_attention_scores=True)
    output, weights = layer(query, value, key, mask=mask, return_attention_scores=True)
    expected = (
        to_numpy(free) * np.broadcast_to(may_read(T, S, mask=mask), (B, 1, T, S))[:, 0]
    )
    total = expected.sum(axis=-1, keepdims=True)
    expected = expected / np.where(total == 0, 1, total)
    close(weights, expected)
    close(output, expected @ value)
    close(layer(query, value, key, mask=mask), expected @ value)
    assert not to_numpy(output)[0].any()
