"""A finished trial, as everything that reads a study's results sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sweeps.config import Config
from sweeps.verdict import Fate

FAILED = "failed"  # the fate of a trial that ended by an error, and of which nothing is known
# Fates of trials that were stopped or failed before anybody could know whether they would have learned.
UNKNOWN = (Fate.OUTRANKED, FAILED)


@dataclass(frozen=True, slots=True)
class FinishedTrial:
    """A trial that counts in the budget of its study.

    The numbers are those of its last reading; None where it had none.

    Attributes:
        config: its recipe; None where it failed before it had one.
        params: the values that Optuna was asked for, conditional ones only where they were.
        value: the objective, as Optuna knows it: None where the trial was stopped or failed.
        gain: information gain, or R^2 in regression, which has no top-1.
        best_step, best_epoch: where the objective was best; in the budget's epochs, or passes over the training images.
        would_stop: the step at which the judge would have stopped a control.
        slot: its place in the study's budget; None in a store of an early version.
        cause: of its death, as its worker noted it; empty where none was noted.
        traceback: of the error that it failed by; empty where it did not.
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
    best_value: float | None = None
    best_step: int | None = None
    best_epoch: float | None = None
    steps: int = 0
    seconds: float = 0.0
    would_stop: int | None = None
    slot: int | None = None
    cause: str = ""
    traceback: str = ""

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
