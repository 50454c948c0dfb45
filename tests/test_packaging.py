"""What is installed is what the repository holds, and what it says it needs."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import keras_attention
from helpers import ROOT

pytestmark = pytest.mark.once

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = SETTINGS["project"]["optional-dependencies"]
FOLDERS = {
    "keras_attention": ROOT / "keras_attention",
    "keras_attention.applications": ROOT / "applications",
}


def names(requirements):
    """The names of packages in a list of requirements."""
    return {canonicalize_name(Requirement(line).name) for line in requirements}


def test_every_package_folder_is_listed():
    """A folder that is not listed works here and is missing from the wheel."""
    found = {
        ".".join((name, *init.parent.relative_to(folder).parts))
        for name, folder in FOLDERS.items()
        for init in folder.rglob("__init__.py")
    }
    assert found == set(SETTINGS["tool"]["setuptools"]["packages"])


def test_every_module_is_in_a_package():
    """A folder of modules without an `__init__.py` is missing from the wheel."""
    for folder in FOLDERS.values():
        for module in folder.rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), module


def test_the_tests_read_the_repository_and_not_another_install():
    assert keras_attention.__path__ == [str(FOLDERS["keras_attention"])]
    assert keras_attention.applications.__path__ == [str(ROOT / "applications")]


def test_importing_needs_only_keras_and_numpy():
    assert names(SETTINGS["project"]["dependencies"]) == {"keras", "numpy"}


def test_there_is_one_extra_for_each_backend_and_each_task():
    assert set(EXTRAS) == {
        "jax",
        "torch",
        "tensorflow",
        "text",
        "vision",
        "plots",
        "keras-nlp",
        "demo",
        "dev",
    }
    for backend in ("jax", "torch", "tensorflow"):
        assert names(EXTRAS[backend]) == {backend}


def test_the_demo_installs_the_backend_that_it_runs_on():
    makefile = (ROOT / "Makefile").read_text()
    backend = re.search(r"^DEMO_BACKEND := (\w+)$", makefile, re.MULTILINE)[1]
    assert names(EXTRAS["demo"]) & {"jax", "torch", "tensorflow"} == {backend}


def test_dev_installs_every_other_extra():
    """KerasHub comes without what it needs for its own presets."""
    (own,) = [
        Requirement(line) for line in EXTRAS["dev"] if line.startswith("keras-att")
    ]
    assert own.extras | {"dev", "tensorflow", "keras-nlp"} == set(EXTRAS)
    assert {"tensorflow", "tensorflow-cpu"} <= names(EXTRAS["dev"])
    assert "--no-deps keras-hub" in (ROOT / "Makefile").read_text()


def test_every_requirement_has_a_tested_version():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    tested = names(line for line in lines if not line.startswith("#"))
    needed = names(SETTINGS["project"]["dependencies"])
    needed = needed.union(*(names(lines) for lines in EXTRAS.values()))
    assert needed - tested == {
        "keras-attention",  # an extra that names other extras
        "tensorflow",  # tested as tensorflow-cpu
    }
