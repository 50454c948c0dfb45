"""Pictures from files, bytes and arrays, all to the same kind of array."""

import io
import math
import operator
import os
import re

import keras
import numpy as np

from keras_attention.files import import_package

FITS = ("pad", "crop", "stretch")

# Pillow's modes that hold one channel of more than 8 bits.
DEEP_MODES = ("I;16", "I;16B", "I;16L", "I;16N", "I", "F")

# What the orientation in EXIF asks for (Exif 2.3, tag 0x0112); 1 is upright.
ORIENTATION_TAG = 0x0112
ORIENTATIONS = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}

# An SVG is drawn at most so many times as large as asked for.
MAX_COVER = 16


def load_image(image, image_size=None, fit="pad"):
    """Loads a picture as the array that the vision models take.

    The orientation that a camera notes (EXIF) is applied, transparency is laid on
    white, and grayscale, palette, CMYK and 16-bit pictures become 8-bit RGB. Of an
    animation, the first frame is taken. SVG needs resvg-py, the rest pillow; an array
    that already has the size needs neither.

    Args:
        image: A path, bytes, an open binary file, a Pillow image, or an array or
            tensor `(height, width, channels)` with 1 (gray), 3 (RGB) or 4 (RGB and
            opacity) channels, or `(height, width)`: whole numbers from 0 to 255, floats
            from 0 to 1, or booleans, of which True is white.
        image_size: Pixels of the result, an int or `(height, width)`. The size it
            has by default.
        fit: What is done when the aspect is another one. `"pad"` keeps all of the
            picture in the middle of white bands, `"crop"` cuts two borders away,
            `"stretch"` distorts.

    Returns:
        uint8 array `(height, width, 3)`.

    Raises:
        ValueError: What was passed is not a picture, or not in this form.
        FileNotFoundError: There is no such file.
        ImportError: pillow, or for SVG resvg-py, is not installed.

    Example:

    >>> gray = np.linspace(0, 1, 20).reshape(4, 5, 1)
    >>> load_image(gray).shape
    (4, 5, 3)
    """
    size = None if image_size is None else check_image_size(image_size)
    if fit not in FITS:
        raise ValueError(
            f"`fit` must be one of {', '.join(map(repr, FITS))}. Received: fit={fit!r}"
        )
    if is_pillow(image):
        return resize(flatten(image, "The Pillow image"), size, fit)
    if isinstance(image, str | os.PathLike):
        name, data = repr(os.fspath(image)), read_path(image)
    elif isinstance(image, bytes | bytearray | memoryview):
        name, data = "The picture in bytes", bytes(image)
    elif hasattr(image, "read"):
        name, data = f"The open file {getattr(image, 'name', '')!r}", image.read()
        if not isinstance(data, bytes):
            raise ValueError(
                f'{name} gave {type(data).__name__}, not bytes. Open it with mode "rb".'
            )
    else:
        return resize(from_array(image), size, fit)
    if not data:
        raise ValueError(f"{name} is empty (0 bytes). Fetch it again.")
    if looks_like_svg(data):
        return resize(decode_svg(data, name, size, fit), size, fit)
    return resize(decode(data, name), size, fit)


def check_image_size(image_size):
    try:
        height, width = (
            image_size if isinstance(image_size, tuple | list) else (image_size,) * 2
        )
        height, width = operator.index(height), operator.index(width)
    except (TypeError, ValueError):
        height = width = 0
    if height < 1 or width < 1:
        raise ValueError(
            "`image_size` must be a positive int or (height, width) in pixels. "
            f"Received: image_size={image_size!r}"
        )
    return height, width


def is_pillow(image):
    # Asked of the class's name, so that Pillow is not imported for an array.
    return any(
        c.__module__ == "PIL.Image" and c.__name__ == "Image"
        for c in type(image).__mro__
    )


