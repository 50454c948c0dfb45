"""Swin of both versions as the libraries transformers and timm publish it."""

import numpy as np

from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.families.resnet import BACKBONE
from keras_attention.checkpoints.families.resnet import read
from keras_attention.checkpoints.families.resnet import write
from keras_attention.checkpoints.families.timm import read_table
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.families.timm_vit import mlp_ratio_of
from keras_attention.checkpoints.families.vit import BODY
from keras_attention.checkpoints.families.vit import check_stride
from keras_attention.checkpoints.families.vit import CLASSES
from keras_attention.checkpoints.families.vit import MASKED
from keras_attention.checkpoints.families.vit import masked_rules
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.checkpoints.rules import TRANSPOSED
from keras_attention.images.grids import stretch_positions

OURS = "stage_{i}_block_{j}/"
ATTENTION = OURS + "self_attention/attention"
POSITIONS = OURS + "self_attention/position_bias/"
# (N, 1, 1) there.
OF_HEADS = each(lambda array: array[..., 0], lambda array: array[..., None])


def rules(arguments):
    """The table of transformers; version 2 has no bias of keys."""
    block = "swin.encoder.layers.{i}.blocks.{j}."
    own = block + "attention.self."
    between = "swin.encoder.layers.{i}.downsample."
    return (
        *embedding("swin.embeddings.patch_embeddings.projection"),
        *norm("swin.embeddings.norm", "patch_norm"),
        Rule(
            "swin.embeddings.position_embeddings",
            "position_embedding/table",
            AXIS_IN_FRONT,
            resize=stretch_map,
        ),
        *query_key_value(own, ATTENTION),
        Rule(
            (own + "query.bias", own + "value.bias"),
            f"{ATTENTION}/query_value_bias",
            side_by_side(parts=2),
        ),
        *linear(block + "attention.output.dense", f"{ATTENTION}/output_"),
        *positions(
            own + "relative_position_bias_table",
            own + "logit_scale",
            own + "continuous_position_bias_mlp.",
        ),
        *norm(block + "layernorm_before", OURS + "self_attention_residual/norm"),
        *norm(block + "layernorm_after", OURS + "feed_forward_residual/norm"),
        *linear(block + "intermediate.dense", OURS + "feed_forward/hidden_"),
        *linear(block + "output.dense", OURS + "feed_forward/output_"),
        *norm(between + "norm", "stage_{i}_merging/norm"),
        Rule(between + "reduction.weight", "stage_{i}_merging/kernel", TRANSPOSED),
        *norm("swin.layernorm", "norm"),
        *masked_rules("swin."),
        *linear("classifier", "classifier/"),
    )


def embedding(published):
    """The rules of the patches."""
    return linear(published, "patch_embedding/", CONVOLUTION)


def positions(table, scale, network):
    """The rules of what distances add: a table, or from version 2 on a network."""
    return (
        Rule(table, POSITIONS + "table"),
        Rule(scale, f"{ATTENTION}/log_scale", OF_HEADS),
        *linear(network + "0", POSITIONS + "hidden_"),
        Rule(network + "2.weight", POSITIONS + "output_kernel", TRANSPOSED),
    )


def stretch_map(table, saved, arguments):
    """Stretches positions to the patches of images of another size, padded ones too."""
    saved, arguments = (
        {**x, "image_size": padded_size(x["image_size"], x["patch_size"])}
        for x in (saved, arguments)
    )
    return stretch_positions(table, saved, arguments, num_in_front=0)


def padded_size(image_size, patch_size):
    """Height and width of images that patches fill, one number or two of each.

    Example:

    >>> padded_size((7, 12), 4), padded_size(8, 4)
    ((8, 12), (8, 8))
    """
    sides, sizes = (
        (x, x) if isinstance(x, int) else tuple(x) for x in (image_size, patch_size)
    )
    return tuple(s + -s % p for s, p in zip(sides, sizes, strict=True))


def widths_of(said):
    """The width inside the feed-forward networks of the first stage, which doubles."""
    ratio, width = said.get("mlp_ratio", 4.0), said.get("embed_dim", 96)
    stages = range(len(said.get("depths", (2, 2, 6, 2))))
    inside = [int(ratio * width * 2**stage) for stage in stages]
    if any(inside[stage] != inside[0] * 2**stage for stage in stages):
        raise ValueError(
            f"A Swin with mlp_ratio={ratio} and embed_dim={width} is not known here: "
            f"its feed-forward networks have {inside} units, which do not double."
        )
    return {"mlp_dim": inside[0]}


