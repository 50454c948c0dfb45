"""A set of files is replaced as a whole, whatever happens on the way."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from helpers import run_in_fresh_process
from keras_attention.checkpoints import finish_replacing
from keras_attention.checkpoints import read_config
from keras_attention.checkpoints import replace_files
from keras_attention.checkpoints import replacing
from keras_attention.checkpoints import write_config

pytestmark = pytest.mark.once

NAMES = ("a.txt", "b.txt", "words/c.txt")


def write(folder, text):
    """Replaces three files; each holds the same text."""
    with replace_files(folder) as new:
        (new / "words").mkdir()
        for name in NAMES:
            (new / name).write_text(text)


def contents(folder):
    """The text of each file that can be seen."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in paths}


def hidden(folder):
    return sorted(path.name for path in folder.iterdir() if path.name[0] == ".")


def test_all_files_are_replaced_and_others_stay(tmp_path):
    folder = tmp_path / "deep" / "folder"
    write(folder, "old")
    (folder / "README").write_text("mine")
    write(folder, "new")
    expected = dict.fromkeys(NAMES, "new") | {"README": "mine"}
    assert contents(folder) == expected
    assert hidden(folder) == []


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()],
    ids=["disk full", "interrupted"],
)
def test_an_exception_while_writing_leaves_the_old_files(tmp_path, error):
    write(tmp_path, "old")
    with pytest.raises(type(error)):
        with replace_files(tmp_path) as new:
            (new / "a.txt").write_text("new")
            raise error
    assert contents(tmp_path) == dict.fromkeys(NAMES, "old")
    assert hidden(tmp_path) == []


def test_a_disk_that_fails_while_syncing_leaves_the_old_files(tmp_path, monkeypatch):
    """Some file systems report a full disk only here."""
    write(tmp_path, "old")

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path, "new")
    assert contents(tmp_path) == dict.fromkeys(NAMES, "old")


# Replaces the files of a folder, and kills its own process at the `n`-th call of one of
# the functions that change the disk. Without Keras, so that it takes no time.
KILLED = """
import importlib.util, os, pathlib, signal, sys

path, folder, n = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3])
spec = importlib.util.spec_from_file_location("files", path)
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
calls = 0

def killing(function):
    def wrapped(*args, **kwargs):
        global calls
        calls += 1
        if calls == n:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

for name in ("fsync", "mkdir", "rename", "replace", "rmdir", "unlink"):
    setattr(os, name, killing(getattr(os, name)))
with files.replace_files(folder) as new:
    (new / "words").mkdir()
    for name in {names}:
        (new / name).write_text("new")
print(calls)
"""


