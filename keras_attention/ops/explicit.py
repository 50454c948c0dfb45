"""Attention as its equation reads, with every weight in memory.

This is what the other implementations must equal, and what runs when the weights are
asked for. Its memory is N x T x S for each sequence.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a query and a key in one head, Hv width of a value in one head.
"""

import math

from keras import ops

from keras_attention.backend.products import at_least_float32
from keras_attention.backend.products import matmul
from keras_attention.backend.products import tanh
from keras_attention.backend.products import where
from keras_attention.ops.dropout import keep_factors
from keras_attention.ops.masks import combine_masks
from keras_attention.ops.masks import mask_of_sides
from keras_attention.ops.relative import RelativeBias
from keras_attention.ops.relative import whole_bias

# Below every score and far from the end of float32, so that no inf - inf arises.
MASKED = -1e30


def dot_product_scores(query, key):
    """Scores a key by its dot product with the query.

    Luong et al. 2015, arXiv:1508.04025, Section 3.1 ("dot").

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`, with K dividing N.

    Returns:
        `(B, N, T, S)`.

    Example:

    >>> scores = dot_product_scores([[[[1.0, 2.0]]]], [[[[3.0, 4.0]], [[5.0, 6.0]]]])
    >>> keras.ops.convert_to_numpy(scores).tolist()
    [[[[11.0, 17.0]]]]
    """
    query, key = ops.convert_to_tensor(query), ops.convert_to_tensor(key)
    if query.shape[1] == 1:
        return _scores_of_one(query, key)
    query = ops.transpose(query, (0, 2, 1, 3))  # (B, N, T, H)
    key = ops.transpose(key, (0, 2, 3, 1))  # (B, K, H, S)
    return _matmul_in_groups(query, key)  # (B, N, T, S)


