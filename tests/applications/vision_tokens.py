"""Published models of patches, a row each: DeiT and its kin, DINOv2, BEiT, hybrids."""

import dataclasses

from vision_row import CLASSES
from vision_row import cut
from vision_row import Row

from helpers import to_numpy
from keras_attention import applications
from keras_attention.images.image_processor import ImageProcessor


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
SQUARE_CONFIG = {**TOKENS_CONFIG, "image_size": [20, 20], "patch_size": 5}
SQUARE_CONFIG.pop("intermediate_size")
POOLED = {"tokens": "last_hidden_state", "pooled": "pooler_output"}
LOGITS = ({}, {None: "logits"})
DINOV2 = Row(
    applications.DINOv2,
    {
        **TOKENS,
        "mlp_dim": 8,
        "activation": "swiglu",
        "layer_scale": 0.3,
        "num_registers": 2,
    },
    (20, 20),
    channels=2,
    published="Dinov2",
    config={**SQUARE_CONFIG, "mlp_ratio": 2},
    heads={
        "classes": ("ForImageClassification", {**CLASSES, "qkv_bias": False}, *LOGITS),
        "gated": (
            "ForImageClassification",
            {"use_swiglu_ffn": True, "hidden_act": "gelu"},
            *LOGITS,
        ),
        "none": ("Model", {}, {}, POOLED),
    },
    states=token_states,
    stretched=(15, 35),
    not_kept=("mask_token",),
)
DINOV2_WITH_REGISTERS = dataclasses.replace(
    DINOV2,
    published="Dinov2WithRegisters",
    config={**DINOV2.config, "num_register_tokens": 3},
    heads={
        "classes": ("ForImageClassification", CLASSES, *LOGITS),
        "none": ("Model", {}, {}, POOLED),
    },
)
BEIT = Row(
    applications.BEiT,
    {
        **TOKENS,
        "position_bias": "shared",
        "use_absolute_positions": True,
        "layer_scale": 0.3,
        "pooling": "token",
    },
    (20, 20),
    channels=2,
    published="Beit",
    config={
        **SQUARE_CONFIG,
        "intermediate_size": 20,
        "use_relative_position_bias": True,
    },
    heads={
        "classes": ("ForImageClassification", CLASSES, *LOGITS),
        "shared": (
            "ForImageClassification",
            {
                "use_relative_position_bias": False,
                "use_shared_relative_position_bias": True,
                "use_absolute_position_embeddings": True,
                "layer_scale_init_value": 0.0,
                "use_mean_pooling": False,
            },
            *LOGITS,
        ),
        "none": ("Model", {}, {}, POOLED),
    },
    states=token_states,
    stretched=(15, 35),
    unpublished=("use_attention_bias",),
)
