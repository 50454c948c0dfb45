"""What `attend` cannot do it refuses before computing, and says what it received."""

import re

import numpy as np
import pytest

from keras_attention.ops import attend

# B = 2, T = 3, S = 5, N = 4, K = 2, H = 6, Hv = 7.
QUERY, KEY, VALUE = (2, 3, 4, 6), (2, 5, 2, 6), (2, 5, 2, 7)


def refused(message, query=QUERY, key=KEY, value=VALUE, **options):
    """Asserts that a call is refused with this message, whatever implements it.

    Args:
        message: The beginning of the message, or all of it.
        query: Shape of the query.
        key: Shape of the key.
        value: Shape of the value.
        **options: Options of `attend`.
    """
    inputs = (np.ones(shape, "float32") for shape in (query, key, value))
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        attend(*inputs, **options)


def received(query=QUERY, key=KEY, value=VALUE):
    return f". Received: query.shape={query}, key.shape={key}, value.shape={value}"


@pytest.mark.parametrize("name", ["query", "key", "value"])
@pytest.mark.parametrize("shape", [(2, 5, 6), (2, 5), (1, 2, 5, 2, 6)])
def test_another_rank(name, shape):
    message = (
        "`query`, `key` and `value` must have four axes (batch, length, heads, width)"
    )
    refused(message + received(**{name: shape}), **{name: shape})


@pytest.mark.parametrize(
    "name, shape",
    [("query", (3, 3, 4, 6)), ("key", (1, 5, 2, 6)), ("value", (3, 5, 2, 7))],
)
def test_another_batch_size(name, shape):
    message = "`query`, `key` and `value` must have the same batch size"
    refused(message + received(**{name: shape}), **{name: shape})


@pytest.mark.parametrize(
    "name, shape", [("key", (2, 4, 2, 6)), ("value", (2, 1, 2, 7))]
)
def test_another_length(name, shape):
    message = "`key` and `value` must have the same length"
    refused(message + received(**{name: shape}), **{name: shape})


@pytest.mark.parametrize(
    "shapes",
    [
        {"value": (2, 5, 1, 7)},
        {"key": (2, 5, 4, 6)},
        {"query": (2, 3, 5, 6)},
        {"key": (2, 5, 8, 6), "value": (2, 5, 8, 7)},
    ],
    ids=["fewer of values", "more of keys", "5 over 2", "4 over 8"],
)
def test_heads_that_do_not_divide(shapes):
    message = (
        "`key` and `value` must have the same number of heads, and it must divide the "
        "number of query heads"
    )
    refused(message + received(**shapes), **shapes)


@pytest.mark.parametrize(
    "name, shape", [("query", (2, 3, 4, 7)), ("key", (2, 5, 2, 1))]
)
def test_another_width(name, shape):
    message = "`query` and `key` must have heads of the same width"
    refused(message + received(**{name: shape}), **{name: shape})


@pytest.mark.parametrize(
    "shape",
    # (T, S), if anything: the first axis of a mask is the batch.
    [(2, 4), (3, 5), (2, 5, 3), (4, 3, 5), (2, 2, 3, 5)],
)
def test_a_mask_of_another_shape(shape):
    message = (
        "`mask` must have the shape (B, S)=(2, 5) or (B, T, S)=(2, 3, 5), or "
        f"broadcast to (B, N, T, S)=(2, 4, 3, 5). Received: mask.shape={shape}"
    )
    refused(message, mask=np.ones(shape, bool))


def test_a_mask_of_another_rank():
    message = (
        "`mask` must have two axes (B, S), three (B, T, S) or four (B, N, T, S). "
        "Received: mask.shape=(5,)"
    )
    refused(message, mask=np.ones(5, bool))


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_a_mask_of_numbers(dtype):
    message = (
        "`mask` must be boolean, True where a query may read. Received: "
        f"mask.dtype={dtype}. Convert 0 and 1 with `mask != 0`; numbers to be added to "
        "the scores are a `bias`."
    )
    refused(message, mask=np.ones((2, 5), dtype))


@pytest.mark.parametrize("shape", [(2, 5), (3, 4), (4, 5, 3), (1, 2, 4, 3, 5), (4,)])
def test_a_bias_of_another_shape(shape):
    message = (
        "`bias` must broadcast to (B, N, T, S)=(2, 4, 3, 5). "
        f"Received: bias.shape={shape}"
    )
    refused(message, bias=np.ones(shape, "float32"))


def test_a_bias_that_is_a_mask():
    message = (
        "`bias` is added to the scores, so it must hold numbers. Received: "
        "bias.dtype=bool. Pass what may be read as `mask`."
    )
    refused(message, bias=np.ones((3, 5), bool))


@pytest.mark.parametrize("shape", [(2,), (1,), (4, 1), ()])
def test_sinks_that_are_not_one_for_each_head(shape):
    message = (
        "`sinks` must have one score per query head, (4,). "
        f"Received: sinks.shape={shape}"
    )
    refused(message, sinks=np.ones(shape, "float32"))


@pytest.mark.parametrize("dropout", [-0.1, 1, 1.0, 50])
def test_a_dropout_out_of_range(dropout):
    message = f"`dropout` must be at least 0 and less than 1. Received: {dropout}"
    refused(message, dropout=dropout)


@pytest.mark.parametrize("softcap", [0, 0.0, -1.0])
def test_a_softcap_that_is_not_positive(softcap):
    refused(f"`softcap` must be positive. Received: softcap={softcap}", softcap=softcap)


@pytest.mark.parametrize("window", [0, -3, (1,), (2, -1)])
def test_a_window_that_reaches_nothing(window):
    message = (
        "`window` must be a positive integer or a pair (left, right) of integers from "
        f"0. Received: window={window!r}. For example, window=256 reads the 255 keys "
        "on each side, window=(255, 0) those before."
    )
    refused(message, window=window)


@pytest.mark.parametrize("implementation", ["flash", "", True])
def test_an_unknown_implementation(implementation):
    message = (
        "`implementation` must be one of ('explicit', 'fused', 'chunked') or None. "
        f"Received: implementation={implementation!r}"
    )
    refused(message, implementation=implementation)


@pytest.mark.parametrize("shape", [(2, 1, 3, 5), (4, 3, 5), (2, 4, 5, 3)])
def test_scores_of_another_shape(shape):
    """Scores that forget the heads would broadcast in silence."""
    message = (
        "`score` must return scores of the shape (B, N, T, S)=(2, 4, 3, 5). "
        f"Received: {shape}"
    )
    refused(message, score=lambda query, key: np.ones(shape, "float32"))
