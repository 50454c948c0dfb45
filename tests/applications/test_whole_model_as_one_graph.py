"""PyTorch makes one graph of a whole model, for `torch.compile`."""

import keras
import numpy as np
import pytest

from helpers import BACKEND
from helpers import to_numpy
from keras_attention.applications import BERT
from keras_attention.applications import GPT2
from keras_attention.applications import ViT

SIZES = {"hidden_dim": 8, "num_layers": 2, "num_heads": 2, "mlp_dim": 12}
TOKENS = np.array([[2, 7, 5, 3], [2, 4, 3, 0]], "int32")
TEXTS = {"token_ids": TOKENS, "padding_mask": TOKENS != 0}
MODELS = {
    "BERT": (
        lambda: BERT(vocabulary_size=9, head="classification", **SIZES),
        {**TEXTS, "segment_ids": 0 * TOKENS},
    ),
    "GPT2": (lambda: GPT2(vocabulary_size=9, head="next_token", **SIZES), TEXTS),
    "ViT": (
        lambda: ViT(num_classes=3, image_size=8, patch_size=4, **SIZES),
        np.ones((2, 8, 8, 3), "float32"),
    ),
}


@pytest.mark.skipif(BACKEND != "torch", reason="`torch.compile` is PyTorch's")
@pytest.mark.parametrize("name", MODELS)
def test_a_whole_model_is_one_graph(name):
    import torch

    make, inputs = MODELS[name]
    model = make()
    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    with torch.no_grad():
        expected = to_numpy(model(inputs))
        # Without the compiler behind it: what matters is that nothing breaks the graph.
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        np.testing.assert_allclose(to_numpy(compiled(inputs)), expected, atol=1e-6)
