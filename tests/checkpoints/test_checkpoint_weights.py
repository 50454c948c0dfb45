"""Names of weights that depend on the model alone, and the file that holds them."""

import json
import pathlib

import keras
import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from helpers import to_numpy
from keras_attention.checkpoints import load_weights
from keras_attention.checkpoints import named_layers
from keras_attention.checkpoints import named_weights
from keras_attention.checkpoints import save_weights

CONFIG = {"class_name": "Tiny", "arguments": {"units": 4}}
OTHER_CONFIG = {"class_name": "Tiny", "arguments": {"units": 5}}


def dense_model(units=4, dtype=None):
    """Weights of shape (3, units), (units,), (units, 2), (2,)."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(units, name="first", dtype=dtype),
            keras.layers.Dense(2, bias_initializer="ones", name="last", dtype=dtype),
        ]
    )


def recurrent_model():
    """Layers without names, several of a kind, inside of each other, shared."""
    token_ids = keras.Input((5,), dtype="int32")
    embedding = keras.layers.Embedding(11, 4)
    both = keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True))
    x = both(embedding(token_ids))
    x = keras.layers.MultiHeadAttention(2, 3, name="read")(x, x)
    x = keras.layers.RNN([keras.layers.GRUCell(3), keras.layers.GRUCell(4)])(x)
    encoder = keras.Sequential([keras.Input((4,)), keras.layers.Dense(7)])
    block_0 = keras.layers.Dense(7, name="block_0")
    block_1 = keras.layers.Dense(7, name="block_1")
    x = block_1(block_0(encoder(x)))
    x = keras.layers.BatchNormalization()(keras.layers.Dropout(0.5)(x))
    x = keras.layers.Dense(7)(keras.layers.Dense(7)(x))
    return keras.Model(token_ids, x)


def test_a_second_model_has_the_same_names():
    """Keras counts on: its own paths differ."""
    first, second = recurrent_model(), recurrent_model()
    assert [w.path for w in first.weights] != [w.path for w in second.weights]
    assert list(named_weights(first)) == list(named_weights(second))


def test_the_names_can_be_read():
    names = set(named_weights(recurrent_model()))
    lstm = {"lstm_cell/kernel", "lstm_cell/recurrent_kernel", "lstm_cell/bias"}
    for direction in ("forward_lstm", "backward_lstm"):
        assert {f"bidirectional/{direction}/{name}" for name in lstm} <= names
    assert {
        "embedding/embeddings",
        "read/query/kernel",
        "read/attention_output/bias",
        "rnn/stacked_rnn_cells/gru_cell/kernel",
        "rnn/stacked_rnn_cells/gru_cell_1/kernel",
        "sequential/dense/kernel",
        "block_0/kernel",
        "block_1/kernel",
        "batch_normalization/moving_mean",
        "dense/kernel",
        "dense_1/kernel",
    } <= names


def test_each_weight_has_one_name_and_random_states_have_none():
    model = recurrent_model()
    weights = named_weights(model)
    assert len({id(w) for w in weights.values()}) == len(weights)
    assert {id(w) for w in weights.values()} == {id(w) for w in model.weights}
    assert len(model.variables) > len(model.weights)


def test_names_made_up_by_keras_count_in_order():
    """The tenth comes after the ninth, also where the text of its number is smaller."""
    for _ in range(3):
        layers = [keras.layers.Dense(2) for _ in range(12)]
        model = keras.Sequential([keras.Input((2,)), *layers])
        names = [name for name in named_weights(model) if name.endswith("bias")]
        expected = ["dense/bias", *(f"dense_{i}/bias" for i in range(1, 12))]
        assert names == expected


@pytest.mark.parametrize(
    "class_name", ["MLP", "GPT2Block", "Conv2DLike", "GPT_2", "_Hidden", "block"]
)
def test_names_made_up_for_any_class_are_recognized(class_name):
    cls = type(class_name, (keras.layers.Dense,), {})
    found = set()
    for _ in range(3):
        model = keras.Sequential([keras.Input((2,)), cls(2), cls(2)])
        found.add(tuple(named_weights(model)))
    assert len(found) == 1, found


def test_two_layers_of_one_name_are_told_apart():
    class Twins(keras.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.left = keras.layers.Dense(2, name="twin")
            self.right = keras.layers.Dense(2, name="twin")

        def call(self, x):
            return self.left(x) + self.right(x)

    layer = Twins(name="twins")
    layer(np.ones((1, 3), "float32"))
    assert list(named_layers(layer)) == ["", "twin", "twin_1"]
    assert len(named_weights(layer)) == 4


def test_a_shared_layer_has_its_first_name():
    inputs = keras.Input((3,))
    shared = keras.layers.Dense(3, name="shared")
    inner = keras.Sequential([keras.Input((3,)), shared], name="inner")
    model = keras.Model(inputs, inner(shared(inputs)))
    assert list(named_weights(model)) == ["shared/kernel", "shared/bias"]


def test_weights_come_back_bit_by_bit(tmp_path):
    model, other = recurrent_model(), recurrent_model()
    save_weights(model, tmp_path, CONFIG)
    load_weights(other, tmp_path, CONFIG)
    for weight, loaded in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), to_numpy(loaded))


def test_the_file_opens_without_this_library(tmp_path):
    model = dense_model()
    save_weights(model, tmp_path, CONFIG)
    tensors = safetensors.numpy.load_file(tmp_path / "model.safetensors")
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    assert shapes == {
        "first/kernel": (3, 4),
        "first/bias": (4,),
        "last/kernel": (4, 2),
        "last/bias": (2,),
    }
    assert (tensors["last/bias"] == 1).all()


def test_the_file_may_be_read_by_whoever_may_read_the_others(tmp_path):
    (tmp_path / "config.json").touch()
    save_weights(dense_model(), tmp_path, CONFIG)
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_weights_follow_the_dtype_of_the_model_not_of_the_file(tmp_path):
    """1/3 in bfloat16 is 0.333984375; back in float32 it stays that number."""
    model = dense_model()
    model.get_layer("first").bias.assign(np.full(4, 1 / 3))
    save_weights(model, tmp_path, CONFIG)
    short = dense_model(dtype="bfloat16")
    load_weights(short, tmp_path, CONFIG)
    bias = short.get_layer("first").bias
    assert keras.backend.standardize_dtype(bias.dtype) == "bfloat16"
    assert to_numpy(bias).astype("float32").tolist() == [0.333984375] * 4

    (tmp_path / "short").mkdir()
    save_weights(short, tmp_path / "short", CONFIG)
    tensors = safetensors.numpy.load_file(tmp_path / "short" / "model.safetensors")
    assert tensors["first/bias"].dtype == ml_dtypes.bfloat16
    load_weights(model, tmp_path / "short", CONFIG)
    bias = to_numpy(model.get_layer("first").bias)
    assert bias.dtype == "float32"
    assert bias.tolist() == [0.333984375] * 4


def test_layers_to_skip_stay_as_they_are(tmp_path):
    save_weights(dense_model(), tmp_path, CONFIG)
    model = dense_model()
    model.get_layer("last").set_weights([np.zeros((4, 2)), np.zeros(2)])
    load_weights(model, tmp_path, CONFIG, skip=["last"])
    assert (to_numpy(model.get_layer("last").bias) == 0).all()
    assert (to_numpy(model.get_layer("first").kernel) != 0).any()


def test_one_tensor_at_a_time_is_read(tmp_path, monkeypatch):
    """All are compared first; then each is read once and assigned at once."""
    events = []
    opened = safetensors.safe_open

    class Recording:
        def __init__(self, *args, **kwargs):
            self.file = opened(*args, **kwargs)

        def __enter__(self):
            self.file.__enter__()
            return self

        def __exit__(self, *error):
            events.append("closed")
            return self.file.__exit__(*error)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def get_slice(self, name):
            events.append(f"compare {name}")
            return self.file.get_slice(name)

        def get_tensor(self, name):
            events.append(f"read {name}")
            return self.file.get_tensor(name)

    model = dense_model()
    save_weights(model, tmp_path, CONFIG)
    monkeypatch.setattr(safetensors, "safe_open", Recording)
    load_weights(model, tmp_path, CONFIG)
    names = list(named_weights(model))
    compared = [f"compare {name}" for name in sorted(names)]
    assert events == [*compared, *(f"read {name}" for name in names), "closed"]


def change(folder, change_tensors, metadata=None):
    """Rewrites the file after a function has changed the dict of tensors."""
    path = pathlib.Path(folder) / "model.safetensors"
    tensors = safetensors.numpy.load_file(path)
    change_tensors(tensors)
    safetensors.numpy.save_file(tensors, path, metadata)


def drop(tensors):
    del tensors["last/bias"]


def add(tensors):
    tensors["extra/kernel"] = np.zeros(3, "float32")


def reshape(tensors):
    tensors["first/kernel"] = tensors["first/kernel"].T.copy()


def to_integers(tensors):
    tensors["first/bias"] = tensors["first/bias"].astype("int64")


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (drop, r"which has 4 weights. Of the 3 tensors: 1 missing \(last/bias\)"),
        (add, r"Of the 5 tensors: 1 unknown to the model \(extra/kernel\)"),
        (reshape, r"1 of another shape \(first/kernel \(4, 3\), expected \(3, 4\)\)"),
        (to_integers, r"1 of another type \(first/bias I64, expected float32\)"),
    ],
)
def test_a_file_that_does_not_fit_changes_nothing(tmp_path, damage, sentence):
    save_weights(dense_model(), tmp_path, CONFIG)
    change(tmp_path, damage)
    model = dense_model()
    before = to_numpy(model.weights)
    with pytest.raises(ValueError, match=sentence) as error:
        load_weights(model, tmp_path, CONFIG)
    assert "Nothing was loaded" in str(error.value)
    for weight, was in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(to_numpy(weight), was)


def test_many_faults_are_counted_and_some_named(tmp_path):
    save_weights(recurrent_model(), tmp_path, CONFIG)
    sentence = r"the 35 tensors: 4 missing .*; 35 unknown .*, and 30 more\)"
    with pytest.raises(ValueError, match=sentence):
        load_weights(dense_model(), tmp_path, CONFIG)


def test_a_file_of_another_config_is_told(tmp_path):
    """The shapes fit, so nothing else would show it."""
    save_weights(dense_model(), tmp_path, OTHER_CONFIG)
    with pytest.raises(ValueError, match="saved with another config.json.*from_preset"):
        load_weights(dense_model(), tmp_path, CONFIG)


def test_a_file_that_names_no_config_is_taken(tmp_path):
    """Another tool wrote it."""
    save_weights(dense_model(), tmp_path, CONFIG)
    change(tmp_path, lambda tensors: None)
    load_weights(dense_model(), tmp_path, CONFIG)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(
        ValueError, match="no model.safetensors in .*load_weights=False"
    ):
        load_weights(dense_model(), tmp_path, CONFIG)


@pytest.mark.parametrize("kept", [0, 5, 40, -1])
def test_a_file_cut_short_is_told(tmp_path, kept):
    save_weights(dense_model(), tmp_path, CONFIG)
    path = tmp_path / "model.safetensors"
    data = path.read_bytes()[:kept]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=f"is damaged: .* has {len(data)} bytes"):
        load_weights(dense_model(), tmp_path, CONFIG)


def test_a_file_of_another_kind_is_told(tmp_path):
    (tmp_path / "model.safetensors").write_text(json.dumps({"weights": [1.5] * 50}))
    with pytest.raises(ValueError, match="model.safetensors is damaged"):
        load_weights(dense_model(), tmp_path, CONFIG)
