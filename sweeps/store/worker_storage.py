"""Optuna's storage as one worker sees it: its own trial in memory, the others as they were when it was claimed.

What samplers and pruners ask is answered here; what the trial says is gathered in a batch, for `leases` to deliver.
"""

import copy
import json
from collections.abc import Container, Sequence
from contextlib import suppress
from datetime import datetime
from threading import Lock
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import ColumnElement, Table, select

from sweeps.optuna_private import FrozenStudy, models, trial_id_of
from sweeps.readings import Reading
from sweeps.store.batches import Batch, table_of
from sweeps.store.leases import Claim
from sweeps.store.readable import NO_VALUE
from sweeps.store.trials import Trials

ATTRIBUTES = table_of(models.StudySystemAttributeModel)
USER_ATTRIBUTES = table_of(models.StudyUserAttributeModel)
NOTES = "dashboard:%"  # of trials, which optuna-dashboard keeps with the study: large, and of no use to samplers


class WorkerStorage(BaseStorage):
    """The store for one study and one worker; `hold` gives it the trial that `study.ask` then returns.

    Only the claimed trial can be written to. A worker trains in one thread; another may `take` the batch.
    """

    def __init__(self, backend: RDBStorage, study_id: int) -> None:
        self._backend = optuna.storages.get_storage(backend)
        self._engine = backend.engine
        self._study_id = study_id
        self._directions = self._backend.get_study_directions(study_id)
        self._own: FrozenTrial | None = None
        self._read = Trials(study_id)
        self._others: list[FrozenTrial] = []
        self._all: list[FrozenTrial] | None = None  # both, put together when they are first asked for
        self._batch = Batch()
        self._lock = Lock()

    def hold_claim(self, claim: Claim) -> None:
        """Read what others have done by now, and let `claim` be the trial that is asked for and written to."""
        self.sync_trials()
        mine = (trial for trial in self._others if trial.number == claim.number)
        own_trial = next(mine, None)
        self._own = copy.deepcopy(own_trial) if own_trial is not None else _new_trial(claim)
        self._own.state = TrialState.RUNNING
        self._all = None
        self._batch = Batch()

    def hold_alone(self, claim: Claim) -> None:
        """Let `claim` be the trial that is asked for, whatever the others are."""
        self._others = []
        self._own = _new_trial(claim)
        self._all = None

    def sync_trials(self) -> None:
        """Read the trials that have changed; finished ones are read once."""
        self._others = self._read.read_trials(self._engine)
        self._all = None

    def add_reading(self, reading: Reading) -> None:
        """Gather a reading of the trial."""
        with self._lock:
            self._batch.readings[reading.step] = reading

    def take_batch(self) -> Batch:
        """Return what was gathered since the last time."""
        with self._lock:
            taken = self._batch
            self._batch = Batch()
            return taken

    def put_back(self, batch: Batch) -> None:
        """Put back what was taken and could not be delivered."""
        with self._lock:
            self._batch = batch.followed_by(self._batch)

    def set_trial_param(
        self, trial_id: int, param_name: str, param_value_internal: float, distribution: BaseDistribution
    ) -> None:
        own = self._is_mine(trial_id)
        own.params[param_name] = distribution.to_external_repr(param_value_internal)
        own.distributions[param_name] = distribution
        with self._lock:
            self._batch.params[param_name] = (float(param_value_internal), distribution_to_json(distribution))

    def set_trial_intermediate_value(self, trial_id: int, step: int, intermediate_value: float) -> None:
        self._is_mine(trial_id).intermediate_values[step] = intermediate_value
        with self._lock:
            self._batch.reports[step] = float(intermediate_value)

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._is_mine(trial_id).user_attrs[key] = value
        with self._lock:
            self._batch.user_attrs[key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        self._is_mine(trial_id).system_attrs[key] = value
        with self._lock:
            self._batch.system_attrs[key] = value

    def set_study_system_attr(self, study_id: int, key: str, value: Any) -> None:
        with self._lock:
            self._batch.study_attrs[key] = value

    def set_trial_state_values(self, trial_id: int, state: TrialState, values: Sequence[float] | None = None) -> bool:
        """Tell samplers the end of a trial; the store learns it from `leases.finish`."""
        own = self._is_mine(trial_id)
        own.state = state
        own.values = list(values) if values is not None else None
        return True

    def create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> int:
        """Return the claimed trial."""
        if self._own is None or template_trial is not None:
            raise RuntimeError("a worker trains trials that it has claimed")
        return trial_id_of(self._own)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        own = self._own
        if own is not None and trial_id_of(own) == trial_id:
            return own
        return self._backend.get_trial(trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        # Trials that wait are given out by claims alone: Optuna would give one to several workers.
        trials = [trial for trial in self._all_trials() if trial.state != TrialState.WAITING]
        if states is not None:
            trials = [trial for trial in trials if trial.state in states]
        if deepcopy:
            return copy.deepcopy(trials)
        return trials

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_attrs(ATTRIBUTES, ATTRIBUTES.c.key.not_like(NOTES))

    def note_attributes(self, trial_id: int) -> dict[str, Any]:
        """Return the attributes of the study that are a trial's note in optuna-dashboard."""
        return self._study_attrs(ATTRIBUTES, ATTRIBUTES.c.key.like(f"dashboard:{trial_id}:note%"))

    def get_study_user_attrs(self, study_id: int) -> dict[str, Any]:
        return self._study_attrs(USER_ATTRIBUTES)

    def get_study_directions(self, study_id: int) -> list[StudyDirection]:
        return self._directions

    def get_study_name_from_id(self, study_id: int) -> str:
        return self._backend.get_study_name_from_id(study_id)

    def get_study_id_from_name(self, study_name: str) -> int:
        return self._backend.get_study_id_from_name(study_name)

    def get_trial_id_from_study_id_trial_number(self, study_id: int, trial_number: int) -> int:
        return next(trial_id_of(trial) for trial in self._all_trials() if trial.number == trial_number)

    def get_all_studies(self) -> list[FrozenStudy]:
        return self._backend.get_all_studies()

    def remove_session(self) -> None:
        self._backend.remove_session()

    def create_new_study(self, directions: Sequence[StudyDirection], study_name: str | None = None) -> int:
        raise NotImplementedError("a worker makes no studies")

    def delete_study(self, study_id: int) -> None:
        raise NotImplementedError("a worker deletes no studies")

    def set_study_user_attr(self, study_id: int, key: str, value: Any) -> None:
        raise NotImplementedError("a worker changes no study")

    def _study_attrs(self, of: Table, *which: ColumnElement[bool]) -> dict[str, Any]:
        query = select(of.c.key, of.c.value_json)
        with self._engine.connect() as db:
            rows = db.execute(query.where(of.c.study_id == self._study_id, *which)).all()
        values = {}
        for key, value in rows:
            with suppress(*NO_VALUE):  # what cannot be read is as good as not there
                values[key] = json.loads(value)
        return values

    def _all_trials(self) -> list[FrozenTrial]:
        """Return all trials, in the order of their numbers."""
        if self._all is None:
            trials = list(self._others)
            if self._own is not None:
                number = self._own.number
                trials = [trial for trial in trials if trial.number != number]
                trials.append(self._own)
            self._all = sorted(trials, key=lambda trial: trial.number)
        return self._all

    def _is_mine(self, trial_id: int) -> FrozenTrial:
        if self._own is None or trial_id_of(self._own) != trial_id:
            raise RuntimeError("a worker writes to the trial that it has claimed, and to no other")
        return self._own


def _new_trial(claim: Claim) -> FrozenTrial:
    """Return a trial of which nothing is known yet."""
    return FrozenTrial(
        number=claim.number,
        trial_id=claim.trial_id,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=datetime.now(),
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
    )
