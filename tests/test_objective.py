"""The objectives: direction, bounds, and how each is read and shown."""

from dataclasses import dataclass
from math import inf, isnan, nan

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
    top1 = 0.01
    top5 = 0.05
    loss = 2.0

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


@pytest.mark.parametrize(
    ("name", "guess"), [("top1", 0.01), ("top5", 0.05), ("f1", nan), ("loss", 2.0), ("gain", 0.0), ("r2", 0.0)]
)
def test_guessing_has_what_a_reading_at_chance_has(name: str, guess: float) -> None:
    objective = OBJECTIVES[name]
    found = objective.read_chance(Chance())
    assert found == guess or (isnan(found) and isnan(guess))
    if not isnan(guess):
        at_chance = Numbers(top1=Chance.top1, top5=Chance.top5, loss=Chance.loss)
        assert objective.read_reading(at_chance, Chance()) == guess


@pytest.mark.parametrize("name", ["loss", "gain", "r2"])
def test_the_scale_of_a_loss_turns_its_change_into_one_of_the_objective(name: str) -> None:
    objective = OBJECTIVES[name]
    before = objective.read_reading(Numbers(loss=1.5), Chance())
    after = objective.read_reading(Numbers(loss=1.6), Chance())
    assert abs(after - before) == pytest.approx(0.1 / objective.loss_scale(Chance()))


def test_differences_of_shares_are_percentage_points() -> None:
    top1 = OBJECTIVES["top1"]
    assert top1.format_difference(0.0123) + top1.difference_unit == "1.23 points"
    assert OBJECTIVES["f1"].format_difference(0.5) + OBJECTIVES["f1"].difference_unit == "0.5"
