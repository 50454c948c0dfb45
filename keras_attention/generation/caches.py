"""Caches in the loop: the axis of beams, and the weights that are kept.

Letters: B batch, K beams, N heads, R heads of keys and values, S slots, H width of a
head.
"""

import keras
from keras import ops


def repeat_cache(cache, batch_size, beam_width):
    """The cache of B sequences `(B R, S, H)` each, as `split_beams` gives it."""
    if beam_width == 1:
        return cache
    return keras.tree.map_structure(
        lambda x: ops.repeat(
            ops.reshape(x, (batch_size, 1, -1, *x.shape[-2:])), beam_width, axis=1
        ),
        cache,
    )


def merge_beams(cache):
    """The cache of `split_beams` as the layers take it, `(B K R, S, H)` each."""
    return keras.tree.map_structure(
        lambda x: ops.reshape(x, (-1, *x.shape[-2:])), cache
    )


def split_beams(cache, batch_size, beam_width):
    """A cache of layers with an axis for beams, `(B, K, R, S, H)` each.

    That of one beam stays as it is, since beams are then not reordered: XLA changes a
    slot in place only where nothing reshapes the cache between two steps.
    """
    if beam_width == 1:
        return cache
    return keras.tree.map_structure(
        lambda x: ops.reshape(x, (batch_size, beam_width, -1, *x.shape[-2:])), cache
    )


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
