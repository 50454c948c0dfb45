"""How much memory a process holds, and the most that it has held, in MiB.

The figures are those of Linux. Elsewhere the peak stands for both, and it cannot be set
back: growth over an earlier peak is then seen, growth below it is not.
"""

import pathlib
import re
import sys

STATUS = pathlib.Path("/proc/self/status")


def resident(process="self"):
    """What a process holds now.

    Args:
        process: Its number; by default, this one.

    Returns:
        MiB.
    """
    return _read("VmRSS", process)


def allocated():
    """What this process holds now, without pages of files that are mapped, in MiB."""
    return _read("RssAnon", "self")


def peak():
    """The most that this process has held since `reset_peak`."""
    return _read("VmHWM", "self")


def reset_peak():
    """Lets the peak begin at what this process holds now."""
    if STATUS.exists():
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def available():
    """What the machine has left for new processes, or infinity if it does not say."""
    path = pathlib.Path("/proc/meminfo")
    if not path.exists():
        return float("inf")
    return int(re.search(r"MemAvailable:\s+(\d+)", path.read_text()).group(1)) / 1024


def _read(field, process):
    if STATUS.exists():
        status = pathlib.Path(f"/proc/{process}/status").read_text()
        found = re.search(rf"{field}:\s+(\d+) kB", status)
        return int(found.group(1)) / 1024 if found else 0.0
    import resource

    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
