"""Global and local attention, and the decoder around it (Luong et al. 2015).

B = 2 sources of S = 5 tokens of E = 7, T = 4 tokens to write, words of D = 3, a layer
of H = 6, V = 11.
"""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.layers import LuongAttention
from keras_attention.layers import LuongDecoder
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from layers.layer_table import randomize

TARGET = np.array([[1, 4, 10, 5], [1, 9, 2, 0]], "int32")
MASK = np.array([[True] * 5, [True, True, True, False, False]])
COMBINATIONS = [
    ("dot", "global"),
    ("general", "monotonic"),
    ("concat", "predictive"),
    ("concat", "global"),
    ("general", "predictive"),
]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def luong(w, score, alignment, window, query, keys, t):
    """Equations 7 to 10 for one query of one source without padding."""
    if score == "concat":
        inside = keys @ w["kernel"] + query @ w["query_kernel"]
        scores = np.tanh(inside) @ w["score_kernel"][:, 0]
    else:
        scores = keys @ (query @ w["kernel"] if score == "general" else query)
    s, center = np.arange(len(keys)), t
    if alignment == "predictive":
        s = s + 1
        inside = np.tanh(query @ w["position_kernel"]) @ w["position_output"][:, 0]
        center = len(keys) * sigmoid(inside)
    near = np.ones(len(keys), bool)
    if alignment != "global":
        near = np.abs(s - center) <= window
    weights = np.where(near, np.exp(scores), 0)
    weights = weights / weights.sum() if near.any() else weights
    if alignment == "predictive":
        weights = weights * np.exp(-((s - center) ** 2) / (2 * (window / 2) ** 2))
    return weights @ keys, weights


@pytest.mark.parametrize(("score", "alignment"), COMBINATIONS)
@pytest.mark.compiles_much
def test_attention_equals_the_equations(score, alignment, rng):
    layer = LuongAttention(score, alignment, window=2)
    query = rng.normal(size=(2, 4, 6)).astype("float32")
    value = rng.normal(size=(2, 5, 6 if score == "dot" else 7)).astype("float32")
    call = {"mask": MASK, "return_attention_scores": True}
    layer(query, value, **call)
    randomize(layer)
    output, weights = to_numpy(layer(query, value, **call))
    w = {v.name: to_numpy(v.value) for v in layer.weights}
    for b, length in enumerate((5, 3)):
        for t in range(4):
            expected, row = luong(
                w, score, alignment, 2, query[b, t], value[b, :length], t
            )
            np.testing.assert_allclose(output[b, t], expected, atol=1e-5)
            np.testing.assert_allclose(weights[b, t, :length], row, atol=1e-5)
            assert not weights[b, t, length:].any()


def test_local_attention_reads_its_window_only():
    """With equal scores, step t reads t - 1, t and t + 1 alike."""
    layer, value = LuongAttention("dot", "monotonic", window=1), np.ones((1, 6, 2))
    _, weights = layer(np.zeros((1, 3, 2)), value, return_attention_scores=True)
    third = 1 / 3
    expected = [
        [0.5, 0.5, 0, 0, 0, 0],
        [third] * 3 + [0] * 3,
        [0] + [third] * 3 + [0] * 2,
    ]
    np.testing.assert_allclose(to_numpy(weights)[0], expected, rtol=1e-6)
    far = to_numpy(layer(np.zeros((1, 1, 2)), value, positions=np.array([[9]])))
    assert not far.any()


def test_a_recorder_sees_the_weights_that_are_used(rng):
    layer = LuongAttention("general", "predictive", window=1)
    query, value = rng.normal(size=(1, 2, 3)), rng.normal(size=(1, 4, 5))
    _, weights = layer(query, value, return_attention_scores=True)
    recorder = Recorder()
    with active(recorder):
        output = layer(query, value)
    np.testing.assert_allclose(
        to_numpy(recorder.weights[0])[:, 0], to_numpy(weights), rtol=1e-6
    )
    np.testing.assert_allclose(
        to_numpy(output), to_numpy(layer(query, value)), rtol=1e-5
    )


