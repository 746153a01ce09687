"""One worker, ours or plain Optuna's, timed from its training loop."""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.storages import BaseStorage, RDBStorage

from of_store.workload import REPORTS, load, readings, suggest
from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.readings import Reading
from sweeps.worker.heartbeat import Patience
from sweeps.worker.worker import Worker


@dataclass(slots=True)
class Tally:
    """What a training loop waits for, in seconds, and when its trials ended.

    Attributes:
        ask: from the end of one trial to the start of the next one's training; that of the first trial apart.
        report: in ours the storing of a reading; in plain Optuna `trial.report`.
        look: all that is done between two stretches of training: in ours the verdict too, in plain `should_prune`.
        end: from the last report to the trial's end in the store.
        unfinished: share of its reports that a trial had made when time was up.
        connections: most that were open at a time, of those now `opened`.
    """

    deadline: float = math.inf
    first_ask: float = math.nan
    ask: list[float] = field(default_factory=list)
    report: list[float] = field(default_factory=list)
    look: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    finished: int = 0
    unfinished: float = 0.0
    connections: int = 0
    opened: set[int] = field(default_factory=set)
    error: str = ""
    since: float = field(default_factory=time.perf_counter)

    @property
    def over(self) -> bool:
        return time.perf_counter() > self.deadline

    def trains(self) -> None:
        """A trial's training begins."""
        waited = self.lap()
        if math.isnan(self.first_ask):
            self.first_ask = waited
        elif not self.over:
            self.ask.append(waited)

    def ended(self) -> None:
        """A trial's end is in the store."""
        waited = self.lap()
        if not self.over:
            self.finished += 1
            self.end.append(waited)

    def lap(self) -> float:
        before, self.since = self.since, time.perf_counter()
        return self.since - before


class Over(Exception):
    """Time is up in the middle of a trial."""


class Idle:
    """A run of `readings`; see `training.Run`."""

    def __init__(self, tally: Tally, sleep_s: float, at_look: Callable[[int], None]) -> None:
        self.tally, self.sleep_s, self.at_look = tally, sleep_s, at_look
        self.given = self.in_time = 0
        self.interrupted = threading.Event()

    def __iter__(self) -> "Idle":
        return self

    def __next__(self) -> Reading | None:
        if self.given and not self.interrupted.is_set():
            waited = self.tally.lap()
            if not self.tally.over:
                self.tally.look.append(waited)
        self.at_look(self.given)
        if self.given and self.interrupted.wait(self.sleep_s):
            self.interrupted.clear()
            return None
        if self.given > REPORTS:
            raise StopIteration
        self.given += 1
        self.in_time += self.sleep_s > 0 and not self.tally.over
        self.tally.lap()
        return readings()[self.given - 1]

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def interrupt(self) -> None:
        self.interrupted.set()

    def state(self) -> bytes:
        return b""

    def close(self) -> None:
        if self.tally.over:
            self.tally.unfinished = max(0, self.in_time - 2) / REPORTS
        elif self.given > REPORTS:
            self.tally.ended()


def ours(
    storage: RDBStorage,
    tally: Tally,
    sleep_s: float = 0.0,
    trials: float = math.inf,
    began: Callable[[], None] = lambda: None,
    at_look: Callable[[int], None] = lambda look: None,  # noqa: ARG005
    beat_s: float = Patience().beat_s,
) -> Worker:
    """A worker of ours, ready to serve; it ends after `trials`, or when the tally's time is up."""

    def train(config: Config, data: Arrays, state: bytes | None) -> Idle:  # noqa: ARG001
        tally.trains()
        began()
        tally.lap()
        return Idle(tally, sleep_s, at_look)

    def stopping() -> bool:
        return tally.over or tally.finished >= trials

    # Without a place for artifacts: a trial's picture takes longer than all that the store does for it.
    return Worker(storage, train, load, stopping, None, Patience(beat_s=beat_s), say=lambda text: None)  # noqa: ARG005


def plain(
    storage: str | BaseStorage,
    study: str,
    tally: Tally,
    sleep_s: float = 0.0,
    trials: float = math.inf,
    began: Callable[[], None] = lambda: None,
    prunes: bool = True,
    sampler: optuna.samplers.BaseSampler | None = None,
) -> None:
    """The same with plain Optuna, as its documentation writes it."""

    def objective(trial: optuna.Trial) -> float:
        suggest(trial)
        tally.trains()
        began()
        for look in range(1, REPORTS + 1):
            time.sleep(sleep_s)
            tally.lap()
            trial.report(readings()[look].top1, look)
            reported = time.perf_counter() - tally.since
            if prunes and trial.should_prune():
                raise optuna.TrialPruned
            waited = tally.lap()
            if tally.over:
                tally.unfinished = (look - 1) / REPORTS
                raise Over
            tally.report.append(reported)
            tally.look.append(waited)
        return readings()[-1].top1

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:  # noqa: ARG001
        tally.ended()
        if tally.over or tally.finished >= trials:
            study.stop()

    sampler = sampler or optuna.samplers.RandomSampler()
    opened = optuna.load_study(study_name=study, storage=storage, sampler=sampler, pruner=optuna.pruners.NopPruner())
    opened.optimize(objective, callbacks=[after])


@contextmanager
def timed(owner: type, name: str, into: list[float]) -> Iterator[None]:
    """How long the calls of a method take."""
    method = getattr(owner, name)

    def with_clock(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            into.append(time.perf_counter() - started)

    setattr(owner, name, with_clock)
    try:
        yield
    finally:
        setattr(owner, name, method)
