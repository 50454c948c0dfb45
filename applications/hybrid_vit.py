"""Hybrid ViT: a Transformer that reads the features of a convolutional network.

Dosovitskiy et al. 2021, arXiv:2010.11929, Section 3.1, "Hybrid Architecture"; Steiner
et al. 2021, arXiv:2106.10270. Their code: github.com/google-research/
vision_transformer.

Letters: B images, N patches, D width of a token.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.hybrid_vit import feature_size
from keras_attention.checkpoints.families.hybrid_vit import NAMES
from keras_attention.checkpoints.families.hybrid_vit import TIMM_HYBRID_FAMILY
from keras_attention.checks import check_rate
from keras_attention.images.grids import grid_of
from keras_attention.layers.class_token import ClassToken
from keras_attention.layers.convolution.bit_block import BiTBlock
from keras_attention.layers.convolution.bit_block import GroupedConvolution
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.image_heads import EncodedImage
from keras_attention.tasks.image_inputs import ImageInputs

# Channels behind the first convolution and of each stage: Kolesnikov et al. 2020.
STEM_DIM = 64
STAGE_DIMS = (256, 512, 1024, 2048)


@keras.saving.register_keras_serializable("keras_attention")
class HybridViT(ImageInputs, Application):
    """Classifies an image: convolutions make features, whose places are the patches.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Section 3.1; R50+B/16:

        x = max pool(relu(norm(conv 7x7)))           (B, height / 4, width / 4, 64)
        x = 3, 4 and 9 blocks of `BiTBlock`          (B, height / 16, width / 16, 1024)
        x = class token, patches of 1 x 1 W + b      (B, N + 1, D)
        x = 12 times: self-attention, feed-forward network
        logits = norm(x)[0] W + b                    (B, num_classes)

    It reads and writes the checkpoints of the library timm.

    Args:
        image_processor: What makes inputs of pictures, an `ImageProcessor`; see `ViT`.
        image_size: Height and width in pixels, one integer or two.
        patch_size: Height and width of a patch in places of the features, one integer
            or two.
        num_channels: Number of channels.
        stem_layers: Number of blocks of each stage in front, at most four stages.
            Without any the first convolution is all.
        hidden_dim: D.
        num_layers: Number of blocks of the Transformer.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        drop_path: Fraction of images whose branches are dropped in the last block; in
            the blocks before it falls linearly to 0.
        use_attention_bias: Whether the projections to query, key and value have biases.
        num_classes: Number of classes; `None` for a model without a head.
        class_names: Their names.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

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
            "description": f"{sum(NAMES[name]['stem_layers'])} blocks of convolutions, "
            f"{NAMES[name]['depth']} of width {NAMES[name]['embed_dim']}.",
            "parameters": parameters,
            "patch_size": NAMES[name]["patch_size"],
            "stem_layers": NAMES[name]["stem_layers"],
            "hidden_dim": NAMES[name]["embed_dim"],
            "num_layers": NAMES[name]["depth"],
            "num_heads": NAMES[name]["num_heads"],
            "mlp_dim": 4 * NAMES[name]["embed_dim"],
        }
        for name, parameters in (
            ("vit_tiny_r_s16_p8_224", 6_337_704),
            ("vit_small_r26_s32_224", 36_431_912),
            ("vit_base_r26_s32_224", 101_383_976),
            ("vit_base_r50_s16_224", 98_659_112),
            ("vit_large_r50_s32_224", 328_994_856),
        )
    }
    families = (TIMM_HYBRID_FAMILY,)
    assets = ("image_processor",)

    def __init__(
        self,
        *,
        image_processor=None,
        image_size=224,
        patch_size=1,
        num_channels=3,
        stem_layers=(3, 4, 9),
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        activation="gelu",
        epsilon=1e-6,
        dropout=0.0,
        attention_dropout=0.0,
        drop_path=0.0,
        use_attention_bias=True,
        num_classes=1000,
        class_names=None,
        seed=None,
        name=None,
    ):
        check_rate(dropout=dropout, drop_path=drop_path)
        if num_classes is not None:
            self.task.count_classes(num_classes, class_names)
        if len(stem_layers) > len(STAGE_DIMS):
            raise ValueError(
                f"There are at most {len(STAGE_DIMS)} stages in front. Received: "
                f"stem_layers={stem_layers}"
            )
        sides = image_sides(image_size)
        features = feature_size(sides, stem_layers)
        rows, columns = grid_of({"image_size": features, "patch_size": patch_size})
        patches = PatchEmbedding(hidden_dim, patch_size, name="patch_embedding")
        positions = PositionalEmbedding(rows * columns + 1, name="position_embedding")
        class_token = ClassToken(name="class_token")
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            epsilon=epsilon,
            use_attention_bias=use_attention_bias,
            seed=seed,
        )
        encoder = TransformerEncoder(
            block, num_layers, drop_path=drop_path, final_norm=False, name="encoder"
        )
        norm = keras.layers.LayerNormalization(epsilon=epsilon, name="norm")

        images = keras.Input((*sides, num_channels), name="images")
        x = GroupedConvolution(STEM_DIM, 7, 2, name="stem")(images)
        x = keras.layers.MaxPooling2D(
            3, 2, padding="same", data_format="channels_last", name="stem_pooling"
        )(x)  # (B, height / 4, width / 4, 64)
        for stage, count in enumerate(stem_layers):
            for number in range(count):
                strides = 2 if stage > 0 and number == 0 else 1
                name_of_block = f"stem_stage_{stage}_block_{number}"
                x = BiTBlock(STAGE_DIMS[stage], strides, name=name_of_block)(x)
        x = class_token(patches(x))  # (B, N + 1, D)
        x = positions(x)
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        x = norm(encoder(x))  # (B, N + 1, D)
        if num_classes is None:
            outputs = {"tokens": x, "pooled": x[:, 0]}
        else:
            outputs = self.task.attach(EncodedImage(x[:, 0], num_classes))
        super().__init__(images, outputs, name=name)

        self.encoder = encoder
        self.set_image_processor(image_processor, sides)
