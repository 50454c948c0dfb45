"""Masks: which query may read which key.

A mask is boolean and True where a query may attend. Every function here returns
three axes, `(B or 1, T or 1, S)`, so masks combine with `&`, `|` and `~`:

    causal_mask(T) & padding_mask(tokens != 0)          a decoder's self-attention
    causal_mask(T) | prefix_mask(prefix_lengths, T)     a prefix language model

In a functional model, that knows no length yet, a Keras tensor stands for its length:
`causal_mask(tokens) & padding_mask(tokens != 0)`.

Letters: B batch, T query length, S key length.
"""

import math
import numbers

import keras
import numpy as np
from keras import ops

# The least number of each dtype. That of bfloat16 has 8 bits, all of them ones.
LEAST = {
    **{
        dtype: float(np.finfo(dtype).min) for dtype in ("float16", "float32", "float64")
    },
    "bfloat16": -(2.0 - 2.0**-7) * 2.0**127,
}


def padding_mask(padding):
    """Lets every query read the real tokens and none of the padding.

    Args:
        padding: `(B, S)` boolean, True for a real token.

    Returns:
        `(B, 1, S)` boolean.

    Example:

    >>> keras.ops.convert_to_numpy(padding_mask([[True, True, False]])).tolist()
    [[[True, True, False]]]
    """
    return ops.expand_dims(ops.cast(ops.convert_to_tensor(padding), "bool"), 1)


def length_mask(lengths, max_length):
    """Lets every query read the first tokens of each sequence.

    Args:
        lengths: `(B,)` integers, the number of real tokens.
        max_length: Length S of the padded sequences, or a tensor `(B, S, ...)` of that
            length.

    Returns:
        `(B, 1, S)` boolean.

    Example:

    >>> keras.ops.convert_to_numpy(length_mask([1, 3], 3)).tolist()
    [[[True, False, False]], [[True, True, True]]]
    """
    lengths = ops.cast(ops.convert_to_tensor(lengths), "int32")
    return ops.less(_positions(max_length)[:, None], lengths[:, None, None])


def causal_mask(query_length, key_length=None, offset=0):
    """Lets a query read itself and what came before it.

    Args:
        query_length: T, or a tensor `(B, T, ...)` of that length, as in a functional
            model that does not know it.
        key_length: S, or a tensor. Defaults to T.
        offset: Position of the first query among the keys, as in decoding with a
            cache. The first key has position 0.

    Returns:
        `(1, T, S)` boolean, True where `s <= t + offset`.

    Raises:
        ValueError: A length is not known.

    Example:

    >>> keras.ops.convert_to_numpy(causal_mask(2, 3, offset=1)).astype(int).tolist()
    [[[1, 1, 0], [1, 1, 1]]]
    """
    return mask_of_sides(query_length, key_length, (None, 0), offset)


def window_mask(query_length, key_length=None, *, window, offset=0):
    """Lets a query read its neighbours only.

    Beltagy et al. 2020, arXiv:2004.05150, Section 3.1 (sliding window).

    Args:
        query_length: T, or a tensor `(B, T, ...)` of that length.
        key_length: S, or a tensor. Defaults to T.
        window: Integer w: the keys less than w away, itself included; with a causal
            mask, the last w tokens. Or a pair `(left, right)`: so many keys before
            and after.
        offset: Position of the first query among the keys.

    Returns:
        `(1, T, S)` boolean.

    Raises:
        ValueError: `window` reaches nothing, or a length is not known.

    Example:

    >>> keras.ops.convert_to_numpy(window_mask(3, window=2)).astype(int).tolist()
    [[[1, 1, 0], [1, 1, 1], [0, 1, 1]]]
    """
    sides = window_sides(window)
    return mask_of_sides(query_length, key_length, sides, offset)


