"""The base of all applications, tried on two tiny ones."""

import copy
import fnmatch
import inspect
import json
import pathlib
import sys
import types

import keras
import numpy as np
import pytest
import safetensors.numpy

from helpers import BACKEND
from helpers import BACKENDS
from helpers import run_in_fresh_process
from helpers import to_numpy
from keras_attention import applications
from keras_attention.applications import Application
from keras_attention.checkpoints import download
from keras_attention.checkpoints import named_weights


@keras.saving.register_keras_serializable("tests")
class TinyClassifier(Application):
    """An encoder that can be handed in, some layers without names, dropout."""

    presets_table = {
        "tiny_classifier_narrow": {
            "description": "One hidden layer of width 5.",
            "hidden_dims": [5],
        },
        "tiny_classifier_published": {
            "description": "With weights on the hub.",
            "hidden_dims": [5, 4],
            "weights": "hf://somebody/tiny-classifier@v1",
        },
    }

    @classmethod
    def head_layers(cls):
        return {"num_classes": ["head"]}

    def __init__(
        self,
        *,
        encoder=None,
        image_size=(4, 6),
        hidden_dims=(5,),
        num_classes=3,
        dropout=0.0,
        seed=None,
        name=None,
    ):
        images = keras.Input((*image_size, 3), name="images")
        x = keras.layers.Flatten()(encoder(images) if encoder else images)
        for hidden_dim in hidden_dims:
            x = keras.layers.Dense(hidden_dim, activation="tanh")(x)
            x = keras.layers.Dropout(dropout, seed=seed)(x)
        x = keras.layers.BatchNormalization()(x)
        super().__init__(images, keras.layers.Dense(num_classes, name="head")(x), name)


@keras.saving.register_keras_serializable("tests")
class TinyMatcher(Application):
    """Two inputs, a list of words that goes into a file of its own."""

    def __init__(self, *, vocabulary_size=11, units=3, name="matcher"):
        token_ids = keras.Input((None,), dtype="int32", name="token_ids")
        image = keras.Input((4,), name="image")
        embedding = keras.layers.Embedding(vocabulary_size, units)
        text = keras.layers.GRU(units)(embedding(token_ids))
        outputs = keras.layers.Dot(1)([text, keras.layers.Dense(units)(image)])
        super().__init__({"token_ids": token_ids, "image": image}, outputs, name)
        self.words = None

    def save_assets(self, folder):
        if self.words:
            path = pathlib.Path(folder) / "words.txt"
            path.write_text("\n".join(self.words))

    def load_assets(self, folder, config=None):
        self.words = (pathlib.Path(folder) / "words.txt").read_text().split("\n")


IMAGES = np.random.default_rng(1).normal(size=(8, 4, 6, 3)).astype("float32")
LABELS = np.arange(8) % 3
PAIRS = {
    "token_ids": np.arange(10, dtype="int32").reshape(2, 5),
    "image": np.ones((2, 4), "float32"),
}
# Makes the classes of this file in a fresh process.
IMPORT = f"""
import importlib.util, json, sys
import keras, numpy as np

sys.path.insert(0, {str(pathlib.Path(__file__).parents[1])!r})
spec = importlib.util.spec_from_file_location("tiny", {__file__!r})
tiny = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tiny)
"""


def tiny_encoder(trainable=True):
    encoder = keras.Sequential(
        [keras.Input((4, 6, 3)), keras.layers.Dense(2), keras.layers.ReLU()],
        name="encoder",
    )
    encoder.trainable = trainable
    return encoder


def changed_classifier(**arguments):
    """Every argument differs from its default."""
    arguments = {
        "encoder": tiny_encoder(),
        "image_size": (4, 6),
        "hidden_dims": [5, 4],
        "num_classes": 7,
        "dropout": 0.5,
        "seed": 7,
        "name": "mine",
        **arguments,
    }
    return TinyClassifier(**arguments)


def train(model, epochs, first=0):
    """The loss of each epoch from `first` on."""
    history = model.fit(
        IMAGES,
        LABELS,
        batch_size=4,
        shuffle=False,
        initial_epoch=first,
        epochs=epochs,
        verbose=0,
    )
    return history.history["loss"]


def compiled(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss)
    return model


