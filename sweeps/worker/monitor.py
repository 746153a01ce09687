"""One trial: what it is judged by, from its first reading to its outcome and to what the store keeps of it.

Nothing here trains or writes: a run comes in, words for the store go out.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
from optuna.trial import TrialState

from sweeps import store
from sweeps.config import Config
from sweeps.readings import Reading
from sweeps.space.space import Space
from sweeps.verdict import (
    NO_LIMIT,
    NUMERICAL,
    Chance,
    Fate,
    Limit,
    Rules,
    Verdict,
    final_verdict,
    judge,
    verdict_at_end,
)
from sweeps.worker import lessons
from sweeps.worker.protocol import Run


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one trial ended; `readings` as far as it came, `would_stop` where a control would have been stopped.

    Attributes:
        blames_study: whether a failure counts among those after which a worker leaves the study.
    """

    state: TrialState
    fate: str
    reason: str
    readings: tuple[Reading, ...] = ()
    traceback: str = ""
    would_stop: tuple[int, str] | None = None
    blames_study: bool = True


@dataclass(frozen=True, slots=True)
class JudgeContext:
    """What a trial is trained by, measured against and judged by; `images` are those to train on."""

    config: Config
    chance: Chance
    images: int
    rules: Rules
    limit: Limit
    control: bool


def follow_run(
    trial: optuna.Trial,
    run: Run,
    setting: JudgeContext,
    space: Space,
    past: "ResumePoint",
    attend: Callable[[Sequence[Reading], bool], bool],
) -> Outcome | None:
    """Pull readings until the run is over or a verdict or the pruner stops it; each is reported to Optuna.

    What is reported is continuous (information gain, or its counterpart where less is better): accuracies tie at
    chance, and ties blind every pruner. A control goes on whatever the judge says, unless it diverged.

    Args:
        past: what an earlier worker did, with which `run` goes on; its readings are judged again.
        attend: (all readings so far, whether the last is new) -> whether to leave the trial here; asked after each
            pull.

    Returns:
        None where the trial was left.
    """
    judged = TrialMonitor(trial, setting, space, past.reported)
    for reading in past.readings:
        if outcome := judged.outcome_at(reading, new=False):
            return outcome
    for pulled in run:
        if pulled is not None and (outcome := judged.outcome_at(pulled, new=True)):
            return outcome
        if attend(judged.readings, pulled is not None):
            return None
    return judged.outcome_at_end()


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """What an earlier worker did of a trial: its readings, and the steps (or epochs) that Optuna has been told of."""

    readings: tuple[Reading, ...] = ()
    reported: frozenset[int] = frozenset()


@dataclass(slots=True)
class TrialMonitor:
    """The readings of a trial, judged one after the other; Optuna has been told of those `reported`."""

    trial: optuna.Trial
    setting: JudgeContext
    space: Space
    reported: frozenset[int]
    readings: list[Reading] = field(default_factory=list)
    would_stop: tuple[int, str] | None = None

    def outcome_at(self, reading: Reading, *, new: bool) -> Outcome | None:
        """Return the outcome, if the trial ends with this reading."""
        self.readings.append(reading)
        setting = self.setting
        steps = self.setting.config.steps
        self._report_to_optuna(reading)
        if reading.step == steps:
            return self.outcome_at_end()
        verdict = judge(self.readings, setting.chance, steps, setting.limit, setting.rules)
        if setting.control and verdict.stops and verdict.fate not in NUMERICAL:
            self.would_stop = self.would_stop or (reading.step, verdict.reason)
            return None
        if new and not verdict.stops and not setting.control and reading.step > 0 and self.trial.should_prune():
            pruner = self.space.pruner["name"]
            reason = f"other trials were better at step {reading.step} ({pruner})"
            verdict = Verdict(Fate.OUTRANKED, reason, stops=True)
        if not verdict.stops:
            return None
        return Outcome(TrialState.PRUNED, verdict.fate, verdict.reason, tuple(self.readings))

    def outcome_at_end(self) -> Outcome:
        """Return the outcome of a run that was not stopped."""
        verdict = final_verdict(self.readings, self.setting.chance, self.setting.rules)
        if verdict.stops:
            state = TrialState.PRUNED
        else:
            state = TrialState.COMPLETE
        return Outcome(state, verdict.fate, verdict.reason, tuple(self.readings), would_stop=self.would_stop)

    def _report_to_optuna(self, reading: Reading) -> None:
        gain = self.setting.chance.skill_score(reading.loss)
        # Epochs are counted where there are any: their steps depend on the batch.
        if self.space.budget.epochs:
            at = len(self.readings) - 1
        else:
            at = reading.step
        if reading.step > 0 and abs(gain) < math.inf and at not in self.reported:
            self.trial.report(self.space.measure.sign * gain, at)