def cell_of(patch_size, num_stages):
    """How many pixels a cell of the last grid stands for, one number or two."""
    factor = 2 ** (num_stages - 1)
    if isinstance(patch_size, int):
        return patch_size * factor
    return [size * factor for size in patch_size]


def read_first(config):
    if (config.get("architectures") or [""])[0].endswith("ForMaskedImageModeling"):
        cell = cell_of(config.get("patch_size", 4), len(config.get("depths", "1234")))
        check_stride(config.get("encoder_stride", 32), cell, "config.json")
        return widths_of(config)
    return {**read(config), **widths_of(config)}


def read_second(config):
    sizes = config.get("pretrained_window_sizes") or []
    is_own = all(size == 0 for size in sizes)
    return {
        **read_first(config),
        "pretrained_window_sizes": None if is_own else list(sizes),
        "use_absolute_positions": False,
    }


def write_first(arguments):
    fields = {**mlp_ratio_of(arguments), **write(arguments)}
    if arguments["head"] == MASKED["head"]:
        cell = cell_of(arguments["patch_size"], len(arguments["num_layers"]))
        stride = cell if isinstance(cell, int) else cell[0]
        check_stride(stride, cell, "The published file")
        fields["encoder_stride"] = stride
    return fields


def write_second(arguments):
    sizes = arguments["pretrained_window_sizes"]
    sizes = sizes or [0] * len(arguments["num_layers"])
    return {"pretrained_window_sizes": list(sizes), **write_first(arguments)}


