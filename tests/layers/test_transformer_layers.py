"""Transformer blocks and stacks against their figures, computed in NumPy."""

import functools
import itertools

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention import layers
from layers import reference
from layers.layer_table import randomize
from layers.reference import block
from layers.reference import feed_forward
from layers.reference import may_read
from layers.reference import multi_head
from layers.reference import norm
from layers.reference import part
from layers.reference import residual
from layers.reference import weights_of

B, T, S, D, E, N, M = 3, 5, 7, 8, 6, 4, 9
NORMS = [
    {"norm": kind, "norm_order": order}
    for kind, order in itertools.product(
        ("layer_norm", "rms_norm"), ("pre", "post", "sandwich")
    )
]
OPTIONS = [
    *NORMS,
    {"activation": "swiglu", "use_bias": False},
    {"activation": "relu", "key_dim": 3, "epsilon": 1e-2},
    {"layer_scale": 0.5, "norm_order": "sandwich"},
    {"dropout": 0.2, "attention_dropout": 0.2, "mlp_dropout": 0.2, "drop_path": 0.2},
]
by_option = pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: "-".join(map(str, o.values()))
)


def close(found, expected):
    np.testing.assert_allclose(to_numpy(found), expected, rtol=1e-5, atol=1e-5)


@pytest.fixture
def tensors(rng):
    shapes = (B, T, D), (B, S, E)
    return [rng.standard_normal(shape).astype("float32") for shape in shapes]


@by_option
def test_encoder_block_is_vaswani_s(tensors, rng, options):
    inputs, _ = tensors
    layer = layers.TransformerEncoderBlock(N, M, **options)
    layer.build(inputs.shape)
    randomize(layer)
    mask = rng.random((B, N, T, T)) < 0.7
    bias = rng.standard_normal((N, T, T)).astype("float32")
    expected, expected_weights = block(
        weights_of(layer),
        inputs,
        num_heads=N,
        allowed=may_read(T, T, causal=True, mask=mask),
        bias=bias,
        **options,
    )
    given = {"mask": mask, "bias": bias, "use_causal_mask": True}
    output, weights = layer(inputs, **given, return_attention_scores=True)
    close(output, expected)
    close(weights, expected_weights)
    close(layer(inputs, **given), expected)
    close(layer(inputs), block(weights_of(layer), inputs, num_heads=N, **options)[0])


@by_option
def test_decoder_block_is_vaswani_s(tensors, rng, options):
    inputs, encoded = tensors
    layer = layers.TransformerDecoderBlock(N, M, **options)
    layer.build(inputs.shape, encoded.shape)
    randomize(layer)
    mask, encoded_mask = rng.random((B, T)) < 0.7, rng.random((B, T, S)) < 0.7
    expected = block(
        weights_of(layer),
        inputs,
        encoded,
        num_heads=N,
        allowed=may_read(T, T, causal=True, mask=mask),
        encoded_allowed=may_read(T, S, mask=encoded_mask),
        **options,
    )
    given = {"mask": mask, "encoder_outputs_mask": encoded_mask}
    found = layer(inputs, encoded, **given, return_attention_scores=True)
    for one, other in zip(found, expected, strict=True):
        close(one, other)
    close(layer(inputs, encoded, **given), expected[0])


def test_decoder_block_without_cross_attention_is_a_causal_encoder_block(tensors):
    inputs, _ = tensors
    decoder = layers.TransformerDecoderBlock(N, M, use_cross_attention=False)
    encoder = layers.TransformerEncoderBlock(N, M)
    decoder.build(inputs.shape)
    encoder.build(inputs.shape)
    encoder.set_weights(decoder.get_weights())
    close(decoder(inputs), to_numpy(encoder(inputs, use_causal_mask=True)))
    both = decoder(inputs, use_causal_mask=False)
    close(both, to_numpy(encoder(inputs)))


