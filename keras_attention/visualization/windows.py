"""Where a patch looks within its window (Liu et al. 2021, Swin Transformer).

Letters: B pictures, W windows of a picture, N heads, H and V rows and columns of the
grid of patches, M patches of a window.
"""

import operator

import numpy as np

from keras_attention.visualization.patches import OVERLAY
from keras_attention.visualization.pictures import check_picture
from keras_attention.visualization.pictures import embed_png
from keras_attention.visualization.pictures import PICTURE_BYTES
from keras_attention.visualization.pictures import shrink
from keras_attention.visualization.view import check_weights
from keras_attention.visualization.view import deflate
from keras_attention.visualization.view import RAMPS
from keras_attention.visualization.view import to_array
from keras_attention.visualization.view import View
from keras_attention.visualization.words import LIGHT

# As for `show_heads`: what a browser still opens.
MOST_WEIGHTS = 40_000_000


def show_windows(
    image, weights, grid, window_size, shift=0, index=0, cell=None, title=None
):
    """Shows the windows of a layer over a picture, and where a patch looks in its own.

    Liu et al. 2021, arXiv:2103.14030, Section 3.2 and Figures 2 and 4. Patches read
    each other within windows only; in every second layer the windows are shifted, and
    those that the edge of the picture cuts go on at the opposite edge. What lies
    outside the window of the chosen patch is pale. Pointing at a patch, or walking with
    the arrow keys, chooses it; each head stands beside the picture.

    Args:
        image: `(height, width, 3)`, whole numbers from 0 to 255 or floats from 0 to 1.
        weights: `(B * W, N, M, M)`, as Swin computes them: the windows of one picture
            after the other, row by row, after the grid was rolled by `-shift`.
        grid: H and V. A grid that windows do not fill is padded at the bottom and at
            the right, as Swin does.
        window_size: Rows and columns of a window, one number for both or two.
        shift: By how many rows and columns the windows are shifted, one number for
            both or two. 0 for the layers without a shift.
        index: Which picture of the batch.
        cell: Row and column of the patch that is chosen first. Defaults to the middle.
        title: Title of the page. Defaults to the sizes.

    Returns:
        A `View`: the last line of a notebook cell shows it, `.save("windows.html")`
        writes one file, `.figure()` draws with matplotlib.

    Raises:
        ValueError: a size or a value is wrong.

    Example:

    >>> weights = np.full((4, 3, 16, 16), 1 / 16)  # 2 × 2 windows, 3 heads
    >>> show_windows(np.ones((32, 32, 3)), weights, (8, 8), window_size=4, shift=2)
    <View 'Windows of 4 × 4 patches, shifted by 2 × 2'>
    """
    picture = check_picture(image)
    partition = Partition(grid, window_size, shift)
    weights = _of_picture(to_array(weights), partition, index)
    check_weights(weights, "weights")
    rows, columns = partition.grid
    cell = (rows // 2, columns // 2) if cell is None else _pair(cell, "cell", 0)
    if cell[0] >= rows or cell[1] >= columns:
        raise ValueError(
            f"`cell` must lie in the grid. Received: cell={cell}, "
            f"grid={(rows, columns)}. Rows and columns are counted from 0."
        )
    picture = shrink(picture, PICTURE_BYTES)
    if title is None:
        title = "Windows of {} × {} patches".format(*partition.window)
        if any(partition.shift):
            title += ", shifted by {} × {}".format(*partition.shift)
    peaks = weights.max(axis=-1, keepdims=True)
    scaled = np.rint(weights / np.where(peaks > 0, peaks, 1) * 255)
    return View(
        body="windows.html",
        data={
            "title": title,
            "image": embed_png(picture),
            "grid": partition.grid,
            "padded": partition.padded,
            "window": partition.window,
            "shift": partition.shift,
            "heads": weights.shape[1],
            "cell": cell,
            "peaks": deflate(peaks.astype("<f4")),
            "bytes": deflate(scaled.astype("uint8")),
            "ramps": RAMPS,
            "overlay": OVERLAY,
            "light": LIGHT,
        },
        title=title,
        draw=lambda: _figure(picture, weights, partition, cell),
        height=640,
    )


class Partition:
    """Which patches share a window.

    Args:
        grid: Rows and columns of patches.
        window_size: Those of a window.
        shift: By how many rows and columns the windows are shifted.
    """

    def __init__(self, grid, window_size, shift=0):
        self.grid = _pair(grid, "grid", 1)
        self.window = _pair(window_size, "window_size", 1)
        self.shift = _pair(shift, "shift", 0)
        if any(s >= w for s, w in zip(self.shift, self.window, strict=True)):
            raise ValueError(
                "`shift` must be less than the window. Received: "
                f"shift={self.shift}, window_size={self.window}. Swin shifts by half "
                "a window."
            )
        both = list(zip(self.grid, self.window, strict=True))
        self.counts = tuple(-(-length // window) for length, window in both)
        self.padded = tuple(
            count * window
            for count, window in zip(self.counts, self.window, strict=True)
        )

    def place_of(self, cell):
        """The number of the window of a patch, and that of the patch within it."""
        rolled = [
            (at - s) % length
            for at, s, length in zip(cell, self.shift, self.padded, strict=True)
        ]
        (i, y), (j, x) = (
            divmod(at, window) for at, window in zip(rolled, self.window, strict=True)
        )
        return i * self.counts[1] + j, y * self.window[1] + x

    def cells_of(self, window):
        """The rows and columns of the patches of a window, two arrays `(M,)`."""
        i, j = divmod(window, self.counts[1])
        height, width = self.window
        at = np.arange(height * width)
        rows = (i * height + at // width + self.shift[0]) % self.padded[0]
        columns = (j * width + at % width + self.shift[1]) % self.padded[1]
        return rows, columns

    def spread(self, window, values):
        """Values `(M,)` of a window on the grid `(H, V)`, nan outside the window."""
        on_grid = np.full(self.padded, np.nan)
        on_grid[self.cells_of(window)] = values
        return on_grid[: self.grid[0], : self.grid[1]]

    def lines(self):
        """After which rows and which columns of the grid a window ends, two lists."""
        return [
            [at for at in range(s or w, length, w)]
            for s, w, length in zip(self.shift, self.window, self.grid, strict=True)
        ]


def _pair(value, name, least):
    pair = value if isinstance(value, list | tuple | np.ndarray) else (value, value)
    try:
        pair = tuple(operator.index(number) for number in pair)
    except TypeError:
        pair = ()
    if len(pair) != 2 or min(pair) < least:
        raise ValueError(
            f"`{name}` must be whole numbers of rows and columns, at least {least}. "
            f"Received: {name}={value!r}"
        )
    return pair


def _of_picture(weights, partition, index):
    """The weights of one picture, `(W, N, M, M)`."""
    windows = partition.counts[0] * partition.counts[1]
    patches = partition.window[0] * partition.window[1]
    fits = weights.ndim == 4 and weights.size and weights.shape[2:] == (patches,) * 2
    if not fits or len(weights) % windows:
        raise ValueError(
            f"`weights` must have the shape (pictures * {windows}, heads, {patches}, "
            f"{patches}) for a grid of {partition.grid} in windows of "
            f"{partition.window}. Received: weights.shape={weights.shape}. Pass the "
            "weights of one layer, and the grid that this layer sees."
        )
    count = len(weights) // windows
    if not -count <= index < count:
        raise ValueError(
            f"`index` must name a picture of the batch, of {count}. Received: {index}"
        )
    if windows * patches**2 * weights.shape[1] > MOST_WEIGHTS:
        raise ValueError(
            f"A page holds at most {MOST_WEIGHTS:,} weights. Received: "
            f"weights.shape={weights.shape}. Pass fewer heads, such as weights[:, :2]."
        )
    return weights.reshape(count, windows, *weights.shape[1:])[index]


def light_up(picture, values):
    """The picture as the page paints it in the light theme, bytes.

    Args:
        picture: `(height, width, 3)`, bytes.
        values: `(H, V)`, the weights over the largest, nan outside the window.

    Returns:
        `(height, width, 3)`.
    """
    height, width = picture.shape[:2]
    rows, columns = values.shape
    down = ((np.arange(height) + 0.5) * rows / height).astype(int)
    across = ((np.arange(width) + 0.5) * columns / width).astype(int)
    heat = values[down][:, across][..., None]
    pale, keep = LIGHT["light"]["pale"], LIGHT["light"]["keep"]
    near, far = (np.array(colour) for colour in OVERLAY["warm"])
    grey = picture @ np.array([[0.299], [0.587], [0.114]])  # ITU-R BT.601
    outside = keep * grey + (1 - keep) * np.array(pale)
    faded = picture + OVERLAY["grey"] * (grey - picture)
    share = OVERLAY["strength"] * heat
    inside = faded + share * (near + heat * (far - near) - faded)
    return np.rint(np.where(np.isnan(heat), outside, inside)).astype("uint8")


def _figure(picture, weights, partition, cell):
    from matplotlib.patches import Rectangle

    from keras_attention.visualization.figures import Figure

    window, query = partition.place_of(cell)
    heads = weights[window, :, query]  # (N, M)
    panels = {"all heads": heads.mean(axis=0)}
    if len(heads) > 1:
        panels |= {f"head {h}": head for h, head in enumerate(heads)}
    count = len(panels)
    columns = min(4, count)
    lines = -(-count // columns)
    height, width = picture.shape[:2]
    panel = 2.4  # inches
    figure = Figure(
        figsize=(panel * columns, (panel * height / width + 0.3) * lines),
        layout="constrained",
    )
    cell_height = height / partition.grid[0]  # pixels
    cell_width = width / partition.grid[1]
    for i, (name, values) in enumerate(panels.items()):
        axes = figure.add_subplot(lines, columns, i + 1)
        shown = partition.spread(window, values / max(values.max(), 1e-30))
        axes.imshow(light_up(picture, shown), interpolation="nearest")
        for draw, side, places in zip(
            (axes.axhline, axes.axvline),
            (cell_height, cell_width),
            partition.lines(),
            strict=True,
        ):
            for place in places:
                draw(place * side - 0.5, color="black", linewidth=1.6, alpha=0.5)
                draw(place * side - 0.5, color="white", linewidth=0.8)
        corner = (cell[1] * cell_width - 0.5, cell[0] * cell_height - 0.5)
        for colour, line in (("black", 2.6), ("white", 1.3)):
            axes.add_patch(
                Rectangle(
                    corner,
                    cell_width,
                    cell_height,
                    fill=False,
                    edgecolor=colour,
                    linewidth=line,
                )
            )
        axes.set_axis_off()
        axes.set_title(name, fontsize=10)
    return figure
