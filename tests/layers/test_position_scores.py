"""Layers that give scores from positions and heads, as their papers write them.

Two of them are written here as a user would, with the `call` that attention asks.
"""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from keras_attention import layers
from keras_attention.ops import relative_shift
from layers.layer_table import randomize

B, T, S, N, H, D = 2, 5, 7, 3, 4, 9
MEMORY = S - T


@keras.saving.register_keras_serializable("test_position_scores")
class TransformerXLScores(keras.layers.Layer):
    """Dai et al. 2019, arXiv:1901.02860, Section 3.3, the terms (b), (c) and (d)."""

    def build(self, query_shape, key_shape):
        _, _, num_heads, key_dim = query_shape
        self.u = self.add_weight((num_heads, key_dim), name="u")
        self.v = self.add_weight((num_heads, key_dim), name="v")
        self.kernel = self.add_weight((2, num_heads, key_dim), name="kernel")

    def call(self, query, key, offset=0):
        length, key_length = query.shape[1], key.shape[1]
        # From the key that is farthest before a query to the farthest behind it.
        distances = ops.arange(length + key_length - 1) - (length - 1) - offset
        positions = ops.cast(distances, "float32")
        positions = ops.stack([ops.sin(positions), ops.cos(positions)], axis=-1)
        projected = ops.einsum("rp,pnh->rnh", positions, self.kernel)
        shifted = ops.einsum("btnh,rnh->bntr", query + self.v, projected)
        scores = relative_shift(shifted, key_length)  # (B, N, T, S)
        scores += ops.einsum("nh,bsnh->bns", self.u, key)[:, :, None]
        return scores * query.shape[-1] ** -0.5


@keras.saving.register_keras_serializable("test_position_scores")
class MinusDistance(keras.layers.Layer):
    """Scores a key by how near it is to the query, in place of the dot product."""

    replaces_scores = True

    def call(self, query, key, offset=0):
        difference = ops.expand_dims(query, 2) - ops.expand_dims(key, 1)
        return -ops.transpose(ops.sum(ops.abs(difference), -1), (0, 3, 1, 2))


def disentangled():
    return layers.DisentangledScores(
        layers.DistanceTable(D, 16, num_buckets=2, use_norm=True)
    )


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def heads_of(layer, *inputs):
    """Query and key heads in float64."""
    kernels = layer.query_key_value_kernel
    kernel = np.split(to_numpy(kernels.value).astype("float64"), 3, axis=1)
    return [(x @ k).reshape(B, -1, N, H) for x, k in zip(inputs, kernel, strict=False)]


def test_relative_with_a_memory_is_dai_s(rng):
    """Queries follow two tokens that are only read; by loops over their distances."""
    layer = layers.MultiHeadAttention(
        N, H, use_bias=False, position_scores=TransformerXLScores()
    )
    query, value = rng.normal(size=(B, T, D)), rng.normal(size=(B, S, D))
    value[:, MEMORY:] = query
    call = {"offset": MEMORY, "use_causal_mask": True}
    layer.build(query.shape, value.shape)
    randomize(layer)
    q, k = heads_of(layer, query, value)
    u, v, kernel = (to_numpy(w.value) for w in layer.position_scores.weights)
    scores = np.full((B, N, T, S), -np.inf)
    for t in range(T):
        for s in range(t + MEMORY + 1):
            distance = s - (t + MEMORY)
            r = np.tensordot([np.sin(distance), np.cos(distance)], kernel, 1)
            scores[:, :, t, s] = np.sum((q[:, t] + u) * k[:, s], -1)
            scores[:, :, t, s] += np.sum((q[:, t] + v) * r, -1)
    query, value = query.astype("float32"), value.astype("float32")
    output, found = layer(query, value, **call, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(found), softmax(scores / H**0.5), atol=1e-5)
    np.testing.assert_allclose(
        to_numpy(layer(query, value, **call)), to_numpy(output), atol=1e-5
    )


def test_disentangled_is_he_s(rng):
    table = layers.DistanceTable(D, max_distance=3)
    scores = layers.DisentangledScores(table, share_projections=True)
    layer = layers.MultiHeadSelfAttention(
        N, H, use_bias=False, position_scores=scores, scale=12**-0.5
    )
    x = rng.normal(size=(B, T, D))
    layer.build(x.shape)
    randomize(layer)
    q, k = heads_of(layer, x, x)
    places = np.repeat(to_numpy(table.table.value)[None], B, axis=0)
    q_r, k_r = heads_of(layer, places, places)
    scores = np.zeros((B, N, T, T))
    for t in range(T):
        for s in range(T):
            i = min(max(t - s + 3, 0), 5)
            terms = q[:, t] * k[:, s] + q[:, t] * k_r[:, i] + k[:, s] * q_r[:, i]
            scores[:, :, t, s] = terms.sum(-1)
    _, found = layer(x.astype("float32"), return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(found), softmax(scores / 12**0.5), atol=1e-5)


