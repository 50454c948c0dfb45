"""Batches of pairs: each once, little padding, few shapes, and `fit` takes them."""

import itertools

import keras
import numpy as np
import pytest

from keras_attention.data import SentencePairDataset
from keras_attention.data.sentence_pair_dataset import bucket_lengths
from keras_attention.tokenizers import Vocabulary

LETTERS = Vocabulary(list("abcdefgh"), split="characters")


def make_pairs(rng, count):
    """A word of 1 to 12 letters and its first half, each pair another."""
    words = [
        "".join(rng.choice(list("abcdefgh"), n)) for n in rng.integers(1, 13, count)
    ]
    return [(word, word[: (len(word) + 1) // 2]) for word in words]


def shown(dataset):
    """The pairs of an epoch, and the shapes of its batches."""
    pairs, shapes = [], set()
    for i in range(len(dataset)):
        inputs, y = dataset[i]
        sources, targets = inputs["encoder_token_ids"], inputs["decoder_token_ids"]
        shapes.add((*sources.shape, targets.shape[1]))
        assert targets.shape == y.shape
        for source, read, predicted in zip(sources, targets, y, strict=True):
            if not predicted.any():
                continue  # fills up
            read = read[read != 0]
            predicted = predicted[predicted != 0]
            if len(read) > 1 and read[-1] == 2:
                read = read[:-1]
            np.testing.assert_array_equal(read[1:], predicted[:-1])
            pairs.append((LETTERS.decode([source])[0], LETTERS.decode([predicted])[0]))
    return pairs, shapes


@pytest.mark.once
def test_an_epoch_shows_each_pair_once(rng):
    pairs = make_pairs(rng, 101)
    dataset = SentencePairDataset(pairs, LETTERS, LETTERS, batch_size=8, num_buckets=3)
    assert len(dataset) == 13
    first, shapes = shown(dataset)
    assert sorted(first) == sorted(pairs)
    assert len(shapes) <= 3 and {shape[0] for shape in shapes} == {8}
    dataset.on_epoch_end()
    second, again = shown(dataset)
    assert sorted(second) == sorted(pairs) and second != first
    assert again <= shapes | again and len(shapes | again) <= 3


@pytest.mark.once
def test_several_epochs_may_show_all_pairs(rng):
    """13 batches in 3 parts of 4: one batch, the last, is left out of a pass."""
    pairs = make_pairs(rng, 101)
    dataset = SentencePairDataset(pairs, LETTERS, LETTERS, batch_size=8, num_parts=3)
    passes = []
    for _ in range(2):
        seen = []
        for _ in range(3):
            assert len(dataset) == 4
            seen += shown(dataset)[0]
            dataset.on_epoch_end()
        assert 93 - 8 < len(seen) <= 96 and set(seen) <= set(pairs)
        passes.append(seen)
    assert passes[0] != passes[1]


@pytest.mark.once
def test_the_same_seed_gives_the_same_batches(rng):
    pairs = make_pairs(rng, 30)
    orders = [
        shown(SentencePairDataset(pairs, LETTERS, LETTERS, 4, seed=seed))[0]
        for seed in (1, 1, 2)
    ]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.once
def test_the_first_two_batches_are_the_longest_and_the_shortest(rng):
    dataset = SentencePairDataset(make_pairs(rng, 101), LETTERS, LETTERS, batch_size=8)
    lengths = [dataset[i][0]["encoder_token_ids"].shape[1] for i in range(len(dataset))]
    assert lengths[0] == max(lengths) == 14
    assert lengths[1] == min(lengths) < 14
    assert lengths != sorted(lengths, reverse=True)


@pytest.mark.once
def test_what_fills_up_a_batch_has_no_targets():
    pairs = [("a", "b"), ("c", "d"), ("ef", "gh")]
    dataset = SentencePairDataset(pairs, LETTERS, LETTERS, batch_size=2, shuffle=False)
    inputs, y = dataset[0]  # the longest
    assert inputs["encoder_token_ids"].tolist() == [[1, 8, 9, 2]] * 2
    assert y.tolist() == [[10, 11, 2], [0, 0, 0]]


@pytest.mark.once
def test_buckets_have_the_least_padding(rng):
    lengths = rng.integers(1, 12, 40)
    values = np.unique(lengths)
    for num_buckets in (1, 2, 3, 20):
        found = bucket_lengths(lengths, num_buckets)
        assert found[-1] == lengths.max() and len(found) <= num_buckets

        def cost(bounds):
            return np.asarray(bounds)[np.searchsorted(bounds, lengths)].sum()

        k = min(num_buckets, len(values))
        least = min(
            cost([*chosen, values[-1]])
            for chosen in itertools.combinations(values[:-1], k - 1)
        )
        assert cost(found) == least


@pytest.mark.once
@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        ([], {}, "at least one pair. Received none"),
        (["ab"], {}, r"\(source, target\), two strings. Received as pair 0: 'ab'"),
        ([("a", "b"), ("a", 3)], {}, r"Received as pair 1: \('a', 3\)"),
        (
            [("a", "b")],
            {"batch_size": 0},
            "`batch_size` must be 1 or more.*batch_size=0",
        ),
        ([("a", "b")], {"num_buckets": 0}, "num_buckets=0"),
        ([("abc", "b")], {"max_length": 4}, "Text 0 needs 5 tokens"),
        ([("", "b")], {}, "Text 0 has no word"),
    ],
)
def test_what_cannot_be_batched_is_refused(pairs, options, message):
    with pytest.raises(ValueError, match=message):
        SentencePairDataset(pairs, LETTERS, LETTERS, **options)


@pytest.mark.once
def test_there_is_no_batch_beyond_the_last():
    dataset = SentencePairDataset([("a", "b")], LETTERS, LETTERS)
    with pytest.raises(IndexError, match="Batch 1 of 1"):
        dataset[1]


def test_a_model_is_fit_from_it(rng):
    """Buckets of two lengths go through one model, on every backend."""
    size = len(LETTERS)
    encoder_token_ids = keras.Input((None,), dtype="int32", name="encoder_token_ids")
    decoder_token_ids = keras.Input((None,), dtype="int32", name="decoder_token_ids")
    x = keras.layers.Embedding(size, 3)(encoder_token_ids)
    x = keras.ops.mean(x, axis=1, keepdims=True)
    y = keras.layers.Embedding(size, 3)(decoder_token_ids)
    model = keras.Model(
        {
            "encoder_token_ids": encoder_token_ids,
            "decoder_token_ids": decoder_token_ids,
        },
        keras.layers.Dense(size)(x + y),
    )
    from keras_attention.training import TokenCrossentropy

    model.compile("adam", TokenCrossentropy())
    dataset = SentencePairDataset(
        make_pairs(rng, 30), LETTERS, LETTERS, batch_size=4, num_buckets=2
    )
    history = model.fit(dataset, validation_data=dataset, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(history.history["val_loss"]).all()
    assert dataset.epoch >= 2
