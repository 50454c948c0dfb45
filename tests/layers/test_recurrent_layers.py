"""The recurrent encoder and the decoders that write from what it read.

B = 2 sources of S = 5 tokens, T = 4 tokens to write, words of D = 3, layers of H = 6,
V = 11 tokens to write and 9 to read.
"""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.layers import BahdanauDecoder
from keras_attention.layers import RNNDecoder
from keras_attention.layers import RNNEncoder
from keras_attention.layers.cho_gru_cell import ChoGRUCell
from layers.layer_table import randomize

SOURCE = np.array([[1, 4, 8, 5, 2], [1, 7, 2, 0, 0]], "int32")
TARGET = np.array([[1, 4, 10, 5], [1, 9, 2, 0]], "int32")
SIZES = {"hidden_dim": 6, "word_dim": 3}


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def named_weights(layer):
    """By what follows the layer's name in their path."""
    return {w.path.split("/", 1)[-1]: to_numpy(w.value) for w in layer.weights}


def cho_unit(w, x, h):
    """Appendix A.1.1: W, W_z and W_r beside each other, and so with U."""
    n = h.shape[-1]
    W_z, W_r, W = w["kernel"][:, :n], w["kernel"][:, n : 2 * n], w["kernel"][:, 2 * n :]
    U_z, U_r, U = w["gate_kernel"][:, :n], w["gate_kernel"][:, n:], w["state_kernel"]
    b_z, b_r, b = np.split(w["bias"], 3)
    z = sigmoid(x @ W_z + h @ U_z + b_z)
    r = sigmoid(x @ W_r + h @ U_r + b_r)
    proposal = np.tanh(x @ W + (r * h) @ U + b)
    return (1 - z) * h + z * proposal


def part(weights, prefix):
    return {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)}


def test_the_unit_of_cho_equals_its_equations(rng):
    cell = ChoGRUCell(6)
    x, h = rng.normal(size=(2, 3)), rng.normal(size=(2, 6))
    cell.build((None, 3))
    randomize(cell)
    found, states = cell(x.astype("float32"), [h.astype("float32")])
    weights = {w.name: to_numpy(w.value) for w in cell.weights}
    np.testing.assert_allclose(to_numpy(found), cho_unit(weights, x, h), atol=1e-5)
    assert states[0] is found


def test_a_unit_that_renews_nothing_keeps_its_state():
    """With a large negative bias of the update gate, which Keras's unit turns round."""
    cell = ChoGRUCell(1)
    cell.build((None, 1))
    cell.bias.assign([-50.0, 0.0, 0.0])
    found, _ = cell(np.ones((1, 1), "float32"), [np.full((1, 1), 0.7, "float32")])
    np.testing.assert_allclose(to_numpy(found), [[0.7]], rtol=1e-6)


