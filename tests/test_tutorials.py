"""The tutorials run on each backend, and their notebooks are what the scripts make."""

import re

import pytest

from helpers import public_objects
from helpers import ROOT
from helpers import run_in_fresh_process

SCRIPTS = sorted((ROOT / "tutorials").glob("[0-9]*.py"))
LARGEST = 500_000  # bytes of a notebook: more takes long to open on a web page
# They take half a minute or more even in two steps.
SLOW = ("02", "03", "06", "07", "08", "09")


def run(script):
    marks = pytest.mark.slow if script.stem.startswith(SLOW) else ()
    return pytest.param(script, id=script.stem, marks=marks)


def named(scripts):
    return pytest.mark.parametrize("script", scripts, ids=lambda script: script.stem)


def read_cells(script):
    """The cells of the script and of its notebook."""
    jupytext = pytest.importorskip("jupytext")
    return jupytext.read(script).cells, jupytext.read(
        script.with_suffix(".ipynb")
    ).cells


@pytest.mark.once
def test_there_are_tutorials():
    assert SCRIPTS


@pytest.mark.once
@pytest.mark.parametrize("script", [run(script) for script in SCRIPTS])
def test_it_runs(script):
    """Two steps of training, the rest as it is."""
    pytest.importorskip("matplotlib")
    run_in_fresh_process(
        f"""
        import runpy

        runpy.run_path({str(script)!r}, run_name="__main__")
        """,
        env={
            "STEPS": "2",
            "MPLBACKEND": "Agg",
            # For tiny models threads wait for each other longer than they work, and
            # XLA optimizes longer than they run.
            "OMP_NUM_THREADS": "1",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        timeout=900,
    )


@pytest.mark.once
@named(SCRIPTS)
def test_its_notebook_has_the_same_cells(script):
    cells, notebook_cells = read_cells(script)
    stale = [
        (ours.source, theirs.source)
        for ours, theirs in zip(cells, notebook_cells, strict=False)
        if (ours.cell_type, ours.source) != (theirs.cell_type, theirs.source)
    ]
    assert stale == [], "make tutorials"
    assert len(cells) == len(notebook_cells), "make tutorials"


@pytest.mark.once
@named(SCRIPTS)
def test_its_notebook_was_run_from_top_to_bottom(script):
    cells = [cell for cell in read_cells(script)[1] if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    assert counts == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert [o for o in outputs if o.output_type == "error"] == []
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.once
@named(SCRIPTS)
def test_its_notebook_is_small(script):
    assert script.with_suffix(".ipynb").stat().st_size < LARGEST


@pytest.mark.once
@named(SCRIPTS)
def test_what_it_names_exists(script):
    text = script.read_text()
    public = set(public_objects())
    assert (
        set(re.findall(r"`(keras_attention(?:\.\w+)*\.[A-Za-z]\w*)`", text)) <= public
    )
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (script.parent / target).exists(), target


@pytest.mark.once
@named(SCRIPTS)
def test_it_says_at_the_top_what_it_costs_and_gives(script):
    top = script.read_text().split("# %%")[1]
    assert f"python tutorials/{script.name}" in top
    assert "Expected:" in top
    assert re.search(r"(seconds|minutes?) on two CPU cores", top.replace("\n# ", " "))
