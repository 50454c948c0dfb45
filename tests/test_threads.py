"""A service: threads do not disturb each other, programs are few, memory is flat."""

import gc
import os
import pathlib
import sys
import threading

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.applications import GPT2
from keras_attention.backend.programs import Recent
from keras_attention.checkpoints.initial_values import postpone_initial_values
from keras_attention.generation import RandomSampler
from keras_attention.layers import MultiHeadSelfAttention
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from keras_attention.visualization import attention_maps

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


def model_of_texts():
    tokenizer = byte_pair_tokenizer(
        {letter: i for i, letter in enumerate("abcdefghi")}, []
    )
    return GPT2(tokenizer=tokenizer, max_length=64, end_id=None, **SIZES)


def test_requests_may_come_from_several_threads():
    """On JAX Keras takes the values out of the variables while it predicts."""
    model, faults = model_of_texts(), []
    ids = {"token_ids": np.ones((1, 5), int), "padding_mask": np.ones((1, 5), int)}
    acts = [
        lambda: model.predict(["ab", "c"], verbose=0),
        lambda: model.generate(["ab", "c"], max_new_tokens=5),
        lambda: attention_maps(model, ids)[0].weights,
    ]
    expected = [act() for act in acts]

    def ask(number):
        try:
            for _ in range(5):
                found = acts[number]()
                if isinstance(found, list):
                    assert found == expected[number]
                else:
                    np.testing.assert_allclose(found, expected[number], atol=1e-5)
        except BaseException as error:
            faults.append((number, repr(error)))

    threads = [threading.Thread(target=ask, args=(i % 3,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


def test_requests_of_any_size_share_few_programs(monkeypatch):
    model, shapes = model_of_texts(), set()
    prepare = model.prepare

    def note(examples, length=None):
        shapes.add((len(examples), length))
        return prepare(examples, length)

    monkeypatch.setattr(model, "prepare", note)
    for count in range(1, 9):
        texts = ["a" * (1 + (5 * i + count) % 9) for i in range(count)]
        found = model.predict(texts, verbose=0)
        assert len(found) == count
        last = model.predict_on_batch(texts[-1:])[0, : len(texts[-1])]
        np.testing.assert_allclose(found[-1, : len(last)], last, atol=1e-5)
        sampler = RandomSampler(seed=count)
        written = model.generate(texts, max_new_tokens=3, sampler=sampler)
        assert [len(text) for text in written] == [len(text) + 3 for text in texts]
    sizes = {size for size, _ in shapes}
    if BACKEND == "torch":
        assert model.num_compilations <= 8  # one for each number of texts
    else:
        assert sizes == {1, 2, 4, 8}
        assert {length for _, length in shapes} == {8, 12}
        assert model.num_compilations <= 2 * len(sizes)


def test_what_was_used_last_is_kept():
    recent = Recent(most=2)
    made = []

    def get(key):
        return recent.get(key, lambda: made.append(key) or key)

    assert [get(key) for key in "abacb"] == list("abacb")
    assert made == list("abcb")
    assert sorted(recent.values()) == ["b", "c"]


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="no /proc")
def test_memory_is_flat_over_many_calls(rng):
    model = model_of_texts()
    ids = {"token_ids": np.ones((1, 5), int), "padding_mask": np.ones((1, 5), int)}

    def serve(number):
        for i in range(number):
            count = rng.integers(1, 5)
            texts = ["a" * length for length in rng.integers(1, 13, count)]
            model.predict(texts, verbose=0)
            model.generate(texts, max_new_tokens=3, sampler=RandomSampler(seed=i))
            attention_maps(model, ids)
        gc.collect()
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    before = serve(60)
    assert serve(170) - before < 30_000_000  # three calls each
