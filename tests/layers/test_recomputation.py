"""Under `keras.RematScope` a layer drops, adds and counts what it does without."""

import keras
import numpy as np
import pytest
from keras import ops

from helpers import to_numpy
from helpers import weight_gradients
from keras_attention import layers

X = np.random.default_rng(0).normal(size=(4, 5, 8)).astype("float32")
RATES = {"dropout": 0.3, "attention_dropout": 0.3, "mlp_dropout": 0.3, "seed": 1}
LAYERS = {
    "MultiHeadSelfAttention": lambda: layers.MultiHeadSelfAttention(
        2, 4, dropout=0.5, seed=1
    ),
    "FeedForward": lambda: layers.FeedForward(16, dropout=0.5, seed=1),
    "TransformerEncoderBlock": lambda: layers.TransformerEncoderBlock(
        2, 16, drop_path=0.3, **RATES
    ),
    "TransformerEncoder": lambda: layers.TransformerEncoder(
        layers.TransformerEncoderBlock(2, 16, **RATES), 2
    ),
}


def trained(make, scope):
    """Two outputs and the gradients of both, with the weights of a seed."""
    with scope:
        layer = make()
        layer.build(X.shape)
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(size=weight.shape).astype("float32"))
    outputs, gradients = [], []
    for _ in range(2):  # the second drops others

        def squares():
            output = layer(ops.convert_to_tensor(X), training=True)
            outputs.append(output)
            return output**2

        gradients += weight_gradients(squares, layer.trainable_weights)
    states = [w.value for w in layer.non_trainable_variables]
    return [np.asarray(g) for g in gradients], to_numpy(states)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_computed_again_is_what_was_dropped(name):
    found, states = trained(LAYERS[name], keras.RematScope(mode="full"))
    no_scope = keras.RematScope(mode=None)
    expected, expected_states = trained(LAYERS[name], no_scope)
    for one, other in zip(found, expected, strict=True):
        size = np.abs(other).max()
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4 * size + 1e-2)
    for one, other in zip(states, expected_states, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_trains_under_a_scope_as_without():
    losses = []
    for mode in ("full", None):
        keras.utils.set_random_seed(3)
        with keras.RematScope(mode=mode):
            layer = LAYERS["TransformerEncoder"]()
        inputs = keras.Input((5, 8))
        model = keras.Model(inputs, layer(inputs))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        history = model.fit(X, np.zeros_like(X), epochs=3, batch_size=2, verbose=0)
        losses.append(history.history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-4)
