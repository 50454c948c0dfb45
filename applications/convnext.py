"""ConvNeXt: a convolutional network made as a Swin Transformer is (Liu et al. 2022).

arXiv:2201.03545; version 2: Woo et al. 2023, arXiv:2301.00808. Their codes:
github.com/facebookresearch/ConvNeXt and ConvNeXt-V2.

Letters: B images, D channels.
"""

import keras
from keras import ops

from keras_attention.applications.image_figure import ImageModel
from keras_attention.checkpoints.families.convnext import CONVNEXT_FAMILY
from keras_attention.checkpoints.families.convnext import CONVNEXT_V2_FAMILY
from keras_attention.checkpoints.families.convnext import SIZES
from keras_attention.checkpoints.families.convnext import TIMM_CONVNEXT_FAMILY
from keras_attention.checks import check_stages
from keras_attention.layers.convolution.convnext_block import ConvNeXtBlock
from keras_attention.layers.convolution.convnext_block import EPSILON


def presets_of(prefix, table, **arguments):
    """Presets by size.

    Args:
        prefix: What their names begin with.
        table: Dict from a size to the number of parameters.
        **arguments: Others of the model.

    Returns:
        Dict.
    """
    return {
        f"{prefix}_{size}": {
            "description": f"{sum(SIZES[size][1])} blocks, {SIZES[size][0][0]} to "
            f"{SIZES[size][0][-1]} channels.",
            "parameters": parameters,
            "hidden_dims": SIZES[size][0],
            "num_layers": SIZES[size][1],
            **arguments,
        }
        for size, parameters in table.items()
    }


@keras.saving.register_keras_serializable("keras_attention")
class ConvNeXt(ImageModel):
    """Classifies an image by convolutions of 7 x 7, in the shape of a Transformer.

    Liu et al. 2022, arXiv:2201.03545, Figure 4 and Table 9:

        x = norm(patches W + b)                 (B, height / 4, width / 4, 96)
        x = 3 blocks                            (B, height / 4, width / 4, 96)
        x = 3 blocks(conv 2x2(norm(x)))         (B, height / 8, width / 8, 192)
        x = 9 blocks(conv 2x2(norm(x)))         (B, height / 16, width / 16, 384)
        x = 3 blocks(conv 2x2(norm(x)))         (B, height / 32, width / 32, 768)
        logits = norm(mean(x)) W + b            (B, num_classes)

    Version 2 has a `GlobalResponseNorm` in its blocks, and no learned factors of
    branches: `use_response_norm=True, layer_scale=None`. The second block of the third
    stage is the layer `stage_2_block_1`. It reads the checkpoints of the libraries
    transformers and timm, and writes them.

    Where patches do not fill an image, what is left at the bottom and at the right is
    not read. It has the arguments of `ImageFigure`, and:

    Args:
        patch_size: Height and width of a patch in pixels, one integer or two.
        hidden_dims: D of each stage.
        num_layers: Number of blocks of each stage.
        activation: Activation of the blocks; see `FeedForward`.
        epsilon: Small number in the square root of the last norm. That of the others is
            1e-6.
        layer_scale: First value of learned factors of each branch; `None` has none.
        use_response_norm: Whether blocks have a `GlobalResponseNorm`.

    Call arguments:
        images: `(B, height, width, num_channels)`. `fit`, `evaluate` and `predict` also
            take pictures; see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `features` `(B, rows,
        columns, D)`, and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = ConvNeXt(
    ...     image_size=(33, 40), hidden_dims=(8, 12), num_layers=(1, 2), num_classes=3
    ... )
    >>> model.predict(np.zeros((5, 33, 40, 3)), verbose=0).shape
    (5, 3)
    >>> model.get_layer("stage_1_block_1").output.shape
    (None, 4, 5, 12)
    """

    # Table 9; Woo et al. 2023, Table 10. With 1000 classes.
    presets_table = {
        **presets_of(
            "convnext",
            {
                "tiny": 28_589_128,
                "small": 50_223_688,
                "base": 88_591_464,
                "large": 197_767_336,
                "xlarge": 350_196_968,
            },
        ),
        **presets_of(
            "convnextv2",
            {
                "atto": 3_708_400,
                "femto": 5_233_240,
                "pico": 9_066_280,
                "nano": 15_623_800,
                "tiny": 28_635_496,
                "base": 88_717_800,
                "large": 197_956_840,
                "huge": 660_289_640,
            },
            use_response_norm=True,
            layer_scale=None,
        ),
    }
    families = (CONVNEXT_FAMILY, CONVNEXT_V2_FAMILY, TIMM_CONVNEXT_FAMILY)

    def __init__(
        self,
        *,
        patch_size=4,
        hidden_dims=(96, 192, 384, 768),
        num_layers=(3, 3, 9, 3),
        activation="gelu",
        epsilon=1e-6,
        layer_scale=1e-6,
        use_response_norm=False,
        **options,
    ):
        check_stages(hidden_dims=hidden_dims, num_layers=num_layers)
        figure = self.figure(**options)
        rates = figure.drop_path_rates(num_layers)

        def norm(name, epsilon=EPSILON):
            return keras.layers.LayerNormalization(epsilon=epsilon, name=name)

        def convolution(width, size, name):
            return keras.layers.Conv2D(
                width, size, size, data_format="channels_last", name=name
            )

        x = convolution(hidden_dims[0], patch_size, "stem")(figure.images)
        x = norm("stem_norm")(x)  # (B, height / 4, width / 4, 96)
        for stage, width in enumerate(hidden_dims):
            if stage > 0:  # half the size
                x = norm(f"stage_{stage}_norm")(x)
                x = convolution(width, 2, f"stage_{stage}_halving")(x)
            for number in range(num_layers[stage]):
                block = ConvNeXtBlock(
                    activation=activation,
                    layer_scale=layer_scale,
                    use_response_norm=use_response_norm,
                    drop_path=rates[stage][number],
                    seed=figure.seed,
                    name=f"stage_{stage}_block_{number}",
                )
                x = block(x)  # (B, rows, columns, D)
        pooled = norm("norm", epsilon)(ops.mean(x, axis=(1, 2)))  # (B, D)
        outputs = figure.answer({"features": x, "pooled": pooled})
        super().__init__(figure, outputs)
