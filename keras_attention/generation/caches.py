"""Caches in the loop: the axis of beams, and the weights that are kept.

Letters: B batch, K beams, N heads, S slots.
"""

from keras import ops


def merge_beams(x):
    """`(B, K, ...)` as `(B K, ...)`."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def split_beams(x, beam_width):
    """`(B K, ...)` as `(B, K, ...)`."""
    return ops.reshape(x, (-1, beam_width, *x.shape[1:]))


def stack_weights(weights, slots):
    """Lays the weights of one token in all blocks together.

    Args:
        weights: List of `(B, K, N, 1, S)`; what S lacks of `slots` was not read.
        slots: S of the result.

    Returns:
        `(B, K, num_layers, N, S)` float32.
    """
    weights = ops.cast(ops.stack([w[:, :, :, 0] for w in weights], axis=2), "float32")
    missing = slots - weights.shape[-1]
    return ops.pad(weights, [(0, 0)] * 4 + [(0, missing)]) if missing else weights
