"""Threads do not see what another one has set for a while."""

import threading

import keras
import numpy as np

from helpers import to_numpy
from keras_attention.applications import GPT2
from keras_attention.checkpoints.initial_values import postpone_initial_values
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder

SIZES = {"vocabulary_size": 9, "hidden_dim": 8, "num_layers": 1, "num_heads": 2}


def meanwhile(act):
    """What another thread returns that runs from beginning to end now."""
    results = []
    thread = threading.Thread(target=lambda: results.append(act()))
    thread.start()
    thread.join()
    return results[0]


def built():
    """The kernel of a layer that is built."""
    layer = keras.layers.Dense(3)
    layer.build((None, 2))
    return to_numpy(layer.kernel)


def test_weights_are_postponed_in_their_thread_alone():
    with postpone_initial_values():
        assert meanwhile(built).any()
        assert not built().any()


def test_a_recorder_hears_its_thread_alone():
    layer = MultiHeadSelfAttention(num_heads=2, key_dim=2)
    x = np.ones((1, 3, 4), "float32")
    layer(x)
    with active(Recorder()) as recorder:
        meanwhile(lambda: to_numpy(layer(x)))
        assert not recorder.weights
        layer(x)
        assert len(recorder.weights) == 1


def test_models_are_read_side_by_side(tmp_path):
    """Each at a precision of its own, and with all its weights."""
    model = GPT2(**SIZES)
    model.save_to_preset(tmp_path)
    expected, models = model.get_weights(), {}
    dtypes = ["float32", "mixed_bfloat16"] * 2

    def load(number, dtype):
        models[number] = GPT2.from_preset(tmp_path, dtype=dtype)

    threads = [threading.Thread(target=load, args=item) for item in enumerate(dtypes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, dtype in enumerate(dtypes):
        assert models[number].embedding.dtype_policy.name == dtype
        for one, other in zip(models[number].get_weights(), expected, strict=True):
            np.testing.assert_array_equal(one, other)
