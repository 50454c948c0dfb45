"""ViT as the libraries transformers and timm publish it."""

import re

import numpy as np

from keras_attention.checkpoints.family import ACTIVATIONS
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.family import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED

OURS = "encoder/block_{i}/"
# The cubic kernel of PyTorch; that of TensorFlow, JAX and Pillow has -0.5.
SHARPNESS = -0.75


def stretch_positions(table, saved, arguments):
    """Fits the positions of patches to images of another size, by cubic splines.

    Dosovitskiy et al. 2021, Section 3.2: positions are stretched over the new grid.

    Args:
        table: Positions of the published model, `(1 + rows * columns, D)`, that of the
            class token first, if there is one.
        saved: Arguments of the published model.
        arguments: Arguments of ours.

    Returns:
        `(1 + new rows * new columns, D)`.
    """
    old, new = grid_of(saved), grid_of(arguments)
    first = table.shape[0] - old[0] * old[1]
    grid = np.reshape(table[first:], (*old, -1))
    grid = np.einsum("ab,bcd->acd", cubic_weights(old[0], new[0]), grid)
    grid = np.einsum("ab,cbd->cad", cubic_weights(old[1], new[1]), grid)
    return np.concatenate([table[:first], np.reshape(grid, (new[0] * new[1], -1))])


