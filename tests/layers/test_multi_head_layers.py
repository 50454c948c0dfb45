"""Multi-head attention against its equation, each option alone and all together."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize
from layers.reference import may_read
from layers.reference import multi_head
from layers.reference import part
from layers.reference import rotate
from layers.reference import weights_of

B, T, S, N, K, H, HV, D = 3, 5, 7, 4, 2, 6, 8, 10
OPTIONS = {
    "plain": {},
    "grouped": {"num_key_value_heads": K},
    "one key": {"num_key_value_heads": 1},
    "wide values": {"value_dim": HV},
    "no bias": {"use_bias": False},
    "output bias alone": {"use_bias": False, "use_output_bias": True},
    "narrow output": {"output_dim": 9},
    "window": {"window": 2},
    "window to the left": {"window": (2, 0)},
    "window to the right": {"window": (1, 3)},
    "softcap": {"softcap": 1.5},
    "sinks": {"use_sinks": True},
    "gate": {"use_gate": True},
    "layer norm": {"query_key_norm": "layer_norm"},
    "rms norm": {"query_key_norm": "rms_norm"},
    "cosine": {"query_key_norm": "cosine"},
    "rotary": {"rotary_embedding": {}},
    "turned in part": {"rotary_embedding": {"rotary_dim": 4, "layout": "interleaved"}},
    "all": {
        **{
            "num_key_value_heads": K,
            "value_dim": HV,
            "output_dim": 9,
            "window": (3, 2),
        },
        **{"softcap": 2.0, "use_sinks": True, "use_gate": True},
        **{"query_key_norm": "rms_norm", "rotary_embedding": {"base": 50.0}},
    },
}
by_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def close(found, expected):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-5)


def make(cls, options, *shapes):
    """A layer with random weights, and the arguments of its reference."""
    options = dict(options)
    rotary = options.pop("rotary_embedding", None)
    layer = cls(
        N,
        H,
        rotary_embedding=rotary if rotary is None else layers.RotaryEmbedding(**rotary),
        **options,
    )
    layer.build(*shapes)
    randomize(layer)

    def turn(x, positions=None):
        positions = np.arange(x.shape[1]) if positions is None else positions
        names = {"rotary_dim": "width"}
        turned = {names.get(name, name): value for name, value in rotary.items()}
        return rotate(x, positions[..., None], **turned)

    turn = None if rotary is None else turn
    return layer, {**options, "num_heads": N, "key_dim": H, "rotary": turn}


@pytest.mark.parametrize("causal", [False, True], ids=["both ways", "causal"])
@by_option
def test_self_attention_is_vaswani_s(rng, options, causal):
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    layer, known = make(layers.MultiHeadSelfAttention, options, inputs.shape)
    expected, expected_weights = multi_head(
        weights_of(layer),
        inputs,
        inputs,
        allowed=may_read(T, T, causal=causal, window=options.get("window")),
        **known,
    )
    output, weights = layer(
        inputs, use_causal_mask=causal, return_attention_scores=True
    )
    close(weights, expected_weights)
    close(output, expected)
    close(layer(inputs, use_causal_mask=causal), expected)


@pytest.mark.parametrize("axes", [2, 3, 4])
@by_option
def test_cross_attention_with_masks_and_bias_is_vaswani_s(rng, options, axes):
    """Query, key and value differ in width; the second sequence reads nothing."""
    query, value, key = (
        rng.standard_normal(shape).astype("float32")
        for shape in ((B, T, D), (B, S, 6), (B, S, 7))
    )
    mask = rng.random({2: (B, S), 3: (B, T, S), 4: (B, N, T, S)}[axes]) < 0.7
    mask[1] = False
    bias_shape = {2: (T, S), 3: (N, 1, S), 4: (B, 1, T, S)}[axes]
    bias = rng.standard_normal(bias_shape).astype("float32")
    shapes = query.shape, value.shape, key.shape
    layer, known = make(layers.MultiHeadAttention, options, *shapes)
    expected, expected_weights = multi_head(
        weights_of(layer),
        query,
        value,
        key,
        allowed=may_read(T, S, window=options.get("window"), mask=mask),
        bias=bias,
        **known,
    )
    output, weights = layer(
        query, value, key, mask=mask, bias=bias, return_attention_scores=True
    )
    close(weights, expected_weights)
    assert not to_numpy(weights)[1].any()
    close(output, expected)
    close(layer(query, value, key, mask=mask, bias=bias), expected)


@pytest.mark.parametrize("same", ["query_key", "key_value", "query_value", "all", ""])
@pytest.mark.parametrize("equal_widths", [False, True])
def test_inputs_that_are_one_tensor_are_projected_as_three(rng, same, equal_widths):
    """Which of the three are the same tensor changes nothing in the equation."""
    length = T if same in ("query_key", "query_value", "all") else S
    widths = {"query": D, "key": D, "value": D}
    if not equal_widths:
        widths = {"query": D, "key": 7, "value": 6}
        for name in same.split("_")[1:]:
            widths[name] = widths[same.split("_")[0]]
        if same == "all":
            widths = dict.fromkeys(widths, D)
    tensors = {}
    for name, width in widths.items():
        rows = T if name == "query" else length
        tensors[name] = rng.standard_normal((B, rows, width)).astype("float32")
    for name in ("key", "value") if same == "all" else same.split("_")[1:]:
        tensors[name] = tensors["query" if same == "all" else same.split("_")[0]]
    query, value, key = (tensors[name] for name in ("query", "value", "key"))
    shapes = query.shape, value.shape, key.shape
    layer, known = make(layers.MultiHeadAttention, {"value_dim": HV}, *shapes)
    expected, _ = multi_head(weights_of(layer), query, value, key, **known)
    close(layer(query, value, key), expected)
    if same in ("key_value", "all"):
        close(layer(query, value), expected)


def test_self_attention_is_cross_attention_with_itself(rng):
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    own, _ = make(layers.MultiHeadSelfAttention, OPTIONS["all"], inputs.shape)
    cross, _ = make(
        layers.MultiHeadAttention, OPTIONS["all"], inputs.shape, inputs.shape
    )
    cross.set_weights(own.get_weights())
    close(cross(inputs, inputs), to_numpy(own(inputs)))


@pytest.mark.parametrize("by_batch", [False, True])
def test_rotary_positions_can_be_given(rng, by_batch):
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    positions = np.array([[0, 2, 3, 7, 8], [4, 5, 6, 7, 9], [1, 3, 5, 8, 13]], "int32")
    positions = positions if by_batch else positions[0]
    options = {"rotary_embedding": {"base": 100.0}}
    layer, known = make(layers.MultiHeadSelfAttention, options, inputs.shape)
    turn = known.pop("rotary")
    expected, _ = multi_head(
        weights_of(layer),
        inputs,
        inputs,
        rotary=lambda x: turn(x, positions),
        **known,
    )
    close(layer(inputs, positions=positions), expected)


def test_only_the_distance_matters_to_rotary_attention(rng):
    inputs = rng.standard_normal((B, T, D)).astype("float32")
    layer, _ = make(layers.MultiHeadSelfAttention, OPTIONS["rotary"], inputs.shape)
    positions = np.arange(T, dtype="int32")
    close(layer(inputs, positions=positions + 11), to_numpy(layer(inputs)))
    stretched = to_numpy(layer(inputs, positions=3 * positions))
    assert np.abs(stretched - to_numpy(layer(inputs))).max() > 1e-3


def test_a_sink_takes_weight_when_nothing_matches():
    """One key with the score 0 and a sink with the score log 3: a quarter is left."""
    layer = layers.MultiHeadSelfAttention(1, 2, use_sinks=True)
    layer.build((1, 1, 2))
    for weight in layer.weights:
        weight.assign(np.zeros(weight.shape))
    layer.sinks.assign([np.log(3.0)])
    _, weights = layer(np.ones((1, 1, 2), "float32"), return_attention_scores=True)
    close(weights, [[[[0.25]]]])


def test_each_projection_is_drawn_at_its_own_scale_with_its_own_values():
    """A kernel that holds three projections begins as three kernels would."""
    layer = layers.MultiHeadSelfAttention(8, 32, num_key_value_heads=1, value_dim=64)
    layer.build((None, None, 256))
    kernel = to_numpy(layer.trainable_weights[0])
    query, key, value = np.split(kernel, [256, 288], axis=1)
    for projection, width in ((query, 256), (key, 32), (value, 64)):
        limit = np.sqrt(6 / (256 + width))  # Glorot and Bengio 2010, Equation 16
        assert 0.98 * limit < np.abs(projection).max() <= limit
    for other in (key, value):
        assert np.mean(np.isin(other, query)) < 0.02
    assert np.mean(np.isin(key, value)) < 0.02


def test_a_seeded_initializer_draws_other_values_for_each_projection():
    def kernels():
        initializer = keras.initializers.GlorotUniform(seed=7)
        layer = layers.MultiHeadSelfAttention(2, 4, kernel_initializer=initializer)
        layer.build((None, None, 8))
        return np.split(to_numpy(layer.trainable_weights[0]), 3, axis=1)

    first, second = kernels(), kernels()
    np.testing.assert_array_equal(first, second)
    assert np.abs(first[0] - first[1]).max() > 0.1
    assert np.abs(first[1] - first[2]).max() > 0.1


def test_a_function_can_be_an_initializer():
    def threes(shape, dtype=None):
        return keras.ops.full(shape, 3.0, dtype)

    layer = layers.MultiHeadSelfAttention(2, 4, kernel_initializer=threes)
    layer.build((None, None, 8))
    close(layer.weights[0], np.full((8, 24), 3.0))


@pytest.mark.parametrize("use_mask", [False, True])
@pytest.mark.parametrize("key_dim", [None, 3])
def test_attention_pooling_is_one_learned_query(rng, use_mask, key_dim):
    inputs = rng.standard_normal((B, S, 8)).astype("float32")
    mask = rng.random((B, S)) < 0.6
    mask[:, 2] = True
    mask = mask if use_mask else None
    layer = layers.AttentionPooling(num_heads=N, key_dim=key_dim)
    layer.build(inputs.shape)
    randomize(layer)
    weights = weights_of(layer)
    expected, expected_weights = multi_head(
        part(weights, "attention"),
        np.repeat(weights["query"], B, axis=0),  # (B, 1, D)
        inputs,
        num_heads=N,
        key_dim=key_dim or 2,
        allowed=may_read(1, S, mask=mask),
    )
    output, found = layer(inputs, mask=mask, return_attention_scores=True)
    close(output, expected[:, 0])
    close(found, expected_weights[:, :, 0])
    close(layer(inputs, mask=mask), expected[:, 0])
