"""The LSTM that reads its own past (Cheng et al. 2016).

B = 2 texts of T = 5 tokens of D = 3, a layer of H = 4, scores of A = 6.
"""

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.layers import LSTMN
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from layers.layer_table import randomize


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def transcription(w, x):
    """Equations 4 to 9, one text."""
    h, c, summary = [], [], np.zeros(4)
    all_weights = np.zeros((len(x), len(x)))
    for t, token in enumerate(x):
        cell = np.zeros(4)
        if t > 0:
            query = np.concatenate([token, summary]) @ w["query_kernel"]
            scores = np.tanh(np.array(h) @ w["key_kernel"] + query)
            scores = scores @ w["score_kernel"][:, 0]
            weights = np.exp(scores) / np.exp(scores).sum()
            summary, cell = weights @ np.array(h), weights @ np.array(c)
            all_weights[t, :t] = weights
        gates = np.concatenate([summary, token]) @ w["kernel"] + w["bias"]
        i, f, o, new = np.split(gates, 4)
        c.append(sigmoid(f) * cell + sigmoid(i) * np.tanh(new))
        h.append(sigmoid(o) * np.tanh(c[-1]))
    return np.array(h), all_weights


@pytest.fixture
def layer(rng):
    layer = LSTMN(units=4, attention_dim=6)
    layer.build((None, None, 3))
    randomize(layer, scale=0.7)
    return layer


@pytest.fixture
def inputs(rng):
    return rng.normal(size=(2, 5, 3)).astype("float32")


def test_it_equals_the_equations_of_the_paper(layer, inputs):
    w = {v.name: to_numpy(v.value) for v in layer.weights}
    found = to_numpy(layer(inputs, return_attention_scores=True))
    for b in range(2):
        expected = transcription(w, inputs[b])
        np.testing.assert_allclose(found[0][b], expected[0], atol=1e-5)
        np.testing.assert_allclose(found[1][b], expected[1], atol=1e-5)


def test_a_token_reads_only_what_was_before_it(layer, inputs):
    _, weights = to_numpy(layer(inputs, return_attention_scores=True))
    assert not np.triu(weights).any()
    np.testing.assert_allclose(weights[:, 1:].sum(axis=-1), 1, rtol=1e-5)
    other = inputs.copy()
    other[:, 3] = 9.0
    outputs, others = to_numpy([layer(inputs), layer(other)])
    np.testing.assert_allclose(outputs[:, :3], others[:, :3], atol=1e-6)
    assert np.abs(outputs[:, 3:] - others[:, 3:]).max() > 1e-2


def test_padding_is_not_on_the_tape(layer, inputs):
    """In front, between and behind: the words are read as if it were not there."""
    mask = np.array(
        [[False, True, True, False, True], [True, True, False, True, False]]
    )
    outputs = to_numpy(layer(inputs, mask=mask))
    for b in range(2):
        alone = to_numpy(layer(inputs[b : b + 1, mask[b]]))
        np.testing.assert_allclose(outputs[b, mask[b]], alone[0], atol=1e-5)


def test_step_by_step_equals_the_whole(layer, inputs):
    outputs, weights = to_numpy(layer(inputs, return_attention_scores=True))
    state = layer.start(batch_size=2, length=7)
    places = np.arange(7)
    for t in range(5):
        readable = np.broadcast_to(places < t, (2, 7))
        hidden, state, row = layer.step(
            inputs[:, t : t + 1], state, readable, places == t
        )
        np.testing.assert_allclose(to_numpy(hidden)[:, 0], outputs[:, t], atol=1e-5)
        np.testing.assert_allclose(to_numpy(row)[:, 0, :5], weights[:, t], atol=1e-5)


def test_a_recorder_sees_the_weights(layer, inputs):
    _, weights = to_numpy(layer(inputs, return_attention_scores=True))
    recorder = Recorder()
    with active(recorder):
        layer(inputs)
    np.testing.assert_allclose(to_numpy(recorder.weights[0])[:, 0], weights, rtol=1e-6)
    assert recorder.kinds == ["self"]


@pytest.mark.parametrize("options", [{"units": 0}, {"units": 4, "attention_dim": -1}])
def test_impossible_sizes_are_refused(options):
    with pytest.raises(ValueError, match="must be a positive integer"):
        LSTMN(**options)
