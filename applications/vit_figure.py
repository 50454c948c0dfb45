"""What ViT and its kin draw alike: patches become tokens, which read each other.

Letters: B images, N patches, T tokens, D width of a token.
"""

import dataclasses

import keras
from keras import ops

from keras_attention.applications.image_figure import ImageFigure
from keras_attention.applications.image_figure import ImageModel
from keras_attention.checks import check_rate
from keras_attention.images.grids import grid_of
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock


@dataclasses.dataclass(kw_only=True)
class ViTFigure(ImageFigure):
    """The arguments that ViT and its kin have, and the parts of their figures.

    Dosovitskiy et al. 2021, arXiv:2010.11929, Figure 1. It has the arguments of
    `ImageFigure`, and:

    Args:
        patch_size: Height and width of a patch in pixels, one integer or two.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        use_attention_bias: Whether the projections to query, key and value have biases.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> figure = ViTFigure(
    ...     image_size=(8, 12), patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16,
    ... )
    >>> figure.encode(figure.positions(figure.patches())).shape
    (None, 6, 8)
    """

    patch_size: int | tuple = 16
    hidden_dim: int = 768
    num_layers: int = 12
    num_heads: int = 12
    mlp_dim: int = 3072
    activation: str = "gelu"
    epsilon: float = 1e-6
    dropout: float = 0.0
    attention_dropout: float = 0.0
    use_attention_bias: bool = True

    def __post_init__(self):
        check_rate(dropout=self.dropout)
        super().__post_init__()

    def patches(self, features=None):
        """The patches of the images, or of a grid of features.

        Args:
            features: `(B, height, width, channels)`, in place of the images.

        Returns:
            `(B, N, D)`.
        """
        layer = PatchEmbedding(self.hidden_dim, self.patch_size, name="patch_embedding")
        return layer(self.images if features is None else features)

    def grid_of(self, patches):
        """Patches of the images as a grid.

        Args:
            patches: `(B, N, D)`.

        Returns:
            `(B, rows, columns, D)`.
        """
        grid = grid_of({"image_size": self.sides, "patch_size": self.patch_size})
        return ops.reshape(patches, (-1, *grid, patches.shape[-1]))

    def positions(self, x):
        """Tells each of some tokens its position.

        Args:
            x: `(B, T, D)`.

        Returns:
            `(B, T, D)`.
        """
        return PositionalEmbedding(x.shape[1], name="position_embedding")(x)

    def encode(self, x, drops_alike=False, position_bias=None, **options):
        """Lets the tokens read each other. The layer becomes `encoder`.

        Args:
            x: `(B, T, D)`.
            drops_alike: Whether all blocks drop as many branches as the last one.
            position_bias: A layer that gives all blocks one bias.
            **options: What a `TransformerEncoderBlock` has besides.

        Returns:
            `(B, T, D)`, without the last norm.
        """
        if "attention" not in options:
            options["attention_dropout"] = self.attention_dropout
            options["use_attention_bias"] = self.use_attention_bias
        block = TransformerEncoderBlock(
            self.num_heads,
            self.mlp_dim,
            activation=self.activation,
            dropout=self.dropout,
            drop_path=self.drop_path if drops_alike else 0.0,
            epsilon=self.epsilon,
            seed=self.seed,
            **options,
        )
        self.encoder = TransformerEncoder(
            block,
            self.num_layers,
            drop_path=None if drops_alike else self.drop_path,
            final_norm=False,
            position_bias=position_bias,
            name="encoder",
        )
        x = keras.layers.Dropout(self.dropout, seed=self.seed, name="dropout")(x)
        return self.encoder(x)

    def norm(self, x, name="norm"):
        """Normalizes each token.

        Args:
            x: `(B, T, D)`, or `(B, D)`.
            name: Name of the layer.

        Returns:
            The same shape.
        """
        return keras.layers.LayerNormalization(epsilon=self.epsilon, name=name)(x)


class VisionTransformer(ImageModel, abstract=True):
    """A model that reads pictures as sequences of patches.

    Abstract; see `ViTFigure`.
    """

    figure = ViTFigure

    def __init__(self, figure, outputs):
        super().__init__(figure, outputs)
        self.encoder = figure.encoder


def preset_of(width, num_layers, num_heads, parameters, **arguments):
    """A preset whose feed-forward networks are four times as wide as a token.

    Args:
        width: D.
        num_layers: Number of blocks.
        num_heads: Number of heads.
        parameters: Number of parameters.
        **arguments: Others of the model.

    Returns:
        An entry of a `presets_table`.
    """
    return {
        "description": f"{num_layers} blocks of width {width}.",
        "parameters": parameters,
        "hidden_dim": width,
        "num_layers": num_layers,
        "num_heads": num_heads,
        "mlp_dim": 4 * width,
        **arguments,
    }
