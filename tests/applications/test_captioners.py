"""What all captioners can do: train, caption, save, load, refuse.

Pictures of 16 x 24 pixels, a grid of 2 x 3 cells, 7 entries in the vocabulary.
"""

import json

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import run_in_fresh_process
from helpers import to_numpy
from keras_attention.applications import from_preset
from keras_attention.applications import RNNCaptioner
from keras_attention.applications import ShowAttendTell
from keras_attention.applications import TransformerCaptioner
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import SequenceAccuracy
from keras_attention.training import TokenCrossentropy

CAPTIONERS = (ShowAttendTell, RNNCaptioner, TransformerCaptioner)
MORE_SIZES = {
    ShowAttendTell: {"word_dim": 5},
    RNNCaptioner: {"word_dim": 5},
    TransformerCaptioner: {"num_layers": 2, "num_heads": 2, "mlp_dim": 10},
}
CHANGED = {
    ShowAttendTell: {
        "output_activation": None,
        "attention_dim": 7,
        "attention_penalty": 0.5,
    },
    RNNCaptioner: {"output_activation": None},
    TransformerCaptioner: {"num_decoder_layers": 1, "attention_dropout": 0.0},
}
WORDS = ["black", "cat", "dog"]
all_of_them = pytest.mark.parametrize("captioner", CAPTIONERS)
# What they do in the same code, and what takes long.
one_of_them = pytest.mark.parametrize(
    "captioner", [pytest.param(ShowAttendTell, marks=pytest.mark.slow), RNNCaptioner]
)


def make(captioner, **options):
    sizes = {
        "image_size": (16, 24),
        **({} if "encoder" in options else {"encoder_filters": (4, 6)}),
        "hidden_dim": 8,
        "max_length": 4,
        **MORE_SIZES[captioner],
    }
    words = {} if "vocabulary_size" in options else {"vocabulary": WORDS}
    return captioner(**(sizes | words | options))


@pytest.fixture
def data(rng):
    images = rng.integers(0, 256, (6, 16, 24, 3)).astype("uint8")
    captions = ["black cat", "dog", "cat cat dog"] * 2
    token_ids = Vocabulary(WORDS).encode(captions)  # (6, 5)
    return {"images": images, "token_ids": token_ids[:, :-1]}, token_ids[:, 1:]


def train(model, *data, **options):
    model.compile(keras.optimizers.Adam(0.01), TokenCrossentropy())
    return model.fit(*data, verbose=0, **options).history["loss"]


@all_of_them
def test_it_predicts_a_word_after_each_token(captioner, data):
    model = make(captioner)
    logits = model.predict(data[0], verbose=0)
    assert logits.shape == (6, 4, 7)
    assert model.output_shape == (None, None, 7)


@pytest.mark.compiles_much
@all_of_them
def test_it_learns_captions_by_heart(captioner, data):
    """Six pictures of noise, each with its caption, and nothing dropped."""
    options = {
        ShowAttendTell: {"attention_penalty": 0.0},
        RNNCaptioner: {},
        TransformerCaptioner: {"attention_dropout": 0.0},
    }[captioner]
    model = make(captioner, dropout=0.0, hidden_dim=16, **options)
    rate = 0.005 if captioner is TransformerCaptioner else 0.02
    model.compile(
        keras.optimizers.Adam(rate), TokenCrossentropy(), metrics=[SequenceAccuracy()]
    )
    model.fit(*data, epochs=60, batch_size=6, verbose=0)
    # The statistics of the batch normalization follow slowly on six pictures.
    model.fit(*data, epochs=20, batch_size=6, verbose=0)
    expected = ["black cat", "dog", "cat cat dog"] * 2
    assert model.caption(data[0]["images"]) == expected
    assert model.caption(data[0]["images"], beam_width=1) == expected


def as_arrays(inputs, targets):
    return inputs, targets


def as_tf_data(inputs, targets):
    tf = pytest.importorskip("tensorflow")
    return (tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(3),)


