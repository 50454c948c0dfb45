"""Layers are exported for batches and lengths that are not known yet."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import run_in_fresh_process
from helpers import to_numpy
from keras_attention import layers

LAYERS = {
    "FeedForward": lambda: layers.FeedForward(16),
    "learned positions": lambda: layers.PositionalEmbedding(9),
    "sinusoidal positions": lambda: layers.PositionalEmbedding(
        kind="sinusoidal", offset=2
    ),
    "TransformerEncoder": lambda: layers.TransformerEncoder(
        layers.TransformerEncoderBlock(2, 16), 2
    ),
}
READ = """
    import sys, numpy as np, tensorflow as tf
    x = np.load({folder!r} + "/x.npy")
    np.save({folder!r} + "/y.npy", tf.saved_model.load({folder!r}).serve(x))
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="Keras exports no SavedModel there.")
@pytest.mark.parametrize("name", LAYERS)
def test_an_exported_layer_is_run_by_tensorflow(name, tmp_path, rng):
    inputs = keras.Input((None, 8))
    model = keras.Model(inputs, LAYERS[name]()(inputs))
    model.export(tmp_path, verbose=False)
    x = rng.normal(size=(2, 5, 8)).astype("float32")
    np.save(tmp_path / "x.npy", x)
    run_in_fresh_process(READ.format(folder=str(tmp_path)), backend="tensorflow")
    found = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(found, to_numpy(model(x)), atol=1e-5)
