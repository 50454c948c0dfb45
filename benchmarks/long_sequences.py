"""How do time and memory of attention grow with the length of a sequence?

    KERAS_BACKEND=jax python benchmarks/long_sequences.py [--quick]

A self-attention layer (one sequence, width 256, four heads of 64), causal and not, from
1,024 to 16,384 tokens: ours, Keras's, and the function of the framework alone; then a
training step of ours at 65,536. Each figure comes from a process of its own. Memory is
how far the first call lifts the most that the process holds, on a GPU the most that the
framework holds; seconds are those of later calls. The slope says how memory grows over
a contender's four longest sequences: 1 with the length, 2 with its square.
On two cores it takes a quarter of an hour on JAX.

With `--positions all`: our layer alone, without positions and with those of T5, ALiBi
and Swin (a square grid) in its scores, at 4,096 and 16,384 tokens. A bias of all pairs
would take 4 GiB at 16,384.
"""

import json
import math
import statistics
import subprocess
import sys
import time

import keras
import numpy as np
from contenders import draw_inputs
from contenders import jax_attention
from contenders import jax_contender
from contenders import keras_attention_layer
from contenders import keras_contender
from contenders import our_attention
from contenders import Shape
from contenders import torch_attention
from contenders import torch_contender
from harness import COLORS
from harness import gpu_name
from harness import new_figure
from harness import read_options
from harness import Report
from harness import title_of
from memory import available
from memory import peak
from memory import reset_peak
from memory import resident

from keras_attention.layers import AlibiBias
from keras_attention.layers import RelativePositionBias
from keras_attention.layers import RelativePositionBias2D

WIDTH, NUM_HEADS = 256, 4
LENGTHS = {
    "full": [1024, 2048, 4096, 8192, 16384, 65536],
    "quick": [1024, 2048, 4096],
    "tiny": [64],
}
POSITIONS = {
    "ours": lambda length: None,
    "ours, T5": lambda length: RelativePositionBias(NUM_HEADS),
    "ours, ALiBi": lambda length: AlibiBias(NUM_HEADS),
    "ours, Swin": lambda length: RelativePositionBias2D(NUM_HEADS, math.isqrt(length)),
}
LENGTHS_WITH_POSITIONS = [4096, 16384]
# Beyond these lengths, time and memory are wasted.
LONGEST = {"Keras": 8192, "Keras, XLA": 8192, "jax.nn": 16384, "torch SDPA": 16384}
LONGEST_OF_ALL_KINDS = 16384  # longer ones only take a training step over all pairs
MOST_MEMORY = 20 * 1024  # MiB
MOST_SECONDS = 600
WARM_UP_LENGTH = 16
# Calls are timed until they have taken so many seconds, or there are enough.
ENOUGH_SECONDS = 5
FITTED = 4  # lengths in the fit of the slope


def make_contender(name, length, is_causal):
    """The layer of one name for one length."""
    x = draw_inputs(Shape(1, length, WIDTH, NUM_HEADS, None))
    heads = (NUM_HEADS, WIDTH // NUM_HEADS)
    if name in POSITIONS:
        layer = POSITIONS[name](length)
        return keras_contender(
            x, our_attention(*heads, is_causal, position_scores=layer)
        )
    if name.startswith("Keras"):
        jit_compile = True if "XLA" in name else "auto"
        layer = keras_attention_layer(*heads, is_causal)
        return keras_contender(x, layer, jit_compile)
    if keras.backend.backend() == "torch":
        return torch_contender(x, torch_attention(WIDTH, NUM_HEADS, is_causal))
    return jax_contender(x, *jax_attention(WIDTH, NUM_HEADS, is_causal))


def find_names():
    """Who takes part on this backend."""
    last = {
        "jax": "jax.nn",
        "torch": "torch SDPA",
        "tensorflow": "Keras, XLA",  # which TensorFlow uses only where it is told to
    }
    return ["ours", "Keras", last[keras.backend.backend()]]


def measure(name, length, is_causal, kind, rounds):
    """Measures in this process.

    Args:
        name: Name of the contender.
        length: Number of tokens.
        is_causal: Whether a token reads only those before it.
        kind: "forward" or "train".
        rounds: Timed calls.

    Returns:
        Dict with `all`, the seconds of each call, and `memory_mib`.
    """
    # What the first call of all needs for itself, whatever the length.
    getattr(make_contender(name, WARM_UP_LENGTH, is_causal), kind)()
    call = getattr(make_contender(name, length, is_causal), kind)
    reset_peak()
    before = resident()
    start = time.perf_counter()
    call()
    seconds = [time.perf_counter() - start]
    memory = gpu_peak() if gpu_name() else peak() - before
    # A first call that took a minute is not repeated: hardly any of it was compiling.
    if seconds[0] < 60:
        seconds = []
        while len(seconds) < rounds and sum(seconds) < ENOUGH_SECONDS:
            start = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - start)
    return {"all": seconds, "memory_mib": memory}


def gpu_peak():
    """The most that the framework has held on the GPU, in MiB."""
    backend = keras.backend.backend()
    if backend == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    if backend == "jax":
        import jax

        return jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 2**20
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 2**20


