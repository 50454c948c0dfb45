"""Hybrid ViTs as timm publishes them, and as transformers did up to version 4."""

import functools

from keras_attention.checkpoints.families import timm_vit
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.resnet import BACKBONE as RESNET_BACKBONE
from keras_attention.checkpoints.families.timm import read_table
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.families.vit import encoder_rules
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.families.vit import VIT_FAMILY
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
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


def stem_rules(first, block):
    """The rules of the convolutions in front.

    Args:
        first: The names of the first convolution and of its norm there.
        block: What stands before the names of a block.

    Returns:
        Tuple of rules.
    """
    ours = "stem_stage_{i}_block_{j}/"
    parts = {
        first: "stem",
        (block + "downsample.conv", block + "downsample.norm"): ours + "shortcut",
        **{
            (f"{block}conv{number + 1}", f"{block}norm{number + 1}"): (
                f"{ours}convolution_{number}"
            )
            for number in range(3)
        },
    }
    return tuple(
        rule
        for theirs, path in parts.items()
        for rule in grouped_convolution(theirs, path)
    )


def timm_rules(arguments):
    """The table of timm."""
    stem = "patch_embed.backbone."
    first = stem + "stem." if arguments[STEM] else stem
    stretch = functools.partial(
        stretch_map, stretch=functools.partial(timm_vit.stretch, num_in_front=1)
    )
    return (
        *stem_rules((first + "conv", first + "norm"), stem + "stages.{i}.blocks.{j}."),
        *front("cls_token", "pos_embed", "patch_embed.proj", stretch),
        *timm_vit.encoder_rules(),
        *norm("norm", "norm"),
        *linear("head", "classifier/"),
    )


def rules(arguments):
    """The table of transformers."""
    patches = "vit.embeddings.patch_embeddings."
    stem = patches + "backbone.bit."
    first = stem + "embedder."
    stretch = functools.partial(
        stretch_map, stretch=functools.partial(stretch_positions, num_in_front=1)
    )
    return (
        *stem_rules(
            (first + "convolution", first + "norm"),
            stem + "encoder.stages.{i}.layers.{j}.",
        ),
        *front(
            "vit.embeddings.cls_token",
            "vit.embeddings.position_embeddings",
            patches + "projection",
            stretch,
        ),
        *encoder_rules("vit."),
        *linear("classifier", "classifier/"),
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


def read_timm(said, arguments):
    return {
        "mlp_dim": int(arguments["hidden_dim"] * said["mlp_ratio"]),
        STEM: list(said[STEM]),
    }


def read(config):
    """The classes; and whether the stages in front are those that are known."""
    backbone = config.get("backbone_config") or {}
    last = f"stage{len(backbone.get('depths', STAGES))}"
    padding = str(backbone.get("global_padding", "same")).upper()
    if padding != "SAME" or backbone.get("out_features", [last]) != [last]:
        raise ValueError(
            "config.json has a backbone that is not known here: global_padding="
            f"{padding!r}, out_features={backbone['out_features']}. Known is 'SAME', "
            f"and {[last]}."
        )
    if (config.get("architectures") or [""])[0].endswith("Classification"):
        return read_labels(config)
    return {}


def write(arguments):
    stages = list(arguments[STEM])
    if not stages:
        raise ValueError("A hybrid ViT of transformers has stages in front.")
    channels = BACKBONE["hidden_sizes"][len(stages) - 1]
    size = feature_size(arguments["image_size"], stages)
    fields = {
        "backbone_config": {
            **BACKBONE,
            "model_type": "bit",
            "depths": stages,
            "global_padding": "SAME",
            "num_channels": arguments["num_channels"],
            "out_features": [f"stage{len(stages)}"],
        },
        "backbone_featmap_shape": [1, channels, *size],
    }
    if arguments["num_classes"] is not None:
        fields |= write_labels(arguments)
    return fields


STAGES = [3, 4, 9]
# What is known of the backbone, a BiT whose norms stand behind the convolutions.
BACKBONE = {
    "embedding_dynamic_padding": True,
    "embedding_size": 64,
    "hidden_act": "relu",
    "hidden_sizes": [256, 512, 1024, 2048],
    "layer_type": "bottleneck",
    "num_groups": 32,
    "output_stride": 32,
    "width_factor": 1,
    "drop_path_rate": 0.0,
}
HYBRID_FAMILY = VIT_FAMILY.like(
    model_type="vit-hybrid",
    renamed={},
    classes=("ViT", "ViTHybrid"),
    architectures={
        "ViTHybridModel": {"num_classes": None, "class_names": None},
        "ViTHybridForImageClassification": {},
    },
    fields=(
        *(f for f in VIT_FAMILY.fields if f.name != "patch_size"),
        Field("patch_size", "patch_size", 1),
        Field("backbone_config.depths", STEM, STAGES),
    ),
    rules=rules,
    fixed={f"backbone_config.{name}": value for name, value in BACKBONE.items()},
    ignored=(
        *("backbone_featmap_shape", "backbone", "backbone_kwargs"),
        *("use_pretrained_backbone", "use_timm_backbone", "add_pooling_layer"),
        *(f"backbone_config.{name}" for name in RESNET_BACKBONE),
        *("backbone_config.global_padding", "backbone_config.num_channels"),
    ),
    beside=("drop_path",),
    read=read,
    write=write,
)


# timm


TIMM_HYBRID_FAMILY = timm_family(
    is_ours=lambda name: bool(timm_vit.HYBRID.match(name)),
    read_name=read_table(NAMES, "vit_base_r50_s16"),
    written_as=written_as,
    fields=tuple(f for f in timm_vit.FIELDS if f.name not in LEFT_OUT),
    rules=timm_rules,
    first_conv="patch_embed.backbone.stem.conv",
    classifier="head",
    fixed={**timm_vit.FIXED, **LEFT_OUT},
    ours_fixed={"epsilon": 1e-6, "dropout": 0.0},
    ignored=(*timm_vit.IGNORED, STEM),
    normalization={},
    read=read_timm,
    write=timm_vit.mlp_ratio_of,
)
