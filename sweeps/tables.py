"""Our own SQL tables beside Optuna's: the slots of a study's budget and the readings of its trials.

A slot is one finished trial that a study asks for. It is claimed by inserting its row, which one worker alone can do on
any store; so a budget of N trials is N rows, and an interrupted trial gives its slot back.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, Integer, String, Text, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from sweeps.signals import Reading

SCHEMA_VERSION = 1


class Base(DeclarativeBase):
    """Our tables' metadata, apart from Optuna's."""


class SchemaRow(Base):
    """One row: the version of our tables."""

    __tablename__ = "sweeps_schema"
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)


class SlotRow(Base):
    """A claimed slot; `trial_number` is empty between the claim and Optuna's answer."""

    __tablename__ = "sweeps_slots"
    study_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    trial_number: Mapped[int | None] = mapped_column(Integer)
    host: Mapped[str] = mapped_column(String(255))
    pid: Mapped[int] = mapped_column(Integer)
    done: Mapped[bool] = mapped_column(default=False)


class ReadingRow(Base):
    """A reading as JSON, not-a-number included as Python's decoder reads it."""

    __tablename__ = "sweeps_readings"
    study_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    trial_number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reading: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as a worker or a report sees it."""

    slot: int
    trial_number: int | None
    host: str
    pid: int
    done: bool


@contextmanager
def _transaction(engine: Engine) -> Iterator[Session]:
    with Session(engine) as session, session.begin():
        yield session


def create(engine: Engine) -> int:
    """Make the tables that are missing.

    Returns:
        The version of the tables that are there now; above SCHEMA_VERSION if a newer `sweeps` made them.
    """
    Base.metadata.create_all(engine)
    with _transaction(engine) as session:
        version = session.scalar(select(SchemaRow.version))
        if version is None:
            session.add(SchemaRow(version=SCHEMA_VERSION))
        return version or SCHEMA_VERSION


def claim(engine: Engine, study_id: int, trials: int, host: str, pid: int) -> int | None:
    """Claim the first free slot below `trials`; None if none is free. No two workers get the same one."""
    while True:
        with Session(engine) as session:
            taken = set(session.scalars(select(SlotRow.slot).where(SlotRow.study_id == study_id)))
        free = next((slot for slot in range(trials) if slot not in taken), None)
        if free is None:
            return None
        try:
            with _transaction(engine) as session:
                session.add(SlotRow(study_id=study_id, slot=free, trial_number=None, host=host, pid=pid, done=False))
        except IntegrityError:
            continue  # another worker was faster: look again
        return free


def assign(engine: Engine, study_id: int, slot: int, trial_number: int) -> None:
    """Note which trial fills a claimed slot."""
    with _transaction(engine) as session:
        session.execute(_row(update(SlotRow), study_id, slot).values(trial_number=trial_number))


def finish(engine: Engine, study_id: int, slot: int) -> None:
    """The slot's trial is finished: it counts in the budget for good."""
    with _transaction(engine) as session:
        session.execute(_row(update(SlotRow), study_id, slot).values(done=True))


def release(engine: Engine, study_id: int, slot: int) -> None:
    """Give an unfinished slot back, for another trial with the same seed."""
    with _transaction(engine) as session:
        session.execute(_row(delete(SlotRow), study_id, slot).where(SlotRow.done.is_(False)))


def slots(engine: Engine, study_id: int) -> list[Slot]:
    """All claimed slots of a study, in order."""
    with Session(engine) as session:
        rows = session.scalars(select(SlotRow).where(SlotRow.study_id == study_id).order_by(SlotRow.slot))
        return [Slot(row.slot, row.trial_number, row.host, row.pid, row.done) for row in rows]


def write_readings(engine: Engine, study_id: int, trial_number: int, readings: Sequence[Reading]) -> None:
    """Keep a trial's readings, all in one transaction."""
    rows = [
        ReadingRow(
            study_id=study_id, trial_number=trial_number, step=reading.step, reading=json.dumps(reading.to_dict())
        )
        for reading in readings
    ]
    with _transaction(engine) as session:
        session.add_all(rows)


def readings(engine: Engine, study_id: int, trial_number: int) -> list[Reading]:
    """A finished trial's readings, in order of their steps."""
    query = (
        select(ReadingRow.reading)
        .where(ReadingRow.study_id == study_id, ReadingRow.trial_number == trial_number)
        .order_by(ReadingRow.step)
    )
    with Session(engine) as session:
        return [Reading.from_dict(json.loads(text)) for text in session.scalars(query)]


def _row(statement, study_id: int, slot: int):  # type: ignore[no-untyped-def]  # one WHERE for update and delete alike
    return statement.where(SlotRow.study_id == study_id, SlotRow.slot == slot)
