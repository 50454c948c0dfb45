"""Matrices whose largest singular value is 1 (Miyato et al. 2018)."""

import keras
from keras import ops

from keras_attention.checks import check_positive
from keras_attention.layers.base import BaseLayer

# The length of a vector is never less: a matrix of zeros stays one.
EPSILON = 1e-12


@keras.saving.register_keras_serializable("keras_attention")
class SpectralNormalization(BaseLayer):
    """Divides each matrix of a layer by its largest singular value.

    Miyato et al. 2018, arXiv:1802.05957, Algorithm 1. With W of the shape `(R, C)`, a
    kernel of a convolution with all that makes a channel in its rows:

        v = W u / |W u|,   u = v W / |v W|        in each step of training
        sigma = v W u,     W' = W / sigma

    What is learned is W, through the division, on every backend, and inference divides
    by the same number. (The layer of that name in Keras writes W' over W where a
    backend changes weights in place, and calls the layer with W in inference where it
    does not.)

    Args:
        layer: A layer with matrices or kernels, such as `keras.layers.Conv2D`, `Dense`
            and `Embedding` or `SelfAttention2D`.
        power_iterations: How often the vector u of each matrix goes on in a step.

    Call arguments:
        inputs: What the layer takes.
        return_attention_scores: Also return the weights, of a layer that has them.

    Returns:
        What the layer returns.

    Raises:
        ValueError: The layer has no matrix.

    Example:

    >>> layer = SpectralNormalization(keras.layers.Conv2D(5, 3, padding="same"))
    >>> tuple(layer(keras.ops.ones((2, 4, 6, 3))).shape)
    (2, 4, 6, 5)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(**kwargs)
        check_positive(power_iterations=power_iterations)
        self.layer = layer
        self.power_iterations = power_iterations

    def build(self, inputs_shape):
        if not self.layer.built:
            self.layer.build(inputs_shape)
        self.kernels = [w for w in self.layer.weights if len(w.shape) > 1]
        if not self.kernels:
            raise ValueError(
                "Matrices are divided by their singular value, and the layer has none. "
                f"Received: layer={type(self.layer).__name__} in layer {self.name!r}. "
                "Pass one with a kernel, such as `keras.layers.Conv2D`."
            )
        self.vectors = [
            self.add_weight(
                (kernel.shape[-1],),
                initializer=keras.initializers.RandomNormal(seed=number),
                trainable=False,
                autocast=False,
                name=f"{kernel.name}_vector",
            )
            for number, kernel in enumerate(self.kernels)
        ]
        self.built = True

    def quantize(self, mode=None, type_check=True, config=None):
        raise self._not_implemented_error(self.quantize)

    def call(self, inputs, return_attention_scores=False, training=None):
        self._check_kernels()
        options = {"return_attention_scores": True} if return_attention_scores else {}
        divided = {
            id(kernel): self._divide(kernel, vector, training)
            for kernel, vector in zip(self.kernels, self.vectors, strict=True)
        }
        learned, others = (
            [divided.get(id(weight), weight.value) for weight in weights]
            for weights in (
                self.layer.trainable_variables,
                self.layer.non_trainable_variables,
            )
        )
        outputs, _ = self.layer.stateless_call(learned, others, inputs, **options)
        return outputs

    def _check_kernels(self):
        inside = {id(weight) for weight in self.layer.weights}
        if not inside.issuperset(map(id, self.kernels)):
            raise ValueError(
                f"The layer {self.layer.name!r} in {self.name!r} has other matrices "
                "than those that are divided by their singular value: it was quantized."
                " Leave it out with `filters` of `quantize`."
            )

    def _divide(self, kernel, vector, training):
        matrix = ops.cast(kernel, self.wide_dtype)
        matrix = ops.reshape(matrix, (-1, kernel.shape[-1]))  # (R, C)
        fixed = ops.stop_gradient(matrix)
        right = unit(ops.cast(vector, self.wide_dtype))
        for _ in range(self.power_iterations if training else 0):
            right = unit(ops.matmul(unit(ops.matmul(fixed, right)), fixed))
        left = unit(ops.matmul(fixed, right))
        if training:
            vector.assign(right)
        sigma = ops.sum(left * ops.matmul(matrix, right))
        sigma = ops.where(sigma > EPSILON, sigma, 1.0)
        return ops.reshape(matrix / sigma, kernel.shape)

    def compute_mask(self, inputs, previous_mask):
        return None


def unit(x):
    """A vector of the same direction and of length 1, `(C,)`; of zeros, zeros."""
    return x / (ops.sqrt(ops.sum(ops.square(x))) + EPSILON)
