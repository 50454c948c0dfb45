"""Is our additive attention as fast as Keras's?

    KERAS_BACKEND=jax python benchmarks/additive_attention.py [--quick]

Twenty queries of width 512 look at a 14 x 14 grid of width 512, as in Show, Attend and
Tell, with a scoring network of 512 units, in 32 samples. Keras's `AdditiveAttention`
gets the same projections of queries and keys, by two `Dense` layers.
"""

import keras
import numpy as np
from harness import read_options
from harness import Report

from keras_attention.layers import AdditiveAttention

# Samples, queries, rows and columns of the grid, width and units.
SIZES = {"full": (32, 20, 14, 512), "quick": (8, 20, 14, 512), "tiny": (2, 3, 2, 8)}


def our_layer(query, value, units):
    return AdditiveAttention(units)(query, value)


def keras_layer(query, value, units):
    project = keras.layers.Dense(units, use_bias=False)
    key = keras.layers.Dense(units, use_bias=False)(value)
    return keras.layers.AdditiveAttention()([project(query), value, key])


def make_calls(layer, query, value):
    """A forward pass and a training step of a model of one layer."""
    inputs = [keras.Input(x.shape[1:]) for x in (query, value)]
    model = keras.Model(inputs, layer(*inputs, query.shape[-1]))
    model.compile("sgd", "mse")
    return {
        "forward": lambda: model.predict_on_batch([query, value]),
        "train": lambda: float(model.train_on_batch([query, value], query)),
    }


def main(arguments=None):
    options = read_options(__doc__, arguments)
    report = Report("additive_attention", options)
    batch_size, length, side, width = SIZES[options.size]
    rng = np.random.default_rng(0)
    query = rng.normal(size=(batch_size, length, width)).astype("float32")
    value = rng.normal(size=(batch_size, side**2, width)).astype("float32")
    calls = {
        "ours": make_calls(our_layer, query, value),
        "Keras": make_calls(keras_layer, query, value),
    }
    for kind in ("forward", "train"):
        report.compare(kind, {name: found[kind] for name, found in calls.items()})
    report.finish()


if __name__ == "__main__":
    main()
