"""What is built installs elsewhere: all modules, all data files, models that load."""

import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile

import pytest

from helpers import ROOT

pytestmark = pytest.mark.once

FOLDERS = {
    "keras_attention": ROOT / "keras_attention",
    "keras_attention/applications": ROOT / "applications",
}
LEFT_BEHIND = {"__pycache__", ".ipynb_checkpoints"}


def files_of_the_repository():
    """The package files as the wheel has to name them."""
    return {
        f"{name}/{path.relative_to(folder).as_posix()}"
        for name, folder in FOLDERS.items()
        for path in folder.rglob("*")
        if path.is_file() and not LEFT_BEHIND & set(path.parts)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the sdist, built from the repository."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder]
    built = subprocess.run([*command, ROOT], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    assert len(list(folder.glob("*.tar.gz"))) == 1
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def run_installed(wheel, tmp_path_factory):
    """Runs code in an environment that has the wheel and knows no repository.

    The dependencies are those of the running environment, added to the path by a
    `.pth` file. Python does not follow the `.pth` files in there, so the editable
    install of the repository stays out.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    scheme = {"base": str(folder), "platbase": str(folder)}
    site_packages = sysconfig.get_path("purelib", "venv", scheme)
    python = os.path.join(
        sysconfig.get_path("scripts", "venv", scheme),
        "python.exe" if os.name == "nt" else "python",
    )
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    with open(os.path.join(site_packages, "dependencies.pth"), "w") as file:
        file.write("\n".join(sorted(paths)))
    command = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps"]
    subprocess.run(
        [*command, "--no-index", "--quiet", wheel], check=True, capture_output=True
    )

    def run(code):
        result = subprocess.run(
            [python, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            cwd=folder,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            | {"KERAS_BACKEND": "jax"},
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    return run


def test_the_wheel_holds_every_file_of_the_packages(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    packed = {name for name in inside if name.startswith("keras_attention/")}
    assert packed == files_of_the_repository()


def test_the_wheel_names_the_licence_and_holds_it(wheel):
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [
        name for name in archive.namelist() if name.endswith(".dist-info/METADATA")
    ]
    assert "License-Expression: Apache-2.0" in archive.read(metadata).decode()
    assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())


def test_every_module_imports_where_the_wheel_is_installed(run_installed):
    printed = run_installed(
        """
        import importlib, pkgutil, sys
        import keras_attention

        assert keras_attention.__file__.startswith(sys.prefix), keras_attention
        print("keras_attention")
        prefix = "keras_attention."
        for module in pkgutil.walk_packages(keras_attention.__path__, prefix):
            print(module.name)
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        """
    )
    modules = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for name in files_of_the_repository()
        if name.endswith(".py")
    }
    assert set(printed.split()) == modules


def test_a_model_saved_in_one_process_loads_in_another(run_installed):
    saved = run_installed(
        """
        import keras, keras_attention

        query = keras.Input((3, 4))
        value = keras.Input((5, 6))
        layer = keras_attention.layers.AdditiveAttention(units=8)
        model = keras.Model([query, value], layer(query, value))
        model.save("model.keras")
        inputs = [keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 6))]
        print(model(inputs).shape, float(keras.ops.sum(model(inputs))))
        """
    )
    loaded = run_installed(
        """
        import keras, keras_attention

        model = keras.models.load_model("model.keras")
        inputs = [keras.ops.ones((2, 3, 4)), keras.ops.ones((2, 5, 6))]
        print(model(inputs).shape, float(keras.ops.sum(model(inputs))))
        """
    )
    assert saved == loaded
    assert saved.startswith("(2, 3, 6)")
