"""The supervisor behind `sweeps launch local`, by itself, in a task of Slurm or a pod of Kubernetes: it keeps workers
running on a machine.
"""

import logging
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from sweeps.launch.job import INTERRUPTED
from sweeps.launch.local import worker_processes
from sweeps.launch.local.devices import DeviceAssignment
from sweeps.worker.shutdown import SAME_S, SIGNALS, SUPERVISOR_S, signals_handled

POLL_S = 0.2
# From the death of a worker until another one is started; doubled with each death.
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 300.0
LIVED_S = 60.0  # a worker that lived for so long did not die of its start
# How a worker ends by itself, after which it is not started again.
NOTHING_LEFT = 0
FAILING = 1  # trials keep failing
UNUSABLE = 2  # somebody has to correct the input

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class ReceivedSignals:
    """The signals that asked this process to leave.

    Attributes:
        name: the first signal's.
        times: how often leaving was requested; signals in quick succession are one request.
        last: when the last request came, by `time.monotonic`.
    """

    name: str = ""
    times: int = 0
    last: float = 0.0

    def count_signal(self, number: int, _frame: FrameType | None) -> None:
        """Count a signal; a signal handler."""
        now = time.monotonic()
        if not self.times or now - self.last > SAME_S:
            self.times += 1
            self.last = now
        self.name = self.name or signal.Signals(number).name


@contextmanager
def receive_signals() -> Iterator[ReceivedSignals]:
    """Count the signals that ask this process to leave within the block, instead of ending the process."""
    signals = ReceivedSignals()
    with signals_handled(SIGNALS, signals.count_signal):
        yield signals


@dataclass(slots=True)
class ManagedWorker:
    """A device and the worker on it.

    Attributes:
        process: the worker; None while there is none.
        code: how the last worker ended, once no other follows it.
        started: when the worker was started.
        wait_s: how long to wait before the next start.
        next_start: when a worker may be started again.
    """

    number: int
    device: DeviceAssignment
    process: subprocess.Popen[bytes] | None = None
    code: int | None = None
    started: float = 0.0
    wait_s: float = FIRST_WAIT_S
    next_start: float = 0.0

    def check_worker(
        self, start: Callable[[DeviceAssignment], subprocess.Popen[bytes]], now: float, leaving: bool
    ) -> None:
        """Start the worker if it is time to, or note how it ended."""
        if self.process is None:
            self._start_if_due(start, now, leaving)
            return
        code = self.process.poll()
        if code is None:
            return
        self.process = None
        if leaving and code != UNUSABLE:
            self.code = INTERRUPTED
        elif leaving or code in (NOTHING_LEFT, FAILING, UNUSABLE):
            self.code = code
        else:
            self._plan_restart(code, now)

    def _start_if_due(
        self, start: Callable[[DeviceAssignment], subprocess.Popen[bytes]], now: float, leaving: bool
    ) -> None:
        if leaving:
            self.code = INTERRUPTED
        elif now >= self.next_start:
            self.process = start(self.device)
            self.started = now
            location = ""
            if self.device.gpu:
                location = f" on GPU {self.device.gpu}"
            logger.info("worker %d is process %d%s", self.number, self.process.pid, location)

    def _plan_restart(self, code: int, now: float) -> None:
        if now - self.started > LIVED_S:
            self.wait_s = FIRST_WAIT_S
        logger.warning("worker %d %s; another in %.0f s", self.number, describe_ending(code), self.wait_s)
        self.next_start = now + self.wait_s
        self.wait_s = min(2 * self.wait_s, LONGEST_WAIT_S)


@dataclass(slots=True)
class Supervisor:
    """A supervisor that keeps a worker running on each device of a machine.

    Attributes:
        arguments: what follows `sweeps worker`.
        environment: the variables of the workers.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    workers: list[ManagedWorker]
    clock: Callable[[], float] = time.monotonic
    _requests: int = field(default=0)  # that workers have been told of
    _deadline: float = field(default=0.0)

    def run(self, signals: ReceivedSignals) -> int:
        """Keep workers running until nothing is left to do, or until a signal came and they handed their trials back.

        Returns:
            An exit code: 0 nothing is left to do; 75 a signal came; else how workers ended that are not started again.
        """
        while any(worker.code is None for worker in self.workers):
            now = self.clock()
            if signals.times > self._requests:
                self._pass_request_on(signals, now)
            if self._requests and now > self._deadline:
                self._send_signal(signal.SIGKILL)
            for worker in self.workers:
                if worker.code is None:
                    worker.check_worker(self._start_worker, now, bool(self._requests))
            time.sleep(POLL_S)
        codes = {worker.code for worker in self.workers}
        return next(code for code in (INTERRUPTED, UNUSABLE, FAILING, NOTHING_LEFT) if code in codes)

    def _pass_request_on(self, signals: ReceivedSignals, now: float) -> None:
        """Tell workers to leave: at the first request they save and leave, at the second they leave at once."""
        if self._requests:
            logger.info("leaving now")
        else:
            logger.info("%s came: workers are handing their trials back", signals.name)
            self._deadline = now + SUPERVISOR_S
        self._requests = signals.times
        self._send_signal(signal.SIGTERM)

    def _send_signal(self, number: int) -> None:
        for worker in self.workers:
            if worker.process is not None and worker.process.poll() is None:
                worker.process.send_signal(number)

    def _start_worker(self, device: DeviceAssignment) -> subprocess.Popen[bytes]:
        return worker_processes.start_worker(self.arguments, device, self.environment, ends_with_us=True)


def describe_ending(code: int) -> str:
    """Return how a process with this return code ended, as the end of a sentence."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
