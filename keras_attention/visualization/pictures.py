"""Pictures of the pages: checked, made small, embedded, and overlaid smoothly."""

import base64
import math
import struct
import zlib

import keras
import numpy as np

# All pictures of a page, in bytes before base64; with the weights a page of captions
# then stays below 2 MB. No picture gets smaller than 64 pixels for it.
PICTURE_BYTES = 1_200_000
SMALLEST_SIDE = 64


def check_picture(image, name="image"):
    """The picture as bytes, checked."""
    image = np.asarray(keras.ops.convert_to_numpy(image))
    if image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"`{name}` must have the shape (height, width, 3). Received: "
            f"{name}.shape={image.shape}. Repeat the one channel of a grey picture: "
            "np.repeat(image, 3, axis=-1)."
        )
    whole = np.issubdtype(image.dtype, np.integer)
    pixels = image.astype("float64") * (1 if whole else 255)
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 255):
        raise ValueError(
            f"`{name}` must hold whole numbers from 0 to 255 or floats from 0 to 1. "
            f"Received: values from {image.min()} to {image.max()}, {image.dtype}. "
            'Undo the normalization, or convert with .astype("uint8").'
        )
    return np.rint(pixels).astype("uint8")


def shrink(picture, budget):
    """The picture in `budget` bytes at most, each pixel the mean of what it covers."""
    height, width = picture.shape[:2]
    ratio = math.sqrt(budget / picture.size)
    ratio = max(ratio, SMALLEST_SIDE / max(height, width))
    if ratio >= 1:
        return picture
    small = means(height, max(1, int(height * ratio)))
    across = means(width, max(1, int(width * ratio)))
    shrunk = np.einsum("yh,hwc,xw->yxc", small, picture, across, optimize=True)
    return np.rint(shrunk).astype("uint8")


def means(pixels, fewer):
    """`(fewer, pixels)`, the share of each pixel in each of the fewer ones."""
    step = pixels / fewer
    start = np.arange(fewer)[:, None] * step
    pixel = np.arange(pixels)
    shared = np.minimum(start + step, pixel + 1) - np.maximum(start, pixel)
    return np.maximum(shared, 0) / step


def splines(cells, pixels):
    """`(pixels, cells)`, from cells to pixels with cubic B-splines."""
    at = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    distance = np.abs(at[:, None] - np.arange(-2, cells + 2))
    near = (4 - 6 * distance**2 + 3 * distance**3) / 6
    far = np.maximum(0, 2 - distance) ** 3 / 6
    factors = np.where(distance < 1, near, far)  # (pixels, cells + 4)
    # Beyond its edge the grid goes on as at the edge.
    factors[:, 2] += factors[:, :2].sum(axis=1)
    factors[:, -3] += factors[:, -2:].sum(axis=1)
    return factors[:, 2:-2]


def enlarge(map, height, width):
    """A map `(rows, columns)` over `(height, width)` pixels, its largest size 1."""
    rows, columns = map.shape
    heat = splines(rows, height) @ map @ splines(columns, width).T
    return heat / max(np.abs(heat).max(), np.finfo("float64").tiny)


def embed_png(image):
    """A picture `(height, width, 3)` of bytes as the address of an embedded PNG."""
    height, width, channels = image.shape
    pixels = np.ascontiguousarray(image).reshape(height, width * channels)
    left = np.pad(pixels[:, :-channels], ((0, 0), (channels, 0)))
    above = np.pad(pixels[:-1], ((1, 0), (0, 0)))
    # Filters 0, 1 and 2 of PNG (Section 9.2): as is, minus the left, minus the one
    # above. Each line takes the one with the smallest sum, as Section 12.7 advises.
    filtered = np.stack([pixels, pixels - left, pixels - above])  # (3, height, ...)
    sums = np.abs(filtered.view("int8").astype("int32")).sum(axis=-1)
    kinds = sums.argmin(axis=0)  # (height,)
    lines = np.concatenate(
        [kinds[:, None].astype("uint8"), filtered[kinds, np.arange(height)]], axis=1
    )

    def chunk(kind, content):
        checked = kind + content
        return (
            struct.pack(">I", len(content))
            + checked
            + struct.pack(">I", zlib.crc32(checked))
        )

    png = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
