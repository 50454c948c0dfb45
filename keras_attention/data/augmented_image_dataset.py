"""Batches of pictures and their classes, as Vision Transformers learn from them.

Letters: B pictures of a batch, C classes.
"""

import keras
import numpy as np

from keras_attention.checks import check_positive
from keras_attention.data.epoch_dataset import EpochDataset


class AugmentedImageDataset(EpochDataset):
    """Pictures and their classes, changed at random, and what a teacher says of them.

    Touvron et al. 2021, arXiv:2012.12877 (DeiT), Section 5: layers of Keras change the
    pictures of a batch and mix their classes, so a batch is

        (B, height, width, channels), (B, C), (B,)

    images, the share of each class, and weights, 0 for what fills up the last batch.
    With a `teacher`, Section 4, the targets are a dict of `class_token`, these shares,
    and `distillation_token`, what the teacher says of the images as they are then: a
    `DeiT(answer="both")` learns from them.

        model.compile("adamw", keras.losses.CategoricalCrossentropy(from_logits=True))
        model.fit(dataset)

    The order of the pictures depends on the seed and the epoch alone, see
    `FollowEpochs`; what the layers draw depends on their own seeds.

    Args:
        pictures: List of n paths, Pillow images or arrays, or an array of them.
        labels: `(n,)`, the numbers of their classes.
        image_processor: What makes inputs of them, `model.image_processor`.
        num_classes: C.
        batch_size: B.
        augment: List of layers such as `keras.layers.MixUp`, called in training with a
            dict of `images` and `labels` `(B, C)`. Images are prepared already: a layer
            with a `value_range` has to know their least and greatest level.
        repeats: How often a batch has each of its pictures, changed in another way each
            time (Hoffer et al. 2020, arXiv:1901.09335); it divides `batch_size`.
        teacher: Any Keras model from such images to logits `(B, C)`.
        temperature: Softens what the teacher says: the softmax of its logits over this
            number is learned. `None` is its choice alone, as in DeiT.
        num_parts: How many epochs it takes to show all.
        shuffle: Draw another order for each pass.
        seed: Seed of the order.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: A label is no class, or a number is out of its range.

    Example:

    >>> from keras_attention.images import ImageProcessor
    >>> dataset = AugmentedImageDataset(
    ...     np.zeros((6, 9, 9, 3), "uint8"), [0, 1, 2, 0, 1, 2],
    ...     ImageProcessor(image_size=(8, 12)), num_classes=3, batch_size=4, repeats=2,
    ...     augment=[keras.layers.MixUp(alpha=0.8)],
    ... )
    >>> images, targets, weights = dataset[0]
    >>> len(dataset), images.shape, targets.shape, weights.shape
    (3, (4, 8, 12, 3), (4, 3), (4,))
    """

    def __init__(
        self,
        pictures,
        labels,
        image_processor,
        num_classes,
        batch_size=32,
        augment=(),
        repeats=1,
        teacher=None,
        temperature=None,
        num_parts=1,
        shuffle=True,
        seed=0,
        **kwargs,
    ):
        check_positive(num_classes=num_classes, batch_size=batch_size, repeats=repeats)
        labels = np.asarray(labels)
        if labels.shape != (len(pictures),) or labels.dtype.kind not in "iu":
            raise ValueError(
                "Each picture has the number of a class. Received: "
                f"{len(pictures)} pictures and labels of shape {labels.shape} and "
                f"{labels.dtype}."
            )
        if labels.size and not 0 <= labels.min() <= labels.max() < num_classes:
            raise ValueError(
                f"Labels must be from 0 to {num_classes - 1}. Received: {labels.min()} "
                f"to {labels.max()}."
            )
        if batch_size % repeats:
            raise ValueError(
                "`repeats` must divide `batch_size`. Received: "
                f"batch_size={batch_size}, repeats={repeats}"
            )
        if temperature is not None and (teacher is None or not temperature > 0):
            raise ValueError(
                "`temperature` softens what a `teacher` says, and is positive. "
                f"Received: temperature={temperature}, teacher={teacher}"
            )
        self.pictures, self.labels = pictures, labels
        self.image_processor, self.num_classes = image_processor, num_classes
        self.augment, self.repeats = list(augment), repeats
        self.teacher, self.temperature = teacher, temperature
        size = batch_size // repeats
        super().__init__(len(pictures), size, num_parts, shuffle, seed, **kwargs)

    def __getitem__(self, index):
        _, rows, counts = self.rows_of(index)
        images = self.image_processor.load([self.pictures[row] for row in rows])
        shares = np.eye(self.num_classes, dtype="float32")[self.labels[rows]]
        batch = {"images": images, "labels": shares}
        batch = {name: np.repeat(x, self.repeats, axis=0) for name, x in batch.items()}
        for layer in self.augment:
            batch = layer(batch, training=True)
        images, targets = map(keras.ops.convert_to_numpy, batch.values())
        weights = np.repeat(counts, self.repeats).astype("float32")
        if self.teacher is None:
            return images, targets, weights
        targets = {"class_token": targets, "distillation_token": self.taught(images)}
        return images, targets, dict.fromkeys(targets, weights)

    def taught(self, images):
        """What the teacher says of images.

        Args:
            images: `(B, height, width, channels)`.

        Returns:
            The share of each class, `(B, C)`.
        """
        logits = self.teacher(images, training=False)
        logits = np.asarray(keras.ops.convert_to_numpy(logits), "float32")
        if self.temperature is None:
            return np.eye(logits.shape[-1], dtype="float32")[logits.argmax(axis=-1)]
        powers = logits / self.temperature
        powers = np.exp(powers - powers.max(axis=-1, keepdims=True))
        return powers / powers.sum(axis=-1, keepdims=True)
