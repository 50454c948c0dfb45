"""Each mask is what plain loops say, and masks combine as sets do."""

import itertools

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.ops import attend
from keras_attention.ops import block_mask
from keras_attention.ops import causal_mask
from keras_attention.ops import combine_masks
from keras_attention.ops import length_mask
from keras_attention.ops import lift_mask
from keras_attention.ops import padding_mask
from keras_attention.ops import prefix_mask
from keras_attention.ops import window_mask
from keras_attention.ops.masks import window_sides

LENGTHS = [(5, 7), (7, 7), (8, 7), (1, 7), (3, 1)]


def loops(shape, allows):
    """The mask `(B, T, S)` with `allows(b, t, s)` at each place."""
    mask = np.zeros(shape, bool)
    for place in itertools.product(*(range(size) for size in shape)):
        mask[place] = allows(*place)
    return mask


def check(mask, expected):
    """Asserts that a mask is boolean and equal to another, shape and all."""
    assert keras.backend.standardize_dtype(mask.dtype) == "bool"
    np.testing.assert_array_equal(to_numpy(mask), expected, strict=True)


@pytest.mark.parametrize("query_length, key_length", LENGTHS)
@pytest.mark.parametrize("offset", [0, 2, -1])
def test_causal_mask(query_length, key_length, offset):
    check(
        causal_mask(query_length, key_length, offset=offset),
        loops((1, query_length, key_length), lambda b, t, s: s <= t + offset),
    )


def test_causal_mask_is_square_by_default():
    check(causal_mask(3), np.tri(3, dtype=bool)[None])


def test_causal_mask_in_a_step_of_decoding():
    """The token at position 4 of a cache of 6 reads keys 0 to 4."""
    check(causal_mask(1, 6, offset=4), [[[True] * 5 + [False]]])


def test_causal_mask_takes_an_offset_that_is_a_tensor():
    offset = keras.ops.convert_to_tensor(2, "int32")
    check(causal_mask(3, 7, offset=offset), to_numpy(causal_mask(3, 7, offset=2)))


@pytest.mark.parametrize("query_length, key_length", LENGTHS)
@pytest.mark.parametrize(
    "window, left, right",
    [(1, 0, 0), (3, 2, 2), ((2, 0), 2, 0), ((0, 3), 0, 3), ([1, 2], 1, 2)],
)
@pytest.mark.parametrize("offset", [0, 2])
def test_window_mask(query_length, key_length, window, left, right, offset):
    check(
        window_mask(query_length, key_length, window=window, offset=offset),
        loops(
            (1, query_length, key_length),
            lambda b, t, s: t + offset - left <= s <= t + offset + right,
        ),
    )
    assert window_sides(window) == (left, right)


def test_window_mask_is_square_by_default():
    check(window_mask(4, window=1), np.eye(4, dtype=bool)[None])


def test_a_window_in_a_causal_mask_is_the_last_tokens():
    mask = causal_mask(4) & window_mask(4, window=2)
    check(mask, loops((1, 4, 4), lambda b, t, s: s in (t - 1, t)))


@pytest.mark.parametrize(
    "window", [0, -1, 2.0, "2", None, (1,), (1, 2, 3), (-1, 2), (1.0, 2)]
)
def test_a_window_that_reaches_nothing_is_refused(window):
    message = r"must be a positive integer or a pair \(left, right\) .* Received: "
    with pytest.raises(ValueError, match=message) as error:
        window_mask(3, window=window)
    assert f"window={window!r}. For example, window=256 reads" in str(error.value)
    if window is not None:
        with pytest.raises(ValueError, match=message):
            x = np.ones((1, 3, 1, 2))
            attend(x, x, x, window=window)


def test_padding_mask():
    padding = np.array([[True, True, False], [True, False, False]])
    for given in (padding, padding.tolist(), keras.ops.convert_to_tensor(padding)):
        check(padding_mask(given), padding[:, None])
    check(padding_mask(padding.astype("int32")), padding[:, None])


