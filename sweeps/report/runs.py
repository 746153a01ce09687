"""What became of runs: fates, how long they trained, and the curves of some of them."""

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
        median_end: of their lengths, in the unit of `unit_of`.
        steps_saved: what stopping them left of their budgets.
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
    """One run's looks: `x` in the unit of `unit_of`; hold-out loss, and top-1 (in regression R^2)."""

    number: int
    x: tuple[float, ...]
    loss: tuple[float, ...]
    score: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """The curves that are drawn of the runs of one fate, of so many that there are; of learners the best, first."""

    fate: str
    runs: int
    drawn: tuple[Curve, ...]


def get_length_unit(space: Space) -> str:
    """Return what the length of a run is counted in: with a budget of epochs its steps depend on the batch."""
    if space.budget.epochs:
        return "epochs"
    return "steps"


def measure_length(space: Space, trial: FinishedTrial) -> float:
    """Return how long a run trained, in that unit."""
    return _count_steps(space, trial, trial.steps)


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
    found = []
    for fate, runs in _group_by_fate(finished).items():
        if fate != store.FAILED:
            lengths = sorted(measure_length(space, run) for run in runs)
            ends = sorted(set(lengths))
            left = [1 - bisect_right(lengths, end) / len(lengths) for end in ends]
            found.append(Survival(fate, len(runs), tuple(ends), tuple(left)))
    return found


def choose_curve_runs(space: Space, finished: Iterable[FinishedTrial]) -> dict[str, list[FinishedTrial]]:
    """Return the runs whose curves are drawn, by fate: the best learners, of the others some spaced evenly over the
    study.
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
    found = []
    for fate, runs in chosen.items():
        drawn = tuple(_make_curve(space, run, readings[run.number], chance) for run in runs if run.number in readings)
        if drawn:
            found.append(Curves(fate, counts[fate], drawn))
    return found


def _make_curve(space: Space, run: FinishedTrial, readings: Sequence[Reading], chance: Chance) -> Curve:
    some = _thin_out([reading for reading in readings if reading.measured], MOST_POINTS)
    return Curve(
        number=run.number,
        x=tuple(_count_steps(space, run, last_reading.step) for last_reading in some),
        loss=tuple(own_reading.loss if isfinite(own_reading.loss) else nan for own_reading in some),
        score=tuple(
            this_reading.top1 if chance.classes else chance.skill_score(this_reading.loss) for this_reading in some
        ),
    )


def _count_steps(space: Space, run: FinishedTrial, steps: int) -> float:
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
    values: dict[str, list[FinishedTrial]] = {}
    for run in finished:
        values.setdefault(run.fate, []).append(run)
    known = [fate for fate in FATES if fate in values]
    return {fate: values[fate] for fate in (*known, *sorted(set(values) - set(known)))}


def _thin_out(items: Sequence[Item], most: int) -> list[Item]:
    """Return all items, or so many at equal distances, with the first and the last."""
    if len(items) <= most:
        return list(items)
    return [items[round(index * (len(items) - 1) / (most - 1))] for index in range(most)]
