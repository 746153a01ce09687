"""Reading what trials left."""

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from sqlalchemy import Engine, select

from sweeps.errors import StoreError
from sweeps.readings import Reading
from sweeps.store.attributes import REASON
from sweeps.store.batches import unpack_reading
from sweeps.store.readable import NO_VALUE
from sweeps.store.studies import id_of
from sweeps.store.tables import ReadingRow
from sweeps.store.trials import read_trials

logger = logging.getLogger(__name__)
AT_ONCE = 16  # trials that are read together: a reading with every channel may take a megabyte


def readings(engine: Engine, study_id: int, number: int) -> list[Reading]:
    """Return a trial's readings, in the order of their steps."""
    return next((readings for _, readings in readings_of_each(engine, study_id, [number])), [])


def readings_of_each(engine: Engine, study_id: int, numbers: Sequence[int]) -> Iterator[tuple[int, list[Reading]]]:
    """Yield the readings of trials that left any, with the trial's number; a few trials are held at a time.

    The trials come in ascending order where `numbers` do.
    """
    rows = select(ReadingRow.number, ReadingRow.reading).where(ReadingRow.study_id == study_id)
    for start in range(0, len(numbers), AT_ONCE):
        some = rows.where(ReadingRow.number.in_(numbers[start : start + AT_ONCE]))
        with engine.connect() as db:
            found = db.execute(some.order_by(ReadingRow.number, ReadingRow.step)).all()
        for number, group in groupby(found, key=lambda row: int(row[0])):
            readable = list(_unpack_readings(number, [packed for _, packed in group]))
            if readable:
                yield number, readable


def _unpack_readings(number: int, rows: Sequence[Any]) -> Iterator[Reading]:
    """Yield the readings of a trial, without those that cannot be read, which are warned of."""
    unreadable = 0
    for packed in rows:
        try:
            yield unpack_reading(packed)
        except NO_VALUE:
            unreadable += 1
    if unreadable:
        logger.warning("trial %d: %d of its readings cannot be read and are left out", number, unreadable)


def finished_readings(storage: RDBStorage, study: Study, number: int) -> tuple[list[Reading], str]:
    """Return a finished trial's readings, and the reason for its fate.

    Raises:
        StoreError: no such trial, or it left no readings.
    """
    trials = read_trials(study)
    rows = readings(storage.engine, id_of(storage, study), number)
    if number >= len(trials) or not rows:
        raise StoreError(f"study {study.study_name!r} has no readings of a trial {number}; see sweeps status")
    return rows, str(trials[number].user_attrs.get(REASON, ""))
