"""Files that are written whole or not at all, and that outlive a power cut."""

import errno
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any
from uuid import uuid4


def sync_file(file: IO[Any]) -> None:
    """Write an open file's content to the disk."""
    file.flush()
    os.fsync(file.fileno())


def sync_content(file: IO[Any]) -> None:
    """Write an open file's content to the disk, without its times where the system can leave them out."""
    file.flush()
    if hasattr(os, "fdatasync"):  # not on macOS
        os.fdatasync(file.fileno())
    else:
        os.fsync(file.fileno())


def sync_path(path: Path) -> None:
    """Write to the disk the content of a file that is closed."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Write to the disk the names in a folder; some network file systems cannot, and say so."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(opened)


def write_new(path: Path, content: bytes) -> None:
    """Write a file that does not exist yet; when this returns, its content has reached the disk.

    Raises:
        OSError: it exists, or cannot be written.
    """
    with path.open("xb") as file:
        file.write(content)
        sync_file(file)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a name beside `path` to write a file to; at the end that file replaces what was at `path`.

    If anything is raised, or no file was written, what was at `path` stays. Of a link, what it leads to is replaced.

    Raises:
        OSError: the file cannot get its name.
    """
    target = path.resolve()
    partial = name_partial(target)
    try:
        yield partial
        if partial.exists():
            partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def creating_folder(path: Path) -> Iterator[Path]:
    """Give an empty folder beside `path` to write files to; at the end it gets the name `path`.

    If anything is raised, the folder is removed. What is at `path` must be an empty folder, or nothing.

    Raises:
        OSError: the folder cannot be made, or cannot get its name.
    """
    partial = name_partial(path.absolute())
    try:
        partial.mkdir()
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def temporary_folder(purpose: str) -> Iterator[Path]:
    """Give an empty folder among the system's temporary files, for this user alone; at the end it is removed.

    What killed processes left of the same purpose is removed first.

    Raises:
        OSError: it cannot be made.
    """
    folder = name_partial(Path(tempfile.gettempdir()) / f"sweeps-{purpose}")
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def name_partial(target: Path) -> Path:
    """Return a new name beside `target` for what is written before it gets that name.

    What processes of this machine left there of the same target, and did not live to remove, is removed first.
    """
    of_target = blake2b(os.fsencode(target.name), digest_size=6).hexdigest()
    of_machine = blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()
    start = f".sweeps-{of_target}-{of_machine}-"
    for left in target.parent.glob(f"{start}*.partial"):
        writer = left.name.removeprefix(start).partition("-")[0]
        if not writer.isdecimal() or _is_alive(int(writer)):
            continue
        with suppress(OSError):  # another process may remove it at the same moment
            _remove_own(left)
    return target.with_name(f"{start}{os.getpid()}-{uuid4().hex[:8]}.partial")


def _remove_own(path: Path) -> None:
    """Remove a file or a folder of this user."""
    facts = path.lstat()
    if facts.st_uid != os.getuid():
        return
    if stat.S_ISDIR(facts.st_mode):
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True
