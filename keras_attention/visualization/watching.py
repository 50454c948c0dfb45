"""Makes the layers of a model visible for the time in which its attention is captured.

Layers of this library look for a recorder by themselves. Those of Keras do not: for a
while, each is asked for its weights with `return_attention_scores=True`, so that it
computes them, and the recorder gets them before the values are read.
"""

import contextlib
import functools
import inspect
import math
import threading

import keras
from keras import ops

from keras_attention.layers.recorder import recorder_for

# Their subclasses too, such as AdditiveAttention and many of KerasHub's.
KERAS_LAYERS = (
    keras.layers.MultiHeadAttention,
    keras.layers.GroupQueryAttention,
    keras.layers.Attention,
)

# What marks a function as compiled, on TensorFlow, JAX and torch.
COMPILED = ("get_concrete_function", "lower", "_torchdynamo_orig_callable")

# Layers that are changed for a while are changed by one thread at a time.
_changing = threading.RLock()


def layers_of(model):
    """All layers within a model, each once, itself included."""
    return list({id(layer): layer for layer in model._flatten_layers()}.values())


def keras_layers_of(model):
    """The attention layers of Keras within a model."""
    return [layer for layer in layers_of(model) if isinstance(layer, KERAS_LAYERS)]


def check_visible(model):
    """Raises a `ValueError` for what cannot be seen from outside."""
    if not isinstance(model, keras.layers.Layer):
        raise ValueError(
            "`model` must be a Keras model or layer. Received: "
            f"{type(model).__name__}. Pass the model itself, not a function that was "
            "compiled from it."
        )
    for layer in layers_of(model):
        if any(hasattr(layer.call, mark) for mark in COMPILED):
            raise ValueError(
                f"The `call` of the layer {layer.name!r} is a function that was "
                "compiled, and what it computes cannot be seen. Leave it as it is and "
                "compile the model with `model.compile(jit_compile=True)` instead."
            )


@contextlib.contextmanager
def watched(model, include_keras=False):
    """Lets an active recorder see all attention of a model.

    Nothing forgets what it computes (`keras.RematScope`) within this context. All is as
    before when it ends.

    Args:
        model: A model or a layer.
        include_keras: Whether the attention layers of Keras are seen, too.
    """
    with contextlib.ExitStack() as stack:
        # Before looking: what another thread has put in place is no layer's own.
        stack.enter_context(_changing)
        changes = _changes(model, include_keras)
        if not changes:
            stack.close()
        for layer, name, value in changes:
            stack.callback(_put, layer, name, layer.__dict__.get(name, _put))
            _put(layer, name, value)
        yield


def _changes(model, include_keras):
    """What is set for a while: layers, names of attributes, and values."""
    changes = [
        (layer, "_remat_mode", None)
        for layer in layers_of(model)
        if getattr(layer, "_remat_mode", None) is not None
    ]
    for layer in keras_layers_of(model) if include_keras else []:
        changes.append((layer, "call", functools.partial(_call, layer, layer.call)))
        if getattr(layer, "_flash_attention", False):  # it refuses to give weights
            changes.append((layer, "_flash_attention", False))
    return changes


def _put(layer, name, value):
    """Sets an attribute past all that watches it; `_put` itself stands for none."""
    if value is _put:
        layer.__dict__.pop(name, None)
    else:
        layer.__dict__[name] = value


def _call(layer, call, *args, **kwargs):
    """Calls a layer of Keras, and hands its weights to the recorder."""
    recorder = recorder_for(layer.path)
    if recorder is None:
        return call(*args, **kwargs)
    signature = inspect.signature(call)
    if "return_attention_scores" not in signature.parameters:
        raise ValueError(
            f"The layer {layer.path!r} of the class {type(layer).__name__} does not "
            "give its weights: its `call` takes no `return_attention_scores`. Choose "
            "other layers with `layers=`."
        )
    bound = signature.bind(*args, **kwargs)
    asked = bound.arguments.get("return_attention_scores", False)
    bound.arguments["return_attention_scores"] = True
    kind, before = _kind(bound.arguments), len(recorder.weights)

    def record(weights):
        return recorder.record(layer.path, kind, weights)

    name, replacement = _recorded(layer, record)
    with contextlib.ExitStack() as stack:
        stack.callback(_put, layer, name, layer.__dict__.get(name, _put))
        _put(layer, name, replacement)
        output, weights, *rest = call(*bound.args, **bound.kwargs)
    if len(recorder.weights) == before:  # it computes them in a way of its own
        if recorder.has_probes:
            raise ValueError(
                f"The weights of the layer {layer.path!r} of the class "
                f"{type(layer).__name__} cannot be changed, so their relevance is not "
                "known. Choose other layers with `layers=`."
            )
        record(_with_heads(layer, weights))
    if asked:
        return output, weights, *rest
    return (output, *rest) if rest else output


def _recorded(layer, record):
    """The name of the method that computes the weights, and one that records them."""
    if isinstance(layer, keras.layers.Attention):
        apply_scores = layer._apply_scores

        def apply_recorded(scores, value, *args, **kwargs):
            _, weights = apply_scores(scores, value, *args, **kwargs)
            weights = record(weights[:, None])[:, 0]  # (B, T, S)
            return ops.matmul(weights, value), weights

        return "_apply_scores", apply_recorded
    softmax = layer._masked_softmax

    def recorded_softmax(*args, **kwargs):
        weights = softmax(*args, **kwargs)
        return ops.reshape(record(_with_heads(layer, weights)), ops.shape(weights))

    return "_masked_softmax", recorded_softmax


def _kind(arguments):
    """Whether queries and keys are one sequence."""
    inputs = arguments.get("inputs")  # a list, of Attention
    query, value, key = (
        (arguments["query"], arguments["value"], arguments.get("key"))
        if inputs is None
        else (inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None)
    )
    return "self" if query is (value if key is None else key) else "cross"


def _with_heads(layer, weights):
    """The weights as `(B, N, T, S)`."""
    if len(weights.shape) == 3:  # one head, which Attention does not write
        return weights[:, None]
    if len(weights.shape) == 4:
        return weights
    # Attention over several axes: theirs come after the batch and the heads.
    axes = len(weights.shape) - 2
    if axes % 2 or len(layer._attention_axes) != axes // 2:
        raise ValueError(
            f"The layer {layer.path!r} attends over some axes of many, and its weights "
            f"are no (B, N, T, S). Received: {tuple(weights.shape)}. Choose other "
            "layers with `layers=`."
        )
    shape = ops.shape(weights)
    lengths = (shape[2 : 2 + axes // 2], shape[2 + axes // 2 :])
    return ops.reshape(weights, (*shape[:2], *map(math.prod, lengths)))
