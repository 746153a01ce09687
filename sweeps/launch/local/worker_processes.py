"""Workers on this machine: processes told of the store by the environment, so that no password is in a process list."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from sweeps.errors import WorkerError
from sweeps.launch.local.devices import DeviceAssignment, assign_devices, default_workers, visible_gpus

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# A worker that dies is replaced; this many deaths without a finished trial in between, and something is broken.
MOST_DEATHS = 3


def command(*words: str) -> list[str]:
    """The sweeps command of this very installation."""
    return [sys.executable, "-m", "sweeps", *words]


def environment(storage_url: str, artifacts: str | None) -> dict[str, str]:
    """This process's environment, with the store and the place of checkpoints in it.

    A store that a file names stays in that file: an environment may be kept where others read it.
    """
    found = dict(os.environ)
    if not _says(found.get("SWEEPS_STORAGE_FILE"), storage_url):
        found.pop("SWEEPS_STORAGE_FILE", None)
        found["SWEEPS_STORAGE"] = storage_url
    return found if artifacts is None else {**found, "SWEEPS_ARTIFACTS": artifacts}


def _says(file: str | None, storage_url: str) -> bool:
    try:
        return bool(file) and Path(str(file)).read_text().strip() == storage_url
    except (OSError, UnicodeDecodeError):
        return False


def start(
    words: Sequence[str],
    seat: DeviceAssignment,
    told: Mapping[str, str],
    log: IO[bytes] | None = None,
    *,
    ends_with_us: bool = False,
) -> subprocess.Popen[bytes]:
    """A worker process on a seat.

    Args:
        words: after `sweeps worker`.
        told: its environment, but for what the seat says.
        log: where it talks to; where this process does if None.
        ends_with_us: it is told to end when this process dies, however that happens (Linux, prctl(2)).
    """
    return subprocess.Popen(
        command("worker", *words),
        env={**told, **seat.environment()},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        start_new_session=True,  # a Ctrl-C reaches us alone; we pass it on once
        preexec_fn=_end_with_parent if ends_with_us else None,
    )


def _end_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class LocalWorkers:
    """Worker processes of one study, for as long as somebody follows it.

    Attributes:
        study, storage_url, artifacts: what they work on, and where checkpoints go.
        count: how many to keep running.
        logs: folder with one file per process.
    """

    study: str
    storage_url: str
    count: int
    artifacts: str | None = None
    logs: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sweeps-")))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0
    deaths: int = 0
    _gpus: tuple[str, ...] = field(default_factory=visible_gpus)

    def start(self) -> None:
        """Start what is missing to `count`."""
        told = environment(self.storage_url, self.artifacts)
        while len(self.processes) < self.count:
            seat = assign_devices(self.started + 1, self._gpus)[-1]
            with (self.logs / f"worker-{self.started}.log").open("wb") as log:
                self.processes.append(start(("--", self.study), seat, told, log))
            self.started += 1

    def died(self) -> int:
        """Forget the processes that ended, and replace those only that did so by accident; how many those were.

        Raises:
            WorkerError: they keep dying.
        """
        ended = [process for process in self.processes if process.poll() is not None]
        self.processes = [process for process in self.processes if process.poll() is None]
        accidents = [process for process in ended if process.returncode != 0]
        self.count -= len(ended) - len(accidents)
        self.deaths += len(accidents)
        if any(process.returncode == 1 for process in accidents) or self.deaths >= MOST_DEATHS:
            raise WorkerError(f"workers keep failing: {self._last_words()}; their logs are in {self.logs}")
        return len(accidents)

    def running(self) -> bool:
        """Whether any process is left."""
        return any(process.poll() is None for process in self.processes)

    def stop(self) -> None:
        """Ask all to hand their trials back and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End all now."""
        self._signal(signal.SIGKILL)

    def forget(self) -> None:
        """Remove the logs: all went well."""
        shutil.rmtree(self.logs, ignore_errors=True)

    def _signal(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def _last_words(self) -> str:
        logs: Sequence[Path] = sorted(self.logs.glob("worker-*.log"), key=lambda log: log.stat().st_mtime)
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "they said nothing"


def default_count() -> int:
    """How many workers a machine gets if nobody says: see `devices.default_workers`."""
    return default_workers(visible_gpus())
