"""`python -m keras_attention attend`: a page for each kind of model, or one line."""

import json
import re
import types

import keras
import numpy as np
import PIL.Image
import pytest

import keras_attention
from keras_attention import __main__ as command_line
from keras_attention import layers
from keras_attention.applications import Application
from keras_attention.commands import attend
from keras_attention.tokenizers import Vocabulary


def run(capsys, *arguments):
    """What the program says."""
    command_line.main(["attend", *map(str, arguments)])
    return capsys.readouterr().out


def refusal(capsys, *arguments):
    """What the program says on stderr when it refuses."""
    with pytest.raises(SystemExit) as stop:
        command_line.main(["attend", *map(str, arguments)])
    assert stop.value.code == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("\n") == 1
    return written.err


def data_of(page):
    return json.loads(re.search('id="data">(.*)</script>', page.read_text())[1])


class TextReader(Application):
    """Reads token ids, and owns a vocabulary."""

    def __init__(self, *, words, max_length=None, name=None, dtype=None):
        token_ids = keras.Input((max_length,), dtype="int32", name="token_ids")
        mask = keras.Input((max_length,), dtype="bool", name="padding_mask")
        x = keras.layers.Embedding(len(words) + 4, 8, name="embedding")(token_ids)
        block = layers.TransformerEncoderBlock(2, 16)
        x = layers.TransformerEncoder(block, 2, name="encoder")(x, mask=mask)
        inputs = {"token_ids": token_ids, "padding_mask": mask}
        super().__init__(inputs, x, name=name)
        self._tokenizer = types.SimpleNamespace(value=Vocabulary(words))

    @property
    def tokenizer(self):
        return self._tokenizer.value


@pytest.fixture
def picture(tmp_path, rng):
    path = tmp_path / "noise.png"
    PIL.Image.fromarray(rng.integers(0, 256, (20, 30, 3)).astype("uint8")).save(path)
    return path


def patch_model(num_class_tokens):
    images = keras.Input((16, 24, 3), name="images")
    x = layers.PatchEmbedding(8, patch_size=8)(images)
    if num_class_tokens:
        x = layers.ClassToken(num_class_tokens)(x)
    block = layers.TransformerEncoderBlock(2, 16)
    x = layers.TransformerEncoder(block, 2, name="encoder")(x)
    return keras.Model(images, x[:, 0], name="patches")


@pytest.mark.parametrize("prefix", [0, 1])
@pytest.mark.compiles_much
def test_a_model_over_patches_shows_them(capsys, tmp_path, picture, prefix):
    model, page = patch_model(prefix), tmp_path / "page.html"
    model.save(tmp_path / "model.keras")
    said = run(
        capsys, "--model", tmp_path / "model.keras", "--image", picture, "--page", page
    )
    reader = "the class token reads" if prefix else "all patches read"
    assert said == f"What {reader} of the picture, in 2 layers: {page}\n"
    data = data_of(page)
    assert data["grid"] == [2, 3]
    assert data["titles"] == ["rollout", "block_0", "block_1"]
    images = keras_attention.images.load_image(picture, (16, 24))[None] / 255
    maps = keras_attention.visualization.attention_maps(model, images)
    weights = maps["block_1"].weights[0].mean(axis=0)
    expected = weights[0] if prefix else weights.mean(axis=0)
    np.testing.assert_allclose(data["maps"][2], expected[prefix:], rtol=2e-3)


def test_a_captioner_shows_its_words(capsys, tmp_path, picture):
    model = keras_attention.applications.ShowAttendTell(
        vocabulary=["cat", "dog"],
        image_size=(16, 24),
        encoder_filters=(4, 4),
        hidden_dim=8,
        word_dim=4,
        max_length=3,
    )
    (bias,) = (w for w in model.weights if w.path == "decoder/word_output/bias")
    bias.assign([0, 0, -100, 0, 0, 0])  # the end is the least of all
    model.save_to_preset(tmp_path / "model")
    page = tmp_path / "page.html"
    said = run(
        capsys, "--model", tmp_path / "model", "--image", picture, "--page", page
    )
    assert said.startswith("Where it looked for each word of '")
    (item,) = data_of(page)["items"]
    assert len(item["words"]) == 3 and item["grid"] == [2, 3]


@pytest.mark.parametrize("max_length", [None, 6])
@pytest.mark.compiles_much
def test_a_model_with_a_tokenizer_shows_its_heads(capsys, tmp_path, max_length):
    """By the words that it reads, with the padding where its length is fixed."""
    model = TextReader(words=["red", "dog"], max_length=max_length, name="reader")
    model.save_to_preset(tmp_path / "model")
    page = tmp_path / "page.html"
    text = "Red cat dog"
    said = run(capsys, "--model", tmp_path / "model", "--text", text, "--page", page)
    tokens = ["[start]", "red", "[unk]", "dog", "[end]"]
    tokens += ["[pad]"] * (max_length is not None)
    assert said == f"What {len(tokens)} tokens read in 2 layers: {page}\n"
    data = data_of(page)
    assert data["title"] == text
    assert [item["queries"] for item in data["maps"]] == [tokens] * 2
    assert data["maps"][0]["name"] == "encoder/block_0/self_attention"


