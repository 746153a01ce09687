"""Optuna's trials of one study, as far as they can be read: one statement a table; a finished trial is read once.

Optuna's own reading goes through its object mapper: a second per thousand trials, in each new worker.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.trial import FrozenTrial
from sqlalchemy import ColumnElement, Connection, Engine, select

from sweeps.optuna_private import models, trial_id_of
from sweeps.store.batches import table_of
from sweeps.store.readable import keep_readable

TRIALS = table_of(models.TrialModel)
distribution = lru_cache(maxsize=4096)(json_to_distribution)
MOST_NAMED = 500  # trials that a statement names one by one: every database has a limit


class Trials:
    """A study's trials as they were when they were last read."""

    def __init__(self, study_id: int) -> None:
        self._study_id = study_id
        self._known: dict[int, FrozenTrial] = {}  # by trial_id

    def read_trials(self, engine: Engine) -> list[FrozenTrial]:
        """Return all trials, in the order of their numbers; finished ones are the same objects each time."""
        with engine.connect() as db:
            for where in self._changed_rows():
                for trial in _read_trials(db, where):
                    self._known[trial_id_of(trial)] = trial
        return sorted(self._known.values(), key=lambda trial: trial.number)

    def _changed_rows(self) -> Iterator[ColumnElement[bool]]:
        """Yield which rows to read: those that are new, and those that were not finished."""
        still = sorted(trial_id for trial_id, trial in self._known.items() if not trial.state.is_finished())
        ours = TRIALS.c.study_id == self._study_id
        new = TRIALS.c.trial_id > max(self._known, default=-1)
        yield ours & (new | TRIALS.c.trial_id.in_(still[:MOST_NAMED]))
        for start in range(MOST_NAMED, len(still), MOST_NAMED):
            yield ours & TRIALS.c.trial_id.in_(still[start : start + MOST_NAMED])


def _read_trials(db: Connection, where: ColumnElement[bool]) -> Iterator[FrozenTrial]:
    columns = (TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state, TRIALS.c.datetime_start, TRIALS.c.datetime_complete)
    rows = db.execute(select(*columns).where(where).order_by(TRIALS.c.trial_id)).all()
    if not rows:
        return
    params = _read_params(db, where)
    values = _by_trial(db, where, models.TrialValueModel, ("objective", "value", "value_type"), _decode_value)
    reports = _by_trial(
        db,
        where,
        models.TrialIntermediateValueModel,
        ("step", "intermediate_value", "intermediate_value_type"),
        models.TrialIntermediateValueModel.stored_repr_to_intermediate_value,
    )
    user, system = (
        _by_trial(db, where, model, ("key", "value_json"), json.loads)
        for model in (models.TrialUserAttributeModel, models.TrialSystemAttributeModel)
    )
    for trial_id, number, state, start, complete in rows:
        named = params.get(trial_id, [])
        trial = FrozenTrial(
            number=number,
            trial_id=trial_id,
            state=state,
            value=None,
            values=[values[trial_id][0]] if trial_id in values else None,
            datetime_start=_local_time(start),
            datetime_complete=_local_time(complete),
            params={name: kind.to_external_repr(value) for name, value, kind in named},
            distributions={name: kind for name, _, kind in named},
            user_attrs=user.get(trial_id, {}),
            system_attrs=system.get(trial_id, {}),
            intermediate_values=reports.get(trial_id, {}),
        )
        yield keep_readable(trial)


def _read_params(
    db: Connection, where: ColumnElement[bool]
) -> Mapping[int, Sequence[tuple[str, float, BaseDistribution]]]:
    """Return the parameters of each trial by its id: (name, value in Optuna's internal representation, distribution),
    in their order.
    """
    values: dict[int, list[tuple[str, float, BaseDistribution]]] = {}
    columns = ("param_name", "param_value", "distribution_json")
    for trial_id, name, value, kind in _read_rows(db, where, models.TrialParamModel, columns):
        values.setdefault(trial_id, []).append((name, value, distribution(kind)))
    return values


def _by_trial(
    db: Connection, where: ColumnElement[bool], model: Any, names: Sequence[str], decode: Callable[..., Any]
) -> dict[int, dict[Any, Any]]:
    """Return trial_id -> key -> what `decode` makes of the other columns."""
    values: dict[int, dict[Any, Any]] = {}
    for trial_id, key, *stored in _read_rows(db, where, model, names):
        values.setdefault(trial_id, {})[key] = decode(*stored)
    return values


def _read_rows(db: Connection, where: ColumnElement[bool], model: Any, names: Sequence[str]) -> Sequence[Any]:
    """Return trial_id and these columns of a table, in the order of its keys."""
    of = table_of(model)
    joined = of.join(TRIALS, TRIALS.c.trial_id == of.c.trial_id)
    query = select(of.c.trial_id, *(of.c[name] for name in names)).select_from(joined).where(where)
    return db.execute(query.order_by(*of.primary_key)).all()  # at once: row by row takes half as long again


def _decode_value(stored: float | None, kind: Any) -> float:
    return float(models.TrialValueModel.stored_repr_to_value(stored, kind))


def _local_time(stored: datetime | None) -> datetime | None:
    """Optuna keeps UTC, and shows local time; neither says so."""
    return stored and stored.replace(tzinfo=UTC).astimezone().replace(tzinfo=None)
