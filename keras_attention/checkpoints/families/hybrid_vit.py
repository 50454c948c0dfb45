"""Hybrid ViTs as the library timm publishes them."""

import functools

from keras_attention.checkpoints.families import timm_vit
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.timm import read_table
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import Rule
from keras_attention.images.grids import stretch_positions

# Size, patch on the features, blocks of the stages in front, width, blocks and heads.
SIZES = {
    "vit_tiny_r_s16_p8": (8, [], 192, 12, 3),
    "vit_small_r26_s32": (1, [2, 2, 2, 2], 384, 12, 6),
    "vit_base_r26_s32": (1, [2, 2, 2, 2], 768, 12, 12),
    "vit_base_r50_s16": (1, [3, 4, 9], 768, 12, 12),
    "vit_large_r50_s32": (1, [3, 4, 6, 3], 1024, 24, 16),
}
NAMES = {
    f"{name}_{side}": {
        "img_size": side,
        "patch_size": patch,
        "stem_layers": stem_layers,
        "embed_dim": width,
        "depth": num_layers,
        "num_heads": num_heads,
        "mlp_ratio": 4.0,
    }
    for name, (patch, stem_layers, width, num_layers, num_heads) in SIZES.items()
    for side in (224, 384)
}
# What stands for the stages in front, which timm knows by the name alone.
STEM = "stem_layers"
# Of timm's ViT, what no hybrid has.
LEFT_OUT = {
    "class_token": True,
    "fc_norm": None,
    "global_pool": "token",
    "init_values": None,
    "no_embed_class": False,
    "qk_norm": False,
    "reg_tokens": 0,
}


def grouped_convolution(published, ours):
    """The rules of a standardized convolution and of its norm, by both names there."""
    convolution, its_norm = published
    return (
        Rule(f"{convolution}.weight", f"{ours}/convolution/kernel", CONVOLUTION),
        *norm(its_norm, f"{ours}/norm"),
    )


def rules(arguments):
    """The table of timm."""
    stem = "patch_embed.backbone."
    first = stem + "stem." if arguments[STEM] else stem
    block, ours = stem + "stages.{i}.blocks.{j}.", "stem_stage_{i}_block_{j}/"
    stretch = functools.partial(
        stretch_map, stretch=functools.partial(timm_vit.stretch, num_in_front=1)
    )
    return (
        *grouped_convolution((first + "conv", first + "norm"), "stem"),
        *(
            rule
            for number in range(3)
            for rule in grouped_convolution(
                (f"{block}conv{number + 1}", f"{block}norm{number + 1}"),
                f"{ours}convolution_{number}",
            )
        ),
        *grouped_convolution(
            (block + "downsample.conv", block + "downsample.norm"), ours + "shortcut"
        ),
        *front("cls_token", "pos_embed", "patch_embed.proj", stretch),
        *timm_vit.encoder_rules(),
        *norm("norm", "norm"),
        *linear("head", "classifier/"),
    )


def feature_size(image_size, stem_layers):
    """Rows and columns of the features in front of the patches.

    Example:

    >>> feature_size((224, 230), [3, 4, 9])
    (14, 15)
    """
    sides = (image_size,) * 2 if isinstance(image_size, int) else tuple(image_size)
    for _ in range(2 + max(0, len(stem_layers) - 1)):  # convolution, pooling, stages
        sides = tuple(-(-side // 2) for side in sides)
    return sides


def stretch_map(table, saved, arguments, stretch=stretch_positions):
    """Stretches positions from one map of features to another."""
    saved, arguments = (
        {**x, "image_size": feature_size(x["image_size"], x[STEM])}
        for x in (saved, arguments)
    )
    return stretch(table, saved, arguments)


def written_as(arguments):
    """The name of timm whose stages in front a model has."""
    for name, said in NAMES.items():
        if said[STEM] == list(arguments[STEM]):
            return name
    known = ", ".join(str(said[STEM]) for said in NAMES.values())
    raise ValueError(
        f"timm has no hybrid with stem_layers={arguments[STEM]}. It has: {known}."
    )


def read(said, arguments):
    return {
        "mlp_dim": int(arguments["hidden_dim"] * said["mlp_ratio"]),
        STEM: list(said[STEM]),
    }


TIMM_HYBRID_FAMILY = timm_family(
    is_ours=lambda name: bool(timm_vit.HYBRID.match(name)),
    read_name=read_table(NAMES, "vit_base_r50_s16"),
    written_as=written_as,
    fields=tuple(f for f in timm_vit.FIELDS if f.name not in LEFT_OUT),
    rules=rules,
    first_conv="patch_embed.backbone.stem.conv",
    classifier="head",
    fixed={**timm_vit.FIXED, **LEFT_OUT},
    ours_fixed={"epsilon": 1e-6, "dropout": 0.0},
    ignored=(*timm_vit.IGNORED, STEM),
    normalization={},
    read=read,
    write=timm_vit.mlp_ratio_of,
)
