"""Does a model hold as much memory in training as was forecast?

    KERAS_BACKEND=torch python benchmarks/memory_forecast.py [--quick]

`forecast_memory` says what a training step with Adam will hold, without computing
anything. Here the step is made, in a fresh process, and the most that the process holds
during its second step is held against it, without what it held after a step of a tiny
model. The seconds are those of the forecast. TensorFlow cannot say what a step holds:
there the forecast lacks the activations.
"""

import json
import os
import pathlib
import subprocess
import sys

from harness import new_figure
from harness import read_options
from harness import Report
from harness import title_of

MODELS = {
    "full": {
        "GPT-2 small, 4 x 512": ("gpt2", {}, 4, 512, False),
        "GPT-2 small, 4 x 512, remat": ("gpt2", {}, 4, 512, True),
        "BERT-base, 8 x 256": ("bert_base", {"head": "classification"}, 8, 256, False),
        "ViT-B/16, 8 pictures": ("vit_base_patch16_224", {}, 8, None, False),
        "Swin-T, 8 pictures": ("swin_tiny_patch4_window7_224", {}, 8, None, False),
    },
    "quick": {
        "BERT-mini, 16 x 128": (
            *("bert_mini", {"head": "classification"}, 16, 128, False),
        )
    },
    "tiny": {
        "BERT-tiny, 4 x 32": ("bert_tiny", {"head": "classification"}, 4, 32, False)
    },
}
CODE = """
import json, time, keras, numpy as np
from memory import peak, reset_peak, resident
from keras_attention.applications import BERT, from_preset
from keras_attention.training import forecast_memory

def train(model, batch_size, length, steps):
    inputs = keras.tree.map_structure(
        lambda x: np.ones((batch_size, *(n or length for n in x.shape[1:])), x.dtype),
        model.input,
    )
    labels = np.zeros((batch_size, *(n or length for n in model.output.shape[1:-1])))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    for _ in range(steps):
        reset_peak()
        model.train_on_batch(inputs, labels)
    return peak()

def make():
    return from_preset({preset!r}, load_weights=False, **{options!r})

tiny = dict(vocabulary_size=9, hidden_dim=8, num_layers=1, num_heads=1, mlp_dim=8)
train(BERT(**tiny, head="classification"), 1, 8, 1)
start = time.perf_counter()
forecast = forecast_memory(
    make, batch_size={batch_size}, length={length}, remat={remat}
)
seconds = time.perf_counter() - start
before = resident()
if {remat}:
    names = [f"block_{{i}}" for i in range(200)]
    with keras.RematScope(mode="list_of_layers", layer_names=names):
        model = make()
else:
    model = make()
most = train(model, {batch_size}, {length}, 2)
print(json.dumps([seconds, forecast.training / 2**20, most - before]))
"""


def measure_once(preset, options, batch_size, length, remat):
    """Forecasts and trains in a fresh process.

    Returns:
        Seconds of the forecast, MiB that were forecast, and MiB that were measured.
    """
    code = CODE.format(
        preset=preset,
        options=options,
        batch_size=batch_size,
        length=length,
        remat=remat,
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parent,
        # What is freed goes back, and leaves no holes that count as held.
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(2**16)},
        capture_output=True,
        text=True,
    )
    if result.returncode:
        raise RuntimeError(result.stderr)
    return json.loads(result.stdout.splitlines()[-1])


def draw(results):
    """Pairs of bars, forecast and measured, a panel for each backend."""
    figure, axes = new_figure(5 * len(results), 3, ncols=len(results), sharex=True)
    for axis, result in zip(axes[0], results, strict=True):
        for place, row in enumerate(result["rows"]):
            axis.barh(place - 0.2, row["forecast_mib"], 0.4, color="tab:blue")
            axis.barh(place + 0.2, row["memory_mib"], 0.4, color="tab:orange")
        axis.set_yticks(
            range(len(result["rows"])), [row["case"] for row in result["rows"]]
        )
        axis.invert_yaxis()
        axis.set_xlabel("MiB: forecast (blue), measured (orange)")
        axis.set_title(title_of(result))
    return figure


def main(arguments=None):
    options = read_options(__doc__, arguments)
    report = Report("memory_forecast", options)
    for case, model in MODELS[options.size].items():
        seconds, forecast, measured = measure_once(*model)
        report.add(
            case,
            "ours",
            seconds,
            forecast_mib=forecast,
            memory_mib=measured,
            note=f"{forecast:.0f} MiB forecast, {measured:.0f} measured, "
            f"{forecast / measured:.2f}",
        )
    report.finish(draw)


if __name__ == "__main__":
    main()
