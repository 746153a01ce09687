"""Parameters: what a hyperparameter may be, as choices or a range, and under which conditions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

Scalar = str | int | float | bool


class Suggests(Protocol):
    """The part of an Optuna trial that `Space.draw` needs."""

    def suggest_categorical(self, name: str, choices: Sequence[Scalar]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int: ...
    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...


@dataclass(frozen=True, slots=True)
class Choices:
    """One of `values`; a single value is fixed and no question for a sampler."""

    values: tuple[Scalar, ...]

    @property
    def count(self) -> int:
        """Return how many values there are."""
        return len(self.values)

    def suggest(self, trial: Suggests, label: str) -> Scalar:
        """Return the value that the trial draws under this label."""
        if len(self.values) == 1:
            return self.values[0]
        value: Scalar = trial.suggest_categorical(label, self.values)
        return value

    def ends(self) -> tuple[Scalar, ...]:
        """Return the values that a rehearsal tries."""
        return self.values

    def allows(self, value: object) -> bool:
        """Return whether it is one of the values."""
        return value in self.values


@dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both included; uniform in the logarithm if `log`, on a grid if `step` is given."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    @property
    def is_endless(self) -> bool:
        """Return whether there are more values than can be listed."""
        return not self.integer and self.step is None

    @property
    def count(self) -> int:
        """Return how many numbers a range has that is not endless."""
        low, high, step = self._as_decimals()
        return int((high - low) // step) + 1

    @property
    def values(self) -> tuple[Scalar, ...]:
        """Return all numbers of a range that is not endless."""
        low, _, step = self._as_decimals()
        numbers = [low + index * step for index in range(self.count)]
        if self.integer:
            return tuple(int(number) for number in numbers)
        return tuple(float(number) for number in numbers)

    def _as_decimals(self) -> tuple[Decimal, Decimal, Decimal]:
        return Decimal(str(self.low)), Decimal(str(self.high)), Decimal(str(self.step or 1))  # .1 + .2 is to be .3

    def suggest(self, trial: Suggests, label: str) -> Scalar:
        """Return the number that the trial draws under this label."""
        if self.integer:
            return trial.suggest_int(label, int(self.low), int(self.high), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(label, self.low, self.high, step=self.step, log=self.log)

    def ends(self) -> tuple[Scalar, ...]:
        """Return the values that a rehearsal tries."""
        ends: tuple[Scalar, Scalar] = (self.low, self.high)
        if self.integer:
            ends = (int(self.low), int(self.high))
        if self.low == self.high:
            return ends[:1]
        return ends

    def allows(self, value: object) -> bool:
        """Return whether a value lies in the range, and on its grid if there is one."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.is_endless:
            return True
        low, _, step = self._as_decimals()
        return (Decimal(str(value)) - low) % step == 0


@dataclass(frozen=True, slots=True)
class Case:
    """A domain, and the values that other parameters must have for it to hold."""

    domain: Choices | Range
    when: tuple[tuple[str, tuple[Scalar, ...]], ...] = ()

    def holds(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether the values drawn so far meet all conditions."""
        return all(name in values and values[name] in allowed for name, allowed in self.when)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A hyperparameter of Config (`learning_rate`, `model.width`) and its cases; the first that holds is drawn."""

    name: str
    cases: tuple[Case, ...]

    @property
    def is_fixed(self) -> bool:
        """Return whether it has one value, whatever the others have."""
        return len(self.cases) == 1 and not self.cases[0].when and len(self.cases[0].domain.ends()) == 1

    def label(self, case: Case) -> str:
        """Return the name in the study: cases with domains of their own need names of their own there."""
        if len(self.cases) == 1 or not case.when:
            return self.name
        conditions = [f"{name}={'|'.join(map(str, allowed))}" for name, allowed in case.when]
        return f"{self.name}[{', '.join(conditions)}]"
