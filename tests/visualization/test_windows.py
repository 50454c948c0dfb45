"""Windows lie where Swin puts them, and a page of them reads like its figure."""

import json
import re

import keras
import numpy as np
import pytest

from keras_attention.applications import Swin
from keras_attention.visualization import attention_maps
from keras_attention.visualization import show_windows
from keras_attention.visualization.windows import light_up
from keras_attention.visualization.windows import Partition

pytestmark = pytest.mark.once

IMAGE = np.full((40, 60, 3), 255, "uint8")
SAYS = "document.getElementById('says').textContent"


def partition_as_swin(grid, window, shift):
    """The cells of each window, `(W, M)`, by padding with -1, rolling and cutting."""
    (rows, columns), (height, width) = grid, window
    cells = np.arange(rows * columns).reshape(rows, columns)
    cells = np.pad(
        cells, ((0, -rows % height), (0, -columns % width)), constant_values=-1
    )
    cells = np.roll(cells, (-shift[0], -shift[1]), axis=(0, 1))
    cut = cells.reshape(
        cells.shape[0] // height, height, cells.shape[1] // width, width
    )
    return cut.transpose(0, 2, 1, 3).reshape(-1, height * width)


@pytest.mark.parametrize(
    ("grid", "window", "shift"),
    [
        ((4, 6), (2, 2), (0, 0)),
        ((4, 6), (2, 2), (1, 1)),
        ((6, 9), (2, 3), (1, 2)),
        ((5, 7), (3, 4), (1, 2)),  # padded to 6 × 8
        ((2, 3), (4, 4), (0, 0)),  # one window, larger than the picture
    ],
)
def test_a_patch_has_the_place_that_swin_gives_it(grid, window, shift):
    partition = Partition(grid, window, shift)
    expected = partition_as_swin(grid, window, shift)
    for number, cells in enumerate(expected):
        rows, columns = partition.cells_of(number)
        inside = (rows < grid[0]) & (columns < grid[1])
        found = np.where(inside, rows * grid[1] + columns, -1)
        np.testing.assert_array_equal(found, cells)
    for row in range(grid[0]):
        for column in range(grid[1]):
            number, place = partition.place_of((row, column))
            assert expected[number, place] == row * grid[1] + column


def test_lines_stand_where_windows_end():
    assert Partition((4, 6), 2).lines() == [[2], [2, 4]]
    assert Partition((4, 6), 2, 1).lines() == [[1, 3], [1, 3, 5]]


def test_values_are_spread_over_both_ends_of_a_window_that_the_edge_cuts():
    """A grid of 2 × 4 in windows of 2 × 2, shifted by 1 column: the second has
    columns 3 and 0."""
    spread = Partition((2, 4), 2, (0, 1)).spread(1, [1, 2, 3, 4])
    np.testing.assert_array_equal(
        spread, [[2, np.nan, np.nan, 1], [4, np.nan, np.nan, 3]]
    )


def test_the_picture_is_pale_outside_and_coloured_where_it_is_read():
    grey = np.full((4, 6, 3), 100, "uint8")
    shown = light_up(grey, np.array([[np.nan, 0.0, 1.0]])).astype(int)
    outside, unread, read = shown[0, 0], shown[0, 2], shown[0, 4]
    assert outside.min() > 180
    np.testing.assert_array_equal(unread, [100, 100, 100])
    assert read[0] > 180 and read[0] > read[2] + 100


def data_of(view):
    return json.loads(re.search('id="data">(.*)</script>', view._page())[1])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_of_any_float_type_are_shown(dtype):
    weights = keras.ops.full((6, 2, 4, 4), 0.25, dtype)
    data = data_of(show_windows(IMAGE, weights, (4, 6), 2, shift=1, cell=(1, 2)))
    assert data["grid"] == [4, 6] and data["cell"] == [1, 2]
    assert data["window"] == [2, 2] and data["shift"] == [1, 1]


