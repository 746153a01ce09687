"""Supervisors of this machine: found again, and ended, by a file that each of them holds a lock on."""

import fcntl
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sweeps.errors import InputError, SweepsError

POLL_S = 0.2
PATIENCE_S = 90.0  # longer than a supervisor waits for its workers


def folder() -> Path:
    """Where this user's supervisors are listed; another user's folder of that name is refused.

    Not in XDG_RUNTIME_DIR, which goes with the last login, and which cron and Slurm do not have.

    Raises:
        SweepsError: it cannot be made, or is somebody else's.
    """
    place = Path(tempfile.gettempdir()) / f"sweeps-{os.getuid()}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        owner = place.lstat().st_uid
    except OSError as exc:
        raise SweepsError(f"{place}: {exc.strerror}; set TMPDIR to a folder that can be written") from exc
    if owner != os.getuid() or place.is_symlink():
        raise SweepsError(f"{place} belongs to somebody else; set TMPDIR to a folder of your own")
    return place


@contextmanager
def listed(name: str, say: Callable[[str], None]) -> Iterator[None]:
    """Be found by `running` under this name until the end of the block; where that cannot be, say so and go on."""
    try:
        path = folder() / f"{name}.{os.getpid()}"
        file = _locked(path)
    except (SweepsError, OSError) as exc:
        say(f"--cancel will not find this process: {exc}")
        yield
        return
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _locked(path: Path) -> IO[bytes]:
    """The file with a lock; made again if `running` took it for a dead one's between the two."""
    while True:
        file = path.open("wb")
        fcntl.flock(file, fcntl.LOCK_EX)
        if path.exists() and path.stat().st_ino == os.fstat(file.fileno()).st_ino:
            return file
        file.close()


def running(name: str) -> list[int]:
    """Process numbers of the supervisors of a job."""
    found = []
    for path in sorted(folder().glob(f"{name}.*")):
        if _held(path):
            found.append(int(path.suffix[1:]))
        else:
            path.unlink(missing_ok=True)  # it was killed
    return found


def cancel(name: str, say: Callable[[str], None]) -> int:
    """End the supervisors of a job and wait until their workers have handed their trials back; how many there were.

    Raises:
        InputError: there is none.
        SweepsError: one does not end.
    """
    asked = running(name)
    if not asked:
        raise InputError(f"no supervisor of {name} runs on this machine")
    for pid in asked:
        say(f"asking process {pid} to end")
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while left := [pid for pid in running(name) if pid in asked]:
        if time.monotonic() > deadline:
            raise SweepsError(f"process {left[0]} does not end; kill -9 {left[0]} ends it, its trials are taken over")
        time.sleep(POLL_S)
    return len(asked)


def _held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
