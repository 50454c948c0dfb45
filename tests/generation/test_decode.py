"""The loop, samplers and rules, on models whose answers are known."""

import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from keras_attention.generation import BeamSearch
from keras_attention.generation import decode
from keras_attention.generation import Greedy
from keras_attention.generation import RandomSampler
from keras_attention.generation import Sampler
from keras_attention.generation.decode import random_numbers
from keras_attention.generation.samplers import get_sampler

# Ids 0 padding, 1 start, 2 end, then words.
START, END = 1, 2


def table(rows):
    """A model that looks at the last token only: rows of probabilities after each."""
    logits = np.log(np.maximum(np.array(rows, "float32"), 1e-12))

    def step(token_ids, state):
        return ops.take(ops.convert_to_tensor(logits), token_ids, axis=0), state, None

    return step


def counting(size=7):
    """After a token its successor is the most probable, then the one after that."""
    rows = np.full((size, size), 0.01)
    for i in range(size):
        rows[i, (i + 1) % size] = 0.5
        rows[i, (i + 2) % size] = 0.3
    return table(rows)


def write(step, rows=1, **options):
    state = ops.zeros((rows, 1, 1))
    return to_numpy(decode(step, state, **{"start_id": START, **options})[:2])


def test_greedy_takes_the_most_probable():
    token_ids, log_p = write(counting(), max_length=8, rows=2)
    assert token_ids.tolist() == [[[2, 3, 4, 5, 6, 0, 1, 2]]] * 2
    np.testing.assert_allclose(log_p, [[8 * np.log(0.5 / 0.85)]] * 2, rtol=1e-3)


def test_an_end_is_followed_by_padding():
    token_ids, log_p = write(counting(), max_length=5, end_ids=(4, 6), padding_id=3)
    assert token_ids.tolist() == [[[2, 3, 4, 3, 3]]]
    np.testing.assert_allclose(log_p, [[3 * np.log(0.5 / 0.85)]], rtol=1e-3)


def test_each_row_begins_with_its_own_token():
    token_ids, _ = write(counting(), rows=2, max_length=2, start_id=np.array([1, 4]))
    assert token_ids.tolist() == [[[2, 3]], [[5, 6]]]


def test_before_the_least_length_nothing_ends():
    """Token 4 is skipped for the next probable, 5, while it may not come."""
    token_ids, _ = write(counting(), max_length=6, end_ids=(4,), min_length=3)
    assert token_ids[0, 0].tolist() == [2, 3, 5, 6, 0, 1]
    token_ids, _ = write(counting(), max_length=6, end_ids=(4,), min_length=2)
    assert token_ids[0, 0].tolist() == [2, 3, 4, 0, 0, 0]


def test_what_is_forbidden_is_not_written():
    token_ids, _ = write(counting(), max_length=4, forbidden_ids=(3, 5))
    assert token_ids[0, 0].tolist() == [2, 4, 6, 0]


@pytest.mark.parametrize("options", [{}, {"top_k": 4}, {"top_p": 0.9}, {"min_p": 0.1}])
@pytest.mark.parametrize("temperature", [1e-3, 1e-8, 1e-45])
def test_however_cold_a_sampler_takes_the_most_probable(temperature, options):
    """Logits of 50 and more, over 1e-8, are no numbers of float32 any more."""
    scores = np.array([[[-70.0, 52.0, -np.inf, 51.0, 60.0, 3.0]]], "float32")
    sampler = RandomSampler(temperature=temperature, seed=1, **options)
    for uniform in (0.0, 0.5, 0.999999):
        chosen = sampler.choose(ops.convert_to_tensor(scores), np.array([[uniform]]))
        assert to_numpy(chosen).tolist() == [[4]]


def test_stop_sequences_end_a_text():
    token_ids, _ = write(counting(), max_length=7, stop_sequences=((5, 6), (6, 5)))
    assert token_ids[0, 0].tolist() == [2, 3, 4, 5, 6, 0, 0]


def test_what_was_written_loses_by_the_repetition_penalty():
    """Logits 2 and 1.5: halved, the first loses. A negative one is doubled."""

    def step(token_ids, state):
        logits = np.array([[[-9.0, -9.0, 2.0, 1.5, -0.5]]], "float32")
        return ops.convert_to_tensor(logits), state, None

    token_ids, _ = write(step, max_length=4, repetition_penalty=2.0)
    assert token_ids[0, 0].tolist() == [2, 3, 2, 2]
    token_ids, _ = write(step, max_length=4, repetition_penalty=1.25)
    assert token_ids[0, 0].tolist() == [2, 2, 2, 2]
    token_ids, _ = write(step, max_length=3, repetition_penalty=9.0)
    assert token_ids[0, 0].tolist() == [2, 3, 2]


@pytest.mark.compiles_much
def test_no_run_of_tokens_comes_twice():
    """After 3 comes 4, then 3 again; the second 3 must go on with another."""
    step = table(
        [
            [0.01, 0.01, 0.01, 0.9, 0.01, 0.06],
            [0.01, 0.01, 0.01, 0.9, 0.01, 0.06],
            [0.01, 0.01, 0.01, 0.9, 0.01, 0.06],
            [0.01, 0.01, 0.01, 0.01, 0.9, 0.06],
            [0.01, 0.01, 0.01, 0.9, 0.01, 0.06],
            [0.01, 0.01, 0.01, 0.9, 0.01, 0.06],
        ]
    )
    assert write(step, max_length=5)[0][0, 0].tolist() == [3, 4, 3, 4, 3]
    found = write(step, max_length=5, no_repeat_ngram_size=2)[0][0, 0]
    assert found.tolist() == [3, 4, 3, 5, 3]
    found = write(step, max_length=5, no_repeat_ngram_size=3)[0][0, 0]
    assert found.tolist() == [3, 4, 3, 4, 5]
    found = write(step, max_length=4, no_repeat_ngram_size=1)[0][0, 0]
    assert found[:3].tolist() == [3, 4, 5]
    assert len(set(found.tolist())) == 4


