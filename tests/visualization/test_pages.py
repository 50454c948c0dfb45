"""Several views on one page."""

import pytest

from keras_attention.visualization import save_views
from keras_attention.visualization import show_alignment

pytestmark = pytest.mark.once


@pytest.fixture
def view():
    return show_alignment([[0.9, 0.1]], ["a", "cat"], ["chat"])


def test_each_view_has_a_frame_and_its_caption(view, tmp_path):
    path = save_views([view, view], tmp_path / "x.html", "Two <views>", ["1 < 2", "b"])
    text = path.read_text("utf-8")
    assert path == tmp_path / "x.html" and text.startswith("<!doctype html>")
    assert text.count("<iframe ") == 2
    assert "<h1>Two &lt;views&gt;</h1>" in text
    assert "<h2>1 &lt; 2</h2>" in text and "<h2>b</h2>" in text


@pytest.mark.parametrize(
    ("count", "captions", "message"),
    [
        (0, None, "Received: 0 views, 0 captions"),
        (2, ["a"], "Received: 2 views, 1 captions"),
    ],
)
def test_missing_views_or_captions_are_refused(
    view, tmp_path, count, captions, message
):
    with pytest.raises(ValueError, match=message):
        save_views([view] * count, tmp_path / "x.html", captions=captions)
    assert not list(tmp_path.iterdir())
