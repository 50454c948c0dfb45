import base64
import io
import json
import re

import keras
import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from keras_attention.visualization import show_captions
from keras_attention.visualization import show_words
from keras_attention.visualization.pictures import means
from keras_attention.visualization.pictures import splines
from keras_attention.visualization.words import _light_up
from keras_attention.visualization.words import LIGHT

IMAGE = np.full((6, 4, 3), 255, "uint8")
TWO_MAPS = np.array([[[0.5, 0.5], [0, 0], [0, 0]], [[0, 0], [0, 0], [0.2, 0.8]]])


def data_of(view):
    data = re.search('id="data">(.*)</script>', view._page())[1]
    return json.loads(data)


def picture_of(item):
    text = item["image"].partition(",")[2]
    return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))))


def maps_of(item):
    packed = item["weights"]
    rows = np.frombuffer(base64.b64decode(packed["bytes"]), "uint8")
    rows = rows.reshape(len(packed["peaks"]), *item["grid"])
    return rows / 255 * np.array(packed["peaks"])[:, None, None]


def test_the_page_holds_the_picture_the_words_and_the_weights(rng):
    image = rng.integers(0, 256, (10, 12, 3)).astype("uint8")
    weights = rng.random((3, 5, 7))
    data = data_of(show_words(image, ["a", "red", "dog"], weights))
    assert not data["many"]
    (item,) = data["items"]
    assert item["words"] == ["a", "red", "dog"]
    assert item["truth"] is None
    np.testing.assert_array_equal(picture_of(item), image)
    largest = weights.max(axis=(1, 2), keepdims=True)
    assert (np.abs(maps_of(item) - weights) <= largest / 255).all()


@pytest.mark.parametrize(
    ("text", "words"),
    [("  Medium-dark\n dog! ", ["medium-dark", "dog"]), ("狗脸", ["狗", "脸"])],
)
def test_one_string_is_split_as_a_vocabulary_does(text, words):
    (item,) = data_of(show_words(IMAGE, text, TWO_MAPS))["items"]
    assert item["words"] == words


def test_floats_show_the_same_as_bytes():
    image = np.arange(72, dtype="uint8").reshape(6, 4, 3)
    floats = (image / 255).astype("float32")
    (expected,) = data_of(show_words(image, "a dog", TWO_MAPS))["items"]
    (item,) = data_of(show_words(floats, "a dog", TWO_MAPS))["items"]
    assert item == expected


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors_of_the_backend_are_taken(dtype):
    weights = keras.ops.convert_to_tensor(TWO_MAPS, dtype)
    image = keras.ops.ones((6, 4, 3))
    (item,) = data_of(show_words(image, "a dog", weights))["items"]
    np.testing.assert_allclose(maps_of(item), TWO_MAPS, atol=0.004)


def test_lists_are_taken():
    (item,) = data_of(show_words(IMAGE.tolist(), "a dog", TWO_MAPS.tolist()))["items"]
    np.testing.assert_allclose(maps_of(item), TWO_MAPS, atol=0.002)


def test_a_caption_without_words_shows_the_picture_alone():
    view = show_words(IMAGE, "", np.zeros((0, 3, 2)))
    assert data_of(view)["items"][0]["words"] == []
    assert len(view.figure().axes) == 1


def test_each_word_needs_a_map():
    with pytest.raises(ValueError, match=r"3 words, weights.shape=\(2, 3, 2\)"):
        show_words(IMAGE, "a red dog", TWO_MAPS)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 2, 1), (2, 0, 2)])
def test_maps_have_three_axes(shape):
    with pytest.raises(ValueError, match=r"must have the shape \(words, rows, colum"):
        show_words(IMAGE, "a dog", np.ones(shape))


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf])
def test_scores_are_not_weights(value):
    weights = TWO_MAPS.copy()
    weights[1, 2, 1] = value
    with pytest.raises(ValueError, match="finite and not negative.*after the softmax"):
        show_words(IMAGE, "a dog", weights)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1), (6, 4, 4), (1, 6, 4, 3)])
def test_a_picture_has_three_channels(shape):
    with pytest.raises(ValueError, match=r"`image` must have the shape \(height, wid"):
        show_words(np.ones(shape), "a dog", TWO_MAPS)


