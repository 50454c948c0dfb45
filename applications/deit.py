"""DeiT: a ViT that learns from ImageNet alone, by augmentation and from a teacher.

Touvron et al. 2021, arXiv:2012.12877; DeiT III: Touvron et al. 2022, arXiv:2204.07118.
Their code: github.com/facebookresearch/deit.

Letters: B images, N patches, D width of a token.
"""

import keras

from keras_attention.applications.vit_figure import preset_of
from keras_attention.applications.vit_figure import VisionTransformer
from keras_attention.checkpoints.families.deit import DEIT_FAMILY
from keras_attention.checkpoints.families.deit import SIZES
from keras_attention.checkpoints.families.deit import TIMM_DEIT3_FAMILY
from keras_attention.checkpoints.families.deit import TIMM_DEIT_FAMILY
from keras_attention.checks import check_choice
from keras_attention.layers.class_token import ClassToken
from keras_attention.tasks.task_head import dense

ANSWERS = ("mean", "both", "class_token")


def presets_of(prefix, table):
    """Presets by size of model, size of a patch and size of images.

    Args:
        prefix: What their names begin with.
        table: Rows of size, size of images and number of parameters.

    Returns:
        Dict.
    """
    return {
        f"{prefix.format(size)}_patch{patch}_{side}": preset_of(
            *SIZES[size], parameters, image_size=side, patch_size=patch
        )
        for size, side, parameters in table
        for patch in (14 if size == "huge" else 16,)
    }


@keras.saving.register_keras_serializable("keras_attention")
class DeiT(VisionTransformer):
    """Classifies an image by two tokens, of which one learned from a teacher.

    Touvron et al. 2021, arXiv:2012.12877, Figure 2:

        x = class token, distillation token, patches W + b          (B, N + 2, D)
        x = x + positions                                           (B, N + 2, D)
        x = norm(12 times: self-attention, feed-forward network)    (B, N + 2, D)
        logits = (x[0] W + b + x[1] W' + b') / 2                    (B, num_classes)

    In training each token has its own labels, Section 4: the class token the true
    ones, the distillation token what a teacher, best a convolutional network, says:

        model = DeiT.from_preset("deit_tiny_distilled_patch16_224", answer="both")
        model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(True))
        said = teacher.predict(images).argmax(axis=-1)
        model.fit(images, {"class_token": labels, "distillation_token": said})
        model.classify(images)  # by the mean of both

    It reads the checkpoints of the libraries transformers and timm, and writes those
    of transformers. A DeiT without a distillation token is a `ViT`.

    It has the arguments of `ViTFigure`, and:

    Args:
        head: `"classification"`, or `"masked_image_model"`; see `ViT`.
        use_pooler: Whether a model without classes has a layer behind the class token,
            as that of transformers has.
        answer: What the classifiers of the two tokens give: `"mean"`, their mean;
            `"both"`, each of them; or `"class_token"`, the first alone, without the
            second.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually normalized by the mean and
            deviation of ImageNet. `fit`, `evaluate` and `predict` also take pictures;
            see `ImageInputs`. With `head="masked_image_model"` as `ViT` does.

    Returns:
        Logits `(B, num_classes)`; for `answer="both"` a dict with `class_token` and
        `distillation_token`, each `(B, num_classes)`. Without classes a dict with
        `tokens` `(B, N + 2, D)` and `pooled` `(B, D)`. With
        `head="masked_image_model"` the images.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = DeiT(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3, answer="both",
    ... )
    >>> logits = model.predict(np.zeros((5, 8, 8, 3)), verbose=0)
    >>> {token: x.shape for token, x in sorted(logits.items())}
    {'class_token': (5, 3), 'distillation_token': (5, 3)}
    """

    # Table 1. With 1000 classes.
    presets_table = presets_of(
        "deit_{}_distilled",
        (
            ("tiny", 224, 5_910_800),
            ("small", 224, 22_436_432),
            ("base", 224, 87_338_192),
            ("base", 384, 87_630_032),
        ),
    )
    families = (DEIT_FAMILY, TIMM_DEIT_FAMILY)

    def __init__(
        self,
        *,
        head="classification",
        use_pooler=False,
        answer="mean",
        **options,
    ):
        check_choice(ANSWERS, answer=answer)
        figure = self.figure(**options)
        guesses_pixels = figure.guesses_pixels(
            head, use_pooler=(use_pooler, False), answer=(answer, "mean")
        )
        x = figure.patches()  # (B, N, D)
        x = figure.mask(x) if guesses_pixels else x
        x = ClassToken(name="distillation_token")(x)
        x = ClassToken(name="class_token")(x)  # (B, N + 2, D)
        x = figure.norm(figure.encode(figure.positions(x)))  # (B, N + 2, D)
        pooled = x[:, 0]  # (B, D)
        if use_pooler and figure.num_classes is None:
            pooled = dense(pooled, figure.hidden_dim, "pooler", activation="tanh")
        if guesses_pixels:
            outputs = figure.guess(figure.grid_of(x[:, 2:]), figure.patch_size)
        else:
            outputs = figure.answer({"tokens": x, "pooled": pooled})
        if figure.num_classes is not None and answer != "class_token":
            taught = dense(x[:, 1], figure.num_classes, "distillation_classifier")
            both = {"class_token": outputs, "distillation_token": taught}
            outputs = both if answer == "both" else (outputs + taught) / 2
        super().__init__(figure, outputs)

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        return {
            **super().head_layers(),
            "num_classes": ["classifier", "distillation_classifier", "pooler"],
            "use_pooler": ["pooler"],
        }


@keras.saving.register_keras_serializable("keras_attention")
class DeiT3(VisionTransformer):
    """Classifies an image: a ViT whose branches are scaled, trained with simple means.

    Touvron et al. 2022, arXiv:2204.07118 (DeiT III), without a teacher. Patches alone
    have positions, and each branch has factors that are learned (LayerScale):

        x = class token, patches W + b + positions                  (B, N + 1, D)
        x = x + scale self_attention(norm(x))                       12 times
        x = x + scale feed_forward(norm(x))
        logits = norm(x)[0] W + b                                   (B, num_classes)

    In training all blocks drop branches alike. It reads and writes the checkpoints of
    the library timm.

    It has the arguments of `ViTFigure`, and:

    Args:
        layer_scale: First value of the factors of each branch.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually normalized by the mean and
            deviation of ImageNet. `fit`, `evaluate` and `predict` also take pictures;
            see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `tokens` `(B, N + 1, D)`
        and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = DeiT3(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> model.predict(np.zeros((5, 8, 8, 3)), verbose=0).shape
    (5, 3)
    """

    # Table 1. With 1000 classes.
    presets_table = presets_of(
        "deit3_{}",
        (
            ("small", 224, 22_059_496),
            ("medium", 224, 38_849_512),
            ("base", 224, 86_585_320),
            ("large", 224, 304_374_760),
            ("huge", 224, 632_126_440),
        ),
    )
    families = (TIMM_DEIT3_FAMILY,)

    def __init__(self, *, layer_scale=1e-4, **options):
        figure = self.figure(**options)
        x = figure.positions(figure.patches())  # (B, N, D)
        x = ClassToken(name="class_token")(x)  # (B, N + 1, D)
        x = figure.encode(x, drops_alike=True, layer_scale=layer_scale)
        x = figure.norm(x)  # (B, N + 1, D)
        outputs = figure.answer({"tokens": x, "pooled": x[:, 0]})
        super().__init__(figure, outputs)
