"""The objectives that a study can compare its trials by: their names, direction, bounds and format."""

from dataclasses import dataclass
from math import inf, nan
from typing import Literal, Protocol

ObjectiveName = Literal["top1", "top5", "f1", "loss", "gain", "r2"]
Direction = Literal["maximize", "minimize"]
Task = Literal["classification", "regression"]


class Measured(Protocol):
    """A reading: what is measured on the hold-out images."""

    @property
    def top1(self) -> float: ...
    @property
    def top5(self) -> float: ...
    @property
    def f1(self) -> float: ...
    @property
    def loss(self) -> float: ...


class Scored(Protocol):
    """A finished trial: the numbers of its last reading, None where it has none."""

    @property
    def top1(self) -> float | None: ...
    @property
    def top5(self) -> float | None: ...
    @property
    def f1(self) -> float | None: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def gain(self) -> float | None: ...


class Guessing(Protocol):
    """What guessing scores, which a reading is compared with; not a number where it is unknown."""

    @property
    def top1(self) -> float: ...
    @property
    def top5(self) -> float: ...
    @property
    def loss(self) -> float: ...

    def skill_score(self, loss: float) -> float:
        """Return 1 - loss / loss of guessing."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A number that a study compares its trials by.

    Attributes:
        name: in search-space files and in stores.
        title: for people.
        definition: what it is, in a sentence.
        direction: "maximize" or "minimize".
        bounds: lowest and highest possible value.
        measure: the field of a finished trial that holds it; all but "gain" are fields of a reading too.
        unit: "%" for a share shown in percent, otherwise empty.
        hits: the field of a reading that counts what the share is of; empty where it is no share.
        tasks: where it has a meaning.
    """

    name: ObjectiveName
    title: str
    definition: str
    direction: Direction
    bounds: tuple[float, float]
    measure: Literal["top1", "top5", "f1", "loss", "gain"]
    unit: Literal["", "%"] = ""
    hits: Literal["", "hits1", "hits5"] = ""
    tasks: tuple[Task, ...] = ("classification", "regression")

    @property
    def sign(self) -> int:
        """Return 1 if more is better, otherwise -1: `sign * value` is larger for the better of two values."""
        if self.direction == "maximize":
            return 1
        return -1

    @property
    def better(self) -> str:
        """Return "more" or "less": of which people want as much as they can get."""
        if self.direction == "maximize":
            return "more"
        return "less"

    @property
    def best_end(self) -> str:
        """Return "highest" or "lowest": which value is the best."""
        if self.direction == "maximize":
            return "highest"
        return "lowest"

    @property
    def difference_unit(self) -> str:
        """Return what follows a difference of two values that `format_difference` wrote."""
        if self.unit == "%":
            return " points"
        return ""

    @property
    def worst(self) -> float:
        """Return a value that is worse than all others."""
        return -self.sign * inf

    def read_reading(self, reading: Measured, chance: Guessing) -> float:
        """Return the objective of a reading."""
        if self.measure == "gain":
            return chance.skill_score(reading.loss)
        value: float = getattr(reading, self.measure)
        return value

    def read_trial(self, trial: Scored) -> float | None:
        """Return the objective at the last reading of a finished trial, None where it has none."""
        value: float | None = getattr(trial, self.measure)
        return value

    def read_chance(self, chance: Guessing) -> float:
        """Return the objective of guessing; not a number where it is unknown."""
        if self.measure == "gain":
            return 0.0
        if self.measure == "f1":
            return nan
        value: float = getattr(chance, self.measure)
        return value

    def loss_scale(self, chance: Guessing) -> float:
        """Return the change of the mean loss that changes the objective by one; not a number if it is no loss."""
        if self.measure == "loss":
            return 1.0
        if self.measure == "gain":
            return chance.loss
        return nan

    def format_difference(self, difference: float) -> str:
        """Return a difference of two values for people; of shares in percentage points, without the unit."""
        if self.unit == "%":
            return f"{100 * difference:.2f}"
        return self.format_value(difference)

    def format_value(self, value: float) -> str:
        """Return a value for people."""
        if self.unit == "%":
            return f"{value:.2%}"
        return f"{value:.4g}"


OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective(
            name="top1",
            title="top-1",
            definition="top-1, the share of hold-out images whose class is the net's first answer",
            direction="maximize",
            bounds=(0.0, 1.0),
            measure="top1",
            unit="%",
            hits="hits1",
            tasks=("classification",),
        ),
        Objective(
            name="top5",
            title="top-5",
            definition="top-5, the share of hold-out images whose class is among the net's first five answers",
            direction="maximize",
            bounds=(0.0, 1.0),
            measure="top5",
            unit="%",
            hits="hits5",
            tasks=("classification",),
        ),
        Objective(
            name="f1",
            title="macro F1",
            definition="macro F1, the mean over the classes on the hold-out set",
            direction="maximize",
            bounds=(0.0, 1.0),
            measure="f1",
            tasks=("classification",),
        ),
        Objective(
            name="loss",
            title="loss",
            definition="the hold-out loss",
            direction="minimize",
            bounds=(0.0, inf),
            measure="loss",
        ),
        Objective(
            name="gain",
            title="information gain",
            definition="information gain, 1 - hold-out loss / loss of guessing",
            direction="maximize",
            bounds=(-inf, 1.0),
            measure="gain",
        ),
        Objective(
            name="r2",
            title="R^2",
            definition="R^2, 1 - hold-out loss / loss of predicting the mean",
            direction="maximize",
            bounds=(-inf, 1.0),
            measure="gain",
            tasks=("regression",),
        ),
    )
}
