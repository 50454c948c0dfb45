"""Blocks and stacks as the models of papers want them: first values, biases, groups."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize

B, T, N, D, M = 2, 5, 3, 12, 16
NORMAL = keras.initializers.RandomNormal(stddev=0.02)
SMALL = keras.initializers.RandomNormal(stddev=0.001)


def close(found, expected, atol=1e-5):
    np.testing.assert_allclose(to_numpy(found), expected, atol=atol)


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(B, T, D)).astype("float32")


@pytest.mark.parametrize("decodes", [False, True])
def test_a_block_begins_with_the_values_of_its_paper(decodes):
    """GPT-2: 0.02, and less for what is added to the sum. All draw other values."""
    kind = layers.TransformerDecoderBlock if decodes else layers.TransformerEncoderBlock
    block = kind(4, 256, kernel_initializer=NORMAL, output_initializer=SMALL)
    block.build(*[(None, None, 128)] * (2 if decodes else 1))
    kernels = [w for w in block.weights if w.name.endswith("kernel")]
    assert len(kernels) == (6 if decodes else 4)
    values = [to_numpy(kernel.value) for kernel in kernels]
    for kernel, value in zip(kernels, values, strict=True):
        expected = 0.001 if kernel.name == "output_kernel" else 0.02
        assert value.std() == pytest.approx(expected, rel=0.05), kernel.path
    firsts = {float(value[0, 0]) for value in values}
    assert len(firsts) == len(values)


def test_with_a_seed_too_no_two_kernels_begin_alike():
    initializer = keras.initializers.RandomNormal(stddev=0.02, seed=1)
    block = layers.TransformerEncoderBlock(2, D, kernel_initializer=initializer)
    block.build((None, None, D))
    kernels = [w for w in block.weights if w.name.endswith("kernel")]
    firsts = {float(to_numpy(kernel.value)[0, 0]) for kernel in kernels}
    assert len(firsts) == len(kernels) == 4


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, ["qkv", "output", "mlp"]),
        ({"use_bias": False}, []),
        ({"use_attention_bias": False}, ["output", "mlp"]),
        ({"use_bias": False, "use_attention_bias": True}, ["qkv"]),
    ],
    ids=str,
)
def test_which_projections_have_biases(options, expected):
    block = layers.TransformerEncoderBlock(2, M, **options)
    block.build((None, None, D))
    attention = block.self_attention
    found = {
        "qkv": attention.use_bias,
        "output": attention.use_output_bias,
        "mlp": block.mlp.use_bias,
    }
    assert [name for name, has in found.items() if has] == expected


def test_queries_and_keys_of_a_block_can_be_normalized():
    block = layers.TransformerDecoderBlock(2, M, query_key_norm="rms_norm")
    block.build((None, None, D), (None, None, D))
    assert block.self_attention.query_key_norm == "rms_norm"
    assert block.reading.query_key_norm == "rms_norm"


def test_branches_in_parallel_are_added_together(inputs):
    """One norm, which both read; GPT-J and ViT-22B."""
    block = layers.TransformerEncoderBlock(N, M, norm_order="parallel", epsilon=1e-3)
    block.build(inputs.shape)
    randomize(block)
    normed = to_numpy(block.self_attention_residual.norm(inputs))
    attended = to_numpy(block.self_attention(normed))
    expected = inputs + attended + to_numpy(block.mlp(normed))
    close(block(inputs), expected)
    assert sum(w.name == "gamma" for w in block.weights) == 1


def test_branches_in_parallel_step_by_step(inputs):
    block = layers.TransformerDecoderBlock(
        N, M, norm_order="parallel", use_cross_attention=False
    )
    block.build(inputs.shape)
    randomize(block)
    whole = to_numpy(block(inputs))
    inputs = keras.ops.convert_to_tensor(inputs)
    first, cache, _ = block.step(inputs[:, :3], block.start_cache(B, T), length=0)
    last, _, _ = block.step(inputs[:, 3:], cache, length=3)
    close(first, whole[:, :3])
    close(last, whole[:, 3:])


def test_cross_attention_in_parallel_is_refused():
    with pytest.raises(ValueError, match="Pass use_cross_attention=False"):
        layers.TransformerDecoderBlock(N, M, norm_order="parallel")


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_the_factor_of_the_scores(inputs, scale):
    """1 in GPT-Neo, which does not scale."""
    layer = layers.MultiHeadSelfAttention(N, 4, use_bias=False, scale=scale)
    _, weights = layer(inputs, return_attention_scores=True)
    kernel = to_numpy(layer.query_key_value_kernel.value)
    query, key, _ = np.split(inputs @ kernel, 3, axis=-1)
    query, key = (x.reshape(B, T, N, 4) for x in (query, key))
    scores = scale * np.einsum("btnh,bsnh->bnts", query, key)
    weights = to_numpy(weights)
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    close(weights, exponentials / exponentials.sum(-1, keepdims=True))


def test_each_block_of_a_stack_can_have_its_own_factor():
    """Stanford's GPT-2: the scores of block i are divided by i + 1."""
    factors = [0.5 / (i + 1) for i in range(3)]
    block = layers.TransformerDecoderBlock(N, M, use_cross_attention=False)
    stack = layers.TransformerDecoder(block, 3, attention_scale=factors)
    stack.build((None, None, D))
    assert [b.self_attention.scale for b in stack.blocks] == factors
    with pytest.raises(ValueError, match="a list with one for each of the 3 blocks"):
        layers.TransformerDecoder(block, 3, attention_scale=[0.5])
    with pytest.raises(ValueError, match="`window` must be a list.*window=4"):
        layers.TransformerDecoder(block, 3, window=4)


