"""Learns to describe small pictures, and shows where the model looks for each word.

    python -m keras_attention demo

Each model trains at most four minutes; the whole takes six on two CPU cores. Expected
of the held-out captions, with JAX:

                       right  BLEU-4  epochs  seconds
    ShowAttendTell     73.5%    87.8      14      187
    RNNCaptioner       39.2%    66.7      14      144

Show, Attend and Tell (Xu et al. 2015) and the same model without attention learn the
names of 3,544 OpenMoji drawings, from random weights, and then describe 400 drawings
that they never saw.
"""

import argparse
import pathlib
import sys
import time

import keras
import numpy as np

from keras_attention.applications import RNNCaptioner
from keras_attention.applications import ShowAttendTell
from keras_attention.data import openmoji
from keras_attention.data import OPENMOJI_CREDIT
from keras_attention.data.openmoji import svg_folder
from keras_attention.images import load_image
from keras_attention.tokenizers import split_words
from keras_attention.tokenizers import Vocabulary
from keras_attention.training import bleu
from keras_attention.training import TimeBudget
from keras_attention.training import TokenCrossentropy
from keras_attention.visualization import show_captions

SEED = 2015
IMAGE_SIZE = 48
EPOCHS = 14
BATCH_SIZE = 32
# Pixels of a picture in the page and in the figure.
SHOWN_SIZE = 160

# What both models share.
SIZES = {
    "image_size": IMAGE_SIZE,
    "encoder_filters": (96, 192),
    "hidden_dim": 256,
    "word_dim": 256,
    "dropout": 0.3,
    "max_length": 11,
}
ATTENTION = {"attention_dim": 128, "attention_penalty": 0.02}
QUICK_SIZES = {"encoder_filters": (8, 8), "hidden_dim": 16, "word_dim": 16}


class CaptionBatches(keras.utils.PyDataset):
    """Batches of one size and one length, in a new order each epoch.

    Captions of all lengths are in each batch. With batches of similar lengths an epoch
    is shorter, but the batch normalization of the encoder then tells the length in
    training and not afterwards: of the captions with two skin tones, the longest, the
    model learned 0.5% of those it was trained on.

    Args:
        images: uint8 `(n, height, width, 3)`.
        token_ids: `(n, L)`, from `Vocabulary.encode`.
        batch_size: Captions in a batch. What is left over comes in another epoch, so
            that one function is compiled.
        seed: Seed of the orders.
    """

    def __init__(self, images, token_ids, batch_size, seed=SEED):
        super().__init__()
        self.images, self.token_ids = images, token_ids
        self.batch_size = min(batch_size, len(images))
        self.generator = np.random.default_rng(seed)
        self.on_epoch_end()

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        start = index * self.batch_size
        chosen = self.order[start : start + self.batch_size]
        token_ids = self.token_ids[chosen]
        inputs = {"images": self.images[chosen], "token_ids": token_ids[:, :-1]}
        return inputs, token_ids[:, 1:]

    def on_epoch_end(self):
        self.order = self.generator.permutation(len(self.images))


def train(model, batches, epochs, minutes, verbose):
    """Trains a captioner; returns the number of epochs and of seconds it took."""
    optimizer = keras.optimizers.AdamW(
        3e-3, weight_decay=0.05, beta_2=0.99, clipnorm=1.0
    )
    optimizer.exclude_from_weight_decay(
        var_names=["bias", "gamma", "beta", "embeddings"]
    )
    model.compile(optimizer, TokenCrossentropy(label_smoothing=0.05))
    begin = time.perf_counter()
    history = model.fit(
        batches, epochs=epochs, callbacks=[TimeBudget(minutes)], verbose=verbose
    )
    return len(history.epoch), time.perf_counter() - begin


def score(captions, truths):
    """The share of captions that are exactly right, in percent, and BLEU-4."""
    right = np.mean([c == t for c, t in zip(captions, truths, strict=True)])
    return 100 * right, bleu(captions, truths)


def print_captions(truths, told, plain):
    """Prints the captions of each picture, with a star where one is right."""
    for truth, *captions in zip(truths, told, plain, strict=True):
        print(f"  {'truth':16}{truth}")
        for name, caption in zip(("with attention", "without"), captions, strict=True):
            print(f"{'* '[caption != truth]} {name:16}{caption}")
        print()