def mask_of_sides(query_length, key_length, sides, offset=0):
    """Lets a query read so many keys to its left and to its right.

    Args:
        query_length: T, or a tensor `(B, T, ...)` of that length.
        key_length: S, or a tensor, or `None` for T.
        sides: `(left, right)`, each an integer, or `None` for all.
        offset: Position of the first query among the keys.

    Returns:
        `(1, T, S)` boolean, or `None` where all is read.

    Example:

    >>> keras.ops.convert_to_numpy(mask_of_sides(2, 3, (None, 0))).astype(int).tolist()
    [[[1, 0, 0], [1, 1, 0]]]
    """
    left, right = sides
    if left is None and right is None:
        return None
    query = ops.add(_positions(query_length)[:, :, None], offset)  # (1, T, 1)
    key_length = query_length if key_length is None else key_length
    key = _positions(key_length)[:, None]  # (1, 1, S)
    masks = []
    if left is not None:
        masks.append(ops.greater_equal(key, ops.subtract(query, left)))
    if right is not None:
        masks.append(ops.less_equal(key, ops.add(query, right)))
    return masks[0] if len(masks) == 1 else ops.logical_and(*masks)


def joined_sides(is_causal, window, offset=0):
    """How far a query reads from its own number among the keys.

    Args:
        is_causal: Whether query t reads only keys 0 to `t + offset`.
        window: How far a query reads, or `None`.
        offset: Position of the first query among the keys, an integer.

    Returns:
        `(left, right)`, each an integer, or `None` for all.

    Example:

    >>> joined_sides(True, 4), joined_sides(False, (2, 1), offset=5)
    ((3, 0), (-3, 6))
    """
    left, right = (None, None) if window is None else window_sides(window)
    right = 0 if is_causal else right
    # From its place among the keys, a query reads less to the left, more to the right.
    left = None if left is None else left - offset
    return left, None if right is None else right + offset


def least_as_infinity(bias):
    """Reads the least number of a dtype as minus infinity, which hides a key.

    Other libraries write a mask as a bias of one or the other.

    Args:
        bias: A tensor.

    Returns:
        The bias, of the same shape and dtype.

    Example:

    >>> bias = [[0.0, float(np.finfo("float32").min)]]
    >>> keras.ops.convert_to_numpy(least_as_infinity(bias)).tolist()
    [[0.0, -inf]]
    """
    bias = ops.convert_to_tensor(bias)
    dtype = keras.backend.standardize_dtype(bias.dtype)
    if dtype not in LEAST:
        return bias
    return ops.where(bias > LEAST[dtype], bias, ops.cast(-math.inf, dtype))


def window_sides(window):
    """Reads a window as how many keys before and after a query are seen.

    Args:
        window: Positive integer w, or a pair `(left, right)` of integers from 0.

    Returns:
        `(left, right)`, integers.

    Raises:
        ValueError: `window` is neither.

    Example:

    >>> window_sides(4), window_sides((2, 0))
    ((3, 3), (2, 0))
    """
    if isinstance(window, numbers.Integral) and window > 0:
        return int(window) - 1, int(window) - 1
    if isinstance(window, (tuple, list)) and len(window) == 2:
        if all(isinstance(side, numbers.Integral) and side >= 0 for side in window):
            return tuple(map(int, window))
    raise ValueError(
        f"`window` must be a positive integer or a pair (left, right) of integers "
        f"from 0. Received: window={window!r}. For example, window=256 reads the 255 "
        "keys on each side, window=(255, 0) those before."
    )


def prefix_mask(prefix_lengths, key_length):
    """Lets every query read the first keys of its sequence.

    Raffel et al. 2020, arXiv:1910.10683, Figure 3 (right): combined with a causal
    mask by `|`, the prefix is read in both directions.

    Args:
        prefix_lengths: `(B,)` integers.
        key_length: S, or a tensor `(B, S, ...)` of that length.

    Returns:
        `(B, 1, S)` boolean.

    Example:

    >>> mask = causal_mask(3) | prefix_mask([2], 3)
    >>> keras.ops.convert_to_numpy(mask).astype(int).tolist()
    [[[1, 1, 0], [1, 1, 0], [1, 1, 1]]]
    """
    return length_mask(prefix_lengths, key_length)


