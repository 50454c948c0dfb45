"""Dropout of attention weights, the same whichever way the weights are computed.

Whether a weight is kept depends on the seed and on where the weight stands, and on
nothing else: a hash of both is compared with the rate. So a tile of the weights can be
dropped without the others, dropped again in the backward pass, and gives the same on
every backend. It also costs a fraction of a random generator's time.
"""

import keras
from keras import ops

# Those of the hash lowbias32 (C. Wellons, Prospecting for Hash Functions, 2018), which
# flips each bit of the result with nearly one half; the second as a signed integer.
FACTORS = (0x7FEB352D, 0x846CA68B - 2**32)


def draw_seed(seed):
    """Draws the seed of one call, the same on each backend.

    A `SeedGenerator` of Keras counts its calls beside its seed; both are mixed here,
    since each backend draws other random numbers from them. Without a seed, Keras's
    global generator draws.

    Args:
        seed: Integer, `keras.random.SeedGenerator` or `None`.

    Returns:
        An int32 scalar tensor.

    Example:

    >>> int(draw_seed(7)) == int(draw_seed(7))
    True
    """
    if seed is None:
        return keras.random.randint((), -(2**31), 2**31 - 1, dtype="int32")
    if isinstance(seed, keras.random.SeedGenerator):
        seed, count = ops.unstack(ops.cast(seed.next(), "int32"), 2)
    else:
        seed, count = (int(seed) + 2**31) % 2**32 - 2**31, 0
        seed = ops.convert_to_tensor(seed, "int32")
    return _mix(ops.add(_mix(seed), count))


def keep_factors(seed, rate, rows, columns, dtype="float32"):
    """Gives the factor of each weight: zero, or what makes up for those dropped.

    Args:
        seed: int32 scalar tensor, from `draw_seed`.
        rate: Fraction dropped, from 0 to 1.
        rows: int32, a number for each row of weights, `(B, N, T, 1)`.
        columns: int32, the number of each key, `(S,)`.
        dtype: That of the factors.

    Returns:
        `(B, N, T, S)`, `1 / (1 - rate)` with probability `1 - rate` and else 0.

    Example:

    >>> rows, columns = keras.ops.arange(100)[:, None], keras.ops.arange(100)
    >>> factors = keep_factors(draw_seed(1), 0.25, rows, columns)
    >>> bool(0.95 < keras.ops.mean(factors) < 1.05)
    True
    """
    rows = _mix(ops.add(_mix(ops.cast(rows, "int32")), seed))
    columns = _mix(ops.bitwise_xor(ops.cast(columns, "int32"), 0x5BD1E995))
    # Both are mixed well: their sum needs but a part of it, since only its high bits
    # count.
    bits = ops.multiply(ops.add(rows, columns), FACTORS[0])
    bits = ops.bitwise_xor(bits, _shift_right(bits, 15))
    bits = ops.multiply(bits, FACTORS[1])
    threshold = round(rate * 2**32) - 2**31
    kept = ops.greater_equal(bits, threshold)
    return ops.cast(kept, dtype) * ops.cast(1 / (1 - rate), dtype)


def _mix(bits):
    """Maps each of the 2^32 integers to another, close ones far apart."""
    bits = ops.bitwise_xor(bits, _shift_right(bits, 16))
    bits = ops.multiply(bits, FACTORS[0])
    bits = ops.bitwise_xor(bits, _shift_right(bits, 15))
    bits = ops.multiply(bits, FACTORS[1])
    return ops.bitwise_xor(bits, _shift_right(bits, 16))


def _shift_right(bits, number):
    """Shifts zeros in from the left, also where the sign is set."""
    shifted = ops.right_shift(bits, number)
    return ops.bitwise_and(shifted, 2 ** (32 - number) - 1)