@pytest.mark.parametrize("value", [-1, 256])
def test_a_picture_of_whole_numbers_lies_between_0_and_255(value):
    with pytest.raises(ValueError, match=f"Received: values from {value} to {value}"):
        show_words(np.full((6, 4, 3), value), "a dog", TWO_MAPS)


@pytest.mark.parametrize("value", [-1.0, 1.5, 255.0, np.nan])
def test_a_picture_of_floats_lies_between_0_and_1(value):
    with pytest.raises(
        ValueError, match="or floats from 0 to 1. Received: values from"
    ):
        show_words(np.full((6, 4, 3), value), "a dog", TWO_MAPS)


def test_a_figure_has_the_picture_and_one_panel_for_each_word():
    figure = show_words(IMAGE, "a dog", TWO_MAPS).figure()
    assert isinstance(figure, Figure)
    assert [axes.get_title() for axes in figure.axes] == ["", "a", "dog"]


def test_a_note_stands_below_the_pictures():
    note = "Drawn by <b>us</b>, $5 each"
    view = show_captions([IMAGE], ["dog"], np.ones((1, 1, 3, 2)), note=note)
    assert data_of(view)["note"] == note
    assert view.figure().get_supxlabel() == note


def test_a_figure_takes_words_that_look_like_mathematics(tmp_path):
    figure = show_words(IMAGE, ["$\\frac", "$"], TWO_MAPS).figure()
    figure.savefig(tmp_path / "words.png")


def test_a_figure_of_captions_marks_right_and_wrong(tmp_path):
    figure = show_captions(
        np.stack([IMAGE] * 2),
        ["a dog", "cat"],
        np.ones((2, 2, 3, 2)),
        ["A dog!", "dog"],
    ).figure()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["right", "a", "dog", "wrong", "cat"]
    assert [text.get_text() for text in figure.axes[3].texts] == ["truth: dog"]
    figure.savefig(tmp_path / "captions.png")


def test_white_turns_pale_where_nothing_is_read_and_warm_at_the_peak():
    white = np.full((30, 20, 3), 255, "uint8")
    weights = np.zeros((3, 2))
    weights[0] = 1.0  # the upper third
    panel = _light_up(white, weights)
    light = LIGHT["light"]
    red, green, blue = panel[0, 0].astype(int)
    assert red == 255 and green < 230 and blue < green - 50
    pale = light["keep"] * 255 + (1 - light["keep"]) * np.array(light["pale"])
    np.testing.assert_allclose(panel[-1, -1], pale, atol=0.5)


def test_colours_stay_where_the_model_looks_and_turn_grey_elsewhere():
    blue = np.zeros((30, 20, 3), "uint8")
    blue[..., 2] = 200
    panel = _light_up(blue, np.array([[1.0], [0.0], [0.0]])).astype(int)
    assert panel[0, 0].tolist() == [0, 0, 200]
    assert np.ptp(panel[-1, -1]) < 15


def test_equal_weights_show_the_picture_as_it_is(rng):
    image = rng.integers(0, 256, (30, 20, 3)).astype("uint8")
    np.testing.assert_array_equal(_light_up(image, np.full((3, 2), 0.01)), image)


def test_no_weights_at_all_light_nothing():
    panel = _light_up(np.full((30, 20, 3), 255, "uint8"), np.zeros((3, 2)))
    assert np.ptp(panel, axis=(0, 1)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(("cells", "pixels"), [(1, 5), (3, 3), (5, 64), (14, 9)])
def test_splines_keep_what_is_constant_and_what_is_symmetric(cells, pixels):
    matrix = splines(cells, pixels)
    assert matrix.shape == (pixels, cells)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)


def test_a_spline_at_the_middle_of_a_cell_weighs_the_cell_with_two_thirds():
    np.testing.assert_allclose(splines(5, 5)[2], [0, 1 / 6, 2 / 3, 1 / 6, 0])


