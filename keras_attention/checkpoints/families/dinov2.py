"""DINOv2, with and without registers, as the library transformers publishes it."""

import functools

import numpy as np

from keras_attention.checkpoints.copies import Beside
from keras_attention.checkpoints.families import timm_vit
from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.common import query_key_value
from keras_attention.checkpoints.families.resnet import BACKBONE
from keras_attention.checkpoints.families.vit import front
from keras_attention.checkpoints.families.vit import OURS
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.labels import read_labels
from keras_attention.checkpoints.labels import write_labels
from keras_attention.checkpoints.rules import AXIS_IN_FRONT
from keras_attention.checkpoints.rules import Rule
from keras_attention.images.grids import stretch_positions

GATED = "swiglu"
ACTIVATION = Field("hidden_act", "activation", "gelu", ACTIVATIONS)


def rules(arguments):
    """The table of transformers. A gated feed-forward network has other names."""
    is_gated = arguments["activation"] == GATED
    block = "dinov2.encoder.layer.{i}."
    # Facebook's code averages positions that become fewer where there are registers.
    averages = arguments["num_registers"] > 0
    stretch = timm_vit.stretch if averages else stretch_positions
    return (
        *front(
            "dinov2.embeddings.cls_token",
            "dinov2.embeddings.position_embeddings",
            "dinov2.embeddings.patch_embeddings.projection",
            functools.partial(stretch, num_in_front=1),
        ),
        Rule("dinov2.embeddings.register_tokens", "registers/tokens", AXIS_IN_FRONT),
        *query_key_value(block + "attention.attention.", OURS + "self_attention"),
        *linear(block + "attention.output.dense", OURS + "self_attention/output_"),
        *norm(block + "norm1", OURS + "self_attention_residual/norm"),
        *norm(block + "norm2", OURS + "feed_forward_residual/norm"),
        Rule(
            block + "layer_scale1.lambda1", OURS + "self_attention_residual/scale/scale"
        ),
        Rule(
            block + "layer_scale2.lambda1", OURS + "feed_forward_residual/scale/scale"
        ),
        *linear(
            block + ("mlp.weights_in" if is_gated else "mlp.fc1"),
            OURS + "feed_forward/hidden_",
        ),
        *linear(
            block + ("mlp.weights_out" if is_gated else "mlp.fc2"),
            OURS + "feed_forward/output_",
        ),
        *norm("dinov2.layernorm", "norm"),
        *linear("classifier", "classifier/"),
    )


def mlp_dim_of(hidden_dim, ratio, is_gated):
    """The width inside the feed-forward networks.

    A gated one has two thirds of it, a multiple of 8.

    Example:

    >>> mlp_dim_of(384, 4, False), mlp_dim_of(1536, 4, True)
    (1536, 4096)
    """
    width = int(hidden_dim * ratio)
    return (int(width * 2 / 3) + 7) // 8 * 8 if is_gated else width


def read(config):
    is_gated = config.get("use_swiglu_ffn", False)
    activation = GATED if is_gated else ACTIVATION.read(config, "config.json")
    ratio, hidden_dim = config.get("mlp_ratio", 4), config.get("hidden_size", 768)
    arguments = {
        "activation": activation,
        "mlp_dim": mlp_dim_of(hidden_dim, ratio, is_gated),
    }
    if (config.get("architectures") or [""])[0].endswith("Classification"):
        arguments |= read_labels(config)
    return arguments


def write(arguments):
    is_gated = arguments["activation"] == GATED
    hidden_dim, mlp_dim = arguments["hidden_dim"], arguments["mlp_dim"]
    ratios = range(1, 2 + 2 * mlp_dim // hidden_dim)
    ratios = [n for n in ratios if mlp_dim_of(hidden_dim, n, is_gated) == mlp_dim]
    if not ratios:
        raise ValueError(
            "A DINOv2 of transformers has feed-forward networks a whole number of times"
            f" as wide as a token. Received: mlp_dim={mlp_dim}, hidden_dim={hidden_dim}"
        )
    fields = {"mlp_ratio": ratios[0], "use_swiglu_ffn": is_gated}
    if not is_gated:
        fields["hidden_act"] = ACTIVATION.write(arguments["activation"])
    if arguments["num_classes"] is not None:
        fields |= write_labels(arguments)
    return fields


def no_mask_token(class_token):
    """The token of hidden patches, which others expect: it began with zeros."""
    return np.zeros_like(class_token[0])


FIELDS = (
    Field("image_size", "image_size", 224),
    Field("patch_size", "patch_size", 14),
    Field("num_channels", "num_channels", 3),
    Field("hidden_size", "hidden_dim", 768),
    Field("num_hidden_layers", "num_layers", 12),
    Field("num_attention_heads", "num_heads", 12),
    Field("layer_norm_eps", "epsilon", 1e-6),
    Field("hidden_dropout_prob", "dropout", 0.0),
    Field("attention_probs_dropout_prob", "attention_dropout", 0.0),
    Field("qkv_bias", "use_attention_bias", True),
    Field("layerscale_value", "layer_scale", 1.0),
    Field("drop_path_rate", "drop_path", 0.0),
)
WITHOUT = {"num_registers": 0}
DINOV2_FAMILY = Family(
    model_type="dinov2",
    architectures={
        "Dinov2Model": {"num_classes": None, "class_names": None, **WITHOUT},
        "Dinov2ForImageClassification": WITHOUT,
    },
    fields=FIELDS,
    rules=rules,
    # What a backbone gives to others; whether there is a token of hidden patches.
    ignored=(
        *BACKBONE,
        *("apply_layernorm", "use_mask_token"),
        *("hidden_act", "mlp_ratio", "use_swiglu_ffn"),  # that `read` reads
    ),
    prefix="dinov2.",
    harmless={"embeddings.mask_token": Beside("embeddings.cls_token", no_mask_token)},
    read=read,
    write=write,
)
DINOV2_WITH_REGISTERS_FAMILY = DINOV2_FAMILY.like(
    model_type="dinov2_with_registers",
    renamed={"dinov2.": "dinov2_with_registers."},
    classes=("Dinov2", "Dinov2WithRegisters"),
    architectures={
        "Dinov2WithRegistersModel": {"num_classes": None, "class_names": None},
        "Dinov2WithRegistersForImageClassification": {},
    },
    fields=(
        *(f.with_default(16) if f.name == "patch_size" else f for f in FIELDS),
        Field("num_register_tokens", "num_registers", 4),
    ),
)
