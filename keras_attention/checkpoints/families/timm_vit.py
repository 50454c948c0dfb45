"""ViT as the library timm publishes it: a name, and what differs from it."""

import functools
import re

import numpy as np

from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.timm import ACTIVATIONS
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.families.vit import options
from keras_attention.checkpoints.families.vit import OURS
from keras_attention.checkpoints.fields import Field
from keras_attention.images.grids import stretch_positions
from keras_attention.images.image_processor import resampling_weights

BLOCK = "blocks.{i}."
# `vit_base_patch16_224.augreg_in21k`: the size, the size of a patch, what is special,
# the size of images, and which weights.
NAME = re.compile(
    r"vit_(?P<size>[a-z]+|so400m)_patch(?P<patch>\d+)(_reg(?P<registers>\d+))?"
    r"(_(?P<kind>gap|siglip|siglip_gap|dinov2))?(_(?P<image>\d+))?(\.[\w.]+)?"
)
# Touvron et al. 2021, arXiv:2012.12877, Table 1: a ViT that was trained otherwise.
DEIT = re.compile(r"deit_(tiny|small|base)_patch16_\d+")
# Dosovitskiy et al. 2021, Section 3.1: convolutions in front; see `hybrid_vit.py`.
HYBRID = re.compile(r"vit_[a-z]+_r\d*_s\d+")
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
    Field("act_layer", "activation", "gelu", ACTIVATIONS),
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
OURS_FIXED["head"] = "classification"
# How the first values of weights are drawn, and what images of other sizes are taken.
IGNORED = ("dynamic_img_size", "fix_init", "mlp_ratio", "weight_init")


def rules(arguments):
    """The table of timm, whose last norm has another name behind the pooling."""
    is_before = arguments["norm_before_pooling"]
    if is_before is None:
        is_before = arguments["pooling"] != "average"
    return (
        *front("cls_token", "pos_embed", "patch_embed.proj", stretch),
        *encoder_rules(),
        *options(arguments["hidden_dim"]),
        *norm("norm" if is_before else "fc_norm", "norm"),
        *linear("head", "classifier/"),
    )


def stretch(table, saved, arguments, **options):
    """Stretches positions; where they become fewer, it averages, as Pillow does."""
    weights = functools.partial(resampling_weights, interpolation="bicubic")
    return stretch_positions(table, saved, arguments, weights, **options)


def encoder_rules():
    """The rules of timm for the blocks."""
    return (
        *linear(BLOCK + "attn.qkv", OURS + "self_attention/query_key_value_"),
        *linear(BLOCK + "attn.proj", OURS + "self_attention/output_"),
        *norm(BLOCK + "norm1", OURS + "self_attention_residual/norm"),
        *norm(BLOCK + "norm2", OURS + "feed_forward_residual/norm"),
        *linear(BLOCK + "mlp.fc1", OURS + "feed_forward/hidden_"),
        *linear(BLOCK + "mlp.fc2", OURS + "feed_forward/output_"),
    )


def is_vit(name):
    """Whether a name of timm is that of a ViT. DeiT without its token is one, too."""
    if HYBRID.match(name):
        return False
    return name.startswith("vit_") or bool(DEIT.match(name))


def mlp_dim_of(said, arguments):
    """Our arguments that timm says in another way."""
    return {
        "layer_scale": arguments["layer_scale"] or None,  # 0 is none there
        "mlp_dim": int(arguments["hidden_dim"] * said["mlp_ratio"]),
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
    match = NAME.fullmatch(name.replace("deit_", "vit_", 1) if is_vit(name) else name)
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


def mlp_ratio_of(arguments):
    """How much wider than a token a feed-forward network is, so that timm makes it so.

    Args:
        arguments: Dict with `mlp_dim` and `hidden_dim`.

    Returns:
        Dict with timm's `mlp_ratio`.

    Example:

    >>> mlp_ratio_of({"mlp_dim": 16, "hidden_dim": 4})
    {'mlp_ratio': 4.0}
    """
    if arguments.get("layer_scale") == 0:
        raise ValueError("timm has no such model: layer_scale=0.")
    ratio = arguments["mlp_dim"] / arguments["hidden_dim"]
    if int(arguments["hidden_dim"] * ratio) < arguments["mlp_dim"]:
        ratio = float(np.nextafter(ratio, np.inf))
    return {"mlp_ratio": ratio}


TIMM_VIT_FAMILY = timm_family(
    is_ours=is_vit,
    read_name=read_name,
    written_as="vit_base_patch16_224",
    fields=FIELDS,
    rules=rules,
    first_conv="patch_embed.proj",
    classifier="head",
    fixed=FIXED,
    ours_fixed=OURS_FIXED,
    ignored=IGNORED,
    normalization={},
    read=mlp_dim_of,
    write=mlp_ratio_of,
)
