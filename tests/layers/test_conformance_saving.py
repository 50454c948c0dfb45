"""Every layer comes back from a `.keras` file in a process that did not make it."""

import json

import numpy as np
import pytest

from helpers import run_in_fresh_process
from helpers import to_numpy
from layers.layer_table import FULL_ROWS
from layers.layer_table import randomize

# Reads each model, runs it and prints by how much it differs from what was saved.
READ_ALL = """
    import json, pathlib, keras, keras_attention, numpy as np
    found = {{}}
    for path in sorted(pathlib.Path({folder!r}).glob("*.keras")):
        saved = dict(np.load(path.with_suffix(".npz")))
        try:
            model = keras.models.load_model(path)
            inputs = {{x.name: saved[x.name] for x in model.inputs}}
            outputs = keras.tree.flatten(model(inputs))
            outputs = [keras.ops.convert_to_numpy(x) for x in outputs]
            expected = [saved[f"output_{{i}}"] for i in range(len(outputs))]
            pairs = zip(outputs, expected, strict=True)
            found[path.stem] = float(max(np.abs(a - b).max() for a, b in pairs))
        except Exception as error:
            found[path.stem] = repr(error)
    print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def differences(tmp_path_factory):
    """By number of the row, the largest difference, or the error."""
    folder = tmp_path_factory.mktemp("layers")
    for number, row in enumerate(FULL_ROWS):
        layer = row.make(name="ours")
        model = row.model(layer, weights=row.gives_weights)
        randomize(layer)
        inputs = row.arrays()
        outputs = model(inputs)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
        flat = [x for y in outputs for x in (y if isinstance(y, list) else [y])]
        named = {f"output_{i}": to_numpy(x) for i, x in enumerate(flat)}
        np.savez(folder / f"{number}.npz", **inputs, **named)
        model.save(folder / f"{number}.keras")
    printed = run_in_fresh_process(READ_ALL.format(folder=str(folder)))
    return json.loads(printed.splitlines()[-1])


@pytest.mark.parametrize(
    "number", range(len(FULL_ROWS)), ids=[row.name for row in FULL_ROWS]
)
def test_a_saved_layer_gives_the_same_in_a_fresh_process(differences, number):
    assert differences[str(number)] == pytest.approx(0.0, abs=1e-6)
