"""What is said of attention in every course, measured."""

import keras
import numpy as np
import pytest

from helpers import input_gradients
from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize

B, T, S, D, N = 2, 5, 7, 8, 2


def close(found, expected, atol=1e-6):
    np.testing.assert_allclose(to_numpy(found), to_numpy(expected), rtol=0, atol=atol)


def entropy(weights):
    """Of each row of weights, from 0 (one key) to 1 (all keys alike)."""
    weights = np.asarray(weights, "float64")
    logs = np.log(np.where(weights > 0, weights, 1))
    return -(weights * logs).sum(axis=-1) / np.log(weights.shape[-1])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.AdditiveAttention(6),
        lambda: layers.DotProductAttention("general"),
        lambda: layers.ScaledDotProduct(),
        lambda: layers.MultiHeadAttention(N, 3),
    ],
    ids=["additive", "general", "scaled", "multi-head"],
)
def test_what_is_read_is_a_set(rng, layer):
    """The values in another order: the weights follow them, the output stays."""
    layer, order = layer(), rng.permutation(S)
    query = rng.standard_normal((B, T, D)).astype("float32")
    value = rng.standard_normal((B, S, D)).astype("float32")
    output, weights = layer(query, value, return_attention_scores=True)
    shuffled, moved = layer(query, value[:, order], return_attention_scores=True)
    close(shuffled, output)
    close(moved, to_numpy(weights)[..., order])
    assert not np.allclose(to_numpy(moved), to_numpy(weights), atol=1e-3)


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.MultiHeadSelfAttention(N, 4),
        lambda: layers.MultiHeadSelfAttention(N, 4, num_key_value_heads=1),
        lambda: layers.TransformerEncoderBlock(N, 9),
        lambda: layers.TransformerEncoder(layers.TransformerEncoderBlock(N, 9), 2),
    ],
    ids=["plain", "grouped", "block", "stack"],
)
def test_self_attention_is_permutation_equivariant(rng, layer):
    """f(s(x)) = s(f(x)): without positions the order of the tokens means nothing."""
    layer, order = layer(), rng.permutation(T)
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    output = to_numpy(layer(inputs))
    close(layer(inputs[:, order]), output[:, order])
    assert np.abs(output[:, order] - output).max() > 1e-2


def test_attention_pooling_is_permutation_invariant(rng):
    layer, order = layers.AttentionPooling(N), rng.permutation(S)
    inputs = rng.standard_normal((B, S, D)).astype("float32")
    close(layer(inputs[:, order]), layer(inputs))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.MultiHeadSelfAttention(
            N, 4, rotary_embedding=layers.RotaryEmbedding()
        ),
        lambda: layers.TransformerEncoder(
            layers.TransformerEncoderBlock(N, 9), 1, position_bias=layers.AlibiBias(N)
        ),
        lambda: keras.Sequential(
            [layers.PositionalEmbedding(T), layers.MultiHeadSelfAttention(N, 4)]
        ),
    ],
    ids=["rotary", "ALiBi", "learned"],
)
def test_positions_give_the_order_a_meaning(rng, layer):
    layer, order = layer(), np.arange(T)[::-1]
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    layer(inputs)
    randomize(layer)
    order = np.array([1, 0, 2, 4, 3])
    output = to_numpy(layer(inputs))
    moved = to_numpy(layer(inputs[:, order]))
    assert np.abs(moved - output[:, order]).max() > 1e-3


def test_without_the_scale_wide_queries_see_one_key_only(rng):
    """The variance of query . key grows with the width; the scale takes it back.

    Entropy of the weights over 32 keys of standard normal numbers, and the gradient
    by the keys, which vanishes where the softmax is one-hot.
    """
    entropies, gradients = {}, {}
    for score in ("dot", "scaled"):
        layer = layers.DotProductAttention(score)
        for width in (4, 64, 4096):
            query, key = (
                rng.standard_normal((2, 32, width)).astype("float32") for _ in "qk"
            )
            value = rng.standard_normal((2, 32, 4)).astype("float32")
            _, weights = layer(query, value, key, return_attention_scores=True)
            entropies[score, width] = entropy(to_numpy(weights)).mean()

            def read(key, layer=layer, query=query, value=value):
                return keras.ops.multiply(layer(query, value, key), value)

            (gradient,) = input_gradients(read, key)
            # Relative to one score: the scale itself is a factor of the gradient.
            scale = width**-0.5 if score == "scaled" else 1.0
            gradients[score, width] = np.abs(gradient).mean() / scale
    assert entropies["dot", 4] > 0.5
    assert entropies["dot", 64] < 0.25
    assert entropies["dot", 4096] < 0.06
    for width in (4, 64, 4096):
        assert 0.8 < entropies["scaled", width] < 0.95
    assert gradients["dot", 4096] < 0.25 * gradients["dot", 4]
    assert gradients["scaled", 4096] > 0.5 * gradients["scaled", 4]


def test_only_attention_moves_information_between_tokens(rng):
    """In a block whose values are zero, a token changes nothing but itself."""
    inputs = rng.standard_normal((1, T, D)).astype("float32")
    changed = inputs.copy()
    changed[:, 2, 0] += 1
    for norm_order in ("pre", "post", "sandwich"):
        block = layers.TransformerEncoderBlock(N, 9, norm_order=norm_order)
        block(inputs)
        randomize(block)
        others = [t for t in range(T) if t != 2]
        moved = to_numpy(block(changed)) - to_numpy(block(inputs))
        assert np.abs(moved[:, others]).max() > 1e-3
        kernel, bias = block.self_attention.weights[:2]
        values = np.arange(3 * D) >= 2 * D  # the columns of the values
        kernel.assign(np.where(values, 0, to_numpy(kernel)))
        bias.assign(np.where(values, 0, to_numpy(bias)))
        moved = to_numpy(block(changed)) - to_numpy(block(inputs))
        assert np.abs(moved[:, others]).max() <= 1e-6
        assert np.abs(moved[:, 2]).max() > 1e-3


def test_the_future_changes_nothing_in_the_past(rng):
    """Masked self-attention: all steps are trained at once, as if one by one."""
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    layer = layers.TransformerDecoder(
        layers.TransformerDecoderBlock(N, 9, use_cross_attention=False), 2
    )
    whole = to_numpy(layer(inputs))
    for t in range(1, T):
        close(layer(inputs[:, :t]), whole[:, :t])


def test_heads_read_different_places(rng):
    """Each has its own weights, like the filters of a convolution."""
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    _, weights = layers.MultiHeadSelfAttention(4, 4)(
        inputs, return_attention_scores=True
    )
    weights = to_numpy(weights)
    for one in range(4):
        for other in range(one):
            assert np.abs(weights[:, one] - weights[:, other]).max() > 1e-2


def test_weights_of_each_query_sum_to_1(rng):
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    for layer in (
        layers.MultiHeadSelfAttention(N, 4),
        layers.TransformerEncoderBlock(N, 9),
    ):
        _, weights = layer(inputs, return_attention_scores=True)
        close(to_numpy(weights).sum(axis=-1), np.ones((B, N, T)))
