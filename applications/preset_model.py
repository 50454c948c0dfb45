"""Models by name, from folders and from the hub: `from_preset`, `save_to_preset`."""

import json
import pathlib
import warnings

import keras

import keras_attention
from keras_attention import checkpoints
from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.checkpoints.arguments import built_from
from keras_attention.checkpoints.arguments import deserialize_arguments
from keras_attention.checkpoints.arguments import serialize_arguments
from keras_attention.checkpoints.family import OUR_FIELD
from keras_attention.checkpoints.files import check_assets
from keras_attention.checkpoints.files import check_replaceable
from keras_attention.checkpoints.files import CONFIG
from keras_attention.checkpoints.initial_values import postpone_initial_values
from keras_attention.checkpoints.parts import build_parts
from keras_attention.checkpoints.presets import collect_presets
from keras_attention.checkpoints.presets import describe
from keras_attention.checkpoints.presets import find_class
from keras_attention.checkpoints.presets import find_family
from keras_attention.checkpoints.presets import find_folder
from keras_attention.checkpoints.presets import preset_arguments
from keras_attention.checkpoints.published import load_published
from keras_attention.checkpoints.published import room_for_weights
from keras_attention.checkpoints.published import save_published
from keras_attention.checkpoints.tensors import remove_other_weights
from keras_attention.generation.sentences import sized_vocabulary
from keras_attention.images.image_processor_files import load_image_processor
from keras_attention.layers.quantization import quantized_layers
from keras_attention.tokenizers.loading import load_tokenizer
from keras_attention.tokenizers.vocabulary import shorten
from keras_attention.tokenizers.vocabulary import Vocabulary
from keras_attention.training.lora import lora_options

# Every application, in the order of definition; and parents that are none themselves.
CLASSES = []
ABSTRACT = set()
# The head for which a number of classes asks, where another was saved.
CLASSIFIER = "classification"
# What reads an asset from the files of a published checkpoint.
LOAD_ASSET = {"tokenizer": load_tokenizer, "image_processor": load_image_processor}

# Arguments that say how many rows a table has, and those that hold the words of them.
SIZES = (
    "vocabulary_size",
    "source_vocabulary_size",
    "target_vocabulary_size",
    "max_length",
    "num_segments",
)
VOCABULARIES = ("vocabulary", "source_vocabulary", "target_vocabulary")


