"""Which configurations are best: runs that differ in their seed alone are one configuration."""

from dataclasses import replace
from statistics import mean, stdev

import pytest
from fakes import TINY
from hypothesis import given
from hypothesis import strategies as st

from sweeps.analysis import ranking
from sweeps.config import Config
from sweeps.space import file
from sweeps.trials import FinishedTrial

SPACE = file.parse_space(TINY)
RUN = FinishedTrial(number=0, fate="learned", value=0.5, top1=0.5, top5=0.9, loss=1.0, gain=0.5, steps=6, seconds=1.0)


def run(number: int, activation: str, value: float | None, **changes: object) -> FinishedTrial:
    config = Config.model_validate({"seed": number, "activation": activation})
    return replace(RUN, number=number, value=value, config=config, **changes)  # type: ignore[arg-type]


def test_seeds_of_one_configuration_count_together() -> None:
    runs = [run(0, "relu", 0.9), run(1, "selu", 0.8), run(2, "relu", 0.3), run(3, "selu", 0.7)]
    first, second = ranking.rank_configurations(SPACE, runs)
    assert (first.config.activation, [trial.number for trial in first.trials]) == ("selu", [1, 3])
    assert first.mean == pytest.approx(0.75)
    assert second.mean == pytest.approx(0.6)
    assert second.spread == pytest.approx(stdev([0.9, 0.3]))


def test_a_dead_run_counts_with_its_last_look_and_an_outranked_one_not_at_all() -> None:
    runs = [
        run(0, "relu", None, fate="at chance", top1=0.1),
        run(1, "relu", 0.5),
        run(2, "selu", None, fate="outranked", top1=0.9),
        run(3, "tanh", None, fate="failed", top1=None),
    ]
    (only,) = ranking.rank_configurations(SPACE, runs)
    assert (only.values, only.learned) == ((0.1, 0.5), 1)


def test_where_less_is_better_the_least_is_first() -> None:
    space = file.parse_space(TINY, ["study.objective=loss"])
    runs = [run(0, "relu", 2.0), run(1, "selu", 1.0)]
    assert [each.mean for each in ranking.rank_configurations(space, runs)] == [1.0, 2.0]


def test_the_interval_is_students() -> None:
    one = ranking.rank_configurations(SPACE, [run(0, "relu", 0.5)])[0]
    assert one.compute_interval() is None
    three = ranking.rank_configurations(SPACE, [run(n, "relu", value) for n, value in enumerate((0.4, 0.5, 0.6))])[0]
    low, high = three.compute_interval() or (0, 0)
    # A table's t of 2 degrees of freedom at 97.5 %: 4.303
    assert low == pytest.approx(0.5 - 4.303 * 0.1 / 3**0.5, abs=1e-4)
    assert high == pytest.approx(1 - low)


@given(st.floats(0, 1), st.integers(2, 9))
def test_equal_values_are_no_certainty(value: float, seeds: int) -> None:
    (only,) = ranking.rank_configurations(SPACE, [run(n, "relu", value) for n in range(seeds)])
    assert only.spread == pytest.approx(0.0)
    assert only.compute_interval() is None


def test_no_interval_leaves_what_the_objective_can_be() -> None:
    (only,) = ranking.rank_configurations(SPACE, [run(0, "relu", 0.1), run(1, "relu", 0.9)])
    assert only.compute_interval() == (0.0, 1.0)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=9))
def test_mean_and_spread_are_the_librarys(values: list[float]) -> None:
    (only,) = ranking.rank_configurations(SPACE, [run(n, "relu", value) for n, value in enumerate(values)])
    assert only.mean == pytest.approx(mean(values))
    assert only.spread == pytest.approx(stdev(values))