def assert_same_weights(model, other):
    weights, others = named_weights(model), named_weights(other)
    assert list(weights) == list(others)
    for name, weight in weights.items():
        np.testing.assert_array_equal(to_numpy(weight), to_numpy(others[name]), name)


# Arguments


def test_the_config_holds_the_arguments():
    config = changed_classifier().get_config()
    encoder = config.pop("encoder")
    assert encoder["class_name"] == "Sequential"
    assert config == {
        "image_size": [4, 6],
        "hidden_dims": [5, 4],
        "num_classes": 7,
        "dropout": 0.5,
        "seed": 7,
        "name": "mine",
        "dtype": "float32",
    }


def test_a_model_comes_back_from_its_config():
    model = changed_classifier()
    config = model.get_config()
    again = TinyClassifier.from_config(copy.deepcopy(config))
    assert again.get_config() == config
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), to_numpy(again(IMAGES)))


def test_the_config_passes_through_json():
    """Without lists for tuples, an argument would differ after loading."""
    config = changed_classifier(encoder=None).get_config()
    assert json.loads(json.dumps(config)) == config


def test_changing_a_list_later_does_not_change_the_config():
    hidden_dims = [5, 4]
    model = TinyClassifier(hidden_dims=hidden_dims)
    hidden_dims.append(9)
    model.get_config()["hidden_dims"].append(8)
    assert model.get_config()["hidden_dims"] == [5, 4]


def test_a_name_that_keras_made_up_is_kept_too():
    model = TinyClassifier()
    assert model.name.startswith("tiny_classifier")
    assert TinyClassifier.from_config(model.get_config()).name == model.name
    assert TinyMatcher().name == "matcher"


def test_what_compile_gave_a_model_among_the_arguments_is_left_out():
    encoder = tiny_encoder()
    encoder.compile("adam", "mse")
    config = TinyClassifier(encoder=encoder).get_config()
    assert "compile_config" not in config["encoder"]


def test_an_unknown_argument_is_told_with_the_nearest_one():
    with pytest.raises(TypeError) as error:
        TinyClassifier(hiden_dims=[3])
    assert str(error.value) == (
        "TinyClassifier.__init__() got an unexpected keyword argument 'hiden_dims': "
        "did you mean `hidden_dims`? Its arguments are: dropout, dtype, encoder, "
        "hidden_dims, image_size, name, num_classes, seed."
    )


def test_an_unknown_argument_unlike_any_other_is_told():
    with pytest.raises(TypeError, match="argument 'zzz'. Its arguments are: dtype, na"):
        TinyMatcher(zzz=1)


def test_arguments_by_position_are_told():
    with pytest.raises(TypeError, match="TinyMatcher.*too many positional.*by name"):
        TinyMatcher(11)


def test_the_signature_is_that_of_the_class_and_dtype():
    names = list(inspect.signature(TinyMatcher).parameters)
    assert names == ["vocabulary_size", "units", "name", "dtype"]


def test_dtype_is_the_policy_of_all_layers_and_leaves_the_global_one():
    model = TinyClassifier(dtype="mixed_bfloat16")
    assert {layer.dtype_policy.name for layer in model.layers} == {"mixed_bfloat16"}
    assert keras.config.dtype_policy().name == "float32"
    again = TinyClassifier.from_config(model.get_config())
    assert again.get_layer("head").compute_dtype == "bfloat16"


def test_the_global_policy_at_the_start_is_kept_in_the_config():
    keras.config.set_dtype_policy("mixed_bfloat16")
    config = TinyClassifier().get_config()
    keras.config.set_dtype_policy("float32")
    model = TinyClassifier.from_config(config)
    assert model.get_layer("head").compute_dtype == "bfloat16"


def test_a_failing_constructor_leaves_the_global_policy():
    with pytest.raises(ValueError):
        TinyClassifier(hidden_dims=[-1], dtype="bfloat16")
    assert keras.config.dtype_policy().name == "float32"


# Rules for classes


def test_the_base_is_abstract():
    inputs = keras.Input((3,))
    with pytest.raises(TypeError, match="`Application` is abstract. Build one of"):
        Application(inputs, inputs)


def test_an_application_is_no_parent():
    with pytest.raises(TypeError, match="Child derives from the application TinyMatch"):

        class Child(TinyMatcher):
            pass


