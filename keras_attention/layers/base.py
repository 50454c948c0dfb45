"""What all layers share: a config nobody writes by hand, and checks of arguments."""

import inspect

import keras
from keras import ops

from keras_attention.backend.parameters import track_parameters
from keras_attention.layers.kernels import Kernels
from keras_attention.layers.kernels import QuantizedKernel
from keras_attention.layers.quantization import quantize_layers
from keras_attention.layers.quantization import quantized_layers
from keras_attention.ops import project

# The field of a config that says what is quantized.
QUANTIZED = "quantized_layers"


class BaseLayer(keras.layers.Layer):
    """A Keras layer whose config is its constructor's arguments.

    Abstract. A subclass keeps each argument of its `__init__` in an attribute of the
    same name; arguments that are layers are serialized with it.
    """

    # Arguments that are layers which the copies of a block share, as the table of
    # positions of a whole stack.
    shared_arguments = ()
    _adapters = ()  # (name of a kernel, its first column, adapter); see `add_adapter`
    _quantized_before = ()  # from `quantized_layers`, for those that `build` makes

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def add_kernel(self, name, shape, initializer=None):
        """A matrix `(D, E)` for `project`, which `quantize` makes small.

        It has to become the attribute of that name.
        """
        if not hasattr(self, "_kernels"):
            self._kernels = Kernels(self, dtype=self.dtype_policy, name="kernels")
            self._kernels.build(())
        self._kernels.add(name)
        return self.add_weight(shape, initializer, name=name)

    def replace_kernel(self, name, function):
        """Puts what a function makes of a matrix from `add_kernel` in its place."""
        kernel = getattr(self, name)
        quantized = function(kernel)
        self._untrack_variable(kernel)
        setattr(self, name, quantized)

    def quantize(self, mode=None, type_check=True, config=None):
        """Makes the matrices of the layer, and of those inside it, small.

        Args:
            mode: `"int8"` or `"int4"`, unless there is a `config`.
            type_check: Whether layers of classes that derive from Keras's are left out.
            config: A `keras.quantizers.Int8QuantizationConfig` or
                `keras.quantizers.Int4QuantizationConfig`.

        Raises:
            NotImplementedError: There is no such matrix.
        """
        parts = self._flatten_layers(include_self=False)
        found = [part for part in parts if _quantize(part, type_check, config)]
        if not found:
            raise self._not_implemented_error(self.quantize)
        track_parameters(self)

    def _post_build(self):
        super()._post_build()
        if self._quantized_before:
            quantize_layers(self, self._quantized_before)

    def project(self, x, kernel, bias=None, columns=None):
        """Multiplies by a kernel and adds a bias, in the dtype of the layer.

        With `columns`, a pair of numbers, only by those of the kernel and the bias.
        What adapters add to the kernel is added.
        """
        first, last = columns or (0, kernel.shape[1])
        if (first, last) != (0, kernel.shape[1]):
            bias = None if bias is None else bias[first:last]
        if isinstance(kernel, QuantizedKernel):
            y = kernel.multiply(ops.cast(x, self.compute_dtype), first, last)
            y = y if bias is None else y + ops.cast(bias, y.dtype)
        else:
            part = kernel
            if (first, last) != (0, kernel.shape[1]):
                part = kernel[:, first:last]
            y = project(x, part, bias, self.compute_dtype)
        for adapted, start, adapter in self._adapters:
            if adapted == kernel.name and first <= start < last:
                added = adapter(ops.cast(x, self.compute_dtype))
                before, after = start - first, last - start - adapter.output_dim
                widths = [(0, 0)] * (len(y.shape) - 1) + [(before, after)]
                y = y + (ops.pad(added, widths) if before or after else added)
        return y

    def adaptable_kernels(self):
        """The kernels that `project` gets, for adapters beside them.

        Returns:
            List of `(target, kernel, first, last)`: what the columns from `first` to
            before `last` of the kernel project to.
        """
        return []

    def add_adapter(self, kernel, start, adapter):
        """Puts an adapter beside the columns of a kernel that begin at `start`."""
        self._tracker.unlock()  # else Keras refuses weights after `build`
        setattr(self, adapter.name, adapter)
        self._adapters = (*self._adapters, (kernel.name, start, adapter))
        self._tracker.lock()
        # In the scope of the layer: PyTorch knows weights by their paths, which would
        # be the same for all adapters.
        with self._open_name_scope():
            adapter.build((None, kernel.shape[0]))

    def merge_adapters(self):
        """Adds what the adapters learned to their kernels, and takes them away."""
        kernels = {kernel.name: kernel for _, kernel, _, _ in self.adaptable_kernels()}
        self._tracker.unlock()
        for name, start, adapter in self._adapters:
            kernel = kernels[name]
            after = kernel.shape[1] - start - adapter.output_dim
            added = ops.pad(adapter.product, [(0, 0), (start, after)])
            kernel.assign(ops.cast(kernel, "float32") + added)
            self._tracker.untrack(adapter)
            delattr(self, adapter.name)
        self._adapters = ()
        self._tracker.lock()

    def get_config(self):
        arguments = {name: getattr(self, name) for name in _arguments_of(type(self))}
        arguments = keras.saving.serialize_keras_object(arguments)
        for argument in arguments.values():
            if isinstance(argument, dict):  # perhaps a layer, which this one builds
                argument.pop("build_config", None)
                if isinstance(argument.get("config"), dict):
                    argument["config"].pop(QUANTIZED, None)
        quantized = quantized_layers(self) if self.built else self._quantized_before
        if quantized:
            arguments[QUANTIZED] = list(quantized)
        return {**super().get_config(), **arguments}

    @classmethod
    def from_config(cls, config):
        names = _arguments_of(cls)
        arguments = {name: config[name] for name in names if name in config}
        arguments = keras.saving.deserialize_keras_object(arguments)
        quantized = config.get(QUANTIZED, ())
        config = {name: config[name] for name in config if name != QUANTIZED}
        layer = super().from_config({**config, **arguments})
        layer._quantized_before = tuple(quantized)
        return layer