def bahdanau(encoder, decoder, source, target):
    """Appendix A of the paper, one sentence and one word at a time."""
    all_logits = np.zeros((*target.shape, 11))
    all_weights = np.zeros((*target.shape, source.shape[1]))
    w = decoder
    for b, ids in enumerate(source):
        ids = ids[ids != 0]
        x = encoder["embedding/embeddings"][ids]
        forward, backward = [np.zeros(6)], [np.zeros(6)]
        for s in range(len(ids)):
            unit = part(encoder, "forward_0/cho_gru_cell/")
            forward.append(cho_unit(unit, x[s], forward[-1]))
            unit = part(encoder, "backward_0/cho_gru_cell/")
            backward.append(cho_unit(unit, x[-1 - s], backward[-1]))
        h = np.concatenate([forward[1:], backward[:0:-1]], axis=1)  # (S, 2 H)
        s = np.tanh(backward[-1] @ w["state_kernel"][0] + w["state_bias"][0])
        for t, token_id in enumerate(target[b]):
            y = w["embedding/embeddings"][token_id]
            inside = h @ w["attention/key_kernel"] + s @ w["attention/query_kernel"]
            scores = np.tanh(inside) @ w["attention/score_kernel"][:, 0]
            alpha = np.exp(scores) / np.exp(scores).sum()
            c = alpha @ h
            u = np.concatenate([s, y, c]) @ w["readout/kernel"] + w["readout/bias"]
            maxout = np.array([max(u[2 * j], u[2 * j + 1]) for j in range(len(u) // 2)])
            all_logits[b, t] = maxout @ w["word_output/kernel"] + w["word_output/bias"]
            all_weights[b, t, : len(ids)] = alpha
            unit = part(w, "cho_gru_0/cho_gru_cell/")
            s = cho_unit(unit, np.concatenate([y, c]), s)
    return all_logits, all_weights


def test_encoder_and_decoder_equal_the_appendix_of_bahdanau():
    encoder = RNNEncoder(9, **SIZES, cell="cho_gru", bidirectional=True)
    decoder = BahdanauDecoder(11, **SIZES, attention_dim=7, readout_dim=4)
    outputs, state = encoder(SOURCE, return_state=True)
    mask = SOURCE != 0
    source = {"encoder_outputs_mask": mask, "return_attention_scores": True}
    decoder(TARGET, outputs, state[:, :, 6:], **source)
    randomize(encoder, seed=1)
    randomize(decoder, seed=2)
    outputs, state = encoder(SOURCE, return_state=True)
    found = decoder(TARGET, outputs, state[:, :, 6:], **source)
    expected = bahdanau(named_weights(encoder), named_weights(decoder), SOURCE, TARGET)
    np.testing.assert_allclose(to_numpy(found[0]), expected[0], atol=1e-5)
    np.testing.assert_allclose(to_numpy(found[1]), expected[1], atol=1e-5)


@pytest.mark.parametrize("reverse", [False, True])
def test_an_encoder_of_one_direction_reads_step_by_step(reverse):
    """Sutskever's, in either order: what comes out of a word stays at its place."""
    encoder = RNNEncoder(9, **SIZES, num_layers=2, cell="lstm", reverse=reverse)
    encoder(SOURCE)
    randomize(encoder)
    outputs, state = to_numpy(encoder(SOURCE, return_state=True))
    embedded = to_numpy(encoder.embedding(SOURCE))
    for b, length in enumerate((5, 3)):
        first = [np.zeros((1, 6), "float32")] * 2
        second = list(first)
        order = range(length)[:: -1 if reverse else 1]
        for s in order:
            h, first = encoder.forwards[0].cell(embedded[b : b + 1, s], first)
            h, second = encoder.forwards[1].cell(h, second)
            np.testing.assert_allclose(outputs[b, s], to_numpy(h)[0], atol=1e-5)
        states = np.concatenate(to_numpy([*first, *second]))  # (4, 6)
        np.testing.assert_allclose(state[b], states, atol=1e-5)


@pytest.mark.parametrize("cell", ["lstm", "cho_gru"])
def test_padding_of_the_source_is_not_read(cell):
    """Neither its vectors nor how much of it there is, in front or behind."""
    encoder = RNNEncoder(9, **SIZES, num_layers=2, cell=cell, bidirectional=True)
    outputs, state = to_numpy(encoder(SOURCE, return_state=True))
    table = to_numpy(encoder.embedding.embeddings.value)
    table[0] = 5.0
    encoder.embedding.embeddings.assign(table)
    longer = np.pad(SOURCE, ((0, 0), (2, 1)))
    others, same = to_numpy(encoder(longer, return_state=True))
    np.testing.assert_allclose(same, state, atol=1e-6)
    others = others[:, 2:-1]
    np.testing.assert_allclose(others[SOURCE != 0], outputs[SOURCE != 0], atol=1e-6)
    np.testing.assert_array_equal(to_numpy(encoder.compute_mask(SOURCE)), SOURCE != 0)


DECODERS = {
    "RNNDecoder": lambda: RNNDecoder(11, **SIZES, num_layers=2, cell="gru"),
    "repeat_context": lambda: RNNDecoder(11, **SIZES, repeat_context=True),
    "BahdanauDecoder": lambda: BahdanauDecoder(11, **SIZES, num_layers=2, cell="lstm"),
}
by_name = pytest.mark.parametrize("name", DECODERS)


def start(name):
    """A decoder with random weights, and what it is called with."""
    rng = np.random.default_rng(3)
    decoder = DECODERS[name]()
    width = 6 if name == "RNNDecoder" else 8
    source = [rng.normal(size=(2, decoder.num_states, width)).astype("float32")]
    if decoder.has_attention:
        source.insert(0, rng.normal(size=(2, 5, 7)).astype("float32"))
        source.append(SOURCE != 0)
    decoder(TARGET, *source)
    randomize(decoder)
    return decoder, [keras.ops.convert_to_tensor(x) for x in source]


@by_name
def test_writing_token_by_token_equals_reading_the_whole(name):
    decoder, source = start(name)
    logits = to_numpy(decoder(TARGET, *source))
    known, state = decoder.start(*source)
    for t in range(4):
        step, state = decoder.write(known, state, TARGET[:, t : t + 1])
        np.testing.assert_allclose(to_numpy(step)[:, 0], logits[:, t], atol=1e-5)
    shapes = {tuple(x.shape)[:2] for x in keras.tree.flatten(state)}
    assert shapes == {(2, 1)}


@by_name
@pytest.mark.compiles_much
def test_two_sequences_of_a_source_are_written_side_by_side(name):
    """K beams give what each of them gives alone."""
    decoder, source = start(name)
    known, state = decoder.start(*source)
    both = tuple(keras.ops.repeat(x, 2, axis=1) for x in state)
    token_ids = np.array([[4, 9], [5, 3]], "int32")
    logits, _ = decoder.write(known, both, token_ids)
    for k in range(2):
        alone, _ = decoder.write(known, state, token_ids[:, k : k + 1])
        np.testing.assert_allclose(
            to_numpy(logits)[:, k], to_numpy(alone)[:, 0], atol=1e-6
        )


@by_name
@pytest.mark.compiles_much
def test_a_token_changes_nothing_before_it(name):
    decoder, source = start(name)
    other = TARGET.copy()
    other[:, 2] = 8
    logits, others = to_numpy([decoder(TARGET, *source), decoder(other, *source)])
    np.testing.assert_allclose(logits[:, :2], others[:, :2], atol=1e-6)
    assert np.abs(logits[:, 2:] - others[:, 2:]).max() > 1e-3


def test_what_is_read_is_a_set():
    """Moving the source moves the weights along, and changes no logit."""
    decoder, (outputs, state, _) = start("BahdanauDecoder")
    order = np.array([3, 0, 4, 1, 2])
    asked = {"return_attention_scores": True}
    logits, weights = to_numpy(decoder(TARGET, outputs, state, **asked))
    moved = to_numpy(outputs)[:, order]
    others, along = to_numpy(decoder(TARGET, moved, state, **asked))
    np.testing.assert_allclose(others, logits, atol=1e-5)
    np.testing.assert_allclose(along, weights[:, :, order], atol=1e-5)


def test_hidden_sources_get_no_weight():
    decoder, source = start("BahdanauDecoder")
    _, weights = to_numpy(decoder(TARGET, *source, return_attention_scores=True))
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert not weights[1, :, 3:].any()


def test_a_state_of_another_depth_is_refused():
    with pytest.raises(ValueError, match=r"state.shape=\(2, 3, 6\).*expected n=2"):
        RNNDecoder(11, **SIZES).build((2, 4), (2, 3, 6))


def test_source_and_target_of_different_sizes_are_refused():
    decoder, (outputs, state, _) = start("BahdanauDecoder")
    with pytest.raises(ValueError, match=r"same batch size.*\(1, 4\).*\(2, 5, 7\)"):
        decoder(TARGET[:1], outputs, state)


@pytest.mark.parametrize("layer", [RNNEncoder, RNNDecoder, BahdanauDecoder])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_dim": 0}, "`hidden_dim` must be a positive integer"),
        ({"num_layers": 1.5}, "`num_layers` must be a positive integer"),
        ({"cell": "rnn"}, "`cell` must be one of .*'cho_gru'"),
        ({"dropout": 1.0}, "`dropout` must be at least 0 and less than 1"),
    ],
)
def test_impossible_arguments_are_refused(layer, options, message):
    with pytest.raises(ValueError, match=message):
        layer(**{"vocabulary_size": 9, **SIZES, **options})


def test_an_attention_without_width_is_refused():
    with pytest.raises(ValueError, match="`attention_dim` must be a positive integer"):
        BahdanauDecoder(11, **SIZES, attention_dim=0)
