"""What all models that read pictures draw alike: their images, and what they answer.

Letters: B images, D channels, or width of a token.
"""

import dataclasses

import keras

from keras_attention.applications.application import Application
from keras_attention.checkpoints.arguments import argument_names
from keras_attention.checks import check_choice
from keras_attention.checks import check_rate
from keras_attention.images.image_processor import IMAGENET
from keras_attention.layers.drop_path import drop_path_rates
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.mask_token import MaskToken
from keras_attention.tasks.image_heads import EncodedImage
from keras_attention.tasks.image_heads import IMAGE_CLASSIFICATION
from keras_attention.tasks.image_inputs import IMAGE_HEADS
from keras_attention.tasks.image_inputs import ImageInputs
from keras_attention.tasks.image_inputs import sides_of
from keras_attention.tasks.masked_images import EncodedGrid
from keras_attention.tasks.masked_images import MASKED_IMAGE_MODEL


@dataclasses.dataclass(kw_only=True)
class ImageFigure:
    """The arguments that all models of pictures have, and both ends of their figures.

    A model calls it first, draws its own layers from `images` on, and ends with
    `answer`; see `ResNet`.

    Args:
        image_processor: What makes inputs of pictures, an `ImageProcessor`, loaded with
            a published checkpoint. By default pictures are stretched to `image_size`,
            and normalized as the paper does. One for another image size is fitted to
            this one.
        image_size: Height and width in pixels, one integer or two. `None` is what
            `image_processor` makes, or 224.
        num_channels: Number of channels.
        drop_path: Fraction of images whose branches are dropped in training, from 0 to
            1, in the last block; in the blocks before it falls linearly to 0.
        num_classes: Number of classes; `None` for a model without a head.
        class_names: Their names.
        seed: Integer, for reproducible dropout.
        name: Name of the model.

    Raises:
        ValueError: An argument is out of its range.

    Example:

    >>> figure = ImageFigure(image_size=(8, 12), num_classes=3)
    >>> pooled = keras.layers.GlobalAveragePooling2D()(figure.images)
    >>> figure.images.shape, figure.answer({"pooled": pooled}).shape
    ((None, 8, 12, 3), (None, 3))
    """

    image_processor: object = None
    image_size: int | tuple | None = 224
    num_channels: int = 3
    drop_path: float = 0.0
    num_classes: int | None = 1000
    class_names: list | None = None
    seed: int | None = None
    name: str | None = None

    def __post_init__(self):
        check_rate(drop_path=self.drop_path)
        if self.num_classes is not None:
            IMAGE_CLASSIFICATION.count_classes(self.num_classes, self.class_names)
        self.sides = sides_of(self.image_size, self.image_processor)
        shape = (*self.sides, self.num_channels)
        self.images = keras.Input(shape, name="images")
        self.inputs = self.images

    def drop_path_rates(self, num_layers):
        """The fraction of dropped branches of each block.

        Args:
            num_layers: Number of blocks of each stage.

        Returns:
            A list for each stage.
        """
        return drop_path_rates(self.drop_path, num_layers)

    def guesses_pixels(self, head, **left_out):
        """Whether a model is to guess hidden patches, which excludes other options.

        Args:
            head: That of the model.
            **left_out: Pairs of an option of pooled features and its default.

        Raises:
            ValueError: There is no such head, or it has no use for an option.
        """
        check_choice(IMAGE_HEADS, head=head)
        if head != MASKED_IMAGE_MODEL.name:
            return False
        given = {"num_classes": self.num_classes, "class_names": self.class_names}
        given = {name: value for name, value in given.items() if value is not None}
        given |= {
            name: value
            for name, (value, default) in left_out.items()
            if value != default
        }
        if given:
            raise ValueError(
                f"head={head!r} gives images, not classes. Received: "
                + ", ".join(f"{name}={value!r}" for name, value in given.items())
                + ". Pass num_classes=None, and leave out what is for classes."
            )
        return True

    def mask(self, patches):
        """Puts a learned token in the place of patches that are masked.

        Which these are is a second input, `masked_patches` `(B, N)`.

        Args:
            patches: `(B, N, D)`.

        Returns:
            `(B, N, D)`.
        """
        masked = keras.Input((patches.shape[1],), dtype="bool", name="masked_patches")
        self.inputs = {"images": self.images, "masked_patches": masked}
        return MaskToken(name="mask_token")(patches, masked)

    def guess(self, grid, cell):
        """The pixels that cells of a grid stand for.

        Args:
            grid: `(B, rows, columns, D)`.
            cell: Height and width of what a cell stands for, one integer or two.

        Returns:
            `(B, height, width, num_channels)`.

        Raises:
            ValueError: The images do not divide into the cells.
        """
        shape = (*self.sides, self.num_channels)
        return MASKED_IMAGE_MODEL.attach(EncodedGrid(grid, image_sides(cell), shape))

    def answer(self, encoded):
        """What a model returns.

        Args:
            encoded: Dict of what it made of the images, among it `pooled` `(B, D)`.

        Returns:
            Logits `(B, num_classes)`, or that dict where there are no classes.
        """
        if self.num_classes is None:
            return encoded
        return IMAGE_CLASSIFICATION.attach(
            EncodedImage(encoded["pooled"], self.num_classes)
        )


class ImageModel(ImageInputs, Application, abstract=True):
    """A model that reads pictures, whose `**options` are those of its figure.

    Abstract. A subclass makes its figure of them, and ends with
    `super().__init__(figure, outputs)`.
    """

    figure = ImageFigure
    assets = ("image_processor",)
    # Mean and deviation of the pictures, where no processor is given.
    normalization = IMAGENET

    def __init__(self, figure, outputs):
        super().__init__(figure.inputs, outputs, name=figure.name)
        self.set_image_processor(
            figure.image_processor, figure.sides, **self.normalization
        )

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        layers = {"num_classes": list(IMAGE_CLASSIFICATION.layers)}
        if "head" in argument_names(cls):
            heads = IMAGE_HEADS.values()
            layers["head"] = [layer for head in heads for layer in head.layers]
        return layers
