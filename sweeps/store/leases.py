"""Who trains what: workers, their beats, and the trials that they claim, hand back, finish, or die on.

A worker's row is its lease: as long as it beats, and nobody has marked it lost, the slot that it claimed is its own.
Every transaction of a worker begins with its beat, which holds the row until the end; whoever takes its trial over
marks that row first. So a worker that was asleep and wakes can write nothing once its trial is another's.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from optuna.trial import TrialState
from sqlalchemy import Connection, Engine, Row, Update, delete, func, insert, select, update

from sweeps.errors import LostLeaseError
from sweeps.optuna_private import models
from sweeps.store import notes
from sweeps.store.attributes import FAILED, FATE, INTERRUPTED, REASON
from sweeps.store.batches import (
    Batch,
    put_rows,
    table_of,
    write_batch,
    write_value,
    writing_transaction,
)
from sweeps.store.processes import Process
from sweeps.store.tables import SlotRow, StudyRow, StudyState, WorkerRow, now

STUDIES = table_of(models.StudyModel)
TRIALS = table_of(models.TrialModel)
KEPT_S = 86_400.0  # the row of a lost worker, for those who look at the status next morning


@dataclass(frozen=True, slots=True)
class Claim:
    """A trial that a worker holds.

    Attributes:
        fresh: nobody has held it before.
        step: of the last reading that the store has of it; -1 if none.
    """

    study_id: int
    slot: int
    trial_id: int
    number: int
    fresh: bool
    step: int


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker says of itself with each beat: the claim it trains, the step it is at, and steps per second."""

    claim: Claim | None = None
    step: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a trial may kill its worker: without getting any further in between, and in all."""

    here: int = 3
    ever: int = 10


def register_worker(engine: Engine, process: Process, gpu: str, version: str, job: str = "") -> int:
    """Make a worker known; its number."""
    who = {"host": process.host[:255], "machine": process.machine[:255], "pid": process.pid, "born": process.born}
    what = {"gpu": gpu[:255], "version": version, "job": job[:255], "lost": False}
    with writing_transaction(engine) as db:
        db.execute(delete(WorkerRow).where(WorkerRow.lost, WorkerRow.seen < now() - KEPT_S))
        made = db.execute(insert(WorkerRow).values(**who, **what, started=now(), seen=now()))
        key = made.inserted_primary_key
        assert key is not None
        return int(key[0])


def retire_worker(engine: Engine, worker: int) -> None:
    """End a worker: what it still holds waits for another, and its row is deleted, unless it was lost before."""
    with writing_transaction(engine) as db:
        if db.execute(delete(WorkerRow).where(WorkerRow.worker_id == worker, WorkerRow.lost.is_(False))).rowcount:
            for slot in _held_slots(db, worker):
                _let_go(db, slot)


@contextmanager
def worker_transaction(engine: Engine, worker: int, beat: Beat) -> Iterator[Connection]:
    """Open a transaction of a worker; it begins with the worker's beat.

    Raises:
        LostLeaseError: it was taken for dead; nothing was written.
    """
    claim = beat.claim
    where = {"study_id": claim.study_id if claim else None, "trial_number": claim.number if claim else None}
    alive = update(WorkerRow).where(WorkerRow.worker_id == worker, WorkerRow.lost.is_(False))
    with writing_transaction(engine) as db:
        if not db.execute(alive.values(seen=now(), step=beat.step, rate=beat.rate, **where)).rowcount:
            raise LostLeaseError("this worker was silent for so long that its trial was given to another")
        yield db


def claim_trial(engine: Engine, worker: int, study_id: int, trials: int) -> Claim | None:
    """Return the first trial that waits for a worker, else a new one; None if the study's budget of trials is given
    out.

    Raises:
        LostLeaseError: see `holding`.
    """
    with worker_transaction(engine, worker, Beat()) as db:
        if lock_study(db, study_id) != StudyState.ACTIVE:
            return None
        # One that is this worker's already: the answer to its last claim was lost on the way.
        free = select(SlotRow.slot, SlotRow.trial_id, SlotRow.number, SlotRow.step).where(
            SlotRow.study_id == study_id,
            SlotRow.done.is_(False),
            SlotRow.worker_id.is_(None) | (SlotRow.worker_id == worker),
        )
        row = db.execute(free.order_by(SlotRow.slot).limit(1)).one_or_none()
        if row is None:
            last = db.scalar(select(func.max(SlotRow.slot)).where(SlotRow.study_id == study_id))
            if last is None:
                slot = 0
            else:
                slot = last + 1
            if slot >= trials:
                return None
            return _create_trial(db, worker, study_id, slot)
        if row.trial_id is None:
            return _create_trial(db, worker, study_id, row.slot)
        db.execute(_slot_condition(study_id, row.slot).values(worker_id=worker))
        db.execute(update(TRIALS).where(TRIALS.c.trial_id == row.trial_id).values(state=TrialState.RUNNING))
        return Claim(study_id, row.slot, row.trial_id, row.number, fresh=False, step=row.step)


def send_beat(engine: Engine, worker: int, beat: Beat, batch: Batch) -> StudyState:
    """Say that a worker lives, and deliver what its trial has to say; the state of the trial's study.

    Raises:
        LostLeaseError: see `holding`.
    """
    with worker_transaction(engine, worker, beat) as db:
        claim = beat.claim
        if claim is None:
            return StudyState.ACTIVE
        _deliver_batch(db, claim, batch)
        return StudyState(
            db.scalar(select(StudyRow.state).where(StudyRow.study_id == claim.study_id)) or StudyState.ACTIVE
        )


def finish_trial(
    engine: Engine, worker: int, claim: Claim, batch: Batch, state: TrialState, value: float | None = None
) -> None:
    """Finish a trial: from now on it counts in the budget.

    Raises:
        LostLeaseError: see `holding`.
    """
    with worker_transaction(engine, worker, Beat()) as db:
        if not _holds_slot(db, worker, claim):
            raise LostLeaseError("this trial was handed back, and given to another")
        _deliver_batch(db, claim, batch)
        if value is not None:
            write_value(db, claim.trial_id, value)
        _end_trial(db, claim.trial_id, state)
        db.execute(_slot_condition(claim.study_id, claim.slot).values(done=True))


def hand_back(engine: Engine, worker: int, claim: Claim, batch: Batch) -> None:
    """Let another worker go on with a trial; where its study was stopped, that is its end.

    Raises:
        LostLeaseError: see `holding`.
    """
    with worker_transaction(engine, worker, Beat()) as db:
        if not _holds_slot(db, worker, claim):
            return  # it was done; the answer was lost on the way
        _deliver_batch(db, claim, batch)
        _let_go(db, claim)


def take_over(engine: Engine, worker: int, seen: float | None, retries: Retries) -> int:
    """Take the trials of a worker that is dead, unless it has beaten since it was last `seen`; how many it had.

    None: whenever it was seen, by its own word.

    A trial that killed its worker too often is marked as failed, and counts in the budget.
    """
    alive = [WorkerRow.worker_id == worker, WorkerRow.lost.is_(False)]
    if seen is not None:
        alive.append(WorkerRow.seen < seen + 1e-3)  # no database returns a float wrong by more
    with writing_transaction(engine) as db:
        lost = update(WorkerRow).where(*alive)
        if not db.execute(lost.values(lost=True)).rowcount:
            return 0
        slots = _held_slots(db, worker)
        for slot in slots:
            if slot.step > slot.died_at:
                here = 1
            else:
                here = slot.deaths_here + 1
            counts = {"deaths": slot.deaths + 1, "deaths_here": here, "died_at": slot.step}
            db.execute(_slot_condition(slot.study_id, slot.slot).values(**counts))
            if here >= retries.here or slot.deaths + 1 >= retries.ever:
                _give_up(db, slot, here)
            else:
                _let_go(db, slot)
        return len(slots)


def lock_study(db: Connection, study_id: int) -> str | None:
    """Return a study's state, which stays as it is until the transaction ends; None if it is no study of sweeps.

    So claims, returns and halts come one after the other; Optuna, too, locks this row while it numbers a trial.
    """
    db.execute(select(STUDIES.c.study_id).where(STUDIES.c.study_id == study_id).with_for_update())
    return db.scalar(select(StudyRow.state).where(StudyRow.study_id == study_id))


def give_up_waiting(db: Connection, study_id: int) -> None:
    """End the trials of a study that wait for a worker: it was stopped."""
    waiting = select(*table_of(SlotRow).c).where(
        SlotRow.study_id == study_id,
        SlotRow.worker_id.is_(None),
        SlotRow.done.is_(False),
        SlotRow.trial_id.is_not(None),
    )
    for slot in db.execute(waiting).all():
        _free_slot(db, slot)


def _create_trial(db: Connection, worker: int, study_id: int, slot: int) -> Claim:
    """Return a trial for a slot: the first that somebody enqueued by Optuna's own means, else a new one."""
    started = {"state": TrialState.RUNNING, "datetime_start": _utc_now()}
    enqueued = _find_enqueued(db, study_id)
    if enqueued is not None:
        trial_id, number = enqueued
        db.execute(update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(**started))
    else:
        number = db.scalar(select(func.count()).select_from(TRIALS).where(TRIALS.c.study_id == study_id)) or 0
        made = db.execute(insert(TRIALS).values(study_id=study_id, number=number, **started))
        key = made.inserted_primary_key
        assert key is not None
        trial_id = key[0]
    trial = {"trial_id": trial_id, "number": number, "worker_id": worker}
    counts = {"done": False, "step": -1, "deaths": 0, "deaths_here": 0, "died_at": -1}
    put_rows(db, table_of(SlotRow), [{"study_id": study_id, "slot": slot, **trial, **counts}], ("study_id", "slot"))
    return Claim(study_id, slot, trial_id, number, fresh=True, step=-1)


