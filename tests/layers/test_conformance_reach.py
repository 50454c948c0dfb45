"""No token reaches where it must not, whatever options are combined.

Each token is changed in turn, all in one call: copy i of the sequence in the batch has
another token i. What a mask, causality or a window hides must change nothing, and what
they show must change something.
"""

import itertools

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention import layers
from layers.layer_table import randomize
from layers.reference import may_read

T, S, D, E, N, H = 5, 6, 8, 7, 2, 4
UNMOVED, MOVED = 1e-6, 3e-6

# The options that do not restrict who reads whom, each on or off.
OPTIONS = (
    {"num_key_value_heads": 1},
    {"softcap": 3.0},
    {"use_sinks": True},
    {"query_key_norm": "rms_norm"},
    {"rotary_embedding": {}},
    {"use_gate": True},
    {"dropout": 0.3},
)
WINDOWS = (None, 2, (2, 0), (0, 1))
# Windows and options in sixteen rows, where every window meets every option on and off
# and so does every option every other (an orthogonal array). All 512 rows: `-m slow`.
FEW = [
    (2 * a + b, (c, d, c ^ d, a ^ c, a ^ d, b ^ c, b ^ d))
    for a, b, c, d in itertools.product((0, 1), repeat=4)
]
COMBINATIONS = [
    pytest.param(
        WINDOWS[window],
        chosen,
        id=f"{WINDOWS[window]}-{''.join(map(str, chosen))}",
        marks=() if (window, chosen) in FEW else pytest.mark.slow,
    )
    for window in range(len(WINDOWS))
    for chosen in itertools.product((0, 1), repeat=len(OPTIONS))
]
by_combination = pytest.mark.parametrize("window, chosen", COMBINATIONS)
MASKS = (None, 2, 3, 4)


def attention_options(chosen, window):
    options = {"window": window}
    for is_chosen, option in zip(chosen, OPTIONS, strict=True):
        if is_chosen:
            options.update(option)
    if "rotary_embedding" in options:
        options["rotary_embedding"] = layers.RotaryEmbedding()
    return options


def mask_of(axes, queries, keys):
    """A mask that hides keys 1 and 4, or others for each query and head."""
    if axes is None:
        return None
    rng = np.random.default_rng(axes)
    shape = {2: (1, keys), 3: (1, queries, keys), 4: (1, N, queries, keys)}[axes]
    mask = rng.random(shape) < 0.6
    if axes == 2:
        mask[:] = True
        mask[:, [1, 4]] = False
    else:
        mask[..., 2, :] = False  # one query has nothing to read
    return mask


def bias_of(queries, keys):
    bias = np.random.default_rng(9).standard_normal((N, queries, keys))
    return bias.astype("float32")


def copies(*lengths_and_widths):
    """Sequences in copies, of which each but the first has one token changed.

    Of two sequences, first the tokens of the one are changed, then of the other.
    """
    rng = np.random.default_rng(0)
    total = 1 + sum(length for length, _ in lengths_and_widths)
    batches, first = [], 1
    for length, width in lengths_and_widths:
        batch = np.repeat(0.7 * rng.standard_normal((1, length, width)), total, 0)
        for i in range(length):
            batch[first + i, i] += rng.standard_normal(width)
        first += length
        batches.append(batch.astype("float32"))
    return batches


def repeated(array, count):
    return None if array is None else np.repeat(array, count, axis=0)


def check(output, must, may=None):
    """Compares the changes with a matrix: row t, column i, token i changes output t.

    Args:
        output: `(1 + number of tokens, T, D)`.
        must: Where a change is expected.
        may: Where a change is expected or not. Elsewhere there must be none.
    """
    output = to_numpy(output)
    changes = np.abs(output[1:] - output[:1]).max(axis=-1).T  # (T, tokens)
    assert changes[~(must if may is None else must | may)].max(initial=0) <= UNMOVED
    assert changes[must].min(initial=1) > MOVED


def calls(causal=(False, True)):
    """Every combination of the options of a call."""
    names = ("causal", "axes", "with_bias", "weights")
    for values in itertools.product(causal, MASKS, (False, True), (False, True)):
        yield dict(zip(names, values, strict=True))