def _scores_of_one(query, key):
    """Scores `(B, N, 1, S)` of one query `(B, 1, N, H)`.

    The keys stand on the left, as they lie in a cache: XLA need not turn them.
    """
    num_heads, num_groups = query.shape[2], key.shape[2]
    batch_size, length = ops.shape(key)[:2]
    shape = (batch_size, num_groups, num_heads // num_groups, query.shape[3])
    query = ops.reshape(query, shape)
    query = ops.transpose(query, (0, 1, 3, 2))  # (B, K, H, N / K)
    key = ops.transpose(key, (0, 2, 1, 3))  # (B, K, S, H)
    scores = ops.transpose(matmul(key, query), (0, 1, 3, 2))  # (B, K, N / K, S)
    return ops.reshape(scores, (batch_size, num_heads, 1, length))


def additive_scores(query, key, kernel):
    """Scores a key by a small network of the query and the key.

    Bahdanau et al. 2015, arXiv:1409.0473, Section 3.1 and Appendix A.1.2, where
    `query` is W_a s and `key` is U_a h.

    Args:
        query: `(B, T, N, U)`, projected queries.
        key: `(B, S, N, U)`, projected keys.
        kernel: `(U,)`, v in the paper.

    Returns:
        `v . tanh(query + key)`, `(B, N, T, S)`.

    Example:

    >>> scores = additive_scores([[[[0.5]]]], [[[[-0.5]], [[0.5]]]], [2.0])
    >>> keras.ops.convert_to_numpy(scores).astype(float).round(4).tolist()
    [[[[0.0, 1.5232]]]]
    """
    query = ops.transpose(ops.convert_to_tensor(query), (0, 2, 1, 3))  # (B, N, T, U)
    key = ops.transpose(ops.convert_to_tensor(key), (0, 2, 1, 3))  # (B, N, S, U)
    hidden = tanh(query[:, :, :, None] + key[:, :, None])  # (B, N, T, S, U)
    kernel = ops.convert_to_tensor(kernel)
    return matmul(hidden, kernel[:, None])[..., 0]  # (B, N, T, S)


def attention_weights(scores, mask=None, sinks=None):
    """Turns scores into weights that sum to 1 over the keys.

    With `sinks` they sum to less than 1; where nothing may be read they are zero.

    Args:
        scores: `(B, N, T, S)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, True where a query may read.
        sinks: `(N,)`, the score of one more key, whose weight is left out.

    Returns:
        `(B, N, T, S)`, in float32 at least.

    Example:

    >>> mask = [[[[True, True, False]]]]
    >>> weights = attention_weights([[[[1.0, 1.0, 9.0]]]], mask)
    >>> keras.ops.convert_to_numpy(weights).tolist()
    [[[[0.5, 0.5, 0.0]]]]
    """
    scores = ops.convert_to_tensor(scores)
    scores = ops.cast(scores, at_least_float32(scores.dtype))
    if mask is not None:
        mask = ops.convert_to_tensor(mask)
        scores = where(mask, scores, MASKED)
    if sinks is None and scores.shape[-1] == 1:
        weights = ops.exp(scores - scores)  # 1; Keras warns of a softmax of one score
    elif sinks is None:
        weights = ops.softmax(scores, axis=-1)
    elif scores.shape[-1] == 0:
        weights = scores  # no key, so no weight
    else:
        sinks = ops.cast(sinks, scores.dtype)[None, :, None, None]  # (1, N, 1, 1)
        sinks = ops.broadcast_to(sinks, (*ops.shape(scores)[:-1], 1))
        with_sinks = ops.concatenate([scores, sinks], axis=-1)
        weights = ops.softmax(with_sinks, axis=-1)[..., :-1]
    if mask is not None:
        weights = where(mask, weights, 0.0)
    return weights


def explicit_attention(
    query,
    key,
    value,
    *,
    mask,
    bias,
    scale,
    softcap,
    sinks,
    dropout,
    seed,
    score,
    change_weights=None,
):
    """Computes `attend` step by step; see there for the arguments.

    Args:
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        value: `(B, S, K, Hv)`.
        mask: Boolean, broadcastable to `(B, N, T, S)`, or `None`.
        bias: Broadcastable to `(B, N, T, S)`, or `None`.
        scale: Factor of the scores.
        softcap: Bound of the scores, or `None`.
        sinks: `(N,)`, or `None`.
        dropout: Fraction of weights dropped.
        seed: int32 scalar tensor, from `draw_seed`.
        score: Function of query and key, or `None` for the dot product.
        change_weights: Function of the weights, or `None`.

    Returns:
        `(B, T, N, Hv)` and the weights before dropout, `(B, N, T, S)`.
    """
    dtype = at_least_float32(query.dtype)
    if score is None:
        # In half precision a large score would be rounded by more than a weight bears.
        query, key = ops.cast(query, dtype) * scale, ops.cast(key, dtype)
        scores = dot_product_scores(query, key)  # (B, N, T, S)
    else:
        scores = ops.cast(score(query, key), dtype) * scale
    if softcap is not None:
        scores = softcap * tanh(scores / softcap)
    if bias is not None:
        scores = scores + ops.cast(bias, scores.dtype)
        mask = combine_masks(mask, (bias > -math.inf)[(None,) * (4 - len(bias.shape))])
    weights = attention_weights(scores, mask, sinks)
    weights = ops.cast(weights, value.dtype)  # (B, N, T, S)
    if change_weights is not None:
        weights = change_weights(weights)
    kept = weights
    if dropout > 0:
        kept = weights * _factors(weights, dropout, seed)
    output = _matmul_in_groups(kept, ops.transpose(value, (0, 2, 1, 3)))
    return ops.transpose(output, (0, 2, 1, 3)), weights  # (B, T, N, Hv)


def _factors(weights, dropout, seed):
    """The factors of dropout, for weights `(B, N, T, S)`."""
    *rows, columns = ops.shape(weights)
    count = rows[0] * rows[1] * rows[2]
    rows = ops.reshape(ops.arange(count, dtype="int32"), (*rows, 1))
    columns = ops.arange(columns, dtype="int32")
    return keep_factors(seed, dropout, rows, columns, weights.dtype)


def plain_attention(inputs, options):
    """Computes what kernels and tiles are given, so that any backend differentiates it.

    Args:
        inputs: Dict with `query`, `key` and `value`, and `mask`, `bias`, `table` of a
            relative bias, `sinks` and `seed` if there are some.
        options: With the attributes `sides`, how far a query reads to the left and to
            the right, `None` for all, `scale`, `softcap` and `dropout`.

    Returns:
        `(B, T, N, Hv)`.
    """
    query, key = inputs["query"], inputs["key"]
    bias = inputs.get("bias")
    if "table" in inputs:
        bias = whole_bias(RelativeBias(inputs["table"], bias), query, key)
    lengths = ops.shape(query)[1], ops.shape(key)[1]
    output, _ = explicit_attention(
        query,
        key,
        inputs["value"],
        mask=combine_masks(inputs.get("mask"), mask_of_sides(*lengths, options.sides)),
        bias=bias,
        scale=options.scale,
        softcap=options.softcap,
        sinks=inputs.get("sinks"),
        dropout=options.dropout,
        seed=inputs.get("seed"),
        score=None,
    )
    return ops.cast(output, inputs["value"].dtype)


def _matmul_in_groups(left, right):
    """Multiplies N matrices with K, each of which serves N / K neighbours.

    The rows of a group are laid one below the other, so nothing is repeated.

    Args:
        left: `(B, N, T, X)`.
        right: `(B, K, X, Y)`.

    Returns:
        `(B, N, T, Y)`.
    """
    num_heads, num_groups = left.shape[1], right.shape[1]
    if num_heads == num_groups:
        return matmul(left, right)
    batch_size, _, rows, inner = ops.shape(left)
    group_rows = num_heads // num_groups * rows
    left = ops.reshape(left, (batch_size, num_groups, group_rows, inner))
    product = matmul(left, right)  # (B, K, N / K * T, Y)
    columns = ops.shape(right)[-1]
    return ops.reshape(product, (batch_size, num_heads, rows, columns))
