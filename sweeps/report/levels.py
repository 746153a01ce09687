"""How many runs learned of those that were tried, by the levels of one hyperparameter or of two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

from sweeps.space.parameters import Parameter, Range, Scalar
from sweeps.space.space import LABELS, Space
from sweeps.verdict.shares import wilson_interval

MOST_LEVELS = 8  # of a number, above which its values are put into bins
LOG_SPAN = 30.0  # highest of listed values over the lowest, above which bins are equal in log scale
MARKS = ((1, 2, 5), (1, 3), (1,))  # where bins of a decade begin, the finest first
MOST_DIGITS = 1e6  # whole numbers below it are written out
LEAST_WRITTEN_OUT = 1e-3  # fractions from it on are written out
NICE = (1, 2, 5)  # times a power of ten: widths of bins in linear scale


@dataclass(frozen=True, slots=True)
class Count:
    """Runs that learned, of those tried."""

    learned: int
    tried: int

    @property
    def share(self) -> float:
        """Return the share that learned, in [0, 1]; 0 where none was tried."""
        if self.tried:
            return self.learned / self.tried
        return 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the share (Wilson)."""
        return wilson_interval(self.learned, self.tried)


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A finished run that tells whether its configuration learns.

    Attributes:
        values: its hyperparameters by name, without those that have no effect in it.
    """

    values: Mapping[str, Scalar]
    learned: bool


@dataclass(frozen=True, slots=True)
class Levels:
    """One hyperparameter: its levels as texts, and the runs at each; runs in which it has no effect are left out."""

    name: str
    rows: tuple[tuple[str, Count], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Two hyperparameters: `cells` by (row, column); a pair that was not tried is absent."""

    row: str
    column: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[tuple[int, int], Count]


def list_varied(space: Space) -> list[Parameter]:
    """Return the hyperparameters with more than one possible value; not the labels, which decide nothing."""
    return [parameter for parameter in space.parameters if parameter.name not in LABELS and _has_choice(parameter)]


def count_levels(parameter: Parameter, runs: Iterable[JudgedRun]) -> Levels:
    """Return how many learned at each level that was tried."""
    outcomes = [(run.values[parameter.name], run.learned) for run in runs if parameter.name in run.values]
    names, level_of = _assign_levels(parameter, [value for value, _ in outcomes])
    counts = _count_pairs((level_of[value], learned) for value, learned in outcomes)
    return Levels(parameter.name, tuple((names[level], counts[level]) for level in sorted(counts)))


def count_grid(row: Parameter, column: Parameter, runs: Iterable[JudgedRun]) -> Grid:
    """Return how many learned at each pair of levels.

    Bins between those that were tried are kept, so that axes have no gaps.
    """
    runs_with_both = [run for run in runs if row.name in run.values and column.name in run.values]
    row_names, row_of = _assign_levels(row, [run.values[row.name] for run in runs_with_both])
    column_names, column_of = _assign_levels(column, [run.values[column.name] for run in runs_with_both])
    outcomes = []
    for run in runs_with_both:
        cell = (row_of[run.values[row.name]], column_of[run.values[column.name]])
        outcomes.append((cell, run.learned))
    return Grid(
        row=row.name,
        column=column.name,
        rows=tuple(row_names),
        columns=tuple(column_names),
        cells=_count_pairs(outcomes),
    )


def is_number(parameter: Parameter) -> bool:
    """Return whether the values of a hyperparameter are numbers rather than names."""
    ends = [value for case in parameter.cases for value in case.domain.ends()]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in ends)


def _has_choice(parameter: Parameter) -> bool:
    cases = parameter.cases
    return len(cases) > 1 or len(cases[0].domain.ends()) > 1


def _count_pairs(pairs: Iterable[tuple[Any, bool]]) -> dict[Any, Count]:
    counts: dict[Any, Count] = {}
    for key, learned in pairs:
        old = counts.get(key, Count(0, 0))
        counts[key] = Count(old.learned + learned, old.tried + 1)
    return counts


