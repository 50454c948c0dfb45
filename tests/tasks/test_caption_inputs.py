"""Captioners learn from pictures and strings as from arrays of them."""

import keras
import numpy as np
import pytest

from keras_attention.applications import GPT2
from keras_attention.applications import RNNCaptioner
from keras_attention.applications import ShowAttendTell
from keras_attention.applications import TransformerCaptioner
from keras_attention.applications import VisionEncoderDecoder
from keras_attention.applications import ViT
from keras_attention.data import load_captions
from keras_attention.images import load_image
from keras_attention.tokenizers.tokenizer_files import byte_pair_tokenizer
from keras_attention.training import TokenCrossentropy

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("tokenizers")

RNG = np.random.default_rng(3)
PICTURES = [RNG.integers(0, 255, (h, w, 3), "uint8") for h, w in ((9, 7), (16, 16))]
CAPTIONS = ["a cat", "a black cat and a dog"]
WORDS = "a cat black and dog".split()
SMALL = {"image_size": 16, "encoder_filters": (3, 4), "seed": 1}
LETTERS = byte_pair_tokenizer(
    {letter: i for i, letter in enumerate("abcdefghijklmnopqrstuvwxyzĠ")}
    | {"<|endoftext|>": 27},
    [],
    {"eos_token": "<|endoftext|>"},
)


def transformers_alone():
    sizes = {"hidden_dim": 8, "num_layers": 1, "num_heads": 2, "mlp_dim": 8}
    return VisionEncoderDecoder(
        encoder=ViT(image_size=16, patch_size=8, num_classes=None, **sizes),
        decoder=GPT2(
            vocabulary_size=28,
            max_length=24,
            use_cross_attention=True,
            end_id=27,
            dropout=0.0,
            attention_dropout=0.0,
            embedding_dropout=0.0,
            **sizes,
        ),
        tokenizer=LETTERS,
        padding_id=0,
    )


SIZES = {"hidden_dim": 6, "word_dim": 4, "dropout": 0.0, **SMALL}
MAKE = {
    "RNNCaptioner": lambda: RNNCaptioner(vocabulary=WORDS, **SIZES),
    "ShowAttendTell": lambda: ShowAttendTell(vocabulary=WORDS, **SIZES),
    "TransformerCaptioner": lambda: TransformerCaptioner(
        vocabulary=WORDS,
        hidden_dim=8,
        num_layers=1,
        num_heads=2,
        mlp_dim=8,
        dropout=0.0,
        attention_dropout=0.0,
        **SMALL,
    ),
    "VisionEncoderDecoder": transformers_alone,
}


@pytest.fixture
def paths(tmp_path):
    """The pictures as files."""
    paths = [tmp_path / f"{i}.png" for i in range(len(PICTURES))]
    for path, picture in zip(paths, PICTURES, strict=True):
        Image.fromarray(picture).save(path)
    return list(map(str, paths))


def compiled(name):
    model = MAKE[name]()
    model.compile("sgd", TokenCrossentropy(padding_id=None))
    return model


def as_arrays(model, paths):
    """What strings stand for, made by hand: start, caption, end, padding."""
    rows = [
        [model.start_id, *ids, model.end_id]
        for ids in model.vocabulary.token_id_lists(CAPTIONS)
    ]
    longest = max(map(len, rows))
    padded = np.full((2, longest), model.padding_id)
    for row, ids in zip(padded, rows, strict=True):
        row[: len(ids)] = ids
    weights = np.arange(1, longest) < np.array([[len(ids)] for ids in rows])
    inputs = {"images": model.read_images(paths), "token_ids": padded[:, :-1]}
    return inputs, padded[:, 1:], weights.astype("float32")


@pytest.mark.compiles_much
@pytest.mark.parametrize("name", MAKE)
def test_pictures_and_strings_are_learned_as_their_arrays(name, paths):
    model = compiled(name)
    inputs, targets, weights = as_arrays(model, paths)
    expected = model.evaluate(inputs, targets, sample_weight=weights, verbose=0)
    assert model.evaluate(paths, CAPTIONS, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )
    pairs = list(zip(paths, CAPTIONS, strict=True))
    assert model.evaluate(pairs, verbose=0) == pytest.approx(expected, rel=1e-5)
    model.optimizer.learning_rate = 0.05
    model.fit(paths, CAPTIONS, epochs=3, verbose=0)
    after = model.evaluate(paths, CAPTIONS, verbose=0)
    assert after < expected


@pytest.mark.once
def test_a_picture_may_have_several_captions(tmp_path, paths):
    table = tmp_path / "captions.csv"
    rows = ["image,caption", "0.png,a cat", "0.png,a black cat", "1.png,a dog"]
    table.write_text("\n".join(rows))
    model = compiled("ShowAttendTell")
    examples = model.read_raw(load_captions(table))
    pairs, _ = model.take_labels(examples, None)
    assert [caption for _, caption in pairs] == ["a cat", "a black cat", "a dog"]
    history = model.fit(load_captions(table), verbose=0, validation_split=0.4).history
    assert np.isfinite(history["val_loss"]).all()
    model.fit(paths, [["a cat", "a black cat"], "a dog"], verbose=0)


@pytest.mark.once
def test_batches_of_a_stream_are_prepared(paths):
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return paths, CAPTIONS

    model = compiled("RNNCaptioner")
    expected = model.evaluate(paths, CAPTIONS, verbose=0)
    assert model.evaluate(Batches(), verbose=0) == pytest.approx(expected, rel=1e-5)
    pictures = np.stack([load_image(path, (16, 16)) for path in paths])
    # Whole levels, where those of files that are shrunk have fractions.
    found = model.evaluate(pictures.astype("uint8"), CAPTIONS, verbose=0)
    assert found == pytest.approx(expected, rel=1e-2)


@pytest.mark.once
@pytest.mark.parametrize(
    "labels, message",
    [
        (None, "Received pictures alone"),
        (CAPTIONS[:1], "2 pictures and 1 captions"),
        ([["a cat"], []], "a string, or a list of some"),
        (["a cat", 3], "Received: 3 at position 1"),
        (["a" * 24, "a"], "Caption 0 needs 25 tokens, and this model reads at most 24"),
    ],
)
def test_captions_that_cannot_be_learned_are_refused(paths, labels, message):
    model = compiled("VisionEncoderDecoder")
    with pytest.raises(ValueError, match=message):
        model.fit(paths, labels, verbose=0)


@pytest.mark.once
def test_a_model_without_words_learns_from_arrays(paths):
    model = RNNCaptioner(vocabulary_size=9, **SIZES)
    model.compile("sgd", TokenCrossentropy())
    with pytest.raises(ValueError, match="has no vocabulary, so it learns from"):
        model.fit(paths, CAPTIONS, verbose=0)
