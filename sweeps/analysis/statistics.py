"""Means of a few runs: how far runs differ, and how sure their mean is."""

from collections.abc import Collection
from math import sqrt

from scipy.special import stdtrit


def compute_deviation(values: Collection[float]) -> float | None:
    """Standard deviation (n - 1); None of a single value."""
    n = len(values)
    if n < 2:
        return None
    mean = sum(values) / n
    return sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))


def half_width(spread: float, n: int, confidence: float = 0.95) -> float:
    """Return half the width of Student's t interval of the mean of n values with this standard deviation, n above 1."""
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * spread / sqrt(n)