def of(result, weights):
    return result[0] if weights else result


def reading(allowed):
    """Who reads whom with any head: `(T, S)`."""
    return np.broadcast_to(allowed, (1, N, *allowed.shape[2:]))[0].any(axis=0)


@by_combination
def test_multi_head_self_attention(window, chosen):
    layer = layers.MultiHeadSelfAttention(N, H, **attention_options(chosen, window))
    (inputs,) = copies((T, D))
    layer.build(inputs.shape)
    randomize(layer)
    for call in calls():
        mask = mask_of(call["axes"], T, T)
        must = reading(may_read(T, T, causal=call["causal"], window=window, mask=mask))
        # A token that does not read itself is still the query; it has nothing to
        # say where there is nothing to read.
        itself = np.eye(T, dtype=bool) & must.any(axis=1, keepdims=True)
        output = layer(
            inputs,
            mask=repeated(mask, len(inputs)),
            bias=bias_of(T, T) if call["with_bias"] else None,
            use_causal_mask=call["causal"],
            return_attention_scores=call["weights"],
        )
        check(of(output, call["weights"]), must, itself)


@by_combination
def test_multi_head_attention(window, chosen):
    layer = layers.MultiHeadAttention(N, H, **attention_options(chosen, window))
    query, value = copies((T, D), (S, E))
    layer.build(query.shape, value.shape)
    randomize(layer)
    for call in calls():
        mask = mask_of(call["axes"], T, S)
        must = reading(may_read(T, S, causal=call["causal"], window=window, mask=mask))
        itself = np.eye(T, dtype=bool) & must.any(axis=1, keepdims=True)
        output = layer(
            query,
            value,
            mask=repeated(mask, len(query)),
            bias=bias_of(T, S) if call["with_bias"] else None,
            use_causal_mask=call["causal"],
            return_attention_scores=call["weights"],
        )
        none = np.zeros_like
        must, itself = np.hstack([none(itself), must]), np.hstack([itself, none(must)])
        check(of(output, call["weights"]), must, itself)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    "make",
    [
        lambda dropout: layers.AdditiveAttention(3, dropout=dropout),
        lambda dropout: layers.DotProductAttention("dot", dropout=dropout),
        lambda dropout: layers.DotProductAttention("general", dropout=dropout),
        lambda dropout: layers.DotProductAttention("scaled", dropout=dropout),
        lambda dropout: layers.ScaledDotProduct(dropout=dropout),
    ],
    ids=["additive", "dot", "general", "scaled", "ScaledDotProduct"],
)
def test_attention_with_one_head(make, dropout):
    layer = make(dropout)
    query, value = copies((T, D), (S, D))
    has_causal = not isinstance(layer, layers.AdditiveAttention)
    for call in calls(causal=(False, True) if has_causal else (False,)):
        if call["axes"] == 4 or call["with_bias"]:
            continue
        mask = mask_of(call["axes"], T, S)
        must = may_read(T, S, causal=call["causal"], mask=mask)[0, 0]
        itself = np.eye(T, dtype=bool) & must.any(axis=1, keepdims=True)
        causal = {"use_causal_mask": call["causal"]} if has_causal else {}
        output = layer(
            query,
            value,
            mask=repeated(mask, len(query)),
            return_attention_scores=call["weights"],
            **causal,
        )
        none = np.zeros_like
        must, itself = np.hstack([none(itself), must]), np.hstack([itself, none(must)])
        check(of(output, call["weights"]), must, itself)


SLOW = pytest.mark.slow
BLOCKS = {
    "plain": {},
    "dropout": {"dropout": 0.3, "attention_dropout": 0.3, "drop_path": 0.3},
    "post": {"norm_order": "post", "mlp_dropout": 0.3},
    "sandwich": {"norm_order": "sandwich", "norm": "rms_norm", "layer_scale": 0.5},
    "window": {"attention": {"window": 2, "dropout": 0.3}},
    "all": {
        "attention": {
            **attention_options([1] * len(OPTIONS), (2, 1)),
            "rotary_embedding": "made for each",
        },
        "activation": "swiglu",
    },
}
by_block_and_stack = pytest.mark.parametrize(
    "name, num_layers",
    [
        pytest.param(
            name, n, marks=() if n is None or name in ("plain", "all") else SLOW
        )
        for name in BLOCKS
        for n in (None, 2)
    ],
)


