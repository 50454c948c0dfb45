"""The equations of the layers in NumPy, in float64, as their papers write them.

Nothing here calls the library. Letters: B batch, T queries, S keys, N heads, K key and
value heads, H width of a head, D width of a token.
"""

import math

import numpy as np


def weights_of(layer):
    """The weights of a layer by their path inside of it, in float64."""
    return {
        weight.path.partition("/")[2]: np.asarray(value, "float64")
        for weight, value in zip(layer.weights, layer.get_weights(), strict=True)
    }


def part(weights, name):
    """The weights of one part, by their path inside of it."""
    name = f"{name}/"
    return {
        path.removeprefix(name): value
        for path, value in weights.items()
        if path.startswith(name)
    }


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(scores):
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def relu(x):
    return np.maximum(x, 0)


ACTIVATIONS = {
    "gelu": gelu,
    "gelu_tanh": gelu_tanh,
    "relu": relu,
    "relu_squared": lambda x: relu(x) ** 2,
    "silu": lambda x: x * sigmoid(x),
    "tanh": np.tanh,
}
GATES = {
    "glu": sigmoid,
    "reglu": relu,
    "geglu": gelu,
    "geglu_tanh": gelu_tanh,
    "swiglu": ACTIVATIONS["silu"],
}


def layer_norm(x, scale, offset, epsilon=1e-6):
    x = x - x.mean(axis=-1, keepdims=True)
    return scale * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon) + offset


def rms_norm(x, scale, epsilon=1e-6):
    return scale * x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + epsilon)


def norm(x, weights, epsilon=1e-6):
    """The norm whose weights these are."""
    if "gamma" in weights:
        return layer_norm(x, weights["gamma"], weights["beta"], epsilon)
    return rms_norm(x, weights["scale"], epsilon)


def may_read(T, S, *, causal=False, window=None, mask=None):
    """Which query may read which key: `(B or 1, N or 1, T, S)`, boolean."""
    allowed = np.ones((1, 1, T, S), bool)
    for t in range(T):
        for s in range(S):
            if causal and s > t:
                allowed[..., t, s] = False
            if isinstance(window, int) and abs(s - t) >= window:
                allowed[..., t, s] = False
            if isinstance(window, tuple) and not -window[0] <= s - t <= window[1]:
                allowed[..., t, s] = False
    if mask is None:
        return allowed
    axes = {2: (slice(None), None, None), 3: (slice(None), None), 4: ()}[mask.ndim]
    return allowed & mask[axes]


def attention(query, key, value, allowed, *, bias=0, scale=1, softcap=None, sinks=None):
    """Vaswani et al. 2017, Equation 1, for heads: `(B, T, N, Hv)`, `(B, N, T, S)`.

    Keys and values of fewer heads serve several neighbouring heads of queries. The
    weight of a sink is left out. A query that may read nothing gets zeros.
    """
    heads = query.shape[2] // key.shape[2]
    key, value = (np.repeat(x, heads, axis=2) for x in (key, value))
    scores = np.einsum("btnh,bsnh->bnts", query, key) * scale
    if softcap is not None:
        scores = softcap * np.tanh(scores / softcap)
    weights = np.exp(scores + bias) * allowed
    total = weights.sum(axis=-1, keepdims=True)
    if sinks is not None:
        total = total + np.exp(sinks)[:, None, None]
    weights = weights / np.where(total == 0, 1, total)
    return np.einsum("bnts,bsnh->btnh", weights, value), weights


