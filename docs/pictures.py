"""Makes the pictures of docs/pictures: what this library shows, of models trained here.

    KERAS_BACKEND=jax python docs/pictures.py [NAME ...]

The models are tiny and train on data that is drawn here, in three minutes on two CPU
cores. The pages are photographed by Chromium; without it, those pictures stay as they
are.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

import keras
import numpy as np
from keras import ops

from keras_attention import layers
from keras_attention.ops import sinusoidal_positions
from keras_attention.visualization import attention_maps
from keras_attention.visualization import relevance
from keras_attention.visualization import show_alignment
from keras_attention.visualization import show_heads
from keras_attention.visualization import show_patches
from keras_attention.visualization import show_positions
from keras_attention.visualization import show_windows

FOLDER = pathlib.Path(__file__).parent / "pictures"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# French noun phrases, whose adjective follows, and what they say in English.
NOUNS = {"chat": "cat", "livre": "book", "pont": "bridge", "vin": "wine"}
ADJECTIVES = {"noir": "black", "rouge": "red", "vieux": "old", "grec": "greek"}
LINKS = {"et": "and", "sous": "under", "avec": "with"}

COLOURS = {
    "red": (0.85, 0.2, 0.2),
    "blue": (0.2, 0.35, 0.85),
    "green": (0.2, 0.65, 0.3),
    "yellow": (0.9, 0.75, 0.1),
}
SIDE, PATCH = 64, 8


def save_figure(view, name):
    """Writes the figure of a view."""
    figure = view.figure()
    figure.savefig(FOLDER / f"{name}.png", dpi=90)


def photograph(view, name, width, height):
    """Writes the page of a view as a browser shows it."""
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        print(f"Without Chromium, {name}.png stays as it is.")
        return
    with tempfile.TemporaryDirectory() as folder:
        page = view.save(pathlib.Path(folder) / "page.html")
        command = [program, "--headless", "--no-sandbox", "--disable-gpu"]
        command += [f"--window-size={width},{height}", "--hide-scrollbars"]
        command += ["--virtual-time-budget=5000", f"--user-data-dir={folder}/profile"]
        command += [f"--screenshot={FOLDER / name}.png", page.as_uri()]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


# A translator: a GRU reads, another writes and looks back by additive attention.


def draw_sentences(rng, count, length):
    """French sentences of two phrases, and the English ones, as ids; 0 is padding."""
    french = ["", "le", *NOUNS, *ADJECTIVES, *LINKS]
    english = ["", "[start]", "the", *NOUNS.values(), *ADJECTIVES.values()]
    english += LINKS.values()
    source = np.zeros((count, length), "int32")
    target = np.zeros((count, length + 1), "int32")
    for i in range(count):
        read, said = [], []
        for phrase in range(2):
            if phrase:
                link = rng.choice(list(LINKS))
                read.append(link)
                said.append(LINKS[link])
            noun = rng.choice(list(NOUNS))
            some = list(rng.choice(list(ADJECTIVES), rng.integers(0, 3), replace=False))
            read += ["le", noun, *some]
            said += ["the", *[ADJECTIVES[word] for word in some], NOUNS[noun]]
        source[i, : len(read)] = [french.index(word) for word in read]
        target[i, : len(said) + 1] = [1, *[english.index(word) for word in said]]
    return source, target, french, english


def alignment(rng):
    """Bahdanau's Figure 3, of a translator."""
    length = 9
    source, target, french, english = draw_sentences(rng, 6000, length)
    read = keras.Input((length,), dtype="int32")
    written = keras.Input((length,), dtype="int32")
    gru = keras.layers.GRU(24, return_sequences=True)
    memory = keras.layers.Bidirectional(gru)(
        keras.layers.Embedding(len(french), 16, mask_zero=True)(read)
    )
    words = keras.layers.Embedding(len(english), 16)(written)
    states = keras.layers.GRU(48, return_sequences=True)(words)
    context, weights = layers.AdditiveAttention(32)(
        query=states,
        value=memory,
        mask=ops.not_equal(read, 0),
        return_attention_scores=True,
    )
    x = keras.layers.Concatenate()([states, context])
    logits = keras.layers.Dense(len(english))(x)
    model = keras.Model([read, written], logits)
    model.compile(
        keras.optimizers.Adam(0.006),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        [source, target[:, :-1]], target[:, 1:], batch_size=64, epochs=6, verbose=2
    )
    most = (source > 0).sum(-1).argmax()
    inputs = [source[[most]], target[[most], :-1]]
    found = keras.Model([read, written], weights).predict(inputs, verbose=0)[0]
    columns = [french[i] for i in source[most] if i]
    rows = [english[i] for i in target[most, 1:] if i]
    view = show_alignment(found[: len(rows), : len(columns)], columns, rows)
    save_figure(view, "alignment")


# An encoder that turns words round.