def _find_enqueued(db: Connection, study_id: int) -> tuple[int, int] | None:
    """Return id and number of the first trial that waits and has no slot.

    `optuna.Study.enqueue_trial` makes such trials.
    """
    slots = select(SlotRow.trial_id).where(SlotRow.study_id == study_id, SlotRow.trial_id.is_not(None))
    waiting = select(TRIALS.c.trial_id, TRIALS.c.number).where(
        TRIALS.c.study_id == study_id,
        TRIALS.c.state == TrialState.WAITING,
        TRIALS.c.trial_id.not_in(slots),
    )
    row = db.execute(waiting.order_by(TRIALS.c.number).limit(1)).one_or_none()
    if row is None:
        return None
    return row.trial_id, row.number


def _held_slots(db: Connection, worker: int) -> list[Row[Any]]:
    """Return the rows of the slots that a worker has claimed and not ended."""
    held = select(*table_of(SlotRow).c).where(SlotRow.worker_id == worker, SlotRow.done.is_(False))
    return list(db.execute(held))


def _holds_slot(db: Connection, worker: int, claim: Claim) -> bool:
    """Return whether a slot is the worker's, done or not, with the trial that it claimed."""
    held = (SlotRow.study_id == claim.study_id, SlotRow.slot == claim.slot, SlotRow.trial_id == claim.trial_id)
    return db.scalar(select(SlotRow.worker_id).where(*held)) == worker


