import base64
import io
import json
import re

import keras
import numpy as np
import PIL.Image
import pytest

from keras_attention.visualization import show_patches
from keras_attention.visualization.patches import find_prefix
from keras_attention.visualization.patches import infer_grid
from keras_attention.visualization.patches import lay_over
from keras_attention.visualization.patches import OVERLAY
from keras_attention.visualization.patches import scale_map

IMAGE = np.full((40, 60, 3), 255, "uint8")  # 2 rows, 3 columns of patches
SAYS = "document.getElementById('says').textContent"


def data_of(view):
    return json.loads(re.search('id="data">(.*)</script>', view._page())[1])


def maps_of(view):
    data = data_of(view)
    return np.array(data["maps"]).reshape(-1, *data["grid"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32"])
def test_one_score_a_patch_becomes_a_map(dtype):
    scores = keras.ops.convert_to_tensor([1, 2, 3, 4, 5, 6], dtype)
    np.testing.assert_array_equal(
        maps_of(show_patches(IMAGE, scores)), [[[1, 2, 3], [4, 5, 6]]]
    )


@pytest.mark.once
def test_scores_of_prefix_tokens_are_left_out():
    view = show_patches(IMAGE, [99, 98, 1, 2, 3, 4, 5, 6], num_prefix_tokens=2)
    np.testing.assert_array_equal(maps_of(view), [[[1, 2, 3], [4, 5, 6]]])


@pytest.mark.once
@pytest.mark.parametrize(
    ("shape", "arguments", "expected"),
    [
        ((6,), {}, (1, 2, 3)),
        ((6,), {"grid": (3, 2)}, (1, 3, 2)),
        ((5, 4), {}, (1, 5, 4)),
        ((5, 4), {"grid": (5, 4)}, (1, 5, 4)),
        ((5, 6), {"grid": (2, 3)}, (5, 2, 3)),
        ((5, 7), {"num_prefix_tokens": 1}, (5, 2, 3)),
        ((5, 7, 9), {}, (5, 7, 9)),
    ],
)
def test_scores_come_in_several_shapes(rng, shape, arguments, expected):
    scores = rng.integers(0, 1000, shape)
    maps = maps_of(show_patches(IMAGE, scores, **arguments))
    assert maps.shape == expected
    prefix = arguments.get("num_prefix_tokens", 0)
    np.testing.assert_array_equal(maps.ravel(), scores[..., prefix:].ravel())


@pytest.mark.once
@pytest.mark.parametrize(
    ("count", "height", "width", "grid"),
    [
        (196, 224, 224, (14, 14)),
        (6, 40, 60, (2, 3)),
        (6, 60, 40, (3, 2)),
        (1, 9, 9, (1, 1)),
    ],
)
def test_the_grid_follows_the_sides_of_the_picture(count, height, width, grid):
    assert infer_grid(count, height, width) == grid


@pytest.mark.once
@pytest.mark.parametrize(
    ("length", "size", "prefix"),
    [
        (196, (224, 224), 0),
        (197, (224, 224), 1),
        (198, (224, 224), 2),
        (50, (32, 32), 1),  # not 5 × 10
        (7, (40, 60), 1),
        (1, (8, 8), 0),
    ],
)
def test_prefix_tokens_are_those_without_which_patches_are_square(length, size, prefix):
    assert find_prefix(length, *size) == prefix


@pytest.mark.once
def test_a_forgotten_class_token_is_told():
    with pytest.raises(ValueError, match="No grid of 197 patches .*num_prefix_tokens"):
        show_patches(np.ones((32, 32, 3)), np.ones(197))


@pytest.mark.once
@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        (np.ones((1, 1, 2, 3)), {}, r"\(1, 1, 2, 3\). Choose one picture"),
        (np.ones(0), {}, "must have the shape"),
        (np.ones(2), {"num_prefix_tokens": 2}, "No grid of 0 patches"),
        (np.ones(7), {"grid": (2, 3)}, r"\(7,\), num_prefix_tokens=0, grid=\(2, 3\)"),
        (np.ones((2, 2, 3)), {"num_prefix_tokens": 1}, "Leave out both arguments"),
        (np.array([1, np.nan, 0, 0, 0, 0]), {}, "nan or infinity in 1 of 6 patches"),
        (np.ones((2, 2, 3)), {"titles": ["a"]}, "1 titles, 2 maps"),
    ],
)
def test_scores_that_cannot_be_laid_are_told(scores, arguments, message):
    with pytest.raises(ValueError, match=message):
        show_patches(IMAGE, scores, **arguments)


@pytest.mark.once
def test_a_map_runs_from_its_smallest_to_its_largest_score():
    np.testing.assert_allclose(scale_map(np.array([2.0, 3.0, 6.0])), [0, 0.25, 1])
    np.testing.assert_allclose(scale_map(np.array([-1.0, 0.0, 4.0])), [-0.25, 0, 1])
    np.testing.assert_allclose(scale_map(np.array([7.0, 7.0])), [0, 0])
    np.testing.assert_allclose(scale_map(np.array([0.0, 0.0])), [0, 0])


