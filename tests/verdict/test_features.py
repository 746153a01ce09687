"""Features against arithmetic by hand, and what they must not depend on."""

from dataclasses import replace
from math import log, log10, nan
from typing import Any

import numpy as np
import pytest
from handmade import handmade_reading
from hypothesis import given
from hypothesis import strategies as st

from sweeps.readings import Reading
from sweeps.verdict import Chance
from sweeps.verdict.features import NAMES, features_of

CHANCE = Chance(1 / 365, 5 / 365, log(365), 365)


def named(readings: list[Reading], budget: int = 500, chance: Chance = CHANCE) -> dict[str, float]:
    return dict(zip(NAMES, features_of(readings, budget, chance).tolist(), strict=True))


def test_a_loss_that_falls_evenly_is_projected_to_the_end() -> None:
    readings = [handmade_reading(step, CHANCE.loss * (1 - 0.001 * step / 20)) for step in range(0, 201, 20)]
    found = named(readings)
    assert found["progress"] == pytest.approx(0.4)
    assert found["gain"] == found["best_gain"] == pytest.approx(0.01)
    assert found["slope"] == pytest.approx(0.025)
    assert found["projected"] == pytest.approx(0.025)
    assert found["projected_last"] == pytest.approx(0.025)
    assert found["rising"] == 1.0
    assert found["bend"] == pytest.approx(0, abs=1e-9)


def test_hits_count_in_standard_deviations_of_the_binomial() -> None:
    found = named([handmade_reading(step, hits1=10) for step in (20, 40, 60, 80, 100, 120)])
    n, p = 1024, 1 / 365
    assert found["hits_recent"] == pytest.approx((50 - 5 * n * p) / (5 * n * p * (1 - p)) ** 0.5)
    assert found["hits_all"] == pytest.approx((60 - 6 * n * p) / (6 * n * p * (1 - p)) ** 0.5)


def test_the_signal_is_that_of_the_logits_and_of_the_layer_with_the_least() -> None:
    found = named(
        [
            handmade_reading(20 * index, signals=(0.5, 1e-4, signal))
            for index, signal in enumerate((1, 1e-1, 1e-2, 1e-3))
        ]
    )
    assert found["signal"] == pytest.approx(-3)
    assert found["signal_layers"] == pytest.approx(-4)
    assert (found["signal_trend"], found["signal_lowest"], found["signal_highest"]) == pytest.approx((-3, -3, 0))


def test_a_net_that_stands_still_does_not_move() -> None:
    found = named([handmade_reading(step) for step in (0, 20, 40, 60)])
    assert found["movement"] == found["movement_median"] == pytest.approx(log10(1e-5))


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"layers": ()}, {"signal", "movement", "dead", "spread"}),
        ({"count": 0}, {"hits_recent", "hits_all"}),
        ({"count": 0, "loss": nan}, {"gain", "slope", "hits_all"}),
        ({"gradient_norm": nan, "update_ratio": nan}, {"gradient", "update"}),
    ],
)
def test_what_was_not_measured_is_not_a_number(change: dict[str, Any], missing: set[str]) -> None:
    found = named([replace(handmade_reading(step), **change) for step in (0, 20, 40, 60)])
    assert all(np.isnan(found[name]) for name in missing)


@given(st.integers(2, 50))
def test_steps_count_as_shares_of_the_budget(factor: int) -> None:
    readings = [
        handmade_reading(step, 5.9 - 1e-3 * step, hits1=step % 7, signals=(0.4, 0.1 / (step + 1)))
        for step in (0, 20, 40, 60)
    ]
    scaled = [replace(each, step=each.step * factor) for each in readings]
    assert np.allclose(features_of(readings, 500, CHANCE), features_of(scaled, 500 * factor, CHANCE), equal_nan=True)


@given(st.lists(st.sampled_from([0.0, nan, float("inf"), 1e30, 5.9]), min_size=1, max_size=8))
def test_losses_that_are_no_numbers_raise_nothing(losses: list[float]) -> None:
    assert len(
        features_of([handmade_reading(10 * index, loss) for index, loss in enumerate(losses)], 500, CHANCE)
    ) == len(NAMES)


def test_regression_has_no_hits_and_its_gain_is_r_squared() -> None:
    found = named([handmade_reading(step, 0.75, 0) for step in (0, 20, 40)], chance=Chance(nan, nan, 1.0, 0))
    assert found["gain"] == pytest.approx(0.25)
    assert np.isnan(found["hits_all"])
