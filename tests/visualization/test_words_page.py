"""The pages in a browser: what they draw, and how they answer mouse and keyboard."""

import numpy as np
import pytest

from keras_attention.visualization import show_captions
from keras_attention.visualization import show_words
from keras_attention.visualization.words import _light_up

pytestmark = pytest.mark.once

STAGE = "document.querySelector('.stage').toDataURL()"
SAYS = "document.querySelector('.says').textContent"
FOCUS = "document.activeElement.getAttribute('aria-label')"
HOSTILE = ["</script>", "<img src=x onerror=alert(1)>", "<!--", "&amp;", "{{data}}"]


def button(index, row=0):
    row = f"document.querySelectorAll('article')[{row}]"
    return f"{row}.querySelectorAll('button')[{index}]"


def peaks(*cells):
    """Maps `(T, 4, 3)` that look at one cell each, (row, column)."""
    weights = np.full((len(cells), 4, 3), 0.01)
    for weight, cell in zip(weights, cells, strict=True):
        weight[cell] = 0.89
    return weights


def picture(height=40, width=30):
    ramp = np.linspace(0, 255, height * width * 3)
    return ramp.reshape(height, width, 3).astype("uint8")


@pytest.fixture
def words_page(browser, tmp_path):
    weights = peaks((0, 0), (3, 1), (1, 2))
    view = show_words(picture(), ["a", "red", "dog"], weights)
    browser.show(theme="light")
    browser.open(view.save(tmp_path / "words.html"))
    yield browser
    assert browser.complaints() == []


@pytest.fixture
def captions_page(browser, tmp_path):
    view = show_captions(
        [picture(), picture(30, 60), picture()],
        ["a red dog", "", "cat"],
        [peaks((0, 0), (3, 1), (1, 2)), np.zeros((0, 2, 2)), peaks((2, 2))],
        truths=["a red dog", "bird", "dog"],
        note="Drawn by <b>us</b>",
    )
    browser.show(theme="light")
    browser.open(view.save(tmp_path / "captions.html"))
    yield browser
    assert browser.complaints() == []


def test_pointing_at_a_word_shows_where_it_looks(words_page):
    plain = words_page.evaluate(STAGE)
    assert words_page.evaluate(SAYS) == "Point at a word, or walk with the arrow keys."
    words_page.point_at(button(1))
    first = words_page.evaluate(STAGE)
    assert first != plain
    assert words_page.evaluate(SAYS) == (
        "red looks most in row 4, column 2 of 4 × 3: weight 0.89, 10.7 times the mean"
    )
    words_page.point_at(button(2))
    assert words_page.evaluate(STAGE) not in (plain, first)
    words_page.point_at("document.querySelector('.stage')")
    assert words_page.evaluate(STAGE) == plain


def test_a_word_of_the_sentence_points_at_its_panel(words_page):
    words_page.point_at("document.querySelectorAll('h2 span')[2]")
    assert words_page.evaluate(f"{button(2)}.classList.contains('now')")
    assert words_page.evaluate(SAYS).startswith("dog looks most in row 2, column 3")


def test_the_arrow_keys_walk_along_the_words(words_page):
    words_page.press("ArrowRight")
    assert words_page.evaluate(FOCUS).startswith("a: most in row 1, column 1 of 4 × 3")
    words_page.press("ArrowRight")
    assert words_page.evaluate(SAYS).startswith("red looks most")
    words_page.press("End")
    words_page.press("ArrowRight")
    assert words_page.evaluate(SAYS).startswith("dog looks most")
    words_page.press("Home")
    words_page.press("ArrowLeft")
    assert words_page.evaluate(SAYS).startswith("a looks most")


def test_the_tabulator_stops_once_at_a_picture(captions_page):
    for _ in range(2):  # the choice of right and wrong, then the first picture
        captions_page.press("Tab")
    captions_page.press("ArrowRight")
    assert captions_page.evaluate(FOCUS).startswith("red:")
    captions_page.press("Tab")
    assert captions_page.evaluate(FOCUS).startswith("cat:")


def test_up_and_down_walk_from_picture_to_picture(captions_page):
    captions_page.press("ArrowRight")
    captions_page.press("End")
    captions_page.press("ArrowDown")  # over the picture without words
    assert captions_page.evaluate(FOCUS).startswith("cat:")
    captions_page.press("ArrowUp")
    assert captions_page.evaluate(FOCUS).startswith("a:")


