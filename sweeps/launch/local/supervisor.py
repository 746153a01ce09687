"""Keeps workers running on a machine: `sweeps launch local`, by itself, in a task of Slurm's or a pod of Kubernetes."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from sweeps.launch.job import INTERRUPTED
from sweeps.launch.local import worker_processes
from sweeps.launch.local.devices import DeviceAssignment
from sweeps.worker.shutdown import SAME_S, SIGNALS, handled

POLL_S = 0.2
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 300.0  # before a worker that died is started again
LIVED_S = 60.0  # a worker that lived for so long did not die of its start
PATIENCE_S = 60.0  # from asking workers to leave until they are killed: longer than any checkpoint
# By itself a worker ends so: nothing left to do, trials that keep failing, input that a person has to mend.
MET, FAILING, UNUSABLE = 0, 1, 2


def say(text: str) -> None:
    """One line for those who read the log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class ReceivedSignals:
    """Which signals came: the first one's name, and when the last one did that was more than an echo of it."""

    name: str = ""
    times: int = 0
    last: float = 0.0

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Count a signal; a signal handler."""
        now = time.monotonic()
        if not self.times or now - self.last > SAME_S:
            self.times += 1
            self.last = now
        self.name = self.name or signal.Signals(number).name


@contextmanager
def hearing() -> Iterator[ReceivedSignals]:
    """Hear what asks this process to leave, instead of dying of it."""
    told = ReceivedSignals()
    with handled(SIGNALS, told.hear):
        yield told


@dataclass(slots=True)
class ManagedWorker:
    """A seat and the worker on it; `code` is how the last one ended, once nobody is to follow it."""

    number: int
    seat: DeviceAssignment
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None
    started: float = 0.0
    wait_s: float = FIRST_WAIT_S
    next: float = 0.0

    def tend(self, start: Callable[[DeviceAssignment], subprocess.Popen[bytes]], now: float, leaving: bool) -> None:
        """Start the worker if it is time to, or see how it ended."""
        if self.process is None:
            if leaving:
                self.code = INTERRUPTED
            elif now >= self.next:
                self.process, self.started = start(self.seat), now
                say(f"worker {self.number} is process {self.process.pid}{self._where()}")
            return
        code = self.process.poll()
        if code is None:
            return
        self.process = None
        if leaving or code in (MET, FAILING, UNUSABLE):
            self.code = INTERRUPTED if leaving and code != UNUSABLE else code
            return
        if now - self.started > LIVED_S:
            self.wait_s = FIRST_WAIT_S
        say(f"worker {self.number} {_how(code)}; another in {self.wait_s:.0f} s")
        self.next, self.wait_s = now + self.wait_s, min(2 * self.wait_s, LONGEST_WAIT_S)

    def _where(self) -> str:
        return f" on GPU {self.seat.gpu}" if self.seat.gpu else ""


@dataclass(slots=True)
class Supervisor:
    """Workers on the seats of a machine.

    Attributes:
        words: what each is started with, after `sweeps worker`.
        told: their environment.
    """

    words: Sequence[str]
    told: Mapping[str, str]
    posts: list[ManagedWorker]
    clock: Callable[[], float] = time.monotonic
    _asked: int = field(default=0)
    _deadline: float = field(default=0.0)

    def run(self, signals: ReceivedSignals) -> int:
        """Until nothing is left to do or a signal came: workers then hand their trials back.

        Returns:
            An exit code: 0 nothing is left to do, 75 told to leave, else how workers ended that are not started again.
        """
        while any(post.code is None for post in self.posts):
            now = self.clock()
            if signals.times > self._asked:
                self._ask(signals, now)
            if self._asked and now > self._deadline:
                self._signal(signal.SIGKILL)
            for post in self.posts:
                if post.code is None:
                    post.tend(self._start, now, bool(self._asked))
            time.sleep(POLL_S)
        codes = {post.code for post in self.posts}
        return next(code for code in (INTERRUPTED, UNUSABLE, FAILING, MET) if code in codes)

    def _ask(self, signals: ReceivedSignals, now: float) -> None:
        """Pass one request on; workers save and leave at the first, and leave at once at the second."""
        say(f"{signals.name} came: workers are handing their trials back" if not self._asked else "leaving now")
        self._asked, self._deadline = signals.times, self._deadline or now + PATIENCE_S
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        for post in self.posts:
            if post.process is not None and post.process.poll() is None:
                post.process.send_signal(number)

    def _start(self, seat: DeviceAssignment) -> subprocess.Popen[bytes]:
        return worker_processes.start(self.words, seat, self.told, ends_with_us=True)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
