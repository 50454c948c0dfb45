"""What the benchmarks share: timing in turn, the machine, the results, their plot.

A script has cases, and a case has contenders: functions without arguments that do the
work and return when it is done. "ours" is one of them, the others are its peers.

    options = read_options(__doc__)
    report = Report("name", options)
    report.compare("a case", {"ours": call, "a peer": another_call})
    report.finish()

A ratio is a peer's seconds over ours: above 1, ours is faster.
"""

import argparse
import collections
import datetime
import importlib
import importlib.metadata
import json
import logging
import os
import pathlib
import platform
import re
import statistics
import time

import keras
import numpy as np
from keras import ops

RESULTS = pathlib.Path(__file__).parent / "results"
BACKENDS = ("jax", "torch", "tensorflow")
PACKAGES = (
    "keras",
    "keras-hub",
    "jax",
    "torch",
    "tensorflow",
    "tensorflow-cpu",
    "numpy",
)
ROUNDS = {"full": 7, "quick": 3, "tiny": 1}
SPARE_SECONDS = 8  # in which short calls are repeated more often than that
WARM_UP = 2  # the first call compiles, the second finds its arrays where they stay
# TensorFlow warns of many graphs; each contender has its own.
logging.getLogger("tensorflow").setLevel("ERROR")

LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown")


