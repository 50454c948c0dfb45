"""Scores that depend on positions and heads: what a layer of yours adds to them.

`MultiHeadSelfAttention` and `MultiHeadAttention` take it as `position_scores`, and ask
it in `call` and in `step` alike. It is a layer that is called with the heads:

    call(query, key, offset=0)      (B, T, N, H), (B, S, K, H) -> (B, N, T, S)

`offset` is the position of the first query among the keys: 0 where a sequence reads
itself, the number of tokens before where it is read step by step, the length of the
memory where there is one. What it returns is added to the scores after their factor, so
that a term which the paper scales with them is scaled by the layer; it broadcasts to
`(B, N, T, S)`. With the attribute `replaces_scores = True` it stands in their place.
Where its `call` names `attention`, it gets the attention layer, whose `project_query`
and `project_key` project a table of positions as they do tokens.

Letters: B batch, T query length, S key length, N query heads, K key and value heads,
H width of a head.
"""

import inspect

import keras
from keras import ops

from keras_attention.ops import RelativeBias


def scores_of_positions(layer, query, key, offset=0, attention=None):
    """Asks a layer what positions add to the scores.

    Args:
        layer: A layer as described above.
        query: `(B, T, N, H)`.
        key: `(B, S, K, H)`.
        offset: Position of the first query among the keys, an integer or a tensor.
        attention: The attention layer that asks.

    Returns:
        Broadcastable to `(B, N, T, S)`, or a `RelativeBias` where that is large.
    """
    if hasattr(layer, "relative_bias"):
        lengths = ops.shape(query)[1], ops.shape(key)[1]
        if any(isinstance(length, int) and length == 0 for length in lengths):
            return layer(query, key, offset=offset)  # which is empty
        bias = layer.relative_bias(*lengths, offset=offset)
        if isinstance(bias, RelativeBias):
            bias = bias.whole_if_short(*lengths)
        return bias
    options = {}
    if attention is not None and "attention" in _parameters(layer):
        options["attention"] = attention
    return layer(query, key, offset=offset, **options)


def takes_offset(layer):
    """Whether a layer can give the scores of tokens that follow others.

    Args:
        layer: A layer.

    Returns:
        True or False.

    Example:

    >>> takes_offset(keras.layers.Dense(3))
    False
    """
    return "offset" in _parameters(layer)


def build_for_heads(layer, query_shape, key_shape):
    """Makes the weights of a layer that gives scores, unless it has them.

    Args:
        layer: A layer as described above.
        query_shape: `(B, T, N, H)`.
        key_shape: `(B, S, K, H)`.

    Raises:
        ValueError: The layer's `call` does not take `offset`.
    """
    if not takes_offset(layer):
        raise ValueError(
            f"`position_scores` must be a layer that is called with queries, keys and "
            f"`offset`. Received: {type(layer).__name__}, whose call takes "
            f"{tuple(_parameters(layer))}. Write `call(self, query, key, offset=0)`."
        )
    if getattr(layer, "built", True):
        layer._is_shared = True
        return
    if type(layer).build is keras.layers.Layer.build:  # it has no weights to make
        layer.built = True
        return
    shapes = query_shape, key_shape
    layer.build(*shapes[: len(inspect.signature(layer.build).parameters)])


def _parameters(layer):
    call = layer.call if isinstance(layer, keras.layers.Layer) else layer
    return inspect.signature(call).parameters
