"""Worker processes on this machine; the environment tells them the store's URL, so that no process list shows it."""

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

from sweeps import logs
from sweeps.environment import (
    ARTIFACTS_VARIABLE,
    LOG_FORMAT_VARIABLE,
    STORAGE_FILE_VARIABLE,
    STORAGE_VARIABLE,
    TRUST_VARIABLE,
)
from sweeps.errors import InputError, WorkerError
from sweeps.launch.local.devices import DeviceAssignment, assign_devices, visible_gpus

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1
# A worker that dies is replaced; this many deaths without a finished trial in between, and something is broken.
MOST_DEATHS = 3


def make_sweeps_command(arguments: Sequence[str]) -> list[str]:
    """Return the `sweeps` command of this very installation, with these arguments."""
    return [sys.executable, "-m", "sweeps"] + list(arguments)


def worker_environment(
    storage_url: str, artifacts: str | None, log_format: logs.LogFormat = "text", trust: str = ""
) -> dict[str, str]:
    """Return this process's environment with what workers are to know in it.

    A store that a file names stays in that file: an environment may be kept where others read it.

    Args:
        artifacts: their location; None: as this process's environment has it.
        trust: the value of SWEEPS_TRUST; empty: likewise.
    """
    variables = dict(os.environ)
    if not _file_contains(variables.get(STORAGE_FILE_VARIABLE), storage_url):
        variables.pop(STORAGE_FILE_VARIABLE, None)
        variables[STORAGE_VARIABLE] = storage_url
    if artifacts is not None:
        variables[ARTIFACTS_VARIABLE] = artifacts
    variables[LOG_FORMAT_VARIABLE] = log_format
    if trust:
        variables[TRUST_VARIABLE] = trust
    return variables


def _file_contains(file: str | None, storage_url: str) -> bool:
    if not file:
        return False
    try:
        return Path(file).read_text().strip() == storage_url
    except (OSError, UnicodeDecodeError):
        return False


def start_worker(
    arguments: Sequence[str],
    device: DeviceAssignment,
    environment: Mapping[str, str],
    log: IO[bytes] | None = None,
    *,
    ends_with_us: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a worker process.

    Args:
        arguments: what follows `sweeps worker`.
        environment: its variables, but for those of the device.
        log: the file for its output; None: where this process writes.
        ends_with_us: where Linux runs, end the worker when this process dies, however that happens (prctl(2)).
    """
    stderr = None
    if log is not None:
        stderr = subprocess.STDOUT
    before_start = None
    if ends_with_us and hasattr(LIBC, "prctl"):
        before_start = _end_with_parent
    return subprocess.Popen(
        make_sweeps_command(["worker"] + list(arguments)),
        env=dict(environment) | device.to_environment(),
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=stderr,
        start_new_session=True,  # Ctrl-C reaches this process alone, which passes it on once
        preexec_fn=before_start,
    )


def _end_with_parent() -> None:
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(slots=True)
class LocalWorkers:
    """The worker processes of one study, for as long as `sweeps run` follows it.

    Attributes:
        study, storage_url, artifacts: what they work on, and where checkpoints go.
        count: how many to keep running.
        logs: folder with one file per process.
        started: how many processes were started in all.
        deaths: how many died since a trial finished.
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

    def start_missing(self) -> None:
        """Start as many workers as are missing to `count`."""
        environment = worker_environment(self.storage_url, self.artifacts)
        while len(self.processes) < self.count:
            device = assign_devices(self.started + 1, self._gpus)[-1]
            with (self.logs / f"worker-{self.started}.log").open("wb") as log:
                self.processes.append(start_worker(("--", self.study), device, environment, log=log))
            self.started += 1

    def collect_dead(self) -> int:
        """Remove the processes that ended; return how many of them died, which `start_missing` replaces.

        A worker that ended by itself is not replaced: there was nothing left for it to do.

        Raises:
            WorkerError: workers keep dying.
            InputError: one ended since something that it was given cannot be used.
        """
        ended = [process for process in self.processes if process.poll() is not None]
        self.processes = [process for process in self.processes if process.poll() is None]
        dead = [process for process in ended if process.returncode != 0]
        self.count -= len(ended) - len(dead)
        self.deaths += len(dead)
        if any(process.returncode == InputError.exit_code for process in dead):
            raise InputError(self._last_log_line().removeprefix("sweeps: "))
        if any(process.returncode == 1 for process in dead) or self.deaths >= MOST_DEATHS:
            raise WorkerError(f"workers keep failing: {self._last_log_line()}; their logs are in {self.logs}")
        return len(dead)

    def any_running(self) -> bool:
        """Return True if a process has not ended."""
        return any(process.poll() is None for process in self.processes)

    def ask_to_stop(self) -> None:
        """Ask all workers to hand their trials back and end."""
        self._send_signal(signal.SIGTERM)

    def kill_all(self) -> None:
        """End all workers now."""
        self._send_signal(signal.SIGKILL)

    def remove_logs(self) -> None:
        """Remove the folder of logs, once all went well."""
        shutil.rmtree(self.logs, ignore_errors=True)

    def _send_signal(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def _last_log_line(self) -> str:
        """Return the last line of the log that was written last."""
        files = sorted(self.logs.glob("worker-*.log"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in files:
            lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
            if lines:
                return lines[-1]
        return "their logs are empty"