def test_scores_can_stand_in_place_of_the_dot_product(rng):
    layer = layers.MultiHeadSelfAttention(
        N, H, use_bias=False, position_scores=MinusDistance()
    )
    x = rng.normal(size=(B, T, D)).astype("float32")
    layer.build(x.shape)
    q, k = heads_of(layer, x, x)
    scores = -np.abs(q[:, :, None] - k[:, None]).sum(-1).transpose(0, 3, 1, 2)
    _, found = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(found), softmax(scores), atol=1e-5)


SCORES = {
    "relative with a shift": lambda: TransformerXLScores(),
    "disentangled": lambda: disentangled(),
    "in place": lambda: MinusDistance(),
    "alibi": lambda: layers.AlibiBias(N),
    "buckets": lambda: layers.RelativePositionBias(N, 8, 5),
    "on a grid": lambda: layers.RelativePositionBias2D(N, 2, 4),
}


ON_EACH_BACKEND = ("in place", "alibi")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, marks=[] if name in ON_EACH_BACKEND else pytest.mark.compiles_much
        )
        for name in SCORES
    ],
)
def test_step_by_step_is_the_whole(name, rng):
    """Four tokens at once, one, and two more; in a stack of two blocks."""
    attention = layers.MultiHeadSelfAttention(N, H, position_scores=SCORES[name]())
    block = layers.TransformerDecoderBlock(
        N, 8, use_cross_attention=False, attention=attention
    )
    decoder = layers.TransformerDecoder(block, 2)
    tokens = ops.convert_to_tensor(rng.normal(size=(B, S, D)), "float32")
    decoder.build(tokens.shape)
    randomize(decoder)
    whole = to_numpy(decoder(tokens, use_causal_mask=True))
    cache, found = decoder.start_cache(B, 9), []
    for first, end in ((0, 4), (4, 5), (5, 7)):
        output, cache, _ = decoder.step(tokens[:, first:end], cache, length=first)
        found.append(to_numpy(output))
    np.testing.assert_allclose(np.concatenate(found, 1), whole, atol=1e-5)


def test_one_table_serves_the_blocks_of_a_stack(tmp_path, rng):
    """It is one set of weights, also when it was saved and loaded."""
    scores = disentangled()
    attention = layers.MultiHeadSelfAttention(N, H, position_scores=scores)
    block = layers.TransformerEncoderBlock(N, 8, attention=attention)
    inputs = keras.Input((T, D))
    stack = layers.TransformerEncoder(block, 3)
    model = keras.Model(inputs, stack(inputs))
    assert sum(w.name == "table" for w in model.weights) == 1
    assert not scores.table.built
    randomize(model)
    path = tmp_path / "model.keras"
    model.save(path)
    x = rng.normal(size=(B, T, D)).astype("float32")
    again = keras.saving.load_model(path)
    np.testing.assert_array_equal(to_numpy(again(x)), to_numpy(model(x)))
    assert len(again.weights) == len(model.weights)


def test_a_layer_that_takes_no_offset_is_refused():
    class Mine(keras.layers.Layer):
        def call(self, query, key):
            return query

    layer = layers.MultiHeadSelfAttention(N, H, position_scores=Mine())
    with pytest.raises(ValueError, match=r"Received: Mine, whose call.*offset=0\)`"):
        layer.build((B, T, D))


def test_a_step_between_sequences_asks_for_the_offset(rng):
    layer = layers.MultiHeadAttention(N, H, position_scores=layers.AlibiBias(N))
    query, value = (rng.normal(size=(B, n, D)).astype("float32") for n in (T, S))
    whole = to_numpy(layer(query, value, offset=2))
    cache = layer.start_cache(value)
    with pytest.raises(ValueError, match="pass `offset`"):
        layer.step(query[:, 3:], cache)
    output, _ = layer.step(query[:, 3:], cache, offset=5)
    np.testing.assert_allclose(to_numpy(output), whole[:, 3:], atol=1e-5)