def block_mask(query_blocks, key_blocks=None):
    """Lets a query read the keys of its own block.

    Blocks are documents packed into one sequence, windows of an image, or chunks of
    a long text.

    Args:
        query_blocks: `(B, T)` integers, the block of each query.
        key_blocks: `(B, S)` integers. Defaults to `query_blocks`.

    Returns:
        `(B, T, S)` boolean.

    Example:

    >>> keras.ops.convert_to_numpy(block_mask([[0, 0, 1]])).astype(int).tolist()
    [[[1, 1, 0], [1, 1, 0], [0, 0, 1]]]
    """
    query_blocks = ops.convert_to_tensor(query_blocks)
    key_blocks = query_blocks if key_blocks is None else key_blocks
    key_blocks = ops.convert_to_tensor(key_blocks)
    return ops.equal(query_blocks[:, :, None], key_blocks[:, None, :])


def combine_masks(*masks):
    """Lets a query read what all masks allow.

    Args:
        *masks: Boolean masks of two axes `(B, S)`, three `(B, T, S)` or four
            `(B, N, T, S)`, or `None` for no restriction.

    Returns:
        Their conjunction, with four axes, or `None` if all are `None`.

    Example:

    >>> mask = combine_masks(causal_mask(2), None, [[True, False]])
    >>> keras.ops.convert_to_numpy(mask).astype(int).tolist()
    [[[[1, 0], [1, 0]]]]
    """
    combined = None
    for mask in masks:
        if mask is not None:
            mask = lift_mask(mask)
            combined = mask if combined is None else ops.logical_and(combined, mask)
    return combined


def lift_mask(mask):
    """Gives a mask the axes of the scores.

    Args:
        mask: Boolean, `(B, S)`, `(B, T, S)` or `(B, N, T, S)`; an axis may be 1.

    Returns:
        The mask with four axes.

    Raises:
        ValueError: The mask is not boolean or has another number of axes.

    Example:

    >>> tuple(lift_mask([[True, False, True]]).shape)
    (1, 1, 1, 3)
    """
    mask = ops.convert_to_tensor(mask)
    dtype = keras.backend.standardize_dtype(mask.dtype)
    if dtype != "bool":
        raise ValueError(
            "`mask` must be boolean, True where a query may read. Received: "
            f"mask.dtype={dtype}. Convert 0 and 1 with `mask != 0`; numbers to be "
            "added to the scores are a `bias`."
        )
    shape = tuple(mask.shape)
    if len(shape) not in (2, 3, 4):
        raise ValueError(
            "`mask` must have two axes (B, S), three (B, T, S) or four (B, N, T, S). "
            f"Received: mask.shape={shape}"
        )
    return mask[:, *(None,) * (4 - len(shape))]


def _positions(length):
    """The positions from 0, `(1, length)`, int32.

    Args:
        length: A number; or a tensor, whose second axis is that long.
    """
    if length is None:
        raise ValueError(
            "The length is not known before the model runs. Pass the tensor itself in "
            "place of its length, such as `causal_mask(tokens)`; attention layers take "
            "`use_causal_mask=True`."
        )
    is_tensor = isinstance(length, keras.KerasTensor) or ops.is_tensor(length)
    if not is_tensor or len(length.shape) < 2:
        return ops.arange(length, dtype="int32")[None]
    if not isinstance(length, keras.KerasTensor):
        return ops.arange(ops.shape(length)[1], dtype="int32")[None]
    # A Keras tensor again, which others can be combined with.
    first = length[(slice(1), slice(None), *(0,) * (len(length.shape) - 2))]
    return ops.subtract(ops.cumsum(ops.ones_like(first, "int32"), axis=1), 1)
