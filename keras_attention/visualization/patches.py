"""One score for each patch of a picture, laid over it.

Letters: K maps, S tokens, H and W rows and columns of the grid of patches.
"""

import numpy as np

from keras_attention.visualization.pictures import check_picture
from keras_attention.visualization.pictures import embed_png
from keras_attention.visualization.pictures import enlarge
from keras_attention.visualization.pictures import PICTURE_BYTES
from keras_attention.visualization.pictures import shrink
from keras_attention.visualization.view import check_words
from keras_attention.visualization.view import to_array
from keras_attention.visualization.view import View

# Colours of the weakest and the strongest score, above zero and below; how much of its
# colours the picture loses, and of itself under the strongest score (the page has a
# slider). Chosen by looking: on a picture in all its colours no other colour is read.
OVERLAY = {
    "warm": [[255, 205, 70], [222, 35, 10]],
    "cool": [[120, 205, 255], [25, 60, 200]],
    "grey": 0.65,
    "strength": 0.75,
}


def show_patches(image, scores, num_prefix_tokens=0, grid=None, titles=None):
    """Shows scores of the patches of a picture as colours over it.

    For what a class token reads, a rollout, or the relevance for a class. Each map is
    scaled by itself: the smallest score has no colour, the largest the strongest. If a
    score is negative, zero has no colour, and what is below zero is blue. Pointing at
    a patch shows its score.

    Args:
        image: `(height, width, 3)`, whole numbers from 0 to 255 or floats from 0 to 1.
        scores: `(S,)`, `(H, W)`, or K of those: `(K, S)` with `grid` or
            `num_prefix_tokens`, `(K, H, W)`.
        num_prefix_tokens: How many of the S tokens stand in front of the patches, such
            as 1 for a class token. Their scores are left out.
        grid: H and W. Defaults to those that fit the sides of the picture best, so
            that patches are as square as can be.
        titles: K strings. Defaults to none.

    Returns:
        A `View`: the last line of a notebook cell shows it, `.save("patches.html")`
        writes one file, `.figure()` draws with matplotlib.

    Raises:
        ValueError: a size, a value or the number of titles is wrong.

    Example:

    >>> image = np.ones((32, 48, 3))
    >>> show_patches(image, scores=np.arange(7), num_prefix_tokens=1)
    <View 'Scores of 2 × 3 patches'>
    """
    picture = check_picture(image)
    maps = _maps(to_array(scores), num_prefix_tokens, grid, picture.shape)
    count, rows, columns = maps.shape
    if not np.isfinite(maps).all():
        raise ValueError(
            "`scores` must be finite. Received: nan or infinity in "
            f"{np.count_nonzero(~np.isfinite(maps))} of {maps.size} patches. Leave "
            "out what has no score, or give it zero."
        )
    if titles is not None:
        titles = check_words(titles, "titles")
        if len(titles) != count:
            raise ValueError(
                "`titles` must have one string for each map. Received: "
                f"{len(titles)} titles, {count} maps. Pass as many, or none."
            )
    picture = shrink(picture, PICTURE_BYTES)
    title = f"Scores of {rows} × {columns} patches"
    if titles is not None and count == 1:
        title = titles[0]
    return View(
        body="patches.html",
        data={
            "title": title,
            "image": embed_png(picture),
            "grid": [rows, columns],
            "maps": [[float(f"{v:.4g}") for v in map.ravel()] for map in maps],
            "titles": titles,
            "overlay": OVERLAY,
        },
        title=title,
        draw=lambda: _figure(picture, maps, titles),
        height=620,
    )


