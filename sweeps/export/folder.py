"""An export as a folder of files: written whole or not at all."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from errno import ENOTDIR
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from sweeps.errors import InputError
from sweeps.export.plan import File, WritePlan, make_plan
from sweeps.files import name_partial, sync_folder, write_new

PARTIAL = ".export-"  # how the names of folders start that hold what is being written


def write_folder(folder: Path, wanted: Mapping[str, File], *, force: bool) -> WritePlan:
    """Write files and their manifest into a folder, which is made if it is not there; remove those they replace.

    Raises:
        InputError: files that are there differ, or the folder cannot be written; nothing was changed.
    """
    try:
        with _lock_folder(folder):
            plan = make_plan(wanted, lambda name: read_file(folder, name), str(folder), force=force)
            if plan.files:
                _write_files(folder, plan.files)
    except OSError as exc:
        raise _unwritable(folder, exc) from exc
    return plan


def check_folder(folder: Path) -> None:
    """Check that a folder can be made, if it is not there, before anything costly is done to fill it.

    Raises:
        InputError: it cannot, or there is something else of its name.
    """
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    try:
        if not nearest.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR))
        if nearest != folder:
            with TemporaryDirectory(prefix=PARTIAL, dir=nearest):
                pass
    except OSError as exc:
        raise _unwritable(folder, exc) from exc


def read_file(folder: Path, name: str) -> bytes | None:
    """Return the content of a file of a folder; None where there is none.

    Raises:
        OSError: it cannot be read.
    """
    with suppress(FileNotFoundError):
        return (folder / name).read_bytes()
    return None


def _unwritable(folder: Path, exc: OSError) -> InputError:
    return InputError(f"{folder}: cannot be written ({exc.strerror or exc}); nothing was changed")


@contextmanager
def _lock_folder(folder: Path) -> Iterator[None]:
    """Keep other exports out of a folder that is there, where its file system has locks.

    Raises:
        InputError: another export is writing there.
    """
    if not folder.exists():
        yield
        return
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise InputError(f"{folder}: another export is being written there; wait for it") from exc
        except OSError:
            pass
        else:
            for left in folder.glob(f"{PARTIAL}*"):  # by one that was killed
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        os.close(opened)


def _write_files(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write files: a new folder gets its name at last; in one that is there all is undone if one file fails."""
    new = not folder.exists()
    made: list[Path] = []
    beside = folder
    partial = beside / f"{PARTIAL}{uuid4().hex}"
    if new:
        made = [parent for parent in folder.parents if not parent.exists()]
        beside = folder.parent
        partial = name_partial(folder)
    try:
        partial.mkdir(parents=True)
        for name, content in files.items():
            if content is None:
                continue
            write_new(partial / name, content)
        sync_folder(partial)
        if new:
            partial.rename(folder)
        else:
            _move_files(partial, folder, files)
        with suppress(OSError):  # all files have their names by now: an export that says that it failed would be wrong
            sync_folder(beside)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        for path in made:  # those that are in use stay
            with suppress(OSError):
                path.rmdir()


def _move_files(partial: Path, folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Give files their names or remove them, one after the other; if one fails, the others get back what was there."""
    moved: list[str] = []
    before = {name: partial / f"before-{name}" for name in files if (folder / name).exists()}
    for name, kept in before.items():
        try:
            os.link(folder / name, kept)
        except OSError:  # not every file system has links
            shutil.copy2(folder / name, kept)
    try:
        for name, content in files.items():
            if content is None:
                (folder / name).unlink()
            else:
                (partial / name).replace(folder / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            if name in before:
                before[name].replace(folder / name)
            else:
                (folder / name).unlink()
        raise
