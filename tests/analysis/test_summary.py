"""Sums over trials: counts, steps saved and the table, against numbers reckoned by hand."""

import itertools
import json
from typing import Any

import optuna
from fakes import TINY
from optuna.trial import FrozenTrial, TrialState, create_trial
from rich.console import Console

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.trials import FinishedTrial

SPACE = file.parse_space(TINY, ["budget.trials=8", "budget.steps=100", "space.constraint.choices=['none','unit_norm']"])

SEEDS = itertools.count()


def trial(
    fate: str, steps: int, top1: float, activation: str = "selu", constraint: str = "none", **more: Any
) -> FrozenTrial:
    states = {"learned": TrialState.COMPLETE, "at chance": TrialState.COMPLETE, "failed": TrialState.FAIL}
    state = states.get(fate, TrialState.FAIL if fate == store.INTERRUPTED else TrialState.PRUNED)
    config: dict[str, Any] = {
        "activation": activation,
        "constraint": constraint,
        "learning_rate": 0.00123456,
        "steps": 100,
    }
    config |= {"learning_rate": 0.00123456, "steps": 100, "seed": next(SEEDS)}
    attributes = {"fate": fate, "reason": "so", "steps": steps, "top1": top1, "chance_top1": 0.1, "loss": 2.0}
    return create_trial(
        state=state,
        value=top1 if state == TrialState.COMPLETE else None,
        user_attrs={**attributes, "config": json.dumps(config), **more},
    )


TRIALS = [
    trial("learned", 100, 0.5, constraint="unit_norm"),
    trial("learned", 100, 0.7, constraint="unit_norm"),
    trial("at chance", 100, 0.1),
    trial("collapsed", 30, 0.1),
    trial("diverged", 10, 0.1, activation="relu"),
    trial("failed", 0, 0.0),
    trial(store.INTERRUPTED, 50, 0.9),
]
for number, each in enumerate(TRIALS):
    each.number = number


def text(space: Space, trials: list[FrozenTrial]) -> str:
    console = Console(width=100, file=None, record=True, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(summaries.render_summary(space, summaries.summarise_trials(space, trials)))
    return capture.get()


def test_counts_steps_and_best() -> None:
    summary = summaries.summarise_trials(SPACE, TRIALS)
    assert (summary.done, summary.running, summary.given_up, summary.trials) == (6, 0, 1, 8)
    assert summary.fates == {"learned": 2, "at chance": 1, "collapsed": 1, "diverged": 1, "failed": 1}
    assert summary.steps_run == 100 + 100 + 100 + 30 + 10
    assert summary.steps_saved == 70 + 90  # a failure saved nothing
    assert summary.step_share == 6 / 8
    assert summary.best is not None
    assert summary.best.value == 0.7
    assert summary.learned_of_tried == {
        ("selu", "unit_norm"): (2, 2),
        ("selu", "none"): (0, 2),
        ("relu", "none"): (0, 1),
    }


def test_the_best_of_a_loss_is_the_lowest() -> None:
    space = file.parse_space(TINY, ["study.objective=loss"])
    summary = summaries.summarise_trials(space, TRIALS)
    assert summary.best is not None
    assert summary.best.value == 0.1


def test_a_running_trial_counts_by_its_steps() -> None:
    study = optuna.create_study()
    running = study.ask()
    running.report(0.1, 50)
    summary = summaries.summarise_trials(SPACE, [*TRIALS[:2], *study.trials])
    assert (summary.done, summary.running) == (2, 1)
    assert summary.step_share == (2 * 100 + 50) / 800


def test_the_summary_reads_well() -> None:
    shown = text(SPACE, TRIALS)
    assert "tiny: 6 of 8 trials, 1 given up" in shown
    assert "learned 2 · at chance 1 · collapsed 1 · diverged 1 · failed 1 │ steps saved 160 of 500 (32%)" in shown
    assert "best: top-1 70.00%, trial 1: selu learning_rate=0.00123 unit_norm" in shown
    assert "2 / 2" in shown
    assert "chance level of top-1: 10.00%" in shown


def test_an_empty_study_reads_well_too() -> None:
    shown = text(SPACE, [])
    assert "0 of 8 trials" in shown
    assert "no trial finished yet" in shown
    assert "best: none yet" in shown


def test_without_a_learner_no_configuration_is_called_best() -> None:
    dead = trial("at chance", 100, 0.1094)
    assert "best: none yet: nothing learned" in text(SPACE, [dead])
    kept = summaries.summarise_trials(SPACE, [dead]).best
    assert kept is not None
    assert kept.value == 0.1094


def test_json_holds_the_same() -> None:
    values = json.loads(json.dumps(summaries.summarise_trials(SPACE, TRIALS).to_dict()))
    assert values["learned_of_tried"][0] == {"activation": "selu", "constraint": "unit_norm", "learned": 2, "tried": 2}
    assert values["best"]["config"]["constraint"] == "unit_norm"


def test_controls_that_would_have_been_stopped_show_what_stopping_loses() -> None:
    spared = [
        trial("learned", 100, 0.5, would_stop_at_step=40),
        trial("at chance", 100, 0.1, would_stop_at_step=60),
        trial("learned", 100, 0.5),
    ]
    summary = summaries.summarise_trials(SPACE, spared)
    assert (summary.would_stop, summary.would_stop_learned) == (2, 1)
    assert "2 controls would have been stopped; 1 of them learned" in text(SPACE, spared)
    assert "controls" not in text(SPACE, spared[2:])


def test_a_trial_stopped_at_chance_saves_steps() -> None:
    stopped = create_trial(state=TrialState.PRUNED, user_attrs=trial("at chance", 40, 0.1).user_attrs)
    assert summaries.summarise_trials(SPACE, [stopped]).steps_saved == 60


def test_a_trial_of_a_regression_is_shown_by_its_r2() -> None:
    space = file.parse_space(TINY, ["data.task='regression'", "data.source='diabetes'", "study.objective='r2'"])
    line = summaries.trial_line(space, FinishedTrial(number=3, fate="learned", gain=0.42, loss=0.58, steps=100)).plain
    assert "R^2" in line
    assert "0.420" in line
    assert "0.58" in line
    assert "top-1" not in line


def test_the_line_of_a_run_again_names_its_candidate_and_its_seed() -> None:
    again = FinishedTrial(3, "learned", params={"candidate": 27, "replicate": 1})
    assert "(candidate 27, seed 1)" in str(summaries.trial_line(SPACE, again))
    assert "candidate" not in str(summaries.trial_line(SPACE, FinishedTrial(3, "learned")))
