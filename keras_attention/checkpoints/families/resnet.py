"""ResNet as the libraries transformers and timm publish it."""

import numpy as np

from keras_attention.checkpoints.copies import Beside
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.timm import read_table
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import Rule

# What a backbone of transformers gives to others, and how its stages are called.
BACKBONE = ("out_features", "out_indices", "stage_names", "reshape_hidden_states")
KINDS = {"bottleneck": "bottleneck", "basic": "basic"}


def batch_norm(published, ours):
    """The rules of a `BatchNorm2d`, with its running statistics.

    Args:
        published: Its name there.
        ours: Path of the layer here.

    Returns:
        Tuple of rules.
    """
    names = {
        "weight": "gamma",
        "bias": "beta",
        "running_mean": "moving_mean",
        "running_var": "moving_variance",
    }
    return tuple(
        Rule(f"{published}.{theirs}", f"{ours}/{name}")
        for theirs, name in names.items()
    )


def normed_convolution(convolution, norm, ours):
    """The rules of a convolution without a bias, and of the norm behind it.

    Args:
        convolution: Its name there.
        norm: That of the norm.
        ours: Path of both here.

    Returns:
        Tuple of rules.
    """
    kernel = Rule(f"{convolution}.weight", f"{ours}/convolution/kernel", CONVOLUTION)
    return (kernel, *batch_norm(norm, f"{ours}/norm"))


def rules(arguments):
    """The table of transformers."""
    block, ours = "resnet.encoder.stages.{i}.layers.{j}.", "stage_{i}_block_{j}/"
    parts = {
        "resnet.embedder.embedder.": "stem",
        block + "layer.{k}.": ours + "convolution_{k}",
        block + "shortcut.": ours + "shortcut",
    }
    return (
        *(
            rule
            for theirs, path in parts.items()
            for rule in normed_convolution(
                theirs + "convolution", theirs + "normalization", path
            )
        ),
        *linear("classifier.1", "classifier/"),
    )


def timm_rules(arguments):
    """The table of timm, which counts stages and convolutions from 1."""
    table = list(normed_convolution("conv1", "bn1", "stem"))
    for stage in range(len(arguments["num_layers"])):
        block, ours = f"layer{stage + 1}.{{j}}.", f"stage_{stage}_block_{{j}}/"
        for number in range(3):
            table += normed_convolution(
                f"{block}conv{number + 1}",
                f"{block}bn{number + 1}",
                f"{ours}convolution_{number}",
            )
        table += normed_convolution(
            block + "downsample.0", block + "downsample.1", ours + "shortcut"
        )
    return (*table, *linear("fc", "classifier/"))


def read(config):
    """The classes, if there are any."""
    if str((config.get("architectures") or [""])[0]).endswith("Classification"):
        return read_labels(config)
    return {}


def write(arguments):
    return {} if arguments["num_classes"] is None else write_labels(arguments)


def counted(table, prefix=""):
    """Names of what counts the batches behind running statistics, which nobody reads.

    Args:
        table: Function of arguments to rules.
        prefix: What a family has before all names.

    Returns:
        Function of arguments to what stands in files besides.
    """

    def harmless(arguments):
        norms = [rule.published.removeprefix(prefix) for rule in table(arguments)]
        return {
            name.replace("running_var", "num_batches_tracked"): Beside(name)
            for name in norms
            if name.endswith("running_var")
        }

    return harmless


RESNET_FAMILY = Family(
    model_type="resnet",
    architectures={
        "ResNetModel": {"num_classes": None, "class_names": None},
        "ResNetForImageClassification": {},
    },
    fields=(
        Field("num_channels", "num_channels", 3),
        Field("embedding_size", "stem_dim", 64),
        Field("hidden_sizes", "hidden_dims", [256, 512, 1024, 2048]),
        Field("depths", "num_layers", [3, 4, 6, 3]),
        Field("layer_type", "kind", "bottleneck", KINDS),
        Field("hidden_act", "activation", "relu", ACTIVATIONS),
        Field("downsample_in_first_stage", "strides_in_first_stage", False),
        Field("downsample_in_bottleneck", "strides_first", False),
    ),
    rules=rules,
    ignored=BACKBONE,
    prefix="resnet.",
    harmless=counted(rules, "resnet."),
    # Convolutions read images of any size; branches are dropped in training alone.
    beside=("image_size", "drop_path"),
    read=read,
    write=write,
)


# timm


NAMES = {
    f"resnet{number}": {"block": kind, "layers": layers}
    for number, kind, layers in (
        (18, "basic", [2, 2, 2, 2]),
        (34, "basic", [3, 4, 6, 3]),
        (50, "bottleneck", [3, 4, 6, 3]),
        (101, "bottleneck", [3, 4, 23, 3]),
        (152, "bottleneck", [3, 8, 36, 3]),
    )
}
WIDENING = {"basic": 1, "bottleneck": 4}


def read_timm(said, arguments):
    """The channels of the stages, which timm counts inside the blocks."""
    channels = said.get("channels", [64, 128, 256, 512])
    factor = WIDENING[arguments["kind"]]
    return {"hidden_dims": [factor * width for width in channels]}


def write_timm(arguments):
    factor = WIDENING[arguments["kind"]]
    widths = np.array(arguments["hidden_dims"])
    if (widths % factor).any():
        raise ValueError("timm has no such model: its bottlenecks divide by 4.")
    return {"channels": (widths // factor).tolist()}


TIMM_RESNET_FAMILY = timm_family(
    is_ours=lambda name: name.partition(".")[0] in NAMES,
    read_name=read_table(NAMES, "resnet"),
    written_as="resnet50",
    fields=(
        Field("in_chans", "num_channels", 3),
        Field("layers", "num_layers", [3, 4, 6, 3]),
        Field("block", "kind", "bottleneck", KINDS),
        Field("drop_path_rate", "drop_path", 0.0),
    ),
    rules=timm_rules,
    first_conv="conv1",
    classifier="fc",
    fixed={
        "aa_layer": None,
        "act_layer": "relu",
        "avg_down": False,
        "base_width": 64,
        "block_args": None,
        "block_reduce_first": 1,
        "cardinality": 1,
        "down_kernel_size": 1,
        "drop_block_rate": 0.0,
        "drop_rate": 0.0,
        "global_pool": "avg",
        "norm_layer": "batchnorm2d",
        "output_stride": 32,
        "replace_stem_pool": False,
        "stem_type": "",
        "stem_width": 64,
    },
    ours_fixed={
        "activation": "relu",
        "stem_dim": 64,
        "strides_first": False,
        "strides_in_first_stage": False,
    },
    ignored=("channels", "zero_init_last"),
    image_field=None,
    read=read_timm,
    write=write_timm,
    harmless=counted(timm_rules),
)