@pytest.mark.once
def test_options_that_contradict_each_other_are_refused():
    with pytest.raises(ValueError, match="use_bias=False, use_key_bias=True"):
        layers.MultiHeadSelfAttention(N, 4, use_bias=False, use_key_bias=True)
    with pytest.raises(ValueError, match="`terms` must name one of.*terms=\\[\\]"):
        layers.DisentangledScores(layers.DistanceTable(4, 3), terms=[])
    with pytest.raises(ValueError, match="num_buckets=1. Pass at least 2"):
        layers.DistanceTable(4, max_distance=4, num_buckets=1)
    # Where half of them reach all distances, each distance has its own.
    table = layers.DistanceTable(4, max_distance=4, num_buckets=8)
    assert to_numpy(table.rows([-9, -3, 0, 2, 9])).tolist() == [0, 5, 8, 10, 15]
    block = layers.TransformerDecoderBlock(N, M, use_cross_attention=False)
    stack = layers.TransformerDecoder(
        block, 2, beside_first=layers.NeighborConvolution()
    )
    stack.build((None, None, D))
    with pytest.raises(ValueError, match="cannot read a sequence step by step"):
        stack.start_cache(1, 4)


@pytest.mark.parametrize(
    "num_layers, num_groups, group_size, order",
    [
        (4, 1, 1, [0, 0, 0, 0]),
        (5, 2, 1, [0, 0, 0, 1, 1]),
        (3, 2, 2, [0, 1, 0, 1, 2, 3]),
        (2, None, 2, [0, 1, 2, 3]),
        (3, None, 1, [0, 1, 2]),
    ],
)
def test_groups_of_layers_share_their_weights(
    inputs, tmp_path, num_layers, num_groups, group_size, order
):
    """Lan et al. 2020: layer i runs group i G / L; its blocks one after the other."""
    block = layers.TransformerEncoderBlock(N, M, norm_order="post")
    stack = layers.TransformerEncoder(
        block, num_layers, num_groups=num_groups, group_size=group_size
    )
    tensor = keras.Input((T, D))
    model = keras.Model(tensor, stack(tensor))
    randomize(model)
    block.build(inputs.shape)
    assert len(model.weights) == len(block.weights) * len(set(order))
    x = inputs
    for number in order:
        x = stack.blocks[number](x)
    close(model(inputs), to_numpy(x))
    _, weights = stack(inputs, return_attention_scores=True)
    assert len(weights) == len(order)
    model.save(tmp_path / "model.keras")
    for again in (
        keras.saving.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        again.set_weights(model.get_weights())
        close(again(inputs), to_numpy(x))


def test_a_decoder_of_shared_blocks_step_by_step(inputs):
    block = layers.TransformerDecoderBlock(N, M, use_cross_attention=False)
    stack = layers.TransformerDecoder(block, 3, num_groups=1, group_size=2)
    stack.build(inputs.shape)
    randomize(stack, scale=0.2)
    whole = to_numpy(stack(inputs))
    inputs = keras.ops.convert_to_tensor(inputs)
    cache = stack.start_cache(B, T)
    assert len(cache) == 6
    first, cache, _ = stack.step(inputs[:, :3], cache, length=0)
    last, _, _ = stack.step(inputs[:, 3:], cache, length=3)
    close(last, whole[:, 3:])


def test_more_groups_than_layers_are_refused():
    block = layers.TransformerEncoderBlock(N, M)
    with pytest.raises(ValueError, match="Received: num_groups=3, num_layers=2"):
        layers.TransformerEncoder(block, 2, num_groups=3)


def test_shared_blocks_learn_compiled_as_eagerly(inputs):
    """Also where JAX could run the blocks as a loop."""
    tensor = keras.Input((T, D))
    block = layers.TransformerEncoderBlock(N, M, norm_order="pre")
    stack = layers.TransformerEncoder(block, 4, num_groups=2)
    model = keras.Model(tensor, stack(tensor))
    randomize(model)
    start, learned = model.get_weights(), []
    for run_eagerly in (True, False):
        model.set_weights(start)
        model.compile(keras.optimizers.SGD(0.1), "mse", run_eagerly=run_eagerly)
        model.train_on_batch(inputs, 0.5 * inputs)
        learned.append(model.get_weights())
    for one, other in zip(*learned, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@keras.saving.register_keras_serializable("test_block_options")
class Penalized(keras.layers.Layer):
    """A network of a user that adds to the loss, and counts its calls."""

    def build(self, inputs_shape):
        self.mean = self.add_weight((), "zeros", trainable=False, name="mean")

    def call(self, inputs):
        self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
        self.mean.assign(0.5 * self.mean + 1.0)
        return 0.1 * inputs


def test_what_a_part_of_a_user_leaves_behind_is_kept(inputs):
    """A loop on JAX would forget the loss and the running value of each block."""
    tensor = keras.Input((T, D))
    block = layers.TransformerEncoderBlock(N, M, feed_forward=Penalized())
    model = keras.Model(tensor, layers.TransformerEncoder(block, 3)(tensor))
    start, losses = model.get_weights(), []
    for run_eagerly in (True, False):
        model.set_weights(start)
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        losses.append(float(model.train_on_batch(inputs, inputs)))
        means = [w for w in model.weights if w.name == "mean"]
        assert [float(to_numpy(w.value)) for w in means] == [1.0] * 3
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert losses[0] > 1.0


def test_a_regularizer_is_copied_with_its_layer(inputs):
    network = layers.FeedForward(M, activity_regularizer="l2")
    block = layers.TransformerEncoderBlock(N, M, feed_forward=network)
    stack = layers.TransformerEncoder(block, 2)
    stack(inputs)
    assert len(stack.losses) == 2
