"""Workers on this machine: processes told of the store by the environment, so that no password is in a process list."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.errors import WorkerError

MOST_WORKERS = 8  # by default: each holds a TensorFlow of .5-1 GB
# A worker that dies is replaced; this many deaths without a finished trial in between, and something is broken.
MOST_DEATHS = 3


def default_workers() -> int:
    """One per processor that this process may use, within reason."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cpus, MOST_WORKERS)


def command(*words: str) -> list[str]:
    """The sweeps command of this very installation."""
    return [sys.executable, "-m", "sweeps", *words]


@dataclass(slots=True)
class LocalWorkers:
    """Worker processes of one study.

    Attributes:
        study, storage_url: what they work on.
        count: how many to keep running.
        logs: folder with one file per process.
    """

    study: str
    storage_url: str
    count: int
    logs: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="sweeps-")))
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    started: int = 0
    deaths: int = 0

    def start(self) -> None:
        """Start what is missing to `count`."""
        while len(self.processes) < self.count:
            with (self.logs / f"worker-{self.started}.log").open("wb") as log:
                self.processes.append(
                    subprocess.Popen(
                        command("worker", "--", self.study),
                        env={**os.environ, "SWEEPS_STORAGE": self.storage_url},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,  # a Ctrl-C reaches us alone; we pass it on once
                    )
                )
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

    def _signal(self, number: int) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(number)

    def _last_words(self) -> str:
        logs: Sequence[Path] = sorted(self.logs.glob("worker-*.log"), key=lambda log: log.stat().st_mtime)
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1] if lines else "they said nothing"
