"""What is hidden from a masked language model, counted."""

import numpy as np
import pytest

from keras_attention.data import mask_tokens
from keras_attention.data import permute_tokens
from keras_attention.data.corruption import choose_spans

pytestmark = pytest.mark.once

SPECIAL = [0, 1, 2, 3, 4]  # [PAD] [UNK] [CLS] [SEP] [MASK]
LENGTH, SIZE = 42, 60


def make_rows(rng, count):
    """[CLS], 40 ordinary tokens, [SEP]; of every second row 20, and padding."""
    token_ids = rng.integers(5, SIZE, (count, LENGTH))
    token_ids[:, 0], token_ids[:, -1] = 2, 3
    token_ids[::2, 21:] = 0
    token_ids[::2, 21] = 3
    return token_ids


def mask(token_ids, **options):
    return mask_tokens(token_ids, 4, SIZE, SPECIAL, **options)


def test_15_percent_of_each_row_are_chosen(rng):
    """Of 20 tokens 3, of 40 tokens 6."""
    token_ids = make_rows(rng, 10)
    inputs, labels, weights = mask(token_ids)
    assert weights.sum(axis=1).tolist() == [3, 6] * 5
    chosen = weights == 1
    assert not np.isin(token_ids[chosen], SPECIAL).any()
    np.testing.assert_array_equal(labels, np.where(chosen, token_ids, 0))
    np.testing.assert_array_equal(inputs[~chosen], token_ids[~chosen])
    assert (inputs.dtype, labels.dtype, weights.dtype) == ("int32", "int32", "float32")


def test_of_these_80_10_and_10_percent_are_hidden_replaced_and_left(rng):
    """Of 18,000 chosen tokens; one of 55 that are drawn is what stood there."""
    token_ids = make_rows(rng, 4000)
    inputs, _, weights = mask(token_ids, seed=(1, 2))
    before, after = token_ids[weights == 1], inputs[weights == 1]
    assert len(before) == 18_000
    hidden, left = np.mean(after == 4), np.mean(after == before)
    assert hidden == pytest.approx(0.8, abs=0.01)
    assert left == pytest.approx(0.1 + 0.1 / 55, abs=0.01)
    replaced = after[(after != 4) & (after != before)]
    assert not np.isin(replaced, SPECIAL).any()
    counts = np.bincount(replaced, minlength=SIZE)[5:]
    assert counts.min() > 10 and counts.max() < 70  # 33 of each of the 55


def test_each_place_is_chosen_alike(rng):
    token_ids = make_rows(rng, 4000)[1::2]
    chosen = mask(token_ids)[2].mean(axis=0)
    assert chosen[0] == chosen[-1] == 0
    np.testing.assert_allclose(chosen[1:-1], 0.15, atol=0.035)


def test_whole_words_are_chosen(rng):
    """Words of three tokens: two of them are the 6 tokens."""
    token_ids = make_rows(rng, 9)[1::2]
    words = (np.arange(LENGTH) + 2) // 3  # [CLS] alone, then three each
    words = np.broadcast_to(words, token_ids.shape)
    weights = mask(token_ids, words=words)[2]
    assert weights[:, 1:40].reshape(-1, 13, 3).sum(axis=2).max() == 3
    for row in weights[:, 1:40].reshape(-1, 13, 3):
        assert set(row.sum(axis=1)) <= {0, 3}
    assert np.isin(weights.sum(axis=1), [6, 7]).all()  # the word before [SEP] is one


