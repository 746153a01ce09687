"""What a trial has to say, gathered and then written into Optuna's tables and ours with one statement a table.

Optuna's storage writes each value with three to five statements and a commit; its tables and their representations are
used here as its own models declare them.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Self

from sqlalchemy import Connection, Engine, Table, TextClause, bindparam, text

from sweeps.optuna_private import models
from sweeps.readings import Reading
from sweeps.store.tables import ReadingRow

MYSQL = ("mysql", "mariadb")
ROWS = 500  # of one statement: every database has a limit for its parameters


@dataclass(slots=True)
class Batch:
    """Of one trial; what is said again replaces what was said before.

    Attributes:
        params: name -> (value in Optuna's internal representation, distribution as JSON).
        user_attrs, system_attrs: of the trial.
        study_attrs: system attributes of its study.
        reports: step (or epoch) -> what was reported to Optuna.
        readings: step -> reading.
    """

    params: dict[str, tuple[float, str]] = field(default_factory=dict)
    user_attrs: dict[str, Any] = field(default_factory=dict)
    system_attrs: dict[str, Any] = field(default_factory=dict)
    study_attrs: dict[str, Any] = field(default_factory=dict)
    reports: dict[int, float] = field(default_factory=dict)
    readings: dict[int, Reading] = field(default_factory=dict)

    def followed_by(self, later: Self) -> Self:
        """Return both as one."""
        return type(self)(*(getattr(self, field.name) | getattr(later, field.name) for field in fields(self)))


@contextmanager
def writing_transaction(engine: Engine) -> Iterator[Connection]:
    """Open a transaction that is going to write; it is undone if anything is raised."""
    with engine.connect() as db:
        if db.dialect.name == "sqlite":
            # From the start: SQLite does not wait for its lock where a reader becomes a writer.
            db.exec_driver_sql("BEGIN IMMEDIATE")
        yield db
        db.commit()


def write_batch(db: Connection, study_id: int, trial_id: int, number: int, batch: Batch) -> None:
    """Write all that a batch holds, in the transaction of `db`; writing it twice changes nothing."""
    params = [
        {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": distribution}
        for name, (value, distribution) in batch.params.items()
    ]
    reports = [
        {"trial_id": trial_id, "step": step, "intermediate_value": stored, "intermediate_value_type": kind}
        for step, (stored, kind) in ((step, _report_value(value)) for step, value in batch.reports.items())
    ]
    readings = [
        {"study_id": study_id, "number": number, "step": step, "reading": pack_reading(reading)}
        for step, reading in batch.readings.items()
    ]
    trial = {"trial_id": trial_id}
    study = {"study_id": study_id}
    put_rows(db, table_of(models.TrialParamModel), params, ("trial_id", "param_name"))
    put_rows(
        db, table_of(models.TrialUserAttributeModel), _attribute_rows(trial, batch.user_attrs), ("trial_id", "key")
    )
    put_rows(
        db, table_of(models.TrialSystemAttributeModel), _attribute_rows(trial, batch.system_attrs), ("trial_id", "key")
    )
    put_rows(
        db, table_of(models.StudySystemAttributeModel), _attribute_rows(study, batch.study_attrs), ("study_id", "key")
    )
    put_rows(db, table_of(models.TrialIntermediateValueModel), reports, ("trial_id", "step"))
    put_rows(db, table_of(ReadingRow), readings, ("study_id", "number", "step"))


def write_value(db: Connection, trial_id: int, value: float) -> None:
    """Write the value of a trial's objective."""
    stored, kind = models.TrialValueModel.value_to_stored_repr(value)
    row = {"trial_id": trial_id, "objective": 0, "value": stored, "value_type": kind}
    put_rows(db, table_of(models.TrialValueModel), [row], ("trial_id", "objective"))


def put_rows(db: Connection, into: Table, rows: Sequence[Mapping[str, Any]], keys: tuple[str, ...]) -> None:
    """Insert rows, or replace those that are there with the same keys."""
    for start in range(0, len(rows), ROWS):
        some = rows[start : start + ROWS]
        statement = _upsert_statement(db.dialect.name, into, tuple(some[0]), keys, len(some))
        db.execute(statement, {f"{name}_{index}": row[name] for index, row in enumerate(some) for name in row})


@lru_cache(maxsize=512)
def _upsert_statement(kind: str, into: Table, names: tuple[str, ...], keys: tuple[str, ...], count: int) -> TextClause:
    """Return the statement for so many rows, as text: SQLAlchemy composes one of several rows anew each time."""
    quoted = {name: _quoted_column(name, kind) for name in names}
    rows = ", ".join(f"({', '.join(f':{name}_{index}' for name in names)})" for index in range(count))
    start = f"INSERT INTO {into.name} ({', '.join(quoted.values())}) VALUES {rows}"
    others = [quoted[name] for name in names if name not in keys]
    if kind in MYSQL:
        end = f"ON DUPLICATE KEY UPDATE {', '.join(f'{name} = VALUES({name})' for name in others)}"
    else:
        where = ", ".join(quoted[key] for key in keys)
        end = f"ON CONFLICT ({where}) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}"
    values = [bindparam(f"{name}_{index}", type_=into.c[name].type) for index in range(count) for name in names]
    return text(f"{start} {end}").bindparams(*values)


def _quoted_column(name: str, kind: str) -> str:
    """Return a column's name as any version of the database takes it: `key` and `value` mean something to some."""
    if kind in MYSQL:
        return f"`{name}`"
    return f'"{name}"'


def table_of(model: Any) -> Table:
    """Return a declared model's table."""
    found: Table = model.__table__
    return found


def pack_reading(reading: Reading) -> bytes:
    """Return a reading in the form that `ReadingRow` keeps."""
    return zlib.compress(reading.to_json().encode())


def unpack_reading(packed: bytes) -> Reading:
    """Return the inverse of `pack_reading`."""
    return Reading.from_json(zlib.decompress(packed))


def _attribute_rows(owner: Mapping[str, int], values: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{**owner, "key": name, "value_json": json.dumps(value)} for name, value in values.items()]


def _report_value(value: float) -> tuple[float | None, Any]:
    return models.TrialIntermediateValueModel.intermediate_value_to_stored_repr(value)