def test_arguments_of_a_class_are_by_name():
    with pytest.raises(TypeError, match="ByPosition.*by name.*Received: `units`"):

        class ByPosition(Application):
            def __init__(self, units, *, name=None):
                pass


def test_arguments_of_a_class_have_names():
    with pytest.raises(TypeError, match=r"AnyArgument.*Received: `\*\*kwargs`"):

        class AnyArgument(Application):
            def __init__(self, *, name=None, **kwargs):
                pass


def test_a_class_takes_a_name():
    with pytest.raises(TypeError, match=r"Nameless.__init__\(\) must take `name=None`"):

        class Nameless(Application):
            def __init__(self, *, units=3):
                pass


@pytest.mark.parametrize(
    ("preset", "sentence"),
    [
        ({"units": 4}, "Received: units. Unknown arguments: none"),
        ({"description": "Wide.", "unit": 4}, "Unknown arguments: unit"),
        ({}, "Received: nothing"),
    ],
)
def test_a_preset_has_a_description_and_known_arguments(preset, sentence):
    with pytest.raises(TypeError, match=f"'wide' of Wide must hold .*{sentence}"):

        class Wide(Application):
            presets_table = {"wide": preset}

            def __init__(self, *, units=3, name=None):
                pass

    assert "wide" not in applications.presets()


# What is Keras's own


def test_a_model_is_cut_at_a_layer():
    model = changed_classifier()
    encoder = keras.Model(model.input, model.get_layer("encoder").output)
    assert to_numpy(encoder(IMAGES)).shape == (8, 4, 6, 2)


def test_a_clone_computes_the_same_with_the_same_weights():
    """Keras 3.15 clones a graph as `Functional`; `from_config` keeps the class."""
    model = changed_classifier()
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(to_numpy(model(IMAGES)), to_numpy(clone(IMAGES)))


def test_the_summary_shows_the_layers():
    lines = []
    TinyMatcher().summary(print_fn=lambda line, **_: lines.append(line))
    text = "\n".join(lines)
    assert 'Model: "matcher"' in text
    assert "token_ids" in text


def test_two_inputs_are_passed_by_name_and_learn():
    model = TinyMatcher()
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(PAIRS, np.ones((2, 1)), verbose=0)
    assert all((a != b).any() for a, b in zip(before, model.get_weights(), strict=True))


def test_a_copy_is_a_model_of_its_own():
    model = changed_classifier()
    other = copy.deepcopy(model)
    assert type(other) is TinyClassifier
    assert_same_weights(model, other)


# `.keras` files: training goes on


TRAIN_ON = (
    IMPORT
    + """
losses = {}
for name in json.loads(sys.argv[1]):
    model = keras.saving.load_model(name + ".keras")
    assert type(model) is tiny.TinyClassifier
    losses[name] = tiny.train(model, 5, first=2)
print(json.dumps(losses))
"""
)


def test_a_loaded_model_trains_on_as_if_it_had_never_stopped(tmp_path):
    """With dropout, a frozen encoder, half precision: the losses of an unbroken run.

    On torch, dropout without a seed draws from the global generator of torch.
    """
    seed = 7 if BACKEND == "torch" else None
    models = {
        "plain": changed_classifier(seed=seed),
        "frozen": changed_classifier(seed=seed, dtype="mixed_bfloat16"),
    }
    models["frozen"].get_layer("encoder").trainable = False
    models["frozen"].layers[3].trainable = False
    expected = {}
    for name, model in models.items():
        train(compiled(model), 2)
        model.save(tmp_path / f"{name}.keras")
        expected[name] = train(model, 5, first=2)
    code = TRAIN_ON.replace("sys.argv[1]", repr(json.dumps(list(models))))
    losses = json.loads(run_in_fresh_process(code, cwd=tmp_path))
    for name in models:
        assert len(set(expected[name])) == 3
        np.testing.assert_allclose(losses[name], expected[name], 0, 1e-6)


def test_what_is_frozen_is_saved(tmp_path):
    model = changed_classifier()
    model.trainable = False
    model.get_layer("head").trainable = True
    assert "frozen_layers" not in changed_classifier().get_config()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for layer, other in zip(model.layers, again.layers, strict=True):
        if not isinstance(layer, keras.layers.InputLayer):
            assert layer.trainable == other.trainable
    assert again.get_layer("head").trainable
    assert not again.get_layer("encoder").layers[0].trainable
    assert not again.trainable


