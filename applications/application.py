"""The base of all applications: arguments remembered, presets, saving and loading."""

import json
import pathlib
import warnings

import keras

import keras_attention
from keras_attention import checkpoints
from keras_attention.backend.exporting import export_model
from keras_attention.backend.exporting import input_signature_of
from keras_attention.backend.kept_variables import keeping_variables
from keras_attention.checkpoints.arguments import argument_defaults
from keras_attention.checkpoints.arguments import built_from
from keras_attention.checkpoints.arguments import deserialize_arguments
from keras_attention.checkpoints.arguments import remember_arguments
from keras_attention.checkpoints.arguments import serialize_arguments
from keras_attention.checkpoints.family import OUR_FIELD
from keras_attention.checkpoints.files import check_assets
from keras_attention.checkpoints.files import check_replaceable
from keras_attention.checkpoints.files import CONFIG
from keras_attention.checkpoints.initial_values import postpone_initial_values
from keras_attention.checkpoints.parts import build_parts
from keras_attention.checkpoints.presets import check_presets
from keras_attention.checkpoints.presets import collect_presets
from keras_attention.checkpoints.presets import describe
from keras_attention.checkpoints.presets import find_class
from keras_attention.checkpoints.presets import find_family
from keras_attention.checkpoints.presets import find_folder
from keras_attention.checkpoints.presets import preset_arguments
from keras_attention.checkpoints.published import load_published
from keras_attention.checkpoints.published import room_for_weights
from keras_attention.checkpoints.published import save_published
from keras_attention.checkpoints.state import freeze_layers
from keras_attention.checkpoints.state import frozen_layers
from keras_attention.checkpoints.state import load_random_states
from keras_attention.checkpoints.state import save_random_states
from keras_attention.checkpoints.state import skip_without_files
from keras_attention.checkpoints.tensors import remove_other_weights
from keras_attention.images.image_processor_files import load_image_processor
from keras_attention.layers.quantization import check_mode
from keras_attention.layers.quantization import quantize_layers
from keras_attention.layers.quantization import quantized_layers
from keras_attention.tokenizers.loading import load_tokenizer
from keras_attention.tokenizers.tokenizer import check_tokenizer
from keras_attention.training.lora import add_lora
from keras_attention.training.lora import forget_programs
from keras_attention.training.lora import lora_options

# Every application, in the order of definition; and parents that are none themselves.
CLASSES = []
ABSTRACT = set()
# The head for which a number of classes asks, where another was saved.
CLASSIFIER = "classification"
# What reads an asset from the files of a published checkpoint.
LOAD_ASSET = {"tokenizer": load_tokenizer, "image_processor": load_image_processor}


