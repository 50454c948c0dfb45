"""A model keeps its weights, whatever ends what Keras does with it."""

import keras
import numpy as np
import pytest

from keras_attention.applications import Application
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.visualization import attention_maps
from keras_attention.visualization import AttentionExtractor


class TwoLayers(Application):
    """A head, a norm with statistics, and dropout."""

    def __init__(self, *, name=None):
        inputs = keras.Input((3,))
        x = keras.layers.BatchNormalization()(inputs)
        x = keras.layers.Dropout(0.5, seed=1)(x)
        super().__init__(inputs, keras.layers.Dense(1)(x), name=name)


class Batches(keras.utils.PyDataset):
    """Batches of which one cannot be read."""

    def __init__(self, broken, error):
        super().__init__()
        self.broken, self.error = broken, error

    def __len__(self):
        return 3

    def __getitem__(self, number):
        if number == self.broken:
            raise self.error("batch")
        return np.ones((2, 3), "float32"), np.ones((2, 1), "float32")


def weights_of(model):
    """All values, those of the optimizer and of the metrics, too."""
    variables = [*model.variables, *model.optimizer.variables, *model.metrics_variables]
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("broken", [0, 1])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_the_weights_stay(method, broken, error):
    model = TwoLayers()
    model.compile("adam", "mse", metrics=["mae"])
    batches = Batches(broken, error)
    if keras.backend.backend() == "tensorflow" and method != "predict":
        error = (error, Exception)  # TensorFlow wraps what a generator raises
    before = model.get_weights()
    with pytest.raises(error):
        getattr(model, method)(batches, verbose=0)
    after = model.get_weights()
    assert len(weights_of(model)) >= len(after)
    if method != "fit":
        for one, other in zip(before, after, strict=True):
            np.testing.assert_array_equal(one, other)
    good = Batches(None, error)
    model.fit(good, verbose=0)
    assert np.isfinite(model.evaluate(good, verbose=0)).all()
    assert model.predict(good, verbose=0).shape == (6, 1)


def test_the_weights_stay_where_validation_fails():
    model = TwoLayers()
    model.compile("adam", "mse")
    with pytest.raises(Exception, match="batch"):
        model.fit(
            Batches(None, ValueError),
            validation_data=Batches(0, ValueError),
            verbose=0,
        )
    assert np.isfinite(model.get_weights()[0]).all()
    model.fit(Batches(None, ValueError), verbose=0)


def test_a_callback_may_be_one_or_several():
    seen = []
    callback = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    model = TwoLayers()
    model.compile("adam", "mse")
    for callbacks in (callback, [callback], (callback,)):
        model.fit(Batches(None, ValueError), verbose=0, callbacks=callbacks)
    assert seen == [0, 1, 2] * 3


def test_what_is_watched_stays():
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, MultiHeadSelfAttention(2, 2)(inputs))

    class Broken(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, number):
            raise ValueError("batch")

    with pytest.raises(Exception, match="batch"):
        AttentionExtractor(model).predict(Broken(), verbose=0)
    assert model.predict(np.ones((2, 3, 4)), verbose=0).shape == (2, 3, 4)


def test_maps_are_compiled_once():
    inputs = keras.Input((3, 4))
    model = keras.Model(inputs, MultiHeadSelfAttention(2, 2)(inputs))
    inputs = np.random.default_rng(0).normal(size=(2, 3, 4)).astype("float32")
    first = attention_maps(model, inputs)
    made = model._extractors.made
    assert len(made) == 1
    (extractor,) = made.values()
    for variable in model.trainable_variables:
        variable.assign(variable + 0.5)
    second = attention_maps(model, inputs)
    assert list(made.values()) == [extractor]
    (name,) = first
    assert np.abs(first[name].weights - second[name].weights).max() > 1e-3
    attention_maps(model, inputs, layers=lambda path: True)
    assert len(made) == 1
