"""Losses and metrics in which padding does not count, by hand."""

import keras
import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.training import Perplexity
from keras_attention.training import SequenceAccuracy
from keras_attention.training import TokenAccuracy
from keras_attention.training import TokenCrossentropy

# Two captions of three and one tokens; probabilities of the true ones, and padding.
TARGETS = np.array([[1, 2, 3], [2, 0, 0]])
PROBABILITIES = np.array(
    [
        [[0.1, 0.5, 0.2, 0.2], [0.1, 0.1, 0.7, 0.1], [0.4, 0.3, 0.2, 0.1]],
        [[0.1, 0.1, 0.2, 0.6], [0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]],
    ],
    "float32",
)
LOGITS = np.log(PROBABILITIES) + 3.0  # a constant changes no probability


def test_the_loss_is_the_mean_over_tokens():
    expected = -np.log([0.5, 0.7, 0.1, 0.2]).mean()
    loss = to_numpy(TokenCrossentropy()(TARGETS, LOGITS))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_predictions_for_padding_change_nothing():
    other = LOGITS.copy()
    other[1, 1:] = 50 * np.arange(4)
    for function in (TokenCrossentropy(), TokenCrossentropy(0.1)):
        found = to_numpy(function(TARGETS, other))
        np.testing.assert_allclose(found, to_numpy(function(TARGETS, LOGITS)))


def test_more_padding_changes_nothing():
    targets = np.pad(TARGETS, ((0, 0), (0, 4)))
    logits = np.pad(LOGITS, ((0, 0), (0, 4), (0, 0)))
    found = to_numpy(TokenCrossentropy(0.2)(targets, logits))
    expected = to_numpy(TokenCrossentropy(0.2)(TARGETS, LOGITS))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_label_smoothing_spreads_a_part_over_all_tokens():
    """With s = 0.4 and V = 4 the targets are 0.7 for the true token, else 0.1."""
    logs = np.log(PROBABILITIES)
    soft = np.full((2, 3, 4), 0.1)
    np.put_along_axis(soft, TARGETS[:, :, None], 0.7, axis=-1)
    counted = -(soft * logs).sum(axis=-1)[TARGETS != 0]
    loss = to_numpy(TokenCrossentropy(label_smoothing=0.4)(TARGETS, LOGITS))
    np.testing.assert_allclose(loss, counted.mean(), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_captions_may_have_weights(shape):
    weights = np.array([3.0, 1.0]).reshape(shape)
    losses = -np.log([0.5, 0.7, 0.1, 0.2])
    expected = (losses * [3, 3, 3, 1]).sum() / 10
    loss = to_numpy(TokenCrossentropy()(TARGETS, LOGITS, sample_weight=weights))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_another_token_may_be_the_padding():
    """With padding 2 the tokens 1, 3 and the two zeros count."""
    expected = -np.log([0.5, 0.1, 0.7, 0.25]).mean()
    loss = to_numpy(TokenCrossentropy(padding_id=2)(TARGETS, LOGITS))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_batch_of_padding_has_no_loss():
    loss = to_numpy(TokenCrossentropy()(np.zeros((2, 3), int), LOGITS))
    np.testing.assert_array_equal(loss, 0.0)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (TokenAccuracy, 2 / 4),  # 1 and 2 of the first caption
        (SequenceAccuracy, 0.0),
        (Perplexity, np.exp(-np.log([0.5, 0.7, 0.1, 0.2]).mean())),
    ],
)
def test_metrics_leave_padding_out(metric, expected):
    metric = metric()
    metric.update_state(TARGETS, LOGITS)
    np.testing.assert_allclose(to_numpy(metric.result()), expected, rtol=1e-5)


@pytest.mark.parametrize("metric", [TokenAccuracy, SequenceAccuracy, Perplexity])
def test_metrics_add_up_over_batches(metric):
    whole, parts = metric(), metric()
    targets, logits = TARGETS.copy(), LOGITS.copy()
    logits[1, 0, 2] = 9.0  # now the second caption is right
    whole.update_state(targets, logits)
    for row in range(2):
        parts.update_state(targets[row : row + 1], logits[row : row + 1])
    np.testing.assert_allclose(to_numpy(parts.result()), to_numpy(whole.result()))
    if metric is SequenceAccuracy:
        assert float(whole.result()) == 0.5


@pytest.mark.parametrize("weights", [None, np.array([1.0, 1.0, 1.0])])
def test_a_row_of_padding_is_no_sequence(weights):
    """The first row has an error, the second none; the third fills up the batch."""
    targets = np.concatenate([TARGETS, np.zeros((1, 3), int)])
    logits = np.concatenate([LOGITS, LOGITS[:1]])
    logits[1, 0, 2] = 9.0
    metric = SequenceAccuracy()
    metric.update_state(targets, logits, sample_weight=weights)
    np.testing.assert_allclose(to_numpy(metric.result()), 0.5)


@pytest.mark.parametrize(
    "thing",
    [
        TokenCrossentropy(label_smoothing=0.2, padding_id=3, name="mine"),
        TokenAccuracy(padding_id=3, name="mine"),
        SequenceAccuracy(padding_id=3, name="mine"),
        Perplexity(padding_id=3, name="mine"),
    ],
)
def test_they_come_back_from_their_config(thing):
    config = keras.saving.serialize_keras_object(thing)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(thing)
    assert again.get_config() == thing.get_config()
    assert again.padding_id == 3 and again.name == "mine"


def test_label_smoothing_out_of_range_is_refused():
    with pytest.raises(ValueError, match="`label_smoothing` must be at least 0.*1.0"):
        TokenCrossentropy(label_smoothing=1.0)


def test_targets_of_another_length_are_refused():
    message = r"y_true.shape=\(2, 2\), y_pred.shape=\(2, 3, 4\)"
    with pytest.raises(ValueError, match=message):
        TokenCrossentropy()(TARGETS[:, :2], LOGITS)
    with pytest.raises(ValueError, match=message):
        TokenAccuracy().update_state(TARGETS[:, :2], LOGITS)


def test_where_nothing_is_padding_each_token_counts():
    """p is 3/4 for token 1 and 1/3 for token 0, which is padding by default."""
    logits = np.log([[[1 / 4, 3 / 4], [1 / 3, 2 / 3]]]).astype("float32")
    y_true = np.array([[1, 0]])
    loss = to_numpy(TokenCrossentropy(padding_id=None)(y_true, logits))
    assert float(np.exp(-loss)) == pytest.approx(1 / 2)
    for metric, expected in (
        (Perplexity(padding_id=None), 2.0),
        (TokenAccuracy(padding_id=None), 0.5),
    ):
        metric.update_state(y_true, logits)
        assert float(metric.result()) == pytest.approx(expected)
