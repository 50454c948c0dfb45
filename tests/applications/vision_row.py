"""A family of published vision models: what a row of their table says."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

RNG = np.random.default_rng(3)


def pictures(height, width, channels=3):
    return RNG.normal(size=(2, height, width, channels)).astype("float32")


def cut(model, name):
    """The model up to a layer."""
    return keras.Model(model.inputs[0], model.get_layer(name).output)


@dataclasses.dataclass(frozen=True)
class Row:
    """A family of models that read pictures.

    Args:
        model: Our class.
        arguments: Ours, none at its default.
        size: Height and width of the pictures that the references read.
        channels: Number of their channels.
        published: How the classes of transformers begin, or `None` without any.
        config: An odd configuration of them.
        heads: Dict from a name to the end of the class, changes of the config, ours
            for the loaded model, and the outputs there by ours.
        states: Function of our model and pictures to pairs of what is in `hidden
            states` there, in their layout, and of weights of attention or `None`.
        timm: Dict from a name to that of timm's model and its arguments.
        given: What the published files do not say.
        has_any_size: Whether its published classes read images of any size, too.
        stretched: Another size to which its positions are stretched there, too.
        not_kept: Ends of published names that are not read, and written anew.
        unpublished: Arguments that no published layout says.
        is_written_for_timm: Whether what is read from timm is written for it.
    """

    model: type
    arguments: dict
    size: tuple
    channels: int = 3
    published: str | None = None
    config: dict = dataclasses.field(default_factory=dict)
    heads: dict = dataclasses.field(default_factory=dict)
    states: Callable | None = None
    timm: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)
    has_any_size: bool = False
    stretched: tuple | None = None
    not_kept: tuple = ()
    unpublished: tuple = ()
    is_written_for_timm: bool = False

    def pictures(self, channels=None, size=None):
        return pictures(*(size or self.size), channels or self.channels)


CLASSES = {"num_labels": 4}
