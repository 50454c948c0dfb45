"""How far a network sees: which pixels bear on one place of its features.

Letters: B pictures, H and W their height and width, R and C rows and columns of
features, D their channels.
"""

import numpy as np
from keras import ops

from keras_attention.backend.gradients import gradient


def receptive_field(features, images, place=None, seed=0):
    """Measures the effective receptive field of one place of a network's features.

    Luo et al. 2016, arXiv:1701.04128, Section 2: the gradient of what stands at the
    place by each pixel. Of the D channels one mixture is drawn for each picture, since
    the sum of all of them may be the same for every picture, as behind a norm.

    Args:
        features: Function, layer or model from images to features `(B, R, C, D)`.
        images: `(B, H, W, channels)`.
        place: Row and column of the place. Defaults to the middle.
        seed: Integer, for the mixtures.

    Returns:
        `(H, W)` float32, NumPy: the mean size of the gradient over pictures and
        channels, as a share of the sum over all pixels.

    Raises:
        ValueError: The features have other axes, or no pixel bears on the place.

    Example:

    >>> pooling = keras.layers.AveragePooling2D(2, data_format="channels_last")
    >>> receptive_field(pooling, np.ones((1, 4, 4, 1)), place=(0, 1)).tolist()
    [[0.0, 0.0, 0.25, 0.25], [0.0, 0.0, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0],
     [0.0, 0.0, 0.0, 0.0]]
    """

    def mixture(tensors):
        x = features(tensors[0])
        if len(x.shape) != 4:
            raise ValueError(
                "`features` must give (B, rows, columns, D). Received: shape "
                f"{tuple(x.shape)}. Lay tokens out as a grid first."
            )
        row, column = place or (x.shape[1] // 2, x.shape[2] // 2)
        x = ops.cast(x[:, row, column], "float32")  # (B, D)
        parts = np.random.default_rng(seed).standard_normal(x.shape)
        return ops.sum(x * ops.convert_to_tensor(parts.astype("float32")))

    (slopes,) = gradient(mixture, [np.asarray(images, "float32")])
    field = np.abs(ops.convert_to_numpy(slopes)).mean(axis=(0, -1))
    total = field.sum()
    if not total > 0:
        raise ValueError(
            f"No pixel bears on the place {place}: the gradient is zero. Pass other "
            "images, or a network that is not constant."
        )
    return (field / total).astype("float32")


def field_distance(field, place=None):
    """How far the pixels of a receptive field are from its place on average, in pixels.

    Args:
        field: `(H, W)`, from `receptive_field`.
        place: Row and column of the place, in pixels. Defaults to the middle of what
            the field weighs.

    Returns:
        A number.

    Example:

    >>> field_distance(np.array([[0.0, 0.5, 0.0, 0.5]]))
    1.0
    """
    field = np.asarray(field, "float64")
    field = field / field.sum()
    places = np.indices(field.shape)
    if place is None:
        place = [(field * axis).sum() for axis in places]
    apart = np.hypot(*(axis - side for axis, side in zip(places, place, strict=True)))
    return float((field * apart).sum())
