"""Programs for other runtimes: each application, on each backend, in each format."""

import keras
import numpy as np
import pytest
from tiny_models import BY_NAME
from tiny_models import MODELS
from tiny_models import randomize

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.backend.exporting import ENDINGS
from keras_attention.backend.exporting import WRITES
from keras_attention.visualization import AttentionExtractor

RECURRENT = (
    *("AttentionSeq2Seq", "LSTMNLanguageModel", "RNNCaptioner", "RNNSeq2Seq"),
    "ShowAttendTell",
)
# What OpenVINO's reader of TensorFlow cannot do: lists of tensors in loops.
NO_LOOPS = tuple(name for name in RECURRENT if name != "LSTMNLanguageModel")
QUICK = ("BERT",)


def run_torch(path, inputs):
    import torch

    program = torch.export.load(path).module()
    tensors = [torch.as_tensor(x) for x in inputs.values()]
    found = program(*tensors)
    return found if isinstance(found, dict) else keras.tree.flatten(found)


def run_onnx(path, inputs):
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    names = [place.name for place in session.get_inputs()]
    if names == ["images"] or len(names) == 1:
        inputs = dict(zip(names, inputs.values(), strict=True))
    return session.run(None, {name: inputs[name] for name in names})


def run_openvino(path, inputs):
    openvino = pytest.importorskip("openvino")
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = openvino.Core().compile_model(path, "CPU", exact)
    if len(inputs) == 1:
        found = model(list(inputs.values()))
    else:
        found = model(inputs)
    return [found[place] for place in model.outputs]


def run_saved_model(path, inputs):
    import tensorflow as tf

    inputs = {name: tf.constant(x) for name, x in inputs.items()}
    (only,) = inputs.values() if len(inputs) == 1 else [inputs]
    model = tf.saved_model.load(path)
    try:
        return model.serve(inputs)
    except (TypeError, ValueError):  # what is called with one tensor
        return model.serve(only)


def run_litert(path, inputs):
    import tensorflow as tf

    runner = tf.lite.Interpreter(path).get_signature_runner()
    names = runner.get_input_details()
    return list(runner(**dict(zip(names, inputs.values(), strict=True))).values())


RUN = {
    "tf_saved_model": run_saved_model,
    "onnx": run_onnx,
    "openvino": run_openvino,
    "litert": run_litert,
    "torch": run_torch,
}


def row(tiny, format):
    marks = []
    if tiny.name not in QUICK or format == "openvino":
        marks.append(pytest.mark.slow)
    return pytest.param(tiny, format, marks=marks, id=f"{tiny.name}-{format}")


def rows():
    for tiny in MODELS:
        for format in WRITES[BACKEND]:
            if format == "litert" and tiny.name != "ViT":
                continue  # needs TensorFlow's operations beside LiteRT's
            if BACKEND != "torch" and format == "openvino" and tiny.name in NO_LOOPS:
                continue
            yield row(tiny, format)


def as_dict(inputs):
    inputs = inputs if isinstance(inputs, dict) else {"images": inputs}
    return dict(sorted(inputs.items()))


def flat(outputs):
    return [
        to_numpy(keras.ops.convert_to_tensor(x)) for x in keras.tree.flatten(outputs)
    ]


@pytest.mark.parametrize(("tiny", "format"), list(rows()))
@pytest.mark.filterwarnings("ignore")
def test_a_program_computes_what_its_model_does(tmp_path, tiny, format):
    """For batches and texts of other sizes than it was written with."""
    model = tiny.make()
    randomize(model)
    path = str(tmp_path / f"model{ENDINGS.get(format, '')}")
    sizes = [(3, 4), (1, 6)] if tiny.has_length else [(3,), (1,)]
    options = {}
    if BACKEND == "torch" and tiny.name in RECURRENT:
        with pytest.raises(ValueError, match=r"step by step, .* `input_signature`"):
            model.export(path, format=format)
        sizes = [(3, 4), (5, 4)]
        options["input_signature"] = {
            name: keras.InputSpec(x.dtype.name, (None, *x.shape[1:]), name=name)
            for name, x in as_dict(tiny.inputs(*sizes[0])).items()
        }
    model.export(path, format=format, **options)
    for size in sizes:
        inputs = tiny.inputs(*size)
        expected = flat(model(inputs))
        found = flat(RUN[format](path, as_dict(inputs)))
        for x, y in zip(expected, found, strict=True):
            np.testing.assert_allclose(y, x, atol=1e-4)


