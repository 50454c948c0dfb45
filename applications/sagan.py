"""SAGAN: pictures of a class, made by a generator with attention (Zhang et al. 2019).

arXiv:1805.08318; the authors' code: github.com/brain-research/self-attention-gan.

Letters: B pictures, Z width of the noise.
"""

import keras
import numpy as np
from keras import ops

from keras_attention.applications.application import Application
from keras_attention.checks import check_positive
from keras_attention.checks import check_stages
from keras_attention.layers.convolution.gan_blocks import convolution
from keras_attention.layers.convolution.gan_blocks import DiscriminatorBlock
from keras_attention.layers.convolution.gan_blocks import GeneratorBlock
from keras_attention.layers.convolution.normed_convolution import EPSILON
from keras_attention.layers.convolution.normed_convolution import MOMENTUM
from keras_attention.layers.convolution.spectral_normalization import (
    SpectralNormalization,
)
from keras_attention.layers.grid_encoder import image_sides
from keras_attention.layers.random_noise import RandomNoise
from keras_attention.layers.self_attention_2d import SelfAttention2D
from keras_attention.tasks.class_ids import class_ids
from keras_attention.training.adversarial_losses import discriminator_hinge_loss
from keras_attention.training.adversarial_losses import generator_hinge_loss
from keras_attention.training.layer_decay import LayerDecay


