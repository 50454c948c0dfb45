"""Positions: how a set of tokens is told its order.

Attention treats its keys as a set. Positions enter in one of three ways: added to the
tokens (sinusoidal), as a rotation of queries and keys (rotary), or added to the scores
(ALiBi, relative position bias). All tables are computed in float64 and rounded once to
float32, or not at all for float64: in bfloat16 two neighbours far from
the start would share one encoding.

Letters: B batch, T query length, S key length, N heads, H width of a head, D width of
a token.
"""

import functools
import math

import keras
import numpy as np
from keras import ops

from keras_attention.backend.constants import compiled_by_torch
from keras_attention.backend.constants import constant
from keras_attention.backend.products import at_least_float32


def sinusoidal_positions(
    length, hidden_dim, *, layout="interleaved", base=10000.0, dtype="float32"
):
    """Encodes each position by sines and cosines of different wavelengths.

    Vaswani et al. 2017, arXiv:1706.03762, Section 3.5:

        encoding[t, 2i]     = sin(t / base^(2i / D))
        encoding[t, 2i + 1] = cos(t / base^(2i / D))

    Args:
        length: Number of positions T, or positions `(T,)` or `(B, T)`.
        hidden_dim: Width D, even.
        layout: `"interleaved"` as in the paper, or `"concatenated"`: all sines, then
            all cosines, as in its published code.
        base: Ratio of the longest to the shortest wavelength.
        dtype: That of the result.

    Returns:
        `(T, D)` or `(B, T, D)`.

    Raises:
        ValueError: `hidden_dim` is odd or `layout` unknown.

    Example:

    >>> keras.ops.convert_to_numpy(sinusoidal_positions(1, 4)).tolist()
    [[0.0, 1.0, 0.0, 1.0]]
    """
    if hidden_dim % 2 or hidden_dim < 2:
        raise ValueError(
            "Sinusoidal positions need an even width, half sines and half cosines. "
            f"Received: hidden_dim={hidden_dim}"
        )
    _check_layout(layout, ("interleaved", "concatenated"))
    cosines, sines = _waves(length, hidden_dim, base, dtype=dtype)  # (T, D / 2)
    if layout == "concatenated":
        return ops.concatenate([sines, cosines], axis=-1)
    shape = (*ops.shape(sines)[:-1], hidden_dim)
    return ops.reshape(ops.stack([sines, cosines], axis=-1), shape)


def rotary_angles(length, rotary_dim, *, base=10000.0, scaling=1.0, dtype="float32"):
    """Gives the angle by which rotary positions turn each pair of channels.

    Su et al. 2021, arXiv:2104.09864, Section 3.2.2: theta_i = base^(-2i / H).

    Args:
        length: Number of positions T, or positions `(T,)` or `(B, T)`.
        rotary_dim: Number of channels that turn, even.
        base: Ratio of the longest to the shortest wavelength.
        scaling: Positions are divided by this to read sequences longer than trained
            (position interpolation, Chen et al. 2023, arXiv:2306.15595).
        dtype: That of the result.

    Returns:
        Cosines and sines, each `(T, rotary_dim / 2)` or `(B, T, rotary_dim / 2)`.

    Raises:
        ValueError: `rotary_dim` is odd.

    Example:

    >>> cosines, sines = rotary_angles(2, 4)
    >>> keras.ops.convert_to_numpy(cosines).astype(float).round(2).tolist()
    [[1.0, 1.0], [0.54, 1.0]]
    """
    if rotary_dim % 2 or rotary_dim < 2:
        raise ValueError(
            "Rotary positions turn pairs of channels, so their number must be even. "
            f"Received: rotary_dim={rotary_dim}"
        )
    return _waves(length, rotary_dim, base, scaling, dtype)


