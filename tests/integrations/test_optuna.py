import subprocess
import sys
from collections.abc import Iterable
from math import exp, inf, log, nan
from pathlib import Path
from typing import Literal

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.integrations import DeadRunPruner
from sweeps.integrations.optuna import keep_reading, kept_readings, reason_to_stop
from sweeps.readings import LayerVitals, Reading
from sweeps.verdict.rules import Rules

STEPS = 100
# With losses alone the study must teach its own limit: 19 learners at this alpha.
NO_CONTROLS, ONLY_CONTROLS = Rules(alpha=0.05, control=0.0), Rules(alpha=0.05, control=1.0)
CHANCE = log(10)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def study_of(
    pruner: optuna.pruners.BasePruner, direction: Literal["minimize", "maximize"] = "minimize"
) -> optuna.Study:
    return optuna.create_study(pruner=pruner, direction=direction)


def run(study: optuna.Study, losses: Iterable[float]) -> optuna.trial.FrozenTrial:
    """A trial that reports these losses, evenly over its steps; the last is the objective."""
    losses = list(losses)
    trial = study.ask()
    for number, loss in enumerate(losses, 1):
        trial.report(loss, number * STEPS // len(losses))
        if trial.should_prune():
            return study.tell(trial, state=TrialState.PRUNED)
    return study.tell(trial, losses[-1])


def learner(start: float, seed: int = 0) -> list[float]:
    """Twenty losses: at chance, and from `start` (a share of the steps) on downwards."""
    return [
        CHANCE * (1 + 0.001 * ((7 * look + seed) % 5)) * min(1.0, exp(-4 * (look / 20 - start)))
        for look in range(1, 21)
    ]


def dead(seed: int = 0) -> list[float]:
    return learner(9.0, seed)


def taught(pruner: DeadRunPruner, learners: int) -> optuna.Study:
    study = study_of(pruner)
    for seed in range(learners):
        assert run(study, learner(0.3 * (7 * seed % learners) / learners, seed)).state == TrialState.COMPLETE
    return study


def test_a_diverging_trial_is_pruned_with_its_reason() -> None:
    ended = run(study_of(DeadRunPruner(classes=10, steps=STEPS)), [2.3, 2.2, 30.0, nan, nan, nan, nan])
    assert ended.state == TrialState.PRUNED
    assert len(ended.intermediate_values) == 6
    assert ended.user_attrs["fate"] == "diverged"
    assert ended.user_attrs["reason"].startswith("diverged at step 85: the hold-out loss at the last 3 readings is nan")


def test_infinite_losses_diverge_too() -> None:
    ended = run(study_of(DeadRunPruner(classes=10, steps=STEPS)), [2.3, inf, inf, inf, inf])
    assert (ended.state, ended.user_attrs["fate"]) == (TrialState.PRUNED, "diverged")


def test_a_learning_trial_is_not_pruned() -> None:
    ended = run(study_of(DeadRunPruner(classes=10, steps=STEPS)), learner(0.1))
    assert ended.state == TrialState.COMPLETE
    assert not ended.user_attrs


def test_a_trial_without_a_report_is_left_alone() -> None:
    study = study_of(DeadRunPruner(classes=10, steps=STEPS))
    assert not study.ask().should_prune()


def test_what_stays_at_chance_is_pruned_once_enough_others_have_learned() -> None:
    study = taught(DeadRunPruner(classes=10, steps=STEPS, rules=NO_CONTROLS), learners=19)
    ended = run(study, dead())
    assert ended.state == TrialState.PRUNED
    assert ended.user_attrs["fate"] == "at chance"
    assert "19 learners of this study that could not be stopped" in ended.user_attrs["reason"]
    assert run(study, learner(0.1)).state == TrialState.COMPLETE


def test_learners_that_report_from_step_0_on_count_as_well() -> None:
    study = study_of(DeadRunPruner(classes=10, steps=20, rules=NO_CONTROLS))
    for seed in range(30):
        trial = study.ask()
        for step, loss in enumerate(learner(0.0, seed)):
            trial.report(loss, step)
            assert not trial.should_prune()
        study.tell(trial, loss)
    trial = study.ask()
    for step, loss in enumerate(dead()):
        trial.report(loss, step)
    assert trial.should_prune()


def test_nothing_is_at_chance_before_enough_others_have_learned() -> None:
    study = taught(DeadRunPruner(classes=10, steps=STEPS, rules=NO_CONTROLS), learners=18)
    for seed in range(30):
        assert run(study, dead(seed)).state == TrialState.COMPLETE


def test_a_control_is_pruned_for_nan_only() -> None:
    study = taught(DeadRunPruner(classes=10, steps=STEPS, rules=ONLY_CONTROLS), learners=19)
    assert run(study, dead()).state == TrialState.COMPLETE
    ended = run(study, [2.3, nan, nan, nan, nan])
    assert (ended.state, ended.user_attrs["fate"]) == (TrialState.PRUNED, "diverged")


def test_the_other_pruner_is_asked_afterwards_and_leaves_no_fate() -> None:
    study = study_of(
        DeadRunPruner(optuna.pruners.ThresholdPruner(upper=5.0), classes=10, steps=STEPS, rules=NO_CONTROLS)
    )
    ended = run(study, [2.3, 9.0, 2.0])
    assert ended.state == TrialState.PRUNED
    assert len(ended.intermediate_values) == 2
    assert not ended.user_attrs
    assert run(study, learner(0.1)).state == TrialState.COMPLETE


def test_the_judge_comes_before_the_other_pruner() -> None:
    class Never(optuna.pruners.BasePruner):
        def prune(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:  # noqa: ARG002
            assert trial.last_step is not None
            assert trial.last_step < 80
            return False

    ended = run(study_of(DeadRunPruner(Never(), classes=10, steps=STEPS)), [2.3, nan, nan, nan, nan])
    assert ended.user_attrs["fate"] == "diverged"


def test_regression_is_judged_by_the_variance_of_the_target() -> None:
    pruner = DeadRunPruner(classes=None, steps=STEPS, chance_loss=4.0, rules=NO_CONTROLS)
    study = study_of(pruner)
    for seed in range(30):
        run(study, [4 * loss / CHANCE for loss in learner(0.0, seed)])
    ended = run(study, [4 * loss / CHANCE for loss in dead()])
    assert ended.user_attrs["fate"] == "at chance"
    assert "R^2" in ended.user_attrs["reason"]


def full(step: int, signal: float) -> Reading:
    names = ("dense", "logits")
    layers = tuple(LayerVitals(name, 0.0, 1.0, signal, 0.0, nan, 1e-3) for name in names)
    return Reading(step, nan, CHANCE, 40, 200, 400, nan, 1e-3, True, 0.0, layers)


def collapsing(trial: optuna.Trial, steps: int) -> int:
    """Report full readings of a net whose signal is lost; the step at which it is pruned."""
    for step in range(0, steps + 1, 5):
        keep_reading(trial, full(step, 0.3 if step < 20 else 1e-14), steps)
        if step:
            trial.report(CHANCE, step)
            if trial.should_prune():
                return step
    return -1


def test_full_readings_are_judged_where_there_are_any() -> None:
    study = study_of(DeadRunPruner(classes=10, steps=STEPS, rules=NO_CONTROLS))
    trial = study.ask()
    assert collapsing(trial, STEPS) == 30
    assert reason_to_stop(trial).startswith("collapsed at step 30: every input gives the same output")
    ended = study.tell(trial, state=TrialState.PRUNED)
    assert ended.user_attrs["fate"] == "collapsed"
    assert [look.step for look in kept_readings(ended)] == [*range(0, 31, 5)]
    assert repr(kept_readings(ended)[0]) == repr(full(0, 0.3))


def test_readings_survive_a_database(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/study.db"
    study = optuna.create_study(storage=storage, pruner=DeadRunPruner(classes=10, steps=STEPS, rules=NO_CONTROLS))
    trial = study.ask()
    assert collapsing(trial, STEPS) == 30
    study.tell(trial, state=TrialState.PRUNED)
    loaded = optuna.load_study(study_name=None, storage=storage)
    assert loaded.trials[0].user_attrs["fate"] == "collapsed"
    assert repr(kept_readings(loaded.trials[0])[4]) == repr(full(20, 1e-14))


def test_a_repeated_trial_is_not_judged_by_what_the_failed_one_showed() -> None:
    study = study_of(DeadRunPruner(classes=10, steps=STEPS, rules=NO_CONTROLS))
    failed = study.ask()
    collapsing(failed, STEPS)
    inherited = study._storage.get_trial(failed._trial_id).system_attrs
    study.add_trial(optuna.create_trial(state=TrialState.WAITING, system_attrs=inherited))
    again = study.ask()
    for step in range(0, 26, 5):
        keep_reading(again, full(step, 0.3), STEPS)
        if step:
            again.report(CHANCE, step)
            assert not again.should_prune()


def test_the_reason_is_the_judges_alone() -> None:
    study = study_of(optuna.pruners.NopPruner())
    trial = study.ask()
    trial.set_user_attr("reason", "of my own")
    assert reason_to_stop(trial) == ""
    assert reason_to_stop(optuna.trial.FixedTrial({})) == ""


def test_several_objectives_and_a_comparison_of_losses_that_are_maximised_are_refused() -> None:
    pruner = DeadRunPruner(optuna.pruners.MedianPruner(), classes=10, steps=STEPS, rules=NO_CONTROLS)
    two = optuna.create_study(directions=["minimize", "maximize"], pruner=pruner)
    two.add_trial(optuna.create_trial(values=[1.0, 1.0]))
    with pytest.raises(ValueError, match="2 objectives"):
        pruner.prune(two, two.trials[0])
    trial = study_of(pruner, "maximize").ask()
    trial.report(2.3, 1)
    with pytest.raises(ValueError, match="MedianPruner would stop the best"):
        trial.should_prune()
    assert run(study_of(DeadRunPruner(classes=10, steps=STEPS), "maximize"), learner(0.1)).state == TrialState.COMPLETE


@pytest.mark.parametrize(
    ("classes", "steps", "loss", "message"),
    [
        (10, 0, None, "steps is 0"),
        (1, 9, None, "classes is 1"),
        (None, 9, None, "chance_loss is missing"),
        (10, 9, 0.0, "chance_loss is 0"),
        (None, 9, nan, "chance_loss is nan"),
    ],
)
def test_numbers_that_make_no_sense(classes: int | None, steps: int, loss: float | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DeadRunPruner(classes=classes, steps=steps, chance_loss=loss)


def test_it_is_light() -> None:
    code = "import sys, sweeps.integrations\nassert not {'tensorflow', 'keras'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
