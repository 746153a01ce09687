"""Data that change under a study, trials that come by Optuna's own means, and runs that repeat another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import fakes
import numpy as np
import optuna
import pytest
from fakes import TINY, never, work
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from sweeps import store
from sweeps.analysis import autopsies, ranking
from sweeps.analysis import summary as summaries
from sweeps.config import DataConfig
from sweeps.data.arrays import Arrays, digest_arrays
from sweeps.errors import InputError
from sweeps.notes import study as study_notes
from sweeps.space import file
from sweeps.worker.worker import Worker

MINE = ('data.source="mine:load"', "budget.trials=4")


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    return store.connect(f"sqlite:///{tmp_path}/store.db", create=True)


def made(storage: Any, *overrides: str) -> optuna.Study:
    return store.create_study(storage, file.parse_space(TINY, overrides), TINY, overrides)


def other_data(config: DataConfig, holdout_images: int) -> Arrays:
    arrays = fakes.load(config, holdout_images)
    assert isinstance(arrays.train_images, np.ndarray)
    return replace(arrays, train_images=arrays.train_images + np.uint8(7))


def run(storage: Any, study: optuna.Study, load: Any, trials: int) -> None:
    """Have a worker finish so many trials."""
    worker = Worker(storage, fakes.learning, load, lambda: worker.finished >= trials, None, fakes.QUICK)
    worker.serve_studies([study.study_name])


def test_a_worker_with_other_data_refuses_and_loses_no_trial(storage: Any) -> None:
    study = made(storage, *MINE)
    run(storage, study, fakes.load, 2)
    with pytest.raises(InputError, match="trained on other data than are here: mine:load"):
        run(storage, study, other_data, 2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2 + [TrialState.WAITING]
    run(storage, study, fakes.load, 2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_pool_serves_other_studies_where_the_data_of_one_have_changed(storage: Any) -> None:
    study = made(storage, *MINE, "study.priority=5")
    run(storage, study, fakes.load, 1)
    other = made(storage, "study.name=other", "budget.trials=2")
    worker = Worker(storage, fakes.learning, other_data, never, None, fakes.QUICK)
    assert worker.serve_studies((), exit_when_idle=True) == 2
    assert len(other.trials) == 2


def test_changed_data_are_accepted_once_noted_and_never_averaged_with_the_old(storage: Any) -> None:
    fixed = ("space.activation=relu", "space.constraint=none", "space.learning_rate=0.01")
    study = made(storage, *MINE, *fixed)
    run(storage, study, fakes.load, 2)
    study.set_user_attr(store.ACCEPT_NEXT_DATA, True)
    run(storage, study, other_data, 2)
    space = store.space_of(study)
    arrays = [load(space.data, space.budget.holdout_images) for load in (fakes.load, other_data)]
    assert study.user_attrs[store.DATA_DIGESTS] == [digest_arrays(each) for each in arrays]
    assert study.user_attrs[store.ACCEPT_NEXT_DATA] is False
    configurations = ranking.rank_study(study, space)
    assert [tuple(trial.number for trial in each.trials) for each in configurations] == [(2, 3)]
    assert "The data changed with trial 2" in study_notes.make_study_note(1, space, study.trials)
    summary = summaries.summarise_trials(space, study.trials)
    assert summary.on_earlier_data == 2
    assert summary.best is not None
    assert summary.best.number in {2, 3}


def test_data_that_are_made_on_the_spot_are_known_by_their_source(storage: Any) -> None:
    study = made(storage, "budget.trials=2")
    run(storage, study, fakes.load, 1)
    run(storage, study, other_data, 1)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_values_that_were_enqueued_are_run_or_refused_with_the_reason(storage: Any) -> None:
    study = made(storage, "budget.trials=4")
    study.enqueue_trial({"learning_rate": 0.004, "activation": "selu"})
    study.enqueue_trial({"learning_rate": 7.0})
    study.enqueue_trial({"learnig_rate": 0.004})
    space = store.space_of(study)
    assert summaries.summarise_trials(space, study.trials).enqueued == 3
    work(storage, study, fakes.learning, fakes.load, never)
    first, high, unknown, own = study.trials
    assert (first.params["learning_rate"], first.params["activation"]) == (0.004, "selu")
    assert first.state == TrialState.COMPLETE
    for refused, word in ((high, "learning_rate = 7.0"), (unknown, "did you mean 'learning_rate'")):
        assert refused.user_attrs[store.FATE] == store.FAILED
        assert word in refused.user_attrs[store.REASON]
    assert own.state == TrialState.COMPLETE
    summary = summaries.summarise_trials(space, study.trials)
    assert (summary.done, summary.enqueued, summary.waiting) == (4, 0, 0)


def test_values_that_were_enqueued_wrongly_do_not_make_a_worker_leave(storage: Any) -> None:
    study = made(storage, "budget.trials=6")
    for _ in range(4):
        study.enqueue_trial({"learning_rate": 7.0})
    work(storage, study, fakes.learning, fakes.load, never)
    assert [trial.state for trial in study.trials] == [TrialState.FAIL] * 4 + [TrialState.COMPLETE] * 2
    space = store.space_of(study)
    assert "7.0" in str(summaries.trial_line(space, store.finished_trials(study.trials)[0]))


def test_an_enqueued_trial_beyond_the_budget_is_said_not_to_run(storage: Any) -> None:
    study = made(storage, "budget.trials=1")
    for _ in range(2):
        study.enqueue_trial({"learning_rate": 0.004})
    work(storage, study, fakes.learning, fakes.load, never)
    space = store.space_of(study)
    lines = summaries.render_summary(space, summaries.summarise_trials(space, study.trials))
    assert "raise budget.trials" in "".join(str(line) for line in lines.renderables)  # type: ignore[union-attr]


def test_a_trial_that_was_added_counts_in_no_result(storage: Any) -> None:
    study = made(storage, "budget.trials=2")
    rate = CategoricalDistribution([0.003])
    study.add_trial(optuna.create_trial(params={"x": 0.003}, distributions={"x": rate}, value=0.99))
    work(storage, study, fakes.learning, fakes.load, never)
    space = store.space_of(study)
    summary = summaries.summarise_trials(space, study.trials)
    assert (summary.done, summary.added, summary.fates) == (2, 1, {"learned": 2})
    assert summary.best is not None
    best = ranking.rank_study(study, space)[0].trials[0].number
    assert summary.best.number == best != 0


def test_runs_that_repeat_another_are_one_run(storage: Any) -> None:
    fixed = ("space.activation=relu", "space.constraint=none", "space.learning_rate=0.01")
    study = made(storage, "budget.trials=4", "space.replicate=[0, 1]", *fixed)
    work(storage, study, fakes.learning, fakes.load, never)
    assert len(study.trials) == 4
    seeds = {str(trial.user_attrs[store.CONFIG_DIGEST]) for trial in study.trials}
    space = store.space_of(study)
    (configuration,) = ranking.rank_study(study, space)
    assert len(configuration.trials) == len(seeds) <= 2
    assert len(autopsies.list_judged(study.trials)) == len(seeds)
    summary = summaries.summarise_trials(space, study.trials)
    assert summary.repeated == 4 - len(seeds)
    assert sum(tried for _, tried in summary.learned_of_tried.values()) == len(seeds)