def read_path(path):
    path = os.fspath(path)
    if isinstance(path, bytes):
        path = os.fsdecode(path)
    # A letter before the colon is a drive of Windows; `pathlib` makes `//` one `/`.
    if re.match("data:|[a-zA-Z][a-zA-Z0-9+.-]+:/", path):
        raise ValueError(
            f"{path[:80]!r} is an address. Pictures are read from files only: download "
            "it first (`keras.utils.get_file(origin=address)`) and pass the file, or "
            "pass the bytes."
        )
    if os.path.isdir(path):
        raise ValueError(f"{path!r} is a folder. Pass one picture at a time.")
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"There is no picture {path!r} (in the folder {os.getcwd()!r})."
        )
    with open(path, "rb") as file:
        return file.read()


def looks_like_svg(data):
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    return head.startswith(b"<") and b"<svg" in head


def decode(data, name):
    pillow = import_package("PIL.Image", "pillow", "vision", "Reading pictures")
    try:
        image = pillow.open(io.BytesIO(data))
        image.load()
    except pillow.UnidentifiedImageError:
        raise ValueError(
            f"{name} is not a picture that Pillow can read. It has {len(data)} bytes "
            f"and starts with {data[:24]!r}."
        ) from None
    except Exception as error:  # its decoders raise many kinds on broken files
        raise ValueError(
            f"{name} is broken, cut short or too large: {error}. It has {len(data)} "
            f"bytes and starts with {data[:24]!r}."
        ) from error
    return flatten(image, name)


def flatten(image, name):
    """A Pillow image as 8-bit RGB, upright, on white: uint8 `(height, width, 3)`."""
    pillow = import_package("PIL.Image", "pillow", "vision", "Reading pictures")
    turn = ORIENTATIONS.get(orientation(image))
    if turn is not None:
        image = image.transpose(pillow.Transpose[turn])
    if image.mode in DEEP_MODES:
        return gray_to_rgb(shallow(np.asarray(image), name))
    if image.mode.endswith(("A", "a")) or "transparency" in image.info:
        image = image.convert("RGBA")
        white = pillow.new("RGBA", image.size, "white")
        image = pillow.alpha_composite(white, image)
    return np.asarray(image.convert("RGB"))


def orientation(image):
    try:
        return image.getexif().get(ORIENTATION_TAG)
    except Exception:  # notes of a camera that cannot be read: no reason to stop
        return None


def shallow(values, name):
    """One channel of 16 or 32 bits, or of floats from 0 to 1, as 8 bits."""
    top = 1 if values.dtype.kind == "f" else 65535
    if not (values.min() >= 0 and values.max() <= top):
        raise ValueError(
            f"{name} holds values from {values.min()} to {values.max()} of type "
            f"{values.dtype}, expected 0 to {top}. Scale them and pass the array."
        )
    return np.rint(values.astype("float64") * (255 / top)).astype("uint8")


def gray_to_rgb(values):
    return np.repeat(values[..., None], 3, axis=-1)


def from_array(image):
    try:
        array = np.asarray(
            image
            if isinstance(image, np.ndarray)
            else keras.ops.convert_to_numpy(image)
        )
    except (TypeError, ValueError):
        array = np.asarray(None)
    if array.dtype.name == "bfloat16":  # NumPy takes it for no number
        array = array.astype("float32")
    if array.dtype.kind == "b":
        array = array.astype("uint8") * 255
    if array.dtype.kind not in "uif":
        raise ValueError(
            "A picture must be a path, bytes, an open file, a Pillow image, or an "
            f"array of numbers. Received: {type(image).__name__} of type {array.dtype}"
        )
    shape = array.shape
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[-1] not in (1, 3, 4) or 0 in shape:
        raise ValueError(
            "A picture as an array must have the shape (height, width, channels) with "
            "1, 3 or 4 channels, or (height, width). Received: "
            f"shape={shape}. {advice(shape)}"
        )
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise ValueError(
                "A picture must hold finite numbers. Received: "
                f"{np.isnan(array).sum()} NaN and {np.isinf(array).sum()} infinite "
                f"values of {array.size}."
            )
        if low < 0 or high > 1:
            raise ValueError(
                "A picture of floats must hold values from 0 to 1. Received: "
                f"{low:g} to {high:g}. Undo its normalization, or, if they are levels "
                'from 0 to 255, pass image.astype("uint8").'
            )
        array = np.rint(array.astype("float64") * 255)
    elif low < 0 or high > 255:
        raise ValueError(
            "A picture of whole numbers must hold levels from 0 to 255. Received: "
            f"{low} to {high} of type {array.dtype}."
        )
    array = array.astype("uint8")
    if array.shape[-1] == 1:
        return gray_to_rgb(array[..., 0])
    if array.shape[-1] == 4:
        opacity = array[..., 3:].astype("float64") / 255
        array = np.rint(array[..., :3] * opacity + 255 * (1 - opacity)).astype("uint8")
    return array


