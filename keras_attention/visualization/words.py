"""Where a captioner looks for each word (Xu et al. 2015, Figure 3).

Letters: B pictures, T words, H and W rows and columns of the grid that is attended.
"""

import difflib
import math
import textwrap

import numpy as np

from keras_attention.tokenizers.vocabulary import split_words
from keras_attention.visualization.pictures import check_picture
from keras_attention.visualization.pictures import embed_png
from keras_attention.visualization.pictures import enlarge
from keras_attention.visualization.pictures import PICTURE_BYTES
from keras_attention.visualization.pictures import shrink
from keras_attention.visualization.view import check_weights
from keras_attention.visualization.view import pack_rows
from keras_attention.visualization.view import to_array
from keras_attention.visualization.view import View

# Where no attention goes a picture fades to `pale`, `keep` of its grey left; where it
# goes the picture keeps its colours, and white turns `warm` where it gets more than an
# equal share. Chosen by looking: the paper's black hides drawings, which are dark lines
# on white, and one tint over all makes blue skies green.
LIGHT = {
    "light": {"pale": [228, 232, 240], "keep": 0.3, "warm": [255, 190, 70]},
    "dark": {"pale": [52, 58, 72], "keep": 0.3, "warm": [255, 196, 84]},
}
# Of the marks in a figure; the page has the same in its style.
GOOD, BAD = "#15803d", "#b91c1c"


def show_words(image, words, weights):
    """Shows a picture once for each word of its caption, lit where the model looked.

    Xu et al. 2015, arXiv:1502.03044, Figure 3. Each panel is scaled by its own largest
    weight: equal weights show the picture as it is. Pointing at a word, or walking
    with the arrow keys, shows it large, with the cell that it reads most.

    Args:
        image: `(height, width, 3)`, whole numbers from 0 to 255 or floats from 0 to 1.
        words: T strings, or one that is split as `tokenizers.Vocabulary` does.
        weights: `(T, H, W)`, for each word the weight of each cell of the grid.

    Returns:
        A `View`: the last line of a notebook cell shows it, `.save("words.html")`
        writes one file, `.figure()` draws with matplotlib.

    Raises:
        ValueError: a size, a value or the number of words is wrong.

    Example:

    >>> image = np.ones((6, 4, 3))
    >>> weights = np.array([[[0.5, 0.5], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    >>> show_words(image, words=["a", "dog"], weights=weights)
    <View 'a dog'>
    """
    words = _words(words)
    weights = _weights(weights)
    if len(words) != len(weights):
        raise ValueError(
            "`words` and `weights` must have the same length. Received: "
            f"{len(words)} words, weights.shape={weights.shape}. Pass one map for each "
            "word; leave out the map of the end of the caption."
        )
    picture = shrink(check_picture(image), PICTURE_BYTES)
    return _view([picture], [words], [weights], many=False)


def show_captions(images, captions, weights, truths=None, note=None):
    """Shows several pictures with their captions, one below the other.

    Each picture stands with its caption and once for each word, as `show_words` does.
    With `truths`, each caption is marked right or wrong, and the words that differ
    are underlined; upper case and punctuation do not count.

    Args:
        images: B pictures `(height, width, 3)`, whole numbers from 0 to 255 or floats
            from 0 to 1.
        captions: B captions: strings that are split as `tokenizers.Vocabulary`
            does, or lists of words.
        weights: `(B, T, H, W)` with T at least the number of words of the longest
            caption, what follows a caption's words being ignored; or a list of B arrays
            `(T, H, W)`, T the number of words of each caption.
        truths: B captions that would be right. Defaults to none.
        note: A line below the pictures, such as whose they are. Defaults to none.

    Returns:
        A `View`. A page of 40 pictures is smaller than 2 MB, whatever their size.

    Raises:
        ValueError: a size, a value or the number of words is wrong.

    Example:

    >>> images = np.ones((2, 6, 4, 3))
    >>> weights = np.ones((2, 3, 2, 2))
    >>> show_captions(images, ["a dog", "the white house"], weights)
    <View 'Captions of 2 pictures'>
    """
    captions = [_words(caption) for caption in captions]
    lengths = {"images": len(images), "captions": len(captions)}
    lengths["weights"] = len(weights)
    if truths is not None:
        truths = [_words(truth) for truth in truths]
        lengths["truths"] = len(truths)
    if len(set(lengths.values())) > 1 or not captions:
        raise ValueError(
            "`images`, `captions`, `weights` and `truths` must have the same length, "
            f"at least 1. Received: {lengths}. Pass one of each for a picture."
        )
    padded = not isinstance(weights, list | tuple)
    maps = [_weights(map, f"weights[{i}]") for i, map in enumerate(weights)]
    for i, (caption, map) in enumerate(zip(captions, maps, strict=True)):
        if len(map) < len(caption) or (len(map) > len(caption) and not padded):
            raise ValueError(
                "There must be one map for each word. Received: "
                f"weights[{i}].shape={map.shape} for the {len(caption)} words of "
                f"captions[{i}]. Leave out the map of the end of the caption."
            )
    maps = [map[: len(caption)] for caption, map in zip(captions, maps, strict=True)]
    budget = PICTURE_BYTES / len(captions)
    pictures = [
        shrink(check_picture(image, f"images[{i}]"), budget)
        for i, image in enumerate(images)
    ]
    return _view(pictures, captions, maps, truths, note, many=True)