def grid_of(arguments):
    """Rows and columns of patches."""
    sides, sizes = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (arguments["image_size"], arguments["patch_size"])
    )
    return tuple(side // size for side, size in zip(sides, sizes, strict=True))


def cubic_weights(old, new):
    """How much each of `old` points counts for each of `new`, `(new, old)`.

    Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing",
    Equation 15. The points are the middles of cells; the ends repeat.
    """
    places = (np.arange(new) + 0.5) * old / new - 0.5
    before = np.floor(places).astype(int)
    weights = np.zeros((new, old))
    for step in range(-1, 3):
        distance = np.abs(places - before - step)
        near = (SHARPNESS + 2) * distance**3 - (SHARPNESS + 3) * distance**2 + 1
        far = SHARPNESS * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weight = np.where(distance <= 1, near, far)
        index = np.clip(before + step, 0, old - 1)
        np.add.at(weights, (np.arange(new), index), weight)
    return weights


def linear(published, ours, **options):
    """The rules of a `Linear`."""
    return (
        Rule(published + ".weight", ours + "kernel", TRANSPOSED, **options),
        Rule(published + ".bias", ours + "bias", **options),
    )


def norm(published, ours):
    """The rules of a `LayerNorm`."""
    return (
        Rule(published + ".weight", ours + "/gamma"),
        Rule(published + ".bias", ours + "/beta"),
    )


def front(class_token, positions, projection):
    """The rules of what makes tokens of patches."""
    return (
        Rule(class_token, "class_token/tokens", AXIS_IN_FRONT),
        Rule(
            positions,
            "position_embedding/table",
            AXIS_IN_FRONT,
            resize=stretch_positions,
        ),
        Rule(projection + ".weight", "patch_embedding/kernel", CONVOLUTION),
        Rule(projection + ".bias", "patch_embedding/bias"),
    )


BLOCK = "vit.encoder.layer.{i}."
ATTENTION = BLOCK + "attention.attention."
RULES = (
    *front(
        "vit.embeddings.cls_token",
        "vit.embeddings.position_embeddings",
        "vit.embeddings.patch_embeddings.projection",
    ),
    Rule(
        tuple(ATTENTION + f"{part}.weight" for part in ("query", "key", "value")),
        OURS + "self_attention/query_key_value_kernel",
        side_by_side(TRANSPOSED),
    ),
    Rule(
        tuple(ATTENTION + f"{part}.bias" for part in ("query", "key", "value")),
        OURS + "self_attention/query_key_value_bias",
        side_by_side(),
    ),
    *linear(BLOCK + "attention.output.dense", OURS + "self_attention/output_"),
    *norm(BLOCK + "layernorm_before", OURS + "self_attention_residual/norm"),
    *norm(BLOCK + "layernorm_after", OURS + "feed_forward_residual/norm"),
    *linear(BLOCK + "intermediate.dense", OURS + "feed_forward/hidden_"),
    *linear(BLOCK + "output.dense", OURS + "feed_forward/output_"),
    *norm("vit.layernorm", "norm"),
    *linear("vit.pooler.dense", "pooler/", optional=True),
    *linear("classifier", "classifier/"),
)


def read(config):
    if config.get("architectures") == ["ViTForImageClassification"]:
        return read_labels(config)
    return {"use_pooler": config.get("add_pooling_layer", True)}


def write(arguments):
    if arguments["num_classes"] is not None:
        return write_labels(arguments)
    # A field of ours: transformers adds its pooler in any case.
    return {} if arguments["use_pooler"] else {"add_pooling_layer": False}


# What transformers knows: a class token, which is read.
PLAIN = {"use_class_token": True, "pooling": "token"}

VIT_FAMILY = Family(
    model_type="vit",
    architectures={
        "ViTModel": {"num_classes": None, "class_names": None, **PLAIN},
        "ViTForImageClassification": PLAIN,
    },
    fields=(
        Field("image_size", "image_size", 224),
        Field("patch_size", "patch_size", 16),
        Field("num_channels", "num_channels", 3),
        Field("hidden_size", "hidden_dim", 768),
        Field("num_hidden_layers", "num_layers", 12),
        Field("num_attention_heads", "num_heads", 12),
        Field("intermediate_size", "mlp_dim", 3072),
        Field("hidden_act", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", 1e-12),
        Field("hidden_dropout_prob", "dropout", 0.0),
        Field("attention_probs_dropout_prob", "attention_dropout", 0.0),
        Field("qkv_bias", "use_attention_bias", True),
    ),
    rules=RULES,
    fixed={"pooler_act": "tanh"},
    # Of masked images, and of a pooler as wide as the tokens.
    ignored=("add_pooling_layer", "encoder_stride", "pooler_output_size"),
    prefix="vit.",
    harmless=(r"pooler\.dense\.(weight|bias)",),
    read=read,
    write=write,
)

TIMM_BLOCK = "blocks.{i}."
TIMM_NAME = re.compile(
    r"vit_(tiny|small|base|large|huge)_patch(\d+)(_gap)?_(\d+)(\.[\w.]+)?"
)
# Width, blocks, heads: Dosovitskiy et al. 2021, Table 1; Touvron et al. 2021, Table 1.
SIZES = {
    "tiny": (192, 12, 3),
    "small": (384, 12, 6),
    "base": (768, 12, 12),
    "large": (1024, 24, 16),
    "huge": (1280, 32, 16),
}


def timm_rules(arguments):
    """The table of timm, whose last norm has another name where it follows a mean."""
    return (
        *front("cls_token", "pos_embed", "patch_embed.proj"),
        *linear(TIMM_BLOCK + "attn.qkv", OURS + "self_attention/query_key_value_"),
        *linear(TIMM_BLOCK + "attn.proj", OURS + "self_attention/output_"),
        *norm(TIMM_BLOCK + "norm1", OURS + "self_attention_residual/norm"),
        *norm(TIMM_BLOCK + "norm2", OURS + "feed_forward_residual/norm"),
        *linear(TIMM_BLOCK + "mlp.fc1", OURS + "feed_forward/hidden_"),
        *linear(TIMM_BLOCK + "mlp.fc2", OURS + "feed_forward/output_"),
        *norm("norm" if arguments["pooling"] == "token" else "fc_norm", "norm"),
        *linear("head", "classifier/"),
    )


def is_timm(config):
    return re.match(r"vit_", config.get("architecture", "")) is not None


def read_timm(config):
    """What a `config.json` of timm says: a name, and what differs from it."""
    name = config["architecture"]
    match = TIMM_NAME.fullmatch(name)
    pooling = {"token": "token", "avg": "average", "": None}.get(
        config.get("global_pool", "token")
    )
    if match is None or pooling is None:
        raise ValueError(
            f"timm's architecture {name!r} with global_pool="
            f"{config.get('global_pool')!r} is not known here. Known: vit_base_"
            "patch16_224 and its other sizes, with global_pool 'token' or 'avg'."
        )
    size, patch_size, gap, image_size, _ = match.groups()
    changes = dict(config.get("model_args") or {})
    hidden_dim, num_layers, num_heads = SIZES[size]
    arguments = {
        "hidden_dim": changes.pop("embed_dim", hidden_dim),
        "num_layers": changes.pop("depth", num_layers),
        "num_heads": changes.pop("num_heads", num_heads),
        "patch_size": changes.pop("patch_size", int(patch_size)),
        "image_size": changes.pop("img_size", int(image_size)),
        "use_class_token": changes.pop("class_token", gap is None),
    }
    arguments["mlp_dim"] = int(arguments["hidden_dim"] * changes.pop("mlp_ratio", 4))
    if changes:
        raise ValueError(
            f"The model_args of timm's {name!r} are not known here: "
            f"{', '.join(sorted(changes))}."
        )
    return {
        **arguments,
        "num_classes": config.get("num_classes", 1000) or None,
        "class_names": config.get("label_names"),
        "pooling": "average" if gap else pooling,
        "epsilon": 1e-6,
        "activation": "gelu",
        "use_pooler": False,
    }


TIMM_VIT_FAMILY = Family(
    model_type="timm",
    architectures={"timm": {}},
    fields=(),
    rules=timm_rules,
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
    read=read_timm,
    is_ours=is_timm,
)