class PresetModel:
    """A model that is found by name, read from a folder and written to one.

    Abstract: `Application` derives from it, and remembers the arguments.
    """

    @classmethod
    def presets(cls):
        """The presets of this class; `Application.presets()` has those of all classes.

        Returns:
            Dict from name to description.
        """
        presets = collect_presets(_classes(cls))
        return {name: describe(entry) for name, (_, entry) in presets.items()}

    @classmethod
    def from_preset(cls, preset, *, load_weights=None, **overrides):
        """Builds a model from its name, from a folder or from the hub.

        A name of `presets()` is an architecture, as in the table of a paper: its
        weights are random, unless the table names published ones. Trained weights come
        from folders and from the hub. Precision is no part of a preset: it is the
        global dtype policy, or `dtype`.

        Args:
            preset: A name of `presets()`; a folder that `save_to_preset` wrote, or one
                with a published checkpoint; or `hf://owner/name`,
                `hf://owner/name@revision`.
            load_weights: True loads weights, or fails where there are none. False
                leaves them random. By default they are loaded if there are any.
            **overrides: Arguments of the constructor that replace those of the preset.
                Where one makes another head, as `num_classes` does, the head is new and
                the rest is loaded. Vocabularies and their sizes, `max_length` and
                `num_segments` may be larger, and the new rows of the tables are drawn;
                or smaller, and the last rows are left out.

        Returns:
            A model.

        Raises:
            ValueError: There is no such preset, it is damaged or of another class, or
                its weights do not fit. No weight is loaded then.
        """
        presets = collect_presets(_classes(cls))
        if isinstance(preset, str) and preset in presets:
            model_class, entry = presets[preset]
            if "weights" in entry and load_weights is not False:
                return model_class.from_preset(entry["weights"], **overrides)
            arguments = preset_arguments(preset, entry, load_weights)
            return model_class(**build_parts({**arguments, **overrides}))
        load_weights = load_weights is not False
        folder = find_folder(preset, cls, presets, load_weights)
        config = checkpoints.read_config(folder)
        if checkpoints.is_published(config):
            model_class, family = find_family(config, folder, CLASSES, cls)
            return model_class._from_published(
                family, config, folder, load_weights, overrides
            )
        check_assets(folder, config)
        model_class = find_class(config, folder, CLASSES, cls)
        saved = deserialize_arguments(model_class, config, folder)
        place = folder / CONFIG
        model, initial_values = _build(
            model_class, saved, overrides, place, load_weights
        )
        loaded = []
        if load_weights:
            loaded = checkpoints.load_weights(
                model,
                folder,
                config,
                skip=_other_heads(model, saved, overrides),
                sizes=resized(saved, {**saved, **overrides}),
                draw=initial_values.draw,
            )
        initial_values.draw(except_for=loaded)
        if config["assets"] and not overrides.keys() & set(VOCABULARIES):
            model.load_assets(folder, config)
        return model

    @classmethod
    def _from_published(cls, family, config, folder, load_weights, overrides):
        place = folder / CONFIG
        # A model of pictures that has no classes has no head.
        by_head = argument_defaults(cls).get("head", CLASSIFIER) != CLASSIFIER
        with built_from(place, cls, overrides):
            saved = family.read_arguments(
                config,
                place,
                head_is_given=bool(overrides.keys() & cls.head_layers().keys()),
                body="head=None" if by_head else "num_classes=None",
            )
        saved.update(cls.read_assets(folder, given=overrides))
        if "head" in saved and saved["num_classes"] is None:
            if overrides.get("num_classes") is not None:
                is_one = by_head and overrides["num_classes"] == 1
                head = "regression" if is_one else CLASSIFIER
                overrides = {"head": head, **overrides}
        if _other_heads(cls, saved, overrides):  # the classes of one that is dropped
            saved.update(dict.fromkeys(saved.keys() & {"num_classes", "class_names"}))
        model, initial_values = _build(cls, saved, overrides, place, load_weights)
        loaded = []
        if load_weights:
            new_layers = _other_heads(cls, saved, overrides)
            # A file that names no head may have any.
            may_be_left = new_layers or not config.get("architectures")
            loaded = load_published(
                model,
                folder,
                family,
                saved,
                dict(model._arguments),
                new_layers=new_layers,
                head_layers=_layers_of(cls.head_layers()) if may_be_left else (),
                may_resize=bool(overrides),
                may_have_other_heads=not family.knows_head(config),
                draw=initial_values.draw,
            )
        initial_values.draw(except_for=loaded)
        return model

    @classmethod
    def read_assets(cls, folder, given=()):
        """Reads what a published checkpoint has besides config and weights.

        Args:
            folder: Its folder.
            given: Names of arguments that are not read, since they come from elsewhere.

        Returns:
            Dict of arguments of the constructor, such as a tokenizer.
        """
        return {
            name: LOAD_ASSET[name](folder) for name in cls.assets if name not in given
        }

    @classmethod
    def head_layers(cls):
        """The layers that belong to heads, by the argument that makes new ones.

        Returns:
            Dict from the name of an argument to a list of names of layers.
        """
        return {}

    def save_to_preset(self, folder, *, overwrite=False):
        """Writes the model into a folder that `from_preset` reads.

        A model that has a published layout is written in it, so that others read the
        folder, too: `config.json` and weights as on the Hugging Face hub, for the
        library transformers. The name of the model and seeds are not part of it. Any
        other model is written in a layout of our own.

        The folder gets `config.json`, `model.safetensors` and what `save_assets`
        writes: all of them or, whatever goes wrong, none. Earlier files of the same
        class are replaced. Use `save` and a `.keras` file to go on training.

        Args:
            folder: Name of the folder, made if it is missing.
            overwrite: Whether to replace a checkpoint of another class, too.

        Raises:
            ValueError: The folder holds a checkpoint of another class, or the model has
                adapters or is quantized.
        """
        if quantized_layers(self):
            raise ValueError(
                f"{self.name!r} is quantized, which no published layout is. Write a "
                "`.keras` file with `save`, or call `save_to_preset` before `quantize`."
            )
        if lora_options(self) is not None:
            raise ValueError(
                f"{self.name!r} has adapters, which no published layout has. Call "
                "`merge_lora` first, or write them alone with `save_lora`."
            )
        folder = pathlib.Path(folder).expanduser()
        class_name = keras.saving.get_registered_name(type(self))
        if not overwrite:
            check_replaceable(
                folder,
                class_name,
                lambda config: any(family.owns(config) for family in self.families),
            )
        arguments, defaults = dict(self._arguments), argument_defaults(type(self))
        for family in self.families:
            if family.publishes(arguments, defaults):
                config = family.write_config(arguments, defaults)
                self._save_published(folder, family, arguments, config)
                return
        arguments = serialize_arguments(self._arguments)
        arguments.pop("dtype")
        if arguments["name"] is None:
            del arguments["name"]
        versions = {
            "keras_attention": keras_attention.__version__,
            "keras": keras.__version__,
        }
        with checkpoints.replace_files(folder) as new:
            self.save_assets(new)
            config = checkpoints.write_config(new, class_name, arguments, **versions)
            checkpoints.save_weights(self, new, config)

    def _save_published(self, folder, family, arguments, config):
        beside = config.get(OUR_FIELD, {})
        if beside:
            warnings.warn(
                f"A published config.json has no field for {', '.join(beside)}. What "
                f"{self.name!r} was built with stands in its field {OUR_FIELD!r}, "
                "which others do not read.",
                stacklevel=3,
            )
        config = json.dumps(config, indent=2) + "\n"
        with checkpoints.replace_files(folder) as new:
            (new / CONFIG).write_text(config, encoding="utf-8")
            self.save_assets(new)
            save_published(self, new, family, arguments)
            written = {path.name for path in new.iterdir()}
        remove_other_weights(folder, written)


