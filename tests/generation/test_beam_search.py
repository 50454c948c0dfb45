"""Beam search, against the list of all sequences and against taking the best word."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from keras_attention.generation import beam_search

# Ids 0 padding, 1 start, 2 end; words 3 to 6.
SIZE, START, END = 7, 1, 2
WORDS = (3, 4, 5, 6)
FORBIDDEN = (0, START)


class Chain:
    """A model whose next word depends on all words before, through a small state."""

    def __init__(self, rng, batch_size=2, width=5):
        self.inputs = rng.normal(size=(SIZE, width)).astype("float32")
        self.recurrent = rng.normal(size=(width, width)).astype("float32")
        self.outputs = 2 * rng.normal(size=(width, SIZE)).astype("float32")
        self.state = rng.normal(size=(batch_size, 1, width)).astype("float32")

    def step(self, token_ids, state):
        state = ops.tanh(
            ops.matmul(state, self.recurrent) + ops.take(self.inputs, token_ids, axis=0)
        )
        return ops.matmul(state, self.outputs), state, state

    def log_probability(self, row, sequence):
        """Of a sequence with its end, by NumPy."""
        state, total, last = self.state[row, 0], 0.0, START
        for token_id in sequence:
            state = np.tanh(state @ self.recurrent + self.inputs[last])
            logits = state @ self.outputs
            total += logits[token_id] - np.log(np.exp(logits).sum())
            last = token_id
        return total

    def search(self, **options):
        options = {
            "start_id": START,
            "end_id": END,
            "forbidden_ids": FORBIDDEN,
        } | options
        state = ops.convert_to_tensor(self.state)
        return to_numpy(beam_search(self.step, state, **options))


def all_sequences(max_length):
    for length in range(max_length + 1):
        for words in itertools.product(WORDS, repeat=length):
            yield (*words, END)


@pytest.fixture
def chain(rng):
    return Chain(rng)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
def test_with_beams_enough_it_finds_the_best_of_all_sequences(chain, length_penalty):
    """85 sequences of at most 3 words: 85 beams hold them all, best first."""
    sequences = list(all_sequences(3))
    token_ids, log_probabilities, _ = chain.search(
        beam_width=len(sequences), max_length=3, length_penalty=length_penalty
    )

    def rank(row, sequence):
        penalty = ((5 + len(sequence)) / 6) ** length_penalty
        return chain.log_probability(row, sequence) / penalty

    for row in range(2):
        ranked = sorted(sequences, key=lambda s, row=row: -rank(row, s))
        for found, expected in zip(token_ids[row], ranked[:20], strict=False):
            assert tuple(found[: len(expected)]) == expected
            assert not found[len(expected) :].any()
        np.testing.assert_allclose(
            log_probabilities[row],
            [chain.log_probability(row, s) for s in ranked],
            rtol=1e-4,
        )


def test_one_beam_takes_the_most_probable_word_each_time(chain):
    token_ids, log_probabilities, _ = chain.search(beam_width=1, max_length=6)
    for row in range(2):
        state, last, written, total = chain.state[row, 0], START, [], 0.0
        while last != END:
            state = np.tanh(state @ chain.recurrent + chain.inputs[last])
            logits = state @ chain.outputs
            allowed = (END,) if len(written) == 6 else (END, *WORDS)
            last = max(allowed, key=lambda i, logits=logits: logits[i])
            total += logits[last] - np.log(np.exp(logits).sum())
            written.append(last)
        assert token_ids[row, 0, : len(written)].tolist() == written
        np.testing.assert_allclose(log_probabilities[row, 0], total, rtol=1e-5)


def fixed(*rows):
    """A model that looks at the last word only: rows are probabilities after it."""
    table = np.log(np.maximum(np.array(rows, "float32"), 1e-12))

    def step(token_ids, state):
        return ops.take(table, token_ids, axis=0), state, None

    return step


def test_a_finished_sequence_keeps_its_probability():
    """It ends with 0.6 at once; the longer one has 0.4, and nothing changes 0.6."""
    never = [0, 0, 0, 1]
    step = fixed(never, [0, 0, 0.6, 0.4], never, [0, 0, 1e-9, 1])
    token_ids, log_probabilities, kept = beam_search(
        step,
        ops.zeros((1, 1)),
        beam_width=2,
        max_length=4,
        start_id=1,
        end_id=2,
        forbidden_ids=(0, 1),
    )
    assert to_numpy(token_ids)[0].tolist() == [[2, 0, 0, 0, 0], [3, 3, 3, 3, 2]]
    np.testing.assert_allclose(
        np.exp(to_numpy(log_probabilities))[0, 0], 0.6, rtol=1e-5
    )
    assert kept is None


def test_the_length_penalty_favours_longer_sequences():
    """0.5 with one token against 0.49 with three; the third of six words ends."""
    step = fixed([0, 0, 1, 0], [0, 0, 0.5, 0.49], [0, 0, 1, 0], [0, 0, 1, 0])
    found = {}
    for length_penalty in (0.0, 1.0):
        token_ids, _, _ = beam_search(
            step,
            ops.zeros((1, 1)),
            beam_width=2,
            max_length=2,
            start_id=1,
            end_id=2,
            length_penalty=length_penalty,
        )
        found[length_penalty] = to_numpy(token_ids)[0, 0].tolist()
    assert found == {0.0: [2, 0, 0], 1.0: [3, 2, 0]}


def test_after_the_longest_length_only_the_end_may_follow(chain):
    token_ids, _, _ = chain.search(beam_width=3, max_length=2)
    assert token_ids.shape == (2, 3, 3)
    for sequence in token_ids.reshape(-1, 3).tolist():
        assert sequence.count(END) == 1
        assert not any(sequence[sequence.index(END) + 1 :])


def test_forbidden_ids_are_never_written(chain):
    token_ids, _, _ = chain.search(
        beam_width=4, max_length=3, forbidden_ids=(*FORBIDDEN, 4, 6)
    )
    assert not np.isin(token_ids, [START, 4, 6]).any()


def test_what_is_kept_belongs_to_the_sequence_that_is_returned(chain):
    """Beams change places, and what they kept goes with them."""
    token_ids, _, kept = chain.search(beam_width=3, max_length=4)
    assert kept.shape == (2, 3, 5, 5)
    for row in range(2):
        for sequence, states in zip(token_ids[row], kept[row], strict=True):
            state, last = chain.state[row, 0], START
            for token_id, found in zip(sequence, states, strict=True):
                if last in (END, 0):
                    assert not found.any()
                    continue
                state = np.tanh(state @ chain.recurrent + chain.inputs[last])
                np.testing.assert_allclose(found, state, atol=1e-5)
                last = token_id


def test_more_beams_than_sequences_are_marked_impossible(chain):
    """One word at most: five sequences for eight beams."""
    _, log_probabilities, _ = chain.search(beam_width=8, max_length=1)
    assert np.isfinite(log_probabilities[:, :5]).all()
    assert np.isneginf(log_probabilities[:, 5:]).all()


def test_compiled_it_gives_the_same(chain):
    class Search(keras.Model):
        def call(self, state):
            return list(
                beam_search(
                    chain.step,
                    state,
                    beam_width=3,
                    max_length=4,
                    start_id=START,
                    end_id=END,
                    forbidden_ids=FORBIDDEN,
                )
            )

    eager = chain.search(beam_width=3, max_length=4)
    for found, expected in zip(
        Search().predict(chain.state, verbose=0), eager, strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "`beam_width` must be a positive integer. .*beam_width=0"),
        ({"beam_width": True}, "`beam_width` must be a positive integer"),
        ({"max_length": 2.5}, "`max_length` must be a positive integer"),
        ({"length_penalty": -1.0}, "`length_penalty` must not be negative"),
    ],
)
def test_numbers_out_of_range_are_refused(chain, options, message):
    with pytest.raises(ValueError, match=message):
        chain.search(**{"beam_width": 2, "max_length": 3} | options)
