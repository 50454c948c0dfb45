"""Grids of patches, and positions that are stretched from one grid to another."""

import numpy as np

# The cubic kernel of PyTorch; that of TensorFlow, JAX and Pillow has -0.5.
SHARPNESS = -0.75


def stretch_positions(table, saved, arguments, weights=None, num_in_front=None):
    """Fits the positions of patches to images of another size, by cubic splines.

    Dosovitskiy et al. 2021, Section 3.2: positions are stretched over the new grid.

    Args:
        table: Positions of the published model, `(rows * columns, D)`, those of the
            tokens in front of the patches first, if they have any.
        saved: Arguments of the published model.
        arguments: Arguments of ours. More tokens in front get zeros.
        weights: Function from two numbers of points to how much each of the old ones
            counts for each of the new ones. Defaults to `cubic_weights`.
        num_in_front: How many tokens in front have positions, where no argument says
            so.

    Returns:
        The same for ours.

    Raises:
        ValueError: Ours has fewer tokens in front of the patches that have positions.
    """
    weights = cubic_weights if weights is None else weights
    old, new = grid_of(saved), grid_of(arguments)
    first, wanted = table.shape[0] - old[0] * old[1], num_in_front
    if wanted is None:
        wanted = prefix_positions(arguments)
    if first > wanted:
        raise ValueError(
            f"The checkpoint has positions for {first} tokens in front of the patches, "
            f"the model for {wanted}. Leave `use_class_token` and "
            "`use_prefix_positions` as they were saved."
        )
    in_front = np.pad(table[:first], ((0, wanted - first), (0, 0)))
    return np.concatenate([in_front, stretched(table[first:], old, new, weights)])


def stretched(rows, old, new, weights):
    """Fits a grid of vectors to another number of rows and columns.

    Args:
        rows: `(rows * columns, D)`, of the old grid.
        old: Its rows and columns.
        new: Those of the new one.
        weights: As those of `stretch_positions`.

    Returns:
        `(rows * columns, D)`, of the new grid.
    """
    grid = np.reshape(rows, (*old, -1))
    grid = np.einsum("ab,bcd->acd", weights(old[0], new[0]), grid)
    grid = np.einsum("ab,cbd->cad", weights(old[1], new[1]), grid)
    return np.reshape(grid, (new[0] * new[1], -1))


def stretch_distances(table, saved, arguments):
    """Fits the biases of distances between patches to images of another size.

    As BEiT's code does it, linearly. The last three rows, of its class token, stay.

    Args:
        table: `((2 rows - 1) * (2 columns - 1) + 3, N)`.
        saved: Arguments of the published model.
        arguments: Arguments of ours.

    Returns:
        The same for ours.
    """
    old, new = (
        tuple(2 * side - 1 for side in grid_of(each)) for each in (saved, arguments)
    )
    grid = stretched(table[:-3], old, new, linear_weights)
    return np.concatenate([grid, table[-3:]])


def prefix_positions(arguments):
    """How many tokens in front of the patches have positions."""
    if not arguments["use_prefix_positions"]:
        return 0
    return arguments["num_registers"] + int(arguments["use_class_token"])


def grid_of(arguments):
    """Rows and columns of patches."""
    sides, sizes = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (arguments["image_size"], arguments["patch_size"])
    )
    return tuple(side // size for side, size in zip(sides, sizes, strict=True))


def cubic_weights(old, new):
    """How much each of `old` points counts for each of `new`, `(new, old)`.

    Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing",
    Equation 15. The points are the middles of cells; the ends repeat.
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    before = np.floor(places).astype(int)
    weights = np.zeros((new, old))
    for step in range(-1, 3):
        distance = np.abs(places - before - step)
        near = (SHARPNESS + 2) * distance**3 - (SHARPNESS + 3) * distance**2 + 1
        far = SHARPNESS * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weight = np.where(distance <= 1, near, far)
        index = np.clip(before + step, 0, old - 1)
        np.add.at(weights, (np.arange(new), index), weight)
    return weights


def linear_weights(old, new):
    """How much each of `old` points counts for each of `new`, linearly, `(new, old)`.

    The points are the middles of cells; the ends repeat.
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    before = np.floor(places).astype(int)
    weights = np.zeros((new, old))
    for step in (0, 1):
        index = np.clip(before + step, 0, old - 1)
        share = 1 - np.abs(places - before - step)
        np.add.at(weights, (np.arange(new), index), share)
    return weights