def read_options(description, arguments=None, **extra):
    """Reads the command line.

    Args:
        description: The docstring of the script, whose first line is its question.
        arguments: The words of the command line; by default, those of this process.
        **extra: Other options with their default, strings, left out of the help.

    Returns:
        The options: `size` ("full", "quick" or "tiny"), `folder`, `rounds`.
    """
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--quick",
        dest="size",
        action="store_const",
        const="quick",
        default="full",
        help="fewer shapes and rounds",
    )
    size.add_argument(
        "--tiny",
        dest="size",
        action="store_const",
        const="tiny",
        help="toy shapes, one round: only to see that it runs",
    )
    parser.add_argument("--rounds", type=int, help="timed calls of each contender")
    parser.add_argument("--folder", help="where results go (default: results/)")
    for name, default in extra.items():
        parser.add_argument(f"--{name}", default=default, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # Only a full run replaces the results that the repository keeps.
    default = RESULTS if options.size == "full" else pathlib.Path("output/benchmarks")
    options.folder = pathlib.Path(options.folder or default)
    options.rounds = options.rounds or ROUNDS[options.size]
    return options


def time_in_turn(calls, rounds, warm_up=WARM_UP, spare_seconds=0.0, settle=False):
    """Times each contender once per round, so that all meet the same disturbances.

    Args:
        calls: Dict from names to functions.
        rounds: Timed calls of each.
        warm_up: Calls of each before.
        spare_seconds: While less time than this has passed, up to five times as many
            rounds are made.
        settle: Whether each call is made once before it is timed: then it does not pay
            for the memory and the caches that the contender before it has used.

    Returns:
        Dict from names to lists of seconds.
    """
    seconds = {name: [] for name in calls}
    for _ in range(warm_up):
        for call in calls.values():
            call()
    begin = time.perf_counter()
    for number in range(5 * rounds):
        if number >= rounds and time.perf_counter() - begin > spare_seconds:
            break
        for name, call in calls.items():
            if settle:
                call()
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def installed(package, install):
    """Imports a package; if it is not there, says in one line what to install.

    Args:
        package: Name to import.
        install: What pip calls it.

    Returns:
        Whether it is there.
    """
    try:
        importlib.import_module(package)
    except ImportError:
        print(f'Without {package}. To have it: pip install "{install}"')
        return False
    return True


def gpu_name():
    """The name of the GPU that the backend uses, or `None`."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        device = jax.devices()[0]
        return device.device_kind if device.platform == "gpu" else None
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    import tensorflow as tf

    devices = tf.config.list_physical_devices("GPU")
    if not devices:
        return None
    return tf.config.experimental.get_device_details(devices[0])["device_name"]


def describe_machine():
    """The processor, its cores and memory, and the GPU, as a dict."""
    try:
        processors = pathlib.Path("/proc/cpuinfo").read_text()
        processor = re.search(r"model name\s*:\s*(.+)", processors).group(1)
    except (OSError, AttributeError):
        processor = platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "gpu": gpu_name(),
    }


def find_versions():
    """The versions of Python, this library, the backend and the peers, as a dict."""
    versions = {"python": platform.python_version()}
    for package in ("keras-attention", *PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def measure_matmul(size):
    """The rate of a square float32 matrix product, the limit of this machine.

    Args:
        size: Rows and columns.

    Returns:
        GFLOP/s, the best of seven.
    """
    matrix = ops.convert_to_tensor(np.ones((size, size), "float32"))

    def multiply():
        ops.convert_to_numpy(ops.matmul(matrix, matrix)[0, 0])

    seconds = time_in_turn({"matmul": multiply}, rounds=7)["matmul"]
    return 2 * size**3 / min(seconds) / 1e9


class Report:
    """The table, the JSON file and the plot of one run.

    Args:
        name: Name of the script, and of its files.
        options: From `read_options`.
    """

    def __init__(self, name, options):
        self.name = name
        self.options = options
        self.backend = keras.backend.backend()
        self.machine = describe_machine()
        gpu = self.machine["gpu"]
        size = 256 if options.size == "tiny" else 8192 if gpu else 2048
        self.matmul = measure_matmul(size)  # GFLOP/s
        self.rows = []
        print(
            f"{name}: {self.backend}, {gpu or self.machine['processor']}, "
            f"{self.machine['cores']} cores, matmul {self.matmul:.0f} GFLOP/s\n\n"
            f"{'':38} {'':22} {'seconds':>9} {'ratio':>6} {'of matmul':>9}"
        )

    def compare(self, case, calls, flops=None, rounds=None, per=1, settle=True):
        """Times contenders in turn, and prints and keeps their medians.

        Args:
            case: What is timed.
            calls: Dict from names of contenders to functions.
            flops: Floating-point operations of a call, for its share of the rate
                of a matrix product.
            rounds: Timed calls of each; by default those of the options.
            per: What the seconds are divided by, such as a number of blocks.
            settle: Whether calls are made once before they are timed; those that take
                seconds need not.
        """
        spare = SPARE_SECONDS if self.options.size == "full" else 0.0
        timed = time_in_turn(
            calls,
            rounds or self.options.rounds,
            spare_seconds=spare,
            settle=settle and len(calls) > 1,
        )
        for contender, seconds in timed.items():
            seconds = [round(second / per, 7) for second in seconds]
            self.add(case, contender, statistics.median(seconds), flops, all=seconds)

    def add(self, case, contender, seconds=None, flops=None, **figures):
        """Prints and keeps one figure; that of ours comes first in its case.

        Args:
            case: What is timed.
            contender: Who.
            seconds: How long, or `None` where it is not known.
            flops: Floating-point operations.
            **figures: What else is kept.
        """
        row = {"case": case, "contender": contender, "seconds": seconds, **figures}
        ours = self._ours(case)
        if ours and ours["seconds"] and seconds:
            row["ratio"] = seconds / ours["seconds"]
        if flops and seconds:
            row["of_matmul"] = flops / seconds / 1e9 / self.matmul
        self.rows.append(row)
        self._write()
        is_new = len(self.rows) == 1 or self.rows[-2]["case"] != case
        columns = [f"{case if is_new else '':38} {contender:22}"]
        columns.append(f"{seconds:9.4g}" if seconds else f"{'':9}")
        columns.append(f"{row['ratio']:6.2f}" if "ratio" in row else f"{'':6}")
        columns.append(f"{row['of_matmul']:9.2f}" if "of_matmul" in row else f"{'':9}")
        if "note" in row:
            columns.append(row["note"])
        print(" ".join(columns).rstrip(), flush=True)

    def _ours(self, case):
        for row in self.rows:
            if (row["case"], row["contender"]) == (case, "ours"):
                return row
        return None

    def _write(self):
        """Writes what is there so far, so that a run that is stopped leaves it."""
        label = f"{self.backend}{'-gpu' if self.machine['gpu'] else ''}"
        path = self.options.folder / f"{self.name}-{label}.json"
        result = {
            "name": self.name,
            "size": self.options.size,
            "date": datetime.date.today().isoformat(),
            "backend": self.backend,
            "machine": self.machine,
            "versions": find_versions(),
            "rounds": self.options.rounds,
            "matmul_gflops": self.matmul,
        }
        # A line for each row, for those who read changes.
        rows = ",\n  ".join(json.dumps(row) for row in self.rows)
        text = json.dumps(result, indent=1)[:-2] + f',\n "rows": [\n  {rows}\n ]\n}}\n'
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".tmp")
        partial.write_text(text)
        os.replace(partial, path)

    def finish(self, draw=None):
        """Draws the results of all backends that have some, beside their files.

        Args:
            draw: Called with the list of results, returns a matplotlib figure. By
                default, bars of the ratios.
        """
        if not installed("matplotlib", "keras-attention[plots]"):
            return
        results = read_results(self.name, self.options.folder)
        figure = (draw or draw_ratios)(results)
        path = self.options.folder / f"{self.name}.png"
        partial = path.with_suffix(".tmp")
        figure.savefig(partial, format="png", dpi=80)
        os.replace(partial, path)
        print(f"\nResults and plot: {path.parent}/{self.name}*")


def read_results(name, folder):
    """The kept results of a script, in the order of the backends.

    Args:
        name: Name of the script.
        folder: Where its files are.

    Returns:
        List of dicts.
    """
    labels = [f"{backend}{end}" for end in ("", "-gpu") for backend in BACKENDS]
    paths = [folder / f"{name}-{label}.json" for label in labels]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def new_figure(width, height, **grid):
    """A matplotlib figure that no window manager knows, and its axes in a 2D array.

    Args:
        width: Inches.
        height: Inches.
        **grid: Arguments of `Figure.subplots`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(squeeze=False, **grid)


def title_of(result):
    """The backend and its device, as the title of a panel."""
    machine = result["machine"]
    versions = result["versions"]
    backend = result["backend"]
    version = versions.get(backend) or versions.get(f"{backend}-cpu", "")
    return f"{backend} {version}\n{machine['gpu'] or machine['processor']}"


def draw_ratios(results):
    """Bars of the peers' ratios, a panel for each backend.

    Args:
        results: List of results.

    Returns:
        A figure.
    """
    panels = []
    for result in results:
        cases = collections.defaultdict(dict)
        for row in result["rows"]:
            if "ratio" in row:
                cases[row["case"]][row["contender"]] = row["ratio"]
        panels.append(cases)
    # A peer has one color in all panels.
    ratios = [ratios for cases in panels for ratios in cases.values()]
    peers = list(dict.fromkeys(peer for found in ratios for peer in found))
    most = max((sum(map(len, cases.values())) for cases in panels), default=1)
    figure, axes = new_figure(
        6.5 * max(len(panels), 1), 1.8 + 0.24 * most, ncols=max(len(panels), 1)
    )
    for axis, result, cases in zip(axes[0], results, panels, strict=False):
        ticks, place = [], 0.0
        for case, ratios in cases.items():
            first = place
            for peer, ratio in ratios.items():
                color = COLORS[peers.index(peer) % len(COLORS)]
                axis.barh(place, ratio, color=color)
                axis.text(
                    ratio, place, f" {ratio:.2f}", va="center", fontsize=8, bbox=LABEL
                )
                place += 1
            ticks.append((case, (first + place - 1) / 2))
            place += 0.6
        axis.set_yticks([tick for _, tick in ticks], [case for case, _ in ticks])
        axis.invert_yaxis()
        axis.axvline(1, color="black", linewidth=1, zorder=0.5)
        axis.margins(x=0.12)
        axis.set_xlabel("seconds of the peer / seconds of ours")
        axis.set_title(title_of(result))
    handles = [
        axes[0][0].barh(0, 0, color=COLORS[i % len(COLORS)], label=peer)
        for i, peer in enumerate(peers)
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure
