"""From pictures of any size to what a published vision model was trained on.

Letters for axes: B pictures, C channels.
"""

import json
import pathlib

import keras
import numpy as np

from keras_attention.checks import check_choice
from keras_attention.checks import check_positive
from keras_attention.files import import_package
from keras_attention.files import replace_file
from keras_attention.images.images import check_image_size
from keras_attention.images.images import load_image

PROCESSOR = "preprocessor_config.json"
# What a file of that name calls them, the numbers of Pillow.
INTERPOLATIONS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
# Of the pictures of ImageNet, from 0 to 1: what most models after ViT were trained on.
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
# Sharpness of Pillow's cubic kernel: Keys 1981, Equation 8. PyTorch has -0.75.
SHARPNESS = -0.5


@keras.saving.register_keras_serializable("keras_attention")
class ImageProcessor(keras.layers.Rescaling):
    """Makes of pictures what a vision model reads, exactly as it was trained.

        x = resize(images)                   levels 0 to 255, rounded
        x = crop the middle of x
        output = (scale x - mean) / std      (B, height, width, 3)

    `ViT.from_preset` makes one from the files of a checkpoint; it is
    `model.image_processor`, and saved with the model. `load` reads files and pictures
    of any sizes with Pillow: what comes out is that of `ViTImageProcessorPil` of the
    library transformers. (Its processors that use torchvision have other arithmetic.)

    As a layer it takes batches of one size, in a model or in a `tf.data` pipeline, on
    each backend. It resizes as Pillow does, along rows and then along columns, up to
    one level of 255. Newer versions of Pillow begin with columns where that is less
    work; where colours change sharply from pixel to pixel that is some levels more.

    Args:
        image_size: Height and width that pictures are stretched to, one integer or two.
        shortest_edge: Instead, the length of the shorter side; the aspect stays.
        crop_size: Height and width of the middle that is cut out then. Smaller pictures
            are padded with black.
        interpolation: `"nearest"`, `"bilinear"` or `"bicubic"`, the last two averaging
            where pictures become smaller.
        scale: Factor of the levels.
        mean: What is subtracted, one number or three; `None` for nothing.
        std: What the rest is divided by.

    Call arguments:
        images: Levels from 0 to 255, `(B, any height, any width, 3)` or one picture.

    Returns:
        float32 `(B, height, width, 3)`.

    Raises:
        ValueError: An argument is out of its range, or pictures of several sizes stay
            so.

    Example:

    >>> processor = ImageProcessor(image_size=(2, 4))
    >>> white = np.full((5, 3, 3), 255, "uint8")
    >>> processor.load([white, np.zeros((8, 9, 3))])[:, 0, 0, 0].tolist()
    [1.0, -1.0]
    """

    def __init__(
        self,
        image_size=None,
        shortest_edge=None,
        crop_size=None,
        interpolation="bilinear",
        scale=1 / 255,
        mean=0.5,
        std=0.5,
        **kwargs,
    ):
        if image_size is not None and shortest_edge is not None:
            raise ValueError(
                "Pictures are resized to `image_size` or to `shortest_edge`. Received "
                f"both: {image_size} and {shortest_edge}."
            )
        if shortest_edge is not None:
            check_positive(shortest_edge=shortest_edge)
        check_choice(tuple(INTERPOLATIONS.values()), interpolation=interpolation)
        spread = of_channels(std, 1.0)
        if not (spread > 0).all():
            raise ValueError(f"`std` must be more than 0. Received: std={std}")
        self.factors = (scale / spread).astype("float32")
        self.shift = (-of_channels(mean, 0.0) / spread).astype("float32")
        kwargs.setdefault("dtype", "float32")  # levels would be rounded in others
        super().__init__(scale, **kwargs)
        self.image_size = None if image_size is None else check_image_size(image_size)
        self.shortest_edge = shortest_edge
        self.crop_size = None if crop_size is None else check_image_size(crop_size)
        self.interpolation = interpolation
        self.mean, self.std = mean, std
        # Else Keras would run a model that holds this layer once more, uncompiled, in
        # each `train_on_batch` and `predict_on_batch`, to build it.
        self.built = True

    @property
    def output_size(self):
        """Height and width of all results, or `None` where they vary."""
        return self.crop_size or self.image_size

    def load(self, images):
        """Reads pictures of any sizes.

        Args:
            images: List of B pictures: paths, Pillow images, arrays and all else that
                `load_image` takes.

        Returns:
            float32 array `(B, height, width, 3)`.

        Raises:
            ValueError: One is no picture, or their sizes differ in the end.
        """
        levels = [self._crop(self._resize_with_pillow(load_image(i))) for i in images]
        shapes = {image.shape for image in levels}
        if len(shapes) > 1:
            raise ValueError(
                "The pictures of a batch must become equally large. Received pictures "
                f"that become {sorted(shape[:2] for shape in shapes)}. Give the "
                "processor an `image_size` or a `crop_size`."
            )
        return self.normalize(np.stack(levels))

    def normalize(self, levels):
        """Does the last step alone.

        Args:
            levels: NumPy array `(..., 3)` of levels from 0 to 255.

        Returns:
            float32 array.
        """
        return levels * self.factors + self.shift

    def call(self, images):
        backend = self.backend
        x = backend.cast(images, self.compute_dtype)
        height, width = x.shape[-3:-1]
        new_height, new_width = self._resized_shape(height, width)
        # First along rows, and rounded in between, as Pillow does.
        x = self._resample("jw,...hwc->...hjc", x, width, new_width)
        x = self._resample("ih,...hwc->...iwc", x, height, new_height)
        x = self._crop(x, backend.numpy)
        factors, shift = map(backend.convert_to_tensor, (self.factors, self.shift))
        return x * factors + shift

    def _resample(self, equation, x, old, new):
        if old == new:
            return x
        weights = resampling_weights(old, new, self.interpolation)
        x = self.backend.numpy.einsum(equation, weights.astype("float32"), x)
        return self.backend.numpy.clip(self.backend.numpy.floor(x + 0.5), 0, 255)

    def _resized_shape(self, height, width):
        if height is None or width is None:
            raise ValueError(
                "The size of the pictures must be known in layer "
                f"{self.name!r}. Received: height={height}, width={width}. Pass "
                "pictures of several sizes to `load`."
            )
        if self.image_size is not None:
            return self.image_size
        if self.shortest_edge is None:
            return height, width
        shortest = min(height, width)
        return tuple(self.shortest_edge * side // shortest for side in (height, width))

    def _resize_with_pillow(self, image):
        height, width = self._resized_shape(*image.shape[:2])
        if image.shape[:2] == (height, width):
            return image
        pillow = import_package("PIL.Image", "pillow", "vision", "Resizing pictures")
        method = pillow.Resampling[self.interpolation.upper()]
        return np.asarray(pillow.fromarray(image).resize((width, height), method))

    def _crop(self, images, library=np):
        """Cuts the middle out, or pads with zeros."""
        if self.crop_size is None:
            return images
        bands, middle = [(0, 0)] * (len(images.shape) - 3), [...]
        for old, new in zip(images.shape[-3:-1], self.crop_size, strict=True):
            missing, begin = max(new - old, 0), max(old - new, 0) // 2
            bands.append((missing - missing // 2, missing // 2))
            middle.append(slice(begin, begin + new))
        return library.pad(images, [*bands, (0, 0)])[(*middle, slice(None))]

    def compute_output_shape(self, images_shape):
        *batch, height, width, channels = images_shape
        size = self._resized_shape(height, width)
        return (*batch, *(self.crop_size or size), channels)

    def fitted_to(self, image_size):
        """One that does the same for a model of another image size.

        What is cut out and what is left over stay in proportion.

        Args:
            image_size: `(height, width)`.

        Returns:
            An `ImageProcessor`; this one where nothing changes, or where the size of
            its results varies.

        Example:

        >>> processor = ImageProcessor(shortest_edge=256, crop_size=224)
        >>> larger = processor.fitted_to((448, 448))
        >>> larger.shortest_edge, larger.crop_size
        (512, (448, 448))
        """
        image_size, old = tuple(image_size), self.output_size
        if old is None or old == image_size:
            return self
        config = self.get_config()
        ratios = [new / side for new, side in zip(image_size, old, strict=True)]
        for name in ("image_size", "crop_size"):
            if config[name] is not None:
                sides = zip(config[name], ratios, strict=True)
                config[name] = [round(side * ratio) for side, ratio in sides]
        if self.shortest_edge is not None:
            config["shortest_edge"] = round(self.shortest_edge * max(ratios))
        return type(self).from_config(config)

    def save(self, folder):
        """Writes `preprocessor_config.json`, for the library transformers, too.

        Args:
            folder: An existing folder. An existing file is replaced.
        """
        size = dict(zip(("height", "width"), self.image_size or (), strict=False))
        if self.shortest_edge is not None:
            size = {"shortest_edge": self.shortest_edge}
        crop = dict(zip(("height", "width"), self.crop_size or (), strict=False))
        codes = {name: code for code, name in INTERPOLATIONS.items()}
        config = {
            "image_processor_type": "ViTImageProcessor",
            "do_resize": bool(size),
            **({"size": size} if size else {}),
            "resample": codes[self.interpolation],
            "do_center_crop": bool(crop),
            **({"crop_size": crop} if crop else {}),
            "do_rescale": self.scale != 1,
            "rescale_factor": self.scale,
            "do_normalize": self.mean is not None or self.std is not None,
            "image_mean": of_channels(self.mean, 0.0).tolist(),
            "image_std": of_channels(self.std, 1.0).tolist(),
        }
        text = json.dumps(config, indent=2) + "\n"
        replace_file(pathlib.Path(folder) / PROCESSOR, text.encode())

    def get_config(self):
        config = super().get_config()
        del config["offset"]
        names = "image_size", "shortest_edge", "crop_size", "interpolation"
        own = {name: getattr(self, name) for name in (*names, "mean", "std")}
        return {**config, **own}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def of_channels(values, default):
    """Three numbers, of one, of three or of `None`."""
    return np.ones(3) * (default if values is None else values)


def resampling_weights(old, new, interpolation):
    """How much each of `old` pixels counts for each of `new`, `(new, old)`.

    As Pillow computes it: where pixels become fewer, the kernel becomes as much wider.

    Args:
        old: Number of pixels of a row.
        new: Number of them afterwards.
        interpolation: One of `INTERPOLATIONS`.

    Returns:
        float64 array; each row sums to 1.

    Example:

    >>> resampling_weights(4, 2, "bilinear").tolist()[0]
    [0.42857142857142855, 0.42857142857142855, 0.14285714285714285, 0.0]
    """
    places = (np.arange(new) + 0.5) * old / new  # middles of new pixels, in old ones
    if interpolation == "nearest":
        return np.eye(old)[places.astype(int)]
    distance = np.abs(np.arange(old) + 0.5 - places[:, None]) / max(old / new, 1)
    if interpolation == "bilinear":
        weights = np.maximum(1 - distance, 0)
    else:
        near = (SHARPNESS + 2) * distance**3 - (SHARPNESS + 3) * distance**2 + 1
        far = SHARPNESS * (distance**3 - 5 * distance**2 + 8 * distance - 4)
        weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return weights / weights.sum(axis=1, keepdims=True)
