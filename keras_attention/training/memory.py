"""How much memory a model takes to train and to write with, said before it is built.

Letters: B sequences or pictures on a device, T tokens.
"""

import typing

import keras
from keras import ops

from keras_attention.backend.without_values import built_without_values
from keras_attention.backend.without_values import bytes_of
from keras_attention.backend.without_values import bytes_of_optimizer
from keras_attention.backend.without_values import bytes_of_result
from keras_attention.backend.without_values import bytes_of_step
from keras_attention.checks import check_positive
from keras_attention.layers.transformer_stack import TransformerStack

# Tokens of a sequence, where neither the user nor the model says.
DEFAULT_LENGTH = 512


class MemoryForecast(typing.NamedTuple):
    """Bytes on each device; see `forecast_memory`.

    Attributes:
        num_parameters: How many weights the model has, on all devices together.
        weights: Bytes of the weights.
        gradients: Bytes of their gradients.
        optimizer: Bytes of what the optimizer keeps, such as Adam's two moments.
        activations: The most bytes that forward and backward pass hold besides; `None`
            where the backend cannot say it.
        step: The most bytes of activations and gradients at the same time: the last
            gradients come when most activations are gone.
        gathered: Bytes of the largest layer, which a device gathers from the others.
        cache: Bytes of the keys and values while it writes; `None` for a model that
            does not write.
    """

    num_parameters: int
    weights: int
    gradients: int
    optimizer: int
    activations: int | None
    step: int | None
    gathered: int
    cache: int | None

    @property
    def training(self):
        """The most bytes of a training step on each device."""
        step = self.gradients if self.step is None else self.step
        return self.weights + self.optimizer + step + self.gathered

    @property
    def writing(self):
        """Bytes of writing on each device, or `None` for a model that does not."""
        if self.cache is None:
            return None
        return self.weights + self.gathered + self.cache

    def __str__(self):
        rows = [
            ("weights", self.weights),
            ("gradients", self.gradients),
            ("optimizer", self.optimizer),
            ("activations", self.activations),
            ("gathered layer", self.gathered),
            ("training, at most", self.training),
            ("cache of keys and values", self.cache),
            ("writing, at most", self.writing),
        ]
        lines = [f"{self.num_parameters:,} parameters; on each device:"]
        lines += [
            f"{name:26}{'not known' if size is None else show_bytes(size):>12}"
            for name, size in rows
            if size or size is None and name == "activations"
        ]
        return "\n".join(lines)


def forecast_memory(
    make,
    batch_size=1,
    length=None,
    devices=1,
    optimizer="adam",
    remat=False,
):
    """Says what a training step and a writing model will hold on each device.

    Nothing is computed and no weight is drawn, so it takes seconds for any size:

        print(forecast_memory(lambda: GPT2.from_preset("gpt3_175b"), devices=512))

    Weights, gradients and the optimizer's state are counted, and divided by the number
    of devices, as `keras.distribution` and FSDP share them; the largest layer is
    whole on each device while it runs. Activations are what the backend itself says
    of the step: on JAX the memory of the compiled program, on PyTorch the tensors
    that are alive together. The precision is the global dtype policy.

    Args:
        make: Function without arguments that builds the model.
        batch_size: B, the sequences or pictures on one device.
        length: T, the tokens of a sequence. Defaults to the most that the model takes.
        devices: How many devices share the weights.
        optimizer: Name of a Keras optimizer, or the optimizer itself.
        remat: Whether each block forgets what it computed, and computes it again in
            the backward pass (`keras.RematScope`).

    Returns:
        A `MemoryForecast`; `print` shows it as a table.

    Raises:
        ValueError: A number is not positive, or the sequences are longer than the
            model takes.

    Example:

    >>> from keras_attention.applications import GPT2
    >>> small = dict(vocabulary_size=50, max_length=16, hidden_dim=8, num_heads=2)
    >>> forecast = forecast_memory(lambda: GPT2(num_layers=2, **small), optimizer="sgd")
    >>> forecast.weights == 4 * forecast.num_parameters
    True
    """
    check_positive(batch_size=batch_size, devices=devices)
    model = built_without_values(lambda: _build(make, remat))
    length = _length_of(model, length)
    inputs = keras.tree.map_structure(
        lambda x: _filled(x, batch_size, length), model.input
    )
    weights, trainable = bytes_of(model.weights), bytes_of(model.trainable_weights)
    optimizer = keras.optimizers.get(optimizer)
    kept = bytes_of_optimizer(optimizer, model.trainable_weights)
    activations, step = bytes_of_step(model, inputs, _loss, devices)
    gathered = 0
    if devices > 1:
        gathered = max(bytes_of(layer.weights) for layer in _blocks(model))
    return MemoryForecast(
        num_parameters=model.count_params(),
        weights=-(-weights // devices),
        gradients=-(-trainable // devices),
        optimizer=-(-kept // devices),
        activations=activations,
        step=step,
        gathered=gathered,
        cache=_cache_of(model, batch_size, length),
    )


def show_bytes(size):
    """A size for people.

    Args:
        size: Bytes.

    Example:

    >>> show_bytes(3 * 2**30)
    '3.0 GiB'
    """
    for unit, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size} bytes"


def _build(make, remat):
    """The model, of blocks that are computed again if asked."""
    model = make()
    if remat:
        names = sorted({block.name for block in _blocks(model)})
        with keras.RematScope(mode="list_of_layers", layer_names=names):
            model = make()
    return model


def _blocks(model):
    """The layers that hold most of a model: the blocks of its stacks, or all layers."""
    stacks = [x for x in model._flatten_layers() if isinstance(x, TransformerStack)]
    return [block for stack in stacks for block in stack.blocks] or model.layers


def _length_of(model, length):
    """How many tokens a sequence has: as many as the model takes, unless fewer."""
    most = getattr(model, "max_length", None)
    if length is None:
        return most or DEFAULT_LENGTH
    check_positive(length=length)
    if most is not None and length > most:
        raise ValueError(
            f"{type(model).__name__} takes at most {most} tokens. Received: "
            f"length={length}."
        )
    return length


def _filled(x, batch_size, length):
    """The shape of an input, its unknown axes filled."""
    shape = (batch_size, *(length if side is None else side for side in x.shape[1:]))
    return keras.KerasTensor(shape, x.dtype)


def _loss(outputs):
    """Cross-entropy over the last axis, as of logits; the mean of single numbers."""
    losses = []
    for x in keras.tree.flatten(outputs):
        if len(x.shape) > 1:
            classes = ops.zeros(x.shape[:-1], "int32")
            x = keras.losses.sparse_categorical_crossentropy(
                classes, x, from_logits=True
            )
        losses.append(ops.mean(ops.cast(x, "float32")))
    return sum(losses)


def _cache_of(model, batch_size, length):
    """Bytes of the keys and values of a decoder that writes, or `None`."""
    decoder = getattr(model, "decoder", None)
    if not hasattr(decoder, "start_cache") or not hasattr(model, "generate"):
        return None
    return bytes_of_result(lambda: decoder.start_cache(batch_size, length))
