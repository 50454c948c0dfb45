"""Batches of pictures with masked patches, for models that guess what is there.

Letters: B pictures of a batch, N patches of a picture.
"""

import math

import numpy as np

from keras_attention.checks import check_positive
from keras_attention.data.epoch_dataset import EpochDataset

# Xie et al. 2022, arXiv:2111.09886, Section 4.1.3: side of a block in pixels, and the
# share of the blocks that are masked.
BLOCK_SIZE, RATE = 32, 0.6


def mask_patches(images, patch_size, block_size=None, rate=RATE, seed=None):
    """Draws which patches of some images are masked, block by block.

    Xie et al. 2022, arXiv:2111.09886, Section 3.2 (SimMIM): blocks are squares of
    patches, of which a share is masked.

    Args:
        images: Floats `(B, height, width, channels)`.
        patch_size: Height and width of a patch in pixels, one integer or two.
        block_size: Side of a block in pixels, at least a patch. Defaults to 32 as in
            the paper, or a quarter of the shorter side, if that is less.
        rate: Share of the blocks that are masked, between 0 and 1.
        seed: What the draw depends on, an integer or a list of them. `None` draws
            others each time.

    Returns:
        What a model with `head="masked_image_model"` learns from: its inputs, a dict
        with `images` and `masked_patches`, boolean `(B, N)`; the images once more,
        which it is to give; and weights of the pixels `(B, height, width)`, 0 where a
        patch is seen, with the mean 1. So the loss `"mae"` is the mean over what is
        masked.

    Raises:
        ValueError: The images do not divide into patches, or a number is out of its
            range.

    Example:

    >>> inputs, y, weights = mask_patches(np.ones((2, 8, 12, 3)), 4, block_size=4)
    >>> inputs["masked_patches"].sum(axis=1).tolist(), weights.shape
    ([4, 4], (2, 8, 12))
    """
    if block_size is None:
        block_size = min(BLOCK_SIZE, max(1, min(images.shape[1:3]) // 4))
    check_positive(block_size=block_size)
    if not 0 < rate < 1:
        raise ValueError(f"`rate` must be between 0 and 1. Received: rate={rate}")
    count, *sides, _ = images.shape
    patch = (patch_size,) * 2 if isinstance(patch_size, int) else tuple(patch_size)
    if any(side % size for side, size in zip(sides, patch, strict=True)):
        raise ValueError(
            f"The images must divide into patches of {patch}. Received: images.shape="
            f"{tuple(images.shape)}"
        )
    grid = [side // size for side, size in zip(sides, patch, strict=True)]
    block = [max(1, block_size // size) for size in patch]
    shape = [math.ceil(side / size) for side, size in zip(grid, block, strict=True)]
    number = math.ceil(rate * math.prod(shape))
    generator = np.random.default_rng(seed)
    places = generator.random((count, math.prod(shape))).argsort(axis=1)
    masked = (places < number).reshape(count, *shape)
    masked = magnified(masked, block)[:, : grid[0], : grid[1]]
    weights = magnified(masked, patch).astype("float32")
    inputs = {"images": images, "masked_patches": masked.reshape(count, -1)}
    return inputs, images, weights / weights.mean()


def magnified(cells, sizes):
    """Each cell of some grids `(B, rows, columns)` as several rows and columns."""
    return cells.repeat(sizes[0], axis=1).repeat(sizes[1], axis=2)


class MaskedImageDataset(EpochDataset):
    """Pictures as batches from which a masked image model learns.

    Xie et al. 2022, arXiv:2111.09886 (SimMIM). `fit` of such a model takes pictures
    alone, too, and masks as much of them as the paper does. This data set masks what
    you ask for, and goes on where it was with `FollowEpochs`. A batch is what
    `mask_patches` returns.

    Args:
        pictures: List of paths, Pillow images or arrays, or an array of them.
        image_processor: What makes inputs of them, `model.image_processor`.
        patch_size: Height and width of a patch in pixels, `model.patch_size`.
        batch_size: B. The last batch is filled up with pictures that do not count.
        block_size: Side of a masked block in pixels; see `mask_patches`.
        rate: Share of the blocks that are masked.
        num_parts: How many epochs it takes to show all.
        shuffle: Draw another order and other blocks for each pass.
        seed: Seed of these draws.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Raises:
        ValueError: There are no pictures, or a number is out of its range.

    Example:

    >>> from keras_attention.images import ImageProcessor
    >>> pictures = np.zeros((5, 30, 20, 3), "uint8")
    >>> processor = ImageProcessor(image_size=(8, 12))
    >>> dataset = MaskedImageDataset(pictures, processor, patch_size=4, batch_size=2)
    >>> inputs, y, weights = dataset[0]
    >>> len(dataset), inputs["masked_patches"].shape, y.shape
    (3, (2, 6), (2, 8, 12, 3))
    """

    def __init__(
        self,
        pictures,
        image_processor,
        patch_size,
        batch_size=32,
        block_size=None,
        rate=RATE,
        num_parts=1,
        shuffle=True,
        seed=0,
        **kwargs,
    ):
        if not len(pictures):
            raise ValueError("At least one picture is needed. Received none.")
        self.pictures, self.image_processor = pictures, image_processor
        self.patch_size = patch_size
        self.block_size, self.rate = block_size, rate
        super().__init__(len(pictures), batch_size, num_parts, shuffle, seed, **kwargs)

    def __getitem__(self, index):
        number, rows, counts = self.rows_of(index)
        images = self.image_processor.load([self.pictures[row] for row in rows])
        seed = (self.seed, self.pass_index, 1, number)
        inputs, images, weights = mask_patches(
            images, self.patch_size, self.block_size, self.rate, seed
        )
        return inputs, images, weights * counts[:, None, None]