def test_shrinking_takes_means():
    np.testing.assert_allclose(means(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    thirds = [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]]
    np.testing.assert_allclose(means(3, 2), thirds)


def test_captions_stand_in_one_page_with_their_truths():
    images = [IMAGE, np.zeros((3, 5, 3), "uint8")]
    view = show_captions(
        images,
        ["woman medium skin tone", "flag France"],
        [np.ones((4, 2, 2)), np.ones((2, 3, 1))],
        truths=["woman medium-dark skin tone", "flag: France"],
    )
    first, second = data_of(view)["items"]
    assert [first["right"], second["right"]] == [False, True]
    assert (first["wrong"], first["missed"]) == ([1], [1])
    assert (second["wrong"], second["missed"]) == ([], [])
    assert first["truth"] == ["woman", "medium-dark", "skin", "tone"]
    assert [first["grid"], second["grid"]] == [[2, 2], [3, 1]]
    np.testing.assert_array_equal(picture_of(second), images[1])


@pytest.mark.parametrize(
    ("caption", "truth", "right", "wrong", "missed"),
    [
        ("a dog", "A dog.", True, [], []),
        ("dog a", "a dog", False, [1], [0]),
        ("a big dog", "a dog", False, [1], []),
        ("a dog", "a big dog", False, [], [1]),
        ("", "dog", False, [], [0]),
        ("dog —", "dog", True, [], []),
        ("狗 脸", "狗脸", True, [], []),
        ("狗 头", "狗脸", False, [1], [1]),
    ],
)
def test_a_caption_is_compared_word_by_word(caption, truth, right, wrong, missed):
    words = caption.split()
    weights = [np.ones((len(words), 2, 2))]
    (item,) = data_of(show_captions([IMAGE], [words], weights, [truth]))["items"]
    assert (item["right"], item["wrong"], item["missed"]) == (right, wrong, missed)


def test_maps_that_pad_an_array_are_left_out():
    weights = np.arange(2 * 3 * 2 * 2, dtype="float32").reshape(2, 3, 2, 2)
    view = show_captions([IMAGE, IMAGE], ["a", "a red dog"], weights)
    first, second = data_of(view)["items"]
    assert len(maps_of(first)) == 1
    np.testing.assert_allclose(maps_of(second), weights[1], atol=0.1)


def test_a_list_of_maps_must_fit_exactly():
    weights = [np.ones((3, 2, 2))]
    with pytest.raises(ValueError, match=r"weights\[0\].shape=\(3, 2, 2\) for the 2 w"):
        show_captions([IMAGE], ["a dog"], weights)


def test_an_array_of_maps_must_be_long_enough():
    with pytest.raises(ValueError, match="for the 2 words of captions"):
        show_captions([IMAGE], ["a dog"], np.ones((1, 1, 2, 2)))


def test_there_is_one_of_each_for_a_picture():
    lengths = "{'images': 1, 'captions': 2, 'weights': 2, 'truths': 3}"
    with pytest.raises(ValueError, match=lengths):
        show_captions([IMAGE], ["a", "b"], np.ones((2, 1, 2, 2)), ["a", "b", "c"])


def test_a_page_of_no_pictures_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        show_captions([], [], [])


def test_a_wrong_picture_or_map_is_named():
    with pytest.raises(ValueError, match=r"`images\[1\]` must have the shape"):
        show_captions([IMAGE, IMAGE[0]], ["a", "b"], np.ones((2, 1, 2, 2)))
    with pytest.raises(ValueError, match=r"`weights\[1\]` must be finite"):
        show_captions(
            [IMAGE] * 2, ["a", "b"], [np.ones((1, 2, 2)), -np.ones((1, 2, 2))]
        )


def test_forty_pictures_take_less_than_two_megabytes(rng, tmp_path):
    """Noise, the hardest to pack, 12 words a picture, a grid of 14 x 14."""
    images = rng.integers(0, 256, (40, 224, 300, 3)).astype("uint8")
    captions = ["one two three four five six seven eight nine ten eleven twelve"] * 40
    view = show_captions(images, captions, rng.random((40, 12, 14, 14)))
    assert view.save(tmp_path / "captions.html").stat().st_size < 2_000_000


def test_small_pictures_are_not_made_smaller(rng):
    images = rng.integers(0, 256, (60, 64, 64, 3)).astype("uint8")
    view = show_captions(images, [""] * 60, np.zeros((60, 0, 2, 2)))
    np.testing.assert_array_equal(picture_of(data_of(view)["items"][59]), images[59])


def test_a_large_photo_is_shrunk_in_its_proportions():
    image = np.zeros((1500, 3000, 3), "uint8")
    image[:, 1500:] = 250
    (item,) = data_of(show_words(image, "a dog", TWO_MAPS))["items"]
    picture = picture_of(item)
    height, width, _ = picture.shape
    assert height * width * 3 <= 1_200_000
    assert width / height == pytest.approx(2, rel=0.01)
    assert (picture[0, 0, 0], picture[-1, -1, 0]) == (0, 250)
