"""ViT as the library timm publishes it: a name, and what differs from it."""

import functools
import re

import numpy as np

from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.families.vit import options
from keras_attention.checkpoints.families.vit import OURS
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import Field
from keras_attention.images.grids import stretch_positions
from keras_attention.images.image_processor import ImageProcessor
from keras_attention.images.image_processor import resampling_weights
from keras_attention.images.image_processor_files import write_timm_processor

BLOCK = "blocks.{i}."
# `vit_base_patch16_224.augreg_in21k`: the size, the size of a patch, what is special,
# the size of images, and which weights.
NAME = re.compile(
    r"vit_(?P<size>[a-z]+|so400m)_patch(?P<patch>\d+)(_reg(?P<registers>\d+))?"
    r"(_(?P<kind>gap|siglip|siglip_gap|dinov2))?(_(?P<image>\d+))?(\.[\w.]+)?"
)
# Width, blocks, heads, and how much wider the feed-forward networks are: Dosovitskiy et
# al. 2021, Table 1; Touvron et al. 2021, Table 1; Zhai et al. 2022, Table 2; some are
# timm's own.
SIZES = {
    "tiny": (192, 12, 3, 4),
    "wee": (256, 14, 4, 5),
    "little": (320, 14, 5, 5.6),
    "small": (384, 12, 6, 4),
    "medium": (512, 12, 8, 4),
    "mediumd": (512, 20, 8, 4),
    "betwixt": (640, 12, 10, 4),
    "base": (768, 12, 12, 4),
    "large": (1024, 24, 16, 4),
    "so400m": (1152, 27, 16, 3.7362),
    "huge": (1280, 32, 16, 4),
}
MEAN = {"class_token": False, "global_pool": "avg"}
# What is special, in the arguments of timm. tests/applications/test_vit_timm.py holds
# every name against timm itself.
KINDS = {
    None: {},
    "gap": {**MEAN, "fc_norm": False},
    "reg_gap": {**MEAN, "no_embed_class": True, "init_values": 1e-5},
    "siglip": {"class_token": False, "global_pool": "map"},
    "siglip_gap": {**MEAN, "fc_norm": False},
    "dinov2": {"init_values": 1e-5},
    "reg_dinov2": {"init_values": 1e-5, "no_embed_class": True},
}
WITHOUT_BIAS = {"qkv_bias": False, "init_values": 1e-6}
EXCEPTIONS = {
    "vit_base_patch16_gap": {"num_heads": 16},
    "vit_base_patch16_reg4_gap": {"init_values": None},
    "vit_betwixt_patch16_gap": WITHOUT_BIAS,
    "vit_medium_patch16_gap": WITHOUT_BIAS,
    **dict.fromkeys(
        (
            "vit_base_patch32_siglip",
            "vit_base_patch32_siglip_gap",
            "vit_large_patch16_siglip_512",
            "vit_large_patch16_siglip_gap_512",
            "vit_so400m_patch16_siglip",
            "vit_so400m_patch16_siglip_gap",
        ),
        {"act_layer": "gelu_tanh"},
    ),
}
# The arguments of timm's models, with the values of its ViT-B.
FIELDS = (
    Field("img_size", "image_size", 224),
    Field("patch_size", "patch_size", 16),
    Field("in_chans", "num_channels", 3),
    Field("embed_dim", "hidden_dim", 768),
    Field("depth", "num_layers", 12),
    Field("num_heads", "num_heads", 12),
    Field(
        "act_layer",
        "activation",
        "gelu",
        {name: name for name in ("gelu", "gelu_tanh", "relu", "silu", "tanh")},
    ),
    Field("attn_drop_rate", "attention_dropout", 0.0),
    Field("drop_path_rate", "drop_path", 0.0),
    Field("qkv_bias", "use_attention_bias", True),
    Field("qk_norm", "query_key_norm", False, {False: None, True: "layer_norm"}),
    Field("init_values", "layer_scale", None),
    Field("class_token", "use_class_token", True),
    Field("reg_tokens", "num_registers", 0),
    Field("no_embed_class", "use_prefix_positions", False, {False: True, True: False}),
    Field(
        "global_pool",
        "pooling",
        "token",
        {"token": "token", "avg": "average", "map": "attention"},
    ),
    Field(
        "fc_norm", "norm_before_pooling", None, {None: None, True: False, False: True}
    ),
)
# What timm's models can do and ours cannot, or what they always do.
FIXED = {
    "drop_rate": 0.0,
    "dynamic_img_pad": False,
    "final_norm": True,
    "patch_drop_rate": 0.0,
    "pool_include_prefix": False,
    "pos_drop_rate": 0.0,
    "pos_embed": "learn",
    "pre_norm": False,
    "proj_bias": True,
    "proj_drop_rate": 0.0,
    "scale_attn_norm": False,
    "scale_mlp_norm": False,
}
OURS_FIXED = {"epsilon": 1e-6, "dropout": 0.0, "use_pooler": False}
# How the first values of weights are drawn, and what images of other sizes are taken.
IGNORED = ("dynamic_img_size", "fix_init", "num_classes", "weight_init")


