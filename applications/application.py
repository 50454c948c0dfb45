"""The base of all applications: arguments remembered, presets, saving and loading."""

import keras

from keras_attention.applications.preset_model import ABSTRACT
from keras_attention.applications.preset_model import CLASSES
from keras_attention.applications.preset_model import PresetModel
from keras_attention.applications.served_model import ServedModel
from keras_attention.backend.kept_variables import keeping_variables
from keras_attention.checkpoints.arguments import remember_arguments
from keras_attention.checkpoints.arguments import serialize_arguments
from keras_attention.checkpoints.presets import check_presets
from keras_attention.checkpoints.state import freeze_layers
from keras_attention.checkpoints.state import frozen_layers
from keras_attention.checkpoints.state import load_random_states
from keras_attention.checkpoints.state import save_random_states
from keras_attention.checkpoints.state import skip_without_files
from keras_attention.layers.quantization import quantize_layers
from keras_attention.layers.quantization import quantized_layers
from keras_attention.tokenizers.tokenizer import check_tokenizer
from keras_attention.training.lora import add_lora
from keras_attention.training.lora import forget_programs
from keras_attention.training.lora import lora_options


class Application(PresetModel, ServedModel, keras.Model):
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
    - `figure`: the class whose arguments are the `**options` of `__init__`, where
      several papers have arguments and parts in common, such as `ViTFigure`.
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
    figure = None
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
