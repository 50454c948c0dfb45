"""Calls of `attend` with every combination of its options, on tiny tensors.

Each axis has another length. All tests share them, so that JAX compiles little.
"""

import itertools

import numpy as np
from keras import ops

B, S, N, H, HV = 8, 7, 6, 4, 3
# T and K.
SIZES = {
    "T<S and grouped heads": (5, 2),
    "T=S and own keys": (7, 6),
    "T>S and one key head": (9, 1),
}

MASK_AXES = ("BS", "BTS", "BNTS", "11S", "1NT1", "B1")
BIAS_AXES = ("TS", "NTS", "BNTS", "1N1S", "B1TS", "S")


def combine(**choices):
    """Every combination of one value for each option, as dictionaries."""
    return [
        dict(zip(choices, values, strict=True))
        for values in itertools.product(*choices.values())
    ]


def tensors(rng, query_length, num_key_heads):
    """Query, key and value."""
    shapes = (
        (B, query_length, N, H),
        (B, S, num_key_heads, H),
        (B, S, num_key_heads, HV),
    )
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def shape_of(axes, query_length):
    """The shape with these axes, for example `(8, 1, 7)` for "B1S"."""
    sizes = {"B": B, "N": N, "T": query_length, "S": S, "1": 1}
    return tuple(sizes[axis] for axis in axes)


def random_mask(rng, axes, query_length):
    """Seven of ten keys may be read, by the first query none."""
    mask = rng.random(shape_of(axes, query_length)) < 0.7
    mask[(0,) * (mask.ndim - 1)] = False
    return mask


def random_bias(rng, axes, query_length):
    """Numbers around zero, as large as the scores."""
    return rng.normal(size=shape_of(axes, query_length)).astype("float32")


def random_sinks(rng):
    """For each head the score of one more key."""
    return rng.normal(size=N).astype("float32")


def distance_scores(query, key):
    """A score that is no dot product: minus the distance of query and key."""
    key = ops.repeat(key, query.shape[2] // key.shape[2], axis=2)  # (B, S, N, H)
    distances = ops.abs(query[:, :, None] - key[:, None])  # (B, T, S, N, H)
    return -ops.transpose(ops.sum(distances, axis=-1), (0, 3, 1, 2))


def reads(shape, mask=None, is_causal=False, window=None):
    """Which query may read which key, `(B, N, T, S)`, by plain loops."""
    allowed = np.ones(shape, bool)
    if mask is not None:
        allowed &= mask.reshape(mask.shape[0], *(1,) * (4 - mask.ndim), *mask.shape[1:])
    left, right = window if isinstance(window, tuple) else ((window or 99) - 1,) * 2
    for t, s in itertools.product(range(shape[2]), range(shape[3])):
        if (is_causal and s > t) or not t - left <= s <= t + right:
            allowed[:, :, t, s] = False
    return allowed


def reference(
    query,
    key,
    value,
    *,
    bias=0.0,
    scale=None,
    softcap=None,
    sinks=None,
    score=None,
    **masks,
):
    """What `attend` must give, output and weights, in NumPy and float64.

    In place of any `score` it computes `distance_scores`.
    """
    query, key, value = (x.astype("float64") for x in (query, key, value))
    groups = query.shape[2] // key.shape[2]
    key, value = (np.repeat(x, groups, axis=2) for x in (key, value))
    if score is None:
        scores = np.einsum("btnh,bsnh->bnts", query, key)
        scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    else:
        scores = -np.abs(query[:, :, None] - key[:, None]).sum(-1)
        scores = scores.transpose(0, 3, 1, 2) * (1.0 if scale is None else scale)
    if softcap is not None:
        scores = softcap * np.tanh(scores / softcap)
    weights = np.where(reads(scores.shape, **masks), np.exp(scores + bias), 0.0)
    total = weights.sum(-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks.astype("float64"))[:, None, None]
    weights = weights / np.where(total == 0, 1.0, total)
    return np.einsum("bnts,bsnv->btnv", weights, value), weights
