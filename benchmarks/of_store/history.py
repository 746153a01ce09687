"""The time of an ask in studies that have a history."""

import json
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, distribution_to_json
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, func, insert, select

from of_store import loop, workload
from of_store.loop import Tally
from of_store.rows import Numbers, Row, ratio
from of_store.targets import Target
from of_store.workload import REPORTS
from sweeps import store
from sweeps.space import file, samplers
from sweeps.store.batches import table_of
from sweeps.store.tables import SlotRow
from sweeps.store.worker_storage import WorkerStorage
from sweeps.worker.attempt import Attempt


def fill(storage: RDBStorage, study_id: int, count: int, template: FrozenTrial, ours: bool) -> None:
    """Finished trials like the template up to `count`, in big transactions; in ours with its attributes and slots."""
    trials = table_of(models.TrialModel)
    with storage.engine.connect() as db:
        have = db.scalar(select(func.count()).select_from(trials).where(trials.c.study_id == study_id)) or 0
    for start in range(have, count, 1000):
        numbers = range(start, min(start + 1000, count))
        when = {"datetime_start": template.datetime_start, "datetime_complete": template.datetime_complete}
        made = {"study_id": study_id, "state": TrialState.COMPLETE, **when}
        with storage.engine.begin() as db:
            db.execute(insert(trials), [{**made, "number": number} for number in numbers])
            known = select(trials.c.trial_id, trials.c.number).where(trials.c.study_id == study_id)
            found = db.execute(known.where(trials.c.number >= start).order_by(trials.c.number)).all()
            _fill_trials(db, study_id, [(row[0], row[1]) for row in found], template, ours)


def _fill_trials(
    db: Connection, study_id: int, trials: Sequence[tuple[int, int]], template: FrozenTrial, ours: bool
) -> None:
    rng = np.random.default_rng(trials[0][1])
    params, values, reports, attributes, system, slots = [], [], [], [], [], []
    for trial_id, number in trials:
        of, score = {"trial_id": trial_id}, float(rng.random())
        params += [{**of, **row} for row in _drawn(template, rng)]
        values.append({**of, "objective": 0, "value": score, "value_type": "FINITE"})
        finite = {**of, "intermediate_value_type": "FINITE"}
        reports += [{**finite, "step": 10 * look, "intermediate_value": score} for look in range(1, REPORTS + 1)]
        attributes += [{**of, "key": k, "value_json": json.dumps(v)} for k, v in template.user_attrs.items()]
        system += [{**of, "key": k, "value_json": json.dumps(v)} for k, v in template.system_attrs.items()]
        counts = {"deaths": 0, "deaths_here": 0, "died_at": -1, "step": 10 * REPORTS}
        slots.append({**of, **counts, "study_id": study_id, "slot": number, "number": number, "done": True})
    tables: list[tuple[Any, list[Row]]] = [
        (models.TrialParamModel, params),
        (models.TrialValueModel, values),
        (models.TrialIntermediateValueModel, reports),
    ]
    own: list[tuple[Any, list[Row]]] = [
        (models.TrialUserAttributeModel, attributes),
        (models.TrialSystemAttributeModel, system),
        (SlotRow, slots),
    ]
    for model, rows in tables + (own if ours else []):
        if rows:
            db.execute(insert(table_of(model)), rows)


def _drawn(template: FrozenTrial, rng: np.random.Generator) -> Iterator[Row]:
    for name, domain in template.distributions.items():
        if isinstance(domain, CategoricalDistribution):
            value = float(rng.integers(len(domain.choices)))
        elif domain.step is not None and not domain.log:  # type: ignore[attr-defined]
            value = float(domain.low + domain.step * rng.integers(8))  # type: ignore[attr-defined]
        elif domain.log:  # type: ignore[attr-defined]
            value = float(np.exp(rng.uniform(np.log(domain.low), np.log(domain.high))))  # type: ignore[attr-defined]
        else:
            value = float(rng.uniform(domain.low, domain.high))  # type: ignore[attr-defined]
        yield {"param_name": name, "param_value": value, "distribution_json": distribution_to_json(domain)}


@dataclass(slots=True)
class History:
    """A study of ours and one of plain Optuna with the same finished trials."""

    target: Target
    asks: int
    ours: str = ""
    plain: str = ""
    template: FrozenTrial = field(init=False)

    def __post_init__(self) -> None:
        self.ours, self.plain = self.target.study("ours"), self.target.study("plain")
        self._asks_of_ours("RandomSampler", 1)
        self.template = store.load_study(self.target.opened, self.ours).trials[0]

    def fill(self, count: int) -> None:
        """Both up to this many trials."""
        plain = RDBStorage(self.target.plain_url)
        for storage, name in ((self.target.opened, self.ours), (plain, self.plain)):
            fill(storage, storage.get_study_id_from_name(name), count, self.template, name == self.ours)
        plain.engine.dispose()
        self.target.opened.engine.dispose()

    def measure(self) -> dict[str, dict[str, Numbers]]:
        """Seconds, by the sampler and whose."""
        random, tpe = "RandomSampler", samplers.DEFAULT_SAMPLER
        asked = self._asks_of_plain
        return {
            random: {"ours": self._asks_of_ours(random, self.asks), "plain": asked(optuna.samplers.RandomSampler())},
            tpe: {
                "ours": self._asks_of_ours(tpe, self.asks),
                "plain, our options": asked(workload.usual_sampler(0)),
                "plain, its defaults": asked(optuna.samplers.TPESampler()),
            },
        }

    def _asks_of_ours(self, sampler: str, asks: int) -> Numbers:
        known = store.load_study(self.target.opened, self.ours)
        text = workload.SPACE.replace('"store"', f'"{self.ours}"').replace("SAMPLER", sampler)
        store.record_space(known, file.parse_space(text, [], self.ours), text, [])
        drawn: list[float] = []
        synced: list[float] = []
        tally = Tally()
        storage = store.connect(self.target.url)
        ask = loop.timed(Attempt, Attempt._ask_for_values.__name__, drawn)
        hold = loop.timed(WorkerStorage, WorkerStorage.hold_claim.__name__, synced)
        with ask, hold:
            loop.ours(storage, tally, trials=asks + 1).serve_studies([self.ours])
        storage.engine.dispose()
        self.target.opened.engine.dispose()
        later = {"draw": _median(drawn[1:]), "read": _median(synced[1:])}
        return {"first": tally.first_ask, "ask": _median(tally.ask), **later}

    def _asks_of_plain(self, sampler: optuna.samplers.BaseSampler) -> Numbers:
        tally = Tally()
        storage = RDBStorage(self.target.plain_url)
        loop.plain(storage, self.plain, tally, trials=self.asks + 1, sampler=sampler)
        storage.engine.dispose()
        return {"first": tally.first_ask, "ask": _median(tally.ask)}


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def history_rows(target: Target, count: int, found: dict[str, dict[str, Numbers]]) -> list[Row]:
    """In milliseconds; the factors say how many times longer plain Optuna takes."""
    rows = []
    for sampler, kinds in found.items():
        ours = kinds["ours"]
        for kind, each in kinds.items():
            other = kind != "ours"
            row: Row = {"store": target.name, "trials": count, "sampler": sampler, "of": kind}
            row |= {"first ask": 1000 * each["first"], "x": ratio(each["first"], ours["first"], other)}
            row |= {"ask": 1000 * each["ask"], "x ": ratio(each["ask"], ours["ask"], other)}
            row |= {f"its {what}": 1000 * each[what] if what in each else "" for what in ("draw", "read")}
            rows.append(row)
    return rows
