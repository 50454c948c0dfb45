"""ViT: a Transformer's encoder that reads an image as a sequence of patches.

Dosovitskiy et al. 2021, arXiv:2010.11929. Its code: github.com/google-research/
vision_transformer.

Letters: B images, N patches, T tokens, D width of a token.
"""

import keras
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.timm_vit import TIMM_VIT_FAMILY
from keras_attention.checkpoints.families.vit import VIT_FAMILY
from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.images.grids import grid_of
from keras_attention.layers.attention_pooling import AttentionPooling
from keras_attention.layers.class_token import ClassToken
from keras_attention.layers.feed_forward import FeedForward
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.image_heads import EncodedImage
from keras_attention.tasks.image_inputs import ImageInputs

POOLINGS = ("token", "average", "attention")


@keras.saving.register_keras_serializable("keras_attention")
class ViT(ImageInputs, Application):
    """Classifies an image: its patches read each other, and a token reads them all.

    Dosovitskiy et al. 2021, Equations 1 to 4:

        x = class token, patches W + b                              (B, N + 1, D)
        x = x + positions                                           (B, N + 1, D)
        x = 12 times: self-attention, feed-forward network          (B, N + 1, D)
        logits = norm(x)[0] W + b                                   (B, num_classes)

    It reads the checkpoints of the libraries transformers and timm, and writes them,
    those of timm where transformers has no such model. It learns from files and
    pictures of any sizes:

        model = ViT.from_preset("hf://google/vit-base-patch16-224", num_classes=10)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
        model.fit(["cat.jpg", "dog.jpg", ...], labels)

    For images of another size its positions are stretched, Section 3.2:

        model = ViT.from_preset("hf://google/vit-base-patch16-224", image_size=384)

    Args:
        image_processor: What makes inputs of pictures, an `ImageProcessor`, loaded with
            a published checkpoint. By default pictures are stretched to `image_size`
            and their levels scaled to -1 to 1, as the paper's code does. One for
            another image size is fitted to this one.
        image_size: Height and width in pixels, one integer or two.
        patch_size: Height and width of a patch in pixels, one integer or two.
        num_channels: Number of channels.
        hidden_dim: D.
        num_layers: Number of blocks.
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
        query_key_norm: Normalizes queries and keys: `"layer_norm"` (Dehghani et al.
            2023, arXiv:2302.05442), or another of `MultiHeadSelfAttention`.
        layer_scale: First value of learned factors of each branch (Touvron et al. 2021,
            arXiv:2103.17239, Equation 4); `None` has none.
        use_class_token: Whether there is a token that reads the patches.
        num_registers: Number of other learned tokens, which nobody asks for an answer:
            without them patches of the background serve as memory (Darcet et al. 2024,
            arXiv:2309.16588).
        use_prefix_positions: Whether class token and registers have positions, too.
        pooling: What is classified: `"token"`, the class token; `"average"`, the mean
            of the patches; or `"attention"`, what a learned query reads of them, and a
            feed-forward network behind it (Zhai et al. 2022, arXiv:2106.04560).
        norm_before_pooling: Whether the norm stands before the pooling. Defaults to
            `True`, but for the mean to `False`.
        use_pooler: Whether a model without classes has a layer behind the class token,
            as that of transformers has.
        num_classes: Number of classes; `None` for a model without a head.
        class_names: Their names.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually with values from -1 to 1.
            `fit`, `evaluate` and `predict` also take pictures; see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `tokens` `(B, T, D)`,
        and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = ViT(
    ...     image_size=(8, 12), patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> model.predict(np.zeros((5, 8, 12, 3)), verbose=0).shape
    (5, 3)
    """

    # Table 1; tiny and small: Touvron et al. 2021, arXiv:2012.12877, Table 1. With 1000
    # classes.
    presets_table = {
        f"vit_{size}_patch{patch}_224": {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "patch_size": patch,
            "hidden_dim": width,
            "num_layers": layers,
            "num_heads": heads,
            "mlp_dim": 4 * width,
        }
        for size, patch, width, layers, heads, parameters in (
            ("tiny", 16, 192, 12, 3, 5_717_416),
            ("small", 16, 384, 12, 6, 22_050_664),
            ("base", 16, 768, 12, 12, 86_567_656),
            ("base", 32, 768, 12, 12, 88_224_232),
            ("large", 16, 1024, 24, 16, 304_326_632),
            ("large", 32, 1024, 24, 16, 306_535_400),
            ("huge", 14, 1280, 32, 16, 632_045_800),
        )
    }
    families = (VIT_FAMILY, TIMM_VIT_FAMILY)
    assets = ("image_processor",)

    def __init__(
        self,
        *,
        image_processor=None,
        image_size=224,
        patch_size=16,
        num_channels=3,
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
        query_key_norm=None,
        layer_scale=None,
        use_class_token=True,
        num_registers=0,
        use_prefix_positions=True,
        pooling="token",
        norm_before_pooling=None,
        use_pooler=False,
        num_classes=1000,
        class_names=None,
        seed=None,
        name=None,
    ):
        check_choice(POOLINGS, pooling=pooling)
        check_rate(dropout=dropout, drop_path=drop_path)
        if pooling == "token" and not use_class_token:
            raise ValueError(
                'pooling="token" reads the class token. Received: use_class_token='
                'False. Pass pooling="average".'
            )
        if num_classes is not None:
            self.task.count_classes(num_classes, class_names)
            use_pooler = False
        if norm_before_pooling is None:
            norm_before_pooling = pooling != "average"
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            epsilon=epsilon,
            layer_scale=layer_scale,
            use_attention_bias=use_attention_bias,
            query_key_norm=query_key_norm,
            seed=seed,
        )
        encoder = TransformerEncoder(
            block, num_layers, drop_path=drop_path, final_norm=False, name="encoder"
        )
        norm = keras.layers.LayerNormalization(epsilon=epsilon, name="norm")

        in_front = []
        if num_registers:
            in_front.append(ClassToken(num_registers, name="registers"))
        if use_class_token:
            in_front.append(ClassToken(name="class_token"))
        num_prefix_tokens = num_registers + int(use_class_token)
        rows, columns = grid_of({"image_size": image_size, "patch_size": patch_size})
        num_positions = rows * columns + num_prefix_tokens * int(use_prefix_positions)
        positions = PositionalEmbedding(num_positions, name="position_embedding")
        in_front.insert(len(in_front) if use_prefix_positions else 0, positions)

        sides = (image_size,) * 2 if isinstance(image_size, int) else image_size
        images = keras.Input((*sides, num_channels), name="images")
        patches = PatchEmbedding(hidden_dim, patch_size, name="patch_embedding")
        x = patches(images)  # (B, N, D)
        for layer in in_front:  # registers, class token, positions
            x = layer(x)  # (B, T, D)
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        x = encoder(x)
        x = norm(x) if norm_before_pooling else x
        if pooling == "token":
            pooled = x[:, 0]  # (B, D)
        elif pooling == "average":
            pooled = ops.mean(x[:, num_prefix_tokens:], axis=1)  # (B, D)
        else:
            read = AttentionPooling(num_heads, name="pooling")
            inner_norm = keras.layers.LayerNormalization(
                epsilon=epsilon, name="pooling_norm"
            )
            mlp = FeedForward(
                mlp_dim, activation=activation, name="pooling_feed_forward"
            )
            pooled = read(x[:, num_prefix_tokens:])  # (B, D)
            pooled = pooled + mlp(inner_norm(pooled))
        pooled = pooled if norm_before_pooling else norm(pooled)
        if num_classes is None:
            if use_pooler:
                pooler = keras.layers.Dense(hidden_dim, "tanh", name="pooler")
                pooled = pooler(pooled)
            outputs = {"tokens": x, "pooled": pooled}
        else:
            outputs = self.task.attach(EncodedImage(pooled, num_classes))
        super().__init__(images, outputs, name=name)

        self.encoder = encoder
        self.set_image_processor(image_processor, sides)

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        return {
            "num_classes": ["classifier", "pooler"],
            "use_pooler": ["pooler"],
            "pooling": ["pooling", "pooling_norm", "pooling_feed_forward"],
        }
