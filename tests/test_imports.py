"""Imports go one way, from floor to floor, and a backend's API stays in one room."""

import ast
import re

import pytest

from helpers import ROOT

pytestmark = pytest.mark.once

# Each room, and the rooms that it may import from.
ROOMS = {
    "checks": "",
    "files": "",
    "backend": "checks",
    "ops": "backend checks",
    "layers": "backend checks ops",
    "tokenizers": "checks files",
    "images": "checks files",
    "data": "checks files images tokenizers",
    "checkpoints": "checks files images layers",
    "training": "backend checkpoints checks files layers",
    "generation": "backend checks images ops tokenizers",
    "tasks": "backend checks data images layers ops tokenizers",
    "visualization": "backend checks files layers ops tokenizers",
    "applications": "backend checkpoints checks data generation images layers ops "
    "tasks tokenizers training",
    "commands": "applications checks data files images tokenizers training "
    "visualization",
}
# What only the package's own `__init__` and `__main__` do.
DOORS = ("__init__", "__main__")


def modules():
    """The rooms and the paths of all modules."""
    for folder in (ROOT / "keras_attention", ROOT / "applications"):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            room = parts[0] if folder.name == "applications" else parts[1]
            if room not in DOORS:
                yield room, path


def imports(path):
    """The dotted names that a module imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_of(path):
    """The rooms of this package that a module imports from."""
    found = (name.split(".") for name in imports(path))
    return {parts[1] for parts in found if parts[0] == "keras_attention" and parts[1:]}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_the_floors_below(room):
    paths = [path for name, path in modules() if name == room]
    assert paths
    found = set().union(*map(rooms_of, paths)) - {room}
    assert found <= set(ROOMS[room].split())


def test_the_rooms_are_all_of_the_package():
    assert {room for room, _ in modules()} == set(ROOMS)


def test_no_two_rooms_import_each_other():
    """Not even by way of others: each room stands above all that it may import."""
    floors = {}
    while len(floors) < len(ROOMS):
        low = [
            room
            for room, below in ROOMS.items()
            if room not in floors and set(below.split()) <= floors.keys()
        ]
        assert low, f"a circle among {sorted(ROOMS.keys() - floors.keys())}"
        floors.update(dict.fromkeys(low))


def test_the_api_of_a_backend_is_named_in_one_room():
    named = re.compile(r"jax|torch|tensorflow")
    found = {
        str(path.relative_to(ROOT))
        for room, path in modules()
        if room != "backend"
        and any(named.fullmatch(name.split(".")[0]) for name in imports(path))
    }
    assert found == set()


def test_nothing_imports_what_keras_keeps_to_itself():
    found = {
        str(path)
        for _, path in modules()
        if any(name.startswith("keras.src") for name in imports(path))
    }
    assert found == set()