def _view(pictures, captions, maps, truths=None, note=None, *, many):
    items = []
    for i, (picture, words, weights) in enumerate(
        zip(pictures, captions, maps, strict=True)
    ):
        truth = None if truths is None else truths[i]
        right, wrong, missed = _compare(words, truth)
        count, rows, columns = weights.shape
        means = weights.mean(axis=(1, 2))
        times = weights.max(axis=(1, 2)) / np.where(means > 0, means, 1)
        items.append(
            {
                "image": embed_png(picture),
                "words": words,
                "grid": [rows, columns],
                "weights": pack_rows(weights.reshape(count, rows * columns)),
                "times": times.round(2).tolist(),  # the mean, bytes do not keep it
                "truth": truth,
                "right": right,
                "wrong": wrong,
                "missed": missed,
            }
        )
    if many:
        height = min(760, 90 + 210 * len(items))
        plural = "s" if len(items) > 1 else ""
        title = f"Captions of {len(items)} picture{plural}"
    else:
        # Three panels a line in a notebook of the usual width.
        height = max(370, 150 + 164 * math.ceil(len(captions[0]) / 3))
        title = " ".join(captions[0])
    return View(
        body="words.html",
        data={"many": many, "light": LIGHT, "items": items, "note": note},
        title=title,
        draw=lambda: _figure(pictures, maps, items, note),
        height=height,
    )


def _figure(pictures, maps, items, note):
    from keras_attention.visualization.figures import Figure

    columns = 1 + max(len(item["words"]) for item in items)
    figure = Figure(figsize=(1.5 * columns, 1.9 * len(items)), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.1)  # inches
    grid = figure.add_gridspec(len(items), columns)
    for i, (picture, weights, item) in enumerate(
        zip(pictures, maps, items, strict=True)
    ):
        panels = [picture, *(_light_up(picture, map) for map in weights)]
        for t, panel in enumerate(panels):
            axes = figure.add_subplot(grid[i, t])
            axes.imshow(panel, interpolation="bilinear")
            axes.set_axis_off()
            if t > 0:
                word = item["words"][t - 1]
                colour = BAD if t - 1 in item["wrong"] else "black"
                size = min(10, 150 / max(1, len(word)))  # as wide as the panel at most
                axes.set_title(word, fontsize=size, color=colour, parse_math=False)
            elif item["right"]:
                axes.set_title("right", fontsize=10, color=GOOD)
            elif item["truth"] is not None:
                axes.set_title("wrong", fontsize=10, color=BAD)
                truth = "\n".join(
                    textwrap.wrap("truth: " + " ".join(item["truth"]), 22)
                )
                axes.text(
                    0.5,
                    -0.04,
                    truth,
                    fontsize=8,
                    horizontalalignment="center",
                    verticalalignment="top",
                    transform=axes.transAxes,
                    parse_math=False,
                )
    if note is not None:
        width = int(25 * columns)  # letters of this size in the 1.5 inches of a column
        text = "\n".join(textwrap.wrap(note, width))
        figure.supxlabel(text, fontsize=8, color="dimgrey", parse_math=False)
    return figure


def _light_up(picture, weights):
    """The picture as the page paints it in the light theme, bytes."""
    heat = enlarge(weights, *picture.shape[:2])[..., None]
    light = LIGHT["light"]
    grey = picture @ np.array([[0.299], [0.587], [0.114]])  # ITU-R BT.601
    faded = light["keep"] * grey + (1 - light["keep"]) * np.array(light["pale"])
    lit = faded + heat * (picture - faded)
    white = picture.min(axis=-1, keepdims=True) / 255
    more = np.maximum(0, heat - heat.mean())
    lit *= 1 - white * more * (1 - np.array(light["warm"]) / 255)
    return np.rint(lit).astype("uint8")


def _compare(words, truth):
    """Whether the words are the truth, and the places where either differs."""
    if truth is None:
        return None, [], []

    # In lists of words, one may hold none or several for a vocabulary.
    found, found_in = _plain(words)
    asked, asked_in = _plain(truth)
    wrong, missed = set(), set()
    matcher = difflib.SequenceMatcher(None, found, asked, autojunk=False)
    for kind, start, stop, asked_start, asked_stop in matcher.get_opcodes():
        if kind != "equal":
            wrong.update(found_in[start:stop])
            missed.update(asked_in[asked_start:asked_stop])
    return found == asked, sorted(wrong), sorted(missed)


def _plain(words):
    """The words as a vocabulary splits them, and the place that each comes from."""
    pairs = [(part, i) for i, word in enumerate(words) for part in split_words(word)]
    return [part for part, _ in pairs], [i for _, i in pairs]


def _words(words):
    return split_words(words) if isinstance(words, str) else [str(w) for w in words]


def _weights(weights, name="weights"):
    weights = to_array(weights).astype("float64")
    if weights.ndim != 3 or 0 in weights.shape[1:]:
        raise ValueError(
            f"`{name}` must have the shape (words, rows, columns). Received: "
            f"{name}.shape={weights.shape}. Pass the maps of one picture, as a "
            "captioner returns them with `return_attention_scores=True`."
        )
    check_weights(weights, name)
    return weights