def test_length_mask():
    lengths = [0, 2, 5]
    check(length_mask(lengths, 5), loops((3, 1, 5), lambda b, t, s: s < lengths[b]))


def test_prefix_mask():
    lengths = [0, 2, 5]
    check(prefix_mask(lengths, 6), loops((3, 1, 6), lambda b, t, s: s < lengths[b]))


def test_a_prefix_language_model_reads_its_prefix_in_both_directions():
    check(
        causal_mask(5) | prefix_mask([0, 3], 5),
        loops((2, 5, 5), lambda b, t, s: s <= t or s < (0, 3)[b]),
    )


def test_block_mask():
    queries, keys = [[0, 1, 1, 2], [0, 0, 0, 1]], [[0, 1, 2], [1, 1, 0]]
    check(
        block_mask(queries, keys),
        loops((2, 4, 3), lambda b, t, s: queries[b][t] == keys[b][s]),
    )
    check(
        block_mask(queries),
        loops((2, 4, 4), lambda b, t, s: queries[b][t] == queries[b][s]),
    )


# How masks combine.


def test_masks_combine_by_and_or_and_not():
    causal, padding = causal_mask(3, 4), padding_mask([[True, True, False, True]])
    is_causal, is_real = to_numpy(causal), to_numpy(padding)
    check(causal & padding, is_causal & is_real)
    check(causal | padding, is_causal | is_real)
    check(~causal, ~is_causal)
    check(causal & ~padding, is_causal & ~is_real)


def test_combine_masks_joins_masks_of_two_three_and_four_axes(rng):
    """B = 2, N = 3, T = 4, S = 5; an axis of 1 serves them all."""
    shapes = [(2, 5), (2, 4, 5), (2, 3, 4, 5), (1, 4, 5), (1, 5), (2, 1, 4, 1)]
    masks = [rng.random(shape) < 0.8 for shape in shapes]
    lifted = [
        mask.reshape(mask.shape[0], *(1,) * (4 - mask.ndim), *mask.shape[1:])
        for mask in masks
    ]
    for count in (1, 2, 3):
        for chosen in itertools.permutations(range(len(masks)), count):
            expected = lifted[chosen[0]]
            for index in chosen[1:]:
                expected = expected & lifted[index]
            check(combine_masks(*(masks[index] for index in chosen)), expected)


def test_combine_masks_passes_over_none():
    assert combine_masks() is None
    assert combine_masks(None, None) is None
    check(combine_masks(None, [[True, False]], None), [[[[True, False]]]])


@pytest.mark.parametrize(
    "shape, lifted",
    [
        ((2, 5), (2, 1, 1, 5)),
        ((2, 4, 5), (2, 1, 4, 5)),
        ((2, 3, 4, 5), (2, 3, 4, 5)),
        ((1, 1, 5), (1, 1, 1, 5)),
    ],
)
def test_lift_mask_gives_the_axes_of_the_scores(shape, lifted):
    assert tuple(lift_mask(np.ones(shape, bool)).shape) == lifted


@pytest.mark.parametrize("dtype", ["float32", "int32", "uint8"])
def test_a_mask_of_numbers_is_refused(dtype):
    message = (
        rf"`mask` must be boolean, .* Received: mask.dtype={dtype}. Convert 0 and 1 "
        "with `mask != 0`; numbers to be added to the scores are a `bias`."
    )
    with pytest.raises(ValueError, match=message):
        lift_mask(np.ones((2, 5), dtype))
    with pytest.raises(ValueError, match=message):
        combine_masks(None, np.ones((2, 5), dtype))


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4, 5, 6)])
def test_a_mask_of_another_rank_is_refused(shape):
    message = r"two axes \(B, S\), three \(B, T, S\) or four \(B, N, T, S\). Received: "
    with pytest.raises(ValueError, match=message) as error:
        lift_mask(np.ones(shape, bool))
    assert str(error.value).endswith(f"mask.shape={shape}")


