"""DeiT: a ViT that learns from ImageNet alone, by augmentation and from a teacher.

Touvron et al. 2021, arXiv:2012.12877; DeiT III: Touvron et al. 2022, arXiv:2204.07118.
Their code: github.com/facebookresearch/deit.

Letters: B images, N patches, D width of a token.
"""

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.families.deit import DEIT_FAMILY
from keras_attention.checkpoints.families.deit import SIZES
from keras_attention.checkpoints.families.deit import TIMM_DEIT3_FAMILY
from keras_attention.checkpoints.families.deit import TIMM_DEIT_FAMILY
from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.images.grids import grid_of
from keras_attention.images.image_processor import IMAGENET
from keras_attention.layers.class_token import ClassToken
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.patch_embedding import PatchEmbedding
from keras_attention.layers.positional_embedding import PositionalEmbedding
from keras_attention.layers.transformer_encoder import TransformerEncoder
from keras_attention.layers.transformer_encoder_block import TransformerEncoderBlock
from keras_attention.tasks.classification_heads import names_of
from keras_attention.tasks.classification_heads import softmax
from keras_attention.tasks.image_heads import EncodedImage
from keras_attention.tasks.image_inputs import ImageInputs
from keras_attention.tasks.task_head import dense

ANSWERS = ("mean", "both", "class_token")


def presets_of(prefix, table):
    """Presets by size of model, size of a patch and size of images.

    Args:
        prefix: What their names begin with.
        table: Rows of size, size of images and number of parameters.

    Returns:
        Dict.
    """
    return {
        f"{prefix.format(size)}_patch{patch}_{side}": {
            "description": f"{layers} blocks of width {width}.",
            "parameters": parameters,
            "image_size": side,
            "patch_size": patch,
            "hidden_dim": width,
            "num_layers": layers,
            "num_heads": heads,
            "mlp_dim": 4 * width,
        }
        for size, side, parameters in table
        for (width, layers, heads) in (SIZES[size],)
        for patch in (14 if size == "huge" else 16,)
    }