def test_what_is_thawed_is_saved(tmp_path):
    """The encoder came in frozen, so its own config says so."""
    model = changed_classifier(encoder=tiny_encoder(trainable=False))
    model.get_layer("encoder").trainable = True
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert len(again.trainable_weights) == len(model.trainable_weights) == 10


def test_a_keras_file_holds_the_assets(tmp_path):
    model = TinyMatcher()
    model.words = ["dog", "cat"]
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").words == ["dog", "cat"]


def test_a_keras_file_without_assets_is_loaded(tmp_path):
    TinyMatcher().save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").words is None


def test_weights_of_an_application_go_into_a_file_and_back(tmp_path):
    model, other = changed_classifier(), changed_classifier()
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same_weights(model, other)


# Presets: names


def test_presets_are_listed_with_their_descriptions():
    expected = {
        "tiny_classifier_narrow": "One hidden layer of width 5.",
        "tiny_classifier_published": "With weights on the hub.",
    }
    assert TinyClassifier.presets() == expected
    assert TinyMatcher.presets() == {}
    assert expected.items() <= applications.presets().items()


def test_a_name_gives_the_architecture():
    model = TinyClassifier.from_preset("tiny_classifier_narrow", num_classes=9)
    assert model.get_config()["hidden_dims"] == [5]
    assert model.output_shape == (None, 9)
    assert type(applications.from_preset("tiny_classifier_narrow")) is TinyClassifier


def test_a_table_is_not_changed_through_a_model():
    model = TinyClassifier.from_preset("tiny_classifier_narrow")
    model.get_config()["hidden_dims"].append(1)
    assert TinyClassifier.presets_table["tiny_classifier_narrow"]["hidden_dims"] == [5]


def test_weights_of_a_name_without_weights_are_refused():
    sentence = "'tiny_classifier_narrow' is an architecture without published weights"
    with pytest.raises(ValueError, match=sentence):
        TinyClassifier.from_preset("tiny_classifier_narrow", load_weights=True)


def test_an_unknown_name_is_told_with_the_nearest_one():
    sentence = (
        "'tiny_clasifier_narow' is neither a preset of TinyClassifier nor a folder. "
        "Did you mean 'tiny_classifier_narrow'"
    )
    with pytest.raises(ValueError, match=sentence):
        TinyClassifier.from_preset("tiny_clasifier_narow")


def test_an_unknown_override_is_told():
    with pytest.raises(TypeError, match="'num_clases': did you mean `num_classes`"):
        TinyClassifier.from_preset("tiny_classifier_narrow", num_clases=9)


# Presets: folders


def test_a_folder_gives_the_model_back_bit_by_bit(tmp_path):
    model = changed_classifier()
    train(compiled(model), 1)
    model.save_to_preset(tmp_path / "new" / "folder")
    for again in (
        TinyClassifier.from_preset(str(tmp_path / "new" / "folder")),
        TinyClassifier.from_preset(tmp_path / "new" / "folder", load_weights=True),
        applications.from_preset(tmp_path / "new" / "folder"),
    ):
        assert type(again) is TinyClassifier
        assert again.name == "mine"
        assert_same_weights(model, again)
        np.testing.assert_array_equal(
            model.predict(IMAGES, verbose=0), again.predict(IMAGES, verbose=0)
        )


def test_two_models_of_the_same_arguments_give_the_same_config(tmp_path):
    """Nothing in it counts the models of this process."""
    for name in ("first", "second"):
        TinyClassifier(hidden_dims=[5, 4]).save_to_preset(tmp_path / name)
    first, second = (tmp_path / name for name in ("first", "second"))
    text = (first / "config.json").read_text()
    assert text == (second / "config.json").read_text()
    config = json.loads(text)
    assert config["class_name"] == "tests>TinyClassifier"
    assert set(config["versions"]) == {"keras", "keras_attention"}
    tensors = safetensors.numpy.load_file(first / "model.safetensors")
    others = safetensors.numpy.load_file(second / "model.safetensors")
    assert {"dense/kernel", "dense_1/kernel", "head/kernel"} <= set(tensors)
    assert set(tensors) == set(others)


