"""Hybrid ViT: a Transformer that reads the features of a convolutional network.

Dosovitskiy et al. 2021, arXiv:2010.11929, Section 3.1, "Hybrid Architecture"; Steiner
et al. 2021, arXiv:2106.10270. Their code: github.com/google-research/
vision_transformer.

Letters: B images, N patches, D width of a token.
"""

import keras

from keras_attention.applications.vit_figure import preset_of
from keras_attention.applications.vit_figure import VisionTransformer
from keras_attention.checkpoints.families.hybrid_vit import HYBRID_FAMILY
from keras_attention.checkpoints.families.hybrid_vit import NAMES
from keras_attention.checkpoints.families.hybrid_vit import TIMM_HYBRID_FAMILY
from keras_attention.layers.class_token import ClassToken
from keras_attention.layers.convolution.bit_block import BiTBlock
from keras_attention.layers.convolution.bit_block import GroupedConvolution

# Channels behind the first convolution and of each stage: Kolesnikov et al. 2020.
STEM_DIM = 64
STAGE_DIMS = (256, 512, 1024, 2048)


@keras.saving.register_keras_serializable("keras_attention")
class HybridViT(VisionTransformer):
    """Classifies an image: convolutions make features, whose places are the patches.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Section 3.1; R50+B/16:

        x = max pool(relu(norm(conv 7x7)))           (B, height / 4, width / 4, 64)
        x = 3, 4 and 9 blocks of `BiTBlock`          (B, height / 16, width / 16, 1024)
        x = class token, patches of 1 x 1 W + b      (B, N + 1, D)
        x = 12 times: self-attention, feed-forward network
        logits = norm(x)[0] W + b                    (B, num_classes)

    It reads and writes the checkpoints of the library timm, and where timm has no such
    model those that transformers had up to version 4.

    It has the arguments of `ViTFigure`, where a patch is `patch_size` places of the
    features, 1 by default, and:

    Args:
        stem_layers: Number of blocks of each stage in front, at most four stages.
            Without any the first convolution is all.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually with values from -1 to 1.
            `fit`, `evaluate` and `predict` also take pictures; see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `tokens` `(B, N + 1, D)`
        and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range, or the features do not divide into
            patches.

    Example:

    >>> model = HybridViT(
    ...     image_size=(32, 40), stem_layers=(1,), hidden_dim=8, num_layers=2,
    ...     num_heads=2, mlp_dim=16, num_classes=3,
    ... )
    >>> model.predict(np.zeros((2, 32, 40, 3)), verbose=0).shape
    (2, 3)
    """

    # Dosovitskiy et al. 2021, Table 6; Steiner et al. 2021, Table 1. With 1000 classes.
    presets_table = {
        f"hybrid_{name}": {
            **preset_of(
                said["embed_dim"], said["depth"], said["num_heads"], parameters
            ),
            "description": f"{sum(said['stem_layers'])} blocks of convolutions, "
            f"{said['depth']} of width {said['embed_dim']}.",
            "patch_size": said["patch_size"],
            "stem_layers": said["stem_layers"],
        }
        for name, parameters in (
            ("vit_tiny_r_s16_p8_224", 6_337_704),
            ("vit_small_r26_s32_224", 36_431_912),
            ("vit_base_r26_s32_224", 101_383_976),
            ("vit_base_r50_s16_224", 98_659_112),
            ("vit_large_r50_s32_224", 328_994_856),
        )
        for said in (NAMES[name],)
    }
    families = (TIMM_HYBRID_FAMILY, HYBRID_FAMILY)
    defaults = {"patch_size": 1}
    normalization = {}  # levels from -1 to 1

    def __init__(self, *, stem_layers=(3, 4, 9), **options):
        if len(stem_layers) > len(STAGE_DIMS):
            raise ValueError(
                f"There are at most {len(STAGE_DIMS)} stages in front. Received: "
                f"stem_layers={stem_layers}"
            )
        figure = self.figure(**options)
        x = GroupedConvolution(STEM_DIM, 7, 2, name="stem")(figure.images)
        x = keras.layers.MaxPooling2D(
            3, 2, padding="same", data_format="channels_last", name="stem_pooling"
        )(x)  # (B, height / 4, width / 4, 64)
        for stage, count in enumerate(stem_layers):
            for number in range(count):
                strides = 2 if stage > 0 and number == 0 else 1
                name = f"stem_stage_{stage}_block_{number}"
                x = BiTBlock(STAGE_DIMS[stage], strides, name=name)(x)
        x = ClassToken(name="class_token")(figure.patches(x))  # (B, N + 1, D)
        x = figure.norm(figure.encode(figure.positions(x)))  # (B, N + 1, D)
        outputs = figure.answer({"tokens": x, "pooled": x[:, 0]})
        super().__init__(figure, outputs)
