"""ConvNeXt: a convolutional network made as a Swin Transformer is (Liu et al. 2022).

arXiv:2201.03545; version 2: Woo et al. 2023, arXiv:2301.00808. Their codes:
github.com/facebookresearch/ConvNeXt and ConvNeXt-V2.

Letters: B images, D channels.
"""

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.convnext import CONVNEXT_FAMILY
from keras_attention.checkpoints.families.convnext import CONVNEXT_V2_FAMILY
from keras_attention.checkpoints.families.convnext import SIZES
from keras_attention.checkpoints.families.convnext import TIMM_CONVNEXT_FAMILY
from keras_attention.checks import check_stages
from keras_attention.images.image_processor import IMAGENET
from keras_attention.layers.convolution.convnext_block import ConvNeXtBlock
from keras_attention.layers.convolution.convnext_block import EPSILON
from keras_attention.layers.drop_path import drop_path_rates
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.tasks.image_heads import EncodedImage
from keras_attention.tasks.image_inputs import ImageInputs


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
class ConvNeXt(ImageInputs, Application):
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

    Args:
        image_processor: What makes inputs of pictures, an `ImageProcessor`; by default
            they are stretched, and normalized by the mean and deviation of ImageNet.
        image_size: Height and width in pixels, one integer or two. Where patches do not
            fill it, what is left at the bottom and at the right is not read.
        num_channels: Number of channels.
        patch_size: Height and width of a patch in pixels, one integer or two.
        hidden_dims: D of each stage.
        num_layers: Number of blocks of each stage.
        activation: Activation of the blocks; see `FeedForward`.
        epsilon: Small number in the square root of the last norm. That of the others is
            1e-6.
        layer_scale: First value of learned factors of each branch; `None` has none.
        use_response_norm: Whether blocks have a `GlobalResponseNorm`.
        drop_path: Fraction of images whose branches are dropped in the last block; in
            the blocks before it falls linearly to 0.
        num_classes: Number of classes; `None` for a model without a head.
        class_names: Their names.
        seed: Integer, for reproducible drops.
        name: Name of the model.

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
    assets = ("image_processor",)

    def __init__(
        self,
        *,
        image_processor=None,
        image_size=224,
        num_channels=3,
        patch_size=4,
        hidden_dims=(96, 192, 384, 768),
        num_layers=(3, 3, 9, 3),
        activation="gelu",
        epsilon=1e-6,
        layer_scale=1e-6,
        use_response_norm=False,
        drop_path=0.0,
        num_classes=1000,
        class_names=None,
        seed=None,
        name=None,
    ):
        check_stages(hidden_dims=hidden_dims, num_layers=num_layers)
        if num_classes is not None:
            self.task.count_classes(num_classes, class_names)
        sides = image_sides(image_size)
        rates = drop_path_rates(drop_path, num_layers)

        def norm(name, epsilon=EPSILON):
            return keras.layers.LayerNormalization(epsilon=epsilon, name=name)

        def convolution(width, size, name):
            return keras.layers.Conv2D(
                width, size, size, data_format="channels_last", name=name
            )

        images = keras.Input((*sides, num_channels), name="images")
        x = convolution(hidden_dims[0], patch_size, "stem")(images)
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
                    seed=seed,
                    name=f"stage_{stage}_block_{number}",
                )
                x = block(x)  # (B, rows, columns, D)
        pooled = norm("norm", epsilon)(ops.mean(x, axis=(1, 2)))  # (B, D)
        if num_classes is None:
            outputs = {"features": x, "pooled": pooled}
        else:
            outputs = self.task.attach(EncodedImage(pooled, num_classes))
        super().__init__(images, outputs, name=name)
        self.set_image_processor(image_processor, sides, **IMAGENET)
