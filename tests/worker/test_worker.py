"""The worker, with fake runs: how each kind of trial ends in the store, and what is exact about a budget."""

import json
import math
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import fakes
import optuna
import pytest
from fakes import TINY, never, work
from optuna.trial import TrialState

from sweeps import store
from sweeps.config import Config
from sweeps.data.arrays import Arrays
from sweeps.diagnosis import plots
from sweeps.errors import InputError, LostLeaseError, TrialError, WorkerError
from sweeps.readings import Reading
from sweeps.space import file
from sweeps.store import leases, queue
from sweeps.store.tables import StudyState
from sweeps.verdict import Limit
from sweeps.worker import attempt
from sweeps.worker.worker import Worker


@pytest.fixture
def make(tmp_path: Path) -> Any:
    """A new store with the tiny study in it."""

    def made(*overrides: str, name: str = "store") -> tuple[Any, optuna.Study]:
        storage = store.connect(f"sqlite:///{tmp_path}/{name}.db", create=True)
        return storage, store.create_study(storage, file.parse_space(TINY, overrides), TINY, overrides)

    return made


def test_a_budget_is_met_exactly(make: Any) -> None:
    storage, study = make()
    assert work(storage, study, fakes.learning, fakes.load, never) == 4
    assert work(storage, study, fakes.learning, fakes.load, never) == 0
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 4


def test_a_learner_completes_with_its_last_accuracy(make: Any) -> None:
    storage, study = make("budget.trials=1")
    work(storage, study, fakes.learning, fakes.load, never)
    trial = study.trials[0]
    last = store.readings(storage.engine, storage.get_study_id_from_name("tiny"), 0)[-1]
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
    work(storage, study, run, fakes.load, never)
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"], trial.user_attrs["steps"]) == (TrialState.PRUNED, fate, steps)
    assert trial.user_attrs["reason"].startswith(fate)
    assert trial.constraints == {"dead": 1.0}
    assert len(store.readings(storage.engine, storage.get_study_id_from_name("tiny"), 0)) == steps // 2 + 1


def test_a_minimised_loss_is_reported_so_that_less_is_better(make: Any) -> None:
    storage, study = make("budget.trials=1", "study.objective=loss")
    work(storage, study, fakes.learning, fakes.load, never)
    values = list(study.trials[0].intermediate_values.values())
    assert study.direction == optuna.study.StudyDirection.MINIMIZE
    assert values == sorted(values, reverse=True)
    assert study.trials[0].value == pytest.approx(1.15)


def test_the_pruner_outranks_and_the_trial_is_not_called_dead(make: Any) -> None:
    storage, study = make("budget.trials=1", "pruner.name=ThresholdPruner", "pruner.lower=0.9")
    work(storage, study, fakes.learning, fakes.load, never)
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.PRUNED, "outranked")
    assert trial.constraints == {"dead": -1.0}


def test_a_trial_that_raises_fails_with_its_reason_and_the_worker_goes_on(make: Any) -> None:
    storage, study = make()
    runs = iter([fakes.learning, fakes.raising, fakes.learning, fakes.raising])
    work(storage, study, lambda *given: next(runs)(*given), fakes.load, never)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "FAIL"]
    failed = study.trials[1].user_attrs
    assert (failed["fate"], failed["reason"]) == ("failed", "ValueError: the layer 'dense_9' has no input")
    assert "Traceback" in failed["traceback"]


def test_a_worker_whose_trials_all_fail_gives_up_before_the_budget_is_gone(make: Any) -> None:
    storage, study = make()
    with pytest.raises(WorkerError, match="3 trials in a row failed; the last: ValueError: the layer 'dense_9'"):
        work(storage, study, fakes.raising, fakes.load, never)
    assert len(study.trials) == 3


def test_a_stopped_worker_hands_its_trial_back_and_the_next_goes_on(make: Any, capsys: Any) -> None:
    storage, study = make("budget.trials=1")
    answers = iter([False] * 3)
    assert work(storage, study, fakes.learning, fakes.load, lambda: next(answers, True)) == 0
    assert study.trials[0].state == TrialState.WAITING
    assert "trial 0: handed back, kept at step 2: the worker was told to end" in capsys.readouterr().err
    assert work(storage, study, fakes.learning, fakes.load, never) == 1
    assert "trial 0: goes on from step 2" in capsys.readouterr().err
    (trial,) = study.trials
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.COMPLETE, "learned")
    assert [each.step for each in store.readings(storage.engine, 1, 0)] == [0, 2, 4, 6]