@pytest.mark.parametrize("format", WRITES[BACKEND])
@pytest.mark.filterwarnings("ignore")
def test_a_program_also_gives_its_attention(tmp_path, format):
    tiny = BY_NAME["ViT"]
    extractor = AttentionExtractor(tiny.make())
    path = str(tmp_path / f"model{ENDINGS.get(format, '')}")
    extractor.export(path, format=format)
    images = tiny.inputs(2)
    found = flat(RUN[format](path, {"images": images}))
    expected = flat(extractor(images))
    assert [x.shape for x in expected][1:] == [(2, 2, 5, 5)] * 2
    for x in expected:
        assert any(x.shape == y.shape and np.allclose(x, y, atol=1e-4) for y in found)


def by_name(found, expected):
    """Outputs by name, from a list of those runtimes that have none."""
    if isinstance(found, dict):
        return {
            name: to_numpy(keras.ops.convert_to_tensor(x)) for name, x in found.items()
        }
    return dict(zip(sorted(expected), found, strict=True))


@pytest.mark.parametrize("name", ["GPT2", "Transformer", "ShowAttendTell"])
@pytest.mark.parametrize(
    "format", [f for f in WRITES[BACKEND] if f not in ("litert", "openvino")]
)
@pytest.mark.filterwarnings("ignore")
def test_the_steps_of_writing(tmp_path, name, format):
    """The loop around them is here in NumPy; what it writes is what the model does."""
    if name == "ShowAttendTell" and format == "onnx":
        pytest.skip("slow")
    tiny = BY_NAME[name]
    options = {"end_id": None} if name == "GPT2" else {}
    model = tiny.make(**options)
    randomize(model)
    begin, step = model.serve_steps(slots=8)
    path = str(tmp_path / f"step{ENDINGS.get(format, '')}")
    step.export(path, format=format)
    if begin is None:
        state = {
            key: np.zeros([2 if n is None else n for n in spec.shape], spec.dtype)
            for key, spec in step.signature.items()
            if key != "token_ids"
        }
    else:
        first = str(tmp_path / f"begin{ENDINGS.get(format, '')}")
        begin.export(first, format=format)
        inputs = {key: as_dict(tiny.inputs(2))[key] for key in begin.signature}
        expected = begin({k: keras.ops.convert_to_tensor(x) for k, x in inputs.items()})
        state = by_name(RUN[format](first, inputs), expected)
        for key, x in expected.items():
            np.testing.assert_allclose(state[key], to_numpy(x), atol=1e-4)
    ids = np.array([[3], [5]], "int32")
    for _ in range(3):
        given = dict(sorted({"token_ids": ids, **state}.items()))
        expected = step({k: keras.ops.convert_to_tensor(x) for k, x in given.items()})
        found = by_name(RUN[format](path, given), expected)
        for key, x in expected.items():
            np.testing.assert_allclose(found[key], to_numpy(x), atol=1e-4)
        logits = found.pop("logits")
        state = {**state, **found}
        ids = logits.argmax(-1)[:, None].astype("int32")
    if name == "GPT2":
        written = np.asarray(model.generate([[3], [5]], max_new_tokens=3))
        np.testing.assert_array_equal(written[:, 3:], ids)


def test_formats_that_a_backend_cannot_write(tmp_path):
    model = BY_NAME["ViT"].make()
    formats = {"torch": "litert", "jax": "onnx", "tensorflow": "torch"}
    message = "cannot write format=.* load it and export it with KERAS_BACKEND="
    with pytest.raises(ValueError, match=message):
        model.export(tmp_path / "model", format=formats[BACKEND])
    with pytest.raises(ValueError, match="`format` must be one of"):
        model.export(tmp_path / "model", format="pickle")
    assert not list(tmp_path.iterdir())
    ending = {"torch": "onnx", "tensorflow": "litert"}.get(BACKEND)
    if ending is not None:
        with pytest.raises(ValueError, match=r"must end in \.(onnx|tflite). Received"):
            model.export(tmp_path / "model", format=ending)
