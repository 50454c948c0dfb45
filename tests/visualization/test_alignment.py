import base64
import json
import re

import keras
import numpy as np
import pytest

from keras_attention.visualization import show_alignment

SOURCE, TARGET = ["the", "red", "car", "[end]"], ["la", "voiture", "rouge"]
WEIGHTS = np.array([[0.8, 0.1, 0.1, 0], [0, 0, 1, 0], [0.05, 0.75, 0.2, 0]])
SAYS = "document.getElementById('says').textContent"
HINT = "Point at a cell or a word, or walk with the arrow keys."


def data_of(view):
    return json.loads(re.search('id="data">(.*)</script>', view._page())[1])


def weights_of(view):
    packed = data_of(view)["weights"]
    rows = np.frombuffer(base64.b64decode(packed["bytes"]), "uint8")
    rows = rows.reshape(-1, packed["length"])
    return rows / 255 * np.array(packed["peaks"])[:, None]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_page_holds_the_weights_and_the_words(dtype):
    weights = keras.ops.convert_to_tensor(WEIGHTS, dtype)
    view = show_alignment(weights, SOURCE, TARGET)
    tolerance = 0.002 if dtype == "float32" else 0.006
    np.testing.assert_allclose(weights_of(view), WEIGHTS, atol=tolerance)
    data = data_of(view)
    assert (data["source"], data["target"]) == (SOURCE, TARGET)
    assert repr(view) == "<View 'la voiture rouge'>"


@pytest.mark.once
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 4), r"weights.shape=\(1, 3, 4\). Pass one sentence, weights\[0\]"),
        ((4,), r"must have the shape \(target words, source words\)"),
        ((4, 3), "Swap `source` and `target`"),
        ((3, 5), "3 words in `target`, 4 words in `source`. Cut off the padding"),
    ],
)
def test_rows_are_target_words_and_columns_source_words(shape, message):
    with pytest.raises(ValueError, match=message):
        show_alignment(np.ones(shape), SOURCE, TARGET)


@pytest.mark.once
def test_a_sentence_is_a_list_of_words():
    with pytest.raises(ValueError, match="`source` must be a list of words"):
        show_alignment(WEIGHTS, "the red car [end]", TARGET)


@pytest.mark.once
def test_an_alignment_is_made_of_weights():
    with pytest.raises(ValueError, match="`weights` must be finite and not negative"):
        show_alignment(np.log(WEIGHTS + 0.1), SOURCE, TARGET)


@pytest.mark.once
def test_the_figure_draws_the_alignment_with_its_words(tmp_path):
    figure = show_alignment(WEIGHTS, ["$a", "b$", "c", "d"], TARGET).figure()
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), WEIGHTS, rtol=1e-6)
    assert axes.images[0].get_clim() == (0, 1)
    assert [label.get_text() for label in axes.get_yticklabels()] == TARGET
    assert axes.get_xticklabels()[0].get_text() == "$a"
    figure.savefig(tmp_path / "alignment.png")


@pytest.fixture
def alignment_page(browser, tmp_path):
    view = show_alignment(WEIGHTS, SOURCE, TARGET)
    browser.show(width=1100, height=700, theme="light")
    browser.open(view.save(tmp_path / "alignment.html"))
    yield browser
    assert len(browser.screenshot()) > 10_000
    assert browser.complaints() == []


def point_at(browser, row, column):
    """Moves the mouse to a cell of the matrix, or to a word: row or column -1."""
    x, y = browser.evaluate(
        "(box => [box.x, box.y])(matrix.canvas.getBoundingClientRect())"
    )
    left, top, cell = browser.evaluate("[matrix.left, matrix.top, matrix.cell]")
    x += left + cell * (column + 0.5) if column >= 0 else left / 2
    y += top + cell * (row + 0.5) if row >= 0 else top / 2
    browser.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)


@pytest.mark.once
def test_pointing_at_a_cell_shows_its_number(alignment_page):
    assert alignment_page.evaluate(SAYS) == HINT
    point_at(alignment_page, 2, 1)
    assert alignment_page.evaluate(SAYS) == "rouge reads red with weight 0.75"
    point_at(alignment_page, 1, 3)
    assert alignment_page.evaluate(SAYS) == "voiture reads [end] with weight 0.00"


@pytest.mark.once
def test_pointing_at_a_word_shows_its_largest_weights(alignment_page):
    point_at(alignment_page, 0, -1)
    assert alignment_page.evaluate(SAYS) == "la reads the 0.80, red 0.10, car 0.10"
    point_at(alignment_page, -1, 0)
    assert alignment_page.evaluate(SAYS) == "the is read most by la 0.80, rouge 0.05"
    point_at(alignment_page, -1, 3)
    assert alignment_page.evaluate(SAYS) == "[end] is read most by nothing"


@pytest.mark.once
def test_the_arrow_keys_walk_from_cell_to_cell(alignment_page):
    alignment_page.press("ArrowDown")
    assert alignment_page.evaluate(SAYS) == "la reads the with weight 0.80"
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        alignment_page.press(key)
    assert alignment_page.evaluate(SAYS) == "voiture reads car with weight 1.00"
    alignment_page.press("Escape")
    assert alignment_page.evaluate(SAYS) == HINT


@pytest.mark.once
def test_an_alignment_in_the_dark_is_light_on_dark(browser, tmp_path):
    view = show_alignment(np.eye(2), ["</script>", "<b>"], ["<i>", "{{data}}"])
    browser.show(theme="dark")
    browser.open(view.save(tmp_path / "alignment.html"))
    colours = "[...matrix.picture.getContext('2d').getImageData(0, 0, 2, 1).data]"
    light, dark = [255, 244, 220, 255], [20, 23, 28, 255]
    assert browser.evaluate(colours) == light + dark
    point_at(browser, 0, 1)
    assert browser.evaluate(SAYS) == "<i> reads <b> with weight 0.00"
    assert browser.complaints() == []
