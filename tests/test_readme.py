"""The first page tells the truth: its code runs, its links lead somewhere."""

import inspect
import re
import runpy

import pytest

from helpers import public_objects
from helpers import ROOT

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.compiles_much
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_code_runs_from_top_to_bottom(page):
    text = page.read_text()
    blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, page.name, "exec"), names)


@pytest.mark.once
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_links_lead_to_files(page):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.once
def test_the_pictures_are_small_and_all_are_shown():
    shown = " ".join(page.read_text() for page in PAGES)
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert f"pictures/{picture.name})" in shown, picture
        assert picture.stat().st_size < 150_000, picture


@pytest.mark.once
def test_the_commands_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.once
def test_the_presets_are_those_of_the_table():
    presets = runpy.run_path(str(ROOT / "docs" / "presets.py"))
    assert presets["rewritten"](README) == README, "Run: python docs/presets.py"


@pytest.mark.once
@pytest.mark.parametrize("package", ["layers", "applications"])
def test_every_layer_and_model_is_in_a_table(package):
    rows = re.findall(r"^\| (`.*?) \|", README, re.MULTILINE)
    listed = set(re.findall(r"`(\w+)`", " ".join(rows)))
    prefix = f"keras_attention.{package}."
    classes = {
        name.removeprefix(prefix)
        for name, value in public_objects().items()
        if name.startswith(prefix) and inspect.isclass(value)
    }
    figures = {"Application", "ImageFigure", "ViTFigure"}
    assert classes - figures - listed == set()
