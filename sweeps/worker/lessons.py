"""What a study's finished trials left: their readings, and their lowest prognoses, which teach the judge."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from sweeps import store
from sweeps.config import Config
from sweeps.space.space import Space
from sweeps.verdict import CalibrationPoint, Rules, is_control

JUDGED = (TrialState.COMPLETE, TrialState.PRUNED)


def ended_trials(trials: Iterable[FrozenTrial], known: dict[int, CalibrationPoint]) -> list[CalibrationPoint]:
    """Return the finished trials that were judged, in the order of their numbers.

    Args:
        known: the points of trials of the same study by number, from earlier calls; those of new trials are added.
    """
    for trial in trials:
        noted = {store.LEARNER, store.CONTROL} <= trial.user_attrs.keys()
        if trial.number not in known and trial.state in JUDGED and noted:
            known[trial.number] = CalibrationPoint(
                lowest=trial.user_attrs.get(store.LOWEST_PROGNOSIS, float("inf")),
                learned=trial.user_attrs[store.LEARNER],
                control=trial.user_attrs[store.CONTROL],
                gain=trial.user_attrs.get(store.BEST_GAIN, float("-inf")),
            )
    return [known[number] for number in sorted(known)]


def calibration_attributes(ended: CalibrationPoint) -> dict[str, Any]:
    """Return the inverse, for one trial; what is infinite is left out, since JSON has no word for it."""
    numbers = {store.LOWEST_PROGNOSIS: ended.lowest, store.BEST_GAIN: ended.gain}
    finite = {name: round(value, 4) for name, value in numbers.items() if isfinite(value)}
    return {store.LEARNER: ended.learned, store.CONTROL: ended.control} | finite


def rules_of(space: Space, slot: int, config: Config, trials: Sequence[FrozenTrial]) -> tuple[Rules, bool]:
    """Return the rules for one trial, and whether it is a control.

    Before training only nets whose signal at the start means something may be rejected: with batch normalisation it has
    no statistics yet. No more are rejected than the study allows, and no control.
    """
    rules = space.verdict
    control = is_control(f"{space.name}/{space.budget.seed}", slot, rules)
    rejected = sum(trial.user_attrs.get(store.STEPS) == 0 for trial in trials)
    plain = config.batch_normalization == "none" and config.model.architecture != "custom"
    if control or not plain or rejected >= rules.rejections:
        rules = replace(rules, rejections=0)
    return rules, control
