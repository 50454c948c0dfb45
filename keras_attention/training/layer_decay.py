"""A smaller learning rate for the layers near the input.

Clark et al. 2020, arXiv:2003.10555, Appendix B; Bao et al. 2022, arXiv:2106.08254,
Section 3.2.
"""

import re

import keras
from keras import ops

from keras_attention.checkpoints.weights import named_weights


@keras.saving.register_keras_serializable("keras_attention")
class LayerDecay(keras.optimizers.Optimizer):
    """An optimizer whose learning rate is scaled for each weight.

    The inner optimizer makes its step, of which each weight takes its share:

        w = w + scale (step(w) - w)

    For optimizers whose step is proportional to the learning rate, such as SGD, Adam
    and AdamW with its weight decay, this is the same as another learning rate.
    `layer_decay` makes one for a model.

    Args:
        inner_optimizer: A Keras optimizer.
        scales: A number above 0 for each weight that is trained, in the order of
            `model.trainable_variables`.
        name: Name of the optimizer.

    Raises:
        ValueError: A scale is not positive, there are not as many as weights, or the
            inner optimizer overwrites the weights by their means as it goes.

    Example:

    >>> weights = [keras.Variable([1.0]), keras.Variable([1.0])]
    >>> optimizer = LayerDecay(keras.optimizers.SGD(1.0), scales=[0.5, 1.0])
    >>> optimizer.apply([ops.ones(1), ops.ones(1)], weights)
    >>> [weight.numpy().item() for weight in weights]
    [0.5, 0.0]
    """

    def __init__(self, inner_optimizer, scales, name=None, **kwargs):
        wrong = [scale for scale in scales if not scale > 0]
        if wrong:
            raise ValueError(
                f"Each of `scales` must be positive. Received: {wrong[0]!r}. Freeze a "
                "layer instead."
            )
        super().__init__(learning_rate=0.0, name=name, **kwargs)
        self.inner_optimizer = keras.optimizers.get(inner_optimizer)
        self.scales = [float(scale) for scale in scales]
        frequency = self.inner_optimizer.ema_overwrite_frequency
        if frequency:
            raise ValueError(
                "Weights that are overwritten as they are trained have no share of a "
                f"step. Received: ema_overwrite_frequency={frequency}. Leave it out: "
                "the weights are their means at the end of `fit`."
            )

    def build(self, variables):
        if len(variables) != len(self.scales):
            raise ValueError(
                f"There are {len(self.scales)} scales and {len(variables)} weights "
                "that are trained. Freeze layers before `layer_decay`, not after."
            )
        self.inner_optimizer.build(variables)
        super().build(variables)

    def apply(self, grads, trainable_variables=None):
        if not self.built:
            self.build(list(trainable_variables))
        inner = self.inner_optimizer
        variables = self._trainable_variables
        means = [None] * len(variables)
        if inner.use_ema:
            means = inner._model_variables_moving_average
        scaled = [
            (variable, mean, scale, ops.copy(variable))
            for variable, mean, scale in zip(variables, means, self.scales, strict=True)
            if scale != 1
        ]
        # What the inner optimizer takes of the newest weights into their means.
        is_first = ops.cast(ops.equal(inner.iterations, 0), "float32")
        share = 1 - (1 - is_first) * inner.ema_momentum if inner.use_ema else None
        inner.apply(grads, trainable_variables)
        for variable, mean, scale, before in scaled:
            step = variable - before
            variable.assign(before + scale * step)
            if mean is not None:
                mean.assign(mean + share * (scale - 1) * step)

    # What Keras asks of an optimizer around another one.

    @property
    def variables(self):
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self):
        return self.inner_optimizer.iterations

    def scale_loss(self, loss):
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {
            "inner_optimizer": inner,
            "scales": self.scales,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects
        )
        return cls(**{**config, "inner_optimizer": inner})


def layer_decay(optimizer, model, decay=0.75):
    """Lets the learning rate fall from block to block, towards the input.

    With L blocks, what stands behind the last one keeps the rate, block i, counted from
    1, has decay^(L + 1 - i) of it, and what stands before the first one decay^(L + 1).

    Args:
        optimizer: A Keras optimizer, or its name.
        model: A model whose blocks are called `block_0` and so on, as in the stacks of
            this library. Of two stacks, the encoder's blocks are counted before the
            decoder's.
        decay: From above 0 to 1; Clark et al. take 0.8 for base and 0.9 for large
            models, Bao et al. 0.65 for a base ViT and 0.75 for a large one.

    Returns:
        A `LayerDecay`, for `compile`.

    Raises:
        ValueError: `decay` is out of its range, or the model has no such block.

    Example:

    >>> from keras_attention.applications import ViT
    >>> model = ViT(
    ...     image_size=8, patch_size=4, hidden_dim=8, num_layers=2, num_heads=2,
    ...     mlp_dim=16, num_classes=3,
    ... )
    >>> optimizer = layer_decay(keras.optimizers.AdamW(1e-3), model, decay=0.5)
    >>> sorted(set(optimizer.scales))
    [0.125, 0.25, 0.5, 1.0]
    """
    if not 0 < decay <= 1:
        raise ValueError(
            f"`decay` must be above 0 and at most 1. Received: decay={decay!r}"
        )
    depths, num_blocks = _depths(named_weights(model))
    if not num_blocks:
        raise ValueError(
            f"No weight of {model.name!r} is inside a block, such as encoder/block_0. "
            "Use another optimizer for a model without blocks."
        )
    scales = [
        decay ** (num_blocks + 1 - depths[id(weight)])
        for weight in model.trainable_variables
    ]
    return LayerDecay(optimizer, scales)


def _depths(weights):
    """How many blocks have begun at each weight, by its id, and how many there are.

    What stands behind the last block counts one more.
    """
    found = [re.match(r"(.*?/)?block_\d+(?=/)", path) for path in weights]
    last = max((i for i, block in enumerate(found) if block), default=-1)
    depths, blocks = {}, set()
    for place, (block, weight) in enumerate(zip(found, weights.values(), strict=True)):
        if block:
            blocks.add(block.group())
        depths[id(weight)] = len(blocks) + int(place > last)
    return depths, len(blocks)