def as_torch_loader(inputs, targets):
    torch = pytest.importorskip("torch")
    rows = [({name: x[i] for name, x in inputs.items()}, targets[i]) for i in range(6)]
    return (torch.utils.data.DataLoader(rows, batch_size=3),)


class Batches(keras.utils.PyDataset):
    """Each batch as long as its longest caption, so that padding costs nothing."""

    def __init__(self, inputs, targets):
        super().__init__()
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows, length = slice(3 * index, 3 * index + 3), 4 - index
        inputs = {
            "images": self.inputs["images"][rows],
            "token_ids": self.inputs["token_ids"][rows, :length],
        }
        return inputs, self.targets[rows, :length]


def as_py_dataset(inputs, targets):
    return (Batches(inputs, targets),)


@one_of_them
@pytest.mark.parametrize(
    "form", [as_arrays, as_tf_data, as_torch_loader, as_py_dataset]
)
@pytest.mark.compiles_much
def test_it_trains_on_every_kind_of_data(captioner, form, data):
    losses = train(make(captioner), *form(*data), epochs=2, shuffle=False)
    assert len(losses) == 2 and np.isfinite(losses).all()


@pytest.mark.compiles_much
@one_of_them
@pytest.mark.parametrize("policy", ["mixed_bfloat16"])
def test_it_trains_in_mixed_precision(captioner, policy, data):
    model = make(captioner, dtype=policy)
    assert np.isfinite(train(model, *data)).all()
    assert len(model.caption(data[0]["images"])) == 6
    assert {w.dtype for w in model.trainable_weights} == {"float32"}


@pytest.mark.compiles_much
def test_the_penalty_is_added_in_training_only(data):
    """Nothing but the penalty tells the losses of the two models apart."""
    losses, evaluations = [], []
    for penalty in (0.0, 2.0):
        keras.utils.set_random_seed(3)
        model = make(ShowAttendTell, attention_penalty=penalty, dropout=0.0)
        evaluations.append(0.0)
        model.compile("sgd", TokenCrossentropy())
        evaluations[-1] = model.evaluate(*data, verbose=0)
        losses.append(model.fit(*data, batch_size=6, verbose=0).history["loss"][0])
    np.testing.assert_allclose(*evaluations, rtol=1e-6)
    assert losses[1] > losses[0] + 0.1


@all_of_them
@pytest.mark.compiles_much
def test_captions_come_with_their_probability(captioner, data):
    """It is the probability that the model gives to the caption and its end."""
    model = make(captioner)
    train(model, *data, epochs=3)
    images = data[0]["images"]
    captions, found = model.caption(images, beam_width=2, return_log_probabilities=True)
    assert found.shape == (6,)
    for image, caption, log_p in zip(images, captions, found, strict=True):
        ids = [1, *(4 + WORDS.index(word) for word in caption.split()), 2]
        logits = model.predict(
            {"images": image[None], "token_ids": np.array([ids[:-1]])}, verbose=0
        )[0]
        steps = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        expected = sum(step[i] for step, i in zip(steps, ids[1:], strict=True))
        np.testing.assert_allclose(log_p, expected, atol=1e-4)


def test_captions_come_with_their_attention(data):
    model = make(ShowAttendTell, dropout=0.0, attention_penalty=0.0)
    train(model, *data, epochs=40)
    captions, weights = model.caption(data[0]["images"], return_attention_scores=True)
    lengths = [len(caption.split()) for caption in captions]
    assert weights.shape == (6, max(lengths), 2, 3)
    for maps, length in zip(weights, lengths, strict=True):
        np.testing.assert_allclose(maps[:length].sum(axis=(1, 2)), 1, rtol=1e-5)
        assert not maps[length:].any()


def test_asking_for_more_changes_no_caption(data):
    model = make(ShowAttendTell)
    images = data[0]["images"]
    everything = model.caption(
        images, return_log_probabilities=True, return_attention_scores=True
    )
    assert len(everything) == 3
    assert everything[0] == model.caption(images)


