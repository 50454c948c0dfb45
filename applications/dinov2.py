"""DINOv2: a ViT that learned from pictures without labels (Oquab et al. 2024).

arXiv:2304.07193; with registers: Darcet et al. 2024, arXiv:2309.16588. Their code:
github.com/facebookresearch/dinov2.

Letters: B images, N patches, R registers, D width of a token.
"""

import keras
from keras import ops

from keras_attention.applications.vit_figure import preset_of
from keras_attention.applications.vit_figure import VisionTransformer
from keras_attention.checkpoints.families.dinov2 import DINOV2_FAMILY
from keras_attention.checkpoints.families.dinov2 import DINOV2_WITH_REGISTERS_FAMILY
from keras_attention.checkpoints.families.dinov2 import GATED
from keras_attention.images.image_processor import IMAGENET
from keras_attention.layers.class_token import ClassToken

# The giant's feed-forward networks are gated, and less wide for it.
WIDE = {"activation": GATED, "mlp_dim": 4096}


@keras.saving.register_keras_serializable("keras_attention")
class DINOv2(VisionTransformer):
    """Describes images, as a whole and patch by patch, so well that a line classifies.

    Oquab et al. 2024, arXiv:2304.07193; Darcet et al. 2024, arXiv:2309.16588, Figure 6:

        x = class token, patches W + b                              (B, N + 1, D)
        x = class token, registers, patches of (x + positions)      (B, 1 + R + N, D)
        x = x + scale self_attention(norm(x))                       12 times
        x = x + scale feed_forward(norm(x))
        x = norm(x)
        logits = concatenate(x[0], mean(patches of x)) W + b        (B, num_classes)

    Registers have no positions, and nobody asks them for an answer. It reads and writes
    the checkpoints of the library transformers; their mask token, which only their
    pretraining uses, is written as zeros. For images of another size its positions are
    stretched:

        model = DINOv2.from_preset("hf://facebook/dinov2-small", image_size=224)
        x = model.predict(["cat.jpg", "dog.jpg"])
        x["pooled"], x["tokens"][:, 1:]          # (2, 384), (2, 256, 384)

    It has the arguments of `ViTFigure`, and:

    Args:
        layer_scale: First value of the factors of each branch.
        num_registers: Number R of registers.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually normalized by the mean and
            deviation of ImageNet. `fit`, `evaluate` and `predict` also take pictures;
            see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes, as by default, a dict with `tokens`
        `(B, 1 + R + N, D)` and `pooled` `(B, D)`, the class token.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = DINOv2(
    ...     image_size=(28, 42), hidden_dim=8, num_layers=2, num_heads=2, mlp_dim=16,
    ...     num_registers=4,
    ... )
    >>> x = model.predict(np.zeros((5, 28, 42, 3)), verbose=0)
    >>> x["tokens"].shape, x["pooled"].shape
    ((5, 11, 8), (5, 8))
    """

    # Table 17. Without classes, and without the token of hidden patches.
    presets_table = {
        f"dinov2_{registers}{size}": preset_of(
            *numbers, parameters + num_registers * numbers[0], **options, **more
        )
        for registers, num_registers, more in (
            ("", 0, {}),
            ("with_registers_", 4, {"num_registers": 4}),
        )
        for size, parameters, *numbers, options in (
            ("small", 22_056_192, 384, 12, 6, {}),
            ("base", 86_579_712, 768, 12, 12, {}),
            ("large", 304_367_616, 1024, 24, 16, {}),
            ("giant", 1_136_479_232, 1536, 40, 24, WIDE),
        )
    }
    families = (DINOV2_FAMILY, DINOV2_WITH_REGISTERS_FAMILY)
    defaults = {"image_size": 518, "patch_size": 14, "num_classes": None}
    normalization = IMAGENET

    def __init__(self, *, layer_scale=1.0, num_registers=0, **options):
        figure = self.figure(**options)
        x = ClassToken(name="class_token")(figure.patches())  # (B, N + 1, D)
        x = figure.positions(x)
        if num_registers:
            x = ClassToken(num_registers, behind=1, name="registers")(x)
        x = figure.encode(x, drops_alike=True, layer_scale=layer_scale)
        x = figure.norm(x)  # (B, 1 + R + N, D)
        pooled = x[:, 0]  # (B, D)
        if figure.num_classes is not None:
            patches = ops.mean(x[:, 1 + num_registers :], axis=1)
            pooled = ops.concatenate([pooled, patches], axis=-1)  # (B, 2 D)
        outputs = figure.answer({"tokens": x, "pooled": pooled})
        super().__init__(figure, outputs)
