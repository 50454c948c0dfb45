"""From the weights of single layers to what a model reads as a whole.

Attention shows where a head reads, not why a model decides (Jain and Wallace 2019,
arXiv:1902.10186; Wiegreffe and Pinter 2019, arXiv:1908.04626). `rollout` follows the
weights alone, `relevance` also asks how the answer would change.

Letters: B batch, N heads, T query length, S key length.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.backend.gradients import gradient
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from keras_attention.visualization.maps import attention_maps
from keras_attention.visualization.maps import AttentionMaps
from keras_attention.visualization.maps import run
from keras_attention.visualization.watching import watched

JOINS = {"mean": np.mean, "max": np.max, "min": np.min}


def rollout(maps, join="mean", discard=0.0):
    """Follows attention through all layers down to the inputs.

    Abnar and Zuidema 2020, arXiv:2005.00928, Section 3: half of each token is passed
    on by the residual connection,

        A'_l = (A_l + I) / 2,    rollout = A'_L ... A'_1

    Args:
        maps: `AttentionMaps`, of which those of self-attention count, or a list of
            arrays `(B, N, T, T)`, the first layer first.
        join: How the heads of a layer become one: `"mean"`, `"max"` or `"min"`.
        discard: Fraction of the weights of each query, the smallest, that count as
            zero, from 0 to below 1.

    Returns:
        `(B, T, T)` float32, NumPy; each row sums to 1.

    Raises:
        ValueError: The layers differ in their lengths, or an option is wrong.

    Example:

    >>> uniform = np.full((1, 2, 2, 2), 0.5)
    >>> rollout([uniform]).tolist()
    [[[0.75, 0.25], [0.25, 0.75]]]
    """
    if join not in JOINS:
        raise ValueError(
            f"`join` must be one of {tuple(JOINS)}. Received: join={join!r}"
        )
    if not 0 <= discard < 1:
        raise ValueError(
            f"`discard` must be at least 0 and less than 1. Received: {discard}"
        )
    total = None
    for weights in _self_attention(maps):
        joined = JOINS[join](weights, axis=1)  # (B, T, T)
        if discard > 0:
            joined = _without_smallest(joined, discard)
        step = joined + np.eye(joined.shape[-1])
        step = step / step.sum(-1, keepdims=True)
        total = step if total is None else step @ total
    return total.astype("float32")


def relevance(model, inputs, target=None, layers=None, include_keras=False):
    """Says how much each input token bears on an answer of a model.

    Chefer et al. 2021, arXiv:2103.15679, Equations 5 and 6: weights count where the
    answer would grow with them,

        R <- R + mean_heads(relu(A * dA)) R,    R = I before the first layer

    and for an encoder-decoder Equations 7 to 11.

    Args:
        model: A model or a layer.
        inputs: What the model is called with: an array `(B, ...)`, or a dict, list or
            tuple of arrays. All at once: choose B to fit the memory.
        target: For outputs `(B, classes)`, the index of a class, or one for each
            sequence; for any outputs, a function of them that returns `(B,)` scores.
            Defaults to the class with the largest output.
        layers: Which attention layers: a part of their path, a list of such parts, or
            a function of the path. Defaults to all.
        include_keras: Whether the attention layers of Keras itself count, too, as in
            `attention_maps`.

    Returns:
        `(B, T, S)` float32, NumPy: for each token of the last layers, what the S input
        tokens contribute. Read the row of the token that the answer is taken from,
        such as 0 for a class token; or the mean of the rows if it is their mean.

    Raises:
        ValueError: No attention was recorded, or `target` does not fit the outputs.

    Example:

    >>> from keras_attention.layers import TransformerEncoder, TransformerEncoderBlock
    >>> block = TransformerEncoderBlock(num_heads=2, mlp_dim=16)
    >>> tokens = keras.Input((5, 8))
    >>> x = TransformerEncoder(block, num_layers=2)(tokens)
    >>> model = keras.Model(tokens, keras.layers.GlobalAveragePooling1D()(x))
    >>> relevance(model, np.ones((3, 5, 8)), target=1).shape
    (3, 5, 5)
    """
    maps = attention_maps(model, inputs, layers, include_keras=include_keras)
    tensors = keras.tree.map_structure(ops.convert_to_tensor, inputs)

    def score(probes):
        with (
            watched(model, include_keras),
            active(Recorder(layers, probes=probes)),
        ):
            outputs = run(model, tensors)
        return ops.sum(ops.cast(_scores(outputs, target), "float32"))

    probes = [np.zeros(each.weights.shape, "float32") for each in maps.values()]
    gradients = gradient(score, probes)
    steps = [
        np.maximum(each.weights * ops.convert_to_numpy(slope), 0).mean(1)
        for each, slope in zip(maps.values(), gradients, strict=True)
    ]
    kinds = [each.kind for each in maps.values()]
    if "cross" not in kinds:
        return _add_up(steps).astype("float32")
    return _add_up_to_decoder(list(maps), kinds, steps).astype("float32")


def head_statistics(maps, token_ids=None, grid=None, num_prefix_tokens=0):
    """Describes each head by what it reads, to find those worth looking at.

    Args:
        maps: `AttentionMaps`, or a list of arrays `(B, N, T, S)`.
        token_ids: Integers `(B, T)`, what the model read, to find induction heads. Here
            T and S are alike.
        grid: Rows and columns, where tokens are the places of a picture, or of a window
            of it, row by row. Then the distance between two is that of a straight line,
            in places, as in Dosovitskiy et al. 2021, arXiv:2010.11929, Figure 7.
        num_prefix_tokens: How many tokens stand in front of the places, such as 1 for a
            class token; they have no distance, as reader or read.

    Returns:
        Dict of arrays `(L, N)`, with L the number of layers, means over sequences and
        over queries that read anything: `"entropy"` in bits, `"distance"` between
        query and key in tokens or places, and the share of the weight that lies on the
        `"previous_token"`, on the `"first_token"` and on the `"same_position"`. With
        `token_ids` also `"induction"`, the share on what followed the same token
        before, a mean over the queries whose token was there before (Olsson et al.
        2022, arXiv:2209.11895, "prefix matching"); NaN where none was.

    Raises:
        ValueError: `token_ids` or `grid` do not fit the weights.

    Example:

    >>> head_statistics([np.eye(3)[None, None]])["same_position"].tolist()
    [[1.0]]
    >>> weights = np.array([[[[1.0, 0, 0], [0, 1, 0], [0, 0.75, 0.25]]]])
    >>> head_statistics([weights], token_ids=[[5, 7, 5]])["induction"].tolist()
    [[0.75]]
    >>> across = np.eye(4)[None, None, ::-1]
    >>> head_statistics([across], grid=(2, 2))["distance"].round(3).tolist()
    [[1.414]]
    """
    followers = None if token_ids is None else _followers(np.asarray(token_ids))
    rows = []
    for weights in _arrays(maps):
        weights = np.asarray(weights, "float64")
        rows.append(_statistics(weights))
        if grid is not None:
            rows[-1]["distance"] = _distance(weights, grid, num_prefix_tokens)
        if followers is not None:
            rows[-1]["induction"] = _induction(weights, followers)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _statistics(weights):
    *_, queries, keys = weights.shape
    apart = np.arange(queries)[:, None] - np.arange(keys)  # (T, S)
    bits = np.log2(weights, out=np.zeros_like(weights), where=weights > 0)
    reads = weights.sum(-1) > 0  # (B, N, T)
    return {
        "entropy": _mean(-(weights * bits).sum(-1), reads),
        "distance": _mean((weights * np.abs(apart)).sum(-1), reads),
        "previous_token": _mean((weights * (apart == 1)).sum(-1), reads),
        "first_token": _mean(weights[..., 0], reads),
        "same_position": _mean((weights * (apart == 0)).sum(-1), reads),
    }


def _mean(of_query, reads):
    """The mean over the queries `(B, N, T)` that read anything, `(N,)`."""
    return (of_query * reads).sum((0, 2)) / np.maximum(reads.sum((0, 2)), 1)


def _distance(weights, grid, num_prefix_tokens):
    """How far the places of a picture are that others read, `(N,)`."""
    count = num_prefix_tokens + grid[0] * grid[1]
    if weights.shape[-2:] != (count, count):
        raise ValueError(
            f"A grid of {grid[0]} x {grid[1]} places behind {num_prefix_tokens} tokens "
            f"needs weights (B, N, {count}, {count}). Received: {weights.shape}. Leave "
            "out other layers by `layers=`, or pass the `grid` of these."
        )
    places = np.indices(grid).reshape(2, -1).T
    apart = np.linalg.norm(places[:, None] - places, axis=-1)
    weights = weights[..., num_prefix_tokens:, num_prefix_tokens:]
    sums = weights.sum(-1)
    distance = (weights * apart).sum(-1) / np.where(sums > 0, sums, 1)
    return _mean(distance, sums > 0)


def _followers(token_ids):
    """Where the same token was followed by another, `(B, T, T)`: one row a query."""
    if token_ids.ndim != 2:
        raise ValueError(
            "`token_ids` must be integers (B, T), those that the model read. Received: "
            f"shape={token_ids.shape}"
        )
    same = np.tril(token_ids[:, :, None] == token_ids[:, None, :], -1)
    return np.pad(same, [(0, 0), (0, 0), (1, 0)])[:, :, :-1]


def _induction(weights, followers):
    """The share of the weight on these places, of queries that have any, `(N,)`."""
    batch, _, queries, keys = weights.shape
    if followers.shape != (batch, queries, keys):
        raise ValueError(
            "`token_ids` must be what the model read, (B, T), for weights "
            f"(B, N, T, T). Received: token_ids.shape={followers.shape[:2]} and "
            f"weights {weights.shape}. Leave out layers of other "
            "sequences by `layers=`."
        )
    count = np.count_nonzero(followers.any(-1))
    share = np.einsum("bnts,bts->n", weights, followers)
    return share / count if count else np.full_like(share, np.nan)


def _arrays(maps):
    if isinstance(maps, AttentionMaps):
        return [each.weights for each in maps.values()]
    return [np.asarray(weights) for weights in maps]


def _self_attention(maps):
    """The weights `(B, N, T, T)` of each layer of self-attention."""
    if isinstance(maps, AttentionMaps):
        maps = maps.of_kind("self")
    arrays = _arrays(maps)
    shapes = {weights.shape[-2:] for weights in arrays}
    if len(shapes) != 1 or len(set(*shapes)) != 1:
        raise ValueError(
            "Attention is followed through layers of self-attention over one sequence, "
            f"`(B, N, T, T)` with one T. Received: {[w.shape for w in arrays]}. Choose "
            "layers of one sequence with `layers=`."
        )
    return arrays


def _without_smallest(weights, discard):
    """Sets the smallest weights of each row to zero."""
    count = int(discard * weights.shape[-1])
    smallest = np.argsort(weights, axis=-1)[..., :count]
    weights = weights.copy()
    np.put_along_axis(weights, smallest, 0.0, axis=-1)
    return weights


def _scores(outputs, target):
    """The number of each sequence whose gradient is taken, `(B,)`."""
    if callable(target):
        return target(outputs)
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) != 2:
        raise ValueError(
            "For outputs that are not (B, classes), `target` must be a function of "
            f"them that returns (B,) scores. Received: outputs of the shape {shape}, "
            f"target={target!r}"
        )
    batch_size, num_classes = shape
    classes = ops.argmax(outputs, axis=-1) if target is None else np.asarray(target)
    if target is not None:
        fits = classes.ndim == 0 or classes.shape == (batch_size,)
        if not fits or classes.min() < 0 or classes.max() >= num_classes:
            raise ValueError(
                f"`target` must be a class from 0 to {num_classes - 1}, or one for "
                f"each of the {batch_size} sequences. Received: target={target!r}"
            )
        classes = np.broadcast_to(classes, (batch_size,))
    return ops.sum(outputs * ops.one_hot(classes, num_classes, dtype=outputs.dtype), -1)


def _add_up(steps):
    """Equation 6, from the first layer to the last."""
    total = np.eye(steps[0].shape[-1])
    for step in steps:
        total = total + step @ total
    return total  # (B, T, T)


def _add_up_to_decoder(names, kinds, steps):
    """Equations 7 to 11: what the encoder's tokens contribute to the decoder's."""
    blocks = [name.rsplit("/", 1)[0] for name in names]
    decoders = {b for b, kind in zip(blocks, kinds, strict=True) if kind == "cross"}
    first = kinds.index("cross")
    of_encoder = np.eye(steps[first].shape[-1])
    of_decoder = np.eye(steps[first].shape[-2])
    across = np.zeros(steps[first].shape)
    for block, kind, step in zip(blocks, kinds, steps, strict=True):
        if kind == "cross":
            # The decoder's tokens are mixed when they read the encoder's.
            across = across + np.swapaxes(_normalized(of_decoder), -1, -2) @ (
                step @ _normalized(of_encoder)
            )
        elif block in decoders:
            across = across + step @ across
            of_decoder = of_decoder + step @ of_decoder
        else:
            of_encoder = of_encoder + step @ of_encoder
    return across  # (B, T, S)


def _normalized(total):
    """Equations 8 and 9: what was added to each token counts as much as itself."""
    identity = np.eye(total.shape[-1])
    added = total - identity
    sums = added.sum(-1, keepdims=True)
    return added / np.where(sums == 0, 1.0, sums) + identity
