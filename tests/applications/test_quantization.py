"""Weights of 8 and 4 bits: what becomes of each application, in memory and in files."""

import keras
import numpy as np
import pytest
from tiny_models import BY_NAME
from tiny_models import MODELS
from tiny_models import randomize

from helpers import to_numpy
from keras_attention.layers.quantization import quantized_layers
from keras_attention.training import add_lora
from keras_attention.training import merge_lora

# How far outputs may go, by their size: the widths here are tiny.
MODES = {"int8": 0.06, "int4": 0.8}
EACH_MODE = pytest.mark.parametrize(
    "mode", ["int8", pytest.param("int4", marks=pytest.mark.compiles_much)]
)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Keras collects garbage for each matrix that it replaces."""
    monkeypatch.setattr("gc.collect", lambda *generation: 0)


def outputs(model, inputs):
    return [to_numpy(x) for x in keras.tree.flatten(model(inputs))]


def size(model):
    """Bytes of the weights."""
    return sum(to_numpy(w).nbytes for w in model.weights)


@EACH_MODE
@pytest.mark.parametrize("tiny", MODELS, ids=[tiny.name for tiny in MODELS])
def test_each_application_becomes_small_and_comes_back(tmp_path, tiny, mode):
    model, inputs = tiny.make(), tiny.inputs()
    randomize(model)
    before, bytes_before = outputs(model, inputs), size(model)
    model.quantize(mode)
    after = outputs(model, inputs)
    assert size(model) < bytes_before
    for x, y in zip(before, after, strict=True):
        assert not np.array_equal(x, y)
        assert np.abs(x - y).mean() < MODES[mode] * np.abs(x).mean()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for x, y in zip(after, outputs(loaded, inputs), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)
    (found,), (entry,) = quantized_layers(loaded), quantized_layers(model)
    assert found["layers"] == entry["layers"]


def test_weights_alone_go_into_a_model_that_was_quantized_alike(tmp_path):
    tiny = BY_NAME["GPT2"]
    model, other = tiny.make(), tiny.make()
    for each in (model, other):
        randomize(each)
        each.quantize("int8")
    model.save_weights(tmp_path / "gpt2.weights.h5")
    other.load_weights(tmp_path / "gpt2.weights.h5")
    inputs = tiny.inputs()
    for x, y in zip(outputs(model, inputs), outputs(other, inputs), strict=True):
        np.testing.assert_array_equal(x, y)


@EACH_MODE
def test_what_is_written_is_what_the_whole_model_predicts(mode):
    """The step of decoding reads the small weights, and compiles anew for them."""
    tiny = BY_NAME["GPT2"]
    model = tiny.make(end_id=None)
    randomize(model)
    prompt = [[3, 5, 4]]
    first = model.generate(prompt, max_new_tokens=6)
    model.quantize(mode)
    written = np.asarray(model.generate(prompt, max_new_tokens=6))
    assert written.shape == np.asarray(first).shape
    ids = written[:, :-1]
    predicted = outputs(model, {"token_ids": ids, "padding_mask": ids >= 0})[0]
    np.testing.assert_array_equal(written[:, 3:], predicted.argmax(-1)[:, 2:])


def test_inputs_are_rounded_on_request():
    tiny = BY_NAME["GPT2"]
    found = []
    weights = [0.5 * np.sin(np.arange(np.prod(w.shape))) for w in tiny.make().weights]
    for options in ({"activation_quantizer": None}, {}):
        config = keras.quantizers.Int8QuantizationConfig(**options)
        model = tiny.make()
        for weight, array in zip(model.weights, weights, strict=True):
            weight.assign(array.reshape(weight.shape))
        before = outputs(model, tiny.inputs())[0]
        model.quantize(config=config)
        after = outputs(model, tiny.inputs())[0]
        found.append(np.abs(after - before).max() / np.abs(before).max())
    assert found[0] < found[1] < 0.1


def test_adapters_learn_beside_small_weights(tmp_path):
    """Dettmers et al. 2023, arXiv:2305.14314, with other integers."""
    tiny = BY_NAME["BERT"]
    model = tiny.make(dropout=0.0, attention_dropout=0.0, classifier_dropout=0.0)
    randomize(model)
    model.quantize("int8")
    add_lora(model, rank=2, targets=("query", "mlp"))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.05), loss)
    inputs, labels = tiny.inputs(), np.array([0, 1, 2])
    first = model.evaluate(inputs, labels, verbose=0)
    model.fit(inputs, labels, epochs=6, verbose=0)
    assert model.evaluate(inputs, labels, verbose=0) < first
    with pytest.raises(ValueError, match="is quantized, and rounding would undo"):
        merge_lora(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for x, y in zip(outputs(model, inputs), outputs(loaded, inputs), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-6)


def test_what_is_refused(tmp_path):
    model = BY_NAME["GPT2"].make()
    with pytest.raises(ValueError, match=r"made int8, int4. Received: mode='float8'"):
        model.quantize("float8")
    model.quantize("int8", filters=lambda layer: "block_1" in (layer.path or ""))
    names = [entry["layers"] for entry in model.get_config()["quantized_layers"]]
    block = "decoder/block_1"
    assert names == [
        [
            f"{block}/self_attention/kernels",
            f"{block}/feed_forward/kernels",
        ]
    ]
    with pytest.raises(ValueError, match="no published layout is. Write a `.keras`"):
        model.save_to_preset(tmp_path / "gpt2")
    assert not (tmp_path / "gpt2").exists()
    with pytest.raises(ValueError, match="already quantized"):
        model.quantize("int8")
