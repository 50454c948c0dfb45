"""Attention: every query reads the values whose keys match it.

Vaswani et al. 2017, arXiv:1706.03762, Equation 1, for N heads at once:

    scores  = scale * query . key                (B, N, T, S)
    weights = softmax(scores)                    (B, N, T, S)
    output  = weights @ value                    (B, T, N, Hv)

`attend` is the one door to it. What it computes is written in `explicit.py`; the
others compute the same faster or with less memory, and are chosen per call: `fused.py`
by a kernel of the framework, `chunked.py` tile by tile.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a query and a key in one head, Hv width of a value in one head.
"""

import contextlib
import threading

import keras
import numpy as np
from keras import ops

from keras_attention.ops import chunked
from keras_attention.ops import explicit
from keras_attention.ops import fused
from keras_attention.ops.masks import causal_mask
from keras_attention.ops.masks import combine_masks
from keras_attention.ops.masks import lift_mask
from keras_attention.ops.masks import window_mask
from keras_attention.ops.relative import check_table
from keras_attention.ops.relative import RelativeBias
from keras_attention.ops.relative import whole_bias

IMPLEMENTATIONS = ("explicit", "fused", "chunked")

# What `use_implementation` asks for, of each thread its own; torch.compile looks into
# it, as it does not into contextvars.
_state = threading.local()


@contextlib.contextmanager
def use_implementation(implementation):
    """Lets all attention within the context compute in one way, for debugging.

    It concerns the thread that enters it alone. What was compiled before, such as a
    model's `predict` that already ran, stays as it was compiled.

    Args:
        implementation: `"explicit"`, `"fused"`, `"chunked"`, or `None` to choose per
            call.

    Raises:
        ValueError: `implementation` is unknown; within the context, it cannot serve a
            call.

    Example:

    >>> x = keras.ops.ones((1, 2, 3, 4))
    >>> with use_implementation("chunked"):
    ...     output = attend(x, x, x)
    """
    _check_implementation(implementation)
    before = getattr(_state, "forced", None)
    _state.forced = implementation
    try:
        yield
    finally:
        _state.forced = before


