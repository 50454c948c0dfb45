"""How long does it take to import this library?

    KERAS_BACKEND=jax python benchmarks/import_time.py [--quick]

Seconds and growth of the process's memory for `import keras_attention`, once Keras and
its backend are imported, against `import keras_hub`; each time in a fresh process.
"""

import json
import pathlib
import statistics
import subprocess
import sys

from harness import installed
from harness import new_figure
from harness import read_options
from harness import Report
from harness import title_of

PACKAGES = {"ours": "keras_attention", "KerasHub": "keras_hub"}
CODE = """
import json
import time

import keras
from memory import resident

keras.ops.ones(1)
before, start = resident(), time.perf_counter()
import {package}

seconds = time.perf_counter() - start
print(json.dumps([seconds, resident() - before]))
"""


def import_once(package):
    """Imports a package in a fresh process.

    Args:
        package: Its name.

    Returns:
        Seconds, and growth of the process's memory in MiB.
    """
    result = subprocess.run(
        [sys.executable, "-c", CODE.format(package=package)],
        cwd=pathlib.Path(__file__).parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def draw(results):
    """Bars of seconds, a panel for each backend."""
    figure, axes = new_figure(4 * len(results), 2.5, ncols=len(results), sharex=True)
    for axis, result in zip(axes[0], results, strict=True):
        rows = result["rows"]
        axis.barh([row["contender"] for row in rows], [row["seconds"] for row in rows])
        axis.invert_yaxis()
        axis.set_xlabel("seconds")
        axis.set_title(title_of(result))
    return figure


def main(arguments=None):
    options = read_options(__doc__, arguments)
    packages = dict(PACKAGES)
    if not installed("keras_hub", "keras-hub"):
        del packages["KerasHub"]
    report = Report("import_time", options)
    measured = {name: [] for name in packages}
    for _ in range(options.rounds):
        for name, package in packages.items():
            measured[name].append(import_once(package))
    for name, figures in measured.items():
        seconds, mebibytes = zip(*figures, strict=True)
        memory = statistics.median(mebibytes)
        report.add(
            "import after Keras",
            name,
            statistics.median(seconds),
            memory_mib=memory,
            all=seconds,
            note=f"{memory:.0f} MiB",
        )
    report.finish(draw)


if __name__ == "__main__":
    main()
