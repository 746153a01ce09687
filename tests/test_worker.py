"""The worker, with fake runs: how each kind of trial ends in the store, and what is exact about a budget."""

import math
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from fakes import TINY
from optuna.trial import TrialState

from sweeps import space_file, store, tables, worker
from sweeps.errors import WorkerError


def never() -> bool:
    return False


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """A new store with the tiny study in it."""

    def made(*overrides: str, name: str = "store") -> tuple[Any, optuna.Study]:
        storage = store.connect(f"sqlite:///{tmp_path}/{name}.db", create=True)
        return storage, store.create_study(storage, space_file.parse(TINY, overrides), TINY, overrides)

    return made


def test_a_budget_is_met_exactly(make: Any) -> None:
    storage, study = make()
    assert worker.work(storage, study, fakes.learning, fakes.load, never) == 4
    assert worker.work(storage, study, fakes.learning, fakes.load, never) == 0
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_learner_completes_with_its_last_accuracy(make: Any) -> None:
    storage, study = make("budget.trials=1")
    worker.work(storage, study, fakes.learning, fakes.load, never)
    trial = study.trials[0]
    last = tables.readings(storage.engine, storage.get_study_id_from_name("tiny"), 0)[-1]
    assert (trial.value, trial.user_attrs["fate"]) == (last.hits1 / 64, "learned")
    assert trial.constraints == {"dead": -1.0}
    # gain over the prior of 10 balanced classes: 1 - loss / ln 10
    assert trial.intermediate_values[6] == pytest.approx(1 - 1.15 / math.log(10), abs=1e-3)
    assert list(trial.intermediate_values) == [2, 4, 6]


@pytest.mark.parametrize(
    ("run", "fate", "steps"), [(fakes.collapsing, "collapsed", 6), (fakes.diverging, "diverged", 2)]
)
def test_a_dead_run_is_pruned_infeasible_and_explained(make: Any, run: Any, fate: str, steps: int) -> None:
    storage, study = make("budget.trials=1")
    worker.work(storage, study, run, fakes.load, never)
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"], trial.user_attrs["steps"]) == (TrialState.PRUNED, fate, steps)
    assert trial.user_attrs["reason"].startswith(fate)
    assert trial.constraints == {"dead": 1.0}
    assert len(tables.readings(storage.engine, storage.get_study_id_from_name("tiny"), 0)) == steps // 2 + 1


def test_a_minimised_loss_is_reported_so_that_less_is_better(make: Any) -> None:
    storage, study = make("budget.trials=1", "study.objective=loss")
    worker.work(storage, study, fakes.learning, fakes.load, never)
    values = list(study.trials[0].intermediate_values.values())
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert values == sorted(values, reverse=True)
    assert study.trials[0].value == pytest.approx(1.15)


def test_the_pruner_outranks_and_the_trial_is_not_called_dead(make: Any) -> None:
    storage, study = make("budget.trials=1", "pruner.name=ThresholdPruner", "pruner.lower=0.9")
    worker.work(storage, study, fakes.learning, fakes.load, never)
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.PRUNED, "outranked")
    assert trial.constraints == {"dead": -1.0}


def test_a_trial_that_raises_fails_with_its_reason_and_the_worker_goes_on(make: Any) -> None:
    storage, study = make()
    runs = iter([fakes.learning, fakes.raising, fakes.learning, fakes.raising])
    worker.work(storage, study, lambda config, arrays: next(runs)(config, arrays), fakes.load, never)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "FAIL"]
    failed = study.trials[1].user_attrs
    assert (failed["fate"], failed["reason"]) == ("failed", "ValueError: the layer 'dense_9' has no input")
    assert "Traceback" in failed["traceback"]


def test_a_worker_whose_trials_all_fail_gives_up_before_the_budget_is_gone(make: Any) -> None:
    storage, study = make()
    with pytest.raises(WorkerError, match="3 trials in a row failed; the last: ValueError: the layer 'dense_9'"):
        worker.work(storage, study, fakes.raising, fakes.load, never)
    assert len(study.trials) == 3


def test_a_stopped_worker_marks_its_trial_and_gives_the_slot_back(make: Any) -> None:
    storage, study = make()
    answers = iter([False, False, True])
    worker.work(storage, study, fakes.learning, fakes.load, lambda: next(answers, True))
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.FAIL, "interrupted")
    assert tables.slots(storage.engine, storage.get_study_id_from_name("tiny")) == []


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "NSGAIISampler"])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(make: Any, sampler: str) -> None:
    sets = ("budget.trials=14", f"sampler.name={sampler}")
    whole_store, whole = make(*sets, name="whole")
    worker.work(whole_store, whole, fakes.learning, fakes.load, never)
    torn_store, torn = make(*sets, name="torn")
    for looks in (3, 17, 200):
        answers = iter([False] * looks)
        worker.work(torn_store, torn, fakes.learning, fakes.load, lambda answers=answers: next(answers, True))
    finished = [trial for trial in torn.trials if trial.state == TrialState.COMPLETE]
    assert len(torn.trials) > len(finished)
    assert [trial.user_attrs["config"] for trial in finished] == [trial.user_attrs["config"] for trial in whole.trials]
    assert [trial.value for trial in finished] == [trial.value for trial in whole.trials]


def test_no_seed_occurs_twice(make: Any) -> None:
    storage, study = make("budget.trials=20")
    worker.work(storage, study, fakes.learning, fakes.load, never)
    assert len({trial.user_attrs["config"] for trial in study.trials}) == 20
