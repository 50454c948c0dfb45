"""Raw inputs in `fit`, `evaluate` and `predict`: here strings of digits.

The model adds up the digits of a string, times a weight that begins at 1.
"""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from keras_attention.tasks.raw_inputs import class_ids
from keras_attention.tasks.raw_inputs import RawDataset
from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tokenizers.vocabulary import read_strings


class DigitSum(RawInputs, keras.Model):
    """Adds up digits; of each batch that it prepares it keeps the shape."""

    def __init__(self, of_tokens=False, num_outputs=1):
        digits = keras.Input((None,))
        x = digits[..., None]
        if not of_tokens:
            x = keras.ops.sum(x, axis=1)
        x = keras.layers.Dense(num_outputs, use_bias=False, kernel_initializer="ones")(
            x
        )
        super().__init__(digits, x)
        self.max_length = 40
        self.seen = Seen()

    def read_raw(self, x):
        x = read_strings(x)
        is_raw = isinstance(x, list | tuple) and all(isinstance(s, str) for s in x)
        return list(x) if is_raw else None

    def raw_lengths(self, examples):
        return [len(example) for example in examples]

    def prepare(self, examples, length=None):
        rows = np.zeros((len(examples), length), "float32")
        for row, example in zip(rows, examples, strict=True):
            row[: len(example)] = [int(digit) for digit in example]
        self.seen.batches.append((rows.shape, list(examples)))
        return rows


class Seen:
    """No list: Keras would take it for a part of the model."""

    def __init__(self):
        self.batches = []

    @property
    def shapes(self):
        return {shape for shape, _ in self.batches}

    def take(self):
        """The examples that were seen, which are forgotten."""
        found = [example for _, examples in self.batches for example in examples]
        self.batches = []
        return found


def make_texts(rng, count=101, longest=40):
    """Strings of digits, each another."""
    lengths = rng.integers(1, longest + 1, count)
    lengths[:2] = longest, 1
    texts = ["".join(map(str, rng.integers(0, 10, n))) for n in lengths]
    return [f"{text[:-2]}{i % 10}" for i, text in enumerate(texts)]


def sums_of(texts):
    return [sum(map(int, text)) for text in texts]


def shown(dataset):
    """Each batch's inputs and targets."""
    return [dataset[i] for i in range(len(dataset))]


def test_predictions_come_in_the_order_of_the_inputs(rng):
    texts = make_texts(rng)
    model = DigitSum()
    found = model.predict(texts, batch_size=8, verbose=0)
    np.testing.assert_allclose(found[:, 0], sums_of(texts))
    lengths = sorted({length for _, length in model.seen.shapes})
    assert lengths == [8, 12, 16, 24, 32, 40]  # 48 is more than the model takes
    rows = model.prepare(texts, 40)
    np.testing.assert_array_equal(model.predict(rows, verbose=0), found)
    np.testing.assert_array_equal(model.predict_on_batch(texts), found)


def test_predictions_of_tokens_are_padded_to_the_longest():
    model = DigitSum(of_tokens=True)
    found = model.predict(["12", "3", "123456789"], batch_size=2, verbose=0)
    assert found.shape == (3, 9, 1)
    assert found[1, :, 0].tolist() == [3, 0, 0, 0, 0, 0, 0, 0, 0]
    assert model.seen.shapes == {(2, 12), (1, 12)}


def test_fit_shows_each_example_once_an_epoch_in_another_order(rng):
    texts = make_texts(rng)
    model = DigitSum()
    model.compile("sgd", "mse")
    dataset = RawDataset(model, texts, np.arange(101), batch_size=8, shuffle=True)
    epochs = []
    for _ in range(3):
        batches = shown(dataset)
        order = np.concatenate([y for _, y in batches])
        assert sorted(order) == list(range(101))
        epochs.append(order.tolist())
        dataset.on_epoch_end()
    assert epochs[0] != epochs[1] != epochs[2]
    # Each row's labels are its own; one batch is short, and there is one shape of it.
    for x, y in batches:
        np.testing.assert_allclose(x.sum(axis=1), np.array(sums_of(texts))[y])
    assert {n for n, _ in model.seen.shapes} == {8, 5}
    assert len(model.seen.shapes) <= 7
    padded = sum(x.size for x, _ in batches)
    assert padded < 1.4 * sum(map(len, texts))


