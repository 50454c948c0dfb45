"""Attention maps: the weights of every attention layer of a model, as NumPy arrays."""

import collections.abc
import contextlib
import dataclasses
import types

import keras
import numpy as np
from keras import ops

from keras_attention.backend.exporting import input_signature_of
from keras_attention.backend.kept_variables import keeping_variables
from keras_attention.backend.served_function import ServedFunction
from keras_attention.layers.recorder import active
from keras_attention.layers.recorder import Recorder
from keras_attention.visualization.heads import show_heads
from keras_attention.visualization.watching import check_visible
from keras_attention.visualization.watching import keras_layers_of
from keras_attention.visualization.watching import watched


@dataclasses.dataclass(frozen=True, eq=False)
class AttentionMap:
    """The weights of one attention layer.

    Args:
        name: The path of the layer; with `:1` and so on where it ran more than once.
        weights: `(B, N, T, S)` float32, NumPy.
        kind: `"self"` or `"cross"`.

    Example:

    >>> AttentionMap("block_0", np.ones((1, 2, 3, 3)), "self")
    <AttentionMap 'block_0', self, (1, 2, 3, 3)>
    """

    name: str
    weights: np.ndarray
    kind: str

    def __repr__(self):
        return f"<AttentionMap {self.name!r}, {self.kind}, {self.weights.shape}>"


class AttentionMaps(collections.abc.Mapping):
    """The attention maps of a model, in the order in which its layers ran.

    Args:
        maps: List of `AttentionMap`.

    Example:

    >>> maps = AttentionMaps([AttentionMap("block_0", np.ones((1, 2, 3, 3)), "self")])
    >>> maps["block_0"].weights.shape, maps[0].name, list(maps)
    ((1, 2, 3, 3), 'block_0', ['block_0'])
    """

    def __init__(self, maps):
        self._maps = list(maps)

    def __getitem__(self, key):
        """A map by its name, by the only part of a name that fits, or by its number."""
        if isinstance(key, int):
            return self._maps[key]
        found = [each for each in self._maps if each.name == key]
        found = found or [each for each in self._maps if key in each.name]
        if len(found) != 1:
            raise KeyError(
                f"One map has to have {key!r} in its name. Received: "
                f"{len(found)} of {[each.name for each in self._maps]}"
            )
        return found[0]

    def __iter__(self):
        return (each.name for each in self._maps)

    def __len__(self):
        return len(self._maps)

    def __repr__(self):
        return "\n".join(["AttentionMaps:", *(f"  {each}" for each in self._maps)])

    def _repr_html_(self):
        """In a notebook: the page of all heads."""
        return show_heads(self)._repr_html_()

    def of_kind(self, kind):
        """The maps of one kind, `"self"` or `"cross"`."""
        return AttentionMaps(each for each in self._maps if each.kind == kind)


@keras.saving.register_keras_serializable("keras_attention")
class AttentionExtractor(keras.Model):
    """Runs a model and gives its attention weights with its outputs.

    It has no weights of its own, and `predict` takes what the model's does: arrays,
    `tf.data`, a torch DataLoader, a `PyDataset`. The model itself is not changed.

    Args:
        model: A model or a layer.
        layers: Which attention layers: a part of their path, a list of such parts, or
            a function of the path. Defaults to all.
        include_keras: Whether Keras's own attention layers count, too, as in
            `attention_maps`.

    Call arguments:
        inputs: What the model is called with.

    Returns:
        The outputs of the model, and a list of weights `(B, N, T, S)` float32, in the
        order in which the layers ran. `names` and `kinds` then say which are which.

    Example:

    >>> from keras_attention.layers import MultiHeadSelfAttention
    >>> layer = MultiHeadSelfAttention(num_heads=2, key_dim=4, name="attention")
    >>> layer.build((None, 3, 8))
    >>> extractor = AttentionExtractor(layer)
    >>> outputs, weights = extractor.predict(np.ones((5, 3, 8)), verbose=0)
    >>> extractor.names, [w.shape for w in weights]
    (('attention',), [(5, 2, 3, 3)])
    """

    def __init__(self, model, layers=None, include_keras=False, **kwargs):
        super().__init__(**kwargs)
        check_visible(model)
        if not model.built:
            raise ValueError(
                f"The model {model.name!r} has no weights yet. Call it once on some "
                "inputs, then pass it."
            )
        self.model = model
        self.layers_wanted = layers
        self.include_keras = include_keras
        self.names, self.kinds = (), ()

    def build(self, inputs_shape=None):
        self.built = True

    def call(self, inputs):
        with (
            watched(self.model, self.include_keras),
            active(Recorder(self.layers_wanted)) as recorder,
        ):
            outputs = run(self.model, inputs)
        # Plain strings, and a list: JAX would sort a dict by its keys.
        self.names = tuple(recorder.names)
        self.kinds = tuple(recorder.kinds)
        return outputs, [ops.cast(w, "float32") for w in recorder.weights]

    # Whatever ends it, the model that is watched keeps its weights.
    predict = keeping_variables(keras.Model.predict)

    def export(self, filepath, format="tf_saved_model", verbose=None, **kwargs):
        """Writes the model as a program that also gives its weights.

        Its outputs are those of the model, `output` where they have no name, and the
        weights under the paths of their layers, `encoder_block_0_self_attention`.

        Args:
            filepath, format, verbose, **kwargs: As for `Application.export`.

        Raises:
            ValueError: The backend cannot write the format; the error says which can.
        """
        signature = kwargs.pop("input_signature", None)
        signature = signature or input_signature_of(self.model)
        served = ServedFunction(self.model, self._name_outputs, signature)
        served.export(filepath, format, verbose, **kwargs)

    def _name_outputs(self, inputs):
        """What `call` gives as a dict: outputs, and weights by the paths of layers."""
        outputs, weights = self.call(inputs)
        if not isinstance(outputs, dict):
            outputs = keras.tree.flatten(outputs)
            names = ["output", *(f"output_{i}" for i in range(1, len(outputs)))]
            outputs = dict(zip(names, outputs, strict=True))
        names = (name.replace("/", "_").replace(":", "_") for name in self.names)
        return {**outputs, **dict(zip(names, weights, strict=True))}

    def get_config(self):
        return {
            **super().get_config(),
            "model": keras.saving.serialize_keras_object(self.model),
            "layers": self.layers_wanted,
            "include_keras": self.include_keras,
        }

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})