# Lengths that are known at run time only.


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function")
def test_masks_are_made_in_a_graph_of_unknown_lengths():
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None), "bool")])
    def masks(padding):
        batch_size, length = keras.ops.shape(padding)
        lengths = keras.ops.ones((batch_size,), "int32")
        return (
            padding_mask(padding) & causal_mask(length, length + 1)[..., :-1],
            window_mask(length, window=2),
            length_mask(lengths, length),
            block_mask(keras.ops.cast(padding, "int32")),
        )

    for shape in ((2, 3), (1, 5)):
        padding = np.arange(np.prod(shape)).reshape(shape) % 3 > 0
        with_padding, near, first, same = masks(padding)
        length = shape[1]
        check(with_padding, padding[:, None] & np.tri(length, dtype=bool))
        check(near, to_numpy(window_mask(length, window=2)))
        check(first, to_numpy(length_mask([1] * shape[0], length)))
        check(same, padding[:, :, None] == padding[:, None])


@pytest.mark.skipif(BACKEND != "jax", reason="jax.jit")
def test_masks_are_made_under_jit_from_an_offset_not_yet_known():
    import jax

    @jax.jit
    def step(offset, lengths):
        causal = causal_mask(1, 6, offset=offset)
        return (
            causal
            & length_mask(lengths, 6)
            & window_mask(1, 6, window=3, offset=offset)
        )

    expected = np.array([[[0, 0, 1, 0, 0, 0]], [[0, 0, 1, 1, 1, 0]]], bool)
    check(step(4, np.array([3, 6])), expected)


# Keras tensors, in a functional model.


def last_of(tokens):
    return keras.ops.sum(keras.ops.cast(tokens > 4, "int32"), axis=1)


OF_TOKENS = {
    "causal and padding": lambda t: causal_mask(t) & padding_mask(t != 0),
    "a window and padding": lambda t: combine_masks(window_mask(t, window=2), t != 0),
    "a prefix": lambda t: causal_mask(t) | prefix_mask(last_of(t), t),
    "lengths": lambda t: length_mask(last_of(t), t),
    "blocks": lambda t: block_mask(t // 4),
    "blocks of others": lambda t: block_mask(t // 4, t // 3),
}


@pytest.mark.parametrize("length", [5, None])
@pytest.mark.parametrize("name", OF_TOKENS)
def test_masks_are_made_of_keras_tensors(name, length, tmp_path):
    tokens = keras.Input((length,), dtype="int32")
    words = keras.layers.Embedding(10, 8)(tokens)
    layer = MultiHeadSelfAttention(2, 4)
    model = keras.Model(tokens, layer(words, mask=OF_TOKENS[name](tokens)))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    array = np.array([[3, 4, 5, 0, 0], [6, 7, 8, 9, 1]], "int32")
    for x in (array, array[:, :3]) if length is None else (array,):
        x = keras.ops.convert_to_tensor(x)
        expected = layer(model.layers[1](x), mask=OF_TOKENS[name](x))
        for found in (model(x), again(x)):
            np.testing.assert_allclose(to_numpy(found), to_numpy(expected), atol=1e-6)


def test_a_length_that_is_not_known_is_refused():
    tokens = keras.Input((None,), dtype="int32")
    with pytest.raises(ValueError, match=r"The length is not known.*causal_mask\(tok"):
        causal_mask(keras.ops.shape(tokens)[1])


def test_attention_itself_takes_keras_tensors(tmp_path, rng):
    query, key = keras.Input((None, 2, 4)), keras.Input((None, 2, 4))
    mask = keras.Input((None,), dtype="bool")
    options = {"is_causal": True, "softcap": 2.0}
    outputs = attend(query, key, key, mask=mask, **options)
    model = keras.Model((query, key, mask), outputs)
    assert outputs.shape == (None, None, 2, 4)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x, y = (rng.normal(size=(2, n, 2, 4)).astype("float32") for n in (3, 5))
    mask = rng.random((2, 5)) < 0.7
    expected = to_numpy(attend(x, y, y, mask=mask, **options))
    for found in (model((x, y, mask)), again((x, y, mask))):
        np.testing.assert_allclose(to_numpy(found), expected, atol=1e-6)
