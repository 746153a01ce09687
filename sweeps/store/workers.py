"""The workers of a store, as people see them."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, select

from sweeps.optuna_private import models
from sweeps.store.batches import table_of
from sweeps.store.reaper import GRACE_S
from sweeps.store.tables import WorkerRow, now

STUDIES = table_of(models.StudyModel)
SHOWN_S = 3600.0  # a lost worker


class Condition(StrEnum):
    """What a worker does, as far as it has said."""

    TRAINING = "training"
    IDLE = "idle"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker; `silent_s` and `age_s` are seconds since its last beat and since its start."""

    host: str
    pid: int
    gpu: str
    version: str
    job: str
    condition: Condition
    study: str | None
    trial: int | None
    step: int | None
    steps_per_s: float | None
    silent_s: float
    age_s: float


def workers_seen(engine: Engine) -> list[WorkerSeen]:
    """Return all workers, in the order in which they came; those long lost are left out."""
    silent = (now() - WorkerRow.seen).label("silent")
    age = (now() - WorkerRow.started).label("age")
    query = (
        select(*table_of(WorkerRow).c, silent, age, STUDIES.c.study_name)
        .join(STUDIES, STUDIES.c.study_id == WorkerRow.study_id, isouter=True)
        .order_by(WorkerRow.worker_id)
    )
    with engine.connect() as db:
        return [_worker_of_row(row) for row in db.execute(query) if not row.lost or row.silent < SHOWN_S]


def _worker_of_row(row: Any) -> WorkerSeen:
    condition = Condition.TRAINING
    if row.lost or row.silent > GRACE_S:
        condition = Condition.LOST
    elif row.study_name is None:
        condition = Condition.IDLE
    return WorkerSeen(
        host=row.host,
        pid=row.pid,
        gpu=row.gpu,
        version=row.version,
        job=row.job,
        condition=condition,
        study=row.study_name,
        trial=row.trial_number,
        step=row.step,
        steps_per_s=row.rate if isinstance(row.rate, float | int) else None,
        silent_s=round(float(row.silent), 1),
        age_s=round(float(row.age), 1),
    )
