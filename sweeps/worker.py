"""A worker: claims trials and trains them until there is nothing left to do or it is told to stop.

`train` comes in as an argument, so that nothing here opens the heavy room; a test gives a run of three lines.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import optuna
from optuna.storages import RDBStorage

from sweeps import __version__, samplers, store
from sweeps.attempt import Attempt, Means
from sweeps.checkpoints import Checkpoints
from sweeps.errors import InputError, LostLeaseError, OutageError, StoreError, WorkerError, one_line
from sweeps.heartbeat import DATABASE_ERRORS, Heartbeat, Patience
from sweeps.places import Place, artifact_store, place
from sweeps.store import engines, leases, offers
from sweeps.store.processes import this_process
from sweeps.store.tables import State
from sweeps.store.worker_storage import WorkerStorage
from sweeps.training import Load, Train
from sweeps.trial import Outcome
from sweeps.verdict import Ended

if TYPE_CHECKING:
    from optuna.artifacts._protocol import ArtifactStore

Result = TypeVar("Result")

# One bad configuration is bad luck; three trials in a row that cannot be trained mean that data or code are broken.
MOST_FAILURES_IN_A_ROW = 3


def say(text: str) -> None:
    """One line for those who read a worker's log."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class Served:
    """A study that this worker has had a trial of; `failures` are those in a row."""

    study: optuna.Study
    study_id: int
    storage: WorkerStorage
    endings: dict[int, Ended] = field(default_factory=dict)
    failures: int = 0
    last_failure: str = ""


