"""What our batches write is what Optuna's own storage would have written."""

import math
from typing import Any

import fakes
import optuna
import sqlalchemy
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, distribution_to_json
from optuna.trial import TrialState

from sweeps import store
from sweeps.readings import ChannelVitals, Reading
from sweeps.space import file
from sweeps.store import leases
from sweeps.store.batches import Batch, pack_reading, unpack_reading
from sweeps.store.processes import this_process
from sweeps.store.trials import Trials

RATE, NAMES = FloatDistribution(1e-4, 1.0, log=True), CategoricalDistribution(["relu", "selu"])
REPORTS = {2: 0.25, 4: math.inf, 6: -math.inf, 8: 1e-300, 10: math.nan}
USER = {"fate": "learned", "steps": 8, "nested": {"a": [1, None, "ü'\"\\"]}, "long": "x" * 5000}


def ours(storage: Any) -> None:
    worker = leases.register_worker(storage.engine, this_process(), "", "")
    claim = leases.claim_trial(storage.engine, worker, 1, 4)
    assert claim is not None
    params = {
        "learning_rate": (RATE.to_internal_repr(0.01), distribution_to_json(RATE)),
        "activation": (NAMES.to_internal_repr("selu"), distribution_to_json(NAMES)),
    }
    batch = Batch(params=params, user_attrs=USER, system_attrs={"constraints:dead": -1.0}, reports=REPORTS)
    for _ in range(2):  # what is delivered twice is there once
        leases.send_beat(storage.engine, worker, leases.Beat(claim, 8, 1.0), batch)
    leases.finish_trial(storage.engine, worker, claim, Batch(), TrialState.COMPLETE, 0.75)


def optunas(study: optuna.Study) -> None:
    trial = study.ask()
    study._storage.set_trial_param(trial._trial_id, "learning_rate", RATE.to_internal_repr(0.01), RATE)
    study._storage.set_trial_param(trial._trial_id, "activation", NAMES.to_internal_repr("selu"), NAMES)
    for name, value in USER.items():
        trial.set_user_attr(name, value)
    trial.set_constraint("dead", -1.0)
    for step, value in REPORTS.items():
        trial.report(value, step)
    study.tell(trial, 0.75)


def comparable(trial: optuna.trial.FrozenTrial) -> dict[str, Any]:
    """All that a trial holds; not a number is not equal to itself, and attributes come in no order."""
    reports = sorted(trial.intermediate_values.items(), key=repr)
    return {**vars(trial), "intermediate_values": repr(reports)}


def test_optuna_reads_the_same_from_our_rows_as_from_its_own(url: str) -> None:
    storage = store.connect(url, create=True)
    store.create_study(storage, file.parse_space(fakes.TINY), fakes.TINY, [])
    ours(storage)
    plain = optuna.storages.RDBStorage(url)
    study = optuna.load_study(study_name="tiny", storage=plain)
    optunas(study)
    one, other = study.trials
    plain.engine.dispose()
    assert (one.number, other.number) == (0, 1)
    for name in ("state", "params", "distributions", "values", "user_attrs", "constraints"):
        assert getattr(one, name) == getattr(other, name), name
    assert repr(one.intermediate_values) == repr(other.intermediate_values), "not a number is not equal to itself"
    for before, after in ((one.datetime_start, other.datetime_start), (one.datetime_complete, other.datetime_complete)):
        assert before is not None
        assert after is not None
        assert abs((after - before).total_seconds()) < 60
    read = Trials(1)
    first, again = read.read_trials(storage.engine), read.read_trials(storage.engine)
    for mine, optunas_own in zip(first, (one, other), strict=True):
        assert comparable(mine) == comparable(optunas_own), "we read what Optuna reads"
    assert all(before is after for before, after in zip(first, again, strict=True)), "a finished trial is read once"
    storage.engine.dispose()


def test_a_trial_of_twelve_parameters_and_twenty_reports_takes_fewer_than_sixty_statements(url: str) -> None:
    more = {f"space.{name}={{low=1e-8, high=1e-2, log=true}}" for name in ("epsilon", "l2", "weight_decay", "tau")}
    more |= {
        "space.momentum={low=0.1, high=0.9}",
        "space.dropout_rate={low=0.1, high=0.5}",
        "space.max_norm={low=1.0, high=4.0}",
        'space.dropout=["none", "dropout"]',
        'space.optimizer=["adam", "sgd"]',
        'space.initializer=["lecun_normal", "he_normal"]',
        "budget.steps=20",
        "budget.report_interval=1",
        "budget.trials=10",
    }
    overrides = sorted(more)
    storage = store.connect(url, create=True)
    space = file.parse_space(fakes.TINY, overrides)
    study = store.create_study(storage, space, fakes.TINY, overrides)
    count = 0

    @sqlalchemy.event.listens_for(storage.engine, "before_cursor_execute")
    def _count(*_: Any) -> None:
        nonlocal count
        count += 1

    fakes.work(storage, study, fakes.learning)
    trials = study.trials
    assert max(len(trial.params) for trial in trials) >= 12
    assert all(len(trial.intermediate_values) == 20 for trial in trials)
    assert count / 10 < 60
    storage.engine.dispose()


FLOATS = st.floats(width=64)
CHANNELS = st.builds(ChannelVitals, *[st.tuples(FLOATS, FLOATS)] * 3)


@settings(max_examples=50)
@given(loss=FLOATS, finite=st.booleans(), channels=st.none() | CHANNELS)
def test_readings_come_back_as_they_went_in(loss: float, finite: bool, channels: ChannelVitals | None) -> None:
    import dataclasses

    reading: Reading = fakes.reading(7, loss=loss, finite=finite)
    layers = tuple(dataclasses.replace(layer, channels=channels) for layer in reading.layers)
    reading = dataclasses.replace(reading, layers=layers)
    assert repr(unpack_reading(pack_reading(reading))) == repr(reading), "not a number is not equal to itself"