def run(folder="demo", minutes=4.0, epochs=EPOCHS, shown=24, quick=False):
    """Trains both models, prints what they write, and saves model, figure and page.

    Args:
        folder: Where to save.
        minutes: Most time for the training of each model.
        epochs: Most passes over the pictures. The model without attention makes as
            many as the one with attention did.
        shown: How many of the held-out pictures are shown.
        quick: Learn a few pictures with tiny models, only to see that all works.

    Returns:
        Dict from the name of each model to the share of right captions in percent,
        BLEU-4, epochs and seconds.
    """
    keras.utils.set_random_seed(SEED)
    verbose = 1 if sys.stdout.isatty() else 2
    sizes = SIZES | (QUICK_SIZES if quick else {})

    print("Drawing the pictures (once; then they are kept) ...", flush=True)
    training = openmoji(IMAGE_SIZE, split="train", verbose=verbose % 2)
    held_out = openmoji(IMAGE_SIZE, split="test", verbose=0)
    images, captions = training.images, training.captions
    test_images, names = held_out.images, held_out.names
    truths = [" ".join(split_words(caption)) for caption in held_out.captions]
    if quick:
        images, captions, epochs = images[::50], captions[::50], 2
        test_images, truths, names, shown = test_images[:8], truths[:8], names[:8], 4
    vocabulary = Vocabulary.from_captions(captions)
    batches = CaptionBatches(images, vocabulary.encode(captions), BATCH_SIZE)
    print(
        f"{len(images)} pictures to learn from, {len(truths)} held out, "
        f"{len(vocabulary)} words. Backend: {keras.backend.backend()}."
    )

    models = {
        "ShowAttendTell": ShowAttendTell(vocabulary=vocabulary, **sizes, **ATTENTION),
        "RNNCaptioner": RNNCaptioner(vocabulary=vocabulary, **sizes),
    }
    results, written = {}, {}
    for name, model in models.items():
        print(f"\n{name}: {model.count_params():,} weights", flush=True)
        epochs, seconds = train(model, batches, epochs, minutes, verbose)
        written[name] = model.caption(test_images)
        results[name] = (*score(written[name], truths), epochs, seconds)

    chosen = np.random.default_rng(SEED).permutation(len(truths))[:shown]
    told, plain = ([written[name][i] for i in chosen] for name in models)
    print(f"\n{len(chosen)} of the held-out pictures, drawn at random (* = right):\n")
    print_captions([truths[i] for i in chosen], told, plain)
    print(f"{'':16}{'right':>8}{'BLEU-4':>8}{'epochs':>8}{'seconds':>9}")
    for name, (right, bleu_4, passes, seconds) in results.items():
        print(f"{name:16}{right:7.1f}%{bleu_4:8.1f}{passes:8}{seconds:9.0f}")

    save(
        models["ShowAttendTell"],
        pathlib.Path(folder),
        test_images,
        truths,
        names,
        chosen,
    )
    return results


def save(model, folder, images, truths, names, chosen):
    """Writes the model, the page and the figure, and says where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_to_preset(folder / "model", overwrite=True)
    captions, weights = model.caption(images[chosen], return_attention_scores=True)
    truths = [truths[i] for i in chosen]
    # As the model sees them, but sharper.
    sharp = [load_image(svg_folder() / f"{names[i]}.svg", SHOWN_SIZE) for i in chosen]
    page = show_captions(sharp, captions, weights, truths, OPENMOJI_CREDIT).save(
        folder / "captions.html"
    )
    few = slice(0, 8)
    figure = show_captions(
        sharp[few], captions[few], weights[few], truths[few], OPENMOJI_CREDIT
    ).figure()
    figure.savefig(folder / "captions.png", dpi=100)
    print(
        f"\nThe model:               {folder / 'model'}"
        f"\nWhere it looked, a page: {page}"
        f"\n             an image: {folder / 'captions.png'}"
        f"\n{OPENMOJI_CREDIT}"
        "\n\nNext, a picture of your own:"
        "\n    python -m keras_attention caption picture.png"
    )


def main(argv=None, parser_class=argparse.ArgumentParser):
    """Runs the demo from the command line.

    Args:
        argv: List of strings. Defaults to the arguments of the process.
        parser_class: What reads them.
    """
    parser = parser_class(
        prog="python -m keras_attention demo",
        description="Learns to describe small pictures, and shows where it looks.",
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=4.0,
        help="most time for the training of each of the two models (%(default)s)",
    )
    parser.add_argument("--folder", default="demo", help="where to save (%(default)s)")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a few pictures and tiny models, only to see that all works",
    )
    options = parser.parse_args(argv)
    if not options.minutes > 0:
        parser.error(f"--minutes must be positive. Received: {options.minutes}")
    try:
        run(options.folder, options.minutes, quick=options.quick)
    except ImportError as error:
        parser.error(str(error))
