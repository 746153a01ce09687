"""Supervisors in the background: each holds a lock on a file, by which `--cancel` finds and ends it."""

import fcntl
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sweeps.errors import InputError, SweepsError
from sweeps.worker.shutdown import CANCEL_S

POLL_S = 0.2

logger = logging.getLogger(__name__)


def supervisor_folder() -> Path:
    """Return the folder with the lock files of this user's supervisors; make it if it is missing.

    It is not in XDG_RUNTIME_DIR, which goes with the last login, and which cron and Slurm do not have.

    Raises:
        SweepsError: it cannot be made, or belongs to another user.
    """
    folder = Path(tempfile.gettempdir()) / f"sweeps-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        owner = folder.lstat().st_uid
    except OSError as exc:
        raise SweepsError(f"{folder}: {exc.strerror}; set TMPDIR to a folder that can be written") from exc
    if owner != os.getuid() or folder.is_symlink():
        raise SweepsError(f"{folder} belongs to somebody else; set TMPDIR to a folder of your own")
    return folder


@contextmanager
def register_supervisor(name: str) -> Iterator[None]:
    """Make this process a supervisor that `running_supervisors` finds, until the end of the block.

    Where the lock file cannot be made, warn and go on.
    """
    try:
        path = supervisor_folder() / f"{name}.{os.getpid()}"
        file = _lock_file(path)
    except (SweepsError, OSError) as exc:
        logger.warning("--cancel will not find this process: %s", exc)
        yield
        return
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _lock_file(path: Path) -> IO[bytes]:
    """Make the file and lock it; again if `running_supervisors` removed it before it was locked."""
    while True:
        file = path.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()


def running_supervisors(name: str) -> list[int]:
    """Return the process numbers of the supervisors of a job."""
    numbers = []
    for path in sorted(supervisor_folder().glob(f"{name}.*")):
        if _is_locked(path):
            numbers.append(int(path.suffix[1:]))
        else:
            path.unlink(missing_ok=True)  # its process was killed
    return numbers


def cancel_supervisors(name: str) -> int:
    """End the supervisors of a job and wait until their workers have handed their trials back; return their number.

    Raises:
        InputError: there is none.
        SweepsError: one does not end.
    """
    supervisors = running_supervisors(name)
    if not supervisors:
        raise InputError(f"no supervisor of {name} runs on this machine")
    for number in supervisors:
        logger.info("asking process %d to end", number)
        os.kill(number, signal.SIGTERM)
    deadline = time.monotonic() + CANCEL_S
    while remaining := [number for number in running_supervisors(name) if number in supervisors]:
        if time.monotonic() > deadline:
            number = remaining[0]
            raise SweepsError(f"process {number} does not end; kill -9 {number} ends it, its trials are taken over")
        time.sleep(POLL_S)
    return len(supervisors)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
