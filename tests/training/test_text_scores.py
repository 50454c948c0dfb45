"""Scores of what a model writes: logged, so that other callbacks watch them."""

import keras
import numpy as np
import pytest

from keras_attention.training import chrf
from keras_attention.training import TextScores


class Writer(keras.Sequential):
    """Writes "A B", and "A C" from the third time."""

    times = 0

    def translate(self, inputs, beam_width, length_penalty=0.0):
        self.asked = (list(inputs), beam_width, length_penalty)
        self.times += 1
        return ["A B" if self.times < 3 else "A C" for _ in inputs]


def fit(callbacks, epochs):
    model = Writer([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = np.ones((2, 2)), np.ones((2, 1))
    history = model.fit(x, y, epochs=epochs, callbacks=callbacks, verbose=0)
    return model, history.history


def test_scores_are_logged_and_watched():
    """The second word is wrong until the third epoch, which early stopping sees."""
    scores = TextScores(
        ["x", "y"],
        ["A C", ["A C", "A D"]],
        scores=["token_error_rate", "sequence_error_rate"],
        beam_width=2,
    )
    stop = keras.callbacks.EarlyStopping(
        "val_token_error_rate", mode="min", baseline=10.0, patience=3
    )
    best = keras.callbacks.EarlyStopping(
        "val_sequence_error_rate", mode="min", patience=1, start_from_epoch=2
    )
    model, history = fit([scores, stop, best], epochs=9)
    assert history["val_token_error_rate"] == [50.0, 50.0, 0.0, 0.0]
    assert history["val_sequence_error_rate"] == [100.0, 100.0, 0.0, 0.0]
    assert model.asked == (["x", "y"], 2, 0.0)
    assert scores.seconds > 0


@pytest.mark.once
def test_in_the_epochs_between_the_last_scores_stand():
    scores = TextScores(["x"], ["A C"], scores="token_error_rate", every=2)
    model, history = fit([scores], epochs=6)
    assert model.times == 3
    assert history["val_token_error_rate"] == [50.0, 50.0, 50.0, 50.0, 0.0]


@pytest.mark.once
def test_a_function_may_be_a_score():
    scores = TextScores(
        ["x"], ["ref"], scores={"length": lambda texts, _: len(texts[0])}
    )
    assert scores.score(["four"]) == {"val_length": 4.0}


@pytest.mark.once
def test_bleu_and_chrf_of_a_right_text_are_100():
    pytest.importorskip("sacrebleu")
    text = "the red cat sleeps"
    scores = TextScores(["x"], [["a dog", text]]).score([text])
    assert scores == pytest.approx({"val_bleu": 100, "val_chrf": 100})


@pytest.mark.once
def test_chrf_by_hand():
    """Of `ab` against `ac` one of two letters is right, and no pair of two."""
    pytest.importorskip("sacrebleu")
    import sacrebleu

    expected = sacrebleu.sentence_chrf("ab", ["ac"]).score
    assert chrf(["ab"], ["ac"]) == pytest.approx(expected)
    assert 0 < expected < 50
    with pytest.raises(ValueError, match="Received: 1 texts, 2 references"):
        chrf(["a"], ["a", "b"])


@pytest.mark.once
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((["x"], []), "Received: 1 inputs, 0 references"),
        ((["x"], ["y"], ["rouge"]), r"'token_error_rate', .* Received: \['rouge'\]"),
        ((["x"], ["y"], []), r"Received: \[\]"),
    ],
)
def test_scores_that_cannot_be_computed_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TextScores(*arguments)
    with pytest.raises(ValueError, match="every=0"):
        TextScores(["x"], ["y"], every=0)