def _assign_levels(parameter: Parameter, values: Sequence[Scalar]) -> tuple[list[str], dict[Scalar, int]]:
    """Return the names of the levels, in order, and the level of each value."""
    if not is_number(parameter):
        choices = _order_choices(parameter, set(values))
        names = [format_parameter(choice) for choice in choices]
        return names, {value: choices.index(value) for value in values}
    numbers = sorted({float(value) for value in values})
    if len(numbers) <= MOST_LEVELS:
        names = [format_parameter(number) for number in numbers]
        return names, {value: numbers.index(float(value)) for value in values}
    edges = _choose_edges(numbers, parameter)
    names = [f"{format_parameter(low)} to {format_parameter(high)}" for low, high in pairwise(edges)]
    return names, {value: _find_bin(float(value), edges) for value in values}


def _order_choices(parameter: Parameter, tried: set[Scalar]) -> list[Scalar]:
    """Return the values that were tried in the order of the search space; then, sorted, those it does not list."""
    listed = dict.fromkeys(value for case in parameter.cases for value in case.domain.ends() if value in tried)
    unlisted = sorted(tried - set(listed), key=str)
    return list(listed) + unlisted


def _find_bin(value: float, edges: Sequence[float]) -> int:
    """Return the bin that a value is in; the last also has its upper end."""
    return min(sum(edge <= value for edge in edges), len(edges) - 1) - 1


def _choose_edges(numbers: Sequence[float], parameter: Parameter) -> list[float]:
    """Return round numbers that divide sorted values into at most `MOST_LEVELS` bins.

    The bins are in log scale where the range is; listed values get a log scale where they span more than `LOG_SPAN`.
    """
    low = numbers[0]
    high = numbers[-1]
    ranges = [case.domain for case in parameter.cases if isinstance(case.domain, Range)]
    if ranges:
        in_logs = any(domain.log for domain in ranges)
    else:
        in_logs = high > LOG_SPAN * low
    if low > 0 and in_logs:
        return _choose_log_edges(low, high)
    return _choose_linear_edges(low, high)


def _choose_log_edges(low: float, high: float) -> list[float]:
    first = floor(log10(low))
    last = ceil(log10(high)) + 1
    for marks in MARKS:
        edges = _enclose_values([mark * 10.0**power for power in range(first, last) for mark in marks], low, high)
        if len(edges) - 1 <= MOST_LEVELS:
            return edges
    for decades in range(2, last - first + 2):
        edges = _enclose_values([10.0**power for power in range(first, last + decades, decades)], low, high)
        if len(edges) - 1 <= MOST_LEVELS:
            return edges
    return [low, high]


def _choose_linear_edges(low: float, high: float) -> list[float]:
    power = 10.0 ** floor(log10((high - low) / MOST_LEVELS))
    widths = [factor * scale for scale in (power, 10 * power) for factor in NICE]
    for width in widths:
        start = floor(low / width)
        stop = ceil(high / width)
        edges = _enclose_values([width * count for count in range(start, stop + 2)], low, high)
        if len(edges) - 1 <= MOST_LEVELS:
            return edges
    return [low, high]


def _enclose_values(marks: Sequence[float], low: float, high: float) -> list[float]:
    """Return the ascending marks from the last at or below `low` to the first at or above `high`.

    They are rounded to 12 digits, which removes the errors of floating-point numbers.
    """
    rounded = [float(f"{mark:.12g}") for mark in marks]
    start = max(index for index, mark in enumerate(rounded) if mark <= low)
    stop = min(index for index, mark in enumerate(rounded) if mark >= high and index > start)
    return rounded[start : stop + 1]


def format_parameter(value: Scalar) -> str:
    """Return a value of a hyperparameter for people."""
    if isinstance(value, bool):
        if value:
            return "true"
        return "false"
    if not isinstance(value, float):
        return str(value)
    if 0 < abs(value) < LEAST_WRITTEN_OUT:
        mantissa, exponent = f"{value:.3e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    if value.is_integer() and abs(value) < MOST_DIGITS:
        return f"{value:.0f}"
    return f"{value:.4g}"
