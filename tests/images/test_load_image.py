"""Pictures from anywhere to uint8 (height, width, 3)."""

import io
import pathlib

import numpy as np
import pytest

from keras_attention.images import load_image

Image = pytest.importorskip("PIL.Image", reason="reading pictures needs pillow")

pytestmark = pytest.mark.once

WHITE, RED, BLUE = (255, 255, 255), (255, 0, 0), (0, 0, 255)


def encode(image, format="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def halves(height=4, width=6):
    """Red on the left, blue on the right."""
    image = np.empty((height, width, 3), "uint8")
    image[:, : width // 2], image[:, width // 2 :] = RED, BLUE
    return image


def test_a_path_bytes_a_file_and_a_pillow_image_give_the_same(tmp_path):
    picture = Image.fromarray(halves())
    path = tmp_path / "a.png"
    picture.save(path)
    with open(path, "rb") as file:
        for image in (path, str(path), path.read_bytes(), file, picture, halves()):
            loaded = load_image(image)
            assert loaded.dtype == "uint8"
            np.testing.assert_array_equal(loaded, halves())


def test_pad_lays_the_whole_picture_on_white():
    loaded = load_image(np.zeros((4, 8, 3), "uint8"), image_size=16)
    assert loaded.shape == (16, 16, 3)
    # Twice as large, 8 rows high, in the middle.
    np.testing.assert_array_equal(loaded[:4], 255)
    np.testing.assert_array_equal(loaded[4:12], 0)
    np.testing.assert_array_equal(loaded[12:], 255)


def test_crop_cuts_the_borders_away():
    image = np.zeros((4, 8, 3), "uint8")
    image[:, 2:6] = 200
    np.testing.assert_array_equal(load_image(image, 4, fit="crop"), 200)


def test_stretch_keeps_everything_but_the_aspect():
    loaded = load_image(halves(4, 8), (4, 4), fit="stretch")
    assert loaded.shape == (4, 4, 3)
    np.testing.assert_array_equal(loaded[0, 0], RED)
    np.testing.assert_array_equal(loaded[0, -1], BLUE)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (1, 50), (50, 1), (3, 3)])
def test_the_size_is_the_one_asked_for(fit, shape):
    image = np.full((*shape, 3), 7, "uint8")
    assert load_image(image, (6, 9), fit).shape == (6, 9, 3)


def test_an_image_of_the_right_size_is_left_alone(rng):
    image = rng.integers(0, 256, (5, 7, 3), "uint8")
    for fit in ("pad", "crop", "stretch"):
        np.testing.assert_array_equal(load_image(image, (5, 7), fit), image)


# Where red, the top left of the picture seen upright, is stored for each value.
@pytest.mark.parametrize(
    "orientation, shape, corner",
    [
        (1, (2, 3), (0, 0)),
        (2, (2, 3), (0, -1)),
        (3, (2, 3), (-1, -1)),
        (4, (2, 3), (-1, 0)),
        (5, (3, 2), (0, 0)),
        (6, (3, 2), (-1, 0)),
        (7, (3, 2), (-1, -1)),
        (8, (3, 2), (0, -1)),
    ],
)
def test_the_orientation_of_the_camera_is_applied(orientation, shape, corner):
    stored = np.zeros((*shape, 3), "uint8")
    stored[corner] = RED
    picture = Image.fromarray(stored)
    exif = picture.getexif()
    exif[0x0112] = orientation
    loaded = load_image(encode(picture, exif=exif))
    assert loaded.shape == (2, 3, 3)
    np.testing.assert_array_equal(loaded[0, 0], RED)
    assert loaded.sum() == 255


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_broken_notes_of_the_camera_do_not_stop():
    data = encode(Image.fromarray(halves()), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x99")
    assert load_image(data).shape == (4, 6, 3)


def test_transparency_is_laid_on_white():
    image = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [255, 0, 0, 51]]], "uint8")
    expected = [[RED, WHITE, (255, 204, 204)]]  # a fifth of red, four of white
    np.testing.assert_array_equal(load_image(encode(Image.fromarray(image))), expected)
    np.testing.assert_array_equal(load_image(image), expected)
    np.testing.assert_array_equal(load_image(image / 255.0), expected)