@keras.saving.register_keras_serializable("keras_attention")
class SAGAN(Application):
    """Makes pictures of a class, after it learned from pictures with their classes.

    Zhang et al. 2019, arXiv:1805.08318, Section 3. A generator makes pictures of noise,
    a discriminator scores real and generated ones, and both learn at once, each from
    the other. Convolutions see what is near; `SelfAttention2D` at one size of the
    features lets each place read all others. Every matrix is divided by its largest
    singular value (`SpectralNormalization`), in both networks.

        generator       x = noise W + b                         (B, 4, 4, 1024)
                        x = blocks that double rows and columns
                        images = tanh(conv 3x3(relu(norm(x))))  (B, height, width, 3)
        discriminator   y = blocks that halve them, one that does not
                        y = sum over places of relu(y)          (B, 1024)
                        score = y W + b + y . embedding[label]  (B, 1)

    The classes are in the norms of the generator (`ConditionalBatchNormalization`) and
    in the score (Miyato & Koyama 2018). Training minimizes the hinge loss, and the
    discriminator learns faster than the generator, which `two_time_scales` makes:

        model = SAGAN.from_preset("sagan_128", num_classes=10)
        model.compile(model.two_time_scales())
        model.fit(images, labels, batch_size=64, epochs=100)
        pictures = model.generate([3, 3, 7])

    Both step at once, from one batch: its pictures are real, its labels are also those
    of the generated ones. `fit` and `evaluate` tell the losses of both. The networks
    are `model.generator` and `model.discriminator`.

    Args:
        image_size: Height and width in pixels, one integer or two.
        num_channels: Number of channels.
        num_classes: Number of classes.
        class_names: Their names.
        noise_dim: Z.
        generator_dims: Channels behind each block of the generator, each of which
            doubles rows and columns; the first are also those of its first features.
        discriminator_dims: Channels behind each block of the discriminator, each of
            which halves rows and columns; one more block, of the last, does not.
        attention_sizes: Rows of the features that are read by attention, behind the
            block that makes them; none for a network of convolutions alone.
        seed: Integer, for reproducible noise.
        name: Name of the model.

    Call arguments:
        inputs: Dict with `images`, floats from -1 to 1 `(B, height, width,
            num_channels)`, and `labels`, integers `(B,)`. `fit` and `evaluate` also
            take images and labels, or batches of both.

    Returns:
        Dict with `generated`, images like the inputs, of the same labels;
        `real_scores` and `generated_scores`, each `(B, 1)`.

    Raises:
        ValueError: The blocks do not fit the images, or there are no features of an
            attention's size.

    Example:

    >>> model = SAGAN(
    ...     image_size=16, num_classes=3, noise_dim=8, generator_dims=(16, 8),
    ...     discriminator_dims=(8, 16), attention_sizes=(8,),
    ... )
    >>> model.generate([0, 2, 2, 1], seed=1).shape
    (4, 16, 16, 3)
    """

    # Section 4: 128 x 128, attention at 32 x 32 (Table 1). The widths are those of the
    # authors' code, with the 1000 classes of ImageNet.
    presets_table = {
        "sagan_128": {
            "description": "128 x 128, attention at 32 x 32.",
            "parameters": 81_542_470,
        },
        "sagan_128_attention_at_64": {
            "description": "128 x 128, attention at 64 x 64.",
            "parameters": 81_465_670,
            "attention_sizes": (64,),
        },
        "sagan_128_without_attention": {
            "description": "128 x 128, convolutions alone.",
            "parameters": 81_440_068,
            "attention_sizes": (),
        },
    }

    def __init__(
        self,
        *,
        image_size=128,
        num_channels=3,
        num_classes=1000,
        class_names=None,
        noise_dim=128,
        generator_dims=(1024, 512, 256, 128, 64),
        discriminator_dims=(64, 128, 256, 512, 1024),
        attention_sizes=(32,),
        seed=None,
        name=None,
    ):
        check_positive(
            num_channels=num_channels, num_classes=num_classes, noise_dim=noise_dim
        )
        check_stages(generator_dims=generator_dims)
        check_stages(discriminator_dims=discriminator_dims)
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                "`class_names` must name each class. Received: "
                f"{len(class_names)} names, num_classes={num_classes}"
            )
        sides = image_sides(image_size)
        _check_sizes(sides, generator_dims, discriminator_dims, attention_sizes)
        generator = build_generator(
            sides, num_channels, num_classes, noise_dim, generator_dims, attention_sizes
        )
        discriminator = build_discriminator(
            sides, num_channels, num_classes, discriminator_dims, attention_sizes
        )

        images = keras.Input((*sides, num_channels), name="images")
        labels = keras.Input((), dtype="int32", name="labels")
        noise = RandomNoise(noise_dim, seed, name="noise")(labels)  # (B, Z)
        generated = generator({"noise": noise, "labels": labels})
        both = ops.concatenate([images, ops.stop_gradient(generated)])
        scores = discriminator(
            {"images": both, "labels": ops.concatenate([labels, labels])}
        )  # (2 B, 1)
        real_scores, generated_scores = ops.split(scores, 2)
        outputs = {
            "generated": generated,
            "real_scores": real_scores,
            "generated_scores": generated_scores,
        }
        super().__init__({"images": images, "labels": labels}, outputs, name=name)
        self.generator, self.discriminator = generator, discriminator
        self.image_size = sides
        self._losses_of_both = [
            keras.metrics.Mean(name=f"{each}_loss")
            for each in ("discriminator", "generator")
        ]

    def two_time_scales(self, discriminator_rate=4e-4, generator_rate=1e-4, beta_2=0.9):
        """The paper's optimizer: Adam, with another learning rate for each network.

        Zhang et al. 2019, Section 3.3; Heusel et al. 2017, arXiv:1706.08500.

        Args:
            discriminator_rate: Learning rate of the discriminator, a number or a
                schedule.
            generator_rate: That of the generator; with a schedule, where it begins.
            beta_2: Decay of the mean of squared gradients. That of the mean of
                gradients is 0.

        Returns:
            An optimizer, for `compile`.

        Example:

        >>> model = SAGAN(
        ...     image_size=4, generator_dims=(8,), discriminator_dims=(8,),
        ...     attention_sizes=(), num_classes=2,
        ... )
        >>> model.compile(model.two_time_scales())
        >>> sorted(set(model.optimizer.scales))
        [0.25, 1.0]
        """
        first = discriminator_rate
        if callable(first):
            first = float(ops.convert_to_numpy(first(0)))
        generated = {id(weight) for weight in self.generator.trainable_variables}
        scales = [
            generator_rate / first if id(weight) in generated else 1.0
            for weight in self.trainable_variables
        ]
        adam = keras.optimizers.Adam(discriminator_rate, beta_1=0.0, beta_2=beta_2)
        return LayerDecay(adam, scales)

    # What Keras calls in `fit` and `evaluate`; on JAX the state comes before the batch.

    def train_step(self, *arguments):
        return super().train_step(*arguments[:-1], self._with_labels(arguments[-1]))

    def test_step(self, *arguments):
        return super().test_step(*arguments[:-1], self._with_labels(arguments[-1]))

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        losses = (
            discriminator_hinge_loss(y_pred["real_scores"], y_pred["generated_scores"]),
            generator_hinge_loss(self._score(y_pred["generated"], x["labels"])),
        )
        for tracker, loss in zip(self._losses_of_both, losses, strict=True):
            tracker.update_state(loss)
        return sum(losses)

    def _score(self, images, labels):
        """What the discriminator says of pictures, while its weights stand still."""
        weights = self.discriminator.trainable_variables
        states = self.discriminator.non_trainable_variables
        scores, _ = self.discriminator.stateless_call(
            [ops.stop_gradient(weight.value) for weight in weights],
            [state.value for state in states],
            {"images": images, "labels": labels},
            training=False,
        )
        return scores  # (B, 1)

    def _with_labels(self, batch):
        """A batch as a dict of images and labels."""
        if self.loss is not None:
            raise ValueError(
                "SAGAN has its own loss. Received: compile(loss=...). Leave it out."
            )
        x, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        if weights is not None:
            raise ValueError(
                "SAGAN weighs all pictures alike. Received: weights of samples. Leave "
                "out `sample_weight`."
            )
        if labels is not None:
            x = {"images": x, "labels": labels}
        if not isinstance(x, dict) or x.keys() != {"images", "labels"}:
            raise ValueError(
                "SAGAN learns from images and their labels. Received: "
                f"{sorted(x) if isinstance(x, dict) else type(x).__name__}. Write "
                "fit(images, labels)."
            )
        if "float" not in str(x["images"].dtype):
            raise ValueError(
                "Images must be floats from -1 to 1. Received: images of "
                f"{keras.backend.standardize_dtype(x['images'].dtype)}. Scale levels "
                "from 0 to 255 with images / 127.5 - 1."
            )
        return (x,)

    def fit(self, x=None, y=None, **options):
        """Learns from pictures and their classes.

        Args:
            x: Images, floats from -1 to 1 `(n, height, width, num_channels)`; or what
                Keras takes for it, with batches of images and labels.
            y: Labels, integers `(n,)`, or names where the model has `class_names`.
            **options: Others of `keras.Model.fit`.

        Returns:
            A `History`.
        """
        return super().fit(x, self._labels(y), **options)

    def evaluate(self, x=None, y=None, **options):
        """The losses of both networks, without learning.

        Args:
            x: As for `fit`.
            y: As for `fit`.
            **options: Others of `keras.Model.evaluate`.

        Returns:
            As `keras.Model.evaluate`.
        """
        return super().evaluate(x, self._labels(y), **options)

    def _labels(self, labels):
        """Names and numbers as numbers that are classes; what is a tensor stays one."""
        if isinstance(labels, list | tuple | np.ndarray):
            return class_ids(labels, self.class_names, self.num_classes)
        return labels

    def generate(self, labels, noise=None, seed=None, batch_size=64):
        """Makes a picture for each label.

        Args:
            labels: n integers, or names where the model has `class_names`.
            noise: `(n, Z)`. Drawn by default.
            seed: Integer, for reproducible noise.
            batch_size: B.

        Returns:
            Floats from -1 to 1, `(n, height, width, num_channels)`, NumPy. As levels:
            `((images + 1) * 127.5).round().astype("uint8")`.

        Raises:
            ValueError: A label is no class, or `noise` has another shape.
        """
        labels = class_ids(list(labels), self.class_names, self.num_classes)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise ValueError(
                "`labels` must be a list of classes. Received: an array of "
                f"{labels.dtype}, shape {labels.shape}"
            )
        shape = len(labels), self.noise_dim
        if noise is None:
            noise = np.random.default_rng(seed).standard_normal(shape)
        if np.shape(noise) != shape:
            raise ValueError(
                f"`noise` must have a row of {self.noise_dim} numbers for each label, "
                f"{shape}. Received: noise.shape={np.shape(noise)}"
            )
        inputs = {
            "noise": np.asarray(noise, "float32"),
            "labels": labels.astype("int32"),
        }
        return self.generator.predict(inputs, batch_size=batch_size, verbose=0)