def test_the_architecture_alone_needs_no_weights(tmp_path):
    model = changed_classifier()
    model.save_to_preset(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    again = TinyClassifier.from_preset(tmp_path, load_weights=False)
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())
    assert (to_numpy(again.weights[0]) != to_numpy(model.weights[0])).any()


def test_other_arguments_replace_those_of_the_folder(tmp_path):
    TinyClassifier(dropout=0.5).save_to_preset(tmp_path)
    model = TinyClassifier.from_preset(tmp_path, dropout=0.1, name="other")
    assert model.get_config()["dropout"] == 0.1
    assert model.name == "other"


def test_another_number_of_classes_makes_a_new_head_and_loads_the_rest(tmp_path):
    model = TinyClassifier()
    model.save_to_preset(tmp_path)
    other = TinyClassifier.from_preset(tmp_path, num_classes=9)
    assert other.output_shape == (None, 9)
    weights, others = named_weights(model), named_weights(other)
    for name in weights:
        if not name.startswith("head/"):
            np.testing.assert_array_equal(to_numpy(weights[name]), others[name])


def test_the_same_number_of_classes_loads_the_head(tmp_path):
    model = TinyClassifier()
    model.save_to_preset(tmp_path)
    assert_same_weights(model, TinyClassifier.from_preset(tmp_path, num_classes=3))


def test_the_precision_is_that_of_the_one_who_loads(tmp_path):
    TinyClassifier(dtype="bfloat16").save_to_preset(tmp_path)
    model = TinyClassifier.from_preset(tmp_path)
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {
        "float32"
    }
    keras.config.set_dtype_policy("bfloat16")
    model = TinyClassifier.from_preset(tmp_path)
    kernel = model.get_layer("head").kernel
    assert keras.backend.standardize_dtype(kernel.dtype) == "bfloat16"
    model = TinyClassifier.from_preset(tmp_path, dtype="float16")
    assert model.get_layer("head").compute_dtype == "float16"


def test_assets_go_into_the_folder(tmp_path):
    model = TinyMatcher()
    model.words = ["dog", "cat"]
    model.save_to_preset(tmp_path)
    assert (tmp_path / "words.txt").read_text() == "dog\ncat"
    assert TinyMatcher.from_preset(tmp_path).words == ["dog", "cat"]
    assert TinyMatcher.from_preset(tmp_path, load_weights=False).words[0] == "dog"


def test_assets_of_an_earlier_model_are_not_loaded(tmp_path):
    model = TinyMatcher()
    model.words = ["dog", "cat"]
    model.save_to_preset(tmp_path)
    TinyMatcher().save_to_preset(tmp_path)
    assert TinyMatcher.from_preset(tmp_path).words is None


@pytest.mark.once
@pytest.mark.parametrize("backend", [b for b in BACKENDS if b != BACKEND])
def test_a_model_saved_here_computes_the_same_on_another_backend(tmp_path, backend):
    classifier, matcher = changed_classifier(), TinyMatcher()
    train(compiled(classifier), 2)
    classifier.save_to_preset(tmp_path / "classifier")
    matcher.save_to_preset(tmp_path / "matcher")
    code = IMPORT + (
        """
from keras_attention import applications

classifier = applications.from_preset("classifier")
matcher = applications.from_preset("matcher")
np.save("logits.npy", classifier.predict(tiny.IMAGES, verbose=0))
np.save("match.npy", matcher.predict(tiny.PAIRS, verbose=0))
print(keras.backend.backend())
"""
    )
    assert run_in_fresh_process(code, backend=backend, cwd=tmp_path) == f"{backend}\n"
    expected = classifier.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), expected, atol=1e-5)
    expected = matcher.predict(PAIRS, verbose=0)
    np.testing.assert_allclose(np.load(tmp_path / "match.npy"), expected, atol=1e-5)


# Presets: what goes wrong


