"""Checks of arguments, which name the argument, what came and what was expected."""

import numbers


def check_positive(**sizes):
    """Refuses a size that is not a positive integer.

    Args:
        **sizes: Sizes by the name of their argument.

    Raises:
        ValueError: A size is not a positive integer.

    Example:

    >>> check_positive(num_heads=0)
    Traceback (most recent call last):
        ...
    ValueError: `num_heads` must be a positive integer. Received: num_heads=0
    """
    for name, size in sizes.items():
        # An integer of NumPy is one, too.
        is_integer = isinstance(size, numbers.Integral) and not isinstance(size, bool)
        if not is_integer or size < 1:
            raise ValueError(
                f"`{name}` must be a positive integer. Received: {name}={size!r}"
            )


def check_rate(**rates):
    """Refuses a rate outside of 0 to 1.

    Args:
        **rates: Rates by the name of their argument.

    Raises:
        ValueError: A rate is not a number from 0 to below 1.

    Example:

    >>> check_rate(dropout=1.5)
    Traceback (most recent call last):
        ...
    ValueError: `dropout` must be at least 0 and less than 1. Received: dropout=1.5
    """
    for name, rate in rates.items():
        if not isinstance(rate, numbers.Real) or not 0 <= rate < 1:
            raise ValueError(
                f"`{name}` must be at least 0 and less than 1. "
                f"Received: {name}={rate!r}"
            )


def check_choice(choices, **values):
    """Refuses a value that is none of the choices.

    Args:
        choices: The values allowed.
        **values: Values by the name of their argument.

    Raises:
        ValueError: A value is not among the choices.

    Example:

    >>> check_choice(("pre", "post"), norm_order="middle")
    Traceback (most recent call last):
        ...
    ValueError: `norm_order` must be one of ('pre', 'post'). Received: 'middle'
    """
    for name, value in values.items():
        if value not in choices:
            raise ValueError(
                f"`{name}` must be one of {tuple(choices)}. Received: {value!r}"
            )


def check_sequence(layer_name, **tensors):
    """Refuses what is no sequence of vectors, such as a picture.

    Args:
        layer_name: Name for the message.
        **tensors: Tensors by the name of their argument.

    Raises:
        ValueError: One has other than three axes.

    Example:

    >>> check_sequence("attention", inputs=keras.ops.ones((2, 4, 4, 8)))
    Traceback (most recent call last):
        ...
    ValueError: `inputs` must have three axes (batch, length, width)...
    """
    for name, tensor in tensors.items():
        shape = tuple(tensor.shape)
        if len(shape) == 3:
            continue
        advice = "Give one vector a length with `keras.ops.expand_dims(x, 1)`."
        if len(shape) > 3:
            advice = (
                "Lay the places of a picture or a video in a row with "
                f"`keras.layers.Reshape((-1, {shape[-1]}))`, and back afterwards; or "
                "read rows apart with `keras.layers.TimeDistributed`."
            )
        raise ValueError(
            f"`{name}` must have three axes (batch, length, width). Received: "
            f"{name}.shape={shape} in layer {layer_name!r}. {advice}"
        )


def check_tokens(layer_name, **token_ids):
    """Refuses sequences without a token, which have no last state.

    Args:
        layer_name: Name for the message.
        **token_ids: `(B, T)` by the name of the argument.

    Raises:
        ValueError: T is 0.

    Example:

    >>> check_tokens("encoder", token_ids=keras.ops.ones((2, 0)))
    Traceback (most recent call last):
        ...
    ValueError: `token_ids` must have one token at least. Received:...
    """
    for name, tokens in token_ids.items():
        shape = tuple(tokens.shape)
        if len(shape) > 1 and shape[1] == 0:
            raise ValueError(
                f"`{name}` must have one token at least. Received: {name}.shape="
                f"{shape} in layer {layer_name!r}. Leave out texts that are empty, or "
                "pad them to a token."
            )


def check_stages(**lists):
    """Refuses stages of which not each has all that it needs.

    Args:
        **lists: Lists with a number for each stage, by name.

    Raises:
        ValueError: They are not as long as each other, or hold no positive numbers.

    Example:

    >>> check_stages(hidden_dims=(8, 16), num_layers=(1, 2))
    """
    lengths = {
        name: len(x) if isinstance(x, list | tuple) else 0 for name, x in lists.items()
    }
    received = ", ".join(f"{name}={value!r}" for name, value in lists.items())
    if len(set(lengths.values())) != 1 or 0 in lengths.values():
        raise ValueError(
            f"Each stage needs one number of each of {', '.join(lists)}: lists of one "
            f"length. Received: {received}"
        )
    found = [number for values in lists.values() for number in values]
    if any(not isinstance(n, numbers.Integral) or n < 1 for n in found):
        raise ValueError(f"Stages have positive whole numbers. Received: {received}")
