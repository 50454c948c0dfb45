"""What all layers share: a config nobody writes by hand, and checks of arguments."""

import contextlib
import inspect

import keras
from keras import ops

from keras_attention.backend.parameters import track_parameters
from keras_attention.backend.products import at_least_float32
from keras_attention.backend.without_values import built_without_values
from keras_attention.layers.kernels import Kernels
from keras_attention.layers.kernels import QuantizedKernel
from keras_attention.layers.quantization import quantize_layers
from keras_attention.layers.quantization import quantized_layers
from keras_attention.layers.recomputation import is_recomputed
from keras_attention.layers.recomputation import recompute_as_whole
from keras_attention.layers.recomputation import recomputed
from keras_attention.layers.shared_parts import deserialize_parts
from keras_attention.layers.shared_parts import serialize_parts
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
    # Whether `keras.RematScope(mode="full")` computes it again as one, or its parts.
    recomputed_as_one = True
    _adapters = ()  # (name of a kernel, its first column, adapter); see `add_adapter`
    _quantized_before = ()  # from `quantized_layers`, for those that `build` makes

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    @property
    def wide_dtype(self):
        """The dtype of positions and weights: float32 at least."""
        return at_least_float32(self.compute_dtype)

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
        with contextlib.ExitStack() as scopes:  # so that its weights have a path
            for part in self.path.split("/"):
                scopes.enter_context(keras.name_scope(part))
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

    def compute_output_shape(self, *shapes, **shapes_by_name):
        """The shapes that come out, for those of the call's tensors.

        A layer without weights stays without.
        """
        names = inspect.signature(self.call).parameters
        shapes = dict(zip(names, shapes, strict=False)) | {
            name.removesuffix("_shape"): shape for name, shape in shapes_by_name.items()
        }
        first, *others = (
            (name, keras.KerasTensor(shape, self._dtype_of(name)))
            for name, shape in shapes.items()
            if shape is not None
        )
        if self.built:
            outputs = self.compute_output_spec(first[1], **dict(others))
        else:
            outputs = built_without_values(
                lambda: copy_layer(self)(first[1], **dict(others))
            )
        return keras.tree.map_structure(lambda output: output.shape, outputs)

    def _dtype_of(self, name):
        if name.endswith("mask"):
            return "bool"
        integers = "token_ids", "positions", "segment_ids", "labels"
        return "int32" if name.endswith(integers) else self.compute_dtype

    def compute_output_spec(self, *args, **kwargs):
        recompute_as_whole(self)
        # Keras would take the shape from above, which takes it from here.
        if type(self).compute_output_shape is BaseLayer.compute_output_shape:
            return keras.Operation.compute_output_spec(self, *args, **kwargs)
        return super().compute_output_spec(*args, **kwargs)

    def rematerialized_call(self, fn, *args, **kwargs):
        if not is_recomputed(self):
            return fn

        def rematerialize(function):
            return super(BaseLayer, self).rematerialized_call(function, *args, **kwargs)

        if rematerialize(fn) is fn:  # a RematScope that leaves this layer out
            return fn
        return recomputed(self, rematerialize, fn)

    def get_config(self):
        arguments = {name: getattr(self, name) for name in _arguments_of(type(self))}
        arguments = serialize_parts(self, arguments)
        for argument in arguments.values():
            if isinstance(argument, dict) and isinstance(argument.get("config"), dict):
                argument["config"].pop(QUANTIZED, None)  # which this one says of parts
        quantized = quantized_layers(self) if self.built else self._quantized_before
        if quantized:
            arguments[QUANTIZED] = list(quantized)
        return {**super().get_config(), **arguments}

    @classmethod
    def from_config(cls, config):
        names = _arguments_of(cls)
        arguments = {name: config[name] for name in names if name in config}
        arguments = deserialize_parts(arguments)
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
    if mask is None:
        return None
    mask = ops.convert_to_tensor(mask)  # it may be a list
    return mask if len(mask.shape) == 2 else None


def by_rows(layer, x):
    """Applies a layer of Keras to vectors that stand in several axes.

    In a loop that TensorFlow compiles with XLA, it has a gradient for two axes only.

    Args:
        layer: A layer of single vectors, as `keras.layers.Dense`.
        x: `(..., D)`.

    Returns:
        `(..., E)`.

    Example:

    >>> tuple(by_rows(keras.layers.Dense(5), keras.ops.ones((2, 3, 4))).shape)
    (2, 3, 5)
    """
    y = layer(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(y, (*ops.shape(x)[:-1], y.shape[-1]))


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
