"""The benchmarks run, and what they keep and draw is what they measured."""

import importlib
import json
import math
import sys

import keras
import pytest

from helpers import BACKEND
from helpers import ROOT

FOLDER = ROOT / "benchmarks"
# Those that start processes of their own.
SLOW = ("import_time", "loading", "long_sequences", "memory_forecast")
SCRIPTS = sorted(
    path.stem
    for path in FOLDER.glob("*.py")
    if "def main(arguments" in path.read_text()
)


@pytest.fixture
def load(monkeypatch):
    """Imports a file of the folder as a script there does."""
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module


@pytest.mark.once
def test_there_are_benchmarks():
    assert set(SLOW) < set(SCRIPTS)


@pytest.mark.parametrize(
    "name",
    [pytest.param(s, marks=[pytest.mark.slow] * (s in SLOW)) for s in SCRIPTS],
)
@pytest.mark.compiles_much
def test_it_runs(name, load, tmp_path, capsys, monkeypatch):
    """With toy shapes, one round each, and without KerasHub, which imports slowly."""
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    load(name).main(["--tiny", "--folder", str(tmp_path)])
    result = json.loads((tmp_path / f"{name}-{BACKEND}.json").read_text())
    assert result["size"] == "tiny"
    assert result["versions"]["keras"] == keras.__version__
    assert result["matmul_gflops"] > 0
    ours = [row for row in result["rows"] if row["contender"] == "ours"]
    assert ours and all(row["seconds"] > 0 for row in ours)
    printed = capsys.readouterr().out
    assert all(row["case"] in printed for row in result["rows"])
    if importlib.util.find_spec("matplotlib"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".png"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # those of TensorFlow, which KerasHub brings in
def test_it_compares_with_keras_hub(load, tmp_path):
    pytest.importorskip("keras_hub")
    load("encoder_block").main(["--tiny", "--folder", str(tmp_path)])
    result = json.loads((tmp_path / f"encoder_block-{BACKEND}.json").read_text())
    assert "KerasHub" in {row["contender"] for row in result["rows"]}


@pytest.mark.once
@pytest.mark.parametrize("name", SCRIPTS)
def test_its_first_lines_say_what_it_asks_and_how_to_run_it(name, load):
    question, _, command, *_ = load(name).__doc__.splitlines()
    assert question.endswith("?")
    assert command.endswith(f"python benchmarks/{name}.py [--quick]")


@pytest.mark.once
def test_contenders_take_turns_after_warming_up(load):
    order = []
    calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = load("harness").time_in_turn(calls, rounds=2, warm_up=1)
    assert order == ["a", "b", "a", "b", "a", "b"]
    assert {name: len(times) for name, times in seconds.items()} == {"a": 2, "b": 2}
    order.clear()
    load("harness").time_in_turn(calls, rounds=1, warm_up=0, settle=True)
    assert order == ["a", "a", "b", "b"]


@pytest.mark.once
def test_a_ratio_is_the_seconds_of_a_peer_over_ours(load, tmp_path):
    harness = load("harness")
    options = harness.read_options("A question?", ["--tiny", "--folder", str(tmp_path)])
    report = harness.Report("example", options)
    report.add("case", "ours", 2.0)
    report.add("case", "slower", 3.0)
    report.add("case", "failed", note="more than 20 GiB")
    assert [row.get("ratio") for row in report.rows] == [None, 1.5, None]


@pytest.mark.once
def test_only_a_full_run_replaces_the_results_that_are_kept(load):
    harness = load("harness")
    assert harness.read_options("A question?", []).folder == harness.RESULTS
    assert harness.read_options("A question?", ["--quick"]).folder != harness.RESULTS


@pytest.mark.once
@pytest.mark.parametrize("power", [1, 2])
def test_the_slope_is_the_power_by_which_memory_grows(power, load):
    lengths = [1024, 2048, 4096, 8192]
    memory = [3.0 * (length / 1024) ** power for length in lengths]
    slope = load("long_sequences").fit_slope(lengths, memory)
    assert math.isclose(slope, power)


@pytest.mark.once
def test_memory_that_is_taken_is_seen(load):
    """100 MiB, given back before they are asked for."""
    memory = load("memory")
    memory.reset_peak()
    before = memory.peak()
    taken = bytearray(b"1" * (100 * 2**20))
    del taken
    assert 90 < memory.peak() - before < 250


@pytest.mark.once
def test_a_peer_that_is_missing_is_left_out_with_what_to_install(load, capsys):
    assert not load("harness").installed("no_such_peer", "no-such-peer")
    assert 'pip install "no-such-peer"' in capsys.readouterr().out


def test_the_blocks_have_equally_many_parameters(load):
    """Else they would not do the same work."""
    contenders = load("contenders")
    made = load("encoder_block").make_contenders(contenders.TOY, 0.1, "auto", False)
    assert len({contender.num_parameters for contender in made.values()}) == 1