def test_transparency_of_gray_and_palette_is_laid_on_white():
    gray = Image.fromarray(np.array([[[9, 255], [9, 0]]], "uint8"), "LA")
    np.testing.assert_array_equal(load_image(encode(gray)), [[(9, 9, 9), WHITE]])
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *BLUE])
    palette.putpixel((1, 0), 1)
    for format in ("PNG", "GIF"):
        data = encode(palette, format, transparency=1)
        np.testing.assert_array_equal(load_image(data), [[RED, WHITE]])
    # Opaque.
    np.testing.assert_array_equal(load_image(encode(palette)), [[RED, BLUE]])


def test_gray_is_three_equal_channels():
    gray = np.array([[0, 7], [100, 255]], "uint8")
    expected = np.repeat(gray[..., None], 3, -1)
    np.testing.assert_array_equal(load_image(encode(Image.fromarray(gray))), expected)
    np.testing.assert_array_equal(load_image(gray[..., None]), expected)
    bits = Image.fromarray(gray > 50)
    np.testing.assert_array_equal(load_image(bits)[:, :, 0], [[0, 0], [255, 255]])


def test_16_bits_become_8():
    deep = np.array([[0, 257 * 7, 65535]], "uint16")
    for format in ("PNG", "TIFF"):
        loaded = load_image(encode(Image.fromarray(deep), format))
        np.testing.assert_array_equal(loaded[0, :, 0], [0, 7, 255])
        np.testing.assert_array_equal(loaded[0, :, 2], [0, 7, 255])
    floats = Image.fromarray(np.array([[0.0, 0.2, 1.0]], "float32"))
    np.testing.assert_array_equal(load_image(floats)[0, :, 1], [0, 51, 255])


def test_cmyk_becomes_rgb():
    data = encode(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "JPEG")
    np.testing.assert_array_equal(load_image(data)[0, 0], WHITE)


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (3, 2), color) for color in (RED, BLUE)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(load_image(data), np.full((2, 3, 3), RED))


def test_floats_are_taken():
    image = np.linspace(0, 1, 24).reshape(2, 4, 3).astype("float32")
    expected = np.rint(image * 255).astype("uint8")
    np.testing.assert_array_equal(load_image(image), expected)
    np.testing.assert_array_equal(load_image(expected.astype("int64")), expected)
    np.testing.assert_array_equal(load_image(expected.tolist()), expected)


SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" width="8" height="4" viewBox="0 0 8 4">
<rect width="4" height="4" fill="#00f"/></svg>"""


def test_svg_is_drawn_on_white_at_the_size_asked_for(tmp_path):
    pytest.importorskip("resvg_py", reason="drawing SVG needs resvg-py")
    path = tmp_path / "a.svg"
    path.write_text(SVG)
    loaded = load_image(path)
    assert loaded.shape == (4, 8, 3)
    np.testing.assert_array_equal(loaded[0, 0], BLUE)
    np.testing.assert_array_equal(loaded[0, -1], WHITE)
    loaded = load_image(path, 32)  # 16 rows high, from row 8
    np.testing.assert_array_equal(loaded[7, 0], WHITE)
    np.testing.assert_array_equal(loaded[8:24, :16], np.full((16, 16, 3), BLUE))
    np.testing.assert_array_equal(loaded[8:24, 16:], 255)
    for fit in ("crop", "stretch"):
        loaded = load_image(path, 32, fit)
        assert loaded.shape == (32, 32, 3)
        np.testing.assert_array_equal(loaded[0, 2], BLUE)
        np.testing.assert_array_equal(loaded[-1, -2], WHITE)
    with pytest.raises(ValueError, match="bytes is not an SVG that can be drawn"):
        load_image(b"<svg")


def test_a_file_that_is_no_picture_is_named_with_its_start(tmp_path):
    path = tmp_path / "page.jpg"
    path.write_bytes(b"<!DOCTYPE html><html>404")
    with pytest.raises(
        ValueError, match="page.jpg' is not a picture .* 24 bytes .*b'<!DOCTYPE html>"
    ):
        load_image(path)


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF"])
def test_a_picture_cut_short_is_refused(rng, tmp_path, format):
    image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), "uint8"))
    data = encode(image, format)
    path = tmp_path / "cut"
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=f"cut' is broken, .*{len(data) // 2} bytes"):
        load_image(path)


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.touch()
    with pytest.raises(ValueError, match=r"a.png' is empty \(0 bytes\)"):
        load_image(path)
    with pytest.raises(ValueError, match="in bytes is empty"):
        load_image(b"")


@pytest.mark.parametrize(
    "address",
    [
        "https://example.org/cat.jpg",
        "s3://bucket/cat.jpg",
        "file:///cat.jpg",
        "data:image/png;base64,iVBO",
        pathlib.Path("http://example.org/cat.jpg"),
    ],
)
def test_an_address_is_refused(address):
    with pytest.raises(ValueError, match="is an address.*get_file"):
        load_image(address)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no picture .*nowhere.png"):
        load_image(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match="is a folder"):
        load_image(tmp_path)


@pytest.mark.parametrize(
    "image, message",
    [
        (np.zeros((0, 5)), r"shape=\(0, 5\). Pass it in one of these shapes"),
        (np.zeros(5), r"or \(height, width\). Received: shape=\(5,\)"),
        (np.zeros((2, 4, 5, 3)), r"shape=\(2, 4, 5, 3\). Pass .* one at a time"),
        (np.zeros((3, 4, 5)), r"shape=\(3, 4, 5\). Move the channels last"),
        (np.zeros((0, 5, 3)), r"shape=\(0, 5, 3\)"),
        (np.full((4, 5, 3), 255.0), r"0 to 1. Received: 255 to 255.*astype"),
        (np.full((4, 5, 3), -0.5), "0 to 1. Received: -0.5 to -0.5"),
        (np.full((4, 5, 3), np.nan), "finite numbers. Received: 60 NaN and 0 infinite"),
        (np.full((4, 5, 3), np.inf), "0 NaN and 60 infinite values of 60"),
        (np.full((4, 5, 3), 256), "0 to 255. Received: 256 to 256 of type int64"),
        (np.zeros((4, 5, 3), complex), "Received: ndarray of type complex128"),
        ({"image": 1}, "Received: dict of type object"),
        (None, "Received: NoneType"),
        (io.StringIO("text"), 'gave str, not bytes. Open it with mode "rb"'),
    ],
)
def test_what_is_no_picture_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        load_image(image)


def test_floats_out_of_range_in_a_file_are_refused():
    deep = Image.fromarray(np.array([[-1.0, 2.0]], "float32"))
    with pytest.raises(ValueError, match="from -1.0 to 2.0 of type float32"):
        load_image(deep)


@pytest.mark.parametrize("size", [0, -3, 2.5, (4, 0), (1, 2, 3), "64", (4, None)])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match=r"positive int or \(height, width\)"):
        load_image(halves(), size)


def test_an_unknown_fit_is_refused():
    with pytest.raises(ValueError, match="'pad', 'crop', 'stretch'. Received: fit='x'"):
        load_image(halves(), 8, fit="x")


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ImportError, match=r"pillow.*keras-attention\[vision\]"):
        load_image(b"\x89PNG")


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float16"])
def test_numbers_of_any_type_are_levels(dtype):
    """Black and the lightest gray that all of the types have in common, or white."""
    light = {"bool": True, "float16": 1.0}.get(dtype, 127)
    image = np.array([[0, light]]).astype(dtype)
    level = 255 if light == 1 else 127
    for shaped in (image, image[..., None], np.repeat(image[..., None], 3, axis=-1)):
        loaded = load_image(shaped)
        assert loaded.dtype == "uint8"
        np.testing.assert_array_equal(loaded[0], [[0] * 3, [level] * 3])