def _slot_condition(study_id: int, slot: int) -> Update:
    return update(SlotRow).where(SlotRow.study_id == study_id, SlotRow.slot == slot)


def _deliver_batch(db: Connection, claim: Claim, batch: Batch) -> None:
    write_batch(db, claim.study_id, claim.trial_id, claim.number, batch)
    if batch.readings:
        step = max(batch.readings)
        db.execute(_slot_condition(claim.study_id, claim.slot).where(SlotRow.step < step).values(step=step))


def _let_go(db: Connection, held: Claim | Row[Any]) -> None:
    # Else a trial could begin to wait just after `queue.set_state` gave up those that wait.
    if lock_study(db, held.study_id) == StudyState.STOPPED:
        _free_slot(db, held)
        return
    db.execute(_slot_condition(held.study_id, held.slot).values(worker_id=None))
    db.execute(update(TRIALS).where(TRIALS.c.trial_id == held.trial_id).values(state=TrialState.WAITING))


def _free_slot(db: Connection, held: Claim | Row[Any]) -> None:
    """End a trial whose study was stopped; its slot is free for another, should the study be resumed."""
    values = {FATE: INTERRUPTED, REASON: "its study was stopped"}
    write_batch(db, held.study_id, held.trial_id, held.number, Batch(user_attrs=values))
    _end_trial(db, held.trial_id, TrialState.FAIL)
    db.execute(_slot_condition(held.study_id, held.slot).values(worker_id=None, trial_id=None, number=None))


def _give_up(db: Connection, slot: Row[Any], here: int) -> None:
    """Fail a trial that killed its workers: `here` of them since it last made progress."""
    ever = slot.deaths + 1
    if slot.step >= 0:
        where = f"at or after step {slot.step}"
    else:
        where = "before its first reading"
    if here == ever:
        often = f"{here} times {where}"
    else:
        often = f"{here} times {where}, {ever} times in all"
    reason = (
        f"its worker ended without a word {often}: killed, or out of memory; "
        f"a smaller batch_size, image or net needs less"
    )
    write_batch(db, slot.study_id, slot.trial_id, slot.number, Batch(user_attrs={FATE: FAILED, REASON: reason}))
    notes.put_note(db, slot.study_id, slot.trial_id, f"## Failed\n\n{reason[0].upper()}{reason[1:]}.")
    _end_trial(db, slot.trial_id, TrialState.FAIL)
    db.execute(_slot_condition(slot.study_id, slot.slot).values(done=True))


def _end_trial(db: Connection, trial_id: int, state: TrialState) -> None:
    db.execute(update(TRIALS).where(TRIALS.c.trial_id == trial_id).values(state=state, datetime_complete=_utc_now()))


def _utc_now() -> datetime:
    """Return the time as Optuna keeps it: UTC, without a time zone."""
    return datetime.now(UTC).replace(tzinfo=None)