@all_of_them
def test_without_a_vocabulary_captions_are_token_ids(captioner, data):
    model = make(captioner, vocabulary_size=7)
    token_ids = model.caption(data[0]["images"], beam_width=1)
    assert token_ids.shape[0] == 6
    assert np.isin(token_ids, [0, 4, 5, 6]).all()  # padding and words


@all_of_them
@pytest.mark.compiles_much
def test_captioning_changes_nothing_in_the_model(captioner, data):
    model = make(captioner)
    train(model, *data)
    config, layers = model.get_config(), [layer.name for layer in model.layers]
    before = [to_numpy(v.value) for v in model.variables]
    first = model.caption(data[0]["images"])
    assert model.caption(data[0]["images"]) == first
    for value, variable in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(value, to_numpy(variable.value))
    assert model.get_config() == config
    assert [layer.name for layer in model.layers] == layers


@pytest.mark.compiles_much
def test_the_batch_size_changes_no_caption(data):
    model = make(ShowAttendTell)
    images = data[0]["images"]
    whole, log_p = model.caption(images, return_log_probabilities=True)
    parts, others = model.caption(images, batch_size=4, return_log_probabilities=True)
    assert parts == whole
    np.testing.assert_allclose(others, log_p, rtol=1e-5)


def test_captions_follow_the_weights(data):
    """The compiled search is made once; the weights in it are those of now."""
    model = make(ShowAttendTell)
    images = data[0]["images"]
    _, before = model.caption(images, return_log_probabilities=True)
    model.set_weights([0.5 * w for w in model.get_weights()])
    _, after = model.caption(images, return_log_probabilities=True)
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.compiles_much
def test_captions_can_be_read_during_training(data):
    class Reader(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.read = []

        def on_epoch_end(self, epoch, logs=None):
            images = data[0]["images"]
            _, log_p = self.model.caption(images, return_log_probabilities=True)
            self.read.append(log_p)

    reader = Reader()
    train(make(ShowAttendTell), *data, epochs=3, callbacks=[reader])
    assert len(reader.read) == 3
    assert np.abs(reader.read[2] - reader.read[0]).max() > 1e-4


def test_pictures_come_in_many_forms(data, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    model = make(ShowAttendTell)
    images = data[0]["images"]
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, image in zip(paths, images, strict=False):
        pillow.fromarray(image).save(path)
    expected = model.caption(images[:2])
    assert model.caption(paths) == expected
    assert model.caption([str(path) for path in paths]) == expected
    assert model.caption([path.read_bytes() for path in paths]) == expected
    assert model.caption(list(images[:2])) == expected
    assert model.caption(images[:2] / np.float32(255)) == expected
    for alone in (images[0], paths[0], str(paths[0]), pillow.fromarray(images[0])):
        assert model.caption(alone) == expected[:1]


def test_a_file_of_another_size_is_resized(data, tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    path = tmp_path / "large.png"
    pillow.fromarray(np.full((50, 30, 3), 200, "uint8")).save(path)
    assert len(make(ShowAttendTell).caption(path)) == 1


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (
            np.zeros((2, 24, 16, 3), "uint8"),
            r"16 x 24 pixels.*\(24, 16, 3\).*load_imag",
        ),
        (np.zeros((16, 24), "uint8"), r"`images` must be pictures: .*\(16, 24\)"),
        (np.zeros((0, 16, 24, 3), "uint8"), "`images` must be pictures"),
        (np.full((16, 24, 3), 1.5), "floats must hold values from 0 to 1"),
        ([], "`images` must be pictures"),
        ({"images": 1}, "`images` must be pictures: .* Received: values of type"),
    ],
)
def test_what_is_no_picture_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        make(RNNCaptioner).caption(images)


@all_of_them
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_width": 0}, "`beam_width` must be a positive integer"),
        ({"max_length": 0}, "`max_length` must be a positive integer"),
        ({"length_penalty": -0.5}, "`length_penalty` must not be negative"),
    ],
)
def test_a_search_without_sense_is_refused(captioner, options, message, data):
    with pytest.raises(ValueError, match=message):
        make(captioner).caption(data[0]["images"], **options)


