"""BEiT as the library transformers publishes it."""

import functools

from keras_attention.checkpoints.copies import UNUSED
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.resnet import BACKBONE
from keras_attention.checkpoints.families.vit import block_rules
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.families.vit import OURS
from keras_attention.checkpoints.families.vit import VIT_FAMILY
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import side_by_side
from keras_attention.images.grids import stretch_distances
from keras_attention.images.grids import stretch_positions

# The fields of where the biases of distances stand, by our argument.
POSITION_BIAS = {
    "block": "use_relative_position_bias",
    "shared": "use_shared_relative_position_bias",
}
TABLE = "relative_position_bias.relative_position_bias_table"
INDEX = "relative_position_bias.relative_position_index"
# Of heads that segment images.
SEGMENTATION = (
    *("pool_scales", "use_auxiliary_head", "auxiliary_loss_weight", "add_fpn"),
    *("auxiliary_channels", "auxiliary_num_convs", "auxiliary_concat_input"),
    *("semantic_loss_ignore_index", "segmentation_indices"),
)


def rules(arguments):
    """The table of transformers, whose last norm has another name behind the mean."""
    block = "beit.encoder.layer.{i}."
    own = block + "attention.attention."
    is_mean = arguments["pooling"] == "average"
    last = "beit.pooler.layernorm" if is_mean else "beit.layernorm"
    return (
        *front(
            "beit.embeddings.cls_token",
            "beit.embeddings.position_embeddings",
            "beit.embeddings.patch_embeddings.projection",
            functools.partial(stretch_positions, num_in_front=1),
        ),
        *block_rules(block),
        Rule(
            (own + "query.bias", own + "value.bias"),
            OURS + "self_attention/query_value_bias",
            side_by_side(parts=2),
        ),
        Rule(
            own + TABLE,
            OURS + "self_attention/position_bias/table",
            resize=stretch_distances,
        ),
        Rule(
            "beit.encoder." + TABLE,
            "encoder/position_bias/table",
            resize=stretch_distances,
        ),
        Rule(block + "lambda_1", OURS + "self_attention_residual/scale/scale"),
        Rule(block + "lambda_2", OURS + "feed_forward_residual/scale/scale"),
        *norm(last, "norm", optional=True),  # pretrained models have none
        *linear("classifier", "classifier/"),
    )


def read(config):
    found = [ours for ours, name in POSITION_BIAS.items() if config.get(name)]
    if len(found) > 1:
        raise ValueError(
            "A BEiT has biases of distances in each block or one for all. config.json "
            f"has both: {', '.join(POSITION_BIAS.values())}."
        )
    arguments = {
        "position_bias": found[0] if found else None,
        # Factors that would begin with 0 are none there.
        "layer_scale": config.get("layer_scale_init_value", 0.1) or None,
    }
    if (config.get("architectures") or [""])[0].endswith("Classification"):
        arguments |= read_labels(config)
    return arguments


def write(arguments):
    if arguments["layer_scale"] == 0:
        raise ValueError("A BEiT of transformers has no factors that begin with 0.")
    has_classes = arguments["num_classes"] is not None
    return {
        "layer_scale_init_value": arguments["layer_scale"] or 0.0,
        **{
            name: arguments["position_bias"] == ours
            for ours, name in POSITION_BIAS.items()
        },
        **(write_labels(arguments) if has_classes else {}),
    }


BEIT_FAMILY = Family(
    model_type="beit",
    architectures={
        "BeitModel": {
            "num_classes": None,
            "class_names": None,
            "use_attention_bias": True,
        },
        "BeitForImageClassification": {"use_attention_bias": True},
    },
    fields=(
        *(f for f in VIT_FAMILY.fields if f.argument != "use_attention_bias"),
        Field("drop_path_rate", "drop_path", 0.1),
        Field("use_absolute_position_embeddings", "use_absolute_positions", False),
        Field("use_mean_pooling", "pooling", True, {True: "average", False: "token"}),
    ),
    rules=rules,
    # What `read` reads; of masked images, and of heads that segment.
    ignored=(
        *BACKBONE,
        *SEGMENTATION,
        *("layer_scale_init_value", *POSITION_BIAS.values()),
        *("use_mask_token", "vocab_size"),
    ),
    prefix="beit.",
    harmless={
        "embeddings.mask_token": UNUSED,
        "encoder.layer.{i}.attention.attention." + INDEX: UNUSED,
        "encoder." + INDEX: UNUSED,
    },
    read=read,
    write=write,
)