@pytest.mark.parametrize(
    ("table", "key", "value"),
    [("data", "source", "os:system"), ("data", "path", "/etc"), ("model", "build", "shutil:rmtree")],
)
def test_a_trial_whose_recipe_was_edited_runs_no_other_code(make: Any, table: str, key: str, value: str) -> None:
    storage, study = make("budget.trials=1")
    answers = iter([False] * 3)
    work(storage, study, fakes.learning, fakes.load, lambda: next(answers, True))
    (trial,) = study.trials
    recipe = json.loads(trial.user_attrs["config"])
    recipe[table] |= {key: value}
    if table == "model":
        recipe[table] = {key: value}
    if key == "path":
        recipe[table]["source"] = "store"
    storage.set_trial_user_attr(trial._trial_id, "config", json.dumps(recipe))
    work(storage, study, fakes.raising, fakes.load, never)
    (trial,) = study.trials
    assert trial.state == TrialState.FAIL
    assert "was edited" in trial.user_attrs["reason"]


@pytest.mark.parametrize("sampler", ["RandomSampler", "TPESampler", "NSGAIISampler"])
def test_an_interrupted_study_ends_as_an_uninterrupted_one(make: Any, sampler: str) -> None:
    sets = ("budget.trials=14", f"sampler.name={sampler}")
    whole_store, whole = make(*sets, name="whole")
    work(whole_store, whole, fakes.learning, fakes.load, never)
    torn_store, torn = make(*sets, name="torn")
    for looks in (3, 17, 200):
        answers = iter([False] * looks)
        work(torn_store, torn, fakes.learning, fakes.load, partial(next, answers, True))
    assert [trial.user_attrs["config"] for trial in torn.trials] == [
        trial.user_attrs["config"] for trial in whole.trials
    ]
    assert [trial.value for trial in torn.trials] == [trial.value for trial in whole.trials]
    assert [trial.intermediate_values for trial in torn.trials] == [trial.intermediate_values for trial in whole.trials]


def test_no_seed_occurs_twice(make: Any) -> None:
    storage, study = make("budget.trials=20")
    work(storage, study, fakes.learning, fakes.load, never)
    assert len({trial.user_attrs["config"] for trial in study.trials}) == 20


LONG = ("budget.steps=100", "budget.report_interval=5", "verdict.control=0")