def test_attention_of_a_model_without_it_is_refused(data):
    with pytest.raises(ValueError, match="RNNCaptioner has no attention to return"):
        make(RNNCaptioner).caption(data[0]["images"], return_attention_scores=True)


@all_of_them
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocabulary": None}, "Pass `vocabulary`, a Vocabulary or a list of words"),
        (
            {"vocabulary": WORDS, "vocabulary_size": 9},
            "has 7 entries.*Received: vocabulary_size=9",
        ),
        ({"vocabulary": "cat"}, "must be a list of words"),
        ({"hidden_dim": 0}, "`hidden_dim` must be a positive integer"),
        (
            {"encoder": "VGG20", "encoder_filters": (96, 192)},
            "no model 'VGG20'",
        ),
        ({"encoder": "VGG16"}, "`filters` of an encoder is for the small network"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(captioner, options, message):
    arguments = {"vocabulary": WORDS, "image_size": 16, "encoder_filters": (4,)}
    with pytest.raises(ValueError, match=message):
        captioner(**(arguments | options))


@all_of_them
def test_token_ids_out_of_range_are_refused(captioner, data):
    model, (inputs, targets) = make(captioner), data
    model.compile("sgd", TokenCrossentropy())
    wrong = {**inputs, "token_ids": inputs["token_ids"] + 5}
    for verb in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match="`token_ids` must be from 0 to 6.*to 11"):
            verb(wrong, targets, verbose=0)
    with pytest.raises(ValueError, match="`token_ids` must be from 0 to 6"):
        model.predict(wrong, verbose=0)
    with pytest.raises(ValueError, match="`y` must be from 0 to 6. as its.*-1 to"):
        model.fit(inputs, targets - 1, verbose=0)
    with pytest.raises(ValueError, match="`token_ids` must be token ids.*float32"):
        model.predict({**inputs, "token_ids": np.zeros((6, 4), "float32")}, verbose=0)


@pytest.mark.compiles_much
@all_of_them
def test_a_folder_holds_the_model_and_its_words(captioner, data, tmp_path):
    model = make(captioner)
    train(model, *data)
    model.save_to_preset(tmp_path / "folder")
    assert {path.name for path in (tmp_path / "folder").iterdir()} == {
        "config.json",
        "model.safetensors",
        "vocabulary.txt",
    }
    again = from_preset(tmp_path / "folder")
    assert type(again) is captioner
    assert again.vocabulary == model.vocabulary
    images = data[0]["images"]
    found, expected = (
        m.caption(images, return_log_probabilities=True) for m in (again, model)
    )
    assert found[0] == expected[0]
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


def test_a_folder_with_other_words_is_refused(tmp_path):
    make(RNNCaptioner).save_to_preset(tmp_path)
    Vocabulary(["a", "b", "c"]).save(tmp_path / "vocabulary.txt")
    with pytest.raises(ValueError, match="vocabulary.txt in .* holds other words"):
        from_preset(tmp_path)


@all_of_them
@pytest.mark.compiles_much
def test_it_comes_back_in_a_fresh_process_with_every_argument_changed(
    captioner, data, tmp_path
):
    options = {
        "encoder_filters": (3, 5),
        "train_encoder": False,
        "dropout": 0.1,
        "seed": 5,
        "max_length": 3,
        "name": "mine",
        "dtype": "mixed_bfloat16",
        **CHANGED[captioner],
    }
    model = make(captioner, **options)
    train(model, *data)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "images.npy", data[0]["images"])
    images = data[0]["images"]
    captions, log_p = model.caption(images, return_log_probabilities=True)
    code = """
        import json
        import keras
        import numpy as np
        import keras_attention

        model = keras.saving.load_model("model.keras")
        captions, log_p = model.caption(
            np.load("images.npy"), return_log_probabilities=True
        )
        frozen = not model.encoder.trainable
        print(json.dumps([captions, log_p.tolist(), model.get_config(), frozen]))
    """
    printed = run_in_fresh_process(code, cwd=tmp_path).splitlines()[-1]
    found, found_log_p, config, frozen = json.loads(printed)
    assert found == captions and frozen
    np.testing.assert_allclose(found_log_p, log_p, rtol=1e-4)
    assert config == json.loads(json.dumps(model.get_config()))