def rotate(x, positions, *, base=10000.0, layout="half", scaling=1.0, width=None):
    """Su et al. 2021, Equation 15: each pair of channels by a 2 x 2 matrix.

    `positions` are `(T, 1)` or `(B, T, 1)`, for all heads alike.
    """
    width = x.shape[-1] if width is None else width
    turned = x.copy()
    for i in range(width // 2):
        a, b = (i, i + width // 2) if layout == "half" else (2 * i, 2 * i + 1)
        angle = positions / scaling * base ** (-2 * i / width)
        cosine, sine = np.cos(angle), np.sin(angle)
        turned[..., a] = x[..., a] * cosine - x[..., b] * sine
        turned[..., b] = x[..., b] * cosine + x[..., a] * sine
    return turned


def projections(weights, widths):
    """Kernels and biases of query, key and value, which may stand side by side."""
    found = {}
    for name, kernel in weights.items():
        names = name.removesuffix("_kernel").split("_")
        if not name.endswith("_kernel") or not set(names) <= set(widths):
            continue
        ends = np.cumsum([widths[name] for name in names])[:-1]
        bias = weights.get(name.replace("kernel", "bias"), np.zeros(kernel.shape[1]))
        for part_name, *both in zip(
            names, np.split(kernel, ends, axis=1), np.split(bias, ends), strict=True
        ):
            found[part_name] = both
    return found


def multi_head(
    weights,
    query,
    value,
    key=None,
    *,
    num_heads,
    key_dim,
    value_dim=None,
    num_key_value_heads=None,
    query_key_norm=None,
    rotary=None,
    allowed=None,
    bias=0,
    softcap=None,
    use_gate=False,
    **_,
):
    """Vaswani et al. 2017, Section 3.2.2: output and weights."""
    key = value if key is None else key
    value_dim = value_dim or key_dim
    num_key_value_heads = num_key_value_heads or num_heads
    widths = {
        "query": num_heads * key_dim,
        "key": num_key_value_heads * key_dim,
        "value": num_key_value_heads * value_dim,
    }
    heads = []
    for name, x, count in (
        ("query", query, num_heads),
        ("key", key, num_key_value_heads),
        ("value", value, num_key_value_heads),
    ):
        kernel, offset = projections(weights, widths)[name]
        projected = x @ kernel + offset
        heads.append(projected.reshape(*x.shape[:2], count, -1))
    q, k, v = heads
    scale = key_dim**-0.5
    if query_key_norm == "cosine":
        q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
        scale = np.minimum(np.exp(weights["log_scale"]), 100)[:, :, None]  # (N, 1, 1)
    elif query_key_norm is not None:
        q = norm(q, part(weights, "query_norm"))
        k = norm(k, part(weights, "key_norm"))
    if rotary is not None:
        q, k = rotary(q), rotary(k)
    if allowed is None:
        allowed = may_read(q.shape[1], k.shape[1])
    output, attention_weights = attention(
        q,
        k,
        v,
        allowed,
        bias=bias,
        scale=scale,
        softcap=softcap,
        sinks=weights.get("sinks"),
    )
    output = output.reshape(*query.shape[:2], -1)
    if use_gate:
        output = output * sigmoid(query @ weights["gate_kernel"])
    output = output @ weights["output_kernel"] + weights.get("output_bias", 0)
    return output, attention_weights


def feed_forward(weights, x, activation):
    """Vaswani et al. 2017, Equation 2; Shazeer 2020, Equations 4 to 6."""
    hidden = x @ weights["hidden_kernel"] + weights.get("hidden_bias", 0)
    if activation in GATES:
        gate, hidden = np.split(hidden, 2, axis=-1)
        hidden = GATES[activation](gate) * hidden
    else:
        hidden = ACTIVATIONS[activation](hidden)
    return hidden @ weights["output_kernel"] + weights.get("output_bias", 0)


def residual(weights, x, branch, norm_order="pre", epsilon=1e-6):
    """x + f(norm(x)), norm(x + f(x)) or x + norm(f(norm(x))); f may be scaled."""
    first = part(weights, "norm")
    output = branch(x if norm_order == "post" else norm(x, first, epsilon))
    if norm_order == "sandwich":
        output = norm(output, part(weights, "output_norm"), epsilon)
    x = x + output * weights.get("scale/scale", 1)
    return norm(x, first, epsilon) if norm_order == "post" else x


def block(
    weights,
    x,
    encoded=None,
    *,
    num_heads,
    key_dim=None,
    activation="gelu",
    norm_order="pre",
    epsilon=1e-6,
    allowed=None,
    bias=0,
    encoded_allowed=None,
    **_,
):
    """Vaswani et al. 2017, Figure 1: output, then the weights of each attention."""
    options = {"num_heads": num_heads, "key_dim": key_dim or x.shape[-1] // num_heads}
    seen = []

    def read(name, **masks):
        def branch(x):
            value = encoded if name == "cross_attention" else x
            output, weights_seen = multi_head(
                part(weights, name), x, value, **masks, **options
            )
            seen.append(weights_seen)
            return output

        return branch

    def add(x, name, branch):
        around = part(weights, f"{name}_residual")
        return residual(around, x, branch, norm_order, epsilon)

    x = add(x, "self_attention", read("self_attention", allowed=allowed, bias=bias))
    if encoded is not None:
        branch = read("cross_attention", allowed=encoded_allowed)
        x = add(x, "cross_attention", branch)
    inner = part(weights, "feed_forward")
    x = add(x, "feed_forward", lambda x: feed_forward(inner, x, activation))
    return (x, *seen)
