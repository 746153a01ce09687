"""Optuna's trials of one study, as far as they can be read: one statement a table; a finished trial is read once.

Optuna's own reading goes through its object mapper: a second per thousand trials, in each new worker. And a single row
that somebody edited, or that another version wrote, makes it fail for the whole study. Here each value is decoded by
itself: what cannot be is left out of its trial, and noted there.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Connection, Engine, select, type_coerce
from sqlalchemy.types import NullType

from sweeps.optuna_private import models, rdb_storage_of, study_id_of, trial_id_of
from sweeps.store.batches import table_of
from sweeps.store.readable import NO_VALUE, UNREADABLE, keep_readable

TRIALS = table_of(models.TrialModel)
VALUE_KINDS: Any = models.TrialValueModel.TrialValueType
EARLIEST = 1970  # year; before it, times have no time zone everywhere
REPORT_KINDS: Any = models.TrialIntermediateValueModel.TrialIntermediateValueType
distribution = lru_cache(maxsize=4096)(json_to_distribution)
MOST_NAMED = 500  # trials that a statement names one by one: every database has a limit


class Trials:
    """A study's trials as they were when they were last read."""

    def __init__(self, study_id: int) -> None:
        self._study_id = study_id
        self._known: dict[int, FrozenTrial] = {}  # by trial_id

    def read_trials(self, engine: Engine) -> list[FrozenTrial]:
        """Return all trials, in the order of their numbers; finished ones are the same objects each time.

        In the place of one that cannot be read at all there is a failed trial that knows nothing.
        """
        with engine.connect() as db:
            for where in self._changed_rows():
                for trial in _read_trials(db, where):
                    self._known[trial_id_of(trial)] = trial
        return _fill_gaps(sorted(self._known.values(), key=lambda trial: trial.number))

    def _changed_rows(self) -> Iterator[ColumnElement[bool]]:
        """Yield which rows to read: those that are new, and those that were not finished."""
        still = sorted(trial_id for trial_id, trial in self._known.items() if not trial.state.is_finished())
        ours = TRIALS.c.study_id == self._study_id
        new = TRIALS.c.trial_id > max(self._known, default=-1)
        yield ours & (new | TRIALS.c.trial_id.in_(still[:MOST_NAMED]))
        for start in range(MOST_NAMED, len(still), MOST_NAMED):
            yield ours & TRIALS.c.trial_id.in_(still[start : start + MOST_NAMED])


def read_trials(study: optuna.Study) -> list[FrozenTrial]:
    """Return the trials of a study, in the order of their numbers, with what can be read of them."""
    storage = rdb_storage_of(study)
    if storage is None:  # a worker's storage, which reads them in this way, or one in memory
        return [keep_readable(trial) for trial in study.get_trials(deepcopy=False)]
    return Trials(study_id_of(study)).read_trials(storage.engine)