@keras.saving.register_keras_serializable("keras_attention")
class DeiT(ImageInputs, Application):
    """Classifies an image by two tokens, of which one learned from a teacher.

    Touvron et al. 2021, arXiv:2012.12877, Figure 2:

        x = class token, distillation token, patches W + b          (B, N + 2, D)
        x = x + positions                                           (B, N + 2, D)
        x = norm(12 times: self-attention, feed-forward network)    (B, N + 2, D)
        logits = (x[0] W + b + x[1] W' + b') / 2                    (B, num_classes)

    In training each token has its own labels, Section 4: the class token the true
    ones, the distillation token what a teacher, best a convolutional network, says:

        model = DeiT.from_preset("deit_tiny_distilled_patch16_224", answer="both")
        model.compile("adamw", keras.losses.SparseCategoricalCrossentropy(True))
        said = teacher.predict(images).argmax(axis=-1)
        model.fit(images, {"class_token": labels, "distillation_token": said})
        model.classify(images)  # by the mean of both

    It reads the checkpoints of the libraries transformers and timm, and writes those
    of transformers. A DeiT without a distillation token is a `ViT`.

    Args:
        image_processor: What makes inputs of pictures, an `ImageProcessor`; see `ViT`.
        image_size: Height and width in pixels, one integer or two.
        patch_size: Height and width of a patch in pixels, one integer or two.
        num_channels: Number of channels.
        hidden_dim: D.
        num_layers: Number of blocks.
        num_heads: Number of heads of attention.
        mlp_dim: Width of the feed-forward networks.
        activation: Activation of the feed-forward networks; see `FeedForward`.
        epsilon: Small number in the norm's square root.
        dropout: Fraction dropped in training, from 0 to 1, of the embeddings and of
            what each branch adds.
        attention_dropout: Fraction of attention weights dropped.
        drop_path: Fraction of images whose branches are dropped in the last block; in
            the blocks before it falls linearly to 0.
        use_attention_bias: Whether the projections to query, key and value have biases.
        use_pooler: Whether a model without classes has a layer behind the class token,
            as that of transformers has.
        answer: What the classifiers of the two tokens give: `"mean"`, their mean;
            `"both"`, each of them; or `"class_token"`, the first alone, without the
            second.
        num_classes: Number of classes; `None` for a model without a head.
        class_names: Their names.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually normalized by the mean and
            deviation of ImageNet. `fit`, `evaluate` and `predict` also take pictures;
            see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`; for `answer="both"` a dict with `class_token` and
        `distillation_token`, each `(B, num_classes)`. Without classes a dict with
        `tokens` `(B, N + 2, D)` and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = DeiT(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3, answer="both",
    ... )
    >>> logits = model.predict(np.zeros((5, 8, 8, 3)), verbose=0)
    >>> {token: x.shape for token, x in sorted(logits.items())}
    {'class_token': (5, 3), 'distillation_token': (5, 3)}
    """

    # Table 1. With 1000 classes.
    presets_table = presets_of(
        "deit_{}_distilled",
        (
            ("tiny", 224, 5_910_800),
            ("small", 224, 22_436_432),
            ("base", 224, 87_338_192),
            ("base", 384, 87_630_032),
        ),
    )
    families = (DEIT_FAMILY, TIMM_DEIT_FAMILY)
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
        use_pooler=False,
        answer="mean",
        num_classes=1000,
        class_names=None,
        seed=None,
        name=None,
    ):
        check_choice(ANSWERS, answer=answer)
        check_rate(dropout=dropout, drop_path=drop_path)
        if num_classes is not None:
            self.task.count_classes(num_classes, class_names)
        rows, columns = grid_of({"image_size": image_size, "patch_size": patch_size})
        sides = image_sides(image_size)
        patches = PatchEmbedding(hidden_dim, patch_size, name="patch_embedding")
        distillation_token = ClassToken(name="distillation_token")
        class_token = ClassToken(name="class_token")
        positions = PositionalEmbedding(rows * columns + 2, name="position_embedding")
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
        x = patches(images)  # (B, N, D)
        x = class_token(distillation_token(x))  # (B, N + 2, D)
        x = positions(x)
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        x = norm(encoder(x))  # (B, N + 2, D)
        if num_classes is None:
            pooled = x[:, 0]  # (B, D)
            if use_pooler:
                pooled = dense(pooled, hidden_dim, "pooler", activation="tanh")
            outputs = {"tokens": x, "pooled": pooled}
        else:
            outputs = self.task.attach(EncodedImage(x[:, 0], num_classes))
            if answer != "class_token":
                taught = dense(x[:, 1], num_classes, "distillation_classifier")
                both = {"class_token": outputs, "distillation_token": taught}
                outputs = both if answer == "both" else (outputs + taught) / 2
        super().__init__(images, outputs, name=name)

        self.encoder = encoder
        self.set_image_processor(image_processor, sides, **IMAGENET)

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        return {
            "num_classes": ["classifier", "distillation_classifier", "pooler"],
            "use_pooler": ["pooler"],
        }

    def classify(self, images, batch_size=None):
        """The class that a classifier finds most probable, by the mean of its heads.

        Args:
            images: As for `predict`.
            batch_size: B.

        Returns:
            List of n names, or numbers without `class_names`, and the probabilities of
            all classes, `(n, num_classes)`.

        Raises:
            ValueError: The model has no classes.

        Example:

        >>> model = DeiT(
        ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=1, num_heads=2,
        ...     mlp_dim=8, class_names=["cat", "dog"], num_classes=2, answer="both",
        ... )
        >>> names, probabilities = model.classify(np.zeros((3, 5, 6, 3), "uint8"))
        >>> len(names), probabilities.shape
        (3, (3, 2))
        """
        if self.answer != "both" or self.num_classes in (None, 1):
            return super().classify(images, batch_size)
        logits = self.predict(images, batch_size=batch_size, verbose=0)
        mean = (logits["class_token"] + logits["distillation_token"]) / 2
        probabilities = softmax(mean)
        return names_of(probabilities, self.class_names), probabilities