@fakes.run
def flat(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    """A run that stays at chance while its signal sinks, never to rounding."""
    for step in range(0, config.steps + 1, config.report_interval):
        yield fakes.reading(step, loss=2.31, hits1=6, signal=10 ** (-1 - step / 20))


def test_a_run_with_a_prognosis_no_learner_had_is_stopped_once_some_have_learned(make: Any) -> None:
    storage, study = make("budget.trials=6", *LONG)
    runs = iter([flat, *[fakes.learning] * 3, flat, flat])
    work(storage, study, lambda *given: next(runs)(*given), fakes.load, never)
    first, *learners, late, _ = study.trials
    assert (first.state, first.user_attrs["fate"]) == (TrialState.COMPLETE, "at chance"), "nothing was known then"
    assert all(trial.user_attrs["learner"] for trial in learners)
    assert (late.state, late.user_attrs["fate"]) == (TrialState.PRUNED, "at chance")
    assert late.user_attrs["steps"] < 100
    assert "recorded learners and 3 of this study" in late.user_attrs["reason"]
    assert late.constraints == {"dead": 1.0}
    assert late.user_attrs["autopsy_cause"]


def test_a_control_goes_on_and_tells_where_it_would_have_been_stopped(make: Any) -> None:
    storage, study = make("budget.trials=1", "verdict.control=1")
    work(storage, study, fakes.collapsing, fakes.load, never)
    attributes = study.trials[0].user_attrs
    assert (attributes["steps"], attributes["could_not_be_stopped"], attributes["learner"]) == (6, True, False)
    storage, study = make("budget.trials=1", "verdict.control=1", "budget.steps=20", name="longer")
    work(storage, study, fakes.collapsing, fakes.load, never)
    attributes = study.trials[0].user_attrs
    assert (attributes["steps"], attributes["would_stop_at_step"]) == (20, 6)
    assert attributes["would_stop_reason"].startswith("collapsed at step 6")


def test_not_even_a_control_goes_on_with_weights_that_are_no_numbers(make: Any) -> None:
    storage, study = make("budget.trials=1", "verdict.control=1")
    work(storage, study, fakes.diverging, fakes.load, never)
    assert (study.trials[0].user_attrs["fate"], study.trials[0].user_attrs["steps"]) == ("diverged", 2)


@fakes.run
def unborn(config: Config, arrays: Arrays) -> Generator[Reading, None, None]:
    for step in range(0, config.steps + 1, config.report_interval):
        yield fakes.reading(step, signal=1e-13)


def test_as_many_as_the_study_allows_are_rejected_before_their_first_step(make: Any) -> None:
    storage, study = make("budget.trials=4", "verdict.rejections=2", "verdict.control=0")
    work(storage, study, unborn, fakes.load, never)
    assert [trial.user_attrs["steps"] for trial in study.trials] == [0, 0, 6, 6]
    assert study.trials[0].user_attrs["reason"].startswith("rejected before training")
    assert len(study.trials) == 4, "each is a trial of the budget"


def test_with_batch_normalisation_the_start_says_nothing(make: Any) -> None:
    storage, study = make("budget.trials=1", "verdict.rejections=2", 'space.batch_normalization="before"')
    work(storage, study, unborn, fakes.load, never)
    assert study.trials[0].user_attrs["steps"] == 6


def test_an_autopsy_that_fails_loses_no_trial(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, study = make("budget.trials=1")
    monkeypatch.setattr(plots, "draw_autopsy", lambda *_: 1 / 0)
    work(storage, study, fakes.collapsing, fakes.load, never, drawn=True)
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.PRUNED, "collapsed")
    assert "ZeroDivisionError" in trial.user_attrs["traceback"]


def test_a_dead_trial_has_a_note_and_a_picture(make: Any, tmp_path: Path) -> None:
    storage, study = make("budget.trials=1", "verdict.control=0")
    work(storage, study, fakes.collapsing, fakes.load, never, drawn=True)
    (picture,) = (path for path in (tmp_path / "store.db.artifacts").iterdir() if path.is_file())
    assert picture.read_bytes().startswith(b"\x89PNG")
    trial_id = study.trials[0]._trial_id
    notes = storage.get_study_system_attrs(storage.get_study_id_from_name("tiny"))
    assert notes[f"dashboard:{trial_id}:note_str:0"].startswith("## Autopsy")


def test_in_economy_mode_a_run_that_is_not_among_the_best_is_outranked_not_dead(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, study = make("budget.trials=1", "verdict.economy=true", *LONG)
    monkeypatch.setattr(attempt, "calibrated", lambda *_: Limit(50.0, "a limit that stops everybody"))
    work(storage, study, fakes.learning, fakes.load, never)
    trial = study.trials[0]
    assert (trial.state, trial.user_attrs["fate"]) == (TrialState.PRUNED, "outranked")
    assert trial.constraints == {"dead": -1.0}
    assert not any(name.startswith("autopsy") for name in trial.user_attrs)
    assert "learner" not in trial.user_attrs, "nobody knows what it would have become"


def pool(storage: Any, train: Any) -> int:
    """A worker without a study, which ends when there is nothing to do."""
    return Worker(storage, train, fakes.load, never, None, fakes.QUICK).serve_studies((), exit_when_idle=True)


def named(storage: Any, *overrides: str) -> optuna.Study:
    return store.create_study(storage, file.parse_space(TINY, overrides), TINY, overrides)


def test_a_pool_serves_studies_by_priority_and_those_made_later(make: Any) -> None:
    storage, _ = make("budget.trials=2")
    named(storage, "study.name=urgent", "study.priority=3", "budget.trials=2")
    order: list[str] = []

    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        order.append(str(config.seed))
        if len(order) == 3:
            named(storage, "study.name=more urgent", "study.priority=9", "budget.trials=1", "budget.seed=5")
        return fakes.learning(config, arrays, state)

    assert pool(storage, train) == 5
    states = {
        name: [trial.state.name for trial in store.load_study(storage, name).trials]
        for name in ("tiny", "urgent", "more urgent")
    }
    assert states == {"tiny": ["COMPLETE"] * 2, "urgent": ["COMPLETE"] * 2, "more urgent": ["COMPLETE"]}
    starts = sorted(
        (trial.datetime_start, name)
        for name in states
        for trial in store.load_study(storage, name).trials
        if trial.datetime_start
    )
    assert [name for _, name in starts] == ["urgent", "urgent", "tiny", "more urgent", "tiny"]


def test_a_pool_leaves_a_study_that_is_broken_and_serves_the_others(make: Any) -> None:
    storage, _ = make("budget.trials=9", "space.constraint=none", "space.activation=relu")
    named(storage, "study.name=sound", "study.priority=-1", "budget.trials=2", "space.activation=selu")

    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        return (fakes.raising if config.activation == "relu" else fakes.learning)(config, arrays, state)

    assert pool(storage, train) == 5
    assert [len(store.load_study(storage, name).trials) for name in ("tiny", "sound")] == [3, 2]


def test_a_study_that_cannot_be_read_is_left_and_the_others_are_served(make: Any, capsys: Any) -> None:
    storage, study = make()
    study.set_user_attr(store.SPACE_TEXT, "[study")
    named(storage, "study.name=sound", "budget.trials=2")
    assert pool(storage, fakes.learning) == 2
    assert capsys.readouterr().err.count("study 'tiny' is left") == 1


def test_an_attempt_that_breaks_off_counts_as_a_death_and_blames_no_study(
    make: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    storage, study = make("budget.trials=1")
    monkeypatch.setattr(attempt.Attempt, "_train", lambda *_: no_input())
    for state in (TrialState.WAITING, TrialState.WAITING, TrialState.FAIL):
        worker = Worker(storage, fakes.learning, fakes.load, never, None, fakes.QUICK)
        with pytest.raises(InputError, match="of the attempt's own"):
            worker._attempt_one_trial([])
        assert "is left" not in capsys.readouterr().err
        assert not worker.heart.holds_trial
        assert [trial.state for trial in study.trials] == [state]


def no_input() -> None:
    raise InputError("of the attempt's own")


def test_a_run_is_closed_however_its_attempt_ends(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, study = make("budget.trials=1")
    closed: list[fakes.Run] = []

    class Closing(fakes.Run):
        def close(self) -> None:
            super().close()
            closed.append(self)

    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        if len(closed) == 0:
            leases.take_over(storage.engine, 1, float("inf"), leases.Retries())
        return Closing(fakes.learning(config, arrays, None).readings, state)

    worker = Worker(storage, train, fakes.load, never, None, fakes.QUICK)
    with pytest.raises(LostLeaseError):
        worker._attempt_one_trial([])
    assert len(closed) == 1
    assert study.trials[0].state == TrialState.WAITING


def test_paused_and_stopped_studies_are_left(make: Any) -> None:
    storage, study = make()

    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        queue.set_state(storage.engine, 1, StudyState.STOPPED)
        return Slow(fakes.learning(config, arrays, state))

    assert work(storage, study, train) == 0
    (trial,) = study.trials
    assert (trial.state, trial.user_attrs["reason"]) == (TrialState.FAIL, "its study was stopped")


class Slow(fakes.Run):
    """A run that does not return before it is interrupted."""

    def __init__(self, inner: fakes.Run) -> None:
        super().__init__(inner.readings, None)

    def __next__(self) -> Reading | None:
        assert self.interrupted.wait(20)
        return super().__next__()


def test_a_checkpoint_is_written_while_a_look_takes_long(make: Any, tmp_path: Path) -> None:
    storage, _ = make("budget.trials=1")
    patience = replace(fakes.QUICK, checkpoint_s=0.1)
    found: list[int] = []

    class Long(fakes.Run):
        def __next__(self) -> Reading | None:
            if self.given == 1 and not found:
                assert self.interrupted.wait(20)
            return super().__next__()

        def state(self) -> bytes:
            found.append(self.given)
            return super().state()

    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        return Long(fakes.learning(config, arrays, None).readings, state)

    place = str(tmp_path / "place")
    assert Worker(storage, train, fakes.load, never, place, patience).serve_studies(["tiny"]) == 1
    assert found[0] == 1
    left = [path for path in (Path(place) / "checkpoints").rglob("*") if path.is_file()]
    assert not left, "none is left once the trial has ended"


def test_a_checkpoint_that_does_not_fit_is_no_end(make: Any, capsys: Any) -> None:
    storage, study = make("budget.trials=1")
    answers = iter([False] * 3)
    work(storage, study, fakes.learning, fakes.load, lambda: next(answers, True))

    def train(config: Config, arrays: Arrays, state: bytes | None) -> Any:
        if state is not None:
            raise TrialError("the saved state is of another net")
        return fakes.learning(config, arrays, None)

    assert work(storage, study, train) == 1
    told = capsys.readouterr().err
    assert "its checkpoint cannot be used: the saved state is of another net" in told
    assert "trial 0: starts over" in told
    assert study.trials[0].user_attrs["fate"] == "learned"


def test_a_trial_gone_on_with_is_judged_as_it_was_at_first(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    storage, study = make("budget.trials=1", *LONG)
    monkeypatch.setattr(attempt, "calibrated", lambda *_: Limit(0.25, "a limit of the first attempt"))
    answers = iter([False] * 3)
    work(storage, study, flat, fakes.load, lambda: next(answers, True))
    monkeypatch.setattr(attempt, "calibrated", lambda *_: 1 / 0)
    work(storage, study, flat)
    noted = study.trials[0].user_attrs["judged_by"]
    assert (noted["log_odds"], noted["grounds"]) == (0.25, "a limit of the first attempt")
    assert "a limit of the first attempt" in study.trials[0].user_attrs["reason"]