def apply_rotary(x, cosines, sines, *, layout="half"):
    """Turns pairs of channels of each token by the angle of its position.

    The product of a turned query and a turned key depends on their distance only
    (Su et al. 2021, arXiv:2104.09864, Equation 16).

    Args:
        x: `(B, T, N, H)`; channels beyond the turned ones pass unchanged.
        cosines: `(T, R / 2)` or `(B, T, R / 2)`, with R the number of turned channels.
        sines: As `cosines`.
        layout: Which channels are a pair: `"half"`, i and i + R / 2 (GPT-NeoX, Llama),
            or `"interleaved"`, 2i and 2i + 1 (the paper, GPT-J).

    Returns:
        `(B, T, N, H)`, of the dtype of `x`.

    Raises:
        ValueError: `layout` is unknown, or more channels turn than `x` has.

    Example:

    >>> x = keras.ops.ones((1, 2, 1, 2))
    >>> turned = apply_rotary(x, *rotary_angles(2, 2))
    >>> keras.ops.convert_to_numpy(turned)[0, :, 0].astype(float).round(4).tolist()
    [[1.0, 1.0], [-0.3012, 1.3818]]
    """
    _check_layout(layout, ("half", "interleaved"))
    half = cosines.shape[-1]
    if 2 * half > x.shape[-1]:
        raise ValueError(
            "`x` must be at least twice as wide as `cosines`, which turn pairs of its "
            f"channels. Received: x.shape={tuple(x.shape)}, "
            f"cosines.shape={tuple(cosines.shape)}"
        )
    cosines, sines = (ops.expand_dims(a, -2) for a in (cosines, sines))  # for N heads
    turned, rest = x[..., : 2 * half], x[..., 2 * half :]
    turned = ops.cast(turned, at_least_float32(x.dtype))
    if layout == "half":
        first, second = turned[..., :half], turned[..., half:]
    else:
        first, second = turned[..., 0::2], turned[..., 1::2]
    pair = (first * cosines - second * sines, second * cosines + first * sines)
    if layout == "half":
        turned = ops.concatenate(pair, axis=-1)
    else:
        shape = (*ops.shape(turned)[:-1], 2 * half)
        turned = ops.reshape(ops.stack(pair, axis=-1), shape)
    turned = ops.cast(turned, x.dtype)
    if x.shape[-1] == 2 * half:
        return turned
    return ops.concatenate([turned, rest], axis=-1)


def alibi_slopes(num_heads):
    """Gives the slope by which each head's scores fall with the distance.

    Press et al. 2022, arXiv:2108.12409, Section 3: 2^(-8/N), 2^(-16/N), ...; for a
    number of heads that is no power of two, as their code: the slopes of the power of
    two below it, then every other one of the power above.

    Args:
        num_heads: N.

    Returns:
        `(N,)` float32, a NumPy array.

    Example:

    >>> alibi_slopes(2).tolist()
    [0.0625, 0.00390625]
    """
    return _slopes(num_heads).astype("float32")


def _slopes(num_heads):
    """Those of `alibi_slopes`, in float64."""
    below = 2 ** math.floor(math.log2(num_heads))
    slopes = 2.0 ** (-8 / below * np.arange(1, below + 1))
    above = 2.0 ** (-4 / below * np.arange(1, 2 * below + 1, 2))
    return np.concatenate([slopes, above[: num_heads - below]])


def alibi_bias(num_heads, query_length, key_length=None, offset=0, dtype="float32"):
    """Lowers each score in proportion to the distance of query and key.

    Press et al. 2022, arXiv:2108.12409, Section 3; symmetric, so that it serves
    bidirectional attention too.

    Args:
        num_heads: N.
        query_length: T.
        key_length: S. Defaults to T.
        offset: Position of the first query among the keys.
        dtype: That of the result.

    Returns:
        `(1, N, T, S)`.

    Example:

    >>> keras.ops.convert_to_numpy(alibi_bias(1, 1, 3))[0, 0].tolist()
    [[-0.0, -0.00390625, -0.0078125]]
    """
    distances = ops.absolute(_relative_positions(query_length, key_length, offset))
    slopes = constant(_slopes(num_heads).astype(dtype)[None, :, None, None])
    return -slopes * ops.cast(distances, dtype)[None, None]