@dataclass(slots=True)
class Worker:
    """One worker process.

    Attributes:
        storage: the store.
        train, load: see `training`.
        stopping: asked between trials and at each pull of a reading; once true, the trial is handed back.
        artifacts: where checkpoints and pictures go, as `places.place` reads it; None for nowhere: an interrupted
            trial then starts over.
        gpu: what it trains on, for those who look at the status.
        finished: trials, by now.
    """

    storage: RDBStorage
    train: Train
    load: Load
    stopping: Callable[[], bool]
    artifacts: str | None = None
    patience: Patience = field(default_factory=Patience)
    gpu: str = ""
    say: Callable[[str], None] = say
    finished: int = 0
    heart: Heartbeat = field(init=False)
    _place: Place | None = field(init=False)
    _served: dict[str, Served] = field(default_factory=dict)
    _unreadable: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._place = place(self.artifacts) if self.artifacts else None
        self.heart = Heartbeat(self.storage, self._register(), self.patience)

    def serve(self, names: Sequence[str] = (), *, exit_when_idle: bool = False) -> int:
        """Run trials of studies, the highest priority first.

        Args:
            names: of the studies, until their budgets are met; of all active ones and those to come if empty, for ever.
            exit_when_idle: end as soon as there is no trial to claim.

        Returns:
            How many trials this worker finished.

        Raises:
            StoreError: the store refuses.
            OutageError: the store has been away for too long.
            WorkerError: trials of a named study fail one after the other.
        """
        # Optuna quotes whole statements where it meets what is waited out here.
        logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
        self.heart.start()
        try:
            with _refusals(self.storage.url):
                self._serve(names, exit_when_idle)
        finally:
            self.heart.end()
            self._retire()
        return self.finished

    def _serve(self, names: Sequence[str], exit_when_idle: bool) -> None:
        while not self.stopping():
            try:
                if self._one(names):
                    continue
                if exit_when_idle or (names and self._met(names)):
                    return
            except LostLeaseError as exc:
                self.say(f"{exc}; going on as a new worker")
                self.heart.renew(self._register())
            except OutageError:
                if self.stopping() and not self.heart.holds:
                    return
                raise
            self.heart.reap()
            time.sleep(self.patience.idle_s)

    def _one(self, names: Sequence[str]) -> bool:
        """Make an attempt at the first trial that can be had; whether there was one."""
        wanted = self._persist(lambda: offers.active(self.storage.engine))
        for name in wanted:
            if names and name not in names:
                continue
            try:
                served = self._served.get(name) or self._persist(partial(self._open, name))
                if served.failures < MOST_FAILURES_IN_A_ROW and self._attempt(name, served):
                    return True
            except InputError as exc:  # of a newer version, or edited by hand: no reason to leave the others
                if name in names:
                    raise
                if name not in self._unreadable:
                    self.say(f"study {name!r} is left: {one_line(exc)}")
                self._unreadable.add(name)
        return False

    def _open(self, name: str) -> Served:
        found = store.load_study(self.storage, name)
        study_id = store.id_of(self.storage, found)
        storage = WorkerStorage(self.storage, study_id)
        served = Served(optuna.load_study(study_name=name, storage=storage), study_id, storage)
        served.study.pruner = samplers.pruner(store.space_of(found))
        self._served[name] = served
        return served

    def _attempt(self, name: str, served: Served) -> bool:
        space = self._persist(lambda: store.space_of(served.study))
        engine, worker = self.storage.engine, self.heart.worker
        claim = self._persist(lambda: leases.claim(engine, worker, served.study_id, space.budget.trials))
        if claim is None:
            return False
        checkpoints = Checkpoints(self._place, name) if self._place is not None else None
        outcome = Attempt(self._means(), served.study, served.storage, space, claim, checkpoints, served.endings).make()
        if outcome is not None:
            self._count(name, served, outcome)
        return True

    def _means(self) -> Means:
        outage_s, pictures = self.patience.outage_s, self._pictures()
        return Means(self.storage, self.heart, self.train, self.load, self.stopping, self.say, outage_s, pictures)

    def _pictures(self) -> "ArtifactStore | None":
        try:
            return artifact_store(self.artifacts) if self.artifacts else None
        except OSError as exc:
            self.say(f"no pictures can be written: {one_line(exc)}")
            return None

    def _count(self, name: str, served: Served, outcome: Outcome) -> None:
        self.finished += 1
        served.failures = served.failures + 1 if outcome.fate == store.FAILED else 0
        served.last_failure = outcome.reason
        if served.failures == MOST_FAILURES_IN_A_ROW:
            self.say(f"{served.failures} trials of {name!r} in a row failed: this worker leaves it; {outcome.reason}")

    def _met(self, names: Sequence[str]) -> bool:
        """Whether nothing is left to do of the named studies, for this worker."""
        failed = [served for served in map(self._served.get, names) if served and served.failures]
        broken = [served for served in failed if served.failures >= MOST_FAILURES_IN_A_ROW]
        if len(broken) == len(names):
            raise WorkerError(f"{broken[-1].failures} trials in a row failed; the last: {broken[-1].last_failure}")
        found = {offer.name: offer for offer in self._persist(lambda: offers.offers(self.storage.engine))}
        return all(self._over(found[name]) for name in names if name in found)

    def _over(self, offer: offers.Offer) -> bool:
        if offer.state == State.STOPPED:
            return True
        served = self._served.get(offer.name) or self._persist(lambda: self._open(offer.name))
        if served.failures >= MOST_FAILURES_IN_A_ROW:
            return True
        return offer.done >= self._persist(lambda: store.space_of(served.study)).budget.trials

    def _register(self) -> int:
        process = this_process()
        return self._persist(lambda: leases.register(self.storage.engine, process, self.gpu, __version__))

    def _retire(self) -> None:
        try:
            leases.retire(self.storage.engine, self.heart.worker)
        except DATABASE_ERRORS:
            self.say("the store does not answer; this worker will be shown as lost")

    def _persist(self, operation: Callable[[], Result]) -> Result:
        return engines.persist(operation, self.patience.outage_s, self.stopping)


@contextmanager
def _refusals(storage_url: str) -> Iterator[None]:
    try:
        yield
    except DATABASE_ERRORS as exc:
        raise StoreError(f"{store.masked(storage_url)}: the store refuses: {engines.words(exc)}") from exc
