"""ConvNeXt and its second version as transformers and timm publish them."""

from keras_attention.checkpoints.families.common import linear
from keras_attention.checkpoints.families.common import norm
from keras_attention.checkpoints.families.resnet import BACKBONE
from keras_attention.checkpoints.families.resnet import read
from keras_attention.checkpoints.families.resnet import write
from keras_attention.checkpoints.families.timm import ACTIVATIONS as TIMM_ACTIVATIONS
from keras_attention.checkpoints.families.timm import read_table
from keras_attention.checkpoints.families.timm import timm_family
from keras_attention.checkpoints.family import Family
from keras_attention.checkpoints.fields import ACTIVATIONS
from keras_attention.checkpoints.fields import Field
from keras_attention.checkpoints.rules import CONVOLUTION
from keras_attention.checkpoints.rules import DEPTHWISE
from keras_attention.checkpoints.rules import each
from keras_attention.checkpoints.rules import POINTWISE
from keras_attention.checkpoints.rules import Rule
from keras_attention.checkpoints.rules import TRANSPOSED

OURS = "stage_{i}_block_{j}/"
# (1, 1, 1, D) there.
OF_CHANNELS = each(
    lambda array: array.reshape(-1), lambda array: array.reshape(1, 1, 1, -1)
)
SIZES = {
    "atto": ([40, 80, 160, 320], [2, 2, 6, 2]),
    "femto": ([48, 96, 192, 384], [2, 2, 6, 2]),
    "pico": ([64, 128, 256, 512], [2, 2, 6, 2]),
    "nano": ([80, 160, 320, 640], [2, 2, 8, 2]),
    "tiny": ([96, 192, 384, 768], [3, 3, 9, 3]),
    "small": ([96, 192, 384, 768], [3, 3, 27, 3]),
    "base": ([128, 256, 512, 1024], [3, 3, 27, 3]),
    "large": ([192, 384, 768, 1536], [3, 3, 27, 3]),
    "xlarge": ([256, 512, 1024, 2048], [3, 3, 27, 3]),
    "huge": ([352, 704, 1408, 2816], [3, 3, 27, 3]),
}


def rules(arguments):
    """The table of transformers, of both versions."""
    prefix = "convnext."
    block = prefix + "encoder.stages.{i}.layers.{j}."
    between = prefix + "encoder.stages.{i}.downsampling_layer."
    return (
        *linear(prefix + "embeddings.patch_embeddings", "stem/", CONVOLUTION),
        *norm(prefix + "embeddings.layernorm", "stem_norm"),
        *norm(between + "0", "stage_{i}_norm"),
        *linear(between + "1", "stage_{i}_halving/", CONVOLUTION),
        *linear(block + "dwconv", OURS + "convolution/", DEPTHWISE),
        *norm(block + "layernorm", OURS + "norm"),
        *linear(block + "pwconv1", OURS + "hidden_"),
        *linear(block + "pwconv2", OURS + "output_"),
        *norm(block + "grn", OURS + "response_norm", transform=OF_CHANNELS),
        Rule(block + "layer_scale_parameter", OURS + "scale/scale"),
        *norm(prefix + "layernorm", "norm"),
        *linear("classifier", "classifier/"),
    )


def read_scaled(config):
    """The classes; factors that would begin with 0 are none there."""
    value = config.get("layer_scale_init_value", 1e-6)
    return {**read(config), "layer_scale": value if value > 0 else None}


def write_stages(arguments):
    return {"num_stages": len(arguments["num_layers"]), **write(arguments)}


def write_scaled(arguments):
    if arguments["layer_scale"] == 0:
        raise ValueError("transformers has no factors that begin with 0.")
    value = arguments["layer_scale"] or 0.0
    return {"layer_scale_init_value": value, **write_stages(arguments)}


CONVNEXT_FAMILY = Family(
    model_type="convnext",
    architectures={
        "ConvNextModel": {
            "num_classes": None,
            "class_names": None,
            "use_response_norm": False,
        },
        "ConvNextForImageClassification": {"use_response_norm": False},
    },
    fields=(
        Field("image_size", "image_size", 224),
        Field("num_channels", "num_channels", 3),
        Field("patch_size", "patch_size", 4),
        Field("hidden_sizes", "hidden_dims", SIZES["tiny"][0]),
        Field("depths", "num_layers", SIZES["tiny"][1]),
        Field("hidden_act", "activation", "gelu", ACTIVATIONS),
        Field("layer_norm_eps", "epsilon", 1e-12),
        Field("drop_path_rate", "drop_path", 0.0),
    ),
    rules=rules,
    ignored=(*BACKBONE, "num_stages", "num_hidden_layers", "layer_scale_init_value"),
    prefix="convnext.",
    read=read_scaled,
    write=write_scaled,
)
SECOND = {"use_response_norm": True, "layer_scale": None}
CONVNEXT_V2_FAMILY = CONVNEXT_FAMILY.like(
    model_type="convnextv2",
    renamed={"convnext.": "convnextv2."},
    classes=("ConvNext", "ConvNextV2"),
    architectures={
        "ConvNextV2Model": {"num_classes": None, "class_names": None, **SECOND},
        "ConvNextV2ForImageClassification": SECOND,
    },
    read=read,
    write=write_stages,
)


