"""Swin: a Transformer whose patches read their window, in four stages.

Liu et al. 2021, arXiv:2103.14030; version 2: Liu et al. 2022, arXiv:2111.09883. Their
code: github.com/microsoft/Swin-Transformer.

Letters: B images, R and C rows and columns of patches, D width of a patch.
"""

import keras
from keras import ops

from keras_attention.applications.image_figure import ImageModel
from keras_attention.checkpoints.families.swin import cell_of
from keras_attention.checkpoints.families.swin import FIRST
from keras_attention.checkpoints.families.swin import padded_size
from keras_attention.checkpoints.families.swin import SECOND
from keras_attention.checkpoints.families.swin import SIZES
from keras_attention.checkpoints.families.swin import SWIN_FAMILY
from keras_attention.checkpoints.families.swin import SWIN_V2_FAMILY
from keras_attention.checkpoints.families.swin import TIMM_SWIN_FAMILY
from keras_attention.checkpoints.families.swin import TIMM_SWIN_V2_FAMILY
from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.checks import check_stages
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.patch_merging import EPSILON
from keras_attention.layers.patch_merging import PatchMerging
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.layers.window_attention import WindowAttention


def presets_of(version, table, parameters):
    """Presets by size of model, of windows and of images.

    Args:
        version: 1 or 2.
        table: Rows of the three.
        parameters: Their numbers of parameters.

    Returns:
        Dict.
    """
    prefix = {1: "swin_{}_patch4_window{}_{}", 2: "swinv2_{}_patch4_window{}_{}"}
    return {
        prefix[version].format(size, window, side): {
            "description": f"{sum(SIZES[size][1])} blocks, windows of {window}.",
            "parameters": number,
            "image_size": side,
            "hidden_dim": width,
            "num_layers": layers,
            "num_heads": heads,
            "mlp_dim": 4 * width,
            "window_size": window,
            "version": version,
        }
        for (size, window, side), number in zip(table, parameters, strict=True)
        for width, layers, heads in (SIZES[size],)
    }


