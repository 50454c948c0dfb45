"""Models written as programs for other runtimes: what each backend can write, and how.

Keras writes them all. On PyTorch it fixes the sizes of what it traces, so here the
program that `torch.export` makes, with sizes that are not known, is what is written.
"""

import contextlib
import pathlib
import tempfile
import threading
import warnings

import keras
from keras import ops

from keras_attention.checks import check_choice

FORMATS = ("tf_saved_model", "onnx", "openvino", "litert", "torch")
# What each backend writes; for the rest there is no converter.
WRITES = {
    "tensorflow": ("tf_saved_model", "litert", "openvino"),
    "jax": ("tf_saved_model",),
    "torch": ("torch", "onnx", "openvino"),
}
ENDINGS = {"onnx": ".onnx", "openvino": ".xml", "litert": ".tflite", "torch": ".pt2"}
# Of each axis whose size is not known, while a program is traced: other than 0 and 1,
# which PyTorch takes for special, and all different.
SIZES = (2, 5, 7, 11, 13)

_state = threading.local()


def is_exporting():
    """Whether a model is written as a program: only common operations may be used.

    Example:

    >>> is_exporting()
    False
    """
    return getattr(_state, "is_exporting", False)


@contextlib.contextmanager
def exporting():
    """Lets `is_exporting` be true for what is traced within."""
    before = is_exporting()
    _state.is_exporting = True
    try:
        yield
    finally:
        _state.is_exporting = before


@contextlib.contextmanager
def _quiet():
    """Without the warnings of converters about their own parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def check_format(format, filepath):
    """Refuses what a backend cannot write.

    Args:
        format: One of `FORMATS`.
        filepath: Where it goes.

    Raises:
        ValueError: The backend cannot write it, or the name ends otherwise.
    """
    check_choice(FORMATS, format=format)
    backend = keras.backend.backend()
    if format not in WRITES[backend]:
        able = [name for name, formats in WRITES.items() if format in formats]
        raise ValueError(
            f"The backend {backend!r} cannot write format={format!r}: it writes "
            f"{', '.join(WRITES[backend])}. Save the model as a `.keras` file, load it "
            f"and export it with KERAS_BACKEND={' or '.join(able)}."
        )
    ending = ENDINGS.get(format)
    if ending is not None and pathlib.Path(filepath).suffix != ending:
        raise ValueError(
            f"The name of a file of format={format!r} must end in {ending}. Received: "
            f"{str(filepath)!r}"
        )


def input_signature_of(model):
    """What a functional model is called with, with sizes that are not known.

    Args:
        model: A functional model.

    Returns:
        A nested structure of `keras.InputSpec`.
    """

    def describe(x):
        return keras.InputSpec(shape=x.shape, dtype=x.dtype, name=x.name)

    return keras.tree.map_structure(describe, model.input)


def _size_name(spec, axis):
    """A name for a size that is not known, the same where sizes are equal.

    Texts of an encoder and of a decoder differ in length, what is kept of a source has
    one, and other inputs are as long as each other.
    """
    if axis == 0:
        return "batch"
    first = (spec.name or "").split("_")[0]
    if first == "source":
        return "source_size"
    return f"{first}_size{axis}" if first in ("encoder", "decoder") else f"size{axis}"


def export_model(model, filepath, format, signature, verbose=None, **kwargs):
    """Writes a model as a program for another runtime.

    Args:
        model: A model that is called with one argument.
        filepath: Where it goes.
        format: One of `FORMATS`.
        signature: Structure of `keras.InputSpec`, that argument.
        verbose: Whether Keras prints what it wrote.
        **kwargs: Those of `keras.Model.export`.

    Raises:
        ValueError: The backend cannot write it.
    """
    check_format(format, filepath)
    if isinstance(signature, dict):  # in the order in which TensorFlow flattens it
        signature = dict(sorted(signature.items()))
    if keras.backend.backend() == "torch":
        _export_by_torch(model, filepath, format, signature, **kwargs)
        return
    if keras.backend.backend() == "jax":
        options = {
            "polymorphic_shapes": [keras.tree.map_structure(_symbols, signature)],
            # What is exported learns no more.
            "with_gradient": False,
        }
        options |= kwargs.pop("jax2tf_kwargs", {})
        kwargs |= {"is_static": kwargs.get("is_static", False)}
        kwargs["jax2tf_kwargs"] = options
    with exporting(), _quiet():
        keras.Model.export(
            model,
            filepath,
            format=format,
            verbose=bool(verbose),
            input_signature=[signature],
            **kwargs,
        )
    if format == "openvino":
        _keep_outputs(pathlib.Path(filepath))


def _keep_outputs(path):
    """Leaves out what nothing reads, which OpenVINO takes for outputs, too."""
    import openvino

    program = openvino.Core().read_model(path)
    for result in program.get_results():
        names = result.input(0).get_source_output().get_names()
        if all("/" in name for name in names):  # those of inner operations alone
            program.remove_result(result)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        new = pathlib.Path(folder) / path.name
        openvino.save_model(program, new, compress_to_fp16=False)
        del program  # it reads the file that is replaced
        for file in (new, new.with_suffix(".bin")):
            file.replace(path.parent / file.name)


def _symbols(spec):
    """Names for the sizes of an input that are not known, as JAX reads them."""
    names = [
        _size_name(spec, axis) if size is None else str(size)
        for axis, size in enumerate(spec.shape)
    ]
    return f"({', '.join(names)})"


def _export_by_torch(model, filepath, format, signature):
    """Writes a model on PyTorch, with sizes that are not known."""
    import torch

    model.eval()
    specs = keras.tree.flatten(signature)
    names = [spec.name or f"input_{i}" for i, spec in enumerate(specs)]
    unknown = {}  # the size of each axis that is not known, by its name
    leaves, shapes = [], []
    for spec in specs:
        sizes, dims = [], {}
        for axis, size in enumerate(spec.shape):
            if size is None:
                name = _size_name(spec, axis)
                size = unknown.setdefault(name, SIZES[len(unknown)])
                dims[axis] = torch.export.Dim.DYNAMIC
            sizes.append(size)
        leaves.append(ops.ones(sizes, spec.dtype))
        shapes.append(dims)

    class Flat(torch.nn.Module):
        """The model as a function of tensors, which come and go by name."""

        def __init__(self):
            super().__init__()
            self.model = model

        def forward(self, *leaves):
            inputs = keras.tree.pack_sequence_as(signature, leaves)
            with exporting():
                return self.model(inputs, training=False)

    try:
        with torch.no_grad(), _quiet():
            program = torch.export.export(
                Flat(), tuple(leaves), dynamic_shapes=[tuple(shapes)], strict=False
            )
    except torch._dynamo.exc.UserError as error:
        if "specialized it to be a constant" not in str(error):
            raise
        raise ValueError(
            f"PyTorch walks the recurrent network of {model.name!r} step by step, so "
            "its programs have one length. Pass it as `input_signature`, a dict with "
            f"{names[0]}=keras.InputSpec(shape=(None, 32), ...) and so on, or export "
            "the model with KERAS_BACKEND=tensorflow."
        ) from error
    if format == "torch":
        torch.export.save(program, filepath)
    elif format == "onnx":
        torch.onnx.export(
            program, f=filepath, input_names=names, dynamo=True, verbose=False
        )
    else:
        import openvino

        converted = openvino.convert_model(program)
        for place, name in zip(converted.inputs, names, strict=True):
            place.tensor.set_names({name})
        openvino.save_model(converted, filepath, compress_to_fp16=False)
