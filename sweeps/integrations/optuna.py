"""A pruner that asks the judge, and where a trial's readings are kept in an Optuna study."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import Any

import optuna
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.optuna_private import storage_of, trial_id_of
from sweeps.readings import Reading
from sweeps.verdict.calibration import NO_LIMIT, CalibrationPoint, calibrated_limit, is_control
from sweeps.verdict.chance import Chance
from sweeps.verdict.judge import DEFAULT_RULES, NUMERICAL, Verdict, is_learner, judge, verdict_at_end
from sweeps.verdict.prognosis import kind_of
from sweeps.verdict.rules import Rules

FATE = "fate"  # user attributes, for people
REASON = "reason"
# System attributes: in a table of the trials or on a dashboard, user attributes would be a column per reading.
STEPS = "sweeps:steps"
READING = "sweeps:reading:"
SHARES = "sweeps:holdout_shares"  # of the classes, the largest first; those that matter


class DeadRunPruner(optuna.pruners.BasePruner):
    """Prunes a trial that is dead, and says why; then asks another pruner, which compares those that are alive.

    What is reported must be the loss on the hold-out set, whatever the study's objective is: the cross-entropy in nats
    or, without classes, the mean squared error. Count steps from 1, so that the last one is `steps`; 0 is the untrained
    model. `sweeps.integrations.keras.DeadRunCallback` reports by itself, and more than the loss.

    A trial that the judge stops has the user attributes `fate` (`diverged`, `not finite`, `collapsed`, `frozen` or
    `at chance`) and `reason`; one that the other pruner stops has neither. Some trials, `rules.control` of them, are
    stopped by the judge only for NaN or infinity: they show what stopping loses. At chance is a reason only after some
    trials of the study have learned: three where layers are watched, 1 / alpha - 1 where there are losses alone.

    Args:
        pruner: asked where the judge stops nothing. It compares losses, so the study must minimise.
        classes: how many there are, taken to be equally frequent; None in regression.
        steps: of a whole trial, in whatever unit is reported: epochs or optimiser steps.
        chance_loss: what guessing scores: the entropy in nats of class frequencies that are not equal, in regression
            the variance of the target. Default: ln(classes).

    Raises:
        ValueError: the numbers make no sense, or there are neither classes nor a chance_loss.

    Example:
        ```python
        study = optuna.create_study(pruner=DeadRunPruner(classes=10, steps=30))

        def objective(trial):
            for epoch in range(30):
                ...  # train for an epoch
                trial.report(validation_loss, epoch + 1)
                if trial.should_prune():
                    raise optuna.TrialPruned
            return validation_loss
        ```
    """

    def __init__(
        self,
        pruner: optuna.pruners.BasePruner | None = None,
        *,
        classes: int | None,
        steps: int,
        chance_loss: float | None = None,
        rules: Rules = DEFAULT_RULES,
    ) -> None:
        if steps < 1:
            raise ValueError(f"steps is {steps}; a trial has at least one")
        self.chance = _chance(classes, chance_loss)
        self.steps = steps
        self.rules = rules
        self._pruner = pruner
        self._ended: dict[tuple[str, int], CalibrationPoint] = {}

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether to stop the trial now; called by `trial.should_prune()`.

        Raises:
            ValueError: the study has several objectives, or it maximises and there is another pruner.
        """
        if len(study.directions) > 1:
            raise ValueError(f"the study has {len(study.directions)} objectives; DeadRunPruner serves studies of one")
        if self._pruner and study.direction == StudyDirection.MAXIMIZE:
            raise ValueError(
                "the study maximises, and what is reported is a loss: "
                f"{type(self._pruner).__name__} would stop the best; minimise the loss, or use DeadRunPruner without it"
            )
        if verdict := self._verdict(study, trial):
            storage_of(study).set_trial_user_attr(trial_id_of(trial), FATE, str(verdict.fate))
            storage_of(study).set_trial_user_attr(trial_id_of(trial), REASON, verdict.reason)
            return True
        if self._pruner is None or self._is_control(study, trial):
            return False
        return self._pruner.prune(study, trial)

    def _verdict(self, study: optuna.Study, trial: FrozenTrial) -> Verdict | None:
        """Return the judge's, where it stops the trial."""
        readings = kept_readings(trial)
        if not readings:
            return None
        bound = calibrated_limit(self._history(study), self.rules, kind_of(readings))
        verdict = judge(readings, self._chance_of(trial), self._budget(trial), bound, self.rules)
        spared = self._is_control(study, trial) and verdict.fate not in NUMERICAL
        if verdict.stops and not spared:
            return verdict
        return None

    def _history(self, study: optuna.Study) -> list[CalibrationPoint]:
        """Return what the finished trials teach; each is counted once."""
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED)):
            key = (study.study_name, trial.number)
            if key not in self._ended and (readings := kept_readings(trial)):
                bound = calibrated_limit(self._of(study), self.rules, kind_of(readings))
                control = bound == NO_LIMIT or self._is_control(study, trial)
                self._ended[key] = self._end(readings, trial, control)
        return self._of(study)

    def _of(self, study: optuna.Study) -> list[CalibrationPoint]:
        return [end for (name, _), end in self._ended.items() if name == study.study_name]

    def _end(self, readings: Sequence[Reading], trial: FrozenTrial, control: bool) -> CalibrationPoint:
        chance = self._chance_of(trial)
        end = verdict_at_end(readings, chance, self._budget(trial), control, self.rules)
        if trial.state == TrialState.COMPLETE:  # at its end, though its last report may be a step short of it
            return replace(end, learned=is_learner(readings, chance, self.rules))
        return end

    def _chance_of(self, trial: FrozenTrial) -> Chance:
        """Return what guessing scores: on the trial's own hold-out set, as far as that is known.

        Where one class is more frequent than the others, to answer it alone is right more often than 1 / classes.
        """
        shares = trial.system_attrs.get(SHARES)
        if not self.chance.classes or not shares:
            return self.chance
        return replace(
            self.chance,
            top1=max(self.chance.top1, shares["top1"]),
            top5=max(self.chance.top5, shares["top5"]),
            constant_loss=shares["constant_loss"],
        )

    def _budget(self, trial: FrozenTrial) -> int:
        return int(trial.system_attrs.get(STEPS, self.steps))

    def _is_control(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return is_control(study.study_name, trial.number, self.rules)


def keep_reading(trial: optuna.trial.BaseTrial, reading: Reading, steps: int) -> None:
    """Store a reading with its trial, for the pruner to judge by; a trial that is only replayed keeps nothing.

    Args:
        steps: of this trial as a whole, which overrule the pruner's: they may depend on the batch size.
    """
    if isinstance(trial, optuna.Trial):
        trial.storage.set_trial_system_attr(trial_id_of(trial), STEPS, steps)
        # As text: JSON has no NaN.
        name = f"{READING}{reading.step}"
        trial.storage.set_trial_system_attr(trial_id_of(trial), name, reading.to_json())


def keep_shares(trial: optuna.trial.BaseTrial, labels: NDArray[Any]) -> None:
    """Store with its trial what one answer to the whole hold-out set would score.

    Args:
        labels: of the hold-out set, (inputs,).
    """
    if isinstance(trial, optuna.Trial):
        chance = Chance.of(labels, labels, int(labels.max()) + 1)
        shares = {"top1": chance.top1, "top5": chance.top5, "constant_loss": chance.constant_loss}
        trial.storage.set_trial_system_attr(trial_id_of(trial), SHARES, shares)


def kept_readings(trial: FrozenTrial) -> list[Reading]:
    """Return the readings stored with a trial, in the order of their steps; where there are none, the values it
    reported.
    """
    texts = [text for name, text in trial.system_attrs.items() if name.startswith(READING)]
    readings = [Reading.from_json(text) for text in texts]
    if not readings:
        return [_of_loss(step, loss) for step, loss in sorted(trial.intermediate_values.items())]
    # A trial that repeats a failed one inherits its attributes; what it has not reported itself is not its own.
    reported = trial.last_step or 0
    return sorted(
        (reading for reading in readings if reading.step <= reported), key=lambda last_reading: last_reading.step
    )


def reason_to_stop(trial: optuna.trial.BaseTrial) -> str:
    """Return why the judge has stopped a trial; empty where it was another pruner."""
    if isinstance(trial, optuna.Trial) and isinstance(trial.study.pruner, DeadRunPruner):
        return str(trial.storage.get_trial(trial_id_of(trial)).user_attrs.get(REASON, ""))
    return ""


def chance_of(trial: optuna.trial.BaseTrial) -> Chance | None:
    """Return what guessing scores, as the pruner of the trial's study was told; None where it is another pruner."""
    if isinstance(trial, optuna.Trial) and isinstance(trial.study.pruner, DeadRunPruner):
        return trial.study.pruner.chance
    return None


def _chance(classes: int | None, loss: float | None) -> Chance:
    if loss is not None and not (loss > 0 and isfinite(loss)):
        raise ValueError(f"chance_loss is {loss:g}; it must be above 0 and finite")
    if classes is None:
        if loss is None:
            raise ValueError("chance_loss is missing; without classes it is the variance of the target")
        return Chance(nan, nan, loss, 0)
    if classes < 2:
        raise ValueError(f"classes is {classes}; it must be at least 2, or None in regression")
    usual = Chance.balanced(classes)
    if loss is None:
        return usual
    return replace(usual, loss=loss)


def _of_loss(step: int, loss: float) -> Reading:
    """Return a reading that holds nothing but the loss on the hold-out set."""
    return Reading(
        step=step,
        train_loss=nan,
        loss=loss,
        hits1=0,
        hits5=0,
        count=0,
        gradient_norm=nan,
        update_ratio=nan,
        finite=True,
        seconds=0.0,
        layers=(),
    )