def make(score="general", alignment="global", **options):
    options = {"cell": "cho_gru", "window": 2} | options
    return LuongDecoder(11, 6, 3, score=score, alignment=alignment, **options)


def start(decoder):
    rng = np.random.default_rng(3)
    width = 6 if decoder.score == "dot" else 7
    source = (
        rng.normal(size=(2, 5, width)).astype("float32"),
        rng.normal(size=(2, decoder.num_states, 6)).astype("float32"),
        MASK,
    )
    decoder(TARGET, *source)
    randomize(decoder)
    return [keras.ops.convert_to_tensor(x) for x in source]


def test_the_decoder_equals_the_equations():
    """Input feeding, local-p, a cell that is known by hand: one token at a time."""
    decoder = make(alignment="predictive", cell="gru")
    outputs, state, mask = start(decoder)
    logits, weights = to_numpy(
        decoder(TARGET, outputs, state, mask, return_attention_scores=True)
    )
    attention = {v.name: to_numpy(v.value) for v in decoder.attention.weights}
    combine = to_numpy(decoder.combine.kernel.value)
    W_s, b = to_numpy([v.value for v in decoder.word_output.weights])
    table = to_numpy(decoder.embedding.embeddings.value)
    cell = decoder.recurrent[0].cell
    for i, length in enumerate((5, 3)):
        s, fed = to_numpy(state)[i : i + 1, 0], np.zeros((1, 6), "float32")
        for t in range(4):
            x = np.concatenate([table[TARGET[i, t]][None], fed], axis=1)
            s = to_numpy(cell(x, [s])[0])
            keys = to_numpy(outputs)[i, :length]
            c, row = luong(attention, "general", "predictive", 2, s[0], keys, t)
            fed = np.tanh(np.concatenate([c, s[0]]) @ combine)[None].astype("float32")
            np.testing.assert_allclose(logits[i, t], (fed @ W_s + b)[0], atol=1e-5)
            np.testing.assert_allclose(weights[i, t, :length], row, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"alignment": "monotonic", "cell": "lstm", "num_layers": 2},
        {"score": "dot", "input_feeding": False},
        {"score": "concat", "alignment": "predictive"},
    ],
)
@pytest.mark.compiles_much
def test_writing_token_by_token_equals_reading_the_whole(options):
    decoder = make(**options)
    source = start(decoder)
    logits, weights = to_numpy(decoder(TARGET, *source, return_attention_scores=True))
    known, state = decoder.start(*source)
    for t in range(4):
        step, state = decoder.write(known, state, TARGET[:, t : t + 1])
        np.testing.assert_allclose(to_numpy(step)[:, 0], logits[:, t], atol=1e-5)
        row = to_numpy(decoder.attention_weights(state))[:, 0]
        np.testing.assert_allclose(row, weights[:, t], atol=1e-5)
    # Two sequences of a source, side by side: each as if alone.
    both = tuple(keras.ops.repeat(x, 2, axis=1) for x in state)
    together, _ = decoder.write(known, both, np.array([[4, 9], [5, 3]], "int32"))
    alone, _ = decoder.write(known, state, np.array([[9], [3]], "int32"))
    np.testing.assert_allclose(
        to_numpy(together)[:, 1], to_numpy(alone)[:, 0], atol=1e-6
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"score": "additive"}, "`score` must be one of"),
        ({"alignment": "local"}, "`alignment` must be one of .*'monotonic'"),
        ({"window": 0}, "`window` must be a positive integer"),
        ({"units": 0}, "`units` must be a positive integer"),
    ],
)
def test_impossible_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LuongAttention(**options)


def test_a_product_of_different_widths_is_refused():
    with pytest.raises(ValueError, match='widths 3 and 5.*Use score="general"'):
        LuongAttention("dot").build((2, 4, 3), (2, 6, 5))