def run_and_kill(folder, call):
    code = textwrap.dedent(KILLED).replace("{names}", repr(NAMES))
    command = [sys.executable, "-c", code, replacing.__file__, str(folder), str(call)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_a_killed_process_leaves_the_old_files_or_the_new_ones(tmp_path):
    """Killed at each call that changes the disk, one after the other.

    As soon as the new files count, they are found by whoever reads next. Before, the
    old ones are.
    """
    number = int(run_and_kill(tmp_path / "whole", 0).stdout)
    assert number > 10
    seen = []
    for call in range(1, number + 1):
        folder = tmp_path / f"killed at {call}"
        write(folder, "old")
        result = run_and_kill(folder, call)
        assert result.returncode == -signal.SIGKILL, result.stderr
        finish_replacing(folder)
        visible = {k: v for k, v in contents(folder).items() if k in NAMES}
        assert set(visible) == set(NAMES)
        assert len(set(visible.values())) == 1, visible
        seen.append(visible["a.txt"])
        write(folder, "later")
        visible = {k: v for k, v in contents(folder).items() if k in NAMES}
        assert visible == dict.fromkeys(NAMES, "later")
    assert seen == sorted(seen, reverse=True)  # old, ..., old, new, ..., new
    assert {"old", "new"} == set(seen)


@pytest.mark.skipif(os.name != "posix", reason="folders have no locks")
def test_of_two_writers_all_files_are_of_one(tmp_path, monkeypatch):
    """One that began first is ready when the other has moved one of its files."""
    write(tmp_path, "old")
    rename, replace = os.rename, os.replace
    is_ready, has_moved = threading.Event(), threading.Event()
    slow = threading.Thread(target=write, args=(tmp_path, "slow"))

    def rename_late(*paths):
        if threading.current_thread() is slow:
            is_ready.set()
            has_moved.wait(0.5)  # in vain, where the other has to wait
        rename(*paths)

    def replace_and_wait(*paths):
        replace(*paths)
        if threading.current_thread() is not slow and not has_moved.is_set():
            has_moved.set()
            slow.join(0.5)

    monkeypatch.setattr(os, "rename", rename_late)
    monkeypatch.setattr(os, "replace", replace_and_wait)
    slow.start()
    is_ready.wait()
    write(tmp_path, "fast")
    slow.join()
    found = contents(tmp_path)
    assert found.keys() == set(NAMES) and len(set(found.values())) == 1
    assert hidden(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="files have no limit")
def test_a_disk_without_room_leaves_the_old_model(tmp_path):
    """No file may have more than 500 bytes: so it is with a disk that is full."""
    code = """
        import resource, signal
        import keras, numpy
        from keras_attention.applications import GPT2

        sizes = {"vocabulary_size": 9, "hidden_dim": 8, "num_layers": 1, "num_heads": 2}
        old = GPT2(**sizes)
        old.save_to_preset("model")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
        try:
            GPT2(**sizes).save_to_preset("model")
        except Exception as error:
            print(type(error).__name__, error)
        new = GPT2.from_preset("model")
        pairs = zip(old.get_weights(), new.get_weights(), strict=True)
        print(all((a == b).all() for a, b in pairs))
    """
    said, same = run_in_fresh_process(code, cwd=tmp_path).splitlines()
    assert "File too large" in said and same == "True"
    assert hidden(tmp_path / "model") == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write")
def test_a_folder_that_is_read_only_stays_as_it_is(tmp_path):
    write(tmp_path, "old")
    tmp_path.chmod(0o555)
    with pytest.raises(PermissionError, match=str(tmp_path)):
        write(tmp_path, "new")
    tmp_path.chmod(0o755)
    assert contents(tmp_path) == dict.fromkeys(NAMES, "old")


def test_the_next_save_finishes_the_last_one(tmp_path):
    """Files of the interrupted save that the next one does not have are there, too."""
    ready = tmp_path / f"{replacing.READY}1"
    ready.mkdir()
    (ready / "only_in_the_first.txt").write_text("first")
    write(tmp_path, "second")
    expected = dict.fromkeys(NAMES, "second") | {"only_in_the_first.txt": "first"}
    assert contents(tmp_path) == expected


def test_interrupted_moves_in_a_folder_that_cannot_be_written_are_told(
    tmp_path, monkeypatch
):
    ready = tmp_path / f"{replacing.READY}1"
    ready.mkdir()
    (ready / "a.txt").write_text("new")

    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(ValueError, match="interrupted.*Permission denied.*writable"):
        finish_replacing(tmp_path)


def test_what_died_long_ago_is_removed_and_what_is_being_written_is_not(tmp_path):
    for name, age in (("dead", 2 * replacing.LEFTOVER_SECONDS), ("alive", 10)):
        folder = tmp_path / f"{replacing.SAVING}{name}"
        folder.mkdir()
        path = folder / "model.safetensors"
        path.write_text("half")
        then = time.time() - age
        os.utime(path, (then, then))
        os.utime(folder, (then, then))
    write(tmp_path, "new")
    assert hidden(tmp_path) == [f"{replacing.SAVING}alive"]


def test_the_config_says_what_was_written(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "list.txt").write_text("dog")
    (tmp_path / "model.safetensors").write_text("not an asset")
    written = write_config(tmp_path, "Doubling", {"name": "größe"}, keras="3.15.1")
    assert read_config(tmp_path) == written
    assert written == {
        "class_name": "Doubling",
        "arguments": {"name": "größe"},
        "assets": ["words/list.txt"],
        "versions": {"keras": "3.15.1"},
    }
    assert "größe" in (tmp_path / "config.json").read_text(encoding="utf-8")


def test_reading_finishes_an_interrupted_save(tmp_path):
    write_config(tmp_path, "Doubling", {"units": 4})
    ready = tmp_path / f"{replacing.READY}1"
    ready.mkdir()
    write_config(ready, "Doubling", {"units": 5})
    assert read_config(tmp_path)["arguments"] == {"units": 5}
    assert hidden(tmp_path) == []


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match="There is no folder .*nowhere"):
        read_config(tmp_path / "nowhere")


def test_a_file_is_not_taken_for_a_folder(tmp_path):
    (tmp_path / "model.keras").write_text("")
    with pytest.raises(ValueError, match=r"a file: .*model.keras.*load_model"):
        read_config(tmp_path / "model.keras")


def test_a_folder_without_a_config_is_told_with_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match="no config.json in .*Found: nothing"):
        read_config(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="no config.json in .*Found: notes.txt"):
        read_config(tmp_path)


@pytest.mark.parametrize("text", ['{"class_name": "Doub', "", "\x00\xff"])
def test_a_broken_config_is_told(tmp_path, text):
    (tmp_path / "config.json").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match="config.json is not JSON: .*Copy or download"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ('{"layers": 2, "hidden_size": 8}', "layers, hidden_size"),
        ("{}", "nothing"),
        ("[1]", r"\[1\]"),
    ],
)
def test_a_config_of_something_else_is_told(tmp_path, text, received):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=f"not a config of .*Received: {received}"):
        read_config(tmp_path)