def test_a_picture_of_a_batch_is_chosen(rng):
    weights = rng.random((12, 2, 4, 4))
    second = show_windows(IMAGE, weights, (4, 6), 2, index=1)
    alone = show_windows(IMAGE, weights[6:], (4, 6), 2)
    assert data_of(second) == data_of(alone)
    with pytest.raises(ValueError, match="must name a picture of the batch, of 2. Rec"):
        show_windows(IMAGE, weights, (4, 6), 2, index=2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"weights": np.ones((5, 2, 4, 4))},
            r"\(pictures \* 6, heads, 4, 4\) for a",
        ),
        ({"weights": np.ones((6, 2, 4, 9))}, r"Received: weights.shape=\(6, 2, 4, 9\)"),
        ({"weights": np.ones((6, 4, 4))}, r"Received: weights.shape=\(6, 4, 4\)"),
        ({"weights": -np.ones((6, 2, 4, 4))}, "must be finite and not negative"),
        ({"grid": (4, 0)}, r"`grid` must be whole numbers .* grid=\(4, 0\)"),
        ({"grid": 2.5}, "`grid` must be whole numbers"),
        ({"window_size": (2, 2, 2)}, "`window_size` must be whole numbers"),
        (
            {"shift": 2},
            r"be less than the window. Received: shift=\(2, 2\)",
        ),
        (
            {"shift": -1},
            "`shift` must be whole numbers of rows .*, at least 0",
        ),
        ({"cell": (4, 0)}, r"`cell` must lie in the grid. Received: cell=\(4, 0\)"),
        ({"image": np.ones((4, 6))}, "`image` must have the shape"),
    ],
)
def test_what_does_not_fit_is_told(changes, message):
    arguments = {
        "image": IMAGE,
        "weights": np.ones((6, 2, 4, 4)),
        "grid": (4, 6),
        "window_size": 2,
    }
    with pytest.raises(ValueError, match=message):
        show_windows(**{**arguments, **changes})


def test_the_figure_has_the_mean_and_each_head(rng, tmp_path):
    weights = rng.random((6, 2, 4, 4))
    figure = show_windows(IMAGE, weights, (4, 6), 2, shift=1, cell=(0, 0)).figure()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["all heads", "head 0", "head 1"]
    partition = Partition((4, 6), 2, 1)
    number, place = partition.place_of((0, 0))
    values = weights[number, 1, place]
    expected = light_up(IMAGE, partition.spread(number, values / values.max()))
    shown = np.asarray(figure.axes[2].images[0].get_array())
    np.testing.assert_array_equal(shown, expected)
    figure.savefig(tmp_path / "windows.png")
    one = show_windows(IMAGE, weights[:, :1], (4, 6), 2).figure()
    assert len(one.axes) == 1


# Six windows of 2 × 2 on a grid of 4 × 6, the first head reads the patch itself, the
# second the patch in the upper left corner of its window.
SELF, CORNER = np.eye(4), np.eye(4)[[0, 0, 0, 0]]
HEADS = np.broadcast_to(np.stack([SELF, CORNER]), (6, 2, 4, 4))


@pytest.fixture
def windows_page(browser, tmp_path):
    view = show_windows(IMAGE, HEADS, (4, 6), 2, shift=1, cell=(0, 0))
    browser.show(width=1100, height=760, theme="light")
    browser.open(view.save(tmp_path / "windows.html"))
    yield browser
    assert len(browser.screenshot()) > 10_000
    assert browser.complaints() == []


def test_a_patch_at_the_edge_reads_across_it(windows_page):
    """With the shift, patch (0, 0) is the last of the window that starts at (3, 5)."""
    assert windows_page.evaluate(SAYS) == (
        "Row 1, column 1, in window 6 of 6, reads row 4, column 6 0.50, "
        "row 1, column 1 0.50"
    )


