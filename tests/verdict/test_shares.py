"""Shares of runs that learned, against SciPy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact

from sweeps.verdict.shares import fisher_p_value, wilson_interval, wilson_lower

counts = st.integers(0, 200)


@given(counts, counts)
def test_the_interval_is_wilsons(learned: int, died: int) -> None:
    low, high = wilson_interval(learned, learned + died)
    if learned + died == 0:
        assert (low, high) == (0, 1)
        return
    expected = binomtest(learned, learned + died).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-7)
    assert wilson_lower(learned, learned + died) == low


@given(counts, counts, counts, counts)
def test_the_p_value_is_fishers(learned: int, died: int, learned_before: int, died_before: int) -> None:
    found = fisher_p_value(learned, learned + died, learned_before, learned_before + died_before)
    table = [[learned, died], [learned_before, died_before]]
    assert found == pytest.approx(fisher_exact(table, alternative="greater").pvalue, rel=1e-6, abs=1e-300)
