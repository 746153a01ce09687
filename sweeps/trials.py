"""A finished trial, as everything that reads a study's results sees it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.config import Config
from sweeps.verdict import Fate

FAILED = "failed"  # the fate of a trial that ended by an error, and of which nothing is known
# Fates of trials of which nobody knows whether they would have learned: they were stopped or failed before, or what
# they learned in training does not show on the hold-out set for a reason that is no hyperparameter's.
UNKNOWN = (Fate.OUTRANKED, FAILED, Fate.INFERENCE_LAGS, Fate.HOLDOUT_DIFFERS)


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that counts in the budget of its study.

    The numbers are those of its last reading; None where it had none.

    Attributes:
        config: its recipe; None where it failed before it had one.
        params: the values that Optuna was asked for, conditional ones only where they were.
        value: the objective, as Optuna knows it: None where the trial was stopped or failed.
        gain: information gain, or R^2 in regression, which has no top-1.
        chance_loss: what guessing scores.
        best_step, best_epoch: where the objective was best; in the budget's epochs, or passes over the training images.
        would_stop: the step at which the judge would have stopped a control.
        slot: its place in the study's budget; None in a store of an early version.
        cause: of its death, as its worker noted it; empty where none was noted.
        traceback: of the error that it failed by; empty where it did not.
        data_digest: of the data that it was trained on; empty where unknown.
    """

    number: int
    fate: str
    reason: str = ""
    config: Config | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    value: float | None = None
    top1: float | None = None
    top5: float | None = None
    f1: float | None = None
    loss: float | None = None
    gain: float | None = None
    chance_loss: float | None = None
    best_value: float | None = None
    best_step: int | None = None
    best_epoch: float | None = None
    steps: int = 0
    seconds: float = 0.0
    would_stop: int | None = None
    slot: int | None = None
    cause: str = ""
    traceback: str = ""
    data_digest: str = ""

    @property
    def learned(self) -> bool:
        """Return whether the trial learned."""
        return self.fate == Fate.LEARNED

    @property
    def steps_saved(self) -> int:
        """Return the steps of its budget that stopping it left; 0 where it learned or failed."""
        if self.config is None or self.fate in (Fate.LEARNED, FAILED):
            return 0
        return self.config.steps - self.steps

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for a JSON encoder: what people are shown of the best trial."""
        config: dict[str, Any] = {}
        if self.config is not None:
            config = self.config.model_dump(mode="json")
        return {
            "number": self.number,
            "fate": self.fate,
            "reason": self.reason,
            "value": self.value,
            "top1": self.top1,
            "top5": self.top5,
            "f1": self.f1,
            "loss": self.loss,
            "gain": self.gain,
            "best_value": self.best_value,
            "best_step": self.best_step,
            "best_epoch": self.best_epoch,
            "steps": self.steps,
            "seconds": self.seconds,
            "config": config,
            "would_stop": self.would_stop,
        }


def drop_repetitions(trials: Iterable[FinishedTrial]) -> list[FinishedTrial]:
    """Return the trials without those that repeat another: the same recipe, seed included, on the same data.

    Such runs are equal bit for bit: together they are one run, not several seeds. Of equals the one with the most steps
    is kept, the first where these are equal too.
    """
    kept: dict[object, FinishedTrial] = {}
    for trial in trials:
        key: object = (trial.config, trial.data_digest)
        if trial.config is None:
            key = trial.number
        if key not in kept or trial.steps > kept[key].steps:
            kept[key] = trial
    return sorted(kept.values(), key=lambda trial: trial.number)


def drop_earlier_data(trials: Iterable[FinishedTrial]) -> list[FinishedTrial]:
    """Return the trials without those on data of a user's that have changed since: the two are not comparable.

    Data that come with a package or are made on the spot may differ in rounding from processor to processor; they do
    not count as changed.
    """
    known = list(trials)
    digests = [trial.data_digest for trial in known if _has_user_data(trial)]
    if not digests:
        return known
    return [trial for trial in known if not _has_user_data(trial) or trial.data_digest == digests[-1]]


def _has_user_data(trial: FinishedTrial) -> bool:
    return trial.config is not None and trial.config.data.is_of_user and bool(trial.data_digest)