def test_the_seed_decides(rng):
    token_ids = make_rows(rng, 5)
    first, again, other = (mask(token_ids, seed=seed)[2] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_at_least_one_token_is_chosen_where_there_is_one():
    weights = mask(np.array([[2, 9, 3], [2, 3, 0]]))[2]
    assert weights.tolist() == [[0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("token_ids", "options", "message"),
    [
        ([[5]], {"rate": 0}, "`rate` must be above 0 and at most 1. Received: rate=0"),
        ([5, 6], {}, r"must be integers \(B, T\). Received: shape \(2,\), int64"),
        ([[5.0]], {}, r"Received: shape \(1, 1\), float64"),
        ([[5, 6]], {"words": [[1]]}, r"words.shape=\(1, 1\), token_ids.shape=\(1, 2\)"),
    ],
)
def test_what_cannot_be_hidden_is_told(token_ids, options, message):
    with pytest.raises(ValueError, match=message):
        mask(token_ids, **options)


def test_a_vocabulary_of_special_tokens_is_told():
    with pytest.raises(ValueError, match=r"size=3, special tokens \[0, 1, 2\]"):
        mask_tokens([[1]], mask_id=2, vocabulary_size=3, special_ids=[1])


def spans_of(starts):
    """The lengths of the spans in rows of their beginnings."""
    return [
        np.count_nonzero(row == start)
        for row in starts
        for start in np.unique(row[row >= 0])
    ]


def test_spans_are_as_long_as_the_paper_has_them():
    """Of a geometric distribution cut at 10 the mean is 3.8; the last one is cut."""
    first = np.tile(np.arange(5000), (4, 1))
    free = np.ones(first.shape, bool)
    generator = np.random.default_rng(1)
    starts = choose_spans(first, free, [400] * 4, 10, generator)
    assert ((starts >= 0).sum(axis=1) == 400).all()
    lengths = spans_of(starts)
    assert max(lengths) == 10
    assert np.mean(lengths) == pytest.approx(3.8, abs=0.3)
    for row in starts:  # each is in a row, and begins where it says
        places = np.flatnonzero(row >= 0)
        assert all(row[place] in (place, row[place - 1]) for place in places)


def test_a_span_is_of_whole_words_and_of_no_special_token(rng):
    token_ids = make_rows(rng, 200)
    token_ids[:, 10] = 3  # a separator in the middle
    words = np.arange(LENGTH) // 2 + np.zeros((200, 1), int)
    inputs, labels, weights = mask(token_ids, words=words, max_span=4, rate=0.3)
    chosen = weights == 1
    assert not np.isin(token_ids[chosen], SPECIAL).any()
    free = ~np.isin(token_ids, SPECIAL)
    for row, is_free in zip(chosen, free, strict=True):
        for word in range(LENGTH // 2):
            pair = row[2 * word : 2 * word + 2][is_free[2 * word : 2 * word + 2]]
            assert pair.all() or not pair.any()
    counts = np.rint(0.3 * free.sum(axis=1))
    assert (weights.sum(axis=1) >= counts).all()
    assert (weights.sum(axis=1) <= counts + 1).all()


def test_a_span_is_hidden_as_a_whole(rng):
    token_ids = make_rows(rng, 300)[1::2]
    inputs, _, weights = mask(token_ids, max_span=6, seed=4)
    hidden = np.mean(inputs[weights == 1] == 4)
    assert hidden == pytest.approx(0.8, abs=0.06)
    # Where a hidden token touches a chosen one, that one is mostly hidden, too.
    both = (weights[:, 1:] == 1) & (weights[:, :-1] == 1) & (inputs[:, :-1] == 4)
    assert np.mean(inputs[:, 1:][both] == 4) > 0.95


def test_spans_of_less_than_one_token_are_refused(rng):
    with pytest.raises(ValueError, match="`max_span` must be"):
        mask(make_rows(rng, 2), max_span=0)


def test_one_token_in_six_is_predicted_from_those_before_it(rng):
    """Of 20 tokens 3, of 40 tokens 7; all that is not predicted is read by all."""
    token_ids = make_rows(rng, 10)
    drawn, labels, weights = permute_tokens(token_ids, SPECIAL, seed=3)
    places, is_read = drawn["target_positions"], drawn["permutation_mask"]
    assert places.shape == labels.shape == weights.shape == (10, 7)
    assert weights.sum(axis=1).tolist() == [3, 7] * 5
    np.testing.assert_array_equal(weights == 1, places >= 0)
    for row in range(10):
        chosen = places[row, places[row] >= 0]  # in the order in which they come
        np.testing.assert_array_equal(
            labels[row, : len(chosen)], token_ids[row, chosen]
        )
        assert not np.isin(token_ids[row, chosen], SPECIAL).any()
        others = np.setdiff1d(np.arange(LENGTH), chosen)
        assert is_read[row][:, others].all()
        assert not is_read[row][np.ix_(others, chosen)].any()
        before = np.tri(len(chosen), k=-1, dtype=bool)
        np.testing.assert_array_equal(is_read[row][np.ix_(chosen, chosen)], before)


def test_what_is_predicted_comes_in_spans_and_is_another_with_another_seed(rng):
    token_ids = rng.integers(5, SIZE, (300, 60))
    drawn, _, _ = permute_tokens(token_ids, SPECIAL, longest_span=3)
    places = np.sort(drawn["target_positions"], axis=1)
    is_next = np.diff(places, axis=1) == 1
    assert 0.3 < is_next.mean() < 0.6  # one in six, were each drawn for itself
    again, _, _ = permute_tokens(token_ids, SPECIAL, longest_span=3)
    other, _, _ = permute_tokens(token_ids, SPECIAL, longest_span=3, seed=1)
    key = "target_positions"
    np.testing.assert_array_equal(again[key], drawn[key])
    assert (other[key] != drawn[key]).any(axis=1).mean() > 0.9


@pytest.mark.parametrize(
    "token_ids, options, message",
    [
        (np.ones(3, int), {}, r"integers \(B, T\). Received: shape \(3,\)"),
        (np.ones((1, 3), int), {"context": 0}, "`context` must be 1 or more"),
        (np.ones((1, 3), int), {"longest_span": 0}, "`longest_span` must be 1 or"),
    ],
)
def test_an_order_that_cannot_be_drawn_is_told(token_ids, options, message):
    with pytest.raises(ValueError, match=message):
        permute_tokens(token_ids, **options)
