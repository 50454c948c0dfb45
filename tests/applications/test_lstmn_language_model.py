"""A language model whose LSTM reads its own past: trains, saves, refuses."""

import keras
import numpy as np
import pytest

from keras_attention.applications import from_preset
from keras_attention.applications import LSTMNLanguageModel
from keras_attention.generation import BeamSearch
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import attention_maps

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


@pytest.mark.once
def test_ids_without_a_row_are_told():
    model = LSTMNLanguageModel(**SIZES)
    size = SIZES["vocabulary_size"]
    for ids in (np.full((1, 3), size), {"token_ids": np.full((1, 3), size)}):
        with pytest.raises(ValueError, match=f"`token_ids` must be .* {size - 1}"):
            model.predict(ids)


def test_it_writes_what_the_whole_model_says_follows():
    """Prompts of different lengths, by one cached step a token."""
    model = LSTMNLanguageModel(**SIZES, num_layers=2, end_id=2)
    for variable in model.trainable_variables:  # so large that words differ in logits
        variable.assign(3.0 * variable)
    prompts = [[1, 5, 4], [6], [3, 3, 4, 5, 1]]
    written, log_p, weights = model.generate(
        prompts,
        max_new_tokens=5,
        min_new_tokens=5,
        return_log_probabilities=True,
        return_attention_scores=True,
    )
    for i, prompt in enumerate(prompts):
        count = len(prompt)
        text = written[i, : count + 5]
        assert text[:count].tolist() == prompt
        inputs = {"token_ids": text[None, :-1]}
        found = log_probabilities(model.predict(inputs, verbose=0))[0, count - 1 :]
        found[:, [0, 2]] = -np.inf  # padding is never written, the end not yet
        np.testing.assert_array_equal(text[count:], found.argmax(axis=-1))
        np.testing.assert_allclose(log_p[i], found.max(axis=-1).sum(), atol=1e-4)
        for layer, maps in enumerate(attention_maps(model, inputs).values()):
            read = weights[layer, i, 0, :, : count + 4]  # (L, T)
            np.testing.assert_allclose(read, maps.weights[0, 0, count - 1 :], atol=1e-5)


def test_beams_carry_the_tapes_along():
    """Six ways to go on, each with its own past."""
    model = LSTMNLanguageModel(**SIZES)
    sampler = BeamSearch(6, num_results=6)
    texts, log_p = model.generate(
        [[1, 4]], max_new_tokens=2, sampler=sampler, return_log_probabilities=True
    )
    inputs = {"token_ids": texts[0, :, :-1]}
    found = log_probabilities(model.predict(inputs, verbose=0))[:, 1:]
    words = texts[0, :, 2:, None]
    expected = np.take_along_axis(found, words, axis=-1).sum(axis=(1, 2))
    np.testing.assert_allclose(log_p[0], expected, atol=1e-4)
    assert (np.diff(log_p[0]) <= 1e-6).all()


def log_probabilities(logits):
    logits = logits.astype("float64")
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
