"""What the name of a preset stands for: an architecture in a table, or a folder."""

import difflib
import pathlib

import keras

from keras_attention.checkpoints.arguments import argument_names
from keras_attention.checkpoints.files import CONFIG
from keras_attention.checkpoints.files import is_published
from keras_attention.checkpoints.hub import download
from keras_attention.checkpoints.hub import is_hub_id
from keras_attention.checkpoints.rules import pattern_of
from keras_attention.checkpoints.tensors import open_tensors

# Keys of a preset that are no arguments: one sentence, how many parameters the model
# has, as its paper or its published file counts them, and where its weights are.
DESCRIPTION = "description"
PARAMETERS = "parameters"
WEIGHTS_FROM = "weights"
NO_ARGUMENTS = (DESCRIPTION, PARAMETERS, WEIGHTS_FROM)


def check_presets(cls):
    """Refuses a `presets_table` with unknown arguments or without descriptions.

    Args:
        cls: A class with a `presets_table`.

    Raises:
        TypeError: A preset is not complete, or holds more than it may.
    """
    known = {*NO_ARGUMENTS, *argument_names(cls)}
    for name, preset in cls.presets_table.items():
        unknown = sorted(preset.keys() - known)
        if unknown or DESCRIPTION not in preset:
            raise TypeError(
                f"The preset {name!r} of {cls.__name__} must hold a `{DESCRIPTION}`, "
                f"and arguments. Received: {', '.join(preset) or 'nothing'}. Unknown "
                f"arguments: {', '.join(unknown) or 'none'}."
            )


def collect_presets(classes):
    """The presets of some classes: dict from name to class and entry."""
    return {
        name: (cls, preset)
        for cls in classes
        for name, preset in cls.presets_table.items()
    }


def describe(preset):
    """One sentence about a preset, with its number of parameters where it is known.

    Args:
        preset: Its entry in the table.

    Example:

    >>> describe({"description": "12 blocks of width 768.", "parameters": 109482240})
    '12 blocks of width 768, 109,482,240 parameters.'
    """
    if PARAMETERS not in preset:
        return preset[DESCRIPTION]
    text = preset[DESCRIPTION].removesuffix(".")
    return f"{text}, {preset[PARAMETERS]:,} parameters."


def preset_arguments(name, preset, load_weights):
    """What a preset of a table gives to the constructor.

    Args:
        name: Name of the preset.
        preset: Its entry in the table.
        load_weights: True where the user asked for weights.

    Returns:
        Dict.

    Raises:
        ValueError: Weights are asked for. The table has none for this preset, or
            `from_preset` would have gone there.
    """
    if load_weights:
        raise ValueError(
            f"{name!r} is an architecture without published weights. Leave out "
            "`load_weights` for random ones, or pass a folder or hf://owner/name for "
            "trained ones."
        )
    return {k: v for k, v in preset.items() if k not in NO_ARGUMENTS}


def find_folder(preset, cls, presets, weights):
    """The folder of a preset that is not in a table, downloaded if it is on the hub.

    Args:
        preset: Folder or hub id.
        cls: Where it was asked for.
        presets: Names of the presets of `cls`.
        weights: Whether the weights are needed.

    Returns:
        A `pathlib.Path`.

    Raises:
        ValueError: There is no such folder.
    """
    if is_hub_id(preset):
        return download(preset, weights=weights)
    folder = pathlib.Path(preset).expanduser()
    if not folder.exists():
        near = difflib.get_close_matches(str(preset), presets, n=3)
        raise ValueError(
            f"{str(preset)!r} is neither a preset of {cls.__name__} nor a folder. "
            + (f"Did you mean {' or '.join(map(repr, near))}? " if near else "")
            + f"`{cls.__name__}.presets()` lists the presets. A repository of the hub "
            "is written hf://owner/name."
        )
    return folder


def find_class(config, folder, classes, cls):
    """The class of the model in a folder.

    Args:
        config: What `read_config` gave.
        folder: Where it was read.
        classes: All classes that there are.
        cls: The class to expect, or the base of all of them.

    Returns:
        One of `classes`.

    Raises:
        ValueError: It is none of `classes`, or not `cls`.
    """
    if is_published(config):
        return find_family(config, folder, classes, cls)[0]
    # A class defined twice, as in a notebook, is the later one.
    known = {keras.saving.get_registered_name(known): known for known in classes}
    found = config["class_name"]
    if found not in known:
        raise ValueError(
            f"{folder} holds {found}, which is not known here. Import the module that "
            f"defines it. Versions that wrote it: {config['versions']}."
        )
    if not issubclass(known[found], cls):
        raise ValueError(
            f"{folder} holds {found}, not {cls.__name__}. Load it with "
            f"`{known[found].__name__}.from_preset` or `applications.from_preset`."
        )
    return known[found]


def find_family(config, folder, classes, cls):
    """The class for a published `config.json`, and how it is published.

    Args:
        config: What `read_config` gave.
        folder: Where it was read.
        classes: All classes that there are.
        cls: The class to expect, or the base of all of them.

    Returns:
        One of `classes`, and one of its families.

    Raises:
        ValueError: It is none of `classes`, or not `cls`.
    """
    families = [(known, family) for known in classes for family in known.families]
    for known, family in reversed(families):
        if family.owns(config):
            if issubclass(known, cls):
                return known, family
            raise ValueError(
                f"{folder} holds {told(config)}, not {cls.__name__}. Load it with "
                f"`{known.__name__}.from_preset` or `applications.from_preset`."
            )
    if not config.keys() & {"model_type", "architectures"}:
        # As files of 2019, which do not say what they are.
        if cls.families:
            return cls, cls.families[0]
        found = recognize(families, config, folder)
        if found is not None:
            return found
    known = ", ".join(sorted(family.model_type for _, family in families))
    raise ValueError(
        f"{folder} holds {told(config)}, which is not known here. Known: {known}."
    )


def recognize(families, config, folder):
    """The family that knows all tensors of a folder, where `config.json` names none.

    Args:
        families: List of pairs of a class and a family.
        config: What `config.json` holds.
        folder: Where it was read.

    Returns:
        One of the pairs, or `None` where none or several know them.
    """
    found = []
    with open_tensors(folder) as (_, tensors):
        for known, family in families:
            try:
                arguments = family.read_arguments(config, CONFIG)
                rules = family.rules_for(arguments)
                harmless = list(map(pattern_of, family.harmless_for(arguments)))
            except (ValueError, KeyError):
                continue  # of another family
            names = [family.without_prefix(name) for name in tensors]
            if all(
                any(rule.is_published_as(name, family.without_prefix) for rule in rules)
                or any(pattern.fullmatch(name) for pattern in harmless)
                for name in names
            ):
                found.append((known, family))
    return found[0] if len(found) == 1 else None


def told(config):
    """What a published config says it is."""
    for key in ("model_type", "architectures", "architecture"):
        if key in config:
            return f"a model with {key}={config[key]!r}"
    return "a model that does not say what it is"
