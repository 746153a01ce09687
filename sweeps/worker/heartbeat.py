"""A worker's heartbeat: a thread that says that it lives, delivers its readings, and learns what is asked of it.

Training goes on in the main thread whatever the store does; only this thread waits for it.
"""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

from optuna.storages import RDBStorage
from sqlalchemy import Engine

from sweeps.errors import LostLeaseError, OutageError
from sweeps.store import engines, leases, retry
from sweeps.store.batches import Batch
from sweeps.store.leases import Beat, Claim, Retries
from sweeps.store.reaper import GRACE_S, Reaper
from sweeps.store.retry import DATABASE_ERRORS, retry_while_unavailable
from sweeps.store.tables import StudyState
from sweeps.store.worker_storage import WorkerStorage
from sweeps.worker.shutdown import STORE_S

WATCHED_BEATS = 2.5  # a silent worker is watched for so long before it is taken for dead
LOCK_S = 1.0  # for a delivery under way
NOTICED_S = 5.0  # without an answer, after which people are told


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a worker waits for what, in seconds.

    Attributes:
        beat_s: from one beat to the next; readings are delivered with it.
        grace_s: of silence, after which a worker on another machine is taken for dead.
        outage_s: without an answer from the store, after which the trial is kept as a checkpoint and the worker ends.
        checkpoint_s: from one checkpoint of a trial to the next.
        idle_s: until an idle worker asks again for something to do.
        retries: how often a trial may kill its worker.
    """

    beat_s: float = 20.0
    grace_s: float = GRACE_S
    outage_s: float = retry.OUTAGE_S
    checkpoint_s: float = 120.0
    idle_s: float = 2.0
    retries: Retries = field(default_factory=Retries)


def usual_patience(storage_url: str) -> Patience:
    """Return a file is watched by few, who want to see progress; a server has hundreds of workers to hear."""
    if engines.is_sqlite(engines.parse_url(storage_url)):
        return Patience(beat_s=2.0)
    return Patience()


class Order(StrEnum):
    """What is to be done with the trial in hand."""

    GO_ON = "go on"
    HAND_BACK = "hand back"  # the worker was told to end, or the study is paused or stopped
    DROP = "drop"  # it is another worker's by now
    KEEP = "keep"  # the store has been away for too long: a checkpoint is all that can be done


@dataclass(frozen=True, slots=True)
class Work:
    """The trial in hand; `interrupt` makes its training return soon."""

    claim: Claim
    storage: WorkerStorage
    interrupt: Callable[[], None]


class Heartbeat:
    """The beats of one worker; `work` is what it trains, if anything.

    Attributes:
        order: what is to be done with the trial in hand; asked for between two pulls of readings.
        why: in words, where that is not to go on.
        checkpoint_due: whether it is time for one.
        saving: whether a checkpoint is being written.
    """

    def __init__(self, storage: RDBStorage, worker: int, patience: Patience, say: Callable[[str], None]) -> None:
        self.worker = worker
        self.order = Order.GO_ON
        self.why = ""
        self.checkpoint_due = False
        self.saving = False
        self._say = say
        self._engine = storage.engine
        # The thread's own: a server has few connections, and this one is needed for a moment at each beat.
        self._aside = engines.without_pool(storage)
        self._patience = patience
        self._watch = Reaper(self._aside, patience.grace_s, WATCHED_BEATS * patience.beat_s)
        self._work: Work | None = None
        self._step = 0
        self._rate = 0.0
        self._kept = self._reaped = time.monotonic()
        self._asked = self._away = 0.0  # since when a beat is under way; since when the store is away
        self._said_away = False
        self._leaving = 0.0  # since when
        self._lock = threading.RLock()  # one delivery at a time: what was said first arrives first
        self._wake = threading.Event()  # the next beat does not wait
        self._confirming: threading.Event | None = None  # set when the next beat has been answered
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        self._watcher = threading.Thread(target=self._watch_on, name="hung store", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()
        self._watcher.start()

    def end(self) -> None:
        """Beat no more."""
        self._ended.set()
        self._wake.set()
        self._thread.join(timeout=2 * retry.SHORTEST_WAIT_S)

    @property
    def holds_trial(self) -> bool:
        """Return whether a trial is in hand."""
        return self._work is not None

    @property
    def lost_trial(self) -> bool:
        """Return whether the trial is another worker's by now."""
        return self.order == Order.DROP

    def renew_worker(self, worker: int) -> None:
        """Beat for a worker that was registered anew."""
        with self._lock:
            self.worker = worker
            self._work = None
            self.order = Order.GO_ON
            self.why = ""

    def attach_trial(self, work: Work) -> None:
        """Speak for a trial from now on."""
        with self._lock:
            self._step = 0
            self._rate = 0.0
            self._work = work
            self.order = Order.GO_ON
            self.why = ""
            self.record_checkpoint()

    def record_progress(self, step: int, rate: float) -> None:
        """Record how far the trial is, and its steps per second."""
        self._step = step
        self._rate = rate

    def record_checkpoint(self) -> None:
        """Record that a checkpoint has just been written."""
        self._kept = time.monotonic()
        self.checkpoint_due = False

    def order_hand_back(self, why: str) -> None:
        """Order that the trial is handed back because the worker is to end, and no longer wait long for the store."""
        self._leaving = self._leaving or time.monotonic()
        self._give_order(Order.HAND_BACK, why)

    def confirm_lease(self) -> bool:
        """Have a beat sent now and wait for its answer, no longer than from one beat to the next.

        Returns:
            Whether the trial is still this worker's, as far as the store tells.
        """
        if not self._away:
            beat = self._confirming = threading.Event()
            self._wake.set()
            beat.wait(self._patience.beat_s)
        return not self.lost_trial

    def beat_now(self) -> None:
        """Beat now, with all that the trial has said; what does not arrive goes with the next beat."""
        self._send_beat(self._engine)

    def _send_beat(self, engine: Engine) -> None:
        with self._lock:
            work = self._work
            if work is not None:
                batch = work.storage.take_batch()
            else:
                batch = Batch()
            self._asked = time.monotonic()
            try:
                state = leases.send_beat(engine, self.worker, self._make_beat(work), batch)
            except LostLeaseError as exc:
                self._give_order(Order.DROP, str(exc))
            except DATABASE_ERRORS as exc:
                if work is not None:
                    work.storage.put_back(batch)
                self._handle_no_answer(exc)
            else:
                self._handle_answer()
                if state != StudyState.ACTIVE:
                    self._give_order(Order.HAND_BACK, f"the study is {state}")
            finally:
                self._asked = 0.0

    def end_trial(self, last: Callable[[Batch], None]) -> None:
        """Do a trial's last transaction with all that it has said and not delivered; then it is no longer in hand.

        Raises:
            LostLeaseError: it is another worker's; nothing was written.
            OutageError: the store did not answer; all is still gathered.
        """
        if not self._lock.acquire(timeout=self._patience.outage_s):
            raise OutageError(f"the store has not answered for {self._patience.outage_s:.0f} s")
        try:
            work = self._work
            assert work is not None
            batch = work.storage.take_batch()
            try:
                retry_while_unavailable(
                    lambda: last(batch), self._patience.outage_s, self._stops_waiting, self._say_away, NOTICED_S
                )
            except BaseException:
                work.storage.put_back(batch)
                raise
            self._work = None
            self._handle_answer()
        finally:
            self._lock.release()

    def hand_back_without_run(self) -> bool:
        """Hand the trial in hand back without its training, which does not return; its last checkpoint stays.

        Returns:
            Whether nothing is in hand any more.
        """
        if self._work is None:
            return True
        if not self._lock.acquire(timeout=LOCK_S):
            return False
        try:
            leases.hand_back(self._aside, self.worker, self._work.claim, self._work.storage.take_batch())
            leases.retire_worker(self._aside, self.worker)
        except (LostLeaseError, *DATABASE_ERRORS):
            return False
        return True

    def _stops_waiting(self) -> bool:
        return 0.0 < self._leaving < time.monotonic() - STORE_S

    def _make_beat(self, work: Work | None) -> Beat:
        if work is not None:
            return Beat(work.claim, self._step, round(self._rate, 4))
        return Beat()

    def _handle_answer(self) -> None:
        self._away = 0.0
        if self._said_away:
            self._said_away = False
            self._say("the store answers again")

    def _handle_no_answer(self, exc: BaseException) -> None:
        # From the first beat that failed: this process may have slept since the last that arrived.
        self._away = self._away or time.monotonic()
        away = time.monotonic() - self._away
        if not retry.is_temporary(exc):
            self._give_order(Order.KEEP, f"the store refuses to go on: {retry.error_message(exc)}")
        elif away > self._patience.outage_s:
            self._give_order(Order.KEEP, f"the store has not answered for {away:.0f} s: {retry.error_message(exc)}")
        elif away > NOTICED_S:
            self._say_away(retry.error_message(exc))

    def _say_away(self, error: str) -> None:
        if not self._said_away:
            self._said_away = True
            self._say(f"the store does not answer ({error}); it is waited for, up to {self._patience.outage_s:.0f} s")

    def _give_order(self, order: Order, why: str) -> None:
        if self.order == Order.GO_ON or order == Order.DROP:
            self.order = order
            self.why = why
        work = self._work  # another thread may detach it
        if work is not None:
            work.interrupt()

    def _watch_on(self) -> None:
        """Notice a server that hangs: it answers a beat with nothing at all, not even an error."""
        asked = 0.0  # this thread's own time: the process may have slept
        waited = 0.0
        while not self._ended.wait(self._patience.beat_s):
            if asked == self._asked:
                waited = waited + self._patience.beat_s
            else:
                waited = 0.0
            asked = self._asked
            if asked and waited > self._patience.outage_s:
                self._give_order(Order.KEEP, f"the store has not answered for {waited:.0f} s")

    def _beat_on(self) -> None:
        while self._until_next():
            confirming = self._confirming
            self._confirming = None
            self._send_beat(self._aside)
            if confirming is not None:
                confirming.set()
            work = self._work
            now = time.monotonic()
            if work is not None and now - self._kept > self._patience.checkpoint_s and not self.checkpoint_due:
                self.checkpoint_due = True
                work.interrupt()
            if now - self._reaped > self._patience.grace_s / 3:
                self._reaped = now
                self.reap_dead_workers()

    def _until_next(self) -> bool:
        """Wait for the next beat; whether there is one."""
        self._wake.wait(self._patience.beat_s)
        self._wake.clear()
        return not self._ended.is_set()

    def reap_dead_workers(self) -> None:
        """Take the trials of workers that are dead; the store may be away."""
        with self._lock, contextlib.suppress(*DATABASE_ERRORS):
            self._watch.reap(self._patience.retries)
