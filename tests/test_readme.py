"""The first page tells the truth: its code runs, its links lead somewhere."""

import re

import pytest

from helpers import public_objects
from helpers import ROOT

README = (ROOT / "README.md").read_text()


def test_the_code_runs_from_top_to_bottom():
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


@pytest.mark.once
def test_the_links_lead_to_files():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.once
def test_the_commands_are_in_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@pytest.mark.once
def test_every_layer_is_in_the_table():
    public = public_objects()
    layers = {n.rpartition(".")[2] for n in public if ".layers." in n}
    layers = {name for name in layers if name[0].isupper()}
    listed = set(re.findall(r"^\| `([A-Z]\w+)` \|", README, re.MULTILINE))
    assert layers <= listed