def test_right_and_wrong_captions_can_be_chosen(captions_page):
    hidden = "[...document.querySelectorAll('article')].map(row => row.hidden)"
    labels = "[...document.querySelectorAll('label')].map(label => label.textContent)"
    assert captions_page.evaluate(labels) == ["all", "1 right", "2 wrong"]
    captions_page.evaluate("document.querySelectorAll('input')[2].click()")
    assert captions_page.evaluate(hidden) == [True, False, False]
    captions_page.evaluate("document.querySelectorAll('input')[0].click()")
    assert captions_page.evaluate(hidden) == [False, False, False]


def test_the_note_is_text(captions_page):
    note = "document.querySelector('footer').innerText"
    assert captions_page.evaluate(note) == "Drawn by <b>us</b>"


def test_marks_are_words_and_not_colours_alone(captions_page):
    marks = "[...document.querySelectorAll('.mark')].map(mark => mark.textContent)"
    assert captions_page.evaluate(marks) == ["✓ right", "✗ wrong", "✗ wrong"]
    truth = "[...document.querySelectorAll('.truth')].map(p => p.textContent.trim())"
    assert captions_page.evaluate(truth) == ["Truth: bird", "Truth: dog"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hostile_words_stay_text(browser, tmp_path, theme):
    weights = peaks(*[(0, 0)] * len(HOSTILE))
    view = show_words(picture(), HOSTILE, weights)
    browser.show(theme=theme)
    browser.open(view.save(tmp_path / "words.html"))
    browser.point_at(button(1))
    labels = "[...document.querySelectorAll('button span')].map(s => s.textContent)"
    assert browser.evaluate(labels) == HOSTILE
    assert browser.evaluate("document.querySelector('img')") is None
    assert browser.complaints() == []


def test_the_page_follows_the_theme_while_it_is_open(words_page):
    panel = f"{button(0)}.firstChild.toDataURL()"
    light = words_page.evaluate(panel)
    paper = "getComputedStyle(document.body).backgroundColor"
    assert words_page.evaluate(paper) == "rgb(255, 255, 255)"
    words_page.show(theme="dark")
    words_page.wait_for(f"{panel} !== {light!r}")
    assert words_page.evaluate(paper) == "rgb(20, 23, 28)"


def test_the_page_and_the_figure_paint_the_same(browser, rng, tmp_path):
    """On a picture of one colour, which no enlarging can change."""
    weights = rng.random((1, 4, 3))
    view = show_words(np.full((64, 64, 3), (250, 240, 230), "uint8"), "a", weights)
    browser.show(theme="light")
    browser.open(view.save(tmp_path / "words.html"))
    canvas = f"{button(0)}.firstChild"
    side = browser.evaluate(f"{canvas}.width")
    drawn = browser.evaluate(
        f"[...{canvas}.getContext('2d').getImageData(0, 0, {side}, {side}).data]"
    )
    drawn = np.array(drawn).reshape(side, side, 4)[..., :3]
    large = np.full((side, side, 3), (250, 240, 230), "uint8")
    painted = _light_up(large, weights[0]).astype(int)
    assert np.abs(drawn - painted).max() <= 2
    assert np.ptp(painted) > 50


def test_several_views_live_in_one_notebook(browser, tmp_path):
    views = [
        show_words(picture(), "a dog", peaks((0, 0), (3, 1))),
        show_words(picture(), "a cat", peaks((1, 1), (2, 2))),
    ]
    page = "".join(f"<p>{view._repr_html_()}</p>" for view in views)
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html>{page}")
    browser.show(height=900, theme="light")
    browser.open(path, ready="document.querySelectorAll('iframe').length === 2")
    frames = browser.frames()
    assert len(frames) == 2
    corners = browser.evaluate(
        "[...document.querySelectorAll('iframe')]"
        ".map(frame => frame.getBoundingClientRect()).map(box => [box.x, box.y])"
    )
    for frame, corner, word in zip(frames, corners, ["dog", "cat"], strict=True):
        browser.wait_for("document.documentElement.dataset.ready === 'true'", 20, frame)
        browser.point_at(button(1), frame, corner)
        assert browser.evaluate(SAYS, frame).startswith(f"{word} looks most in row")
    assert browser.complaints() == []


def test_the_complaints_of_a_page_are_heard(browser, tmp_path):
    """What the tests above trust in."""
    path = tmp_path / "bad.html"
    path.write_text(
        "<!doctype html><script>console.error('broken')</script>"
        "<img src='http://192.0.2.1/picture.png'><script>missing()</script>"
    )
    browser.open(path, ready="document.readyState !== 'loading'")
    found = " ".join(browser.complaints())
    assert "broken" in found and "192.0.2.1" in found and "missing" in found
