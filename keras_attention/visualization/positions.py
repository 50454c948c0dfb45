"""How alike the encodings of positions are (Dosovitskiy et al. 2021, Figure 7).

Letters: L positions, D width, H and W rows and columns of the grid of patches.
"""

import numpy as np

from keras_attention.visualization.view import colour_map
from keras_attention.visualization.view import deflate
from keras_attention.visualization.view import RAMPS
from keras_attention.visualization.view import to_array
from keras_attention.visualization.view import View

# A page holds the square of it, in two bytes each.
MOST_POSITIONS = 1024


def show_positions(table, grid=None):
    """Shows the cosine similarity of each two positions.

    Without `grid` it is one matrix. With it, each position of the grid has a small map
    of how alike it is to every other, and the one that is pointed at stands beside
    them large: Dosovitskiy et al. 2021, arXiv:2010.11929, Figure 7.

    Args:
        table: `(L, D)`, the encodings, one row a position.
        grid: H and W, for L = H * W patches of a picture, row by row. Defaults to none.

    Returns:
        A `View`: the last line of a notebook cell shows it, `.save("positions.html")`
        writes one file, `.figure()` draws with matplotlib.

    Raises:
        ValueError: a size or a value is wrong.

    Example:

    >>> table = np.random.default_rng(0).normal(size=(6, 8))
    >>> show_positions(table)
    <View 'Similarity of 6 positions'>
    >>> show_positions(table, grid=(2, 3))
    <View 'Similarity of 2 × 3 positions'>
    """
    table = to_array(table)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(
            "`table` must have the shape (positions, width). Received: "
            f"table.shape={table.shape}. Leave out an axis of one with table[0]."
        )
    if not np.isfinite(table).all():
        raise ValueError(
            "`table` must be finite. Received: nan or infinity in "
            f"{np.count_nonzero(~np.isfinite(table).all(axis=1))} of its {len(table)} "
            "rows. Look for a training that diverged."
        )
    if len(table) > MOST_POSITIONS:
        step = -(-len(table) // MOST_POSITIONS)
        raise ValueError(
            f"A page holds at most {MOST_POSITIONS} positions. Received: "
            f"table.shape={table.shape}. Pass some of them, such as table[::{step}]."
        )
    if grid is not None:
        grid = tuple(int(length) for length in grid)
        if len(grid) != 2 or min(grid) < 1 or grid[0] * grid[1] != len(table):
            raise ValueError(
                "`grid` must be the rows and columns of the positions, as many as "
                f"`table` has. Received: grid={grid}, table.shape={table.shape}. "
                "Leave out the positions of prefix tokens, with table[1:] for a class "
                "token."
            )
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    units = table / np.where(lengths > 0, lengths, 1)
    similarity = np.clip(units @ units.T, -1, 1)  # (L, L)
    count = f"{grid[0]} × {grid[1]}" if grid else len(table)
    title = f"Similarity of {count} positions"
    return View(
        body="positions.html",
        data={
            "ramps": RAMPS,
            "title": title,
            "length": len(table),
            "grid": grid,
            # Whole numbers from -32767 to 32767 for -1 to 1.
            "similarity": deflate(np.rint(similarity * 32767).astype("<i2")),
        },
        title=title,
        draw=lambda: _figure(similarity, grid),
        height=680,
    )


def _figure(similarity, grid):
    from keras_attention.visualization.figures import Figure

    look = {"cmap": colour_map(signed=True), "vmin": -1, "vmax": 1}
    if grid is None:
        figure = Figure(figsize=(5.6, 4.8), layout="constrained")
        axes = figure.add_subplot()
        drawn = axes.imshow(similarity, interpolation="nearest", **look)
        axes.set(xlabel="position", ylabel="position")
        axes.spines[:].set_color("lightgrey")
        shared = axes
    else:
        # All small maps are one picture, with gaps: a hundred axes would take seconds.
        rows, columns = grid
        panel = max(0.3, min(1.2, 6 / columns))  # inches
        figure = Figure(
            figsize=(panel * columns + 1.6, panel * rows + 0.8), layout="constrained"
        )
        shared = figure.add_subplot()
        drawn = shared.imshow(mosaic(similarity, grid), interpolation="nearest", **look)
        shared.set_xticks(
            np.arange(columns) * (columns + 1) + (columns - 1) / 2, range(columns)
        )
        shared.set_yticks(np.arange(rows) * (rows + 1) + (rows - 1) / 2, range(rows))
        shared.set(xlabel="column of the patch", ylabel="row of the patch")
        shared.spines[:].set_visible(False)
        shared.tick_params(length=0, labelsize=8)
    bar = figure.colorbar(drawn, ax=shared, shrink=0.8, aspect=24)
    bar.set_label("cosine similarity", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    bar.outline.set_visible(False)
    return figure


def mosaic(similarity, grid):
    """The maps of all positions beside each other, nan for the gaps between them.

    Args:
        similarity: `(H * W, H * W)`.
        grid: H and W.

    Returns:
        `(H * (H + 1) - 1, W * (W + 1) - 1)`.
    """
    rows, columns = grid
    maps = similarity.reshape(rows, columns, rows, columns)
    padded = np.pad(maps, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=np.nan)
    whole = padded.transpose(0, 2, 1, 3)  # (H, H + 1, W, W + 1)
    return whole.reshape(rows * (rows + 1), columns * (columns + 1))[:-1, :-1]