def rules(arguments):
    """The table of timm, whose last norm has another name behind the pooling."""
    is_before = arguments["norm_before_pooling"]
    if is_before is None:
        is_before = arguments["pooling"] != "average"
    # Where positions become fewer, timm averages, with the kernel of Pillow.
    weights = functools.partial(resampling_weights, interpolation="bicubic")
    stretch = functools.partial(stretch_positions, weights=weights)
    return (
        *front("cls_token", "pos_embed", "patch_embed.proj", stretch),
        *linear(BLOCK + "attn.qkv", OURS + "self_attention/query_key_value_"),
        *linear(BLOCK + "attn.proj", OURS + "self_attention/output_"),
        *norm(BLOCK + "norm1", OURS + "self_attention_residual/norm"),
        *norm(BLOCK + "norm2", OURS + "feed_forward_residual/norm"),
        *linear(BLOCK + "mlp.fc1", OURS + "feed_forward/hidden_"),
        *linear(BLOCK + "mlp.fc2", OURS + "feed_forward/output_"),
        *options(arguments["hidden_dim"]),
        *norm("norm" if is_before else "fc_norm", "norm"),
        *linear("head", "classifier/"),
    )


def is_timm(config):
    """Whether a `config.json` is of one of timm's ViTs."""
    return str(config.get("architecture")).startswith("vit_")


def read(config):
    """The arguments that a `config.json` of timm stands for."""
    changes = dict(config.get("model_args") or {})
    size = (config.get("pretrained_cfg") or {}).get("input_size")
    if size is not None:
        changes.setdefault("img_size", size[1] if size[1] == size[2] else size[1:])
    if config.get("global_pool") is not None:
        changes.setdefault("global_pool", config["global_pool"])
    said = {**read_name(config["architecture"]), **changes}

    place = f"timm's {config['architecture']!r}"
    known = {field.name for field in FIELDS} | {"mlp_ratio", *IGNORED}
    unknown = [
        f"{key}={value!r}"
        for key, value in sorted(said.items())
        if key not in known and (key not in FIXED or value != FIXED[key])
    ]
    if unknown:
        raise ValueError(
            f"{place} has model_args that are not known here: {', '.join(unknown)}."
        )
    arguments = {field.argument: field.read(said, place) for field in FIELDS}
    return {
        **arguments,
        **OURS_FIXED,
        "layer_scale": arguments["layer_scale"] or None,  # 0 is none there
        "mlp_dim": int(arguments["hidden_dim"] * said["mlp_ratio"]),
        "num_classes": config.get("num_classes", said.get("num_classes", 1000)) or None,
        "class_names": config.get("label_names"),
    }


def read_name(name):
    """The arguments of timm that a name of a ViT stands for.

    Args:
        name: As in `config.json`, with or without the tag of its weights.

    Returns:
        Dict, by the names of timm.

    Raises:
        ValueError: The name is not known here.

    Example:

    >>> read_name("vit_base_patch32_224")["patch_size"]
    32
    """
    match = NAME.fullmatch(name)
    found = match.groupdict() if match else {"size": None, "kind": None}
    kind = found["kind"]
    if found.get("registers"):
        kind = f"reg_{kind}"
    if found["size"] not in SIZES or kind not in KINDS:
        raise ValueError(
            f"timm's architecture {name!r} is not known here. Known are the sizes "
            f"{', '.join(SIZES)}, as in vit_base_patch16_224, and behind the patch "
            "size gap, reg4_gap, siglip, siglip_gap, dinov2 and reg4_dinov2."
        )
    width, num_layers, num_heads, ratio = SIZES[found["size"]]
    bare = name.partition(".")[0]
    exceptions = EXCEPTIONS.get(bare) or EXCEPTIONS.get(re.sub(r"_\d+$", "", bare), {})
    image_size = {"img_size": int(found["image"])} if found["image"] else {}
    return {
        "patch_size": int(found["patch"]),
        "embed_dim": width,
        "depth": num_layers,
        "num_heads": num_heads,
        "mlp_ratio": ratio,
        "reg_tokens": int(found["registers"] or 0),
        **image_size,
        **KINDS[kind],
        **exceptions,
    }


def write(arguments):
    """A `config.json` of timm: the name of its ViT-B/16, and what differs from it."""
    for name, value in {**OURS_FIXED, "layer_scale": arguments["layer_scale"]}.items():
        if arguments[name] != value or (name == "layer_scale" and value == 0):
            raise ValueError(f"timm's ViT has no {name}={arguments[name]!r}.")
    size, num_classes = arguments["image_size"], arguments["num_classes"] or 0
    sides = (size, size) if isinstance(size, int) else tuple(size)
    processor = arguments["image_processor"] or ImageProcessor(sides)
    said = {field.name: field.write(arguments[field.argument]) for field in FIELDS}
    said["mlp_ratio"] = arguments["mlp_dim"] / arguments["hidden_dim"]
    if int(arguments["hidden_dim"] * said["mlp_ratio"]) < arguments["mlp_dim"]:
        said["mlp_ratio"] = float(np.nextafter(said["mlp_ratio"], np.inf))
    config = {
        "architecture": "vit_base_patch16_224",
        "num_classes": num_classes,
        "num_features": arguments["hidden_dim"],
        "global_pool": said["global_pool"],
        "model_args": said,
        "pretrained_cfg": {
            "input_size": [arguments["num_channels"], *sides],
            "fixed_input_size": True,
            "first_conv": "patch_embed.proj",
            "classifier": "head",
            "num_classes": num_classes,
            **write_timm_processor(processor.fitted_to(sides)),
        },
    }
    if arguments["class_names"] is not None:
        config["label_names"] = list(arguments["class_names"])
    return config


TIMM_VIT_FAMILY = Family(
    model_type="timm",
    architectures={"timm": {}},
    fields=(),
    rules=rules,
    ignored=(
        "architecture",
        "global_pool",
        "label_descriptions",
        "label_names",
        "license",
        "model_args",
        "num_classes",
        "num_features",
        "pretrained_cfg",
        "tags",
    ),
    read=read,
    write=write,
    is_ours=is_timm,
)