def attend(
    query,
    key,
    value,
    *,
    mask=None,
    bias=None,
    is_causal=False,
    window=None,
    offset=0,
    scale=None,
    softcap=None,
    sinks=None,
    dropout=0.0,
    seed=None,
    score=None,
    change_weights=None,
    return_attention_scores=False,
    implementation=None,
):
    """Lets each query read the values whose keys match it.

    Inputs of different dtypes take the one that Keras promotes them to. The softmax is
    computed in float32 at least. A query that may read nothing gets zeros. Heads are
    grouped when K divides N: query head n reads key and value head `n // (N / K)`
    (Ainslie et al. 2023, arXiv:2305.13245).

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`, with K dividing N.
        value: `(B, S, K, Hv)`.
        mask: Boolean, True where a query may read: `(B, S)` for all queries alike,
            `(B, T, S)` for all heads alike, or broadcastable to `(B, N, T, S)`.
        bias: Added to the scores, broadcastable to `(B, N, T, S)`; or a
            `RelativeBias`, which needs no T x S numbers.
        is_causal: Whether query t reads only keys 0 to `t + offset`.
        window: Integer w: only keys less than w away are read. Or `(left, right)`.
        offset: Position of the first query among the keys, for `is_causal` and
            `window`: an integer, or a tensor without axes.
        scale: Factor of the scores. Defaults to `H ** -0.5` for the dot product, and
            to 1 with `score`.
        softcap: Bounds the scores, before the bias, to this size by
            `softcap * tanh(scores / softcap)` (Gemma Team 2024, arXiv:2408.00118,
            Section 2).
        sinks: `(N,)`, for each head the score of one more key with the value zero,
            which takes weight when nothing matches (Xiao et al. 2024,
            arXiv:2309.17453, Section 3.3).
        dropout: Fraction of weights dropped in this call, from 0 to 1. Pass 0 at
            inference.
        seed: Integer or `keras.random.SeedGenerator` for the dropout.
        score: Function of `query` and `key` that returns scores `(B, N, T, S)` in
            place of the dot product.
        change_weights: Function of the weights `(B, N, T, S)` that returns those to go
            on with, to see them or to switch off a head.
        return_attention_scores: Also return the weights. The name is Keras's; scores
            are what precedes the softmax elsewhere in this library.
        implementation: `"explicit"`, `"fused"` or `"chunked"` forces one; `None` takes
            the best that serves this call.

    Returns:
        `(B, T, N, Hv)`, and the weights `(B, N, T, S)`, before dropout, if asked.

    Raises:
        ValueError: Shapes, dtypes or options do not go together.

    Example:

    >>> query = keras.ops.ones((2, 3, 4, 8))
    >>> key, value = keras.ops.ones((2, 5, 2, 8)), keras.ops.ones((2, 5, 2, 6))
    >>> output, weights = attend(query, key, value, return_attention_scores=True)
    >>> tuple(output.shape), tuple(weights.shape)
    ((2, 3, 4, 6), (2, 4, 3, 5))
    """
    query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
    dtype = keras.backend.result_type(query.dtype, key.dtype, value.dtype, float)
    query, key, value = (ops.cast(x, dtype) for x in (query, key, value))
    _check_shapes(query, key, value)
    if not 0 <= dropout < 1:
        raise ValueError(
            f"`dropout` must be at least 0 and less than 1. Received: {dropout}"
        )
    if softcap is not None and softcap <= 0:
        raise ValueError(f"`softcap` must be positive. Received: softcap={softcap}")
    batch_size, query_length, num_heads, head_dim = query.shape
    expected = (batch_size, num_heads, query_length, key.shape[1])
    if mask is not None:
        received = ops.convert_to_tensor(mask)
        mask = lift_mask(received)
        _check_broadcast("mask", mask, expected, received)
    relative = None
    if isinstance(bias, RelativeBias):
        relative, bias = bias, bias.rest
        check_table(relative.table, expected)
    if bias is not None:
        bias = ops.convert_to_tensor(bias)
        if keras.backend.standardize_dtype(bias.dtype) == "bool":
            raise ValueError(
                "`bias` is added to the scores, so it must hold numbers. Received: "
                "bias.dtype=bool. Pass what may be read as `mask`."
            )
        _check_broadcast("bias", bias, expected, received=bias)
    if sinks is not None:
        sinks = ops.convert_to_tensor(sinks)
        if tuple(sinks.shape) != (num_heads,):
            raise ValueError(
                f"`sinks` must have one score per query head, ({num_heads},). "
                f"Received: sinks.shape={tuple(sinks.shape)}"
            )
    if scale is None:
        scale = head_dim**-0.5 if score is None else 1.0

    asked = {
        "return_attention_scores": return_attention_scores,
        "score": score is not None,
        "change_weights": change_weights is not None,
        "softcap": softcap is not None,
        "sinks": sinks is not None,
        "dropout": dropout > 0,
    }
    asked = [option for option, is_asked in asked.items() if is_asked]
    options = {"mask": mask, "bias": bias if relative is None else relative}
    places = _places(is_causal, window, offset, key.shape[1])
    if not isinstance(places["offset"], int):  # known at run time
        options["mask"] = _whole_mask(mask, query, key, **places)
        places = {"is_causal": False, "window": None, "offset": 0}
    options.update(places)
    implementation = _choose(implementation, (query, key, value), asked, options)
    if implementation == "fused":
        return fused.fused_attention(query, key, value, **options, scale=scale)
    if implementation == "chunked":
        return chunked.chunked_attention(
            query,
            key,
            value,
            **options,
            scale=scale,
            softcap=softcap,
            sinks=sinks,
            dropout=dropout,
            seed=seed,
        )
    output, weights = explicit.explicit_attention(
        query,
        key,
        value,
        mask=_whole_mask(options["mask"], query, key, **places),
        bias=whole_bias(options["bias"], query, key),
        scale=scale,
        softcap=softcap,
        sinks=sinks,
        dropout=dropout,
        seed=seed,
        score=score and _checked(score, expected),
        change_weights=change_weights,
    )
    return (output, weights) if return_attention_scores else output