@keras.saving.register_keras_serializable("keras_attention")
class DeiT3(ImageInputs, Application):
    """Classifies an image: a ViT whose branches are scaled, trained with simple means.

    Touvron et al. 2022, arXiv:2204.07118 (DeiT III), without a teacher. Patches alone
    have positions, and each branch has factors that are learned (LayerScale):

        x = class token, patches W + b + positions                  (B, N + 1, D)
        x = x + scale self_attention(norm(x))                       12 times
        x = x + scale feed_forward(norm(x))
        logits = norm(x)[0] W + b                                   (B, num_classes)

    It reads and writes the checkpoints of the library timm.

    Args:
        image_processor: What makes inputs of pictures, an `ImageProcessor`; see `ViT`.
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
        drop_path: Fraction of images whose branches are dropped, in each block alike.
        use_attention_bias: Whether the projections to query, key and value have biases.
        layer_scale: First value of the factors of each branch.
        num_classes: Number of classes; `None` for a model without a head.
        class_names: Their names.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Call arguments:
        images: `(B, height, width, num_channels)`, usually normalized by the mean and
            deviation of ImageNet. `fit`, `evaluate` and `predict` also take pictures;
            see `ImageInputs`.

    Returns:
        Logits `(B, num_classes)`. Without classes a dict with `tokens` `(B, N + 1, D)`
        and `pooled` `(B, D)`.

    Raises:
        ValueError: An argument is out of its range, or the image does not divide into
            patches.

    Example:

    >>> model = DeiT3(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> model.predict(np.zeros((5, 8, 8, 3)), verbose=0).shape
    (5, 3)
    """

    # Table 1. With 1000 classes.
    presets_table = presets_of(
        "deit3_{}",
        (
            ("small", 224, 22_059_496),
            ("medium", 224, 38_849_512),
            ("base", 224, 86_585_320),
            ("large", 224, 304_374_760),
            ("huge", 224, 632_126_440),
        ),
    )
    families = (TIMM_DEIT3_FAMILY,)
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
        layer_scale=1e-4,
        num_classes=1000,
        class_names=None,
        seed=None,
        name=None,
    ):
        check_rate(dropout=dropout, drop_path=drop_path)
        if num_classes is not None:
            self.task.count_classes(num_classes, class_names)
        rows, columns = grid_of({"image_size": image_size, "patch_size": patch_size})
        sides = image_sides(image_size)
        patches = PatchEmbedding(hidden_dim, patch_size, name="patch_embedding")
        positions = PositionalEmbedding(rows * columns, name="position_embedding")
        class_token = ClassToken(name="class_token")
        block = TransformerEncoderBlock(
            num_heads,
            mlp_dim,
            activation=activation,
            dropout=dropout,
            attention_dropout=attention_dropout,
            drop_path=drop_path,
            epsilon=epsilon,
            layer_scale=layer_scale,
            use_attention_bias=use_attention_bias,
            seed=seed,
        )
        encoder = TransformerEncoder(
            block, num_layers, final_norm=False, name="encoder"
        )
        norm = keras.layers.LayerNormalization(epsilon=epsilon, name="norm")

        images = keras.Input((*sides, num_channels), name="images")
        x = positions(patches(images))  # (B, N, D)
        x = class_token(x)  # (B, N + 1, D)
        x = keras.layers.Dropout(dropout, seed=seed, name="dropout")(x)
        x = norm(encoder(x))  # (B, N + 1, D)
        if num_classes is None:
            outputs = {"tokens": x, "pooled": x[:, 0]}
        else:
            outputs = self.task.attach(EncodedImage(x[:, 0], num_classes))
        super().__init__(images, outputs, name=name)

        self.encoder = encoder
        self.set_image_processor(image_processor, sides, **IMAGENET)
