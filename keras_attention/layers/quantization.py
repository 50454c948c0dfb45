"""Which layers inside another one are quantized, to write it down and do it again."""

import keras

from keras_attention.layers.kernels import MODES
from keras_attention.layers.named_layers import named_layers


def check_mode(config):
    """Refuses what does not make weights small without data.

    Args:
        config: A configuration of `keras.quantizers`.

    Raises:
        ValueError: It is neither of 8 bits nor of 4.

    Example:

    >>> check_mode(keras.quantizers.Float8QuantizationConfig())
    Traceback (most recent call last):
        ...
    ValueError: The weights of a model can be made int8, int4. Received: ...
    """
    if config.mode not in MODES:
        raise ValueError(
            f"The weights of a model can be made {', '.join(MODES)}. Received: "
            f"mode={config.mode!r}. Pass one of these as `mode`, or a "
            "`keras.quantizers.Int8QuantizationConfig` or "
            "`keras.quantizers.Int4QuantizationConfig` as `config`."
        )


def quantized_layers(layer):
    """What `quantize` did inside a layer.

    Args:
        layer: A layer or a model that is built.

    Returns:
        List of dicts: `config`, a configuration of `keras.quantizers` as `get_config`
        has it, and `layers`, the paths that `named_layers` gives those it was used for.

    Example:

    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    >>> quantized_layers(model)
    []
    >>> model.layers[0].quantize("int8")
    >>> [entry["layers"] for entry in quantized_layers(model)]
    [['dense']]
    """
    found = []
    for path, part in named_layers(layer).items():
        config = getattr(part, "quantization_config", None)
        if config is None or not getattr(part, "_is_quantized", False):
            continue
        config = keras.saving.serialize_keras_object(config)
        entry = next((entry for entry in found if entry["config"] == config), None)
        if entry is None:
            entry = {"config": config, "layers": []}
            found.append(entry)
        entry["layers"].append(path)
    return found


def quantize_layers(layer, entries):
    """Quantizes what was quantized in another of the same kind.

    Args:
        layer: A layer or a model that is built.
        entries: From `quantized_layers`.

    Raises:
        ValueError: The layer has no such part.
    """
    parts = named_layers(layer)
    for entry in entries:
        unknown = [path for path in entry["layers"] if path not in parts]
        if unknown:
            raise ValueError(
                f"{layer.name!r}, a {type(layer).__name__}, has no part "
                f"{unknown[0]!r} that could be quantized. It was saved by another "
                "version of its class: build it anew, and call `quantize`."
            )
        config = entry["config"]
        if isinstance(config, dict):  # else somebody deserialized it with all the rest
            config = keras.saving.deserialize_keras_object(config)
        for path in entry["layers"]:
            parts[path].quantize(config=config)
