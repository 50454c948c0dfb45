"""Layers of convolutional networks and windows, by numbers that can be checked."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from helpers import weight_gradients
from keras_attention.layers import ConditionalBatchNormalization
from keras_attention.layers import ConvNeXtBlock
from keras_attention.layers import GlobalResponseNorm
from keras_attention.layers import PatchMerging
from keras_attention.layers import ResNetBlock
from keras_attention.layers import SelfAttention2D
from keras_attention.layers import SpectralNormalization
from keras_attention.layers import TransformerEncoderBlock
from keras_attention.layers import WindowAttention
from keras_attention.layers.convolution.bit_block import StandardizedConv2D
from keras_attention.layers.convolution.normed_convolution import padded
from keras_attention.layers.window_attention import region_mask
from layers.layer_table import randomize


def test_weights_are_standardized_for_each_channel(rng):
    layer = StandardizedConv2D(3, 2, use_bias=False, data_format="channels_last")
    x = rng.normal(size=(2, 4, 5, 6)).astype("float32")
    layer.build(x.shape)
    kernel = rng.normal(3.0, 2.0, size=(2, 2, 6, 3)).astype("float32")
    layer.kernel.assign(kernel)
    flat = kernel.reshape(-1, 3)
    flat = (flat - flat.mean(axis=0)) / flat.std(axis=0)
    patches = np.stack(
        [x[:, i : i + 3, j : j + 4] for i in range(2) for j in range(2)], axis=3
    )
    expected = patches.reshape(2, 3, 4, -1) @ flat
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-4)


@pytest.mark.once
def test_pictures_are_padded_alike_at_both_ends():
    x = np.arange(1.0, 5.0).reshape(1, 2, 2, 1)
    found = to_numpy(padded(keras.ops.convert_to_tensor(x), 1, -np.inf))[0, ..., 0]
    assert (found[1:3, 1:3] == x[0, ..., 0]).all()
    assert np.isneginf(found).sum() == 12


@pytest.mark.once
def test_channels_that_respond_most_grow():
    """Lengths 3 and 1 over four places, whose mean is 2: factors 3/2 and 1/2."""
    layer = GlobalResponseNorm(epsilon=0.0)
    x = np.zeros((1, 2, 2, 2), "float32")
    x[..., 0], x[..., 1] = 1.5, 0.5
    layer.build(x.shape)
    layer.gamma.assign([1.0, 1.0])
    layer.beta.assign([0.25, 0.0])
    expected = x + x * [1.5, 0.5] + [0.25, 0.0]
    np.testing.assert_allclose(to_numpy(layer(x)), expected, rtol=1e-6)


@pytest.mark.once
def test_neighbors_are_laid_side_by_side_column_by_column():
    layer = PatchMerging(output_dim=4)
    x = np.arange(6.0, dtype="float32").reshape(1, 2, 3, 1)  # 0 1 2, 3 4 5, and zeros
    layer.build(x.shape)
    layer.kernel.assign(np.eye(4))
    parts = np.array([[0, 3, 1, 4], [2, 5, 0, 0]], "float32")
    normed = parts - parts.mean(axis=1, keepdims=True)
    normed /= np.sqrt((normed**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(to_numpy(layer(x))[0, 0], normed, atol=1e-5)


def test_cells_of_other_windows_are_not_read(rng):
    """A change of one cell stays within its window, and within its region."""
    x = rng.normal(size=(1, 4, 4, 6)).astype("float32")
    for shift, row, reached in (
        (0, 0, [(0, 0), (0, 1), (1, 0), (1, 1)]),
        (1, 0, [(0, 0)]),  # alone in the corner that the shift cuts
        (1, 1, [(1, 1), (1, 2), (2, 1), (2, 2)]),
    ):
        layer = WindowAttention(num_heads=2, window_size=2, shift=shift)
        before = to_numpy(layer(x))
        other = x.copy()
        other[0, row, row] += 1
        changed = np.abs(to_numpy(layer(other)) - before)[0].max(axis=-1) > 1e-6
        assert sorted(map(tuple, np.argwhere(changed).tolist())) == reached


@pytest.mark.once
def test_a_window_is_no_larger_than_the_grid():
    layer = WindowAttention(num_heads=2, window_size=7, shift=3)
    _, weights = layer(np.ones((2, 3, 5, 6)), return_attention_scores=True)
    assert weights.shape == (2 * 2, 2, 9, 9)  # 3 x 5 padded to 3 x 6: two windows
    assert region_mask(4, 4, 2, 1).shape == (4, 4, 4)


def test_norms_at_the_end_of_branches(rng):
    """Liu et al. 2022: with factors 0 a block is the identity."""
    block = TransformerEncoderBlock(2, 8, norm_order="res_post")
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    assert np.abs(to_numpy(block(x)) - x).max() > 0.1
    for residual in (block.self_attention_residual, block.mlp_residual):
        residual.norm.gamma.assign(np.zeros(4))
    np.testing.assert_allclose(to_numpy(block(x)), x)


def test_places_read_pooled_ones_behind_a_gate(rng):
    """Zhang et al. 2019, in NumPy."""
    layer = SelfAttention2D(key_dim=3, value_dim=4)
    x = rng.normal(size=(2, 4, 6, 5)).astype("float32")
    np.testing.assert_array_equal(to_numpy(layer(x)), x)  # the gate is closed
    layer.gate.assign(0.5)

    def pooled(name):
        y = x @ to_numpy(getattr(layer, name))
        y = y.reshape(2, 2, 2, 3, 2, -1).max(axis=(2, 4))
        return y.reshape(2, 6, -1)

    query = (x @ to_numpy(layer.query_kernel)).reshape(2, 24, 3)
    scores = np.exp(query @ pooled("key_kernel").transpose(0, 2, 1))
    weights = scores / scores.sum(axis=-1, keepdims=True)
    read = weights @ pooled("value_kernel") @ to_numpy(layer.output_kernel)
    output, found = layer(x, return_attention_scores=True)
    np.testing.assert_allclose(to_numpy(found)[:, 0], weights, atol=1e-5)
    expected = x + 0.5 * read.reshape(x.shape)
    np.testing.assert_allclose(to_numpy(output), expected, atol=1e-5)


@pytest.mark.once
@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda: SelfAttention2D(pool_size=5)(np.ones((1, 4, 9, 8))),
            "pooled by 5 x 5.*1, 4, 9, 8.*smaller `pool_size`",
        ),
        (lambda: WindowAttention(2, 4, shift=4), "`shift` must be.*shift=4, window"),
        (lambda: ResNetBlock(8, kind="wide"), "`kind` must be one of.*'wide'"),
        (
            lambda: SpectralNormalization(keras.layers.ReLU())(np.ones((1, 4))),
            "the layer has none. Received: layer=ReLU",
        ),
        (lambda: ConvNeXtBlock(activation="swiglu"), "`activation` must be one of"),
        (
            lambda: WindowAttention(2, 4)(keras.Input((None, 8, 6))),
            "grid .B, rows, columns, D. whose size is known.*None, None, 8, 6",
        ),
        (
            lambda: WindowAttention(2, 4)(np.ones((1, 4, 4, 6)), use_causal_mask=True),
            "Windows have no use_causal_mask",
        ),
    ],
)
def test_what_cannot_be_is_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: keras.layers.Conv2D(5, 3, data_format="channels_last"),
        lambda: SelfAttention2D(),
    ],
)
def test_matrices_are_divided_by_their_largest_singular_value(rng, make):
    layer = SpectralNormalization(make())
    x = rng.normal(size=(2, 4, 6, 8)).astype("float32")
    layer(x)
    randomize(layer)
    before = [to_numpy(kernel) for kernel in layer.kernels]
    for _ in range(30):
        output = layer(x, training=True)
    for kernel, old in zip(layer.kernels, before, strict=True):
        np.testing.assert_array_equal(to_numpy(kernel), old)
        flat = old.reshape(-1, old.shape[-1])
        kernel.assign(old / np.linalg.svd(flat, compute_uv=False)[0])
    expected = to_numpy(layer.layer(x))
    np.testing.assert_allclose(to_numpy(output), expected, atol=1e-3)
    np.testing.assert_allclose(to_numpy(layer(x)), expected, atol=1e-3)


def test_the_gradient_goes_through_the_division(rng):
    """Of W / |W|, a matrix of one column: (I - W W' / |W|^2) / |W|."""
    layer = SpectralNormalization(keras.layers.Dense(1, use_bias=False))
    x = np.array([[1.0, 0.0]], "float32")
    layer.build(x.shape)
    layer.layer.kernel.assign([[3.0], [4.0]])
    layer.vectors[0].assign([1.0])
    np.testing.assert_allclose(to_numpy(layer(x)), [[0.6]], rtol=1e-6)
    (found,) = weight_gradients(lambda: layer(x), [layer.layer.kernel])
    np.testing.assert_allclose(found, [[0.128], [-0.096]], atol=1e-6)


@pytest.mark.once
def test_a_matrix_of_zeros_stays_one():
    layer = SpectralNormalization(
        keras.layers.Dense(3, kernel_initializer="zeros", use_bias=False)
    )
    assert (to_numpy(layer(np.ones((2, 4)), training=True)) == 0).all()


def test_each_class_has_a_scale_and_a_shift(rng):
    layer = ConditionalBatchNormalization(num_classes=3, epsilon=0.0)
    x = rng.normal(2.0, 3.0, size=(4, 2, 3, 5)).astype("float32")
    labels = np.array([2, 0, 1, 2])
    layer.build(x.shape)
    gamma, beta = rng.normal(size=(2, 3, 5)).astype("float32")
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    normed = (x - x.mean(axis=(0, 1, 2))) / x.std(axis=(0, 1, 2))
    expected = gamma[labels][:, None, None] * normed + beta[labels][:, None, None]
    found = to_numpy(layer(x, labels, training=True))
    np.testing.assert_allclose(found, expected, atol=1e-4)