def _quantize(layer, type_check, config):
    """Quantizes a layer without others inside; returns whether it can be."""
    if layer._flatten_layers(include_self=False):
        return False
    try:
        layer.quantize(type_check=type_check, config=config)
    except NotImplementedError:
        return False
    return True


def _arguments_of(cls):
    """The names of the constructor's arguments.

    A class of a user that passes on `**kwargs` also has the arguments of the class of
    this library that it is made of.
    """
    names = []
    for parent in cls.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = list(inspect.signature(parent.__init__).parameters.values())[1:]
        kinds = [parameter.kind for parameter in parameters]
        names += [
            parameter.name
            for parameter in parameters
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
        ]
        is_ours = parent.__module__.startswith("keras_attention.")
        if is_ours or inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return list(dict.fromkeys(names))


def copy_layer(layer, added_to_seeds=0, shares=False, **changes):
    """Another layer of the same arguments, which has no weights yet.

    Without Keras's serialization, which imports TensorFlow wherever it is installed.

    Args:
        layer: A layer.
        added_to_seeds: Added to each integer seed, so that the copy drops other places
            and begins with other weights.
        shares: Whether the copy has the same `shared_arguments`, not copies of them.
        **changes: Other arguments.

    Returns:
        A layer of the same class.

    Example:

    >>> copy = copy_layer(keras.layers.Dropout(0.5, seed=1), 10, name="another")
    >>> copy.rate, copy.seed, copy.name
    (0.5, 11, 'another')
    """
    if not isinstance(layer, BaseLayer):
        config = _with_other_seeds(layer.get_config(), added_to_seeds)
        return type(layer).from_config({**config, **changes})
    arguments = {name: getattr(layer, name) for name in _arguments_of(type(layer))}
    for name, value in arguments.items():
        if shares and name in layer.shared_arguments:
            continue
        if isinstance(value, keras.layers.Layer):
            arguments[name] = copy_layer(value, added_to_seeds, shares)
        elif isinstance(value, keras.initializers.Initializer):
            arguments[name] = another(value, added_to_seeds)
    arguments = _with_other_seeds(arguments, added_to_seeds)
    arguments |= {"name": layer.name, "dtype": layer.dtype_policy}
    if not layer.trainable:
        arguments["trainable"] = False
    if layer.activity_regularizer is not None:
        arguments["activity_regularizer"] = layer.activity_regularizer
    return type(layer)(**{**arguments, **changes})


def another(initializer, number=0):
    """Copies an initializer so that it draws other values than its neighbors.

    Args:
        initializer: An initializer of Keras, or a function.
        number: Added to its seed, if that is an integer.

    Returns:
        The copy; a function is returned as it is.

    Example:

    >>> initializer = keras.initializers.RandomNormal(stddev=0.02, seed=1)
    >>> another(initializer, 2).get_config()["seed"]
    3
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = _with_other_seeds(initializer.get_config(), number)
    return type(initializer).from_config(config)


def _with_other_seeds(config, added):
    if isinstance(config, list):
        return [_with_other_seeds(value, added) for value in config]
    if not isinstance(config, dict):
        return config
    return {
        name: value + added
        if name == "seed" and isinstance(value, int)
        else _with_other_seeds(value, added)
        for name, value in config.items()
    }


def token_mask(mask):
    """Passes on a mask of tokens, and nothing else, to the layers that follow.

    Args:
        mask: The mask a layer was given: `(B, T)` says which tokens are no padding,
            three or four axes say which query reads which key.

    Returns:
        The mask if it has two axes, else `None`.

    Example:

    >>> token_mask(keras.ops.ones((2, 3, 3), "bool")) is None
    True
    """
    return mask if mask is not None and len(mask.shape) == 2 else None


def build_once(layer, *shapes):
    """Makes the weights of a part, unless it was passed in with weights.

    Args:
        layer: A layer.
        *shapes: Shapes for its `build`.

    Example:

    >>> layer = keras.layers.Dense(3)
    >>> build_once(layer, (2, 5))
    >>> build_once(layer, (2, 5))
    >>> tuple(layer.kernel.shape)
    (5, 3)
    """
    if not layer.built:
        layer.build(*shapes)


def key_dim_of(hidden_dim, num_heads, key_dim, layer_name):
    """Divides the width of a token among the heads, unless told the width of a head.

    Args:
        hidden_dim: Width D of a token.
        num_heads: Number N of heads.
        key_dim: Width of a head, or `None`.
        layer_name: Name for the message.

    Returns:
        The width of a head.

    Raises:
        ValueError: `num_heads` does not divide `hidden_dim`.

    Example:

    >>> key_dim_of(512, 8, None, "block")
    64
    """
    if key_dim is not None:
        return key_dim
    if hidden_dim % num_heads:
        raise ValueError(
            f"A width of {hidden_dim} does not divide into num_heads={num_heads} heads "
            f"in layer {layer_name!r}. Choose a number of heads that divides it, or "
            "pass `key_dim`, the width of a head."
        )
    return hidden_dim // num_heads