def heads(rng):
    """Every head of an encoder that writes the letters of a word from its end."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    lengths = rng.integers(4, 13, 20_000)
    token_ids = rng.integers(1, 27, (20_000, 12)) * (np.arange(12) < lengths[:, None])
    turned = np.zeros_like(token_ids)
    for row, other, length in zip(token_ids, turned, lengths, strict=True):
        other[:length] = row[:length][::-1]
    inputs = keras.Input((None,), dtype="int32")
    x = layers.TokenAndPositionEmbedding(27, 64, max_length=12)(inputs)
    block = layers.TransformerEncoderBlock(num_heads=4, mlp_dim=128)
    mask = ops.not_equal(inputs, 0)
    x = layers.TransformerEncoder(block, num_layers=2, name="encoder")(x, mask=mask)
    model = keras.Model(inputs, keras.layers.Dense(27)(x))
    model.compile(
        keras.optimizers.Adam(0.002),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(token_ids, turned, batch_size=128, epochs=7, verbose=2)
    word = "attention"
    maps = attention_maps(model, np.array([[letters.index(c) + 1 for c in word]]))
    view = show_heads(maps, queries=list(word), title="Writing “attention” backwards")
    photograph(view, "heads", 1000, 420)


# Two models of pictures: three shapes are grey, which colour has the fourth?


def draw_shapes(rng, count):
    """Pictures with four shapes, one of a colour, and which colour that is."""
    y, x = np.mgrid[:SIDE, :SIDE].astype("float32")
    images = np.full((count, SIDE, SIDE, 3), 0.93, "float32")
    images += rng.normal(scale=0.02, size=images.shape).astype("float32")
    labels = rng.integers(0, len(COLOURS), count)
    colours = np.array(list(COLOURS.values()))
    for i in range(count):
        corners = rng.permutation(4)
        for n, (kind, corner) in enumerate(
            zip(rng.permutation(4), corners, strict=True)
        ):
            top, left = divmod(int(corner), 2)
            row, column = 32 * np.array([top, left]) + rng.integers(10, 22, 2)
            dy, dx = y - row, x - column
            inside = (
                np.hypot(dy, dx) < 8.5,
                np.maximum(abs(dy), abs(dx)) < 7.5,
                (np.minimum(abs(dy), abs(dx)) < 3) & (np.maximum(abs(dy), abs(dx)) < 9),
                (dy < 7) & (abs(dx) < (dy + 9) * 0.6),
            )[kind]
            images[i][inside] = colours[labels[i]] if n == 0 else 0.35 + 0.12 * n
    return np.clip(images, 0, 1), labels


def train_on_shapes(model, images, labels, epochs):
    model.compile(
        keras.optimizers.Adam(0.002),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images, labels, batch_size=64, epochs=epochs, verbose=2)


def patches(rng):
    """What a classifier looks at, and what bears on its answer."""
    images, labels = draw_shapes(rng, 3000)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.PatchEmbedding(32, patch_size=PATCH)(inputs)
    x = layers.PositionalEmbedding(max_length=(SIDE // PATCH) ** 2)(x)
    x = layers.ClassToken()(x)
    block = layers.TransformerEncoderBlock(num_heads=4, mlp_dim=64)
    x = layers.TransformerEncoder(block, num_layers=2)(x)
    model = keras.Model(inputs, keras.layers.Dense(4)(x[:, 0]))
    train_on_shapes(model, images, labels, epochs=6)
    image, label = images[:1], int(labels[0])
    colour = list(COLOURS)[label]
    (layer,) = attention_maps(model, image, layers="block_1").values()
    scores = {
        "last layer, all heads": layer.weights[0].mean(axis=0)[0],
        f"relevance for {colour!r}": relevance(model, image, target=label)[0, 0],
    }
    view = show_patches(
        image[0],
        np.stack(list(scores.values())),
        num_prefix_tokens=1,
        titles=list(scores),
    )
    save_figure(view, "patches")


class WindowBlock(keras.layers.Layer):
    """Patches `(B, H, W, D)` read each other within windows, which may be shifted."""

    def __init__(self, window_size, shift, **kwargs):
        super().__init__(**kwargs)
        self.window_size, self.shift = window_size, shift
        self.block = layers.TransformerEncoderBlock(num_heads=4, mlp_dim=64)

    def call(self, x):
        _, height, width, dim = x.shape
        size, shift = self.window_size, self.shift
        down, across = height // size, width // size
        x = ops.roll(x, (-shift, -shift), axis=(1, 2))
        x = ops.reshape(x, (-1, down, size, across, size, dim))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, size * size, dim))
        x = self.block(x)  # (B * windows, M, D)
        x = ops.reshape(x, (-1, down, across, size, size, dim))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, dim))
        return ops.roll(x, (shift, shift), axis=(1, 2))


def windows(rng):
    """Where a patch looks in its window, of a classifier with shifted windows."""
    images, labels = draw_shapes(rng, 3000)
    grid = SIDE // PATCH
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.PatchEmbedding(32, patch_size=PATCH)(inputs)
    x = layers.PositionalEmbedding(max_length=grid**2)(x)
    x = ops.reshape(x, (-1, grid, grid, 32))
    x = WindowBlock(4, 0, name="plain")(x)
    x = WindowBlock(4, 2, name="shifted")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(4)(x))
    train_on_shapes(model, images, labels, epochs=6)
    (layer,) = attention_maps(model, images[:1], layers="shifted").values()
    is_coloured = np.ptp(images[0], axis=-1) > 0.3
    row, column = np.argwhere(is_coloured).mean(axis=0) // PATCH
    view = show_windows(
        images[0],
        layer.weights,
        grid=(grid, grid),
        window_size=4,
        shift=2,
        cell=(int(row), int(column)),
    )
    photograph(view, "windows", 860, 660)


def positions(rng):
    """How alike sinusoidal encodings of positions are."""
    save_figure(show_positions(sinusoidal_positions(64, 128)), "positions")


PICTURES = {f.__name__: f for f in (alignment, heads, patches, windows, positions)}


def main(names):
    unknown = set(names) - set(PICTURES)
    if unknown:
        raise SystemExit(f"No pictures: {sorted(unknown)}. There are: {list(PICTURES)}")
    FOLDER.mkdir(exist_ok=True)
    for name in names or PICTURES:
        keras.utils.set_random_seed(0)
        PICTURES[name](np.random.default_rng(0))
        size = (FOLDER / f"{name}.png").stat().st_size
        print(f"{name}.png: {size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
