"""Published models in stages, a row each: ResNet, ConvNeXt and Swin."""

import dataclasses

import keras
from vision_row import CLASSES
from vision_row import cut
from vision_row import Row

from helpers import to_numpy
from keras_attention import applications
from keras_attention.images.image_processor import ImageProcessor


def stage_states(first):
    """What stands before the first stage and behind each, channels first."""

    def states(model, images):
        layers = [layer.name for layer in model.layers]
        names = [name for name in layers if name.startswith("stage_")]
        last = {name.split("_block_")[0]: name for name in names if "_block_" in name}
        for name in (first, *last.values()):
            yield to_numpy(cut(model, name)(images)).transpose(0, 3, 1, 2), None

    return states


PICTURES = {
    "image_processor": ImageProcessor(shortest_edge=19, crop_size=(17, 20)),
    "image_size": [17, 20],
    "num_channels": 1,
    "drop_path": 0.1,
    "num_classes": 3,
    "class_names": ["x", "y", "z"],
    "seed": 2,
    "name": "mine",
}
STAGE_HEADS = {
    "classes": ("ForImageClassification", CLASSES, {}, {None: "logits"}),
    "none": (
        "Model",
        {},
        {},
        {"features": "last_hidden_state", "pooled": "pooler_output"},
    ),
}
RESNET = Row(
    applications.ResNet,
    {
        **PICTURES,
        "stem_dim": 4,
        "hidden_dims": [8, 12],
        "num_layers": [2, 1],
        "kind": "basic",
        "strides_first": True,
        "strides_in_first_stage": True,
        "activation": "gelu",
    },
    (37, 50),
    channels=2,
    published="ResNet",
    config={
        "num_channels": 2,
        "embedding_size": 6,
        "hidden_sizes": [8, 12, 20],
        "depths": [1, 2, 1],
        "hidden_act": "gelu",
    },
    heads={
        **STAGE_HEADS,
        "basic": (
            "ForImageClassification",
            {**CLASSES, "layer_type": "basic", "downsample_in_first_stage": True},
            {},
            {None: "logits"},
        ),
        "version 1": (
            "ForImageClassification",
            {**CLASSES, "downsample_in_bottleneck": True},
            {},
            {None: "logits"},
        ),
    },
    states=stage_states("max_pooling"),
    has_any_size=True,
    timm={
        "basic": (
            "resnet18",
            {"layers": [1, 2, 1, 1], "channels": [6, 8, 12, 20], "num_classes": 5},
        ),
        "bottleneck": (
            "resnet50",
            {"layers": [2, 1, 1, 1], "channels": [3, 2, 4, 5], "num_classes": 5},
        ),
    },
    given={"image_size": (37, 50)},
)
CONVNEXT_CONFIG = {
    "image_size": [37, 50],
    "num_channels": 2,
    "patch_size": 3,
    "num_stages": 3,
    "hidden_sizes": [8, 12, 20],
    "depths": [1, 2, 1],
    "hidden_act": "relu",
    "layer_norm_eps": 0.05,
}
CONVNEXT_ARGUMENTS = {
    **PICTURES,
    "patch_size": 3,
    "hidden_dims": [8, 12],
    "num_layers": [2, 1],
    "activation": "relu",
    "epsilon": 0.1,
}
CONVNEXT_TIMM = {
    "dims": [6, 8, 12, 20],
    "depths": [1, 2, 1, 1],
    "patch_size": 3,
    "num_classes": 5,
}
CONVNEXT = Row(
    applications.ConvNeXt,
    {**CONVNEXT_ARGUMENTS, "layer_scale": None, "use_response_norm": True},
    (37, 50),
    channels=2,
    published="ConvNext",
    config=CONVNEXT_CONFIG,
    heads={
        **STAGE_HEADS,
        "no layer scale": (
            "ForImageClassification",
            {**CLASSES, "layer_scale_init_value": 0.0},
            {},
            {None: "logits"},
        ),
    },
    states=stage_states("stem_norm"),
    has_any_size=True,
    timm={
        "version 1": ("convnext_tiny", {**CONVNEXT_TIMM, "act_layer": "relu"}),
        "version 2": ("convnextv2_tiny", CONVNEXT_TIMM),
        "narrow": ("convnextv2_atto", {"depths": [1, 1, 1, 1], "num_classes": 5}),
    },
    given={"image_size": (37, 50)},
)
CONVNEXT_V2 = dataclasses.replace(
    CONVNEXT,
    published="ConvNextV2",
    heads=STAGE_HEADS,
    timm={},
)