def test_the_arrow_keys_walk_from_patch_to_patch(windows_page):
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowLeft"):
        windows_page.press(key)
    said = windows_page.evaluate(SAYS)
    assert said.startswith("Row 2, column 2, in window 1 of 6, reads row 2, column 2 1")


def test_a_head_is_chosen_by_its_window_and_by_keys(windows_page):
    buttons = "document.querySelectorAll('.heads button')"
    assert windows_page.evaluate(f"{buttons}.length") == 3
    windows_page.evaluate(f"{buttons}[2].click()")
    said = windows_page.evaluate(SAYS)
    assert said == "Row 1, column 1, in window 6 of 6, reads row 4, column 6 1.00"
    windows_page.press("ArrowLeft")
    assert "reads row 1, column 1 1.00" in windows_page.evaluate(SAYS)
    pressed = f"[...{buttons}].map(b => b.ariaPressed)"
    assert windows_page.evaluate(pressed) == ["false", "true", "false"]


def test_pointing_at_a_patch_chooses_it_for_a_while(windows_page):
    before = windows_page.evaluate(SAYS)
    windows_page.point_at("document.querySelector('.stage')")
    said = windows_page.evaluate(SAYS)
    assert re.match("Row 3, column 4, in window", said), said
    windows_page.point_at("document.getElementById('title')")
    assert windows_page.evaluate(SAYS) == before


def test_the_lines_can_be_taken_away(windows_page):
    with_lines = windows_page.evaluate("stage.toDataURL()")
    windows_page.evaluate("document.querySelector('input[type=checkbox]').click()")
    assert windows_page.evaluate("stage.toDataURL()") != with_lines


def test_what_is_read_of_the_padding_is_told(browser, tmp_path):
    weights = np.full((2, 1, 4, 4), 0.25)
    view = show_windows(IMAGE, weights, (2, 3), 2, cell=(0, 2))
    browser.show(width=700, height=760, theme="dark")
    browser.open(view.save(tmp_path / "windows.html"))
    assert browser.evaluate(SAYS).endswith("; 50% lies outside the picture")
    assert browser.complaints() == []


def test_the_page_and_the_figure_paint_the_same_colours(browser, rng, tmp_path):
    """In the middle of each patch, where no line is, on a picture of one colour."""
    image = np.full((40, 60, 3), (250, 240, 90), "uint8")
    weights = rng.random((6, 1, 4, 4))
    view = show_windows(image, weights, (4, 6), 2, shift=1, cell=(1, 1))
    browser.show(width=1100, height=760, theme="light")
    browser.open(view.save(tmp_path / "windows.html"))
    drawn = browser.evaluate(
        "Array.from({length: 24}, (_, i) => [...stage.getContext('2d').getImageData("
        "(i % 6 + 0.5) * stage.width / 6, (Math.floor(i / 6) + 0.5) * stage.height / 4,"
        " 1, 1).data.slice(0, 3)])"
    )
    partition = Partition((4, 6), 2, 1)
    number, place = partition.place_of((1, 1))
    values = weights[number, 0, place]
    expected = light_up(image, partition.spread(number, values / values.max()))
    expected = expected[5::10, 5::10].reshape(24, 3).astype(int)
    assert np.abs(np.array(drawn) - expected).max() <= 2
    assert browser.complaints() == []


def test_the_windows_of_a_model_are_shown(rng):
    """Of a Swin whose grid windows do not fill, from its maps."""
    model = Swin(
        image_size=(28, 40),
        hidden_dim=8,
        num_layers=(2,),
        num_heads=(2,),
        mlp_dim=16,
        window_size=4,
        num_classes=3,
    )
    images = rng.random(size=(2, 28, 40, 3)).astype("float32")
    maps = attention_maps(model, images)
    name = "stage_0_block_1/self_attention/attention"
    view = show_windows(images[1], maps[name].weights, (7, 10), 4, shift=2, index=1)
    assert "Windows of 4 × 4 patches, shifted by 2 × 2" in repr(view)
