"""Weights of KerasHub's backbones, read into our models and written from them.

KerasHub is asked for only when one of these functions is called. Its models compute
some things in one way alone, which is said in `Layout.fixed`: what ours would compute
otherwise is refused, not approximated.
"""

import warnings

import keras
import numpy as np

from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.checkpoints.keras_hub_layouts import LAYOUTS
from keras_attention.checkpoints.rules import match
from keras_attention.checkpoints.weights import layer_of
from keras_attention.checkpoints.weights import named_weights
from keras_attention.files import import_package

# Arguments of ours that change nothing in what a trained body computes.
FREE = frozenset(
    """
    name dtype seed tokenizer image_processor head num_classes class_names
    tie_embeddings initializer_range end_id padding_id dropout attention_dropout
    embedding_dropout classifier_dropout question_answering_dropout pooler_activation
    pooler_dropout drop_path use_pooler
    """.split()
)
# What a backbone has and a model with some heads has not.
POOLER = "pooled_dense/"


def from_keras_hub(backbone, **arguments):
    """Builds the model of ours that computes what a backbone of KerasHub computes.

    Args:
        backbone: A `keras_hub.models.BertBackbone`, or that of RoBERTa, ALBERT,
            DistilBERT, DeBERTa v3, GPT-2 or ViT.
        **arguments: Arguments of our model that a backbone does not have, such as
            `head`, `num_classes` or `tokenizer`. A head begins with random weights.

    Returns:
        A `BERT`, `RoBERTa`, `ALBERT`, `DistilBERT`, `DeBERTaV2`, `GPT2` or `ViT`.

    Raises:
        ValueError: There is no such model of ours, or an argument is another one's.

    Example:

    >>> import keras_hub
    >>> backbone = keras_hub.models.BertBackbone(
    ...     vocabulary_size=20, num_layers=1, num_heads=2, hidden_dim=8,
    ...     intermediate_dim=16,
    ... )
    >>> model = from_keras_hub(backbone, head="classification", num_classes=3)
    >>> type(model).__name__, model.output_shape
    ('BERT', (None, 3))
    """
    kind = type(backbone).__name__
    layout = LAYOUTS.get(kind)
    if layout is None:
        inner = type(getattr(backbone, "backbone", None)).__name__
        advice = ""
        if inner in LAYOUTS:
            advice = (
                " Pass its `backbone`, and ask for a `head`, which is trained anew."
            )
        raise ValueError(
            f"`backbone` must be one of KerasHub's {', '.join(LAYOUTS)}. Received: "
            f"{kind}.{advice}"
        )
    config = backbone.get_config()
    given = {field.argument: config[field.name] for field in layout.fields}
    given.update(layout.fixed)
    if layout.read is not None:
        given.update(layout.read(config))
    bound = sorted(arguments.keys() & given.keys() - FREE)
    if bound:
        raise ValueError(
            f"{', '.join(bound)} is what the backbone has. Received: "
            f"{ {name: arguments[name] for name in bound} } and a backbone with "
            f"{ {name: given[name] for name in bound} }. Leave it out."
        )
    given = {"dtype": backbone.dtype_policy.name, **given, **arguments}
    model = keras.saving.get_registered_object(f"keras_attention>{layout.model}")(
        **given
    )
    theirs = {weight.path: weight for weight in backbone.weights}
    for transfer in _transfers(model, layout):
        arrays = [keras.ops.convert_to_numpy(theirs[name]) for name in transfer.names]
        arrays = transfer.rule.transform.load(arrays)
        for weight, array in zip(transfer.weights.values(), arrays, strict=True):
            weight.assign(np.ascontiguousarray(array))
    return model


def to_keras_hub(model):
    """Builds the backbone of KerasHub that computes what a model of ours computes.

    Heads stay behind: those of KerasHub are other layers.

    Args:
        model: A `BERT`, `RoBERTa`, `ALBERT`, `DistilBERT`, `DeBERTaV2`, `GPT2` or
            `ViT`.

    Returns:
        A backbone, such as a `keras_hub.models.BertBackbone`.

    Raises:
        ImportError: KerasHub is not installed.
        ValueError: KerasHub has no such model, or computes something in another way.

    Example:

    >>> from keras_attention.applications import GPT2
    >>> model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=1, num_heads=2)
    >>> type(to_keras_hub(model)).__name__
    'GPT2Backbone'
    """
    found = {layout.model: kind for kind, layout in LAYOUTS.items()}
    kind = found.get(type(model).__name__)
    if kind is None:
        raise ValueError(
            f"`model` must be one of {', '.join(sorted(found))}. Received: "
            f"{type(model).__name__}"
        )
    models = import_package(
        "keras_hub.models", "keras-hub", "keras-nlp", "`to_keras_hub`"
    )
    layout = LAYOUTS[kind]
    arguments = {name: getattr(model, name) for name in argument_defaults(type(model))}
    arguments.update(model.get_config())
    _refuse_what_differs(model, kind, layout, arguments)
    config = {field.name: arguments[field.argument] for field in layout.fields}
    if layout.write is not None:
        config.update(layout.write(arguments))
    backbone = getattr(models, kind)(**config, dtype=model.dtype_policy.name)
    theirs = {weight.path: weight for weight in backbone.weights}
    for transfer in _transfers(model, layout):
        arrays = [keras.ops.convert_to_numpy(w) for w in transfer.weights.values()]
        arrays = transfer.rule.transform.save(arrays)
        for name, array in zip(transfer.names, arrays, strict=True):
            theirs.pop(name).assign(np.ascontiguousarray(array))
    if theirs:
        names = ", ".join(sorted(theirs))
        if not all(name.startswith(POOLER) for name in theirs):
            raise ValueError(
                f"This {kind} has weights that have no place in {model.name!r}: "
                f"{names}. Please report which version of KerasHub is installed."
            )
        warnings.warn(
            f"{model.name!r} has no pooler, so {names} stay random.", stacklevel=2
        )
    return backbone


def _refuse_what_differs(model, kind, layout, arguments):
    """Refuses a model that the backbone cannot compute."""
    said = {field.argument for field in layout.fields}
    if layout.write is not None:
        said |= layout.read(layout.write(arguments)).keys()
    said |= FREE - layout.fixed.keys()
    expected = {**argument_defaults(type(model)), **layout.fixed}
    for name, value in expected.items():
        if name in said or _plain(arguments[name]) == _plain(value):
            continue
        raise ValueError(
            f"KerasHub's {kind} computes {name}={value!r} alone. Received: a model "
            f"with {name}={arguments[name]!r}. Where the difference is small enough "
            f"for you, load it with {name}={value!r} first."
        )


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _transfers(model, layout):
    """The rules of the body, with the weights that they are about."""
    arguments = {**argument_defaults(type(model)), **model.get_config()}
    rules = layout.rules(arguments)
    heads = [layer for layers in model.head_layers().values() for layer in layers]
    weights = {
        path: weight
        for path, weight in named_weights(model).items()
        if any(rule.numbers_in(path) is not None for rule in rules)
        or not layer_of(path, heads)
    }
    return match(rules, weights)