def window_states(model, images):
    """What stands before the first stage and behind each merging, as tokens there.

    Beside it the weights of the last block of each stage.
    """
    layers = [layer.name for layer in model.layers if layer.name.startswith("stage_")]
    grid = model.get_layer("stage_0_block_0").input.shape[1:]
    x = keras.ops.reshape(cut(model, "dropout")(images), (-1, *grid))
    weights = None
    for name in layers:
        if name.endswith(("merging", "_block_0")) and weights is None:
            yield tokens_of(x), None
        layer = model.get_layer(name)
        if name.endswith("merging"):
            x = layer(x)
            yield tokens_of(x), weights
        else:
            x, weights = layer(x, return_attention_scores=True)
            weights = to_numpy(weights)
    yield tokens_of(x), weights


def tokens_of(x):
    x = to_numpy(x)
    return x.reshape(x.shape[0], -1, x.shape[-1])


SWIN_CONFIG = {
    "image_size": [46, 59],
    "patch_size": 4,
    "num_channels": 2,
    "embed_dim": 6,
    "depths": [2, 2],
    "num_heads": [2, 3],
    "window_size": 5,
    "mlp_ratio": 2.5,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.05,
    "drop_path_rate": 0.0,
}
NO_BIAS = {**CLASSES, "image_size": [48, 60], "qkv_bias": False}
LOGITS = ({}, {None: "logits"})
SWIN = Row(
    applications.Swin,
    {
        **PICTURES,
        "patch_size": 2,
        "hidden_dim": 4,
        "num_layers": [1, 2],
        "num_heads": [1, 2],
        "mlp_dim": 6,
        "window_size": 3,
        "version": 2,
        "pretrained_window_sizes": [4, 2],
        "activation": "relu",
        "epsilon": 0.1,
        "dropout": 0.2,
        "attention_dropout": 0.3,
        "use_attention_bias": False,
        "use_absolute_positions": True,
    },
    (46, 59),
    channels=2,
    published="Swin",
    config=SWIN_CONFIG,
    heads={
        **STAGE_HEADS,
        "no bias": (
            "ForImageClassification",
            NO_BIAS | {"use_absolute_embeddings": True},
            *LOGITS,
        ),
    },
    unpublished=("use_absolute_positions",),
    states=window_states,
    has_any_size=True,
    timm={
        "version 1": (
            "swin_tiny_patch4_window7_224",
            {
                "img_size": (48, 64),
                "window_size": 4,
                "embed_dim": 6,
                "depths": [2, 2],
                "num_heads": [2, 3],
                "num_classes": 5,
            },
        ),
        "version 2": (
            "swinv2_tiny_window8_256",
            {
                "img_size": (48, 64),
                "window_size": 4,
                "embed_dim": 6,
                "depths": [2, 2],
                "num_heads": [2, 3],
                "num_classes": 5,
            },
        ),
    },
)
SWIN_V2 = dataclasses.replace(
    SWIN,
    has_any_size=False,  # what is shifted depends on the size in its config
    published="Swinv2",
    config=SWIN_CONFIG | {"window_size": 4},
    heads={
        **STAGE_HEADS,
        "no bias": (
            "ForImageClassification",
            NO_BIAS | {"pretrained_window_sizes": [3, 2]},
            *LOGITS,
        ),
    },
    timm={},
)
