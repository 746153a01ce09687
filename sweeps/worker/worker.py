"""A worker: claims trials and trains them until there is nothing left to do or it is told to stop.

`train` comes in as an argument, so that nothing here opens the heavy room; a test gives a run of three lines.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import optuna
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.artifacts.checkpoints import Checkpoints
from sweeps.artifacts.locations import ArtifactLocation, artifact_location, artifact_store
from sweeps.errors import InputError, LostLeaseError, OutageError, SweepsError, WorkerError, describe_error, one_line
from sweeps.notes import study as study_notes
from sweeps.optuna_private import STORAGE_LOGGER
from sweeps.space import samplers
from sweeps.space.space import Space
from sweeps.store import engines, leases, queue
from sweeps.store.processes import this_process
from sweeps.store.retry import DATABASE_ERRORS, retry_while_unavailable
from sweeps.store.tables import StudyState
from sweeps.store.worker_storage import WorkerStorage
from sweeps.surfaces import make_printable
from sweeps.verdict import CalibrationPoint
from sweeps.version import __version__
from sweeps.worker.attempt import Attempt, WorkerContext
from sweeps.worker.heartbeat import Heartbeat, Patience
from sweeps.worker.monitor import Outcome
from sweeps.worker.protocol import Load, Train
from sweeps.worker.shutdown import Interruption, interruptible

if TYPE_CHECKING:
    from sweeps.optuna_private import ArtifactStore

Result = TypeVar("Result")

# One bad configuration is bad luck; three trials in a row that cannot be trained mean that data or code are broken.
MOST_FAILURES_IN_A_ROW = 3
RETIRE_S = 3.0  # the store is waited for by a worker that ends


def say(text: str) -> None:
    """Print one line for those who read a worker's log."""
    print(f"{time.strftime('%H:%M:%S')} {make_printable(text)}", file=sys.stderr, flush=True)


@dataclass(slots=True)
class StudySession:
    """A study that this worker has had a trial of; `failures` in a row, `ended` one since it last looked back."""

    study: optuna.Study
    study_id: int
    storage: WorkerStorage
    endings: dict[int, CalibrationPoint] = field(default_factory=dict)
    ended: bool = False
    failures: int = 0
    last_failure: str = ""
    refused: str = ""

    @property
    def is_left(self) -> bool:
        """Return whether this worker leaves the study to others: too many trials failed, or its data are not here."""
        return bool(self.refused) or self.failures >= MOST_FAILURES_IN_A_ROW

    @property
    def why_left(self) -> str:
        """Return why this worker leaves the study."""
        return self.refused or f"{self.failures} trials in a row failed; the last: {self.last_failure}"