def test_without_shuffling_the_order_stays(rng):
    texts = make_texts(rng, 7)
    model = DigitSum()
    model.compile("sgd", "mse")
    history = model.fit(
        texts, sums_of(texts), batch_size=3, shuffle=False, epochs=2, verbose=0
    )
    assert history.history["loss"] == [0, 0]
    assert model.seen.take()[-7:] == texts
    assert {length for _, length in model.seen.shapes} <= {40}


def test_fit_learns_from_strings_what_it_learns_from_arrays(rng):
    texts = make_texts(rng, 12)
    y, weights = np.array(sums_of(texts)) * 2.0, rng.uniform(size=12)
    found = []
    for x in (texts, DigitSum().prepare(texts, 40)):
        model = DigitSum()
        model.compile(keras.optimizers.SGD(1e-4), "mse", weighted_metrics=["mae"])
        model.fit(x, y, 12, 3, sample_weight=weights, verbose=0)  # as Keras has them
        found.append([*model.evaluate(x, y, 5, 0, weights), model.get_weights()])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)


def test_part_of_the_data_validates(rng):
    texts = make_texts(rng, 11)
    y = np.array(sums_of(texts), float)
    y[8:] += 3  # the last 30% have another target
    model = DigitSum()
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    history = model.fit(
        texts, y, validation_split=0.25, batch_size=4, epochs=2, verbose=0
    ).history
    assert history["loss"] == [0, 0] and history["val_loss"] == [9, 9]


def test_validation_data_may_be_raw_or_prepared(rng):
    texts = make_texts(rng, 11)
    y = np.array(sums_of(texts), float)
    model = DigitSum()
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    rows = model.prepare(texts, 40)
    weights = np.array([1.0, 0.0])
    for train, validation in (
        ((texts, y), (texts[:2], y[:2] + [2, 5], weights)),
        ((texts, y), (rows[:2], y[:2] + [2, 5], weights)),
        ((rows, y), (texts[:2], y[:2] + [2, 5], weights)),
        ((texts, y), RawDataset(model, texts[:1], y[:1] + [2**0.5])),
    ):
        history = model.fit(*train, validation_data=validation, verbose=0).history
        np.testing.assert_allclose(history["val_loss"], [2], rtol=1e-5)


def test_steps_may_be_less_than_an_epoch(rng):
    texts = make_texts(rng, 40)
    y = sums_of(texts)
    model = DigitSum()
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    history = model.fit(texts, y, batch_size=4, steps_per_epoch=3, epochs=2, verbose=0)
    assert history.history["loss"] == [0, 0]
    found = model.predict(texts, batch_size=4, steps=2, verbose=0)
    np.testing.assert_allclose(found[:, 0], y[:8])


class Named(DigitSum):
    """Two classes, of which the second is the one with a sum above 0."""

    def __init__(self):
        super().__init__(num_outputs=2)
        self.class_names = ["none", "some"]


def test_labels_may_be_names_and_classes_may_weigh():
    model = Named()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(
        keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], run_eagerly=True
    )
    texts, names = ["0", "00", "0"], ["none", "none", "some"]
    for y in (names, np.array(names), np.array([0, 0, 1])):
        loss, accuracy = model.evaluate(texts, y, verbose=0)
        np.testing.assert_allclose([loss, accuracy], [np.log(2), 2 / 3], rtol=1e-5)
    weighted = model.fit(texts, names, class_weight={"none": 3, "some": 0}, verbose=0)
    expected = 2 * np.log(2)
    np.testing.assert_allclose(weighted.history["loss"], [expected], rtol=1e-5)
    found = model.train_on_batch(texts, names, class_weight={"none": 3, "some": 0})
    np.testing.assert_allclose(found[0], expected, rtol=1e-5)
    found = model.test_on_batch(texts, names)
    np.testing.assert_allclose(found[0], np.log(2), rtol=1e-5)