def objective_value(space: Space, reading: Reading, chance: Chance) -> float:
    """Return the number that a study compares its trials by."""
    return space.measure.read_reading(reading, chance)


def best_reading(space: Space, readings: Sequence[Reading], chance: Chance) -> Reading:
    """Return the reading with the best value, the first of equals; the last where none has a number."""
    sign = space.measure.sign
    with_number = [reading for reading in readings if math.isfinite(objective_value(space, reading, chance))]
    return max(
        with_number, key=lambda last_reading: sign * objective_value(space, last_reading, chance), default=readings[-1]
    )


def outcome_attributes(outcome: Outcome, space: Space, setting: JudgeContext | None) -> dict[str, Any]:
    attributes: dict[str, Any] = {store.FATE: str(outcome.fate), store.REASON: outcome.reason}
    if outcome.traceback:
        attributes[store.TRACEBACK] = outcome.traceback
    if outcome.readings and setting is not None:
        config = setting.config
        chance = setting.chance
        last = outcome.readings[-1]
        best = best_reading(space, outcome.readings, chance)
        passes = best.step * config.batch_size / setting.images
        if space.budget.epochs:
            epochs = best.step / config.report_interval
        else:
            epochs = passes
        numbers = {
            store.TOP1: last.top1 if chance.classes else math.nan,
            store.TOP5: last.top5 if chance.classes else math.nan,
            store.F1: last.f1,
            store.LOSS: last.loss,
            store.GAIN: chance.skill_score(last.loss),
            store.CHANCE_TOP1: chance.top1,
            store.CHANCE_TOP5: chance.top5,
            store.CHANCE_LOSS: chance.loss,
            store.CHANCE_TRAIN_LOSS: chance.train_loss,
            store.CHANCE_CONSTANT_LOSS: chance.constant_loss,
            store.BEST_VALUE: objective_value(space, best, chance),
            store.BEST_STEP: best.step,
            store.BEST_EPOCH: epochs,
        }
        # JSON has no NaN: a loss that is none is told by the fate.
        attributes |= {name: _rounded(value) for name, value in numbers.items() if abs(value) < float("inf")}
        attributes[store.STEPS] = last.step
        attributes |= _lesson_attributes(outcome, setting)
    return attributes


def _rounded(value: float) -> float:
    """Round a number for people to read; finer than one of a hundred thousand images."""
    if isinstance(value, int):
        return value
    return float(f"{value:.6g}")


def _lesson_attributes(outcome: Outcome, setting: JudgeContext) -> dict[str, Any]:
    """Return what later trials are judged by; an outranked one teaches nothing, since nobody knows its end."""
    if outcome.fate == Fate.OUTRANKED:
        return {}
    safe = setting.control or setting.limit == NO_LIMIT
    end = verdict_at_end(outcome.readings, setting.chance, setting.config.steps, safe, setting.rules)
    attributes = lessons.calibration_attributes(end)
    if outcome.would_stop:
        attributes[store.WOULD_STOP], attributes[store.WOULD_STOP_REASON] = outcome.would_stop
    return attributes


def tell_outcome(
    study: optuna.Study, trial: optuna.Trial, space: Space, outcome: Outcome, setting: JudgeContext | None
) -> None:
    """Tell Optuna the end of a trial. A dead region is infeasible, which is what makes a sampler leave it."""
    if outcome.state == TrialState.FAIL or setting is None:
        study.tell(trial, state=TrialState.FAIL)
        return
    dead = outcome.state == TrialState.PRUNED and outcome.fate != Fate.OUTRANKED
    trial.set_constraint(store.DEAD, 1.0 if dead else -1.0)
    if outcome.state == TrialState.PRUNED:
        study.tell(trial, state=TrialState.PRUNED)
        return
    study.tell(trial, objective_value(space, outcome.readings[-1], setting.chance))