# timm


NAMES = {
    f"{prefix}_{size}": {
        "dims": widths,
        "depths": layers,
        "conv_mlp": size in ("atto", "femto", "pico", "nano"),
        **options,
    }
    for prefix, sizes, options in (
        ("convnext", tuple(size for size in SIZES if size != "huge"), {}),
        (
            "convnextv2",
            tuple(size for size in SIZES if size != "xlarge"),
            {"use_grn": True, "ls_init_value": None},
        ),
    )
    for size in sizes
    for widths, layers in (SIZES[size],)
}


def is_narrow(arguments):
    """Whether timm has convolutions of one place where others have a `Linear`."""
    return any(
        SIZES[size][0] == arguments["hidden_dims"]
        for size in ("atto", "femto", "pico", "nano")
    )


def timm_rules(arguments):
    """The table of timm."""
    block = "stages.{i}.blocks.{j}."
    kernel = POINTWISE if is_narrow(arguments) else TRANSPOSED
    return (
        *linear("stem.0", "stem/", CONVOLUTION),
        *norm("stem.1", "stem_norm"),
        *norm("stages.{i}.downsample.0", "stage_{i}_norm"),
        *linear("stages.{i}.downsample.1", "stage_{i}_halving/", CONVOLUTION),
        *linear(block + "conv_dw", OURS + "convolution/", DEPTHWISE),
        *norm(block + "norm", OURS + "norm"),
        *linear(block + "mlp.fc1", OURS + "hidden_", kernel),
        *linear(block + "mlp.fc2", OURS + "output_", kernel),
        *norm(block + "mlp.grn", OURS + "response_norm"),
        Rule(block + "gamma", OURS + "scale/scale"),
        *norm("head.norm", "norm"),
        *linear("head.fc", "classifier/"),
    )


def read_timm(said, arguments):
    if said.get("conv_mlp", False) != is_narrow(arguments):
        raise ValueError(
            f"timm's ConvNeXt with dims={arguments['hidden_dims']} and conv_mlp="
            f"{said.get('conv_mlp', False)} is not known here. Only its atto, femto, "
            "pico and nano are known with conv_mlp=True."
        )
    return {"layer_scale": arguments["layer_scale"] or None}


def write_timm(arguments):
    if arguments["layer_scale"] == 0 or len(arguments["num_layers"]) != 4:
        raise ValueError("timm has four stages, and no factors that begin with 0.")
    return {"conv_mlp": is_narrow(arguments)}


TIMM_CONVNEXT_FAMILY = timm_family(
    is_ours=lambda name: name.partition(".")[0] in NAMES,
    read_name=read_table(NAMES, "convnext"),
    written_as="convnext_tiny",
    fields=(
        Field("in_chans", "num_channels", 3),
        Field("patch_size", "patch_size", 4),
        Field("dims", "hidden_dims", SIZES["tiny"][0]),
        Field("depths", "num_layers", SIZES["tiny"][1]),
        Field("act_layer", "activation", "gelu", TIMM_ACTIVATIONS),
        Field("ls_init_value", "layer_scale", 1e-6),
        Field("use_grn", "use_response_norm", False),
        Field("drop_path_rate", "drop_path", 0.0),
    ),
    rules=timm_rules,
    first_conv="stem.0",
    classifier="head.fc",
    fixed={
        "conv_bias": True,
        "drop_rate": 0.0,
        "global_pool": "avg",
        "head_hidden_size": None,
        "head_norm_first": False,
        "kernel_sizes": 7,
        "norm_eps": None,
        "norm_layer": None,
        "output_stride": 32,
        "stem_type": "patch",
    },
    ours_fixed={"epsilon": 1e-6},
    ignored=("conv_mlp", "head_init_scale"),
    image_field=None,
    read=read_timm,
    write=write_timm,
)