BATCHES = [
    (["1", "23"], np.array([1.0, 5.0])),
    (["45", "6"], np.array([9.0, 6.0])),
    (["123456789"], np.array([45.0 + 3])),
]


def tf_dataset():
    tf = pytest.importorskip("tensorflow")
    texts = [text for batch, _ in BATCHES for text in batch]
    y = np.concatenate([y for _, y in BATCHES])
    return tf.data.Dataset.from_tensor_slices((texts, y)).batch(2)


def data_loader():
    torch = pytest.importorskip("torch")
    pairs = [pair for x, y in BATCHES for pair in zip(x, y, strict=True)]
    return torch.utils.data.DataLoader(pairs, batch_size=2)


@pytest.mark.parametrize("make", [tf_dataset, data_loader])
def test_streams_of_strings_are_prepared(make):
    """The first two batches are of one length, the third is of another."""
    model = DigitSum()
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    history = model.fit(make(), epochs=2, validation_data=make(), verbose=0).history
    assert history["loss"] == history["val_loss"] and len(history["loss"]) == 2
    np.testing.assert_allclose(model.evaluate(make(), verbose=0), 9 / 5)
    found = model.predict(make(), verbose=0)
    np.testing.assert_allclose(found[:, 0], [1, 5, 9, 6, 45])
    assert {length for _, length in model.seen.shapes} == {8, 12}


def test_a_generator_of_strings_is_prepared():
    model = DigitSum()
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)

    def endless():
        while True:
            yield from BATCHES

    history = model.fit(endless(), steps_per_epoch=3, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["loss"], [9 / 5] * 2)
    found = model.predict((x for x, _ in BATCHES), steps=3, verbose=0)
    np.testing.assert_allclose(found[:, 0], [1, 5, 9, 6, 45])


def test_prepared_streams_go_through():
    model = DigitSum()
    model.compile(keras.optimizers.SGD(0.0), "mse", run_eagerly=True)
    arrays = [(model.prepare(x, 16), y) for x, y in BATCHES]
    model.seen.take()
    batches = (batch for batch in arrays)
    history = model.fit(batches, steps_per_epoch=3, shuffle=False, verbose=0).history
    np.testing.assert_allclose(history["loss"], [9 / 5])
    if BACKEND == "tensorflow":
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices(arrays[0]).batch(2)
        assert model.evaluate(dataset, verbose=0) == 0
    assert model.seen.take() == []


def test_what_cannot_be_used_is_told():
    model = Named()
    model.compile("sgd", "mse")
    for x, y, message in (
        ([], [], "At least one example is needed. Received none"),
        (["1", "2"], [1], "2 examples and 1 entries"),
        (["1"], ["many"], r"one of \['none', 'some'\]. Received 'many' at position 0"),
        (["1", "2"], [1, 2], "from 0 to 1, as the model has 2 classes. Received 2 at"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(x, y)
    with pytest.raises(ValueError, match="`batch_size` must be 1 or more"):
        model.predict(["1"], batch_size=0)
    with pytest.raises(ValueError, match="`sample_weight` must hold one entry for"):
        model.evaluate(["1"], [1], sample_weight=[1, 2])
    with pytest.raises(ValueError, match="validation_split=0.9 of 2 examples"):
        model.fit(["1", "2"], [1, 0], validation_split=0.9)
    with pytest.raises(ValueError, match="such as 'a', but the model has none"):
        class_ids(["a"])
