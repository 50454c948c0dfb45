"""Batches of strings from what Keras takes: `PyDataset`, `DataLoader`, generators."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from keras_attention.applications import BERT
from keras_attention.tokenizers.tokenizer_files import word_piece_tokenizer

pytest.importorskip("tokenizers")

WORDS = "[PAD] [UNK] [CLS] [SEP] good bad film".split()
# Two short batches of one length, then longer ones: TensorFlow must not take for fixed
# what the first two have in common.
TEXTS = ["good", "bad", "film", "bad film", "film " * 9, "good", "bad " * 14]
LABELS = np.array([1, 0, 1, 0, 1, 1, 0])
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class Batches(keras.utils.PyDataset):
    """Batches of two texts, with labels or not; it counts its epochs."""

    def __init__(self, texts, labels=None, **kwargs):
        super().__init__(**kwargs)
        self.texts, self.labels, self.epochs = texts, labels, 0

    def __len__(self):
        return -(-len(self.texts) // 2)

    def __getitem__(self, index):
        rows = slice(2 * index, 2 * index + 2)
        texts = self.texts[rows]
        return (texts,) if self.labels is None else (texts, self.labels[rows])

    def on_epoch_end(self):
        self.epochs += 1


@pytest.fixture(scope="module")
def model():
    model = BERT(
        tokenizer=word_piece_tokenizer(WORDS),
        vocabulary_size=len(WORDS),
        max_length=16,
        hidden_dim=4,
        num_layers=1,
        num_heads=1,
        mlp_dim=4,
        dropout=0.0,
        attention_dropout=0.0,
        head="classification",
        class_names=["bad", "good"],
    )
    model.compile(keras.optimizers.SGD(0.0), LOSS, metrics=["accuracy"])
    return model


def same(found, model, texts=TEXTS):
    expected = model.predict(texts, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_prepare_the_batches_of_a_data_set(model, workers):
    data = Batches(TEXTS, LABELS, workers=workers)
    expected = model.evaluate(TEXTS, LABELS, batch_size=2, verbose=0)
    history = model.fit(data, epochs=2, validation_data=data, verbose=0).history
    assert data.epochs >= 2
    np.testing.assert_allclose(history["accuracy"], [expected[1]] * 2)
    np.testing.assert_allclose(history["val_loss"], [expected[0]] * 2, rtol=1e-4)
    same(model.predict(Batches(TEXTS, workers=workers), verbose=0), model)


@pytest.mark.once
def test_a_data_set_whose_first_batch_is_the_longest(model):
    texts = TEXTS[::-1]
    same(model.predict(Batches(texts), verbose=0), model, texts)


@pytest.mark.parametrize("kind", ["tokenizer", "collate", "default"])
def test_a_loader_may_bring_strings_or_what_a_function_made_of_them(model, kind):
    torch = pytest.importorskip("torch")
    Loader = torch.utils.data.DataLoader
    if kind == "tokenizer":
        same(
            model.predict(
                Loader(TEXTS, batch_size=2, collate_fn=model.tokenizer), verbose=0
            ),
            model,
        )
        return
    options = {"collate_fn": model.collate} if kind == "collate" else {}
    names = [model.class_names[label] for label in LABELS]
    loader = Loader(list(zip(TEXTS, names, strict=True)), batch_size=2, **options)
    expected = model.evaluate(TEXTS, LABELS, batch_size=2, verbose=0)
    np.testing.assert_allclose(model.evaluate(loader, verbose=0), expected, rtol=1e-4)
    model.fit(loader, verbose=0)


def test_prepared_batches_of_many_lengths_come_from_a_generator(model):
    batches = (model.collate([(text, "bad")] * 2) for text in TEXTS)
    model.fit(batches, steps_per_epoch=len(TEXTS), shuffle=False, verbose=0)


@pytest.mark.skipif(BACKEND != "torch", reason="a process of its own for each batch")
def test_processes_of_a_loader_prepare_batches(model):
    import torch

    rows = list(zip(TEXTS, LABELS.tolist(), strict=True))
    loader = torch.utils.data.DataLoader(
        rows, batch_size=2, num_workers=1, collate_fn=model.collate
    )
    expected = model.evaluate(TEXTS, LABELS, batch_size=2, verbose=0)
    np.testing.assert_allclose(model.evaluate(loader, verbose=0), expected, rtol=1e-4)
