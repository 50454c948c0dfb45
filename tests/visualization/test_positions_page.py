import base64
import json
import re
import zlib

import keras
import numpy as np
import pytest

from keras_attention.visualization import positions
from keras_attention.visualization import show_positions
from keras_attention.visualization.positions import mosaic

SAYS = "document.getElementById('says').textContent"
# Cosines of 0, 60, 90 and 180 degrees; lengths do not count.
TABLE = np.array([[2, 0], [0.5, 0.5 * 3**0.5], [0, 1], [-3, 0]])
COSINES = [
    [1, 0.5, 0, -1],
    [0.5, 1, 0.75**0.5, -0.5],
    [0, 0.75**0.5, 1, 0],
    [-1, -0.5, 0, 1],
]


def data_of(view):
    return json.loads(re.search('id="data">(.*)</script>', view._page())[1])


def similarity_of(view):
    data = data_of(view)
    packed = zlib.decompress(base64.b64decode(data["similarity"]))
    return np.frombuffer(packed, "<i2").reshape(data["length"], -1) / 32767


def test_the_page_holds_the_cosine_of_each_two_positions():
    view = show_positions(keras.ops.convert_to_tensor(TABLE, "float32"))
    np.testing.assert_allclose(similarity_of(view), COSINES, atol=3e-5)
    assert repr(view) == "<View 'Similarity of 4 positions'>"
    assert data_of(view)["grid"] is None


@pytest.mark.once
def test_a_position_of_zeros_is_like_none():
    similarity = similarity_of(show_positions([[1.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_allclose(similarity, [[1, 0], [0, 0]])


@pytest.mark.once
@pytest.mark.parametrize(
    ("table", "grid", "message"),
    [
        (np.ones((1, 6, 4)), None, r"\(1, 6, 4\). Leave out an axis of one"),
        (np.ones((7, 4)), (2, 3), r"grid=\(2, 3\), table.shape=\(7, 4\). Leave.*\[1:"),
        (np.ones((6, 4)), (6,), "must be the rows and columns"),
        (np.full((6, 4), np.nan), None, "nan or infinity in 6 of its 6 rows"),
    ],
)
def test_a_table_that_cannot_be_shown_is_told(table, grid, message):
    with pytest.raises(ValueError, match=message):
        show_positions(table, grid)


@pytest.mark.once
def test_a_long_table_is_shown_in_part(monkeypatch):
    monkeypatch.setattr(positions, "MOST_POSITIONS", 4)
    with pytest.raises(ValueError, match=r"at most 4 positions.*table\[::3\]"):
        show_positions(np.ones((9, 2)))


@pytest.mark.once
def test_the_small_maps_stand_where_their_positions_are():
    similarity = np.arange(36.0).reshape(6, 6)  # 2 rows, 3 columns
    whole = mosaic(similarity, (2, 3))
    assert whole.shape == (5, 11)
    np.testing.assert_array_equal(whole[:2, :3], similarity[0].reshape(2, 3))
    np.testing.assert_array_equal(whole[3:, 4:7], similarity[4].reshape(2, 3))
    assert np.isnan(whole[2]).all() and np.isnan(whole[:, [3, 7]]).all()


@pytest.mark.once
def test_the_figure_draws_the_similarity(rng, tmp_path):
    figure = show_positions(TABLE).figure()
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_array(), COSINES, atol=1e-6)
    assert image.get_clim() == (-1, 1)
    figure.savefig(tmp_path / "positions.png")


@pytest.mark.once
def test_the_figure_of_a_grid_draws_the_small_maps(tmp_path):
    figure = show_positions(TABLE, grid=(2, 2)).figure()
    drawn = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(
        np.ma.filled(drawn, np.nan), mosaic(np.array(COSINES), (2, 2)), atol=1e-6
    )
    figure.savefig(tmp_path / "positions.png")


@pytest.mark.once
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pointing_at_two_positions_shows_their_similarity(browser, tmp_path, theme):
    browser.show(theme=theme)
    browser.open(show_positions(TABLE).save(tmp_path / "positions.html"))
    hint = browser.evaluate(SAYS)
    assert hint.startswith("Point at a cell")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):
        browser.press(key)
    expected = "position 0 and position 3: similarity −1.00"
    assert browser.evaluate(SAYS) == expected
    browser.point_at("document.querySelector('.matrix')")
    assert re.match(r"position \d and position \d: simil", browser.evaluate(SAYS))
    assert len(browser.screenshot()) > 10_000
    assert browser.complaints() == []


@pytest.mark.once
def test_pointing_at_a_small_map_shows_it_large(browser, tmp_path):
    table = [[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [-1, 0], [0, -1]]
    browser.show(theme="light")
    view = show_positions(table, grid=(2, 3))
    browser.open(view.save(tmp_path / "positions.html"))
    browser.point_at("document.querySelectorAll('.small button')[0]")
    assert browser.evaluate(SAYS) == (
        "row 0, column 0 is most like row 0, column 1: similarity 0.99"
    )
    first = browser.evaluate("matrix.canvas.toDataURL()")
    for key in ("ArrowRight", "ArrowRight"):
        browser.press(key)
    assert browser.evaluate(SAYS).startswith("row 0, column 2 is most like row 1")
    assert browser.evaluate("matrix.canvas.toDataURL()") != first
    browser.point_at("matrix.canvas")
    assert re.match("row 0, column 2 and row ., column .: ", browser.evaluate(SAYS))
    assert len(browser.screenshot()) > 10_000
    assert browser.complaints() == []
