"""Models that read pictures: from files of any size to arrays.

Letters for axes: n pictures, B of them in a batch.
"""

import os

import keras
import numpy as np

from keras_attention.images.image_processor import ImageProcessor
from keras_attention.images.images import is_pillow
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.tasks.classification_heads import names_of
from keras_attention.tasks.classification_heads import softmax
from keras_attention.tasks.image_features import feature_model
from keras_attention.tasks.image_heads import IMAGE_CLASSIFICATION
from keras_attention.tasks.masked_images import MASKED_IMAGE_MODEL
from keras_attention.tasks.raw_inputs import RawInputs
from keras_attention.tasks.raw_inputs import read_strings

# Of ImageNet, for which most published models were trained.
IMAGE_SIZE = 224
IMAGE_HEADS = {head.name: head for head in (IMAGE_CLASSIFICATION, MASKED_IMAGE_MODEL)}


class ImageInputs(RawInputs):
    """Lets `fit`, `evaluate` and `predict` take pictures.

    Abstract: put it before `Application` among the bases of a class, and after
    `super().__init__(inputs, outputs)` call `set_image_processor`.

    Pictures are a list of paths, Pillow images, or arrays `(height, width, channels)`
    or `(height, width)`, each of its own size; or an array of integers or booleans `(n,
    height, width, channels)` or `(n, height, width)`. Arrays of floats `(n, height,
    width, channels)` are prepared inputs. Their labels are numbers of classes, or names
    where the model has `class_names`. With `head="masked_image_model"` they have none:
    patches are masked, others in each epoch.
    """

    @property
    def task(self):
        """The head of this model, a `TaskHead`."""
        return IMAGE_HEADS[getattr(self, "head", IMAGE_CLASSIFICATION.name)]

    def set_image_processor(self, image_processor, sides, **normalization):
        """Says what makes inputs of pictures, after `super().__init__(...)`.

        Args:
            image_processor: An `ImageProcessor`, or `None` for one that stretches.
            sides: Height and width of the inputs.
            **normalization: `mean` and `std` of that one.
        """
        processor = image_processor or ImageProcessor(sides, **normalization)
        self.image_size = tuple(sides)
        self.image_processor = processor.fitted_to(self.image_size)

    def read_raw(self, x):
        """The pictures in what `fit` received.

        Args:
            x: Pictures, or prepared inputs.

        Returns:
            List of n pictures, or `None` for prepared inputs.

        Raises:
            ValueError: There is one picture, not a list, or the model reads no RGB.
        """
        x = read_strings(x)
        if isinstance(x, str | os.PathLike) or is_pillow(x):
            raise ValueError(
                f"Pictures must be a list. Received one: {x!r}. Put it in a list."
            )
        if is_levels(x) and len(x.shape) == 3 and x.shape[-1] in (1, 3, 4):
            raise ValueError(
                "Pictures must be a list, or an array (n, height, width, channels). "
                f"Received one, of shape {tuple(x.shape)}. Put it in a list."
            )
        is_array = is_levels(x)
        is_list = isinstance(x, list | tuple)
        if not is_array and not (is_list and (not x or any(map(_is_picture, x)))):
            return None
        channels = self.inputs[0].shape[-1]
        if channels != 3:
            raise ValueError(
                f"{type(self).__name__} reads pictures of {channels} channels, but "
                "files and levels become RGB. Build it with 3, or pass floats "
                f"(n, height, width, {channels})."
            )
        if is_array and not isinstance(x, np.ndarray):
            x = keras.ops.convert_to_numpy(x)
        return list(x)

    def read_labels(self, labels, examples):
        """Labels as numbers.

        Args:
            labels: What `fit` or `evaluate` received for `y`.
            examples: List of n pictures.

        Returns:
            Integers `(n,)`, or the labels of a model that does not classify.

        Raises:
            ValueError: A name or a number is no class.
        """
        if isinstance(labels, dict) or not isinstance(self.output_shape, tuple):
            return super().read_labels(labels, examples)
        return self.task.read_labels(self, labels, examples)

    def take_labels(self, examples, labels):
        """What is learned from: pictures may be their own labels.

        Args:
            examples: List of n pictures.
            labels: What `fit` or `evaluate` received for `y`, or `None`.

        Returns:
            The examples and the labels.

        Raises:
            ValueError: The head learns from pictures alone.
        """
        return self.task.take_labels(self, examples, labels)

    def prepare_to_learn(self, examples, labels, length=None, seed=None):
        """The inputs of the model for a batch, with what it is to answer.

        Args:
            examples: List of B pictures.
            labels: The rows of the batch of what `read_labels` returned.
            length: Not used.
            seed: Integers on which depends which patches are masked, if any are.

        Returns:
            The inputs, the targets, and the weights of these or `None`.
        """
        return self.task.prepare_to_learn(self, examples, labels, length, seed)

    def check_prepared(self, x):
        """Refuses images of integers, of another size or with other channels.

        Args:
            x: What the model is called with, or what `fit` or `predict` received.

        Raises:
            ValueError: The images are none that the model reads.
        """
        images = x.get("images") if isinstance(x, dict) else x
        shape = getattr(images, "shape", None)
        if shape is None or not hasattr(images, "dtype"):
            return
        expected = self.inputs[0].shape[1:]
        if is_levels(images):
            raise ValueError(
                f"{type(self).__name__} reads floats. Received: images of "
                f"{images.dtype}. Scale levels by `model.image_processor(images)`, or "
                "pass pictures to `fit`, `predict` or `classify`, which do it."
            )
        found = tuple(shape[1:])
        fits = len(shape) == 4 and all(
            size in (None, wanted) for size, wanted in zip(found, expected, strict=True)
        )
        if not fits:
            raise ValueError(
                f"{type(self).__name__} reads images (B, {expected[0]}, {expected[1]}, "
                f"{expected[2]}). Received: images.shape={tuple(shape)}. Resize them by"
                " `model.image_processor(images)`, or build it with that `image_size` "
                "and `num_channels`."
            )

    def __call__(self, inputs, *args, **kwargs):
        self.check_prepared(inputs)
        return super().__call__(inputs, *args, **kwargs)

    def classify(self, images, batch_size=None, top=None):
        """The classes that a classifier finds most probable.

        Args:
            images: As for `predict`.
            batch_size: B.
            top: How many classes of each image to name, the most probable first.

        Returns:
            List of n names, or numbers without `class_names`, and the probabilities of
            all classes, `(n, num_classes)`. With `top` n lists of names, and their
            probabilities `(n, top)`. Two classifiers answer by their mean.

        Raises:
            ValueError: The model has no classes, or fewer than `top`.

        Example:

        >>> from keras_attention.applications import ViT
        >>> model = ViT(
        ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=1, num_heads=2,
        ...     mlp_dim=8, class_names=["cat", "dog", "fox"], num_classes=3,
        ... )
        >>> pictures = np.zeros((4, 5, 6, 3), "uint8")
        >>> names, probabilities = model.classify(pictures)
        >>> len(names), probabilities.shape
        (4, (4, 3))
        >>> names, probabilities = model.classify(pictures, top=2)
        >>> len(names), len(names[0]), probabilities.shape
        (4, 2, (4, 2))
        """
        if self.task is not IMAGE_CLASSIFICATION:
            return self.task.classify(self, images, batch_size)
        number = getattr(self, "num_classes", None)
        if number is None or number < 2:
            raise ValueError(
                f"This {type(self).__name__} has no classes to choose from. Load it "
                "with `num_classes`, 2 or more."
            )
        if top is not None and not 1 <= top <= number:
            raise ValueError(
                f"`top` must be from 1 to the number of classes, {number}. Received: "
                f"top={top}"
            )
        logits = self.predict(images, batch_size=batch_size, verbose=0)
        logits = np.mean(keras.tree.flatten(logits), axis=0)
        probabilities = softmax(logits)
        if top is None:
            return names_of(probabilities, self.class_names), probabilities
        order = np.argsort(-probabilities, axis=-1, kind="stable")[:, :top]
        names = self.class_names or list(range(number))
        best = np.take_along_axis(probabilities, order, axis=-1)
        return [[names[number] for number in row] for row in order], best

    def feature_model(self, features, as_grids=False):
        """A model that gives what chosen layers make of images.

        Its weights are those here. It reads prepared images, as from
        `image_processor.load(paths)`.

        Args:
            features: List of what is to be given: names of layers, such as
                `"stage_2_block_1"`, `"block_3"` or `"norm"`, and numbers of hidden
                states: 0 for what the first block reads, 1 for what the first block,
                or stage, gives, and so on; -1 for the last.
            as_grids: Whether tokens of patches become grids `(B, rows, columns, D)`,
                without those in front of them.

        Returns:
            A `keras.Model` from images to a list of features: `(B, T, D)` for a ViT and
            its kin, `(B, rows, columns, D)` for others.

        Raises:
            ValueError: There is no such layer.

        Example:

        >>> from keras_attention.applications import ViT
        >>> model = ViT(
        ...     image_size=(8, 12), patch_size=4, hidden_dim=16, num_layers=3,
        ...     num_heads=2, mlp_dim=8,
        ... )
        >>> features = model.feature_model([0, "block_1", -1], as_grids=True)
        >>> images = model.image_processor.load([np.zeros((30, 20, 3), "uint8")])
        >>> [x.shape for x in features.predict(images, verbose=0)]
        [(1, 2, 3, 16), (1, 2, 3, 16), (1, 2, 3, 16)]
        """
        return feature_model(self, features, as_grids)

    def prepare(self, examples, length=None):
        """The inputs of the model for a batch.

        Args:
            examples: List of B pictures.
            length: Not used.

        Returns:
            float32 array `(B, height, width, 3)`, or a dict with it.
        """
        return self.task.complete(self, self.image_processor.load(examples))


def _is_picture(example):
    is_file = isinstance(example, str | bytes | os.PathLike) or is_pillow(example)
    return is_file or len(getattr(example, "shape", ())) in (2, 3)


def is_levels(x):
    """Whether it is an array of pictures of integers or booleans."""
    is_array = len(getattr(x, "shape", ())) in (3, 4) and hasattr(x, "dtype")
    return is_array and ("int" in str(x.dtype) or "bool" in str(x.dtype))


def sides_of(image_size, image_processor):
    """Height and width of the inputs: as asked, as prepared, or 224.

    Example:

    >>> sides_of(None, None), sides_of(96, None)
    ((224, 224), (96, 96))
    """
    if image_size is None and image_processor is not None:
        image_size = image_processor.output_size
    return image_sides(IMAGE_SIZE if image_size is None else image_size)