def test_a_failing_save_keeps_the_earlier_checkpoint(tmp_path, monkeypatch):
    model = TinyClassifier()
    model.save_to_preset(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(tensors, path, metadata):
        pathlib.Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safetensors.numpy, "save_file", fail)
    model.set_weights([0 * weight for weight in model.get_weights()])
    with pytest.raises(OSError, match="No space left"):
        model.save_to_preset(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_save_killed_between_two_files_is_finished_by_the_one_who_loads(tmp_path):
    """The new config is at its place already, the new weights are not."""
    TinyClassifier(num_classes=3).save_to_preset(tmp_path)
    code = IMPORT + (
        """
import os, signal

replace = os.replace

def kill_at_the_weights(source, target):
    if str(target).endswith("model.safetensors"):
        print("killed", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

os.replace = kill_at_the_weights
model = tiny.TinyClassifier(num_classes=4)
model.get_layer("head").bias.assign([1, 2, 3, 4])
model.save_to_preset(".")
"""
    )
    with pytest.raises(AssertionError, match="ended with -9.\n--- stdout\nkilled"):
        run_in_fresh_process(code, cwd=tmp_path)
    assert (
        json.loads((tmp_path / "config.json").read_text())["arguments"]["num_classes"]
        == 4
    )
    model = TinyClassifier.from_preset(tmp_path)
    assert to_numpy(model.get_layer("head").bias).tolist() == [1, 2, 3, 4]
    assert {path.name for path in tmp_path.iterdir()} == {
        "config.json",
        "model.safetensors",
    }


def test_weights_beside_another_config_are_told(tmp_path):
    """A folder that was copied in part. The shapes fit; the activations would not."""
    TinyClassifier(dropout=0.1).save_to_preset(tmp_path / "one")
    TinyClassifier(dropout=0.2).save_to_preset(tmp_path / "two")
    (tmp_path / "one" / "config.json").replace(tmp_path / "two" / "config.json")
    with pytest.raises(ValueError, match="saved with another config.json"):
        TinyClassifier.from_preset(tmp_path / "two")


def test_a_checkpoint_of_another_class_is_not_overwritten_silently(tmp_path):
    TinyMatcher().save_to_preset(tmp_path)
    model = TinyClassifier()
    sentence = "holds tests>TinyMatcher, so tests>TinyClassifier is not written there"
    with pytest.raises(ValueError, match=f"{sentence}.*`overwrite=True`"):
        model.save_to_preset(tmp_path)
    assert type(applications.from_preset(tmp_path)) is TinyMatcher
    model.save_to_preset(tmp_path, overwrite=True)
    assert_same_weights(model, applications.from_preset(tmp_path))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_files_of_something_else_are_not_overwritten_silently(tmp_path, name):
    (tmp_path / name).write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match=rf"holds something else \({name}\)"):
        TinyMatcher().save_to_preset(tmp_path)
    assert (tmp_path / name).read_text() == '{"model_type": "vit"}'


def test_a_model_is_not_saved_into_a_file(tmp_path):
    (tmp_path / "model").write_text("")
    with pytest.raises(ValueError, match="A checkpoint is a folder. Received .*/model"):
        TinyMatcher().save_to_preset(tmp_path / "model")


def test_a_checkpoint_of_another_class_is_told(tmp_path):
    TinyMatcher().save_to_preset(tmp_path)
    sentence = (
        "holds tests>TinyMatcher, not TinyClassifier. .*`TinyMatcher.from_preset`"
    )
    with pytest.raises(ValueError, match=sentence):
        TinyClassifier.from_preset(tmp_path)


def change_config(folder, change):
    """Rewrites config.json after a function has changed the dict."""
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


def test_a_class_that_is_not_there_is_told(tmp_path):
    TinyMatcher().save_to_preset(tmp_path)
    change_config(tmp_path, lambda config: config.update(class_name="tests>Gone"))
    with pytest.raises(
        ValueError, match="holds tests>Gone, which is not known .*Impor"
    ):
        applications.from_preset(tmp_path)


def test_an_argument_that_the_class_does_not_have_is_told(tmp_path):
    TinyMatcher().save_to_preset(tmp_path)
    change_config(tmp_path, lambda config: config["arguments"].update(depth=3))
    with pytest.raises(
        ValueError, match="arguments that TinyMatcher does not have: dep"
    ):
        TinyMatcher.from_preset(tmp_path)


def test_a_missing_asset_is_told(tmp_path):
    model = TinyMatcher()
    model.words = ["dog", "cat"]
    model.save_to_preset(tmp_path)
    (tmp_path / "words.txt").unlink()
    with pytest.raises(ValueError, match="words.txt is missing in "):
        TinyMatcher.from_preset(tmp_path)


