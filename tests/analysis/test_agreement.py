"""Rankings against each other: SciPy's and NumPy's results, and how often the intervals hold what they should."""

from collections.abc import Sequence
from itertools import combinations
from math import asin, pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sweeps.analysis.agreement import Candidate, Rank, measure_agreement, measure_lead
from sweeps.analysis.confirmation import Confirmation, describe_confirmation


def rank(values: dict[int, Sequence[float]] | NDArray[np.float64], better: int = 1, seconds: float = 1.0) -> Rank:
    """Candidates with the values of their seeds."""
    items = values.items() if isinstance(values, dict) else enumerate([[value] for value in values])
    found = [Candidate(number, "", dict(enumerate(of)), len(of)) for number, of in items]
    ordered = sorted(found, key=lambda each: -better * each.mean)
    return Rank("study", 1, tuple(ordered), seconds, 1, 1)


def by_pairs(one: Sequence[float], other: Sequence[float]) -> float:
    """Kendall's tau of values without ties: concordant less discordant pairs, by their number."""
    signs = [np.sign((one[a] - one[b]) * (other[a] - other[b])) for a, b in combinations(range(len(one)), 2)]
    return float(np.mean(signs))


@given(st.permutations(range(7)), st.permutations(range(7)))
def test_tau_counts_pairs(one: list[int], other: list[int]) -> None:
    found = measure_agreement(rank(np.array(one, float)), rank(np.array(other, float)), 1)
    assert found is not None
    assert found.tau == pytest.approx(by_pairs(one, other))
    assert found.low is not None
    assert found.high is not None
    assert -1 <= found.low <= found.tau <= found.high <= 1


@pytest.mark.parametrize(("n", "correlation"), [(6, 0.0), (9, 0.5), (9, 0.9), (15, 0.9)])
def test_the_interval_of_tau_holds_it_as_often_as_it_says(n: int, correlation: float) -> None:
    rng, held, times = np.random.default_rng(0), 0, 400
    true = 2 / pi * asin(correlation)  # of the bivariate normal distribution
    for _ in range(times):
        one = rng.normal(size=n)
        other = correlation * one + sqrt(1 - correlation**2) * rng.normal(size=n)
        found = measure_agreement(rank(one), rank(other), 1)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        held += found.low <= true <= found.high
    assert 0.90 <= held / times <= 0.99


def test_few_candidates_have_no_interval_and_one_no_tau() -> None:
    found = measure_agreement(rank({1: [0.1], 2: [0.2], 3: [0.3]}), rank({1: [0.1], 2: [0.3], 3: [0.2]}), 1)
    assert found is not None
    assert found.tau == pytest.approx(1 / 3)
    assert (found.low, found.trusted) == (None, False)
    assert measure_agreement(rank({1: [0.1]}), rank({1: [0.1], 2: [0.3]}), 1) is None


def test_the_regret_is_what_the_cheaper_rankings_choice_loses() -> None:
    cheap, dear = rank({1: [0.9], 2: [0.5], 3: [0.1]}), rank({1: [0.6], 2: [0.8], 3: [0.2]})
    found = measure_agreement(cheap, dear, 1)
    assert found is not None
    assert found.regret == pytest.approx(0.2)
    less = measure_agreement(rank({1: [0.9], 2: [0.5]}, -1), rank({1: [0.6], 2: [0.8]}, -1), -1)
    assert less is not None
    assert less.regret == pytest.approx(0.2)  # of losses: 2 was chosen, 1 is better


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=6))
def test_the_lead_is_the_paired_t_interval(pairs: list[tuple[float, float]]) -> None:
    found = measure_lead(rank({1: [one for one, _ in pairs], 2: [other for _, other in pairs]}), 1)
    assert found is not None
    first, second = np.array(pairs).T if found.best == 1 else np.array(pairs).T[::-1]
    if np.ptp(first - second) <= 1e-12:  # SciPy warns
        return
    theirs = stats.ttest_rel(first, second).confidence_interval(0.95)
    assert found.low == pytest.approx(theirs.low, abs=1e-12)
    assert found.high == pytest.approx(theirs.high, abs=1e-12)
    assert found.beyond_noise == (theirs.low > 0)


def test_equal_candidates_seldom_look_different() -> None:
    rng, said, times = np.random.default_rng(1), 0, 400
    for _ in range(times):
        found = measure_lead(rank({number: rng.normal(size=3).tolist() for number in range(6)}), 1)
        assert found is not None
        said += found.beyond_noise
    assert said / times < 0.05


def test_equal_differences_are_no_certainty() -> None:
    found = measure_lead(rank({1: [0.1, 0.2, 0.3], 2: [0.4, 0.5, 0.6]}), 1)  # equal but for rounding
    assert found is not None
    assert (found.best, found.seeds, found.low, found.high, found.beyond_noise) == (2, 3, None, None, False)
    assert found.difference == pytest.approx(0.3)
    of = rank({1: [0.1, 0.2, 0.3], 2: [0.4, 0.5, 0.6]})
    (line,) = describe_confirmation(Confirmation("study", "top1", 1, (of,), (), found, (), neighbours=False))
    assert "30.00 points; with the same gap for each of 3 seeds nobody can say" in line


def test_with_one_seed_nobody_can_say() -> None:
    found = measure_lead(rank({1: [0.4], 2: [0.7]}), 1)
    assert found is not None
    assert (found.best, found.low, found.beyond_noise) == (2, None, False)
    assert measure_lead(rank({1: [0.4]}), 1) is None
