"""The fates of runs, how long they trained, and the curves of some of them."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import median
from typing import TypeVar

from sweeps import store
from sweeps.analysis.ranking import get_score
from sweeps.analysis.summary import FATES
from sweeps.readings import Reading
from sweeps.space.space import Space
from sweeps.trials import FinishedTrial
from sweeps.verdict import Chance, Fate

Item = TypeVar("Item")

MOST_CURVES = 30  # of a fate: more hide each other, and the page is to stay small
MOST_POINTS = 100  # of a curve


@dataclass(frozen=True, slots=True)
class FateRow:
    """The finished runs of one fate.

    Attributes:
        median_end: the median of their lengths, in the unit of `get_length_unit`.
        steps_saved: the steps of their budgets that were not run.
    """

    fate: str
    runs: int
    median_end: float
    steps_run: int
    steps_saved: int


@dataclass(frozen=True, slots=True)
class Survival:
    """The share of a fate's runs that trained for longer than x: from `ends[i]` on it is `shares[i]`, before it 1.

    Attributes:
        ends: ascending lengths at which at least one run ended.
    """

    fate: str
    runs: int
    ends: tuple[float, ...]
    shares: tuple[float, ...]

    def share_at(self, x: float) -> float:
        """Return the share that trained for longer than x, or to an end at x that all reach."""
        passed = [share for end, share in zip(self.ends, self.shares, strict=True) if end < x]
        if passed:
            return passed[-1]
        return 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """One run's readings: `x` in the unit of `get_length_unit`; hold-out loss, and top-1 (in regression R^2)."""

    number: int
    x: tuple[float, ...]
    loss: tuple[float, ...]
    score: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves that are drawn of the runs of one fate; `runs` is the number of all of them."""

    fate: str
    runs: int
    drawn: tuple[Curve, ...]


def get_length_unit(space: Space) -> str:
    """Return the unit of the length of a run: epochs where the budget is in epochs, since steps depend on the batch."""
    if space.budget.epochs:
        return "epochs"
    return "steps"


def measure_length(space: Space, trial: FinishedTrial) -> float:
    """Return how long a run trained, in the unit of `get_length_unit`."""
    return _convert_steps(space, trial, trial.steps)


def list_fates(space: Space, finished: Iterable[FinishedTrial]) -> list[FateRow]:
    """Return the fates that occurred, in their usual order."""
    rows = []
    for fate, runs in _group_by_fate(finished).items():
        rows.append(
            FateRow(
                fate=fate,
                runs=len(runs),
                median_end=median(measure_length(space, run) for run in runs),
                steps_run=sum(run.steps for run in runs),
                steps_saved=sum(run.steps_saved for run in runs),
            )
        )
    return rows


def measure_survival(space: Space, finished: Iterable[FinishedTrial]) -> list[Survival]:
    """Return how many runs of each fate trained how long; failed ones, which trained nothing, are left out."""
    survivals = []
    for fate, runs in _group_by_fate(finished).items():
        if fate == store.FAILED:
            continue
        lengths = sorted(measure_length(space, run) for run in runs)
        ends = sorted(set(lengths))
        shares = [1 - bisect_right(lengths, end) / len(lengths) for end in ends]
        survivals.append(Survival(fate=fate, runs=len(runs), ends=tuple(ends), shares=tuple(shares)))
    return survivals


def choose_curve_runs(space: Space, finished: Iterable[FinishedTrial]) -> dict[str, list[FinishedTrial]]:
    """Return the runs whose curves are drawn, by fate.

    These are the best of the runs that learned, and of each other fate some that are spaced evenly over the study.
    """
    chosen = {}
    sign = -space.measure.sign  # the best first
    for fate, runs in _group_by_fate(finished).items():
        if fate == Fate.LEARNED:
            ordered = sorted(runs, key=lambda run: (sign * _get_score(space, run), run.number))
            chosen[fate] = ordered[:MOST_CURVES]
        elif fate != store.FAILED:
            chosen[fate] = _thin_out(runs, MOST_CURVES)
    return chosen


def make_curves(
    space: Space,
    finished: Sequence[FinishedTrial],
    chosen: Mapping[str, Sequence[FinishedTrial]],
    readings: Mapping[int, Sequence[Reading]],
    chance: Chance,
) -> list[Curves]:
    """Return the curves of the runs that were chosen and left readings.

    Args:
        readings: by trial; those of the chosen runs at least.
    """
    counts = {fate: len(runs) for fate, runs in _group_by_fate(finished).items()}
    all_curves = []
    for fate, runs in chosen.items():
        drawn = tuple(_make_curve(space, run, readings[run.number], chance) for run in runs if run.number in readings)
        if drawn:
            all_curves.append(Curves(fate, counts[fate], drawn))
    return all_curves


def _make_curve(space: Space, run: FinishedTrial, readings: Sequence[Reading], chance: Chance) -> Curve:
    x = []
    losses = []
    scores = []
    for reading in _thin_out([reading for reading in readings if reading.measured], MOST_POINTS):
        x.append(_convert_steps(space, run, reading.step))
        if isfinite(reading.loss):
            losses.append(reading.loss)
        else:
            losses.append(nan)
        if chance.classes:
            scores.append(reading.top1)
        else:
            scores.append(chance.skill_score(reading.loss))
    return Curve(number=run.number, x=tuple(x), loss=tuple(losses), score=tuple(scores))


def _convert_steps(space: Space, run: FinishedTrial, steps: int) -> float:
    if not space.budget.epochs:
        return steps
    if run.config:
        return float(steps / run.config.report_interval)
    return 0.0


def _get_score(space: Space, run: FinishedTrial) -> float:
    value = get_score(space, run)
    if value is None:
        return space.measure.worst
    return value


def _group_by_fate(finished: Iterable[FinishedTrial]) -> dict[str, list[FinishedTrial]]:
    """Return the runs of each fate that occurred: first the fates we know, in their usual order, then others."""
    runs: dict[str, list[FinishedTrial]] = {}
    for run in finished:
        runs.setdefault(run.fate, []).append(run)
    known_fates = [fate for fate in FATES if fate in runs]
    unknown_fates = sorted(set(runs) - set(known_fates))
    return {fate: runs[fate] for fate in known_fates + unknown_fates}


def _thin_out(items: Sequence[Item], most: int) -> list[Item]:
    """Return all items, or `most` of them at equal distances, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