class Application(keras.Model):
    """A ready model: built from plain arguments, found by name, saved to a folder.

    Abstract: the models of `keras_attention.applications` derive from it, and from no
    other application. Each is built functionally in its `__init__`, so `summary`,
    `compile`, `fit`, `.keras` files and cutting at a layer are Keras's own. All its
    arguments are passed by name. This base adds:

    - `get_config` returns the arguments as they were when the model was built. An
      unknown argument is refused, with the known name that is nearest.
    - Every application takes `dtype`, the policy of all its layers, by default the
      global one.
    - `presets`, `from_preset` and `save_to_preset`.
    - A `.keras` file also says what is frozen, which adapters `add_lora` made and where
      the random numbers stand, so a loaded model trains on as if it had never stopped.
      (On torch, dropout without a `seed` draws from torch's global generator, which is
      no part of a model.)

    A subclass may set:

    - `presets_table`: dict from a name to a dict with a `description`, the number of
      `parameters`, arguments, and the hub id of published `weights` if there are any.
    - `defaults`: dict from an argument that an abstract parent has to another default.
    - `head_layers()`: dict from an argument to the layers that are new, not loaded,
      where `from_preset` gets another value for it.
    - `assets`: the arguments that are saved and read as files of their own, such as
      `("tokenizer",)`.
    - `parts`: the arguments that are models, such as `("encoder", "decoder")`. Their
      weights are named after the argument, whatever they are called themselves.
    - `families`: how its checkpoints are published, a tuple of
      `keras_attention.checkpoints.Family`. `from_preset` reads them all;
      `save_to_preset` writes the first that has such a model.
    - `save_assets` and `load_assets`, for other files, which `.keras` files hold too.

    Each argument is an attribute of the model, unless the class keeps another there. A
    parent that several models share is marked `abstract=True` and is none itself.

    Args:
        inputs: The `keras.Input`, or a list or dict of them.
        outputs: What the layers make of them.
        name: Name of the model.

    Example:

    >>> class Doubling(Application):
    ...     def __init__(self, *, units=3, name=None):
    ...         inputs = keras.Input((units,))
    ...         outputs = keras.layers.Dense(2 * units)(inputs)
    ...         super().__init__(inputs, outputs, name=name)
    >>> Doubling(units=4).output_shape
    (None, 8)
    >>> Doubling(unit=4)
    Traceback (most recent call last):
        ...
    TypeError: Doubling.__init__() got an unexpected keyword argument 'unit': did you
    mean `units`? Its arguments are: dtype, name, units.
    """

    presets_table = {}
    defaults = {}
    assets = ()
    parts = ()
    families = ()

    def __init_subclass__(cls, abstract=False, **kwargs):
        super().__init_subclass__(**kwargs)
        _check_parents(cls)
        if abstract:
            ABSTRACT.add(cls)
            return
        remember_arguments(cls, cls.defaults)
        check_presets(cls)
        skip_without_files(cls)
        CLASSES.append(cls)

    def __init__(self, inputs, outputs, name=None):
        if type(self) is Application or type(self) in ABSTRACT:
            raise TypeError(
                f"`{type(self).__name__}` is abstract. Build one of the models of "
                "`keras_attention.applications`, or derive a class from it."
            )
        super().__init__(inputs, outputs, name=name)

    def _remember(self, arguments):
        self._arguments = arguments
        self._frozen_at_first = frozen_layers(self)
        for name, value in arguments.items():
            is_layer = isinstance(value, keras.layers.Layer)
            if not is_layer and not hasattr(self, name):
                setattr(self, name, value)
        if "tokenizer" in self.assets and arguments["tokenizer"] is not None:
            check_tokenizer(arguments["tokenizer"])
            self.tokenizer.check_fits(self.vocabulary_size)

    # What Keras has, after which the model keeps its weights, whatever ended it.

    fit = keeping_variables(keras.Model.fit)
    evaluate = keeping_variables(keras.Model.evaluate)
    predict = keeping_variables(keras.Model.predict)

    # What Keras calls to save and to load.

    def get_config(self):
        config = serialize_arguments(self._arguments)
        config["name"] = self.name
        frozen = frozen_layers(self)
        if frozen != self._frozen_at_first:
            config["frozen_layers"] = frozen
        if lora_options(self) is not None:
            config["lora"] = lora_options(self)
        if quantized_layers(self):
            config["quantized_layers"] = quantized_layers(self)
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = keras.saving.deserialize_keras_object(config, custom_objects)
        frozen, lora = config.pop("frozen_layers", None), config.pop("lora", None)
        quantized = config.pop("quantized_layers", ())
        model = cls(**config)
        if frozen is not None:
            freeze_layers(model, frozen)
        if lora is not None:
            add_lora(model, **lora)
        if quantized:
            quantize_layers(model, quantized)
            forget_programs(model)
        return model

    def export(
        self,
        filepath,
        format="tf_saved_model",
        verbose=None,
        input_signature=None,
        **kwargs,
    ):
        """Writes the model as a program for another runtime.

        The sizes of batches and texts are not known in it. On PyTorch, where recurrent
        networks are walked step by step, theirs must be: see `input_signature`.

        Args:
            filepath: Where it goes: a folder for `"tf_saved_model"`, else a file with
                the ending of the format.
            format: `"tf_saved_model"` (JAX, TensorFlow), `"litert"`, `.tflite`
                (TensorFlow), `"openvino"`, `.xml` (PyTorch, TensorFlow), `"onnx"`,
                `.onnx` (PyTorch), or `"torch"`, `.pt2` (PyTorch).
            verbose: Whether to print what was written.
            input_signature: `keras.InputSpec`s in the structure of the inputs, in place
                of theirs, where a size shall be fixed.
            **kwargs: Others of `keras.Model.export`.

        Raises:
            ValueError: The backend cannot write the format; the error says which can.
        """
        signature = input_signature or input_signature_of(self)
        export_model(self, filepath, format, signature, verbose, **kwargs)

    def quantize(self, mode=None, config=None, filters=None, **kwargs):
        """Makes matrices and tables of tokens of 8 or 4 bits a weight.

        Norms, biases, tables of positions, the patches' convolution and the recurrent
        layers of Keras stay as they are. `.keras` files know what is quantized, and a
        model that was quantized alike reads `.weights.h5` files.

        Args:
            mode: `"int8"`, which also rounds the inputs of a product to 8 bits, or
                `"int4"`, in groups of 128 weights.
            config: A `keras.quantizers.Int8QuantizationConfig` or
                `keras.quantizers.Int4QuantizationConfig`, in place of a mode; with
                `activation_quantizer=None` only weights are rounded.
            filters: Which layers: a regular expression for their names, a list of them,
                or a function of a layer. The matrices of a layer of this library are
                those of the layer `kernels` in it, whose `path` says where it is.

        Raises:
            ValueError: Another mode, or a layer is quantized already.
        """
        check_mode(config)  # which Keras makes of a mode
        with warnings.catch_warnings():  # Keras warns of each layer that it leaves out
            warnings.filterwarnings("ignore", "Layer .* does not have a `quantize`")
            super().quantize(mode, config, filters, **kwargs)
        forget_programs(self)

    def save_own_variables(self, store):
        super().save_own_variables(store)
        save_random_states(self, store)

    def load_own_variables(self, store):
        super().load_own_variables(load_random_states(self, store))

    def save_assets(self, folder):
        """Writes the files a model has besides its weights, such as a vocabulary.

        Args:
            folder: An existing folder.
        """
        for name in self.assets:
            if getattr(self, name) is not None:
                getattr(self, name).save(folder)

    def load_assets(self, folder, config=None):
        """Reads what `save_assets` wrote. Not called where it wrote nothing.

        Args:
            folder: The folder with the files.
            config: What `config.json` holds, or None in a `.keras` file.
        """

    # Presets: a table in the class, a folder, a repository of the hub.

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
                the rest is loaded. Of a published checkpoint `vocabulary_size`,
                `max_length` and `num_segments` may be larger, and the new rows of the
                tables are drawn; or smaller, and the last rows are left out.

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
            new = _other_heads(model, saved, overrides)
            loaded = checkpoints.load_weights(model, folder, config, skip=new)
        initial_values.draw(except_for=loaded)
        if config["assets"]:
            model.load_assets(folder, config)
        return model

    @classmethod
    def _from_published(cls, family, config, folder, load_weights, overrides):
        place = folder / CONFIG
        by_head = "head" in cls.head_layers()
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
                head = "regression" if overrides["num_classes"] == 1 else CLASSIFIER
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