def _build(cls, saved, overrides, place, load_weights):
    """A model whose weights are zero so far, and what they begin with."""
    most = room_for_weights(place.parent, saved, place) if load_weights else None
    with (
        built_from(place, cls, overrides),
        postpone_initial_values(most) as initial_values,
    ):
        return cls(**build_parts({**saved, **overrides})), initial_values


def resized(saved, arguments):
    """The arguments by which tables have other sizes than those that were saved.

    Args:
        saved: Arguments of the saved model.
        arguments: Those of the model that is built.

    Returns:
        Dict from a name to both sizes.

    Raises:
        ValueError: A vocabulary does not begin with the words of the saved one.

    Example:

    >>> resized({"max_length": 5, "seed": 1}, {"max_length": 7, "seed": 2})
    {'max_length': (5, 7)}
    """
    sizes = {}
    for name in SIZES:
        pair = saved.get(name), arguments.get(name)
        if all(isinstance(size, int) for size in pair):
            sizes[name] = pair
    for name in VOCABULARIES:
        if saved.get(name) is None or arguments.get(name) is None:
            continue
        pair = [sized_vocabulary(x[name], None)[0] for x in (saved, arguments)]
        sizes[name] = tuple(map(len, pair))
        words = [x.words for x in pair if isinstance(x, Vocabulary)]
        if len(words) == 2 and any(a != b for a, b in zip(*words, strict=False)):
            raise ValueError(
                f"`{name}` must begin with the words that the model was saved with, as "
                f"each has a row of its tables. Received: {shorten(words[1])}, saved: "
                f"{shorten(words[0])}. Put new words behind the old ones."
            )
    return {name: (a, b) for name, (a, b) in sizes.items() if a != b}


def _other_heads(cls, saved, overrides):
    """The paths of the layers that are others than the saved ones."""
    return _layers_of(
        {
            name: layers
            for name, layers in cls.head_layers().items()
            if name in overrides and overrides[name] != saved.get(name)
        }
    )


def _layers_of(layers):
    return sorted({path for paths in layers.values() for path in paths})


def _classes(cls):
    is_one = cls in CLASSES or cls in ABSTRACT
    return [cls] if is_one else CLASSES
