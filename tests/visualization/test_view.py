import base64
import html
import io
import json
import pathlib
import re

import numpy as np
import PIL.Image
import pytest

from helpers import run_in_fresh_process
from keras_attention.visualization import show_words
from keras_attention.visualization import View
from keras_attention.visualization import view as view_module
from keras_attention.visualization.pictures import embed_png
from keras_attention.visualization.view import pack_rows
from keras_attention.visualization.view import read_page

IMAGE = np.full((6, 4, 3), 255, "uint8")
WEIGHTS = np.ones((2, 3, 2))


def unpack_rows(packed):
    rows = np.frombuffer(base64.b64decode(packed["bytes"]), "uint8")
    rows = rows.reshape(len(packed["peaks"]), packed["length"])
    return rows / 255 * np.array(packed["peaks"])[:, None]


def test_a_saved_page_is_one_file_and_nothing_else(tmp_path):
    path = show_words(IMAGE, "a dog", WEIGHTS).save(tmp_path / "words.html")
    assert [entry.name for entry in tmp_path.iterdir()] == ["words.html"]
    assert path == tmp_path / "words.html"
    assert path.read_text().startswith("<!doctype html>")


def test_saving_again_replaces_the_file(tmp_path):
    path = tmp_path / "words.html"
    path.write_text("before")
    show_words(IMAGE, "a dog", WEIGHTS).save(path)
    assert "a dog" in path.read_text()


def test_a_relative_path_comes_back_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = show_words(IMAGE, "a dog", WEIGHTS).save("words.html")
    assert isinstance(path, pathlib.Path)
    assert path == tmp_path / "words.html"


def test_a_folder_cannot_be_saved_to(tmp_path):
    with pytest.raises(ValueError, match="which is a folder. Add the name of a file"):
        show_words(IMAGE, "a dog", WEIGHTS).save(tmp_path)


def test_the_folder_of_the_file_must_exist(tmp_path):
    with pytest.raises(ValueError, match="there is no folder '.*missing'. Make it"):
        show_words(IMAGE, "a dog", WEIGHTS).save(tmp_path / "missing" / "words.html")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_replaced_is_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "words.html"
    path.write_text("before")

    def fail(*names):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="no space left"):
        show_words(IMAGE, "a dog", WEIGHTS).save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["words.html"]
    assert path.read_text() == "before"


def test_a_notebook_gets_the_page_in_a_sandboxed_frame(tmp_path):
    view = show_words(IMAGE, 'a "dog"', WEIGHTS)
    frame = view._repr_html_()
    assert frame.startswith("<iframe ") and frame.endswith("</iframe>")
    assert 'sandbox="allow-scripts"' in frame
    page = html.unescape(re.search('srcdoc="([^"]*)"', frame)[1])
    assert page == view.save(tmp_path / "words.html").read_text()


def test_the_page_asks_for_nothing_from_the_network(tmp_path):
    page = show_words(IMAGE, "a dog", WEIGHTS).save(tmp_path / "w.html").read_text()
    assert "default-src 'none'" in page
    assert "http:" not in page and "https:" not in page
    assert not re.search("""(src|href)=["'](?!data:)""", page)


@pytest.mark.parametrize("word", ["</script>", "<!--", "{{data}}", "\\u003c", "\u2028"])
def test_no_word_can_leave_the_data(tmp_path, word):
    view = show_words(IMAGE, [word, "dog"], WEIGHTS)
    page = view.save(tmp_path / "words.html").read_text()
    expected = read_page("view.html").count("</script>")
    expected += read_page("words.html").count("</script>")
    assert page.count("</script>") == expected
    data = re.search('<script type="application/json" id="data">(.*)</script>', page)[1]
    assert "<" not in data
    assert json.loads(data)["items"][0]["words"] == [word, "dog"]


def test_the_title_is_text(tmp_path):
    view = show_words(IMAGE, ["</title>", "&"], WEIGHTS)
    page = view.save(tmp_path / "words.html").read_text()
    assert "<title>&lt;/title&gt; &amp;</title>" in page


def test_a_view_names_itself():
    assert repr(show_words(IMAGE, "a dog", WEIGHTS)) == "<View 'a dog'>"


def test_every_page_is_found_beside_the_module():
    folder = pathlib.Path(view_module.__file__).parent
    names = [path.name for path in folder.glob("*.html")]
    assert "view.html" in names
    assert all(read_page(name) for name in names)


def test_rows_come_back_within_a_byte_of_their_largest(rng):
    rows = rng.random((5, 7)) * np.array([[1e-6], [0.1], [1.0], [3.0], [500.0]])
    error = np.abs(unpack_rows(pack_rows(rows)) - rows)
    assert (error <= rows.max(axis=1, keepdims=True) / 500).all()


def test_the_largest_weight_is_the_byte_255_and_zero_is_0():
    packed = pack_rows([[0.0, 0.25, 0.5], [0.0, 0.0, 0.0]])
    assert packed["length"] == 3
    assert packed["peaks"] == [0.5, 0.0]
    assert list(base64.b64decode(packed["bytes"])) == [0, 128, 255, 0, 0, 0]


def test_no_rows_are_no_bytes():
    assert pack_rows(np.zeros((0, 6))) == {"length": 6, "peaks": [], "bytes": ""}


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 7, 3), (7, 1, 3), (11, 13, 3)])
def test_a_png_holds_the_pixels_that_went_in(rng, shape):
    image = rng.integers(0, 256, shape).astype("uint8")
    image[: shape[0] // 2] = 200  # flat and busy lines take different filters
    kind, _, text = embed_png(image).partition(",")
    assert kind == "data:image/png;base64"
    read = PIL.Image.open(io.BytesIO(base64.b64decode(text)))
    np.testing.assert_array_equal(np.asarray(read), image)


def test_a_picture_of_smooth_colours_packs_well():
    ramp = np.arange(96)[:, None, None] + np.arange(96)[None, :, None]
    image = np.repeat(ramp, 3, axis=-1).astype("uint8")  # 27,648 bytes
    assert len(embed_png(image)) < 1000


def test_a_figure_is_drawn_by_the_function_of_the_view():
    view = View("words.html", data={}, title="t", draw=lambda: "drawn", height=300)
    assert view.figure() == "drawn"


@pytest.mark.once
def test_a_notebook_shows_a_figure_that_pyplot_did_not_draw(tmp_path):
    pytest.importorskip("IPython")
    run_in_fresh_process(
        """
        import numpy as np
        from IPython.core.interactiveshell import InteractiveShell
        from keras_attention.visualization import show_alignment

        view = show_alignment(np.eye(3), ["a", "b", "c"], ["d", "e", "f"])
        shown, _ = InteractiveShell.instance().display_formatter.format(view.figure())
        assert shown["image/png"].startswith(b"\\x89PNG"), shown
        """,
        cwd=tmp_path,
    )


@pytest.mark.once
def test_a_page_needs_neither_matplotlib_nor_pillow(tmp_path):
    run_in_fresh_process(
        """
        import sys

        sys.modules["matplotlib"] = sys.modules["PIL"] = None
        import numpy as np
        from keras_attention.visualization import show_words

        view = show_words(np.ones((6, 4, 3)), "a dog", np.ones((2, 3, 2)))
        view.save("words.html")
        try:
            view.figure()
        except ImportError as error:
            assert 'pip install "keras-attention[plots]"' in str(error), error
        else:
            raise SystemExit("a figure without matplotlib")
        """,
        cwd=tmp_path,
    )
    assert (tmp_path / "words.html").exists()
