"""Encoders that turn a picture into a grid of features, for decoders that look at it.

Letters: B pictures, D width of a cell of the grid.
"""

import difflib

import keras

from keras_attention.checks import check_positive
from keras_attention.layers.caption_decoder import check_grid

RGB = 3
FILTERS = (96, 192)


def grid_encoder(
    encoder=None, image_size=64, filters=FILTERS, weights=None, output_layer=None
):
    """Builds a model from pictures to grids of features.

    Args:
        encoder: `None` for a small convolutional network, the name of a model of
            `keras.applications` such as `"VGG19"`, or a `keras.Model` from pictures
            `(B, height, width, 3)` with values from 0 to 255 to a grid.
        image_size: Height and width of the pictures in pixels, one integer or two.
        filters: Widths of the stages of the small network. The first has a cell for
            4 x 4 pixels, each further one a cell for 2 x 2 cells of the one before.
        weights: For a model of `keras.applications`, `"imagenet"` downloads trained
            weights, a path reads them, `None` draws random ones.
        output_layer: For a named or given model, the layer whose output is the grid.
            Its last by default.

    Returns:
        A `keras.Model` from pictures `(B, height, width, 3)`, values from 0 to 255, to
        `(B, rows, columns, D)`. What a model of `keras.applications` does to pictures
        before they enter is part of it.

    Raises:
        ValueError: There is no such encoder, its output is no grid, or an argument is
            for another kind of encoder.

    Example:

    >>> encoder = grid_encoder(image_size=(32, 64), filters=(4, 6))
    >>> encoder.output_shape
    (None, 4, 8, 6)
    """
    shape = (*image_sides(image_size), RGB)
    if encoder is None or isinstance(encoder, str | keras.Model):
        _check_options(encoder, filters, weights, output_layer)
    if encoder is None:
        model = _small_network(shape, filters)
    elif isinstance(encoder, str):
        model = _named_network(encoder, shape, weights, output_layer)
    elif isinstance(encoder, keras.Model):
        model = _cut(encoder, output_layer)
        _check_inputs(model, shape)
    else:
        raise ValueError(
            "`encoder` must be None, the name of a model of keras.applications or a "
            f"keras.Model. Received: {encoder!r}"
        )
    check_grid(model.output_shape, model.name)
    return model


def _check_options(encoder, filters, weights, output_layer):
    """Refuses options of an encoder of another kind, which would do nothing."""
    small, named = encoder is None, isinstance(encoder, str)
    options = {
        "filters": (tuple(filters) != FILTERS, small, "the small network"),
        "weights": (weights is not None, named, "a model of keras.applications"),
        "output_layer": (output_layer is not None, not small, "another encoder"),
    }
    for name, (is_given, fits, what) in options.items():
        if is_given and not fits:
            received = getattr(encoder, "name", encoder)
            raise ValueError(
                f"`{name}` of an encoder is for {what}. Received it with encoder="
                f"{received!r}. Leave it at its default, or pass another `encoder`."
            )


def image_sides(image_size, name="image_size"):
    """Height and width, from one integer or two.

    Args:
        image_size: One positive integer or two.
        name: What the argument is called, for the message.

    Returns:
        Two integers.

    Raises:
        ValueError: It is something else.

    Example:

    >>> image_sides(64), image_sides([32, 64])
    ((64, 64), (32, 64))
    """
    sides = image_size if isinstance(image_size, tuple | list) else (image_size,) * 2
    if len(sides) != 2:
        raise ValueError(
            f"`{name}` must be one integer or (height, width). Received: "
            f"{name}={image_size!r}"
        )
    check_positive(**{name: sides[0]})
    check_positive(**{name: sides[1]})
    return tuple(sides)


def _small_network(shape, filters):
    """Convolutions over patches of 4 x 4 pixels, in stages of half the size each."""
    layers = keras.layers

    def convolution(x, width, size=3, strides=1):
        x = layers.Conv2D(width, size, strides, padding="same", use_bias=False)(x)
        # 0.95: a short training must reach the statistics, too.
        return layers.ReLU()(layers.BatchNormalization(momentum=0.95)(x))

    inputs = keras.Input(shape, name="images")
    x = layers.Rescaling(1 / 127.5, -1.0)(inputs)
    x = convolution(x, filters[0], size=12, strides=4)  # a patch and its neighbours
    for width in filters[1:]:
        x = convolution(x, width, strides=2)
        x = convolution(x, width)
        x = convolution(x, width)
    return keras.Model(inputs, x, name="encoder")


def _named_network(name, shape, weights, output_layer):
    names = [name for name in vars(keras.applications) if name[0].isupper()]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
        raise ValueError(
            f"keras.applications has no model {name!r}."
            + (f" Did you mean {near[0]!r}?" if near else "")
            + f" It has: {', '.join(sorted(names))}."
        )
    build = getattr(keras.applications, name)
    # What the model does to pictures stands in the module that the model is from.
    module = getattr(keras.applications, build.__module__.rpartition(".")[2])
    network = build(include_top=False, weights=weights, input_shape=shape)
    network = _cut(network, output_layer)
    inputs = keras.Input(shape, name="images")
    grid = network(module.preprocess_input(inputs))
    return keras.Model(inputs, grid, name="encoder")


def _cut(network, output_layer):
    """The network up to a layer."""
    if output_layer is None:
        return network
    names = [layer.name for layer in network.layers]
    if output_layer not in names:
        near = difflib.get_close_matches(str(output_layer), names, n=3, cutoff=0.4)
        raise ValueError(
            f"The encoder {network.name!r} has no layer {output_layer!r}."
            + (f" Did you mean {' or '.join(map(repr, near))}?" if near else "")
            + " `encoder.summary()` lists its layers."
        )
    output = network.get_layer(output_layer).output
    return keras.Model(network.input, output, name=network.name)


def _check_inputs(network, shape):
    expected = (None, *shape)
    received = network.input_shape if hasattr(network, "input_shape") else None
    fits = (
        isinstance(received, tuple)
        and len(received) == len(expected)
        and all(r in (None, e) for r, e in zip(received[1:], shape, strict=True))
    )
    if not fits:
        raise ValueError(
            f"The encoder must take pictures of the shape {expected}. Received: "
            f"{received} in model {network.name!r}. Pass the `image_size` it was made "
            "for, and a model with one input."
        )
