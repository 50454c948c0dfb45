"""A figure that reads anywhere: in a notebook, as one HTML file, or in a paper."""

import base64
import html
import importlib.resources
import json
import pathlib
import re
import zlib

import keras
import numpy as np

from keras_attention.files import import_package
from keras_attention.files import replace_file

# From nothing to the largest value, for values above zero and below it. Nothing is the
# colour of the paper, so that an empty row looks empty.
RAMPS = {
    "light": {
        "warm": ["#ffffff", "#ffe8cc", "#fdb668", "#e8590c", "#8f2d0c", "#3f1206"],
        "cool": ["#ffffff", "#dcebff", "#92c0fa", "#3b7fe0", "#1f469e", "#12235c"],
    },
    "dark": {
        "warm": ["#14171c", "#3a2718", "#8a4a17", "#e38a2c", "#fdc877", "#fff4dc"],
        "cool": ["#14171c", "#1b2942", "#27508f", "#4a8be0", "#98c6ff", "#e8f3ff"],
    },
}


class View:
    """A page that shows something: in a notebook, as a file, or as a figure.

    The functions that start with `show_` make views. The last line of a notebook cell
    shows one; several live on one page, each in a frame of its own. A page needs no
    network and nothing but a browser, light or dark.

    Args:
        body: The file beside this one that draws, such as `"words.html"`.
        data: What it draws, made of what JSON knows.
        title: The title of the page.
        draw: Function without arguments that draws the same with matplotlib.
        height: Height of the frame in a notebook, in pixels.

    Example:

    >>> from keras_attention.visualization import show_words
    >>> image = np.ones((6, 4, 3))
    >>> view = show_words(image, "a dog", weights=np.ones((2, 3, 2)))
    >>> view
    <View 'a dog'>
    """

    def __init__(self, body, data, title, draw, height):
        self._body = body
        self._data = data
        self._title = title
        self._draw = draw
        self._height = height

    def __repr__(self):
        return f"<View {self._title!r}>"

    def _repr_html_(self):
        # A frame of its own: no names shared with the notebook, no access to it.
        return (
            f'<iframe srcdoc="{html.escape(self._page())}" sandbox="allow-scripts" '
            f'title="{html.escape(self._title)}" style="width: 100%; '
            f'height: {self._height}px; border: 0; resize: vertical"></iframe>'
        )

    def save(self, path):
        """Writes the page as one file that needs no network.

        Args:
            path: The file, such as `"caption.html"`. Its folder must exist; a file of
                that name is replaced.

        Returns:
            The path of the file, absolute.

        Raises:
            ValueError: `path` is a folder, or lies in none.
        """
        path = writable(path)
        replace_file(path, self._page().encode())
        return path

    def figure(self):
        """Draws the view with matplotlib, for a paper or a page without scripts.

        Returns:
            A `matplotlib.figure.Figure`: `figure.savefig("caption.png")` writes it.

        Raises:
            ImportError: matplotlib is not installed.
        """
        import_package("matplotlib.figure", "matplotlib", "plots", "Drawing a figure")
        return self._draw()

    def _page(self):
        # `<` never stands in the data, so no text in it can end the script element.
        data = json.dumps(self._data, separators=(",", ":")).replace("<", "\\u003c")
        parts = {
            "title": html.escape(self._title),
            "data": data,
            "body": read_page(self._body),
        }
        return re.sub(r"{{(\w+)}}", lambda part: parts[part[1]], read_page("view.html"))


def read_page(name):
    """The text of a page of this folder."""
    return importlib.resources.files(__package__).joinpath(name).read_text("utf-8")


def writable(path):
    """`path` as an absolute path, if a page can be written there; nothing is written.

    Raises:
        ValueError: `path` is a folder, or lies in none.
    """
    path = pathlib.Path(path).expanduser().absolute()
    if path.is_dir():
        raise ValueError(
            f"`path` must name a file. Received: {str(path)!r}, which is a folder. "
            "Add the name of a file, such as 'caption.html'."
        )
    if not path.parent.is_dir():
        raise ValueError(
            f"`path` must lie in a folder that exists. Received: {str(path)!r}, and "
            f"there is no folder {str(path.parent)!r}. Make it first, or choose "
            "another."
        )
    return path


def pack_rows(rows):
    """Rows of weights as text: one byte a weight, scaled by the largest of its row.

    A weight comes back within 1/510 of the largest of its row. Twelve layers of twelve
    heads over 128 tokens take 3 MB so, and 54 MB as JSON numbers.

    Args:
        rows: `(R, K)`, non-negative.

    Returns:
        `{"length": K, "peaks": R numbers, "bytes": R * K bytes in base64}`.
    """
    rows = np.asarray(rows, "float64")
    peaks = rows.max(axis=1, initial=0.0)  # (R,)
    scaled = rows / np.where(peaks > 0, peaks, 1.0)[:, None]
    packed = np.rint(scaled * 255).astype("uint8")
    return {
        "length": rows.shape[1],
        "peaks": [float(f"{peak:.6g}") for peak in peaks],
        "bytes": base64.b64encode(packed.tobytes()).decode("ascii"),
    }


def deflate(array):
    """The bytes of an array as text: zlib, then base64. The page has `inflate`."""
    return base64.b64encode(zlib.compress(array.tobytes())).decode("ascii")


def colour_map(signed=False):
    """The colours of the pages, in the light theme, for matplotlib."""
    from matplotlib.colors import LinearSegmentedColormap

    ramps = RAMPS["light"]
    colours = ramps["cool"][:0:-1] + ramps["warm"] if signed else ramps["warm"]
    return LinearSegmentedColormap.from_list("keras_attention", colours)


def to_array(values):
    """An array, a tensor of any float type or nested lists, as float32."""
    return np.asarray(keras.ops.convert_to_numpy(values)).astype("float32")


def check_weights(weights, name):
    """Raises a `ValueError` for what no softmax gives."""
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError(
            f"`{name}` must be finite and not negative. Received: values from "
            f"{weights.min()} to {weights.max()}. Pass the weights after the softmax, "
            "not the scores; where a library gives nan for rows without a key, "
            "np.nan_to_num makes them zero."
        )


def check_words(words, name):
    """A list of strings; one string is refused, for its letters are no words."""
    if isinstance(words, str):
        raise ValueError(
            f"`{name}` must be a list of words. Received: {words!r}. Split it as the "
            "model does, for example with .split()."
        )
    return [str(word) for word in words]