def attention_maps(model, inputs, layers=None, batch_size=None, include_keras=False):
    """Gives the weights of every attention layer of a model.

    Any model or layer, functional or subclassed, whose attention is of this library, or
    of Keras with `include_keras`; dropout is off, and the weights are those of its
    inference. They are computed by a compiled function of their own: what the model
    was compiled to before is not touched, and stays fast.

    Args:
        model: A model or a layer.
        inputs: What the model is called with: an array `(B, ...)`, or a dict, list or
            tuple of arrays.
        layers: Which attention layers: a part of their path, a list of such parts, or
            a function of the path. Defaults to all.
        batch_size: Sequences at a time. Defaults to 32.
        include_keras: Whether the attention layers of Keras itself count, too, for
            models of other libraries: `MultiHeadAttention`, `GroupQueryAttention`,
            `Attention`, `AdditiveAttention` and what derives from them, as in many
            models of KerasHub. Their weights are those that they return with
            `return_attention_scores=True`, whether or not they use a fused kernel
            otherwise.

    Returns:
        `AttentionMaps`: by name, `AttentionMap` objects whose `weights` are NumPy
        arrays `(B, N, T, S)`.

    Raises:
        ValueError: The model has no attention layer that is wanted, or cannot be seen.

    Example:

    >>> from keras_attention.layers import TransformerEncoder, TransformerEncoderBlock
    >>> block = TransformerEncoderBlock(num_heads=2, mlp_dim=16)
    >>> encoder = TransformerEncoder(block, num_layers=3, name="encoder")
    >>> maps = attention_maps(encoder, np.ones((4, 5, 8)))
    >>> list(maps)[0], maps["block_2"].weights.shape
    ('encoder/block_0/self_attention', (4, 2, 5, 5))
    """
    check_visible(model)
    arrays = keras.tree.map_structure(np.asarray, inputs)
    if not model.built:
        with watched(model):
            run(model, keras.tree.map_structure(lambda array: array[:1], arrays))
    extractor = _extractor(model, layers, include_keras)
    _, weights = extractor.predict(arrays, batch_size=batch_size, verbose=0)
    return named(
        model, extractor.names, weights, extractor.kinds, layers, include_keras
    )


def _extractor(model, layers, include_keras):
    """The extractor of a model, made and compiled once for the same question."""
    if callable(layers):
        return AttentionExtractor(model, layers, include_keras)  # nobody knows it again
    if not hasattr(model, "_extractors"):
        # Not a dict: Keras would take what is in it for a part of this model.
        model._extractors = types.SimpleNamespace(made={})
    wanted = tuple(layers) if isinstance(layers, list) else layers
    key = (wanted, include_keras, tuple(map(id, model.variables)))
    made = model._extractors.made
    if key not in made:
        made[key] = AttentionExtractor(model, layers, include_keras)
    return made[key]


@contextlib.contextmanager
def recording(layers=None):
    """Keeps the weights of all attention that runs within, for exploration.

    Only for calls that run step by step, such as `model(inputs)`; of `predict` and
    other compiled functions, `attention_maps` gives the weights.

    Args:
        layers: Which attention layers: a part of their path, a list of such parts, or
            a function of the path. Defaults to all.

    Returns:
        A context that gives a function without arguments, which returns the
        `AttentionMaps` of what ran so far.

    Example:

    >>> from keras_attention.layers import MultiHeadSelfAttention
    >>> layer = MultiHeadSelfAttention(num_heads=2, key_dim=4, name="attention")
    >>> with recording() as maps:
    ...     output = layer(np.ones((1, 3, 8)))
    >>> maps()["attention"].weights.shape
    (1, 2, 3, 3)
    """
    with active(Recorder(layers)) as recorder:
        yield lambda: named(
            None, recorder.names, recorder.weights, recorder.kinds, layers
        )


def run(model, inputs):
    """Calls a model as in inference, or a layer that takes no `training`."""
    if getattr(model, "_call_has_training_arg", True):
        return model(inputs, training=False)
    return model(inputs)


def named(model, names, weights, kinds, layers, include_keras=False):
    """Makes `AttentionMaps`, or says why there are none."""
    if not names:
        name = getattr(model, "name", "that ran")
        wanted = "" if layers is None else f" whose path has {layers!r}"
        theirs = [] if model is None or include_keras else keras_layers_of(model)
        do = (
            f"Keras's own are there, {len(theirs)}: pass include_keras=True."
            if theirs
            else "Pass the model itself, not a function that was compiled from it."
        )
        raise ValueError(
            f"No attention was recorded in the model {name!r}: it has no attention "
            f"layer of keras_attention{wanted}. {do}"
        )
    weights = [
        np.asarray(ops.convert_to_numpy(ops.cast(w, "float32"))) for w in weights
    ]
    return AttentionMaps(map(AttentionMap, names, weights, kinds))
