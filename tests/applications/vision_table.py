"""The families of published vision models, a row each: what `test_vision.py` runs."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from helpers import to_numpy
from keras_attention import applications
from keras_attention.images.image_processor import ImageProcessor

RNG = np.random.default_rng(3)


def pictures(height, width, channels=3):
    return RNG.normal(size=(2, height, width, channels)).astype("float32")


def cut(model, name):
    """The model up to a layer."""
    return keras.Model(model.inputs[0], model.get_layer(name).output)


@dataclasses.dataclass(frozen=True)
class Row:
    """A family of models that read pictures.

    Args:
        model: Our class.
        arguments: Ours, none at its default.
        size: Height and width of the pictures that the references read.
        channels: Number of their channels.
        published: How the classes of transformers begin, or `None` without any.
        config: An odd configuration of them.
        heads: Dict from a name to the end of the class, changes of the config, ours
            for the loaded model, and the outputs there by ours.
        states: Function of our model and pictures to pairs of what is in `hidden
            states` there, in their layout, and of weights of attention or `None`.
        timm: Dict from a name to that of timm's model and its arguments.
        given: What the published files do not say.
        has_any_size: Whether its published classes read images of any size, too.
        unpublished: Arguments that no published layout says.
        is_written_for_timm: Whether what is read from timm is written for it.
    """

    model: type
    arguments: dict
    size: tuple
    channels: int = 3
    published: str | None = None
    config: dict = dataclasses.field(default_factory=dict)
    heads: dict = dataclasses.field(default_factory=dict)
    states: Callable | None = None
    timm: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    has_any_size: bool = False
    unpublished: tuple = ()
    is_written_for_timm: bool = False

    def pictures(self, channels=None, size=None):
        return pictures(*(size or self.size), channels or self.channels)


def token_states(model, images):
    """What each block of a ViT reads, and its weights; then what is behind the norm."""
    x = cut(model, "dropout")(images)
    for block in model.encoder.blocks:
        entered = x
        x, weights = block(x, return_attention_scores=True)
        yield to_numpy(entered), to_numpy(weights)


TOKENS = {
    "image_processor": ImageProcessor(shortest_edge=9, crop_size=(8, 12)),
    "image_size": [8, 12],
    "patch_size": 4,
    "num_channels": 1,
    "hidden_dim": 4,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 6,
    "activation": "relu",
    "epsilon": 0.1,
    "dropout": 0.2,
    "attention_dropout": 0.3,
    "drop_path": 0.1,
    "use_attention_bias": False,
    "num_classes": 3,
    "class_names": ["x", "y", "z"],
    "seed": 2,
    "name": "mine",
}
TOKENS_CONFIG = {
    "image_size": [12, 20],
    "patch_size": [4, 5],
    "num_channels": 2,
    "hidden_size": 12,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 20,
    "hidden_act": "gelu_new",
    "layer_norm_eps": 0.05,
}
TOKENS_TIMM = {
    "img_size": (12, 20),
    "patch_size": (4, 5),
    "embed_dim": 12,
    "depth": 2,
    "num_heads": 3,
    "mlp_ratio": 1.75,
    "num_classes": 5,
}
CLASSES = {"num_labels": 4}
DEIT = Row(
    applications.DeiT,
    {**TOKENS, "use_pooler": True, "answer": "class_token"},
    (12, 20),
    channels=2,
    published="DeiT",
    config=TOKENS_CONFIG,
    heads={
        "mean": (
            "ForImageClassificationWithTeacher",
            CLASSES,
            {},
            {None: "logits"},
        ),
        "both": (
            "ForImageClassificationWithTeacher",
            {**CLASSES, "qkv_bias": False},
            {"answer": "both"},
            {
                "class_token": "cls_logits",
                "distillation_token": "distillation_logits",
            },
        ),
        "class_token": ("ForImageClassification", CLASSES, {}, {None: "logits"}),
        "none": (
            "Model",
            {},
            {},
            {"tokens": "last_hidden_state", "pooled": "pooler_output"},
        ),
    },
    states=token_states,
    timm={"distilled": ("deit_base_distilled_patch16_224", TOKENS_TIMM)},
)
DEIT3 = Row(
    applications.DeiT3,
    {**TOKENS, "layer_scale": 0.3},
    (12, 20),
    timm={
        "third": ("deit3_base_patch16_224", TOKENS_TIMM),
        "without bias": (
            "deit3_base_patch16_224",
            {**TOKENS_TIMM, "qkv_bias": False, "act_layer": "gelu_tanh"},
        ),
    },
    is_written_for_timm=True,
)


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
HYBRID = Row(
    applications.HybridViT,
    {**TOKENS, "stem_layers": [1], "image_size": [20, 23], "patch_size": [5, 3]},
    (64, 84),
    timm={
        "convolution alone": (
            "vit_tiny_r_s16_p8_224",
            {
                "img_size": (64, 96),
                "embed_dim": 12,
                "depth": 2,
                "num_heads": 3,
                "num_classes": 5,
            },
        ),
        "stages": (
            "vit_small_r26_s32_224",
            {
                "img_size": (65, 84),
                "embed_dim": 12,
                "depth": 1,
                "num_heads": 3,
                "num_classes": 5,
                "qkv_bias": False,
            },
        ),
    },
    is_written_for_timm=True,
)
ROWS = [DEIT, DEIT3, HYBRID, RESNET, CONVNEXT, CONVNEXT_V2, SWIN, SWIN_V2]
CASES = [(row, head) for row in ROWS for head in row.heads]
TIMM_CASES = [(row, case) for row in ROWS for case in row.timm]