@pytest.mark.compiles_much
def test_trained_weights_of_an_encoder_are_not_fetched_again():
    """They are saved with the model, so a loaded model asks for none."""
    model = make(RNNCaptioner, encoder="MobileNetV2", image_size=32)
    model._arguments = {**model._arguments, "encoder_weights": "imagenet"}
    assert model.get_config()["encoder_weights"] is None


@one_of_them
@pytest.mark.compiles_much
def test_a_named_encoder_can_be_kept_as_it_is(captioner, rng):
    model = make(
        captioner,
        encoder="MobileNetV2",
        encoder_layer="block_3_project",
        train_encoder=False,
        image_size=32,
    )
    images = rng.integers(0, 256, (2, 32, 32, 3)).astype("uint8")
    token_ids = np.array([[1, 4, 5, 2], [1, 6, 2, 0]])
    before = [to_numpy(w.value) for w in model.encoder.weights]
    train(model, {"images": images, "token_ids": token_ids[:, :-1]}, token_ids[:, 1:])
    for value, weight in zip(before, model.encoder.weights, strict=True):
        np.testing.assert_array_equal(value, to_numpy(weight.value))
    assert model.encoder.output_shape == (None, 4, 4, 32)


@one_of_them
@pytest.mark.compiles_much
def test_an_encoder_of_ones_own(captioner, data, tmp_path):
    own = keras.Sequential(
        [
            keras.Input((16, 24, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(4, 8, 8),
        ],
        name="own",
    )
    model = make(captioner, encoder=own)
    train(model, *data)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    images = data[0]["images"]
    assert again.caption(images) == model.caption(images)


def test_a_sub_model_shows_the_grid(data):
    """The model is functional: it can be cut where the decoder begins."""
    model = make(ShowAttendTell)
    grid, _ = model.get_layer("decoder").input
    cut = keras.Model(model.input["images"], grid)
    assert cut.predict(data[0]["images"], verbose=0).shape == (6, 2, 3, 6)


@pytest.mark.slow
def test_the_sizes_of_the_paper():
    """VGG19 up to block5_conv4 has 20,024,384 weights; the decoder is counted here.

    V = 10,000, E = 512, H = 1,800, D = A = 512.
    """
    model = ShowAttendTell.from_preset("show_attend_tell_coco", load_weights=False)
    assert model.encoder.output_shape == (None, 14, 14, 512)
    assert model.encoder.count_params() == 20_024_384
    embedding = 10_000 * 512
    initial = 2 * (512 + 1) * 1800
    attention = 512 * 512 + 1800 * 512 + 512 + 512
    gate = 1800 + 1
    lstm = (512 + 512 + 1800 + 1) * 4 * 1800
    output = (1800 + 1) * 512 + 512 * 512 + (512 + 1) * 10_000
    expected = embedding + initial + attention + gate + lstm + output
    assert model.decoder.count_params() == expected


@pytest.mark.skipif(BACKEND != "tensorflow", reason="Lengths are unknown there only.")
def test_tf_data_may_have_batches_of_any_length(data):
    """With ragged batches the length is unknown while the graph is traced."""
    import tensorflow as tf

    (inputs, targets) = data
    rows = tf.data.Dataset.from_tensor_slices((inputs, targets))
    shapes = (
        {"images": (16, 24, 3), "token_ids": (None,)},
        (None,),
    )
    dataset = rows.padded_batch(3, shapes)
    assert np.isfinite(train(make(ShowAttendTell), dataset, shuffle=False)).all()
