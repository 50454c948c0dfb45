"""A set of files replaced as one: all of them, or none, whatever ends the process.

It needs nothing but Python, so that a test can end it anywhere in a moment.
"""

import contextlib
import os
import pathlib
import shutil
import time
import uuid

# A set of files is written into a hidden folder SAVING, which gets the name READY once
# all of them are there: from then on the new set counts. Only then they are moved to
# their places, one by one.
SAVING = ".saving-"
READY = ".ready-"

# A folder SAVING that nobody wrote to for so long was left by a process that died.
LEFTOVER_SECONDS = 3600


@contextlib.contextmanager
def replace_files(folder):
    """Replaces a set of files in a folder: all of them, or none.

    The files are written into a hidden folder inside `folder` and moved once all are
    complete. Whatever ends the process before, the old files stay as they are. If it
    ends between two moves, `finish_replacing` does the moves that are left: the next
    `replace_files` calls it, and so must everyone who reads. A file of `folder` that
    has no successor stays.

    Where several processes or threads replace the files of a folder, one after the
    other moves its own (on POSIX), so that all files that are there are of one.

    Args:
        folder: Where the files go, made if it is missing.

    Yields:
        A `pathlib.Path`, the empty folder to write the new files into.

    Example:

    >>> import tempfile
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> with replace_files(folder) as new:
    ...     size = (new / "a.txt").write_text("one")
    ...     size = (new / "b.txt").write_text("two")
    >>> sorted(path.name for path in folder.iterdir())
    ['a.txt', 'b.txt']
    """
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    finish_replacing(folder)
    remove_leftovers(folder)
    name = f"{time.time_ns()}-{uuid.uuid4().hex}"
    saving = folder / f"{SAVING}{name}"
    saving.mkdir()
    try:
        yield saving
        for path in [*saving.rglob("*"), saving]:
            sync(path)
        with one_at_a_time(folder):
            os.rename(saving, folder / f"{READY}{name}")
            sync(folder)
            finish_moves(folder)
    except BaseException:
        shutil.rmtree(saving, ignore_errors=True)
        raise


def finish_replacing(folder):
    """Does the moves that a process which ended in `replace_files` left undone.

    Without such moves nothing is done, and `folder` may be read-only or missing.

    Args:
        folder: Where the files go.

    Raises:
        ValueError: There are moves to do, and the folder cannot be written to.

    Example:

    >>> finish_replacing("there_is_no_such_folder")
    """
    folder = pathlib.Path(folder)
    if any(folder.glob(f"{READY}*")):
        with one_at_a_time(folder):
            finish_moves(folder)


@contextlib.contextmanager
def one_at_a_time(folder):
    """Lets others wait that move files in the same folder, until they may.

    A process that is killed keeps nobody waiting. Folders without locks, as some
    networks and Windows have them, are used without.

    Args:
        folder: An existing folder.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):
        yield
        return
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def finish_moves(folder):
    """Does the moves that are left, for `finish_replacing`."""
    for ready in sorted(folder.glob(f"{READY}*")):
        try:
            for path in files_in(ready):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileNotFoundError):  # another process did it
                    os.replace(ready / path, folder / path)
        except OSError as error:
            raise ValueError(
                f"{folder} holds a save that was interrupted while its files were "
                f"moved, and they cannot be moved now: {error}. All of them are "
                f"complete. Make the folder writable, or move what is in {ready.name} "
                "one folder up."
            ) from error
        sync(folder)
        shutil.rmtree(ready, ignore_errors=True)


def files_in(folder):
    """The files below a folder, relative to it, in alphabetical order."""
    return sorted(p.relative_to(folder) for p in folder.rglob("*") if p.is_file())


def remove_leftovers(folder):
    """Deletes what processes that died while they were writing left behind."""
    for saving in folder.glob(f"{SAVING}*"):
        with contextlib.suppress(FileNotFoundError):
            touched = max(path.stat().st_mtime for path in [saving, *saving.rglob("*")])
            if time.time() - touched > LEFTOVER_SECONDS:
                shutil.rmtree(saving, ignore_errors=True)


def sync(path):
    """Waits until a file, or the list of files of a folder, is on the disk."""
    if os.name == "posix":
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
