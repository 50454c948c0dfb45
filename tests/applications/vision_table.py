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
        num_weights: Function of the arguments of a preset to the number of parameters.
    """

    model: type
    arguments: dict
    size: tuple
    num_weights: Callable
    channels: int = 3
    published: str | None = None
    config: dict = dataclasses.field(default_factory=dict)
    heads: dict = dataclasses.field(default_factory=dict)
    states: Callable | None = None
    timm: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    is_written_for_timm: bool = False

    def pictures(self, channels=None):
        return pictures(*self.size, channels or self.channels)


def of_equal_blocks(model):
    """Counts the parameters of a preset of a model by one of its blocks."""

    def count(arguments):
        small = model(**{**arguments, "num_layers": 1})
        (block,) = small.encoder.blocks
        size = sum(int(np.prod(weight.shape)) for weight in block.weights)
        return small.count_params() + (arguments["num_layers"] - 1) * size

    return count


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
    of_equal_blocks(applications.DeiT),
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
    of_equal_blocks(applications.DeiT3),
    timm={
        "third": ("deit3_base_patch16_224", TOKENS_TIMM),
        "without bias": (
            "deit3_base_patch16_224",
            {**TOKENS_TIMM, "qkv_bias": False, "act_layer": "gelu_tanh"},
        ),
    },
    is_written_for_timm=True,
)
ROWS = [DEIT, DEIT3]
CASES = [(row, head) for row in ROWS for head in row.heads]
TIMM_CASES = [(row, case) for row in ROWS for case in row.timm]
