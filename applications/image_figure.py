"""What all models that read pictures draw alike: their images, and what they answer.

Letters: B images, D channels, or width of a token.
"""

import dataclasses

import keras

from keras_attention.applications.application import Application
from keras_attention.checks import check_rate
from keras_attention.images.image_processor import IMAGENET
from keras_attention.layers.drop_path import drop_path_rates
from keras_attention.tasks.image_heads import EncodedImage
from keras_attention.tasks.image_heads import IMAGE_CLASSIFICATION
from keras_attention.tasks.image_inputs import ImageInputs
from keras_attention.tasks.image_inputs import sides_of


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

    def drop_path_rates(self, num_layers):
        """The fraction of dropped branches of each block.

        Args:
            num_layers: Number of blocks of each stage.

        Returns:
            A list for each stage.
        """
        return drop_path_rates(self.drop_path, num_layers)

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
        super().__init__(figure.images, outputs, name=figure.name)
        self.set_image_processor(
            figure.image_processor, figure.sides, **self.normalization
        )