def relative_position_buckets(
    query_length,
    key_length=None,
    *,
    num_buckets=32,
    max_distance=128,
    bidirectional=True,
    offset=0,
):
    """Sorts the distances of query and key into buckets, fine near and coarse far.

    Raffel et al. 2020, arXiv:1910.10683, Section 2.1: half of the buckets hold one
    distance each, the others grow logarithmically up to `max_distance`, beyond which
    all fall into the last.

    Args:
        query_length: T.
        key_length: S. Defaults to T.
        num_buckets: Number of buckets in all, even.
        max_distance: Distance from which on all are alike.
        bidirectional: Whether keys after the query have buckets of their own. If not,
            they share the bucket of distance 0, for causal attention.
        offset: Position of the first query among the keys.

    Returns:
        `(T, S)` int32, from 0 to `num_buckets - 1`.

    Raises:
        ValueError: There are too few buckets, or `max_distance` is too small for them.

    Example:

    >>> buckets = relative_position_buckets(1, 4, num_buckets=8, max_distance=8)
    >>> keras.ops.convert_to_numpy(buckets).tolist()
    [[0, 5, 6, 6]]
    """
    distances = _relative_positions(query_length, key_length, offset)  # key - query
    if bidirectional:
        num_buckets //= 2
        side = ops.where(distances > 0, num_buckets, 0)
        distances = ops.absolute(distances)
    else:
        side = 0
        distances = ops.maximum(-distances, 0)
    num_exact = num_buckets // 2
    if not 0 < num_exact < max_distance:
        raise ValueError(
            "`num_buckets` must be at least 4, or 2 if not bidirectional, and "
            "`max_distance` more than half of the buckets on one side. Received: "
            f"{num_buckets} buckets on one side, max_distance={max_distance}"
        )
    # Where each logarithmic bucket begins, in exact integers: a float32 logarithm
    # would put distances on a border into one bucket here and the next there.
    steps = np.arange(1, num_buckets - num_exact)
    ratio = max_distance / num_exact
    borders = num_exact * ratio ** (steps / (num_buckets - num_exact))
    borders = constant(np.ceil(borders - 1e-9).astype("int32"))
    far = num_exact + ops.sum(
        ops.cast(ops.expand_dims(distances, -1) >= borders, "int32"), axis=-1
    )
    bucket = ops.where(distances < num_exact, distances, far)
    return ops.cast(side + bucket, "int32")


def relative_position_index(height, width):
    """Numbers the offsets between the cells of a grid, for a table of biases.

    Liu et al. 2021, arXiv:2103.14030, Section 3.2 (relative position bias).

    Args:
        height: Rows of the grid.
        width: Columns of the grid.

    Returns:
        `(height * width, height * width)` int32, from 0 to
        `(2 * height - 1) * (2 * width - 1) - 1`, a NumPy array.

    Example:

    >>> relative_position_index(1, 3).tolist()
    [[2, 1, 0], [3, 2, 1], [4, 3, 2]]
    """
    rows, columns = np.divmod(np.arange(height * width), width)
    down = rows[:, None] - rows[None, :] + height - 1
    right = columns[:, None] - columns[None, :] + width - 1
    return (down * (2 * width - 1) + right).astype("int32")


def _frequencies(dim, base, scaling):
    frequencies = base ** (-np.arange(0, dim, 2, dtype="float64") / dim)
    return frequencies / scaling  # (dim / 2,)


def _waves(length, dim, base, scaling=1.0, dtype="float32"):
    """Computes cosine and sine of every position times every frequency."""
    if isinstance(length, int) and not compiled_by_torch():
        waves = _table(length, dim, base, scaling, dtype)
        return tuple(constant(wave) for wave in waves)
    frequencies = _frequencies(dim, base, scaling)
    if isinstance(length, (int, np.integer)):
        length = np.arange(length)
    if isinstance(length, (np.ndarray, list, tuple)):
        angles = np.asarray(length)[..., None] * frequencies  # in float64
        waves = np.cos(angles), np.sin(angles)
        return tuple(constant(wave.astype(dtype)) for wave in waves)
    # Known at run time only: a length (TensorFlow; in exported programs also the
    # others), or positions that are a tensor.
    # JAX has no float64 unless told so; there, angles are rounded like positions.
    wide = dtype if keras.backend.backend() == "jax" else "float64"
    is_length = len(getattr(length, "shape", ())) == 0
    positions = ops.arange(length, dtype="int32") if is_length else length
    positions = ops.expand_dims(ops.cast(positions, wide), -1)
    angles = positions * constant(frequencies.astype(wide))
    return ops.cast(ops.cos(angles), dtype), ops.cast(ops.sin(angles), dtype)


@functools.lru_cache(maxsize=64)
def _table(length, dim, base, scaling, dtype):
    """Cosine and sine for the positions from 0, once for all layers and steps."""
    angles = np.arange(length)[:, None] * _frequencies(dim, base, scaling)
    return np.cos(angles).astype(dtype), np.sin(angles).astype(dtype)


def _relative_positions(query_length, key_length, offset):
    key_length = query_length if key_length is None else key_length
    query = ops.arange(query_length, dtype="int32")[:, None] + offset
    return ops.arange(key_length, dtype="int32")[None, :] - query  # (T, S)


def _check_layout(layout, layouts):
    if layout not in layouts:
        raise ValueError(f"`layout` must be one of {layouts}. Received: {layout!r}")
