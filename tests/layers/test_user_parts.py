"""What users bring along: subclasses, NumPy's numbers, half precision, zeros."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import input_gradients
from helpers import to_numpy
from keras_attention import layers
from keras_attention.ops import attend

B, T, D = 2, 5, 8


@keras.saving.register_keras_serializable("test_user_parts")
class Tempered(layers.MultiHeadSelfAttention):
    """An argument of its own behind those with a place; the rest is passed on."""

    def __init__(self, num_heads, key_dim, temperature=1.0, **kwargs):
        super().__init__(num_heads, key_dim, **kwargs)
        self.temperature = temperature


@keras.saving.register_keras_serializable("test_user_parts")
class Keyword(layers.MultiHeadSelfAttention):
    """The pattern of Keras's guide."""

    def __init__(self, temperature=1.0, **kwargs):
        super().__init__(**kwargs)
        self.temperature = temperature

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


@keras.saving.register_keras_serializable("test_user_parts")
class Starred(layers.AdditiveAttention):
    def __init__(self, *args, extra=0, **kwargs):
        super().__init__(*args, **kwargs)
        self.extra = extra


@keras.saving.register_keras_serializable("test_user_parts")
class Block(layers.TransformerEncoderBlock):
    def __init__(self, num_heads, mlp_dim, gain=1.0, **kwargs):
        super().__init__(num_heads, mlp_dim, **kwargs)
        self.gain = gain


@pytest.mark.parametrize(
    "cls, arguments",
    [
        (Tempered, {"num_heads": 2, "key_dim": 4, "use_gate": True, "temperature": 2}),
        (Keyword, {"num_heads": 2, "key_dim": 4, "window": 3, "temperature": 2}),
        (Starred, {"units": 3, "extra": 4, "use_bias": True}),
        (Block, {"num_heads": 2, "mlp_dim": 9, "norm_order": "post", "gain": 3}),
    ],
)
def test_a_subclass_keeps_its_options(cls, arguments):
    again = cls.from_config(cls(**arguments).get_config())
    assert type(again) is cls
    assert {name: getattr(again, name) for name in arguments} == arguments


def test_a_subclass_keeps_its_options_in_a_stack():
    attention = Tempered(2, 4, temperature=2.0, window=2)
    block = Block(2, 9, gain=3.0, norm_order="post", attention=attention)
    for copy in layers.TransformerEncoder(block, 2).blocks:
        assert (copy.gain, copy.norm_order) == (3.0, "post")
        assert (copy.attention.temperature, copy.attention.window) == (2.0, 2)


def test_numbers_of_numpy_are_numbers():
    x = np.ones((B, T, D), "float32")
    two, sixteen, rate = np.int64(2), np.int32(16), np.float32(0.5)
    block = layers.TransformerEncoderBlock(two, sixteen, dropout=rate)
    stack = layers.TransformerEncoder(block, two)
    assert stack(x).shape == x.shape
    again = layers.TransformerEncoder.from_config(stack.get_config())
    assert again.num_layers == 2
    windowed = layers.MultiHeadSelfAttention(two, 4, window=two)
    expected = layers.MultiHeadSelfAttention(2, 4, window=2)
    expected.build(x.shape)
    windowed.build(x.shape)
    windowed.set_weights(expected.get_weights())
    np.testing.assert_array_equal(to_numpy(windowed(x)), to_numpy(expected(x)))


def test_a_step_beyond_the_room_of_its_cache_is_refused():
    layer = layers.MultiHeadSelfAttention(2, 4)
    layer.build((B, T, D))
    cache = layer.start_cache(B, 6)
    x = ops.ones((B, 3, D))
    _, cache, _ = layer.step(x, cache, length=0)
    _, cache, _ = layer.step(x, cache, length=3)
    with pytest.raises(ValueError, match="room for 6 tokens. Received: 3 more after 4"):
        layer.step(x, cache, length=4)


@pytest.mark.parametrize("norm", ["cosine", "rms_norm", "layer_norm"])
def test_the_first_gradient_is_finite_where_heads_are_zero(norm):
    layer = layers.MultiHeadSelfAttention(2, 4, query_key_norm=norm)
    x = np.zeros((B, T, D), "float32")
    layer.build(x.shape)
    (gradient,) = input_gradients(lambda x: layer(x) ** 2 + layer(x), x)
    assert np.isfinite(gradient).all()


def test_scores_are_not_rounded_in_half_precision(rng):
    """Scores around 60, of which bfloat16 knows quarters."""
    query, key = (4 * rng.normal(size=(1, 9, 2, 64)) for _ in range(2))
    value = rng.normal(size=(1, 9, 2, 64))
    tensors = [ops.cast(x, "bfloat16") for x in (query, key, value)]
    expected = attend(
        *(ops.cast(x, "float32") for x in tensors), implementation="explicit"
    )
    output = attend(*tensors, implementation="explicit")
    output, expected = (to_numpy(ops.cast(x, "float32")) for x in (output, expected))
    np.testing.assert_allclose(output, expected, rtol=2**-7, atol=0.02)


def test_asking_for_the_weights_changes_nothing_beyond_the_range_of_float16():
    """Scores of 160,000, of which float16 knows nothing."""
    query = ops.cast(np.full((1, 2, 1, 16), 100.0), "float16")
    key = ops.cast(
        np.linspace(90, 100, 3)[None, :, None, None] * np.ones(16), "float16"
    )
    value = ops.cast(np.arange(3.0)[None, :, None, None], "float16")
    output, weights = attend(query, key, value, scale=1.0, return_attention_scores=True)
    np.testing.assert_array_equal(to_numpy(weights)[0, 0], [[0, 0, 1]] * 2)
    np.testing.assert_array_equal(to_numpy(output), 2.0)


def test_a_part_may_compute_in_another_dtype():
    """Keras's map of policies, by paths of layers."""
    policies = keras.dtype_policies.DTypePolicyMap(default_policy="float32")
    half = keras.dtype_policies.DTypePolicy("mixed_bfloat16")
    policies["mine/self_attention"] = half
    block = layers.TransformerEncoderBlock(2, 16, dtype=policies, name="mine")
    output = block(np.ones((B, T, D), "float32"))
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    assert block.self_attention.compute_dtype == "bfloat16"
    assert block.mlp.compute_dtype == "float32"
