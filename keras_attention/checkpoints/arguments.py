"""The arguments of a constructor: bound, remembered and written down."""

import contextlib
import difflib
import functools
import inspect
import types

import keras
import numpy as np

# What Python raises where a value is of another type or size than it should be.
DAMAGE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
)


def remember_arguments(cls, defaults=None):
    """Gives a model class an `__init__` that passes its arguments to `_remember`.

    `_remember` is called once `__init__` is done, with a mapping that cannot change:
    the arguments as they were when `__init__` was called. One argument is added unless
    `__init__` has it, `dtype`: the policy of all layers that `__init__` makes, by
    default the global one.

    Args:
        cls: A subclass of `keras.Model` whose `__init__` takes keyword arguments only,
            among them `name`. Its `**options` stand for the arguments of the class
            that is its attribute `figure`.
        defaults: Dict from arguments to other defaults, where `__init__` is inherited.

    Raises:
        TypeError: An argument can be passed by position, or there is no `name`.

    Example:

    >>> class Doubling(keras.Model):
    ...     def __init__(self, *, units=3, name=None):
    ...         inputs = keras.Input((units,))
    ...         outputs = keras.layers.Dense(2 * units)(inputs)
    ...         super().__init__(inputs, outputs, name=name)
    ...     def _remember(self, arguments):
    ...         print(arguments)
    >>> remember_arguments(Doubling)
    >>> model = Doubling(units=4)
    {'units': 4, 'name': None, 'dtype': 'float32'}
    """
    init = cls.__init__
    signature = _with_options(inspect.signature(init), getattr(cls, "figure", None))
    this, *parameters = signature.parameters.values()
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            raise TypeError(
                f"{cls.__name__}.__init__() must take all its arguments by name and "
                f"none unnamed: write `self, *, ...`. Received: `{parameter}`."
            )
    if "name" not in signature.parameters:
        raise TypeError(
            f"{cls.__name__}.__init__() must take `name=None` and pass it on: "
            "`super().__init__(inputs, outputs, name=name)`."
        )
    defaults = defaults or {}
    unknown = sorted(defaults.keys() - signature.parameters.keys())
    if unknown:
        raise TypeError(
            f"{cls.__name__} has defaults of arguments that its `__init__` lacks: "
            f"{', '.join(unknown)}."
        )
    parameters = [
        p.replace(default=defaults.get(p.name, p.default)) for p in parameters
    ]
    has_dtype = "dtype" in signature.parameters
    if not has_dtype:
        dtype = inspect.Parameter("dtype", inspect.Parameter.KEYWORD_ONLY, default=None)
        parameters.append(dtype)
    signature = signature.replace(parameters=[this, *parameters])

    @functools.wraps(init)
    def remembering_init(self, *args, **kwargs):
        arguments = bind(cls, signature, self, *args, **kwargs)
        kwargs = {**defaults, **kwargs}
        if has_dtype:
            init(self, **kwargs)
        else:
            arguments["dtype"] = arguments["dtype"] or keras.config.dtype_policy().name
            kwargs.pop("dtype", None)
            with dtype_policy(arguments["dtype"]):
                init(self, **kwargs)
        # Not a dict: Keras would look for layers in it and count them twice.
        self._remember(types.MappingProxyType(arguments))

    remembering_init.__signature__ = signature
    cls.__init__ = remembering_init


def _with_options(signature, figure):
    """A signature with the arguments of a class in place of `**options`."""
    *parameters, last = signature.parameters.values()
    if figure is None or last.kind is not inspect.Parameter.VAR_KEYWORD:
        return signature
    own = {parameter.name for parameter in parameters}
    shared = inspect.signature(figure).parameters.values()
    shared = [parameter for parameter in shared if parameter.name not in own]
    return signature.replace(parameters=[*parameters, *shared])


def argument_names(cls):
    """The names of the arguments of a class, in alphabetical order."""
    return sorted(list(inspect.signature(cls.__init__).parameters)[1:])


