"""What the layers of a model of pictures give: hidden states, and maps of features.

Letters: B images, N patches, T tokens, R and C rows and columns, D width.
"""

import difflib
import re

import keras
from keras import ops

BLOCK = re.compile(r"(encoder/)?block_(\d+)")
STAGE = re.compile(r"stage_(\d+)_block_(\d+)")


def feature_model(model, features, as_grids=False):
    """A model that gives what chosen layers of another one make of images.

    Args:
        model: A model of pictures.
        features: List of numbers and names; see `ImageInputs.feature_model`.
        as_grids: Whether tokens of patches become grids.

    Returns:
        A `keras.Model` with the inputs of `model` and a list of outputs.

    Raises:
        ValueError: There is no such layer.
    """
    if isinstance(features, str | int) or not features:
        raise ValueError(
            "`features` must be a list of names or numbers of layers. Received: "
            f"{features!r}"
        )
    states = hidden_states(model)
    outputs = [_find(model, states, feature) for feature in features]
    if as_grids:
        outputs = [as_grid(model, output) for output in outputs]
    return keras.Model(model.input, outputs, name=f"{model.name}_features")


def hidden_states(model):
    """What the first block reads, and what each block, or each stage, gives.

    Args:
        model: A model of pictures.

    Returns:
        List of symbolic tensors.
    """
    encoder = getattr(model, "encoder", None)
    if encoder is None:
        stages = {}
        for layer in model.layers:
            found = STAGE.fullmatch(layer.name)
            if found:
                stages.setdefault(int(found[1]), []).append(layer)
        last = [layers[-1].output for _, layers in sorted(stages.items())]
        return [stages[0][0].input, *last]
    states = [encoder.input]
    bias = None
    if encoder.position_bias is not None:
        bias = encoder.position_bias(states[0])
    for block in encoder.running_blocks:
        states.append(block(states[-1], bias=bias))
    return states


def as_grid(model, x):
    """Tokens as the grid of their patches, without those in front.

    Args:
        model: The model that they are of.
        x: `(B, T, D)`, or anything else, which stays as it is.

    Returns:
        `(B, R, C, D)`.
    """
    if len(x.shape) != 3:
        return x
    patches = model.get_layer("patch_embedding")
    sizes = patches.patch_size
    sizes = (sizes, sizes) if isinstance(sizes, int) else sizes
    sides = patches.input.shape[1:3]
    rows, columns = (side // size for side, size in zip(sides, sizes, strict=True))
    first = x.shape[1] - rows * columns
    return ops.reshape(x[:, first:], (-1, rows, columns, x.shape[-1]))


def _find(model, states, feature):
    """The tensor that a name or a number stands for."""
    if isinstance(feature, int):
        if not -len(states) <= feature < len(states):
            raise ValueError(
                f"{type(model).__name__} {model.name!r} has {len(states)} hidden "
                f"states, 0 to {len(states) - 1}. Received: {feature}"
            )
        return states[feature]
    names = [layer.name for layer in model.layers]
    if feature in names:
        return model.get_layer(feature).output
    block = BLOCK.fullmatch(feature)
    if block and hasattr(model, "encoder") and int(block[2]) + 1 < len(states):
        return states[int(block[2]) + 1]
    if hasattr(model, "encoder"):
        names += [f"block_{number}" for number in range(len(states) - 1)]
    near = difflib.get_close_matches(feature, names, n=3, cutoff=0.4)
    raise ValueError(
        f"{type(model).__name__} {model.name!r} has no layer {feature!r}."
        + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")
        + " `summary()` lists its layers."
    )
