"""Every example in the docstrings runs, and every docstring fits its signature."""

import doctest
import importlib
import inspect
import re

import keras
import numpy as np
import pytest

import keras_attention
from helpers import modules
from helpers import parameters
from helpers import public_methods
from helpers import public_objects

OBJECTS = public_objects()
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# What an example may use without importing it, besides the names of its module.
GIVEN = {"keras": keras, "keras_attention": keras_attention, "np": np}


def param(name):
    """The examples of whole models compile much."""
    package = f"{name}.".split(".")[1]
    is_large = package in ("applications", "generation", "visualization")
    return pytest.param(name, marks=[pytest.mark.compiles_much] * is_large)


@pytest.mark.parametrize("name", [param(name) for name in modules()])
def test_the_examples_run(name, monkeypatch, tmp_path):
    """Files that an example writes go to a folder of the test."""
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=GIVEN, optionflags=FLAGS)
    assert result.failed == 0, f"{result.failed} of {result.attempted} lines failed"


def section(text, heading):
    """The lines under a heading of a docstring, or None without that heading."""
    lines = inspect.cleandoc(text or "").splitlines()
    if heading not in lines:
        return None
    found = []
    for line in lines[lines.index(heading) + 1 :]:
        if line and not line.startswith(" "):
            break
        found.append(line)
    return found


def documented(text, heading):
    """The names that a section explains: `name: What it is.`, or `a, b: ...`."""
    names = []
    for line in section(text, heading) or []:
        found = re.match(r"    (\*{0,2}\w+(?:, \*{0,2}\w+)*): ", line + " ")
        if found:
            names.extend(found[1].split(", "))
    return [name for name in names if not name.startswith("*")]


def compare(text, heading, function, optional=(), elsewhere=()):
    """Asserts that a section explains the parameters of a function, no more, no less.

    Args:
        text: The docstring.
        heading: The heading of the section.
        function: What has the signature.
        optional: Parameters that may be left out, since Keras explains them.
        elsewhere: Parameters that are explained elsewhere, and not again.
    """
    expected = [name for name in parameters(function) if name not in elsewhere]
    found = documented(text, heading)
    required = [name for name in expected if name not in optional]
    assert [name for name in found if name in required] == required, heading
    assert set(found) <= set(expected), heading


@pytest.mark.once
@pytest.mark.parametrize("name", OBJECTS)
def test_the_docstring_explains_each_argument(name):
    value = OBJECTS[name]
    text = value.__doc__
    assert text and inspect.cleandoc(text), "There is no docstring."
    if not inspect.isclass(value):
        compare(text, "Args:", value)
        return
    shared = re.search(
        r"It has the\s+arguments\s+of\s+`(\w+)`(, (?:[^.]*\s)?and:)?", text
    )
    if shared:  # explained there
        there = OBJECTS[f"{name.rpartition('.')[0]}.{shared[1]}"]
        there = parameters(there.__init__)
        here = parameters(value.__init__)
        assert set(there) <= set(here)
        assert shared[2] or there == here
        if shared[2]:
            compare(text, "Args:", value.__init__, ("dtype",), there)
    elif "__init__" in vars(value):
        compare(text, "Args:", value.__init__, optional=("name", "dtype"))
    if issubclass(value, keras.layers.Layer) and "call" in vars(value):
        if not issubclass(value, keras.Model):
            compare(text, "Call arguments:", value.call, optional=("training",))


@pytest.mark.once
@pytest.mark.parametrize("name", OBJECTS)
def test_the_docstring_begins_with_one_plain_sentence(name):
    first = inspect.cleandoc(OBJECTS[name].__doc__ or "").partition("\n")[0]
    assert first.endswith("."), first


@pytest.mark.once
@pytest.mark.parametrize("name", OBJECTS)
def test_the_docstring_shows_an_example(name):
    value = OBJECTS[name]
    if inspect.isclass(value) and (
        issubclass(value, Exception | tuple) or inspect.isabstract(value)
    ):
        return  # Users get one and do not make one.
    assert ">>> " in value.__doc__


@pytest.mark.once
@pytest.mark.parametrize(
    "name", [name for name, value in OBJECTS.items() if inspect.isclass(value)]
)
def test_every_public_method_is_explained(name):
    """The methods that Keras knows are explained by Keras."""
    for method, function in public_methods(OBJECTS[name]).items():
        if method in ("get_config", "from_config"):
            continue
        assert function.__doc__, f"{method} has no docstring."
        if section(function.__doc__, "Args:") is not None:
            compare(function.__doc__, "Args:", function)


@pytest.mark.once
def test_every_module_says_what_it_holds():
    for name in modules():
        assert importlib.import_module(name).__doc__, name