def test_weights_that_do_not_fit_are_told(tmp_path):
    TinyClassifier(hidden_dims=[5]).save_to_preset(tmp_path)
    sentence = r"7 of another shape \(.*dense/bias \(5,\), expected \(6,\)"
    with pytest.raises(ValueError, match=sentence):
        TinyClassifier.from_preset(tmp_path, hidden_dims=[6])


def test_the_extra_to_install_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match=r"pip install .*keras-attention\[text\]"):
        TinyMatcher().save_to_preset(tmp_path)
    assert list(tmp_path.iterdir()) == []


# Presets: the hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Stands in for `huggingface_hub`: a repository, and the calls it got."""
    repository = tmp_path / "repository"
    cache = tmp_path / "cache"
    calls = []

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None):
        calls.append((repo_id, revision, tuple(allow_patterns)))
        cache.mkdir(exist_ok=True)
        for path in repository.iterdir():
            if any(fnmatch.fnmatch(path.name, name) for name in allow_patterns):
                (cache / path.name).write_bytes(path.read_bytes())
        return str(cache)

    module = types.ModuleType("huggingface_hub")
    module.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)
    return types.SimpleNamespace(repository=repository, cache=cache, calls=calls)


def test_a_repository_of_the_hub_is_loaded(hub):
    model = TinyMatcher()
    model.words = ["dog", "cat"]
    model.save_to_preset(hub.repository)
    (hub.repository / "pytorch_model.bin").write_text("large")
    again = applications.from_preset("hf://somebody/tiny-matcher.v2")
    assert_same_weights(model, again)
    assert again.words == ["dog", "cat"]
    assert hub.calls == [
        ("somebody/tiny-matcher.v2", None, ("config.json",)),
        (
            "somebody/tiny-matcher.v2",
            None,
            ("config.json", "words.txt", "model.safetensors"),
        ),
    ]


def test_without_weights_none_are_downloaded(hub):
    TinyMatcher().save_to_preset(hub.repository)
    TinyMatcher.from_preset("hf://a/b", load_weights=False)
    assert hub.calls[-1] == ("a/b", None, ("config.json",))


def test_a_revision_is_passed_on(hub):
    TinyMatcher().save_to_preset(hub.repository)
    TinyMatcher.from_preset("hf://a/b@refs/pr/1")
    assert {revision for _, revision, _ in hub.calls} == {"refs/pr/1"}


def test_a_name_with_published_weights_loads_them(hub):
    model = TinyClassifier(hidden_dims=[5, 4])
    model.save_to_preset(hub.repository)
    again = TinyClassifier.from_preset("tiny_classifier_published", dropout=0.2)
    assert_same_weights(model, again)
    assert again.get_config()["dropout"] == 0.2
    assert hub.calls[0] == ("somebody/tiny-classifier", "v1", ("config.json",))


def test_a_name_with_published_weights_needs_no_hub_without_them(hub):
    TinyClassifier.from_preset("tiny_classifier_published", load_weights=False)
    assert hub.calls == []


def test_a_repository_without_weights_is_told(hub):
    TinyMatcher().save_to_preset(hub.repository)
    (hub.repository / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="There is no model.safetensors in"):
        TinyMatcher.from_preset("hf://a/b")


@pytest.mark.once
@pytest.mark.parametrize("is_pickle", [False, True])
def test_one_kind_of_published_weights_is_downloaded(hub, is_pickle):
    hub.repository.mkdir()
    (hub.repository / "config.json").write_text('{"model_type": "bert"}')
    (hub.repository / "vocab.txt").write_text("")
    (hub.repository / "README.md").write_text("")
    (hub.repository / "pytorch_model.bin").write_text("")
    if not is_pickle:
        (hub.repository / "model.safetensors").write_text("")
    folder = download("hf://a/b")
    weights = "pytorch_model.bin" if is_pickle else "model.safetensors"
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "vocab.txt", weights}


@pytest.mark.parametrize("preset", ["hf://name", "hf://a/b/c", "hf://a/b@", "hf:///b"])
def test_a_hub_id_of_another_form_is_told(preset):
    with pytest.raises(
        ValueError, match=f"hf://owner/name@revision. Received: '{preset}"
    ):
        TinyMatcher.from_preset(preset)


def test_without_the_library_of_the_hub_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"Loading hf://a/b needs .*\[text\]"):
        TinyMatcher.from_preset("hf://a/b")