def argument_defaults(cls):
    """The defaults of the arguments of a class, as `remember_arguments` keeps them.

    Returns:
        Dict from name to default.
    """
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return {parameter.name: copied(parameter.default) for parameter in parameters}


def bind(cls, signature, self, *args, **kwargs):
    """The arguments by name, with defaults, copied; or an error that helps."""
    for name in kwargs:
        if name not in signature.parameters:
            near = difflib.get_close_matches(name, argument_names(cls), n=1)
            raise TypeError(
                f"{cls.__name__}.__init__() got an unexpected keyword argument {name!r}"
                + (f": did you mean `{near[0]}`?" if near else ".")
                + f" Its arguments are: {', '.join(argument_names(cls))}."
            )
    try:
        bound = signature.bind(self, *args, **kwargs)
    except TypeError as error:
        raise TypeError(
            f"{cls.__name__}.__init__(): {error}. Pass arguments by name. They are: "
            f"{', '.join(argument_names(cls))}."
        ) from None
    bound.apply_defaults()
    return {name: copied(value) for name, value in list(bound.arguments.items())[1:]}


def copied(value):
    """A value that no longer changes with what was passed. Tuples become lists.

    JSON knows no tuples, so an argument is the same before and after it was saved.
    """
    if isinstance(value, list | tuple):
        return [copied(item) for item in value]
    if isinstance(value, dict):
        return {key: copied(item) for key, item in value.items()}
    return value.copy() if isinstance(value, np.ndarray) else value


def serialize_arguments(value):
    """Arguments as JSON can hold them: Keras objects as Keras serializes them.

    A model among the arguments is written without what `compile` gave it.
    """
    if isinstance(value, list):
        return [serialize_arguments(item) for item in value]
    if isinstance(value, dict | types.MappingProxyType):
        return {key: serialize_arguments(item) for key, item in value.items()}
    value = keras.saving.serialize_keras_object(value)
    if isinstance(value, dict):
        value.pop("compile_config", None)
    return value


def deserialize_arguments(cls, config, folder):
    """The arguments that a `config.json` holds, for the constructor of its class.

    Args:
        cls: The class.
        config: What `read_config` gave.
        folder: Where it was read.

    Returns:
        Dict.

    Raises:
        ValueError: The class has no such argument, or one of them cannot be made.
    """
    names = argument_names(cls)
    unknown = sorted(config["arguments"].keys() - set(names))
    if unknown:
        raise ValueError(
            f"{folder} holds arguments that {cls.__name__} does not have: "
            f"{', '.join(unknown)}. It has: {', '.join(names)}. Versions that wrote "
            f"it: {config['versions']}."
        )
    try:
        return keras.saving.deserialize_keras_object(config["arguments"])
    except Exception as error:  # what it is given may make it raise anything
        raise ValueError(
            f"The arguments of {cls.__name__} in {folder} cannot be read: {error} "
            f"Versions that wrote them: {config['versions']}."
        ) from error


@contextlib.contextmanager
def built_from(place, cls, overrides):
    """Says of a file that it is damaged, where what is in it makes Python fail.

    Args:
        place: Name of the file.
        cls: The class of the model that is built from it.
        overrides: Arguments that were passed besides.

    Raises:
        ValueError: In place of an error that names no file.

    Example:

    >>> with built_from("config.json", keras.Model, {}):
    ...     [] + 3
    Traceback (most recent call last):
        ...
    ValueError: A Model cannot be built from config.json: can only concatenate list (not
    "int") to list. Copy or download the file again.
    """
    try:
        yield
    except DAMAGE as error:
        if overrides.keys() - set(argument_names(cls)):
            raise  # it tells of an argument that there is not
        said = f" and {', '.join(sorted(overrides))}" if overrides else ""
        raise ValueError(
            f"A {cls.__name__} cannot be built from {place}{said}: {error}. Copy or "
            "download the file again."
        ) from error


@contextlib.contextmanager
def dtype_policy(policy):
    """The global dtype policy, for a while."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
