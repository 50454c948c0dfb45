"""How long does a published checkpoint take to load, and how much memory?

    KERAS_BACKEND=torch python benchmarks/loading.py [--quick]

GPT-2 small, 124 million random weights in a safetensors file of 475 MiB, is loaded by
`from_preset`, in float32 and in bfloat16, each time in a fresh process that has
imported what it needs; on PyTorch also by transformers. The memory is what the process
has more than before: afterwards, and at most. Pages of the file that are mapped do not
count, so transformers, which maps float32 and reads it in use, holds nothing.

On two cores of an AMD EPYC:

                    float32   held  at most   bfloat16   held  at most
    PyTorch           2.9 s    477      772      3.2 s    271      607 MiB
      transformers    0.4 s      2        2      0.6 s    240      240 MiB
    JAX               2.0 s    544      679      3.0 s    365      610 MiB
    TensorFlow        5.4 s    539      940      4.3 s    304      629 MiB

The largest tensor has 147 MiB.
"""

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

from harness import installed
from harness import new_figure
from harness import read_options
from harness import Report
from harness import title_of

from keras_attention.applications import GPT2

SIZES = {
    "full": {},
    "quick": {},
    "tiny": {"vocabulary_size": 50, "hidden_dim": 16, "num_layers": 1, "num_heads": 2},
}
CODE = """
import json, threading, time
import keras
{prepare}
from memory import allocated

keras.ops.ones(1)
before, most, is_done = allocated(), [0], threading.Event()
def watch():
    while not is_done.wait(0.002):
        most[0] = max(most[0], allocated())
watcher = threading.Thread(target=watch)
watcher.start()
start = time.perf_counter()
model = {load}
seconds = time.perf_counter() - start
is_done.set()
watcher.join()
held = allocated()
print(json.dumps([seconds, held - before, max(most[0], held) - before]))
"""
OURS = "from keras_attention.applications import GPT2; import safetensors"
THEIRS = "from transformers import GPT2LMHeadModel; import torch"
CONTENDERS = {
    ("float32", "ours"): (OURS, "GPT2.from_preset({folder!r})"),
    ("float32", "transformers"): (
        THEIRS,
        "GPT2LMHeadModel.from_pretrained({folder!r})",
    ),
    ("bfloat16", "ours"): (OURS, "GPT2.from_preset({folder!r}, dtype='bfloat16')"),
    ("bfloat16", "transformers"): (
        THEIRS,
        "GPT2LMHeadModel.from_pretrained({folder!r}, dtype=torch.bfloat16)",
    ),
}


def load_once(prepare, load):
    """Loads in a fresh process.

    Args:
        prepare: Code that imports.
        load: Code of the call.

    Returns:
        Seconds, and MiB held after and at most.
    """
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(prepare=prepare, load=load)],
        cwd=pathlib.Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def draw(results):
    """Bars of seconds, a panel for each backend."""
    figure, axes = new_figure(4 * len(results), 2.5, ncols=len(results), sharex=True)
    for axis, result in zip(axes[0], results, strict=True):
        rows = result["rows"]
        names = [f"{row['contender']}, {row['case']}" for row in rows]
        axis.barh(names, [row["seconds"] for row in rows])
        axis.invert_yaxis()
        axis.set_xlabel("seconds")
        axis.set_title(title_of(result))
    return figure


def main(arguments=None):
    options = read_options(__doc__, arguments)
    report = Report("loading", options)
    contenders = dict(CONTENDERS)
    if report.backend != "torch" or not installed("transformers", "transformers"):
        contenders = {key: c for key, c in contenders.items() if key[1] == "ours"}
    measured = {key: [] for key in contenders}
    with tempfile.TemporaryDirectory() as folder:
        GPT2(**SIZES[options.size]).save_to_preset(folder)
        for _ in range(options.rounds):
            for key, (prepare, load) in contenders.items():
                measured[key].append(load_once(prepare, load.format(folder=folder)))
    for (dtype, name), figures in measured.items():
        seconds, held, most = zip(*figures, strict=True)
        held, most = statistics.median(held), statistics.median(most)
        report.add(
            dtype,
            name,
            statistics.median(seconds),
            memory_mib=most,
            held_mib=held,
            all=seconds,
            note=f"{held:.0f} MiB held, {most:.0f} at most",
        )
    report.finish(draw)


if __name__ == "__main__":
    main()