def presets():
    """The presets of all applications.

    Returns:
        Dict from name to description.

    Example:

    >>> isinstance(presets(), dict)
    True
    """
    return Application.presets()


def from_preset(preset, *, load_weights=None, **overrides):
    """Builds a model of whichever class a preset is of.

    Args:
        preset: A name of `presets()`, a folder, or `hf://owner/name`.
        load_weights: Whether to load weights, by default if there are any.
        **overrides: Arguments of the constructor that replace those of the preset.

    Returns:
        A model, as `Application.from_preset` of its class builds it.

    Example:

    >>> from_preset("./my_model")
    Traceback (most recent call last):
        ...
    ValueError: './my_model' is neither a preset of Application nor a folder...
    """
    return Application.from_preset(preset, load_weights=load_weights, **overrides)


def _check_parents(cls):
    parents = [
        base
        for base in cls.__mro__[1:]
        if issubclass(base, Application) and base not in ABSTRACT
    ]
    if parents != [Application]:
        raise TypeError(
            f"{cls.__name__} derives from the application {parents[0].__name__}. An "
            "application derives from `Application` alone: share layers and functions, "
            "not classes."
        )


def _build(cls, saved, overrides, place, load_weights):
    """A model whose weights are zero so far, and what they begin with."""
    most = room_for_weights(place.parent, saved, place) if load_weights else None
    with (
        built_from(place, cls, overrides),
        postpone_initial_values(most) as initial_values,
    ):
        return cls(**build_parts({**saved, **overrides})), initial_values


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
    return CLASSES if cls is Application else [cls]