def build_generator(sides, num_channels, num_classes, noise_dim, dims, attention_sizes):
    """The network from noise and labels to pictures."""
    noise = keras.Input((noise_dim,), name="noise")
    labels = keras.Input((), dtype="int32", name="labels")
    rows, columns = (side // 2 ** len(dims) for side in sides)
    first = keras.layers.Dense(rows * columns * dims[0], name="dense")
    x = SpectralNormalization(first, name="first")(noise)
    x = ops.reshape(x, (-1, rows, columns, dims[0]))
    for number, width in enumerate(dims):
        x = GeneratorBlock(width, num_classes, name=f"block_{number}")(x, labels)
        x = _with_attention(x, attention_sizes)
    x = keras.layers.BatchNormalization(
        axis=-1, momentum=MOMENTUM, epsilon=EPSILON, name="norm"
    )(x)
    x = convolution(num_channels, 3, "last")(ops.relu(x))
    inputs = {"noise": noise, "labels": labels}
    return keras.Model(inputs, ops.tanh(x), name="generator")


def build_discriminator(sides, num_channels, num_classes, dims, attention_sizes):
    """The network from pictures and labels to scores."""
    images = keras.Input((*sides, num_channels), name="images")
    labels = keras.Input((), dtype="int32", name="labels")
    x = images
    for number, width in enumerate(dims):
        x = DiscriminatorBlock(width, is_first=number == 0, name=f"block_{number}")(x)
        x = _with_attention(x, attention_sizes)
    x = DiscriminatorBlock(dims[-1], halves=False, name=f"block_{len(dims)}")(x)
    x = ops.sum(ops.relu(x), axis=(1, 2))  # (B, D)
    dense = keras.layers.Dense(1, name="dense")
    table = keras.layers.Embedding(
        num_classes, dims[-1], embeddings_initializer="glorot_uniform", name="embedding"
    )
    scores = SpectralNormalization(dense, name="score")(x)  # (B, 1)
    embedded = SpectralNormalization(table, name="projection")(labels)  # (B, D)
    scores = scores + ops.sum(x * embedded, axis=-1, keepdims=True)
    return keras.Model(
        {"images": images, "labels": labels}, scores, name="discriminator"
    )


def _with_attention(x, attention_sizes):
    if x.shape[1] not in attention_sizes:
        return x
    attention = SelfAttention2D(name="attention")
    return SpectralNormalization(attention, name=f"attention_at_{x.shape[1]}")(x)


def _check_sizes(sides, generator_dims, discriminator_dims, attention_sizes):
    multiple = 2 ** max(len(generator_dims), len(discriminator_dims))
    if any(side % multiple for side in sides):
        raise ValueError(
            f"Blocks double or halve rows and columns {len(generator_dims)} and "
            f"{len(discriminator_dims)} times: `image_size` must be a multiple of "
            f"{multiple}. Received: {sides}. Pass fewer channels in `generator_dims` "
            "and `discriminator_dims`, or another size."
        )
    made = {sides[0] // 2**n for n in range(len(generator_dims))}
    read = {sides[0] // 2**n for n in range(1, len(discriminator_dims) + 1)}
    wrong = sorted(set(attention_sizes) - (made | read))
    if wrong:
        raise ValueError(
            f"`attention_sizes` must be among the rows of the features: {sorted(made)} "
            f"in the generator and {sorted(read)} in the discriminator. Received: "
            f"{wrong}"
        )
