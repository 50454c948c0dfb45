"""A language model whose LSTM reads its own past: trains, saves, refuses."""

import keras
import numpy as np
import pytest

from keras_attention.applications import from_preset
from keras_attention.applications import LSTMNLanguageModel
from keras_attention.training import TokenCrossentropy

SIZES = {"vocabulary_size": 7, "hidden_dim": 12, "word_dim": 5}
# What follows 4 depends on what was two tokens before.
TEXTS = np.array([[1, 5, 4, 5, 2], [1, 6, 4, 6, 2]], "int32")


@pytest.mark.compiles_much
def test_it_learns_texts_by_heart_and_comes_back_from_a_folder(tmp_path):
    model = LSTMNLanguageModel(**SIZES, num_layers=2)
    model.compile(keras.optimizers.Adam(0.03), TokenCrossentropy())
    inputs = {"token_ids": TEXTS[:, :-1]}
    model.fit(inputs, TEXTS[:, 1:], epochs=120, batch_size=2, verbose=0)
    logits = model.predict(inputs, verbose=0)
    np.testing.assert_array_equal(logits.argmax(axis=-1)[:, 1:], TEXTS[:, 2:])
    model.save_to_preset(tmp_path)
    again = from_preset(tmp_path).predict(inputs, verbose=0)
    np.testing.assert_allclose(again, logits, atol=1e-6)


@pytest.mark.once
def test_the_parameters_of_the_preset_are_counted():
    """10,000 words of 150, a layer of 300 that scores with 300, and its output."""
    model = LSTMNLanguageModel.from_preset("lstmn_penn_treebank")
    lstm = 4 * 300 * (300 + 150 + 1)
    attention = (150 + 300) * 300 + 300 * 300 + 300
    assert model.count_params() == 10000 * 150 + lstm + attention + 301 * 10000


@pytest.mark.once
@pytest.mark.parametrize("name", ["vocabulary_size", "hidden_dim", "num_layers"])
def test_impossible_sizes_are_refused(name):
    with pytest.raises(ValueError, match="must be a positive integer"):
        LSTMNLanguageModel(**{**SIZES, name: 0})
