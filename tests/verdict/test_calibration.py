"""Limits: the guarantee by simulation, and whom the recorded learners may speak for."""

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.verdict import CalibrationPoint, Rules, calibrated_limit, is_control
from sweeps.verdict.calibration import doubt, recorded_learners


def learners(lowest: list[float], control: bool = True) -> list[CalibrationPoint]:
    return [CalibrationPoint(each, learned=True, control=control, gain=0.5) for each in lowest]


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.2])
@pytest.mark.parametrize("kind", ["full", "hits", "loss"])
def test_a_new_learner_is_stopped_with_a_probability_of_at_most_alpha(alpha: float, kind: str) -> None:
    # A skewed distribution with ties at infinity, as of learners that escape before anything counts.
    rng = np.random.default_rng(0)
    rules, count, stopped, runs = Rules(alpha=alpha), round(1 / alpha) + 37, 0, 2000
    for _ in range(runs):
        *known, new = np.where(rng.random(count + 1) < 0.3, inf, -rng.lognormal(1, 1, count + 1)).tolist()
        stopped += new < calibrated_limit(learners(known), rules, kind).log_odds
    spread = (alpha * (1 - alpha) / runs) ** 0.5
    assert stopped / runs <= alpha + 3 * spread
    assert stopped > 0, "a limit that stops nobody would pass too"


def test_a_run_that_is_more_likely_to_learn_than_not_is_never_stopped() -> None:
    assert calibrated_limit(learners([inf] * 120), Rules()).log_odds == 0.0


@given(st.lists(st.floats(-20, 20), min_size=99, max_size=300))
def test_with_enough_controls_at_most_their_share_lies_below_the_limit(lowest: list[float]) -> None:
    value = calibrated_limit(learners(lowest), Rules()).log_odds
    assert sum(each < value for each in lowest) < 0.01 * (len(lowest) + 1)


@pytest.mark.parametrize("kind", ["hits", "loss"])
def test_without_layers_nothing_is_taken_on_trust(kind: str) -> None:
    assert calibrated_limit(learners([-5.0] * 98), Rules(), kind).log_odds == -inf
    assert calibrated_limit(learners([-5.0] * 99), Rules(), kind).log_odds == -5.0


def test_the_recorded_learners_speak_once_three_have_learned() -> None:
    assert calibrated_limit([], Rules()).log_odds == -inf
    assert calibrated_limit(learners([3.0, 3.0]), Rules()).log_odds == -inf
    found = calibrated_limit(learners([3.0, 3.0, 3.0]), Rules())
    recorded = recorded_learners(economy=False, kind="full")
    assert found.log_odds <= np.quantile(recorded, 0.01)
    assert found.log_odds >= recorded[0]
    assert found.grounds == f"{len(recorded)} recorded learners and 3 of this study"


def test_a_prognosis_that_a_control_learned_from_stops_nobody() -> None:
    usual = calibrated_limit(learners([3.0] * 9), Rules()).log_odds
    assert calibrated_limit(learners([usual - 1, *[3.0] * 8]), Rules()).log_odds <= usual - 1
    lucky = learners([usual - 1], control=False)
    assert calibrated_limit([*lucky, *learners([3.0] * 8)], Rules()).log_odds <= usual - 1, (
        "one that was lucky counts as well"
    )


def test_learners_of_another_kind_are_noticed() -> None:
    recorded = recorded_learners(economy=False, kind="full")
    low = np.quantile(recorded, 0.04)
    assert calibrated_limit(learners([low] * 6, control=False), Rules()).log_odds == -inf


def test_doubt_is_rare_where_the_learners_are_alike() -> None:
    rng = np.random.default_rng(0)
    recorded = np.sort(rng.normal(size=300))
    highest = [max(doubt(recorded, own[:count]) for count in range(1, 61)) for own in rng.choice(recorded, (500, 60))]
    assert np.mean(np.array(highest) >= 3) <= 1 / 3
    assert doubt(recorded, np.sort(rng.choice(recorded[:60], 10))) > 3


@pytest.mark.parametrize("own", [3, 40])
def test_on_trust_too_a_learner_is_stopped_no_more_often_than_that_if_all_are_alike(own: int) -> None:
    recorded = recorded_learners(economy=False, kind="full")
    rng, stopped, runs = np.random.default_rng(0), 0, 4000
    for _ in range(runs):
        *known, new = rng.choice(recorded, own + 1).tolist()
        stopped += new < calibrated_limit(learners(known, control=False), Rules()).log_odds
    assert stopped / runs <= 0.006 + 3 * (0.006 / runs) ** 0.5


def test_the_dead_and_the_stopped_teach_no_limit() -> None:
    dead = [CalibrationPoint(-9.0, learned=False, control=True, gain=0.0)] * 200
    assert calibrated_limit(dead, Rules()).log_odds == -inf


def test_economy_keeps_the_best_quarter_only() -> None:
    best = [CalibrationPoint(2.0, learned=True, control=True, gain=0.9)] * 99
    rest = [CalibrationPoint(-2.0, learned=True, control=True, gain=0.3)] * 297
    assert calibrated_limit([*rest, *best], Rules(economy=True)).log_odds == 2.0
    assert calibrated_limit([], Rules(economy=True)).log_odds > -inf


def test_controls_are_as_many_as_asked_for_and_always_the_same() -> None:
    chosen = [is_control("study", number, Rules(control=0.1)) for number in range(5000)]
    assert chosen == [is_control("study", number, Rules(control=0.1)) for number in range(5000)]
    assert all(sum(chosen[start : start + 10]) == 1 for start in range(4990)), "evenly spread"
    assert len({tuple(is_control(f"{name}", n, Rules(control=0.1)) for n in range(10)) for name in range(50)}) > 5
    thrifty = Rules(control=0.5, economy=True)
    assert sum(is_control("study", number, thrifty) for number in range(5000)) == 500
    assert not any(is_control("study", number, Rules(control=0.0)) for number in range(100))
    assert all(is_control("study", number, Rules(control=1.0)) for number in range(100))