def _maps(scores, num_prefix_tokens, grid, shape):
    """The scores of the patches, `(K, H, W)`."""
    flat = scores.ndim == 1 or (
        scores.ndim == 2 and (grid is not None or num_prefix_tokens > 0)
    )
    if flat and scores.ndim == 2 and grid is not None and num_prefix_tokens == 0:
        flat = scores.shape != tuple(grid)
    if scores.size == 0 or not (flat or scores.ndim in (2, 3)):
        raise ValueError(
            "`scores` must have the shape (tokens,), (rows, columns) or (maps, rows, "
            f"columns). Received: scores.shape={scores.shape}. Choose one picture of "
            "the batch, scores[0]; of weights, one query and one head or their mean."
        )
    if not flat:
        maps = scores.reshape(-1, *scores.shape[-2:])
        if num_prefix_tokens or (grid is not None and maps.shape[1:] != tuple(grid)):
            raise ValueError(
                "Scores that have rows and columns have their grid, and no prefix. "
                f"Received: scores.shape={scores.shape}, grid={grid}, "
                f"num_prefix_tokens={num_prefix_tokens}. Leave out both arguments."
            )
        return maps
    patches = scores.reshape(-1, scores.shape[-1])[:, num_prefix_tokens:]
    count = patches.shape[1]
    if grid is None:
        grid = infer_grid(count, shape[0], shape[1])
    rows, columns = (int(length) for length in grid)
    if count == 0 or rows * columns != count:
        raise ValueError(
            "Without its prefix, `scores` must have one score for each patch of the "
            f"grid. Received: scores.shape={scores.shape}, "
            f"num_prefix_tokens={num_prefix_tokens}, grid={(rows, columns)}. "
            "num_prefix_tokens is 1 for a class token, 2 for DeiT's two tokens."
        )
    return patches.reshape(-1, rows, columns)


def infer_grid(count, height, width):
    """The rows and columns of `count` patches that are most nearly square.

    Raises:
        ValueError: no grid of so many has patches less than twice as long as wide.
    """
    best, stretch = _most_square(count, height, width)
    if stretch > np.log(2):
        raise ValueError(
            f"No grid of {count} patches fits a picture of {height} × {width} pixels. "
            "Say how many of the scores are of prefix tokens, num_prefix_tokens=1 for "
            "a class token, or pass grid=(rows, columns)."
        )
    return best


def find_prefix(length, height, width, most=4):
    """How many tokens stand in front of the patches, if those are nearly square.

    Args:
        length: Number of tokens, prefix tokens and patches.
        height: Pixels of the picture.
        width: Pixels of the picture.
        most: Prefix tokens that there can be.

    Returns:
        The number with which the patches are most nearly square, the smallest such.

    Example:

    >>> find_prefix(197, 224, 224), find_prefix(64, 32, 32)
    (1, 0)
    """
    numbers = range(min(most + 1, length))
    return min(numbers, key=lambda n: _most_square(length - n, height, width)[1])


def _most_square(count, height, width):
    """The grid of `count` patches that are most nearly square, and how far from it."""
    pairs = [(rows, count // rows) for rows in range(1, count + 1) if not count % rows]
    stretch = {pair: abs(np.log(height / pair[0] * pair[1] / width)) for pair in pairs}
    best = min(pairs, key=stretch.get, default=None)
    return best, stretch.get(best, np.inf)


def scale_map(map):
    """A map from 0 to 1, or from -1 to 1 where a score is negative."""
    low, high = min(map.min(), 0.0), map.max()
    if low < 0:
        return map / max(-low, high)
    low = map.min()
    return (map - low) / (high - low) if high > low else np.zeros_like(map)


def lay_over(picture, map):
    """The picture under the colours of a map, as the page paints it, bytes."""
    heat = enlarge(scale_map(map), *picture.shape[:2])[..., None]
    near, far = (
        np.where(heat < 0, cool, warm)
        for cool, warm in zip(OVERLAY["cool"], OVERLAY["warm"], strict=True)
    )
    heat = np.abs(heat)
    grey = picture @ np.array([[0.299], [0.587], [0.114]])  # ITU-R BT.601
    faded = picture + OVERLAY["grey"] * (grey - picture)
    share = OVERLAY["strength"] * heat
    return np.rint(faded + share * (near + heat * (far - near) - faded)).astype("uint8")


def _figure(picture, maps, titles):
    from keras_attention.visualization.figures import Figure

    count = 1 + len(maps)
    columns = min(4, count)
    rows = -(-count // columns)
    height, width = picture.shape[:2]
    panel = 2.4  # inches
    figure = Figure(
        figsize=(panel * columns, (panel * height / width + 0.3) * rows),
        layout="constrained",
    )
    names = ["picture", *(titles or [""] * len(maps))]
    panels = [picture, *(lay_over(picture, map) for map in maps)]
    for i, (name, shown) in enumerate(zip(names, panels, strict=True)):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.imshow(shown, interpolation="bilinear")
        axes.set_axis_off()
        axes.set_title(name, fontsize=10, parse_math=False)
    return figure