@pytest.mark.parametrize("norm_order", ["pre", "post"])
@pytest.mark.parametrize("final_norm", [None, True, False])
@pytest.mark.parametrize("decodes", [False, True])
def test_a_stack_is_its_blocks_and_a_norm(tensors, norm_order, final_norm, decodes):
    """After the last block a norm, unless the block ends with one."""
    inputs, encoded = tensors
    options = {"norm_order": norm_order, "epsilon": 1e-3}
    if decodes:
        one = layers.TransformerDecoderBlock(N, M, **options)
        bias_layer = layers.RelativePositionBias(N, bidirectional=False)
        cls, given = layers.TransformerDecoder, (inputs, encoded)
    else:
        one = layers.TransformerEncoderBlock(N, M, **options)
        bias_layer = layers.AlibiBias(N)
        cls, given = layers.TransformerEncoder, (inputs,)
    layer = cls(one, 2, final_norm=final_norm, position_bias=bias_layer)
    layer(*given)
    randomize(layer)
    weights = weights_of(layer)
    bias = to_numpy(bias_layer(inputs)) + 0.5
    x, expected = inputs, []
    for number in range(2):
        x, *seen = block(
            part(weights, f"block_{number}"),
            x,
            *given[1:],
            num_heads=N,
            allowed=may_read(T, T, causal=decodes),
            bias=bias,
            **options,
        )
        expected.append(seen)
    if norm_order == "pre" if final_norm is None else final_norm:
        x = norm(x, part(weights, "norm"), 1e-3)
    output, *found = layer(
        *given, bias=np.full((1, 1, T, T), 0.5), return_attention_scores=True
    )
    close(output, x)
    for one, other in zip(found, zip(*expected, strict=True), strict=True):
        assert isinstance(one, list)
        for a, b in zip(one, other, strict=True):
            close(a, b)
    close(layer(*given, bias=np.full((1, 1, T, T), 0.5)), x)