def block_options(name):
    """The arguments of a block, and the window of its attention."""
    options = {"num_heads": N, "mlp_dim": 7, **BLOCKS[name]}
    attention = dict(options.pop("attention", {}))
    if not attention:
        return options, None
    if "rotary_embedding" in attention:
        attention["rotary_embedding"] = layers.RotaryEmbedding()
    options["attention"] = layers.MultiHeadSelfAttention(N, H, **attention)
    return options, attention["window"]


@by_block_and_stack
def test_encoder(name, num_layers):
    options, window = block_options(name)
    layer = layers.TransformerEncoderBlock(**options)
    if num_layers is not None:
        bias = layers.AlibiBias(N)
        layer = layers.TransformerEncoder(layer, num_layers, position_bias=bias)
    (inputs,) = copies((T, D))
    layer(inputs)
    randomize(layer)
    for call in calls():
        mask = mask_of(call["axes"], T, T)
        allowed = may_read(T, T, causal=call["causal"], window=window, mask=mask)
        must = reading(allowed) | np.eye(T, dtype=bool)
        must = np.linalg.matrix_power(must, num_layers or 1) > 0
        output = layer(
            inputs,
            mask=repeated(mask, len(inputs)),
            bias=bias_of(T, T) if call["with_bias"] else None,
            use_causal_mask=call["causal"],
            return_attention_scores=call["weights"],
        )
        check(of(output, call["weights"]), must)


@pytest.mark.parametrize(
    "reads", [True, pytest.param(False, marks=SLOW)], ids=["cross", "alone"]
)
@by_block_and_stack
def test_decoder(name, num_layers, reads):
    """Causal unless told otherwise."""
    options, window = block_options(name)
    layer = layers.TransformerDecoderBlock(use_cross_attention=reads, **options)
    if num_layers is not None:
        bias = layers.RelativePositionBias(N, bidirectional=False)
        layer = layers.TransformerDecoder(layer, num_layers, position_bias=bias)
    inputs, encoded = copies((T, D), (S, E))
    read = {"encoder_outputs": encoded} if reads else {}
    layer(inputs, **read)
    randomize(layer)
    for call, axes in zip(
        calls(), itertools.cycle((2, 3, None, 4, None)), strict=False
    ):
        mask, encoded_mask = mask_of(call["axes"], T, T), mask_of(axes, T, S)
        if reads:
            read["encoder_outputs_mask"] = repeated(encoded_mask, len(inputs))
        causal = {} if call["causal"] else {"use_causal_mask": False}
        allowed = may_read(T, T, causal=call["causal"], window=window, mask=mask)
        by_itself = reading(allowed) | np.eye(T, dtype=bool)
        by_reading = reading(may_read(T, S, mask=encoded_mask)) & reads
        must = np.hstack([by_itself, by_reading])
        for _ in range(1, num_layers or 1):  # what the tokens read before, they know
            must = must | (by_itself.astype(int) @ must > 0)
        output = layer(
            inputs,
            mask=repeated(mask, len(inputs)),
            bias=bias_of(T, T) if call["with_bias"] else None,
            return_attention_scores=call["weights"],
            **causal,
            **read,
        )
        check(of(output, call["weights"]), must)


@pytest.mark.parametrize("weights", [False, True])
def test_attention_pooling(weights):
    layer = layers.AttentionPooling(N, dropout=0.3)
    (inputs,) = copies((S, D))
    for axes in (None, 2):
        mask = mask_of(axes, 1, S)
        output = layer(
            inputs,
            mask=repeated(mask, len(inputs)),
            return_attention_scores=weights,
        )
        must = reading(may_read(1, S, mask=mask))
        check(of(output, weights)[:, None], must)
