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

from keras_attention.backend.products import joined_dtype
from keras_attention.ops import chunked
from keras_attention.ops import explicit
from keras_attention.ops import fused
from keras_attention.ops.attention_checks import check_broadcast
from keras_attention.ops.attention_checks import check_shapes
from keras_attention.ops.attention_checks import checked_score
from keras_attention.ops.dropout import draw_seed
from keras_attention.ops.masks import causal_mask
from keras_attention.ops.masks import combine_masks
from keras_attention.ops.masks import least_as_infinity
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
            `RelativeBias`, which needs no T x S numbers. Minus infinity, or the least
            number of its dtype, hides a key as a mask does.
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
    if _is_symbolic((query, key, value, mask, bias, sinks, offset)):
        layer = Attend(
            is_causal=is_causal,
            window=window,
            scale=scale,
            softcap=softcap,
            dropout=dropout,
            seed=seed,
            score=score,
            change_weights=change_weights,
            return_attention_scores=return_attention_scores,
            implementation=implementation,
        )
        return layer.attend(query, key, value, mask, bias, sinks, offset)
    query, key, value = (ops.convert_to_tensor(x) for x in (query, key, value))
    dtype = joined_dtype(query.dtype, key.dtype, value.dtype)
    query, key, value = (ops.cast(x, dtype) for x in (query, key, value))
    check_shapes(query, key, value)
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
        check_broadcast("mask", mask, expected, received)
    relative = None
    if isinstance(bias, RelativeBias):
        relative, bias = bias, bias.rest
        check_table(relative.table, expected)
    if bias is not None:
        bias = least_as_infinity(bias)
        if keras.backend.standardize_dtype(bias.dtype) == "bool":
            raise ValueError(
                "`bias` is added to the scores, so it must hold numbers. Received: "
                "bias.dtype=bool. Pass what may be read as `mask`."
            )
        check_broadcast("bias", bias, expected, received=bias)
    if relative is not None:
        bias = RelativeBias(relative.table, bias, relative.is_learned)
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
    options = {"mask": mask, "bias": bias}
    seed = draw_seed(seed) if dropout > 0 else None
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
        score=score and checked_score(score, expected),
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


def _is_symbolic(arguments):
    tensors = [x for x in arguments if not isinstance(x, RelativeBias)]
    for bias in arguments:
        if isinstance(bias, RelativeBias):
            tensors += [bias.table, bias.rest]
    return any(isinstance(x, keras.KerasTensor) for x in tensors)


@keras.saving.register_keras_serializable("keras_attention")
class Attend(keras.layers.Layer):
    """`attend` as a step of a functional model, which is given Keras tensors.

    A layer without weights: so Keras finds the shapes, also those it does not know yet.
    """

    def __init__(self, *, name=None, trainable=True, dtype=None, **options):
        super().__init__(name=name, trainable=trainable, dtype=dtype, autocast=False)
        self.supports_masking = True
        self.options = options

    def attend(self, query, key, value, mask, bias, sinks, offset):
        """Calls the layer with what `attend` was given."""
        table = None
        if isinstance(bias, RelativeBias):
            table, bias = bias.table, bias.rest
        tensors = {"mask": mask, "bias": bias, "table": table, "sinks": sinks}
        tensors = {name: x for name, x in tensors.items() if x is not None}
        return self(query, key, value, offset=offset, **tensors)

    def call(
        self,
        query,
        key,
        value,
        mask=None,
        bias=None,
        table=None,
        sinks=None,
        offset=0,
    ):
        if table is not None:
            bias = RelativeBias(table, bias)
        tensors = {"mask": mask, "bias": bias, "sinks": sinks, "offset": offset}
        return attend(query, key, value, **tensors, **self.options)

    def compute_mask(self, query, previous_mask):
        return None

    def get_config(self):
        options = keras.saving.serialize_keras_object(self.options)
        return {**super().get_config(), **options}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))