def measure_apart(**arguments):
    """Measures in a process of its own, which is ended if it takes too much.

    Args:
        **arguments: Those of `measure`.

    Returns:
        What `measure` returns, or a dict with a `note` that says why there is nothing.
    """
    words = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    process = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    start = time.monotonic()
    # Some of what is left stays for others, so that this machine does not run dry.
    most_memory = min(MOST_MEMORY, 0.8 * available())
    note = None
    while note is None:
        try:
            output, errors = process.communicate(timeout=0.1)
            break
        except subprocess.TimeoutExpired:
            if resident(process.pid) > most_memory:
                note = f"more than {most_memory / 1024:.1f} GiB"
            elif time.monotonic() - start > MOST_SECONDS:
                note = f"more than {MOST_SECONDS / 60:g} minutes"
    if note is not None:
        process.kill()
        process.communicate()
        return {"note": note}
    if process.returncode != 0:
        lines = errors.strip().splitlines() or [f"ended with {process.returncode}"]
        return {"note": lines[-1][:80]}
    return json.loads(output.strip().splitlines()[-1])


def fit_slope(lengths, memory):
    """The slope of the logarithm of memory over that of the length.

    Args:
        lengths: Numbers of tokens, rising.
        memory: MiB for each.

    Returns:
        A number, or `None` where there are fewer than two lengths.
    """
    if len(lengths) < 2:
        return None
    logs = np.log2(lengths[-FITTED:]), np.log2(np.maximum(memory[-FITTED:], 1.0))
    return float(np.polyfit(*logs, 1)[0])


def count_flops(length, is_causal, kind):
    """Floating-point operations of the layer; what a kernel computes twice counts once.

    Args:
        length: Number of tokens.
        is_causal: Whether a token reads only those before it.
        kind: "forward" or "train".

    Returns:
        A number.
    """
    projections = 8 * length * WIDTH**2
    attention = 4 * length**2 * WIDTH / (2 if is_causal else 1)
    return (projections + attention) * (3 if kind == "train" else 1)


def draw(results):
    """Seconds and memory over the length, a column for each backend."""
    figure, axes = new_figure(
        5.5 * len(results), 10, nrows=4, ncols=len(results), sharex=True, sharey="row"
    )
    for column, result in enumerate(results):
        measured = [row for row in result["rows"] if row["seconds"] is not None]
        names = list(dict.fromkeys(row["contender"] for row in measured))
        panels = [
            (k, f) for k in ("forward", "train") for f in ("seconds", "memory_mib")
        ]
        for axis, (kind, figure_name) in zip(axes[:, column], panels, strict=True):
            for name in names:
                for is_causal in (False, True):
                    wanted = (name, kind, is_causal)
                    rows = [
                        row
                        for row in measured
                        if (row["contender"], row["kind"], row["is_causal"]) == wanted
                    ]
                    axis.loglog(
                        [row["length"] for row in rows],
                        [row[figure_name] for row in rows],
                        "o--" if is_causal else "o-",
                        color=COLORS[names.index(name) % len(COLORS)],
                        label=f"{name}, causal" if is_causal else name,
                        markersize=3,
                    )
            unit = "seconds" if figure_name == "seconds" else "MiB"
            axis.set_ylabel(f"{kind}, {unit}")
            axis.grid(alpha=0.3)
        axes[0, column].set_title(title_of(result))
        axes[0, column].legend(fontsize=8)
        axes[-1, column].set_xlabel("tokens")
    return figure


def main(arguments=None):
    options = read_options(__doc__, arguments, measure=None, positions=None)
    if options.measure:
        print(json.dumps(measure(**json.loads(options.measure))))
        return
    if options.positions:
        report = Report("long_sequences_with_positions", options)
        names, lengths = list(POSITIONS), LENGTHS_WITH_POSITIONS
    else:
        report = Report("long_sequences", options)
        names, lengths = find_names(), LENGTHS[options.size]
    kinds = ("train",) if options.size == "tiny" else ("forward", "train")
    for is_causal in (False, True):
        for kind in kinds:
            label = f"{'causal, ' if is_causal else ''}{kind}"
            done = {name: [] for name in names}
            for length in lengths:
                if length > LONGEST_OF_ALL_KINDS and label != "train":
                    continue
                for name in list(done):
                    if length > LONGEST.get(name, length):
                        continue
                    case = {"length": length, "is_causal": is_causal, "kind": kind}
                    found = measure_apart(name=name, rounds=options.rounds, **case)
                    seconds = None
                    if "all" in found:
                        seconds = statistics.median(found["all"])
                        found["note"] = f"{found['memory_mib']:.0f} MiB"
                        done[name].append((length, found["memory_mib"]))
                    else:
                        del done[name]  # a longer one would not do either
                    report.add(
                        f"{length:,} tokens, {label}",
                        name,
                        seconds,
                        count_flops(**case),
                        **case,
                        **found,
                    )
            for name, measured in done.items():
                slope = fit_slope(*zip(*measured, strict=True))
                if slope is not None:
                    report.add(
                        f"slope of memory, {label}",
                        name,
                        slope=slope,
                        note=f"slope {slope:.2f}",
                    )
    report.finish(draw)


if __name__ == "__main__":
    main()