@pytest.mark.compiles_much
def test_beams_see_the_rules_of_their_own_past():
    found, _ = write(
        counting(),
        max_length=9,
        sampler=BeamSearch(3),
        no_repeat_ngram_size=1,
        end_ids=(),
    )
    assert all(len(set(row[:7])) == 7 for row in found[0].tolist()[:1])


def test_one_beam_is_greedy():
    options = {"max_length": 6, "end_ids": (5,)}
    greedy = write(counting(), **options)
    one = write(counting(), sampler=BeamSearch(1), **options)
    for expected, found in zip(greedy, one, strict=True):
        np.testing.assert_allclose(found, expected)


def test_what_a_step_keeps_comes_out_for_each_token():
    def step(token_ids, state):
        keep = ops.stack([token_ids, token_ids + 10], axis=-1)
        return counting()(token_ids, state)[0], state, keep

    _, _, kept = decode(step, ops.zeros((1, 1)), max_length=4, start_id=1, end_ids=(4,))
    assert to_numpy(kept).tolist() == [[[[1, 11], [2, 12], [3, 13], [0, 0]]]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.1, 0.2, 0.3, 0.4]),
        ({"top_k": 2}, [0, 0, 3 / 7, 4 / 7]),
        ({"top_p": 0.7}, [0, 0, 3 / 7, 4 / 7]),
        ({"top_p": 0.71}, [0, 2 / 9, 3 / 9, 4 / 9]),
        ({"min_p": 0.6}, [0, 0, 3 / 7, 4 / 7]),
        ({"top_k": 3, "min_p": 0.6}, [0, 0, 3 / 7, 4 / 7]),
        ({"temperature": 0.5}, [1 / 30, 4 / 30, 9 / 30, 16 / 30]),
    ],
)
def test_a_random_sampler_draws_by_these_probabilities(options, expected):
    """A thousand numbers from 0 to 1, evenly: the shares are the probabilities."""
    scores = np.tile(np.log(np.array([0.1, 0.2, 0.3, 0.4], "float32")), (1000, 1, 1))
    uniform = ((np.arange(1000) + 0.5) / 1000).astype("float32")[:, None]
    chosen = RandomSampler(**options).choose(
        ops.convert_to_tensor(scores), ops.convert_to_tensor(uniform)
    )
    shares = np.bincount(to_numpy(chosen)[:, 0], minlength=4) / 1000
    np.testing.assert_allclose(shares, expected, atol=2e-3)


def test_the_last_number_draws_what_is_possible():
    scores = np.array([[[0.0, 0.0, -np.inf]]], "float32")
    uniform = np.array([[1 - 2**-24]], "float32")
    assert int(RandomSampler().choose(scores, uniform)[0, 0]) == 1


def test_the_same_seed_draws_the_same_in_each_row_of_a_batch():
    sampler = RandomSampler(seed=3)
    numbers = random_numbers(sampler, 3, 5)
    np.testing.assert_array_equal(numbers[:2], random_numbers(sampler, 2, 5))
    assert len(np.unique(numbers)) == 15
    assert (random_numbers(RandomSampler(seed=4), 3, 5) != numbers).all()
    assert random_numbers(Greedy(), 3, 5) is None


def test_a_sampler_of_ones_own():
    class Second(Sampler):
        def choose(self, scores, uniform):
            return ops.top_k(scores, 2)[1][..., 1]

    token_ids, _ = write(counting(), max_length=3, sampler=Second())
    assert token_ids[0, 0].tolist() == [3, 5, 0]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BeamSearch(0), "`beam_width` must be a positive integer"),
        (lambda: BeamSearch(2, num_results=3), "`num_results` must not exceed"),
        (lambda: BeamSearch(2, length_penalty=-1), "`length_penalty` must not be neg"),
        (lambda: RandomSampler(temperature=0), "`temperature` must be positive"),
        (lambda: RandomSampler(temperature=-1.0), "take Greedy()"),
        (lambda: RandomSampler(top_p=0.0), "`top_p` must be above 0 and at most 1"),
        (lambda: RandomSampler(top_p=1.5), "top_p=1.5"),
        (lambda: RandomSampler(min_p=2), "`min_p` must be above 0"),
        (lambda: RandomSampler(top_k=0), "`top_k` must be a positive integer"),
        (lambda: RandomSampler(seed="a"), "`seed` must be an integer"),
        (lambda: get_sampler("best"), r"`sampler` must be one of .*'greedy'"),
        (lambda: write(None, max_length=0), "`max_length` must be a positive integer"),
        (lambda: write(None, max_length=1, min_length=-1), "`min_length` must be an i"),
        (
            lambda: write(None, max_length=1, repetition_penalty=0),
            "`repetition_penalty` must be positive",
        ),
        (
            lambda: write(None, max_length=1, no_repeat_ngram_size=1.5),
            "`no_repeat_ngram_size` must be an integer",
        ),
        (
            lambda: write(None, max_length=1, stop_sequences=((),)),
            "A stop sequence must not be empty",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
