"""BEiT: a ViT that learned to guess the hidden parts of images (Bao et al. 2022).

arXiv:2106.08254. Its code: github.com/microsoft/unilm, folder beit.

Letters: B images, N patches, D width of a token.
"""

import keras
from keras import ops

from keras_attention.applications.vit_figure import preset_of
from keras_attention.applications.vit_figure import VisionTransformer
from keras_attention.checkpoints.families.beit import BEIT_FAMILY
from keras_attention.checkpoints.families.beit import POSITION_BIAS
from keras_attention.checks import check_choice
from keras_attention.images.grids import grid_of
from keras_attention.layers.base import key_dim_of
from keras_attention.layers.class_token import ClassToken
from keras_attention.layers.multi_head_self_attention import MultiHeadSelfAttention
from keras_attention.layers.relative_position_bias import RelativePositionBias2D


@keras.saving.register_keras_serializable("keras_attention")
class BEiT(VisionTransformer):
    """Classifies an image: a ViT whose patches know their distances, not their places.

    Bao et al. 2022, arXiv:2106.08254, Section 2.2 and Appendix A:

        x = class token, patches W + b                              (B, N + 1, D)
        x = x + scale self_attention(norm(x), biases of distances)  12 times
        x = x + scale feed_forward(norm(x))
        logits = norm(mean(patches of x)) W + b                     (B, num_classes)

    Keys have no bias. It reads and writes the checkpoints of the library transformers.
    Of one that was pretrained alone, the body is read into a model with new classes:

        model = BEiT.from_preset(
            "hf://microsoft/beit-base-patch16-224-pt22k", num_classes=10
        )

    For images of another size the biases are stretched, linearly as its code does it.

    It has the arguments of `ViTFigure`, and:

    Args:
        position_bias: Where a bias for each head and each distance is added to the
            scores: `"block"`, in each block its own; `"shared"`, one for all blocks, as
            in pretraining; or `None`.
        use_absolute_positions: Whether tokens are told their position, too.
        layer_scale: First value of learned factors of each branch; `None` has none.
        pooling: What is classified: `"average"`, the mean of the patches, with the norm
            behind it; or `"token"`, the class token, with the norm before.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually with values from -1 to 1.
            `fit`, `evaluate` and `predict` also take pictures; see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `tokens` `(B, N + 1, D)`
        and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = BEiT(
    ...     image_size=(8, 12), patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> model.predict(np.zeros((5, 8, 12, 3)), verbose=0).shape
    (5, 3)
    """

    # Appendix, Table 7. With 1000 classes.
    presets_table = {
        f"beit_{size}_patch16_{side}": preset_of(
            *numbers, image_size=side, layer_scale=layer_scale
        )
        for size, side, layer_scale, *numbers in (
            ("base", 224, 0.1, 768, 12, 12, 86_530_984),
            ("base", 384, 0.1, 768, 12, 12, 86_744_104),
            ("large", 224, 1e-5, 1024, 24, 16, 304_430_568),
            ("large", 384, 1e-5, 1024, 24, 16, 304_998_888),
        )
    }
    families = (BEIT_FAMILY,)
    normalization = {}  # levels from -1 to 1

    def __init__(
        self,
        *,
        position_bias="block",
        use_absolute_positions=False,
        layer_scale=0.1,
        pooling="average",
        **options,
    ):
        check_choice((None, *POSITION_BIAS), position_bias=position_bias)
        check_choice(("average", "token"), pooling=pooling)
        figure = self.figure(**options)
        grid = {"image_size": figure.sides, "patch_size": figure.patch_size}

        def biases():
            return RelativePositionBias2D(
                figure.num_heads,
                *grid_of(grid),
                initializer="zeros",
                has_class_token=True,
                name="position_bias",
            )

        attention = MultiHeadSelfAttention(
            figure.num_heads,
            key_dim_of(figure.hidden_dim, figure.num_heads, None, "self_attention"),
            use_bias=figure.use_attention_bias,
            use_output_bias=True,
            use_key_bias=False,
            dropout=figure.attention_dropout,
            position_scores=biases() if position_bias == "block" else None,
            seed=figure.seed,
            name="self_attention",
        )
        x = ClassToken(name="class_token")(figure.patches())  # (B, N + 1, D)
        x = figure.positions(x) if use_absolute_positions else x
        x = figure.encode(
            x,
            position_bias=biases() if position_bias == "shared" else None,
            attention=attention,
            layer_scale=layer_scale,
        )
        if pooling == "average":
            pooled = figure.norm(ops.mean(x[:, 1:], axis=1))  # (B, D)
        else:
            x = figure.norm(x)
            pooled = x[:, 0]  # (B, D)
        outputs = figure.answer({"tokens": x, "pooled": pooled})
        super().__init__(figure, outputs)
