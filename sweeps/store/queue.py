"""Studies on offer: which are served, in which order, and which people have halted."""

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, case, delete, func, select, update

from sweeps.errors import StoreError
from sweeps.optuna_private import models
from sweeps.store.attributes import SPACE_TEXT
from sweeps.store.batches import put_rows, table_of, writing_transaction
from sweeps.store.leases import give_up_waiting, lock_study
from sweeps.store.tables import ReadingRow, SlotRow, StudyRow, StudyState

STUDIES = table_of(models.StudyModel)


@dataclass(frozen=True, slots=True)
class QueuedStudy:
    """A study as a worker or a report sees it; `done` and `held` are numbers of slots."""

    study_id: int
    name: str
    state: StudyState
    priority: int
    done: int
    held: int


def enqueue(engine: Engine, study_id: int, priority: int) -> None:
    """Put a new study on offer; one that carries its search space is there already, and may have claimed trials."""
    with writing_transaction(engine) as db:
        if _carries_space(db, study_id):
            return
        for ours in (SlotRow, ReadingRow):  # of a deleted study: SQLite gives its number to the next
            db.execute(delete(ours).where(ours.study_id == study_id))
        _offer(db, study_id, priority)


def enqueue_if_missing(engine: Engine, study_id: int, priority: int) -> None:
    """Put a study on offer that an earlier version left without, where it was ended while it made the study."""
    with writing_transaction(engine) as db:
        if db.scalar(select(StudyRow.state).where(StudyRow.study_id == study_id)) is None:
            _offer(db, study_id, priority)


def _offer(db: Connection, study_id: int, priority: int) -> None:
    row = {"study_id": study_id, "state": StudyState.ACTIVE, "priority": priority}
    put_rows(db, table_of(StudyRow), [row], ("study_id",))


def _carries_space(db: Connection, study_id: int) -> bool:
    attributes = table_of(models.StudyUserAttributeModel)
    query = select(attributes.c.key).where(attributes.c.study_id == study_id, attributes.c.key == SPACE_TEXT)
    return db.scalar(query) is not None


def prioritize(engine: Engine, study_id: int, priority: int) -> None:
    """Serve a study before those of lower priority."""
    with writing_transaction(engine) as db:
        db.execute(update(StudyRow).where(StudyRow.study_id == study_id).values(priority=priority))


def active_studies(engine: Engine) -> list[str]:
    """Return the names of the active studies: the highest priority first, of equals the oldest."""
    query = select(STUDIES.c.study_name).join(StudyRow, StudyRow.study_id == STUDIES.c.study_id)
    order = (StudyRow.priority.desc(), StudyRow.study_id)
    with engine.connect() as db:
        return list(db.scalars(query.where(StudyRow.state == StudyState.ACTIVE).order_by(*order)))


def queued_studies(engine: Engine) -> list[QueuedStudy]:
    """Return all studies of sweeps, in the order of `active`."""
    done = func.coalesce(func.sum(case((SlotRow.done, 1), else_=0)), 0)
    held = func.coalesce(func.sum(case((SlotRow.done, 0), (SlotRow.worker_id.is_not(None), 1), else_=0)), 0)
    row = (StudyRow.study_id, STUDIES.c.study_name, StudyRow.state, StudyRow.priority)
    query = (
        select(*row, done, held)
        .join(STUDIES, StudyRow.study_id == STUDIES.c.study_id)
        .join(SlotRow, SlotRow.study_id == StudyRow.study_id, isouter=True)
        .group_by(*row)
        .order_by(StudyRow.priority.desc(), StudyRow.study_id)
    )
    with engine.connect() as db:
        return [
            QueuedStudy(study_id, name, _parse_state(state), priority, int(ended), int(taken))
            for study_id, name, state, priority, ended, taken in db.execute(query)
        ]


def state_of_study(engine: Engine, study_id: int) -> StudyState:
    """Return what people want of a study.

    Raises:
        StoreError: it is no study of sweeps.
    """
    with engine.connect() as db:
        return _parse_state(db.scalar(select(StudyRow.state).where(StudyRow.study_id == study_id)))


def set_state(engine: Engine, study_id: int, wanted: StudyState) -> StudyState:
    """Pause, stop or resume a study; workers that train for it learn of it with their next beat.

    Returns:
        What it was before.

    Raises:
        StoreError: it is no study of sweeps.
    """
    with writing_transaction(engine) as db:
        before = _parse_state(lock_study(db, study_id))
        db.execute(update(StudyRow).where(StudyRow.study_id == study_id).values(state=wanted))
        if wanted == StudyState.STOPPED:
            give_up_waiting(db, study_id)
    return before


def _parse_state(state: str | None) -> StudyState:
    """Return what people want of a study; one that is none, which no worker serves, is as good as paused."""
    if state is None:
        raise StoreError("the study was not made by `sweeps create`: no worker serves it")
    if state not in set(StudyState):
        return StudyState.PAUSED
    return StudyState(state)