def _choose(implementation, inputs, asked, options):
    """Names the implementation that serves this call.

    Args:
        implementation: The one that is forced, or `None`.
        inputs: Query, key and value.
        asked: Names of the options that not each implementation has.
        options: Mask, bias, causality and window.
    """
    _check_implementation(implementation)
    forced = implementation or getattr(_state, "forced", None)
    if forced == "explicit":
        return "explicit"
    reasons = {
        "fused": fused.why_not(*inputs, asked),
        "chunked": chunked.why_not(*inputs, asked),
    }
    if forced and reasons[forced]:
        raise ValueError(
            f"The {forced} implementation cannot serve this call: {reasons[forced]}. "
            "Leave `implementation` out, and one that can is chosen."
        )
    if forced:
        return forced
    if reasons["fused"] is None and fused.is_better(*inputs, **options):
        return "fused"
    names = ("bias", "is_causal", "window")
    if reasons["chunked"] is None and chunked.is_better(
        *inputs, **{name: options[name] for name in names}
    ):
        return "chunked"
    return "explicit"


def _check_implementation(implementation):
    if implementation not in (None, *IMPLEMENTATIONS):
        raise ValueError(
            f"`implementation` must be one of {IMPLEMENTATIONS} or None. "
            f"Received: implementation={implementation!r}"
        )


def _places(is_causal, window, offset, key_length):
    """Whom a query reads because of where it stands, as options of `attend`."""
    if isinstance(offset, (int, np.integer)):
        offset = int(offset)
        # The first query stands behind all keys but one, the others behind it.
        if isinstance(key_length, int) and offset >= key_length - 1:
            is_causal = False
        if not is_causal and window is None:
            offset = 0
    return {"is_causal": is_causal, "window": window, "offset": offset}


def _whole_mask(mask, query, key, *, is_causal, window, offset):
    """Joins the mask, causality and the window into one mask, or `None`."""
    lengths = ops.shape(query)[1], ops.shape(key)[1]
    causal = near = None
    if is_causal:
        causal = causal_mask(*lengths, offset=offset)
    if window is not None:
        near = window_mask(*lengths, window=window, offset=offset)
    return combine_masks(mask, causal, near)


def _check_shapes(query, key, value):
    rule = _broken_rule(query.shape, key.shape, value.shape)
    if rule:
        raise ValueError(
            f"{rule}. Received: query.shape={tuple(query.shape)}, "
            f"key.shape={tuple(key.shape)}, value.shape={tuple(value.shape)}"
        )


def _broken_rule(query_shape, key_shape, value_shape):
    """Says which rule these shapes break, or returns `None`."""
    if not len(query_shape) == len(key_shape) == len(value_shape) == 4:
        return (
            "`query`, `key` and `value` must have four axes (batch, length, heads, "
            "width)"
        )
    batch_size, _, num_heads, head_dim = query_shape
    _, key_length, num_key_heads, key_dim = key_shape
    if _differ(key_shape[0], batch_size) or _differ(value_shape[0], batch_size):
        return "`query`, `key` and `value` must have the same batch size"
    if _differ(value_shape[1], key_length):
        return "`key` and `value` must have the same length"
    if value_shape[2] != num_key_heads or num_heads % num_key_heads:
        return (
            "`key` and `value` must have the same number of heads, and it must divide "
            "the number of query heads"
        )
    if head_dim != key_dim:
        return "`query` and `key` must have heads of the same width"
    return None


def _check_broadcast(name, tensor, expected, received):
    shape = tuple(tensor.shape)
    fits = len(shape) <= 4 and all(
        size == 1 or not _differ(size, axis)
        for size, axis in zip(shape[::-1], expected[::-1], strict=False)
    )
    if not fits:
        batch_size, num_heads, query_length, key_length = expected
        forms = (
            f"have the shape (B, S)=({batch_size}, {key_length}) or (B, T, S)="
            f"({batch_size}, {query_length}, {key_length}), or "
        )
        raise ValueError(
            f"`{name}` must {forms if name == 'mask' else ''}broadcast to "
            f"(B, N, T, S)={expected}. Received: "
            f"{name}.shape={tuple(received.shape)}"
        )


def _checked(score, expected):
    """Lets a score return its whole shape only; others may broadcast in silence."""

    def checked(query, key):
        scores = score(query, key)
        shape = tuple(scores.shape)
        if len(shape) != 4 or any(map(_differ, shape, expected)):
            raise ValueError(
                f"`score` must return scores of the shape (B, N, T, S)={expected}. "
                f"Received: {shape}"
            )
        return scores

    return checked


def _differ(size, other):
    """Whether two lengths are known and not the same."""
    return size is not None and other is not None and size != other
