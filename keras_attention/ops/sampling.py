"""Values between the places of a grid, as deformable layers read them.

Letters: B batch, R and C rows and columns of the grid, P points, D channels.
"""

from keras import ops

from keras_attention.backend.products import at_least_float32


def sample_bilinear(x, points):
    """Reads a map at points between its places, by the four places around each.

    Jaderberg et al. 2015, arXiv:1506.02025, Equation 5; Dai et al. 2017,
    arXiv:1703.06211, Equation 3:

        output[p] = sum over places q of max(0, 1 - |row(p) - row(q)|)
                                         max(0, 1 - |column(p) - column(q)|) x[q]

    Outside of the map there are zeros. PyTorch's `grid_sample` with `zeros` and
    `align_corners=False` gives the same, forward and backward, where its grid is
    `x = (2 column + 1) / C - 1, y = (2 row + 1) / R - 1`. Made of operations that each
    backend has, so it is compiled and exported with what is around it.

    Args:
        x: `(B, R, C, D)`.
        points: `(B, P, 2)`: row and column of each point, where the middle of the first
            place is (0, 0).

    Returns:
        `(B, P, D)`, of the dtype of `x`.

    Raises:
        ValueError: A shape does not fit.

    Example:

    >>> x = keras.ops.reshape(keras.ops.arange(4.0), (1, 2, 2, 1))  # 0 1, 2 3
    >>> points = keras.ops.convert_to_tensor([[[0.5, 0.5], [1.0, 0.0], [-0.5, 1.0]]])
    >>> keras.ops.convert_to_numpy(sample_bilinear(x, points))[0, :, 0].tolist()
    [1.5, 2.0, 0.5]
    """
    x, points = ops.convert_to_tensor(x), ops.convert_to_tensor(points)
    if len(x.shape) != 4 or len(points.shape) != 3 or points.shape[-1] != 2:
        raise ValueError(
            "A map (B, rows, columns, D) is read at points (B, P, 2). Received: "
            f"x.shape={tuple(x.shape)}, points.shape={tuple(points.shape)}"
        )
    points = ops.cast(points, at_least_float32(points.dtype))
    batch_size, rows, columns, width = ops.shape(x)
    places = ops.reshape(x, (-1, width))  # (B R C, D)
    begin = ops.arange(batch_size, dtype="int32")[:, None] * (rows * columns)  # (B, 1)

    total = 0.0
    sides = [_neighbors(points[..., axis], (rows, columns)[axis]) for axis in (0, 1)]
    for row, is_row, near_row in sides[0]:
        for column, is_column, near_column in sides[1]:
            index = begin + row * columns + column  # (B, P)
            values = ops.take(places, ops.reshape(index, (-1,)), axis=0)
            values = ops.reshape(values, (batch_size, -1, width))  # (B, P, D)
            near = ops.where(is_row & is_column, near_row * near_column, 0.0)
            total = total + values * ops.cast(near, x.dtype)[..., None]
    return total


def _neighbors(coordinates, length):
    """The places before and behind, whether they are in the map, and how near.

    Args:
        coordinates: `(B, P)`.
        length: Number of places.

    Returns:
        List of two tuples of `(B, P)`, integers, booleans and numbers from 0 to 1.
    """
    first = ops.stop_gradient(ops.floor(coordinates))
    behind = coordinates - first
    # What is farther is outside as well, and this fits an integer.
    first = ops.cast(ops.clip(first, -2.0, 2.0**30), "int32")
    found = []
    for place, near in ((first, 1 - behind), (first + 1, behind)):
        is_inside = (place >= 0) & (place < length)
        found.append((ops.clip(place, 0, length - 1), is_inside, near))
    return found