def test_a_text_that_is_too_long_is_refused(capsys, tmp_path):
    model = TextReader(words=["red", "dog"], max_length=4)
    model.save_to_preset(tmp_path / "model")
    said = refusal(capsys, "--model", tmp_path / "model", "--text", "red red dog")
    assert "reads 4 tokens at most. Received: 5. Shorten the text." in said


@pytest.mark.once
def test_a_translator_shows_its_alignment():
    """By what it owns: `translate` and two vocabularies."""

    class Translator:
        name = "translator"
        source_vocabulary = Vocabulary(["la", "maison", "blanche"])
        target_vocabulary = Vocabulary(["the", "white", "house"])

        def translate(self, sentences, return_attention_scores):
            assert sentences == ["la maison blanche"] and return_attention_scores
            return ["the white house"], np.eye(5)[None, [1, 3, 2]]

    view, said = attend.see_text(Translator(), "la maison blanche")
    assert said == "What it read for each word of 'the white house'"
    data = json.loads(re.search('id="data">(.*)</script>', view._page())[1])
    assert data["target"] == ["the", "white", "house"]
    assert data["source"] == ["[start]", "la", "maison", "blanche", "[end]"]


@pytest.mark.once
def test_what_a_tokenizer_writes_as_nothing_has_its_number():
    tokenizer = types.SimpleNamespace(decode=lambda ids: [{7: "", 8: " "}[ids[0][0]]])
    assert attend._label(tokenizer, 7) == "[7]"
    assert attend._label(tokenizer, 8) == " "


@pytest.mark.once
def test_what_a_model_cannot_read_is_told(capsys, tmp_path, picture):
    patch_model(0).save(tmp_path / "patches.keras")
    said = refusal(capsys, "--model", tmp_path / "patches.keras", "--text", "a dog")
    assert "'patches', Functional, reads no text: it has no tokenizer" in said
    assert "its inputs are images (None, 16, 24, 3)" in said
    TextReader(words=["red"], name="reader").save_to_preset(tmp_path / "reader")
    said = refusal(capsys, "--model", tmp_path / "reader", "--image", picture)
    assert "'reader', TextReader, takes no picture: its inputs are" in said
    x = keras.Input((None, None, 3), name="images")
    keras.Model(x, x + 1, name="any").save(tmp_path / "any.keras")
    said = refusal(capsys, "--model", tmp_path / "any.keras", "--image", picture)
    assert "must say the size of its pictures" in said


@pytest.mark.once
def test_a_model_without_attention_is_told(capsys, tmp_path, picture):
    x = keras.Input((4, 6, 3), name="images")
    y = keras.layers.Dense(2)(keras.layers.Flatten()(x))
    keras.Model(x, y, name="plain").save(tmp_path / "plain.keras")
    said = refusal(capsys, "--model", tmp_path / "plain.keras", "--image", picture)
    assert "No attention was recorded in the model 'plain'" in said


@pytest.mark.once
def test_layers_that_read_other_grids_are_told(capsys, tmp_path, picture):
    x = keras.Input((16, 24, 3), name="images")
    y = layers.PatchEmbedding(8, patch_size=8)(x)
    y = layers.MultiHeadSelfAttention(2, 4)(y)
    y = layers.MultiHeadSelfAttention(2, 4)(y[:, :2])
    keras.Model(x, y, name="pyramid").save(tmp_path / "pyramid.keras")
    said = refusal(capsys, "--model", tmp_path / "pyramid.keras", "--image", picture)
    assert "its layers read [2, 6] tokens" in said and "`show_windows`" in said


@pytest.mark.once
@pytest.mark.parametrize(
    ("model", "message"),
    [("no.keras", "there is no file 'no.keras'"), ("nowhere", "nor a folder")],
)
def test_a_missing_model_is_told(capsys, model, message):
    assert message in refusal(capsys, "--model", model, "--text", "a")


@pytest.mark.once
def test_a_model_and_one_thing_to_read_are_asked_for(capsys):
    assert "required: --model" in refusal(capsys, "--text", "a")
    assert "--image --text is required" in refusal(capsys, "--model", "m")
    both = ("--model", "m", "--text", "a", "--image", "b.png")
    assert "not allowed with" in refusal(capsys, *both)


@pytest.mark.once
def test_a_page_that_cannot_be_written_is_refused_before_all_else(capsys, tmp_path):
    page = tmp_path / "missing" / "page.html"
    said = refusal(capsys, "--model", "no", "--text", "a", "--page", page)
    assert "there is no folder" in said
