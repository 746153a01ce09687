"""The objectives: direction, bounds, and how each is read and shown."""

from dataclasses import dataclass
from math import inf

import pytest

from sweeps.objective import OBJECTIVES


@dataclass(frozen=True)
class Numbers:
    top1: float = 0.1
    top5: float = 0.5
    f1: float = 0.2
    loss: float = 1.5
    gain: float = 0.25


class Chance:
    def skill_score(self, loss: float) -> float:
        return 1 - loss / 2.0


EXPECTED = [
    ("top1", "maximize", (0, 1), 0.1, "10.00%"),
    ("top5", "maximize", (0, 1), 0.5, "50.00%"),
    ("f1", "maximize", (0, 1), 0.2, "0.2"),
    ("loss", "minimize", (0, inf), 1.5, "1.5"),
    ("gain", "maximize", (-inf, 1), 0.25, "0.25"),
    ("r2", "maximize", (-inf, 1), 0.25, "0.25"),
]


@pytest.mark.parametrize(("name", "direction", "bounds", "value", "text"), EXPECTED)
def test_each_objective_is_read_and_shown(
    name: str, direction: str, bounds: tuple[float, float], value: float, text: str
) -> None:
    objective = OBJECTIVES[name]
    assert (objective.name, objective.direction, objective.bounds) == (name, direction, bounds)
    assert objective.read_reading(Numbers(), Chance()) == value
    assert objective.read_trial(Numbers()) == value
    assert objective.format_value(value) == text


def test_there_are_no_other_objectives() -> None:
    assert list(OBJECTIVES) == [row[0] for row in EXPECTED]


def test_the_better_value_has_the_larger_signed_value_and_the_worst_loses_to_all() -> None:
    assert OBJECTIVES["loss"].sign * 0.5 > OBJECTIVES["loss"].sign * 0.6
    assert OBJECTIVES["f1"].sign * 0.6 > OBJECTIVES["f1"].sign * 0.5
    assert OBJECTIVES["loss"].worst == inf
    assert OBJECTIVES["gain"].worst == -inf