def advice(shape):
    if len(shape) == 4:
        return "Pass the pictures of a batch one at a time."
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "Move the channels last: np.moveaxis(image, 0, -1)."
    return "Pass it in one of these shapes, with at least one pixel."


def resize(image, size, fit):
    if size is None or image.shape[:2] == size:
        return image
    pillow = import_package("PIL.Image", "pillow", "vision", "Resizing pictures")
    (height, width), (new_height, new_width) = image.shape[:2], size
    picture, bicubic = pillow.fromarray(image), pillow.Resampling.BICUBIC
    if fit == "stretch":
        return np.asarray(picture.resize((new_width, new_height), bicubic))
    if fit == "crop":
        scale = max(new_height / height, new_width / width)
        kept_width, kept_height = new_width / scale, new_height / scale
        left, top = (width - kept_width) / 2, (height - kept_height) / 2
        # Rounding must not lead outside of the picture.
        right, bottom = min(left + kept_width, width), min(top + kept_height, height)
        box = (max(left, 0), max(top, 0), right, bottom)
        return np.asarray(picture.resize((new_width, new_height), bicubic, box=box))
    scale = min(new_height / height, new_width / width)
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    result = np.full((new_height, new_width, 3), 255, "uint8")
    top, left = (new_height - height) // 2, (new_width - width) // 2
    if image.shape[:2] != (height, width):
        image = np.asarray(picture.resize((width, height), bicubic))
    result[top : top + height, left : left + width] = image
    return result


def decode_svg(data, name, size, fit):
    """A drawing rendered at the size at which `resize` has least to do."""
    try:
        image = render_svg(data, size)
        if size is not None and fit != "pad":
            # It fits inside `size`: once more, so large that it covers `size`.
            height, width = image.shape[:2]
            covers = max(math.ceil(size[0] / height), math.ceil(size[1] / width))
            covers = min(covers, MAX_COVER)
            if covers > 1:
                image = render_svg(data, (size[0] * covers, size[1] * covers))
        return image
    except ValueError as error:
        raise ValueError(f"{name} is not an SVG that can be drawn: {error}.") from None


def render_svg(data, size=None):
    """Draws an SVG on white, with its own aspect, as large as fits in `size`.

    Args:
        data: Bytes of the SVG.
        size: `(height, width)`. The size that the drawing states by default.

    Returns:
        uint8 array `(height, width, 3)`, smaller than `size` in one direction where
        the aspect is another one.
    """
    resvg = import_package("resvg_py", "resvg-py", "demo", "Drawing SVG")
    pillow = import_package("PIL.Image", "pillow", "vision", "Reading pictures")
    height, width = size or (None, None)
    png = resvg.svg_to_bytes(
        svg_string=data.decode("utf-8-sig"),
        width=width,
        height=height,
        background="#ffffff",
        # Looking for the fonts of the machine takes long.
        skip_system_fonts=b"<text" not in data,
    )
    return np.asarray(pillow.open(io.BytesIO(bytes(png))).convert("RGB"))
