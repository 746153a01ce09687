"""Signals that ask a worker to end, and how long each part of a shutdown may take.

Python runs signal handlers in the main thread, between two of its instructions, so a training step of a minute would
delay them. Here the signal's number goes through a socket to a thread of its own.

The times are derived from each other: whoever waits for a part of a shutdown waits longer than that part may take.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

# Slurm warns with SIGUSR1 before a time limit, Kubernetes and most others with SIGTERM.
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")
# Cluster managers send a signal to the whole process group, and a parent passes it on: that is one request, not two.
SAME_S = 2.0

# All times in seconds, from the first signal.
STORE_S = 4.0  # until a worker no longer waits for a store that is away
HAND_BACK_S = 2 * STORE_S  # until a trial whose training step does not return is handed back without it
CHECKPOINT_S = 45.0  # until a checkpoint that is being written has to be complete
SUPERVISOR_S = CHECKPOINT_S + 5.0  # until a supervisor kills its workers
LAUNCHER_S = SUPERVISOR_S + 10.0  # until Slurm or Docker Compose kills a supervisor
POD_S = LAUNCHER_S + 15.0  # until Kubernetes kills a pod, whose supervisor hears of its end later
CANCEL_S = SUPERVISOR_S + 40.0  # until `sweeps launch local --cancel` gives up waiting for a supervisor


@dataclass(slots=True)
class Interruption:
    """What was asked for: `signal` is the name of the first one that came, empty as long as none has."""

    signal: str = ""

    def __bool__(self) -> bool:
        return bool(self.signal)


@contextmanager
def signals_handled(names: Sequence[str], handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Have signals handled until the end of the block, those that this system has; afterwards as before."""
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def interruptible(
    first: Callable[[str], None], late: Callable[[], bool], saving: Callable[[], bool] = lambda: False
) -> Iterator[Interruption]:
    """Listen for signals; one that comes more than a moment after the first ends the process at once.

    Args:
        first: called with the first signal's name, in a thread of its own.
        late: called in that thread if the process has not ended after `HAND_BACK_S`; the process then ends, with exit
            code 0 if this returns True.
        saving: returns whether a checkpoint is being written; then `late` is called only once it is written, or after
            `CHECKPOINT_S`.
    """
    interruption = Interruption()
    listening, writing = socket.socketpair()
    writing.setblocking(False)
    with signals_handled(SIGNALS, lambda *_: None):
        wakeup = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        thread = threading.Thread(
            target=_listen, args=(listening, interruption, first, late, saving), name="signals", daemon=True
        )
        thread.start()
        try:
            yield interruption
        finally:
            signal.set_wakeup_fd(wakeup)
            writing.close()
            thread.join()
            listening.close()


def _listen(
    listening: socket.socket,
    interruption: Interruption,
    first: Callable[[str], None],
    late: Callable[[], bool],
    saving: Callable[[], bool],
) -> None:
    number = _next_signal(listening)
    if number is None:
        return
    came = time.monotonic()
    interruption.signal = signal.Signals(number).name
    first(interruption.signal)
    deadline = came + HAND_BACK_S
    while number is not None:
        listening.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            number = _next_signal(listening)
        except TimeoutError:
            now = time.monotonic()
            if saving() and now < came + CHECKPOINT_S:
                deadline = min(now + HAND_BACK_S, came + CHECKPOINT_S)
                continue
            os._exit(0 if late() else 1)
        if number is not None and time.monotonic() - came > SAME_S:
            os._exit(128 + number)


def _next_signal(listening: socket.socket) -> int | None:
    """Return the number of the next signal of ours; None when nothing is listened for any more."""
    while received := listening.recv(1):
        if signal.Signals(received[0]).name in SIGNALS:
            return received[0]
    return None