@dataclass(slots=True)
class Worker:
    """One worker process.

    Attributes:
        storage: the store.
        train, load: see `training`.
        stopping: asked between trials and at each pull of a reading; once true, the trial is handed back.
        artifacts: where checkpoints and pictures go, as `artifact_location` reads it; None for nowhere: an interrupted
            trial then starts over.
        gpu, job: what it trains on and what started it, for those who look at the status.
        finished: trials, by now.
    """

    storage: RDBStorage
    train: Train
    load: Load
    stopping: Callable[[], bool]
    artifacts: str | None = None
    patience: Patience = field(default_factory=Patience)
    gpu: str = ""
    job: str = ""
    say: Callable[[str], None] = say
    finished: int = 0
    heart: Heartbeat = field(init=False)
    _place: ArtifactLocation | None = field(init=False)
    _means: WorkerContext = field(init=False)
    _served: dict[str, StudySession] = field(default_factory=dict)
    _unreadable: dict[str, str] = field(default_factory=dict)  # study -> why it cannot be served

    def __post_init__(self) -> None:
        self._place = artifact_location(self.artifacts) if self.artifacts else None
        self.heart = Heartbeat(self.storage, self._register_worker(), self.patience, self.say)
        self._means = self._make_context()

    def serve_studies(self, names: Sequence[str] = (), *, exit_when_idle: bool = False) -> int:
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
            InputError: the data of a named study are not here.
        """
        # Optuna quotes whole statements where it meets what is waited out here.
        logging.getLogger(STORAGE_LOGGER).setLevel(logging.ERROR)
        # SQLAlchemy shows a traceback where a connection is lost in a rollback, and makes a new one.
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
        self.heart.start()
        try:
            with engines.translate_database_errors(self.storage.url):
                self._serve_until_done(names, exit_when_idle)
        finally:
            self.heart.end()
            self._retire_worker()
        return self.finished

    def _serve_until_done(self, names: Sequence[str], exit_when_idle: bool) -> None:
        while not self.stopping():
            try:
                if self._attempt_one_trial(names):
                    continue
                if exit_when_idle or (names and self._budgets_met(names)):
                    return
            except LostLeaseError as exc:
                self.say(f"{exc}; going on as a new worker")
                self.heart.renew_worker(self._register_worker())
            except OutageError:
                if self.stopping() and not self.heart.holds_trial:
                    return
                raise
            self.heart.reap_dead_workers()
            time.sleep(self.patience.idle_s)

    def _attempt_one_trial(self, names: Sequence[str]) -> bool:
        """Make an attempt at the first trial that can be had; whether there was one."""
        wanted = self._retry_store(lambda: queue.active_studies(self.storage.engine))
        for name in wanted:
            if names and name not in names:
                continue
            try:
                served, space = self._open_session(name)
            except (OutageError, *DATABASE_ERRORS):
                raise
            except Exception as exc:  # of a newer version, or edited by hand: no reason to leave the others
                if list(names) == [name]:
                    raise
                if name not in self._unreadable:
                    self.say(f"study {name!r} is left: {describe_error(exc)}")
                self._unreadable[name] = describe_error(exc)
                continue
            self._unreadable.pop(name, None)
            if not served.is_left and self._attempt_trial(name, served, space):
                return True
        return False

    def _open_session(self, name: str) -> tuple[StudySession, Space]:
        """Return a study, and its space as it is now: people may raise the budget."""
        served = self._served.get(name) or self._retry_store(partial(self._load_session, name))
        return served, self._retry_store(lambda: store.space_of(served.study))

    def _load_session(self, name: str) -> StudySession:
        study = store.load_study(self.storage, name)
        study_id = store.id_of(self.storage, study)
        storage = WorkerStorage(self.storage, study_id)
        served = StudySession(optuna.load_study(study_name=name, storage=storage), study_id, storage)
        served.study.pruner = samplers.make_pruner(store.space_of(study))
        self._served[name] = served
        return served

    def _attempt_trial(self, name: str, served: StudySession, space: Space) -> bool:
        engine = self.storage.engine
        worker = self.heart.worker
        claim = self._retry_store(lambda: leases.claim_trial(engine, worker, served.study_id, space.budget.trials))
        if claim is None:
            self._look_back(served, space)
            return False
        checkpoints = Checkpoints(self._place, name) if self._place is not None else None
        attempt = Attempt(self._means, served.study, served.storage, space, claim, checkpoints, served.endings)
        try:
            outcome = attempt.train_trial()
        except (LostLeaseError, OutageError):
            raise  # it is another's; or nothing can be told to the store, and `retire` tries once more
        except Exception:
            self._die_of_it()
            raise
        served.refused = attempt.refused
        if outcome is not None:
            self._count_outcome(name, served, outcome)
        return True

    def _look_back(self, served: StudySession, space: Space) -> None:
        """Sum the study up in its note if the budget is met: who ended its last trial sees that, and few others do."""
        if served.ended:
            served.ended = False
            with suppress(Exception):  # a note is not worth waiting for, nor a worker's end
                served.storage.sync_trials()
                trials = served.storage.get_all_trials(served.study_id, deepcopy=False)
                if sum(trial.state.is_finished() for trial in trials) >= space.budget.trials:
                    study_notes.write_study_note(self.storage, served.study, trials)

    def _die_of_it(self) -> None:
        """Let a trial go as if it had killed this worker: one that always ends its worker must not eat the pool."""
        self.heart.renew_worker(self.heart.worker)
        with suppress(*DATABASE_ERRORS):
            leases.take_over(self.storage.engine, self.heart.worker, None, self.patience.retries)

    def _make_context(self) -> WorkerContext:
        return WorkerContext(
            storage=self.storage,
            heart=self.heart,
            train=self.train,
            load=self.load,
            stopping=self.stopping,
            say=self.say,
            outage_s=self.patience.outage_s,
            artifacts=self._open_artifact_store(),
            gpu=self.gpu,
        )

    def _open_artifact_store(self) -> "ArtifactStore | None":
        try:
            if self.artifacts:
                return artifact_store(self.artifacts)
            return None
        except OSError as exc:
            self.say(f"no pictures can be written: {one_line(exc)}")
            return None

    def _count_outcome(self, name: str, served: StudySession, outcome: Outcome) -> None:
        self.finished += 1
        served.ended = True
        if not outcome.blames_study:
            return
        served.failures = served.failures + 1 if outcome.fate == store.FAILED else 0
        served.last_failure = outcome.reason
        if served.is_left:
            self.say(f"{served.failures} trials of {name!r} in a row failed: this worker leaves it; {outcome.reason}")

    def _budgets_met(self, names: Sequence[str]) -> bool:
        """Return whether nothing is left to do of the named studies, for this worker."""
        left = {name: served for name, served in self._served.items() if served.is_left}
        reasons = {name: served.why_left for name, served in left.items()} | self._unreadable
        if set(names) <= reasons.keys():
            last = names[-1]
            kind: type[SweepsError] = WorkerError
            if last in self._unreadable or left[last].refused:
                kind = InputError
            raise kind(reasons[last])
        values = {offer.name: offer for offer in self._retry_store(lambda: queue.queued_studies(self.storage.engine))}
        return all(self._is_over(values[name]) for name in names if name in values)

    def _is_over(self, offer: queue.QueuedStudy) -> bool:
        if offer.state == StudyState.STOPPED:
            return True
        if offer.name in self._unreadable:
            return True
        served, space = self._open_session(offer.name)
        return served.is_left or offer.done >= space.budget.trials

    def _register_worker(self) -> int:
        process = this_process()
        return self._retry_store(
            lambda: leases.register_worker(self.storage.engine, process, self.gpu, __version__, self.job)
        )

    def _retire_worker(self) -> None:
        until = time.monotonic() + RETIRE_S  # a server that hangs has kept this waiting by its first error
        try:
            retry_while_unavailable(
                lambda: leases.retire_worker(self.storage.engine, self.heart.worker),
                RETIRE_S,
                lambda: time.monotonic() > until,
            )
        except (OutageError, *DATABASE_ERRORS):
            self.say("the store does not answer; this worker will be shown as lost")

    def _retry_store(self, operation: Callable[[], Result]) -> Result:
        return retry_while_unavailable(operation, self.patience.outage_s, self.stopping)


@dataclass(slots=True)
class WorkerProcess:
    """A worker process from its start to its end; `worker` is there once its store is open.

    Attributes:
        told: which signal has come, if any.
    """

    told: Interruption = field(default_factory=Interruption)
    worker: Worker | None = None

    def is_ending(self) -> bool:
        """Return whether the process was told to end."""
        return bool(self.told)

    def order_hand_back(self, name: str) -> None:
        """Have the trial in hand handed back, from the thread that hears signals."""
        if self.worker is not None:
            self.worker.heart.order_hand_back(f"{name} came")

    def is_saving(self) -> bool:
        """Return whether a checkpoint is being written."""
        return self.worker is not None and self.worker.heart.saving

    def hand_back_without_run(self) -> bool:
        """Hand the trial back although its training does not return; return whether no trial is held any more."""
        return self.worker is None or self.worker.heart.hand_back_without_run()


@contextmanager
def worker_process() -> Iterator[WorkerProcess]:
    """Run a worker's process: signals are handled from the beginning, while the store is still waited for."""
    process = WorkerProcess()
    with interruptible(process.order_hand_back, process.hand_back_without_run, process.is_saving) as process.told:
        yield process