ABSOLUTE = "use_absolute_embeddings"
SWIN_FAMILY = Family(
    model_type="swin",
    architectures={
        "SwinModel": {**BODY, "version": 1},
        "SwinForImageClassification": {**CLASSES, "version": 1},
        "SwinForMaskedImageModeling": {**MASKED, "version": 1},
    },
    fields=(
        Field("image_size", "image_size", 224),
        Field("patch_size", "patch_size", 4),
        Field("num_channels", "num_channels", 3),
        Field("embed_dim", "hidden_dim", 96),
        Field("depths", "num_layers", [2, 2, 6, 2]),
        Field("num_heads", "num_heads", [3, 6, 12, 24]),
        Field("window_size", "window_size", 7),
        Field("hidden_act", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", 1e-5),
        Field("hidden_dropout_prob", "dropout", 0.0),
        Field("attention_probs_dropout_prob", "attention_dropout", 0.0),
        Field("drop_path_rate", "drop_path", 0.1),
        Field("qkv_bias", "use_attention_bias", True),
        Field(ABSOLUTE, "use_absolute_positions", False),
    ),
    rules=rules,
    # Widths that are computed; of masked images; what no code reads.
    ignored=(
        *BACKBONE,
        *("hidden_size", "num_layers", "encoder_stride", "mlp_ratio", "path_norm"),
    ),
    prefix="swin.",
    harmless={
        "embeddings.mask_token": UNUSED,
        "encoder.layers.{i}.blocks.{j}.attention.self.relative_position_index": UNUSED,
        "encoder.layers.{i}.blocks.{j}.attention.self.relative_coords_table": UNUSED,
    },
    read=read_first,
    write=write_first,
)
SWIN_V2_FAMILY = SWIN_FAMILY.like(
    model_type="swinv2",
    renamed={"swin.": "swinv2."},
    classes=("Swin", "Swinv2"),
    architectures={
        "Swinv2Model": {**BODY, "version": 2},
        "Swinv2ForImageClassification": {**CLASSES, "version": 2},
        "Swinv2ForMaskedImageModeling": {**MASKED, "version": 2},
    },
    # transformers has one position too many there, and cannot run.
    fields=tuple(f for f in SWIN_FAMILY.fields if f.name != ABSOLUTE),
    fixed={ABSOLUTE: False},
    ignored=(*SWIN_FAMILY.ignored, "pretrained_window_sizes"),
    read=read_second,
    write=write_second,
)


# timm


SIZES = {
    "tiny": (96, [2, 2, 6, 2], [3, 6, 12, 24]),
    "small": (96, [2, 2, 18, 2], [3, 6, 12, 24]),
    "base": (128, [2, 2, 18, 2], [4, 8, 16, 32]),
    "large": (192, [2, 2, 18, 2], [6, 12, 24, 48]),
}
FIRST = (
    *(("tiny", 7, 224), ("small", 7, 224), ("base", 7, 224), ("base", 12, 384)),
    *(("large", 7, 224), ("large", 12, 384)),
)
SECOND = (
    *(("tiny", 8, 256), ("tiny", 16, 256), ("small", 8, 256), ("small", 16, 256)),
    *(("base", 8, 256), ("base", 16, 256)),
)


def name_of(version, size, window, side):
    """The name of timm for one of the published sizes."""
    if version == 1:
        return f"swin_{size}_patch4_window{window}_{side}"
    return f"swinv2_{size}_window{window}_{side}"


def names(version, table):
    """The names of timm, and the arguments that they stand for."""
    return {
        name_of(version, size, window, side): {
            "img_size": side,
            "window_size": window,
            "embed_dim": width,
            "depths": layers,
            "num_heads": heads,
        }
        for size, window, side in table
        for width, layers, heads in (SIZES[size],)
    }


def timm_rules(arguments):
    """The table of timm, where a stage begins with the merging that makes its grid."""
    block = "layers.{i}.blocks.{j}."
    own = block + "attn."
    return (
        *embedding("patch_embed.proj"),
        *norm("patch_embed.norm", "patch_norm"),
        *linear(own + "qkv", f"{ATTENTION}/query_key_value_"),
        Rule(
            (own + "q_bias", own + "v_bias"),
            f"{ATTENTION}/query_value_bias",
            side_by_side(parts=2),
        ),
        *linear(own + "proj", f"{ATTENTION}/output_"),
        *positions(
            own + "relative_position_bias_table", own + "logit_scale", own + "cpb_mlp."
        ),
        *norm(block + "norm1", OURS + "self_attention_residual/norm"),
        *norm(block + "norm2", OURS + "feed_forward_residual/norm"),
        *linear(block + "mlp.fc1", OURS + "feed_forward/hidden_"),
        *linear(block + "mlp.fc2", OURS + "feed_forward/output_"),
        *(
            rule
            for stage in range(len(arguments["num_layers"]) - 1)
            for theirs in (f"layers.{stage + 1}.downsample.",)
            for ours in (f"stage_{stage}_merging/",)
            for rule in (
                *norm(theirs + "norm", ours + "norm"),
                Rule(theirs + "reduction.weight", ours + "kernel", TRANSPOSED),
            )
        ),
        *norm("norm", "norm"),
        *linear("head.fc", "classifier/"),
    )


def timm(version, table):
    """The models of one version."""
    known = names(version, table)

    def read_timm(said, arguments):
        sizes = said.get("pretrained_window_sizes") or [0]
        if version == 2 and any(sizes):
            return {
                **widths_of(said),
                "pretrained_window_sizes": np.broadcast_to(sizes, (4,)).tolist(),
            }
        return widths_of(said)

    def write_timm(arguments):
        more = {}
        if version == 2:
            more["pretrained_window_sizes"] = arguments["pretrained_window_sizes"] or [
                0
            ] * len(arguments["num_layers"])
        return {**mlp_ratio_of(arguments), **more}

    fields = [
        Field("img_size", "image_size", 224 if version == 1 else 256),
        Field("patch_size", "patch_size", 4),
        Field("in_chans", "num_channels", 3),
        Field("embed_dim", "hidden_dim", 96),
        Field("depths", "num_layers", [2, 2, 6, 2]),
        Field("num_heads", "num_heads", [3, 6, 12, 24]),
        Field("window_size", "window_size", 7),
        Field("attn_drop_rate", "attention_dropout", 0.0),
        Field("drop_path_rate", "drop_path", 0.1),
        Field("qkv_bias", "use_attention_bias", True),
    ]
    fixed = {"always_partition": False, "drop_rate": 0.0, "global_pool": "avg"}
    fixed |= {"head_dim": None, "proj_drop_rate": 0.0, "act_layer": "gelu"}
    ours = {"version": version, "epsilon": 1e-5, "dropout": 0.0}
    ours |= {"use_absolute_positions": False, "activation": "gelu", **CLASSES}
    ignored = ["mlp_ratio", "dynamic_img_size", "strict_img_size", "weight_init"]
    if version == 2:
        ignored.append("pretrained_window_sizes")
    else:
        ours["pretrained_window_sizes"] = None
    block = "layers.{i}.blocks.{j}."
    buffers = ("attn.relative_position_index", "attn.relative_coords_table")
    return timm_family(
        is_ours=lambda name: name.partition(".")[0] in known,
        read_name=read_table(known, "swin" if version == 1 else "swinv2"),
        written_as=next(iter(known)),
        fields=tuple(fields),
        rules=timm_rules,
        first_conv="patch_embed.proj",
        classifier="head.fc",
        fixed=fixed,
        ours_fixed=ours,
        ignored=tuple(ignored),
        read=read_timm,
        write=write_timm,
        harmless={
            block + name: UNUSED for name in (*buffers, "attn_mask", "attn.k_bias")
        },
    )


TIMM_SWIN_FAMILY, TIMM_SWIN_V2_FAMILY = timm(1, FIRST), timm(2, SECOND)