@pytest.mark.skipif(BACKEND != "jax", reason="only JAX compiles a stack as a loop")
@pytest.mark.parametrize("norm_order, loops", [("pre", True), ("post", False)])
def test_a_loop_learns_as_its_blocks_one_after_the_other(
    tensors, monkeypatch, norm_order, loops
):
    calls = []
    cls = layers.TransformerEncoderBlock
    call = cls.call

    @functools.wraps(call)
    def spy(self, *args, **kwargs):
        calls.append(self.name)
        return call(self, *args, **kwargs)

    monkeypatch.setattr(cls, "call", spy)
    inputs = keras.Input((T, D))
    block = cls(N, M, norm_order=norm_order)
    model = keras.Model(inputs, layers.TransformerEncoder(block, 2)(inputs))
    randomize(model)
    start = model.get_weights()
    learned = {}
    for run_eagerly in (True, False):
        model.set_weights(start)
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=run_eagerly)
        calls.clear()
        model.train_on_batch(tensors[0], 0.5 * tensors[0])
        learned[run_eagerly] = model.get_weights()
        # Keras calls both once more to build what measures.
        is_loop = calls.count("block_0") > calls.count("block_1")
        assert is_loop == (loops and not run_eagerly)
    for one, other in zip(*learned.values(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    assert all((a != b).any() for a, b in zip(learned[False], start, strict=True))


def test_blocks_of_a_stack_have_weights_of_their_own():
    block = layers.TransformerEncoderBlock(N, M, seed=3)
    layer = layers.TransformerEncoder(block, 3)
    layer.build((None, None, D))
    assert not block.built
    kernels = [b.self_attention.weights[0] for b in layer.blocks]
    values = [to_numpy(kernel) for kernel in kernels]
    assert all(np.abs(a - b).max() > 0.1 for a, b in itertools.combinations(values, 2))


def test_blocks_of_a_stack_do_not_share_a_seed(tensors):
    """Nor do the parts and initializers that were passed to the block."""
    initializer = keras.initializers.GlorotUniform(seed=1)
    attention = layers.MultiHeadSelfAttention(
        N, 3, kernel_initializer=initializer, dropout=0.5, seed=2
    )
    block = layers.TransformerEncoderBlock(N, M, attention=attention, seed=4)
    first, second = layers.TransformerEncoder(block, 2).blocks
    for one in (first, second):
        one.build((B, T, D))
    kernels = [to_numpy(b.self_attention.weights[0]) for b in (first, second)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.1
    for mine, other in zip(
        second.trainable_weights, first.trainable_weights, strict=True
    ):
        mine.assign(other.value)
    dropped = [to_numpy(b(tensors[0], training=True)) for b in (first, second)]
    assert np.abs(dropped[0] - dropped[1]).max() > 1e-3
    assert block.seed == 4


def test_drop_path_grows_with_the_depth():
    """Huang et al. 2016, Figure 2: from 0 in the first block to all in the last."""
    block = layers.TransformerEncoderBlock(N, M, drop_path=0.2)
    layer = layers.TransformerEncoder(block, 4, drop_path=0.3)
    assert [b.drop_path for b in layer.blocks] == pytest.approx([0, 0.1, 0.2, 0.3])
    layer = layers.TransformerEncoder(block, 4)
    assert [b.drop_path for b in layer.blocks] == [0.2] * 4


def test_the_parts_of_a_block_can_be_replaced(tensors):
    """Attention with grouped heads and a gate, and a network of another activation."""
    inputs, encoded = tensors
    options = {"num_heads": N, "key_dim": 5, "num_key_value_heads": 2, "use_gate": True}
    layer = layers.TransformerDecoderBlock(
        num_heads=1,
        mlp_dim=1,
        attention=layers.MultiHeadSelfAttention(**options, window=2, name="own"),
        cross_attention=layers.MultiHeadAttention(**options, name="cross"),
        feed_forward=layers.FeedForward(M, activation="reglu", name="network"),
    )
    layer.build(inputs.shape, encoded.shape)
    randomize(layer)
    weights = weights_of(layer)
    allowed = may_read(T, T, causal=True, window=2)

    def read_itself(x):
        return multi_head(part(weights, "own"), x, x, allowed=allowed, **options)[0]

    def read_encoded(x):
        return multi_head(part(weights, "cross"), x, encoded, **options)[0]

    def transform(x):
        return feed_forward(part(weights, "network"), x, "reglu")

    x = residual(part(weights, "self_attention_residual"), inputs, read_itself)
    x = residual(part(weights, "cross_attention_residual"), x, read_encoded)
    x = residual(part(weights, "feed_forward_residual"), x, transform)
    close(layer(inputs, encoded), x)


def test_a_part_with_weights_keeps_them(tensors):
    """Attention that was trained elsewhere can be passed in."""
    inputs, _ = tensors
    attention = layers.MultiHeadSelfAttention(N, 3)
    attention(inputs)
    randomize(attention)
    kept = attention.get_weights()
    layer = layers.TransformerEncoderBlock(N, M, attention=attention)
    layer(inputs)
    assert layer.self_attention is attention
    for one, other in zip(attention.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_one_bias_serves_all_blocks(tensors):
    """A learned bias of a stack is one table, trained by every block."""
    inputs, _ = tensors
    block = layers.TransformerEncoderBlock(N, M)
    bias = layers.RelativePositionBias(N)
    layer = layers.TransformerEncoder(block, 3, position_bias=bias)
    layer(inputs)
    tables = [weight for weight in layer.weights if weight.path.endswith("table")]
    assert len(tables) == 1


@keras.saving.register_keras_serializable("tests")
class Average(keras.layers.Layer):
    """A block of a user: each token takes a step towards the mean of all."""

    def __init__(self, step=0.5, **kwargs):
        super().__init__(**kwargs)
        self.step = step

    def get_config(self):
        return {**super().get_config(), "step": self.step}

    def call(self, inputs, return_attention_scores=False, **kwargs):
        mean = keras.ops.mean(inputs, axis=1, keepdims=True)
        x = inputs + self.step * (mean - inputs)
        return (x, keras.ops.ones((1, 1, T, T)) / T) if return_attention_scores else x


def test_a_stack_takes_a_block_of_a_user(tensors):
    inputs, _ = tensors
    layer = layers.TransformerEncoder(Average(0.25), 2)
    mean = inputs.mean(axis=1, keepdims=True)
    expected = mean + 0.75**2 * (inputs - mean)
    close(layer(inputs), expected)
    output, weights = layer(inputs, return_attention_scores=True)
    close(output, expected)
    assert len(weights) == 2
    again = layers.TransformerEncoder.from_config(layer.get_config())
    close(again(inputs), expected)
    normed = layers.TransformerEncoder(Average(0.25), 2, final_norm=True)(inputs)
    close(normed, reference.layer_norm(expected, 1, 0))
