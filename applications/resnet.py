"""ResNet: convolutions whose blocks learn what to add (He et al. 2016).

arXiv:1512.03385. What Vision Transformers are measured against.

Letters: B images, D channels.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.applications.image_figure import ImageModel
from keras_attention.checkpoints.families.resnet import RESNET_FAMILY
from keras_attention.checkpoints.families.resnet import TIMM_RESNET_FAMILY
from keras_attention.checks import check_choice
from keras_attention.checks import check_stages
from keras_attention.layers.convolution.normed_convolution import NormedConvolution
from keras_attention.layers.convolution.normed_convolution import padded
from keras_attention.layers.convolution.resnet_block import KINDS
from keras_attention.layers.convolution.resnet_block import ResNetBlock


@keras.saving.register_keras_serializable("keras_attention")
class ResNet(ImageModel):
    """Classifies an image by convolutions in four stages, each of half the size.

    He et al. 2016, arXiv:1512.03385, Table 1:

        x = max pool(relu(norm(conv 7x7)))      (B, height / 4, width / 4, 64)
        x = 3 blocks                            (B, height / 4, width / 4, 256)
        x = 4 blocks                            (B, height / 8, width / 8, 512)
        x = 6 blocks                            (B, height / 16, width / 16, 1024)
        x = 3 blocks                            (B, height / 32, width / 32, 2048)
        logits = mean(x) W + b                  (B, num_classes)

    The second block of the third stage is the layer `stage_2_block_1`. It reads the
    checkpoints of the libraries transformers and timm, and writes those of
    transformers.

    It has the arguments of `ImageFigure`, and:

    Args:
        stem_dim: Channels behind the first convolution.
        hidden_dims: D of each stage.
        num_layers: Number of blocks of each stage.
        kind: What blocks are: `"bottleneck"`, or `"basic"` as in ResNet-18 and 34; see
            `ResNetBlock`.
        strides_first: Whether the first convolution of a bottleneck strides, as in the
            paper, not the second as in published models (version 1.5).
        strides_in_first_stage: Whether the first stage halves the size, too.
        activation: Activation of the stem and of each sum. Within blocks it is a ReLU.

    Call arguments:
        images: `(B, height, width, num_channels)`. `fit`, `evaluate` and `predict` also
            take pictures; see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `features` `(B, rows,
        columns, D)`, and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = ResNet(
    ...     image_size=(33, 40), stem_dim=4, hidden_dims=(8, 12), num_layers=(1, 2),
    ...     num_classes=3,
    ... )
    >>> model.predict(np.zeros((5, 33, 40, 3)), verbose=0).shape
    (5, 3)
    >>> model.get_layer("stage_1_block_1").output.shape
    (None, 5, 5, 12)
    """

    # Table 1. With 1000 classes.
    presets_table = {
        f"resnet_{number}": {
            "description": f"{number} layers, {kind} blocks.",
            "parameters": parameters,
            "hidden_dims": [width * factor for width in (64, 128, 256, 512)],
            "num_layers": layers,
            "kind": kind,
        }
        for number, kind, factor, layers, parameters in (
            (18, "basic", 1, [2, 2, 2, 2], 11_689_512),
            (34, "basic", 1, [3, 4, 6, 3], 21_797_672),
            (50, "bottleneck", 4, [3, 4, 6, 3], 25_557_032),
            (101, "bottleneck", 4, [3, 4, 23, 3], 44_549_160),
            (152, "bottleneck", 4, [3, 8, 36, 3], 60_192_808),
        )
    }
    families = (RESNET_FAMILY, TIMM_RESNET_FAMILY)
    defaults = {"image_size": None}  # files do not say it

    def __init__(
        self,
        *,
        stem_dim=64,
        hidden_dims=(256, 512, 1024, 2048),
        num_layers=(3, 4, 6, 3),
        kind="bottleneck",
        strides_first=False,
        strides_in_first_stage=False,
        activation="relu",
        **options,
    ):
        check_choice(KINDS, kind=kind)
        check_stages(hidden_dims=hidden_dims, num_layers=num_layers)
        figure = self.figure(**options)
        rates = figure.drop_path_rates(num_layers)

        stem = NormedConvolution(stem_dim, 7, 2, activation, name="stem")
        x = padded(stem(figure.images), 1, -np.inf)  # (B, height / 2, width / 2, 64)
        x = keras.layers.MaxPooling2D(
            3, 2, data_format="channels_last", name="max_pooling"
        )(x)
        for stage, (width, count) in enumerate(
            zip(hidden_dims, num_layers, strict=True)
        ):
            for number in range(count):
                strides_here = number == 0 and (stage > 0 or strides_in_first_stage)
                block = ResNetBlock(
                    width,
                    2 if strides_here else 1,
                    kind,
                    strides_first,
                    activation,
                    rates[stage][number],
                    figure.seed,
                    name=f"stage_{stage}_block_{number}",
                )
                x = block(x)  # (B, rows, columns, D)
        pooled = ops.mean(x, axis=(1, 2))  # (B, D)
        outputs = figure.answer({"features": x, "pooled": pooled})
        super().__init__(figure, outputs)
