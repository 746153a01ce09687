"""Our own SQL tables beside Optuna's: studies on offer, workers, the slots of a study's budget, readings of trials.

A slot is one finished trial that a study asks for: a budget of N trials is N slots. `migrations/` makes and changes
these tables.
"""

from enum import StrEnum
from typing import Any

from sqlalchemy import Double, Index, Integer, LargeBinary, String
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.functions import FunctionElement

NAME_LENGTH = 255
# A reading with every channel's vital signs may be larger than MySQL's BLOB of 64 KiB.
Blob = LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


class StudyState(StrEnum):
    """What people want of a study."""

    ACTIVE = "active"
    PAUSED = "paused"  # its trials wait, with what they have done, until it is resumed
    STOPPED = "stopped"  # its unfinished trials are given up


class Base(DeclarativeBase):
    """Our tables' metadata, apart from Optuna's."""


class StudyRow(Base):
    """A study that workers may serve: `state` is a `StudyState`; the highest priority is served first."""

    __tablename__ = "sweeps_studies"
    study_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    priority: Mapped[int] = mapped_column(Integer)


class WorkerRow(Base):
    """A worker process; times are seconds since 1970 by the database's clock.

    Attributes:
        host, machine, pid, born: see `processes.Process`.
        job: what started it, such as `slurm 12_3`, for people and for whoever asks the cluster; may be empty.
        lost: it was silent for too long; its trial was taken, and nothing that it sends is accepted any more.
        study_id, trial_number, step, rate: what it trains, and its steps per second.
    """

    __tablename__ = "sweeps_workers"
    worker_id: Mapped[int] = mapped_column(Integer, primary_key=True)
    host: Mapped[str] = mapped_column(String(NAME_LENGTH))
    machine: Mapped[str] = mapped_column(String(NAME_LENGTH))
    pid: Mapped[int] = mapped_column(Integer)
    born: Mapped[float] = mapped_column(Double)
    gpu: Mapped[str] = mapped_column(String(NAME_LENGTH))
    version: Mapped[str] = mapped_column(String(NAME_LENGTH))
    started: Mapped[float] = mapped_column(Double)
    seen: Mapped[float] = mapped_column(Double, index=True)
    lost: Mapped[bool]
    study_id: Mapped[int | None] = mapped_column(Integer)
    trial_number: Mapped[int | None] = mapped_column(Integer)
    step: Mapped[int | None] = mapped_column(Integer)
    rate: Mapped[float | None] = mapped_column(Double)
    job: Mapped[str] = mapped_column(String(NAME_LENGTH), server_default="")


class SlotRow(Base):
    """A slot that was claimed at least once.

    Attributes:
        trial_id, number: Optuna's, of the trial that fills it; empty after a study was stopped.
        worker_id: who holds it; empty while it waits for one. Of a slot that is done, who finished it.
        step: of the last reading that was delivered.
        deaths, deaths_here: workers that ended without a word on it, in all and since it last got any further.
        died_at: the step after which the last of them ended.
    """

    __tablename__ = "sweeps_slots"
    __table_args__ = (Index("ix_sweeps_slots_open", "study_id", "done"),)
    study_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    slot: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    trial_id: Mapped[int | None] = mapped_column(Integer)
    number: Mapped[int | None] = mapped_column(Integer)
    worker_id: Mapped[int | None] = mapped_column(Integer, index=True)
    done: Mapped[bool]
    step: Mapped[int] = mapped_column(Integer)
    deaths: Mapped[int] = mapped_column(Integer)
    deaths_here: Mapped[int] = mapped_column(Integer)
    died_at: Mapped[int] = mapped_column(Integer)


class ReadingRow(Base):
    """A reading as compressed JSON, not-a-number included as Python's decoder reads it."""

    __tablename__ = "sweeps_readings"
    study_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    step: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    reading: Mapped[bytes] = mapped_column(Blob)


class now(FunctionElement[float]):  # noqa: N801  (a function of SQL)
    """Seconds since 1970 by the database's clock, whatever the time zone of a session."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _sqlite(element: Any, compiler: Any, **kw: Any) -> str:  # noqa: ARG001
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _postgresql(element: Any, compiler: Any, **kw: Any) -> str:  # noqa: ARG001
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(now, "mysql", "mariadb")
def _mysql(element: Any, compiler: Any, **kw: Any) -> str:  # noqa: ARG001
    return "unix_timestamp(sysdate(6))"