def _fill_gaps(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials so that each stands at the place of its number."""
    if len(trials) == 0 or trials[-1].number == len(trials) - 1:
        return list(trials)
    by_number = {trial.number: trial for trial in trials}
    return [by_number.get(number) or _make_placeholder(number) for number in range(trials[-1].number + 1)]


def _make_placeholder(number: int) -> FrozenTrial:
    return _make_trial(-1 - number, number, TrialState.FAIL, {"row": "cannot be read, or was deleted"})


def _make_trial(trial_id: int, number: int, state: TrialState, problems: dict[str, str], **known: Any) -> FrozenTrial:
    trial = FrozenTrial(
        number=number,
        trial_id=trial_id,
        state=state,
        value=None,
        **{
            "values": None,
            "datetime_start": None,
            "datetime_complete": None,
            "params": {},
            "distributions": {},
            "user_attrs": {},
            "system_attrs": {},
            "intermediate_values": {},
            **known,
        },
    )
    if problems:
        trial.system_attrs = trial.system_attrs | {UNREADABLE: problems}
    return keep_readable(trial)


@dataclass(slots=True)
class _Decoder:
    """Decodes what the tables have of some trials; `problems` say by trial_id and name what could not be."""

    problems: dict[int, dict[str, str]] = field(default_factory=dict)

    def decode(self, trial_id: int, what: str, decode: Callable[..., Any], *stored: Any) -> Any:
        """Return a value; None where it cannot be decoded, which is noted."""
        try:
            return decode(*stored)
        except NO_VALUE:
            self.problems.setdefault(trial_id, {})[what] = "cannot be read"
            return None

    def decode_rows(
        self, rows: Iterable[Sequence[Any]], kind: str, decode: Callable[..., Any]
    ) -> dict[int, dict[Any, Any]]:
        """Return what the rows (trial_id, name, stored values) have, without what cannot be decoded."""
        found: dict[int, dict[Any, Any]] = {}
        for row in rows:
            trial_id = row[0]
            name = row[1]
            stored = row[2:]
            value = self.decode(trial_id, f"{kind} {name}", lambda *stored: (decode(*stored),), *stored)
            if value is not None:
                found.setdefault(trial_id, {})[name] = value[0]
        return found


def _read_trials(db: Connection, where: ColumnElement[bool]) -> Iterator[FrozenTrial]:
    names = ("trial_id", "number", "state", "datetime_start", "datetime_complete")
    columns = [type_coerce(TRIALS.c[name], NullType()) for name in names]
    rows: Sequence[Any] = db.execute(select(*columns).where(where).order_by(TRIALS.c.trial_id)).all()
    if not rows:
        return
    decoder = _Decoder()
    read = _TableReader(db, where)
    params = decoder.decode_rows(
        read(models.TrialParamModel, "param_name", "param_value", "distribution_json"), "parameter", _decode_param
    )
    values = decoder.decode_rows(
        read(models.TrialValueModel, "objective", "value", "value_type"), "value", _decode_value
    )
    reports = decoder.decode_rows(
        read(models.TrialIntermediateValueModel, "step", "intermediate_value", "intermediate_value_type"),
        "value at step",
        _decode_report,
    )
    user, system = (
        decoder.decode_rows(read(model, "key", "value_json"), "attribute", json.loads)
        for model in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel)
    )
    for trial_id, number, state, start, complete in rows:
        if not isinstance(number, int) or number < 0:
            continue  # `_fill_gaps` stands in for it
        known_state = decoder.decode(trial_id, "state", TrialState.__getitem__, state)
        started = decoder.decode(trial_id, "start", _local_time, start)
        ended = decoder.decode(trial_id, "end", _local_time, complete)
        drawn = params.get(trial_id, {})
        objectives = values.get(trial_id, {})
        yield _make_trial(
            trial_id,
            number,
            TrialState.FAIL if known_state is None else known_state,
            decoder.problems.get(trial_id, {}),
            values=[objectives[0]] if 0 in objectives else None,
            datetime_start=started,
            datetime_complete=ended,
            params={name: value for name, (value, _) in drawn.items()},
            distributions={name: kind for name, (_, kind) in drawn.items()},
            user_attrs=user.get(trial_id, {}),
            system_attrs=system.get(trial_id, {}),
            intermediate_values=reports.get(trial_id, {}),
        )


@dataclass(frozen=True, slots=True)
class _TableReader:
    """Reads tables of some trials as the database has them: SQLAlchemy's types would raise for a whole table."""

    db: Connection
    where: ColumnElement[bool]

    def __call__(self, model: Any, *names: str) -> Sequence[Any]:
        """Return trial_id and these columns, in the order of the table's keys."""
        of = table_of(model)
        joined = of.join(TRIALS, TRIALS.c.trial_id == of.c.trial_id)
        columns = [type_coerce(of.c[name], NullType()) for name in names]
        query = select(of.c.trial_id, *columns).select_from(joined).where(self.where)
        return self.db.execute(query.order_by(*of.primary_key)).all()  # row by row takes half as long again


def _decode_param(stored: float, kind: str) -> tuple[Any, BaseDistribution]:
    known = distribution(kind)
    return known.to_external_repr(stored), known


def _decode_value(stored: float | None, kind: str) -> float:
    return float(models.TrialValueModel.stored_repr_to_value(stored, VALUE_KINDS[kind]))


def _decode_report(stored: float | None, kind: str) -> float:
    return float(models.TrialIntermediateValueModel.stored_repr_to_intermediate_value(stored, REPORT_KINDS[kind]))


def _local_time(stored: datetime | str | None) -> datetime | None:
    """Optuna keeps UTC, and shows local time; neither says so. SQLite keeps a text."""
    if isinstance(stored, str):
        stored = datetime.fromisoformat(stored)
    if stored is not None and stored.year < EARLIEST:
        raise ValueError(f"{stored} is no time of a trial")
    return stored and stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
