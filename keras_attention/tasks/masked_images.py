"""The head that guesses the pixels of hidden patches.

Letters: B images, R and C rows and columns of a grid, D width of a cell.
"""

import dataclasses

import numpy as np
from keras import ops

from keras_attention.data.masked_image_dataset import mask_patches
from keras_attention.tasks.task_head import dense
from keras_attention.tasks.task_head import TaskHead


@dataclasses.dataclass
class EncodedGrid:
    """What an encoder made of images, cell by cell.

    Args:
        grid: `(B, R, C, D)`.
        cell: Height and width of what a cell stands for in pixels.
        image_shape: Height, width and channels of the images.
    """

    grid: object
    cell: tuple
    image_shape: tuple


class MaskedImageModel(TaskHead):
    """The images `(B, height, width, channels)`, also where patches are hidden.

    Xie et al. 2022, arXiv:2111.09886, Section 3.3: each cell of the grid predicts its
    pixels linearly.
    """

    name = "masked_image_model"
    layers = ("mask_token", "decoder")

    def attach(self, encoded):
        _, rows, columns, _ = encoded.grid.shape
        height, width, channels = encoded.image_shape
        p, q = encoded.cell
        if (rows * p, columns * q) != (height, width):
            raise ValueError(
                "The images must divide into the cells that predict them. Received: "
                f"image_size={(height, width)}, cells of {(p, q)} pixels. Choose an "
                "`image_size` that patches and stages divide."
            )
        x = dense(encoded.grid, channels * p * q, "decoder")
        x = ops.reshape(x, (-1, rows, columns, channels, p, q))
        x = ops.transpose(x, (0, 1, 4, 2, 5, 3))
        return ops.reshape(x, (-1, height, width, channels))

    def take_labels(self, model, examples, labels):
        if labels is not None:
            raise ValueError(
                f"{type(model).__name__} with head={self.name!r} learns from pictures "
                "alone. Received labels, too. Leave them out: fit(pictures)."
            )
        return examples, examples

    def read_labels(self, model, labels, examples):
        return list(labels)

    def complete(self, model, inputs):
        """With nothing masked."""
        _, masked = model.inputs
        nothing = np.zeros((len(inputs), masked.shape[1]), "bool")
        return {"images": inputs, "masked_patches": nothing}

    def prepare_to_learn(self, model, examples, labels, length=None, seed=None):
        images = model.image_processor.load(examples)
        return mask_patches(images, model.patch_size, seed=seed)


MASKED_IMAGE_MODEL = MaskedImageModel()