@pytest.mark.once
def test_the_largest_score_has_the_strongest_colour():
    grey = np.full((30, 30, 3), 100, "uint8")
    map = np.zeros((3, 3))
    map[1, 1] = 0.01
    laid = lay_over(grey, map)
    part, strong = OVERLAY["strength"], np.array(OVERLAY["warm"][1])
    middle = laid[14:16, 14:16].mean(axis=(0, 1))
    np.testing.assert_allclose(middle, (1 - part) * 100 + part * strong, atol=3)
    np.testing.assert_array_equal(laid[0, 0], [100, 100, 100])


@pytest.mark.once
def test_what_is_below_zero_is_blue_and_above_it_red():
    grey = np.full((10, 40, 3), 100, "uint8")
    red, _, blue = lay_over(grey, np.array([[-1.0, 0, 0, 1.0]]))[5].astype(int).T
    assert blue[0] > red[0] + 50
    assert red[-1] > blue[-1] + 50


@pytest.mark.once
def test_the_figure_draws_the_picture_and_each_map(rng, tmp_path):
    maps = rng.random((2, 2, 3))
    figure = show_patches(IMAGE, maps, titles=["$cat", "dog$"]).figure()
    assert [axes.get_title() for axes in figure.axes] == ["picture", "$cat", "dog$"]
    shown = [np.asarray(axes.images[0].get_array()) for axes in figure.axes]
    np.testing.assert_array_equal(shown[0], IMAGE)
    np.testing.assert_array_equal(shown[2], lay_over(IMAGE, maps[1]))
    figure.savefig(tmp_path / "patches.png")


@pytest.mark.once
def test_the_page_holds_the_picture(rng):
    image = rng.integers(0, 256, (40, 60, 3)).astype("uint8")
    text = data_of(show_patches(image, np.arange(6)))["image"].partition(",")[2]
    read = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(text))))
    np.testing.assert_array_equal(read, image)


@pytest.fixture
def patches_page(browser, tmp_path):
    maps = np.array([[[0, 0.25, 0], [0, 0, 0.5]], [[-2, 1, 0], [0, 0, 0]]])
    view = show_patches(IMAGE, maps, titles=["cat", "<b>dog</b>"])
    browser.show(width=1100, height=700, theme="light")
    browser.open(view.save(tmp_path / "patches.html"))
    yield browser
    assert len(browser.screenshot()) > 10_000
    assert browser.complaints() == []


@pytest.mark.once
def test_pointing_at_a_patch_shows_its_score(patches_page):
    hint = patches_page.evaluate(SAYS)
    patches_page.point_at("document.querySelector('.stage')")
    says = patches_page.evaluate(SAYS)
    assert re.fullmatch(
        "Row [12], column 2 of 2 × 3: score (0.25, number 2 of 6|0, number 3 of 6)",
        says,
    )
    patches_page.point_at("document.getElementById('title')")
    assert patches_page.evaluate(SAYS) == hint


@pytest.mark.once
def test_the_arrow_keys_walk_from_patch_to_patch(patches_page):
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowRight"):
        patches_page.press(key)
    expected = "Row 2, column 3 of 2 × 3: score 0.5, the largest"
    assert patches_page.evaluate(SAYS) == expected


@pytest.mark.once
def test_another_map_is_chosen_by_its_small_picture(patches_page):
    plain = patches_page.evaluate("stage.toDataURL()")
    patches_page.evaluate("document.querySelectorAll('.maps button')[1].click()")
    assert patches_page.evaluate("stage.toDataURL()") != plain
    title = "document.getElementById('title').innerText"
    assert patches_page.evaluate(title) == "<b>dog</b>"
    ends = "[...document.querySelectorAll('.legend span')].map(s => s.textContent)"
    assert patches_page.evaluate(ends) == ["-2", "0", "2"]


@pytest.mark.once
def test_the_slider_takes_the_colours_away(patches_page):
    patches_page.evaluate(
        "(slider => { slider.value = 0; slider.oninput(); })"
        "(document.querySelector('input'))"
    )
    pixel = "[...stage.getContext('2d').getImageData(580, 350, 1, 1).data]"
    assert patches_page.evaluate(pixel) == [255, 255, 255, 255]


@pytest.mark.once
def test_the_page_and_the_figure_paint_the_same_colours(browser, rng, tmp_path):
    """On a picture of one colour, which no enlarging can change."""
    scores = rng.normal(size=(2, 3))
    view = show_patches(np.full((40, 60, 3), (250, 240, 90), "uint8"), scores)
    browser.show(width=1100, height=700, theme="dark")
    browser.open(view.save(tmp_path / "patches.html"))
    width, height = browser.evaluate("[stage.width, stage.height]")
    drawn = browser.evaluate(
        f"[...stage.getContext('2d').getImageData(0, 0, {width}, {height}).data]"
    )
    drawn = np.array(drawn).reshape(height, width, 4)[..., :3]
    large = np.full((height, width, 3), (250, 240, 90), "uint8")
    assert np.abs(drawn - lay_over(large, scores).astype(int)).max() <= 2
    assert browser.complaints() == []
