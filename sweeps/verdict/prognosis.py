"""Prognosis: the probability that a run is a learner at the end of its budget, from what recorded runs became.

Gradient-boosted trees (Friedman 2001, Annals of Statistics 29(5)) over `features`, fitted to runs recorded to their
full horizon by benchmarks/fit_prognosis.py. A probability on nets like those; on others a score, which is
why nothing is stopped on its word alone: `calibration` turns it into a limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from sweeps.readings import Reading
from sweeps.verdict.chance import Chance
from sweeps.verdict.features import features_of


def fitted_array(name: str) -> NDArray[Any]:
    """Return an array that benchmarks/fit_prognosis.py wrote: a field of `Trees`, or the recorded learners' lowest
    odds.
    """
    return _load_arrays()[name]


@cache
def _load_arrays() -> dict[str, NDArray[Any]]:
    with np.load(str(files("sweeps.verdict") / "prognosis.npz")) as arrays:
        return dict(arrays)


@dataclass(frozen=True, slots=True)
class Trees:
    """Boosted regression trees over a row of features; all arrays (trees, nodes) unless said otherwise.

    Attributes:
        feature, threshold: an inner node sends a row to the left where the feature is at most the threshold.
        missing_left: where it sends a feature that is not a number.
        left, right: the children's places; a leaf is its own child.
        value: of the leaf, in log odds.
        baseline: log odds before the first tree.
    """

    feature: NDArray[np.int16]
    threshold: NDArray[np.float64]
    missing_left: NDArray[np.bool_]
    left: NDArray[np.int16]
    right: NDArray[np.int16]
    value: NDArray[np.float64]
    baseline: NDArray[np.float64]

    def log_odds(self, row: NDArray[np.float64]) -> float:
        """Return the log odds of one row of features, (features,)."""
        trees = np.arange(len(self.feature))
        node = np.zeros(len(self.feature), np.int64)
        while True:
            asked = row[self.feature[trees, node]]
            left = np.where(np.isnan(asked), self.missing_left[trees, node], asked <= self.threshold[trees, node])
            after = np.where(left, self.left[trees, node], self.right[trees, node])
            if np.array_equal(after, node):
                return float(self.baseline + self.value[trees, node].sum(dtype=np.float64))
            node = after

    @classmethod
    def load(cls, of: str) -> Self:
        """Load the trees that come with the package: of `learner`, or of the `best` quarter of the learners."""
        return cls(**{field.name: fitted_array(f"{of}_{field.name}") for field in fields(cls)})


_trees = cache(Trees.load)


def learner_log_odds(readings: Sequence[Reading], budget: int, chance: Chance, best: bool = False) -> float:
    """Log odds that the run is a learner at the end, or that it is among the best quarter of the learners.

    Args:
        readings: all readings so far, at least one, in the order of their steps.
        budget: steps of the whole run.
    """
    return _trees("best" if best else "learner").log_odds(features_of(readings, budget, chance))


def kind_of(readings: Sequence[Reading]) -> str:
    """Return what a run's readings hold: `full` (layers too), `hits` or `loss` alone."""
    if any(reading.layers for reading in readings):
        return "full"
    if any(reading.count and reading.hits1 for reading in readings):
        return "hits"
    return "loss"
