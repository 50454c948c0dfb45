"""ViT: a Transformer's encoder that reads an image as a sequence of patches.

Dosovitskiy et al. 2021, arXiv:2010.11929. Its code: github.com/google-research/
vision_transformer.

Letters: B images, N patches, T tokens, D width of a token.
"""

import keras
from keras import ops

from keras_attention.applications.vit_figure import preset_of
from keras_attention.applications.vit_figure import VisionTransformer
from keras_attention.checkpoints.families.timm_vit import TIMM_VIT_FAMILY
from keras_attention.checkpoints.families.vit import VIT_FAMILY
from keras_attention.checks import check_choice
from keras_attention.layers.attention_pooling import AttentionPooling
from keras_attention.layers.class_token import ClassToken
from keras_attention.layers.feed_forward import FeedForward
from keras_attention.tasks.task_head import dense

POOLINGS = ("token", "average", "attention")


@keras.saving.register_keras_serializable("keras_attention")
class ViT(VisionTransformer):
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

    It has the arguments of `ViTFigure`, and:

    Args:
        head: `"classification"`, or `"masked_image_model"`: the pixels of patches, of
            which some are masked (Xie et al. 2022, arXiv:2111.09886). `fit` masks other
            ones in each epoch; give it pictures alone, and the loss `"mae"`.
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

    Call arguments:
        images: `(B, height, width, num_channels)`, usually with values from -1 to 1.
            `fit`, `evaluate` and `predict` also take pictures; see `ImageInputs`. With
            `head="masked_image_model"` a dict of them and `masked_patches` `(B, N)`,
            boolean, True for those that are not seen; see `data.mask_patches`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `tokens` `(B, T, D)`,
        and `pooled` `(B, D)`. With `head="masked_image_model"` the images.

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
        f"vit_{size}_patch{patch}_224": preset_of(*numbers, patch_size=patch)
        for size, patch, *numbers in (
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
    normalization = {}  # levels from -1 to 1

    def __init__(
        self,
        *,
        head="classification",
        query_key_norm=None,
        layer_scale=None,
        use_class_token=True,
        num_registers=0,
        use_prefix_positions=True,
        pooling="token",
        norm_before_pooling=None,
        use_pooler=False,
        **options,
    ):
        check_choice(POOLINGS, pooling=pooling)
        if pooling == "token" and not use_class_token:
            raise ValueError(
                'pooling="token" reads the class token. Received: use_class_token='
                'False. Pass pooling="average".'
            )
        figure = self.figure(**options)
        guesses_pixels = figure.guesses_pixels(
            head,
            pooling=(pooling, "token"),
            norm_before_pooling=(norm_before_pooling, None),
            use_pooler=(use_pooler, False),
        )
        if norm_before_pooling is None:
            norm_before_pooling = pooling != "average"

        x = figure.patches()  # (B, N, D)
        first = int(use_class_token) + num_registers
        if guesses_pixels:
            x = figure.mask(x)
        if not use_prefix_positions:
            x = figure.positions(x)
        if num_registers:
            x = ClassToken(num_registers, name="registers")(x)
        if use_class_token:
            x = ClassToken(name="class_token")(x)  # (B, T, D)
        if use_prefix_positions:
            x = figure.positions(x)
        x = figure.encode(x, layer_scale=layer_scale, query_key_norm=query_key_norm)
        x = figure.norm(x) if norm_before_pooling else x
        if pooling == "token":
            pooled = x[:, 0]  # (B, D)
        elif pooling == "average":
            pooled = ops.mean(x[:, first:], axis=1)  # (B, D)
        else:
            pooled = AttentionPooling(figure.num_heads, name="pooling")(x[:, first:])
            mlp = FeedForward(
                figure.mlp_dim,
                activation=figure.activation,
                name="pooling_feed_forward",
            )
            pooled = pooled + mlp(figure.norm(pooled, "pooling_norm"))  # (B, D)
        pooled = pooled if norm_before_pooling else figure.norm(pooled)
        if use_pooler and figure.num_classes is None:
            pooled = dense(pooled, figure.hidden_dim, "pooler", activation="tanh")
        if guesses_pixels:
            outputs = figure.guess(figure.grid_of(x[:, first:]), figure.patch_size)
        else:
            outputs = figure.answer({"tokens": x, "pooled": pooled})
        super().__init__(figure, outputs)

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        return {
            **super().head_layers(),
            "num_classes": ["classifier", "pooler"],
            "use_pooler": ["pooler"],
            "pooling": ["pooling", "pooling_norm", "pooling_feed_forward"],
        }
