"""DeiT and DeiT III as the libraries transformers and timm publish them."""

import functools

from keras_attention.checkpoints.families import timm_vit
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.timm import read_table
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.families.vit import BODY
from keras_attention.checkpoints.families.vit import CLASSES
from keras_attention.checkpoints.families.vit import encoder_rules
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.families.vit import MASKED
from keras_attention.checkpoints.families.vit import masked_rules
from keras_attention.checkpoints.families.vit import OURS
from keras_attention.checkpoints.families.vit import read_masked
from keras_attention.checkpoints.families.vit import VIT_FAMILY
from keras_attention.checkpoints.families.vit import write_masked
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import Rule
from keras_attention.images.grids import stretch_positions

# Touvron et al. 2021, Table 1; Touvron et al. 2022, Table 1: width, blocks, heads.
SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "medium": (512, 12, 8),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}


def rules(arguments):
    """The table of transformers. A classifier that is the only one has another name."""
    is_alone = arguments["answer"] == "class_token"
    return (
        *front(
            "deit.embeddings.cls_token",
            "deit.embeddings.position_embeddings",
            "deit.embeddings.patch_embeddings.projection",
            functools.partial(stretch_positions, num_in_front=2),
        ),
        *distillation("deit.embeddings.distillation_token", "distillation_classifier"),
        *encoder_rules("deit."),
        *masked_rules("deit."),
        *linear("classifier" if is_alone else "cls_classifier", "classifier/"),
    )


def timm_rules(arguments):
    """The table of timm for DeiT."""
    stretch = functools.partial(timm_vit.stretch, num_in_front=2)
    return (
        *front("cls_token", "pos_embed", "patch_embed.proj", stretch),
        *distillation("dist_token", "head_dist"),
        *timm_vit.encoder_rules(),
        *norm("norm", "norm"),
        *linear("head", "classifier/"),
    )


def distillation(token, classifier):
    """The rules of the second token, and of the head that reads it."""
    return (
        Rule(token, "distillation_token/tokens", AXIS_IN_FRONT),
        *linear(classifier, "distillation_classifier/"),
    )


def timm_rules_3(arguments):
    """The table of timm for DeiT III."""
    stretch = functools.partial(timm_vit.stretch, num_in_front=0)
    residual = "_residual/scale/scale"
    return (
        *front("cls_token", "pos_embed", "patch_embed.proj", stretch),
        *timm_vit.encoder_rules(),
        Rule(timm_vit.BLOCK + "ls1.gamma", OURS + "self_attention" + residual),
        Rule(timm_vit.BLOCK + "ls2.gamma", OURS + "feed_forward" + residual),
        *norm("norm", "norm"),
        *linear("head", "classifier/"),
    )


def read(config):
    architecture = (config.get("architectures") or [None])[0]
    if architecture == GUESSES:
        return read_masked(config)
    if architecture not in (BOTH, ALONE):
        return {"use_pooler": config.get("add_pooling_layer", True)}
    return read_labels(config)


def write(arguments):
    if arguments["head"] == MASKED["head"]:
        return write_masked(arguments)
    if arguments["num_classes"] is not None:
        return write_labels(arguments)
    # A field of ours: transformers adds its pooler in any case.
    return {} if arguments["use_pooler"] else {"add_pooling_layer": False}


BOTH = "DeiTForImageClassificationWithTeacher"
ALONE = "DeiTForImageClassification"
GUESSES = "DeiTForMaskedImageModeling"
DEIT_FAMILY = VIT_FAMILY.like(
    model_type="deit",
    renamed={"vit.": "deit."},
    classes=("ViT", "DeiT"),
    architectures={
        "DeiTModel": {**BODY, "answer": ("mean", "both", "class_token")},
        BOTH: {**CLASSES, "answer": ("mean", "both")},
        ALONE: {**CLASSES, "answer": "class_token"},
        GUESSES: {**MASKED, "answer": "mean"},
    },
    rules=rules,
    # Only training asks for them; with classes there is no pooler.
    beside=("drop_path", "answer", "use_pooler"),
    read=read,
    write=write,
)


def names_of(prefix, sizes, **options):
    """The names of timm, and the arguments that they stand for."""
    return {
        f"{prefix}_{size}_patch{patch}_{side}": {
            "img_size": side,
            "patch_size": patch,
            "embed_dim": width,
            "depth": num_layers,
            "num_heads": num_heads,
            "mlp_ratio": 4.0,
            **options,
        }
        for size, (width, num_layers, num_heads) in sizes.items()
        for side in (224, 384)
        for patch in (14 if size == "huge" else 16,)
    }


DISTILLED = names_of(
    "deit", {f"{size}_distilled": SIZES[size] for size in ("tiny", "small", "base")}
)
THIRD = names_of(
    "deit3",
    {size: sizes for size, sizes in SIZES.items() if size != "tiny"},
    no_embed_class=True,
    init_values=1e-6,
)
# What timm's ViT has and DeiT has not.
OPTIONS = {
    "class_token": True,
    "fc_norm": None,
    "global_pool": "token",
    "qk_norm": False,
    "reg_tokens": 0,
}


def of_timm(names, written_as, rules, leave_out, ours_fixed=None, **options):
    """A family of timm: a ViT without the options that these models have not."""
    left_out = {**OPTIONS, **leave_out}
    return timm_family(
        is_ours=lambda name: name.partition(".")[0] in names,
        read_name=read_table(names, written_as.partition("_")[0]),
        written_as=written_as,
        fields=tuple(f for f in timm_vit.FIELDS if f.name not in left_out),
        rules=rules,
        first_conv="patch_embed.proj",
        fixed={**timm_vit.FIXED, **left_out},
        ours_fixed={"epsilon": 1e-6, "dropout": 0.0, **(ours_fixed or {})},
        ignored=timm_vit.IGNORED,
        write=timm_vit.mlp_ratio_of,
        **options,
    )


def mlp_dim_of(said, arguments):
    return {"mlp_dim": int(arguments["hidden_dim"] * said["mlp_ratio"])}


TIMM_DEIT_FAMILY = of_timm(
    DISTILLED,
    "deit_base_distilled_patch16_224",
    timm_rules,
    {"no_embed_class": False, "init_values": None},
    ours_fixed={"use_pooler": False, "head": "classification"},
    classifier=("head", "head_dist"),
    read=mlp_dim_of,
)
TIMM_DEIT3_FAMILY = of_timm(
    THIRD,
    "deit3_base_patch16_224",
    timm_rules_3,
    {"no_embed_class": True},
    classifier="head",
    read=timm_vit.mlp_dim_of,
)