@keras.saving.register_keras_serializable("keras_attention")
class Swin(ImageModel):
    """Classifies an image: patches read their window, and windows are shifted.

    Liu et al. 2021, arXiv:2103.14030, Figure 3:

        x = norm(patches W + b)              (B, height / 4, width / 4, 96)
        x = 2 blocks                         (B, height / 4, width / 4, 96)
        x = 2 blocks(merged x)               (B, height / 8, width / 8, 192)
        x = 6 blocks(merged x)               (B, height / 16, width / 16, 384)
        x = 2 blocks(merged x)               (B, height / 32, width / 32, 768)
        logits = mean(norm(x)) W + b         (B, num_classes)

    Every second block has shifted windows. Images may have any size: what patches,
    windows and mergings do not fill is padded with zeros; see `WindowAttention`. The
    second block of the third stage is the layer `stage_2_block_1`. It reads the
    checkpoints of the libraries transformers and timm, and writes those of
    transformers. (Of grids that windows do not fill timm pads shifted ones elsewhere.)

    It has the arguments of `ImageFigure`, and:

    Args:
        head: `"classification"`, or `"masked_image_model"`; see `ViT`.
        patch_size: Height and width of a patch in pixels, one integer or two.
        hidden_dim: D of the first stage. Each further one has twice that before.
        num_layers: Number of blocks of each stage.
        num_heads: Number of heads of each stage.
        mlp_dim: Width of the feed-forward networks of the first stage, which doubles,
            too.
        window_size: Rows and columns of a window.
        version: 1, or 2: norms at the end of branches, cosines of queries and keys, and
            a network of distances (Liu et al. 2022).
        pretrained_window_sizes: For version 2, the size of windows of each stage for
            which the networks of distances were trained. Defaults to those here.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        use_attention_bias: Whether the projections to query, key and value have biases,
            in version 2 those to query and value.
        use_absolute_positions: Whether patches are told their position, too.

    Call arguments:
        images: `(B, height, width, num_channels)`. `fit`, `evaluate` and `predict` also
            take pictures; see `ImageInputs`. With `head="masked_image_model"` as `ViT`
            does.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `features` `(B, R, C,
        D)`, and `pooled` `(B, D)`. With `head="masked_image_model"` the images.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> model = Swin(
    ...     image_size=(33, 40), hidden_dim=8, num_layers=(1, 2), num_heads=(1, 2),
    ...     mlp_dim=16, window_size=3, num_classes=3,
    ... )
    >>> model.predict(np.zeros((5, 33, 40, 3)), verbose=0).shape
    (5, 3)
    >>> model.get_layer("stage_1_block_1").output.shape
    (None, 5, 5, 16)
    """

    # Table 7; Liu et al. 2022, Section 3.5. With 1000 classes.
    presets_table = {
        **presets_of(
            1,
            FIRST,
            (
                *(28_288_354, 49_606_258, 87_768_224, 87_903_584),
                *(196_532_476, 196_735_516),
            ),
        ),
        **presets_of(
            2,
            SECOND,
            (
                *(28_347_154, 28_347_154, 49_728_418, 49_728_418),
                *(87_918_816, 87_918_816),
            ),
        ),
    }
    families = (SWIN_FAMILY, SWIN_V2_FAMILY, TIMM_SWIN_FAMILY, TIMM_SWIN_V2_FAMILY)

    def __init__(
        self,
        *,
        head="classification",
        patch_size=4,
        hidden_dim=96,
        num_layers=(2, 2, 6, 2),
        num_heads=(3, 6, 12, 24),
        mlp_dim=384,
        window_size=7,
        version=1,
        pretrained_window_sizes=None,
        activation="gelu",
        epsilon=1e-5,
        dropout=0.0,
        attention_dropout=0.0,
        use_attention_bias=True,
        use_absolute_positions=False,
        **options,
    ):
        check_choice((1, 2), version=version)
        check_rate(dropout=dropout)
        stages = {"num_layers": num_layers, "num_heads": num_heads}
        if pretrained_window_sizes is not None:
            stages["pretrained_window_sizes"] = pretrained_window_sizes
        if version == 1 and pretrained_window_sizes is not None:
            raise ValueError(
                "`pretrained_window_sizes` are for the networks of version 2. Received:"
                f" version=1, pretrained_window_sizes={pretrained_window_sizes}"
            )
        check_stages(**stages)
        figure = self.figure(**options)
        guesses_pixels = figure.guesses_pixels(head)
        sides, seed = figure.sides, figure.seed
        padded = padded_size(sides, patch_size)
        patches = PatchEmbedding(hidden_dim, patch_size, name="patch_embedding")
        rows, columns = (
            side // size
            for side, size in zip(padded, image_sides(patch_size), strict=True)
        )
        rates = figure.drop_path_rates(num_layers)

        x = figure.images
        if padded != sides:
            missing = [(0, p - s) for p, s in zip(padded, sides, strict=True)]
            x = keras.layers.ZeroPadding2D(
                missing, data_format="channels_last", name="padding"
            )(x)
        x = patches(x)  # (B, R C, D)
        x = keras.layers.LayerNormalization(epsilon=EPSILON, name="patch_norm")(x)
        x = figure.mask(x) if guesses_pixels else x
        if use_absolute_positions:
            x = PositionalEmbedding(rows * columns, name="position_embedding")(x)
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        x = ops.reshape(x, (-1, rows, columns, hidden_dim))
        for stage, count in enumerate(num_layers):
            if stage > 0:  # half the size, twice the width
                merging = PatchMerging(
                    norm_first=version == 1, name=f"stage_{stage - 1}_merging"
                )
                x = merging(x)
            for number in range(count):
                attention = WindowAttention(
                    num_heads[stage],
                    window_size,
                    shift=number % 2 * (window_size // 2),
                    use_bias=use_attention_bias,
                    use_cosine=version == 2,
                    pretrained_window_size=pretrained_window_sizes
                    and pretrained_window_sizes[stage],
                    dropout=attention_dropout,
                    seed=seed,
                    name="self_attention",
                )
                block = TransformerEncoderBlock(
                    num_heads[stage],
                    mlp_dim * 2**stage,
                    activation=activation,
                    dropout=dropout,
                    drop_path=rates[stage][number],
                    norm_order="pre" if version == 1 else "res_post",
                    epsilon=epsilon,
                    attention=attention,
                    seed=seed,
                    name=f"stage_{stage}_block_{number}",
                )
                x = block(x)  # (B, R, C, D)
        x = keras.layers.LayerNormalization(epsilon=epsilon, name="norm")(x)
        if guesses_pixels:
            outputs = figure.guess(x, cell_of(patch_size, len(num_layers)))
        else:
            pooled = ops.mean(x, axis=(1, 2))  # (B, D)
            outputs = figure.answer({"features": x, "pooled": pooled})
        super().__init__(figure, outputs)
