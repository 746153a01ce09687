"""How many learned of those that were tried: by the levels of one hyperparameter, and of two."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10
from typing import Any

from sweeps.config import Config
from sweeps.space.parameters import Parameter, Range, Scalar
from sweeps.space.space import LABELS, Space
from sweeps.verdict.shares import wilson_interval

MOST_LEVELS = 8  # of a number, above which its values are put into bins
LOG_SPAN = 30.0  # highest of listed values over the lowest, above which bins are equal in log scale
MARKS = ((1, 2, 5), (1, 3), (1,))  # where bins of a decade begin, the finest first
MOST_DIGITS = 1e6  # up to the one whole numbers are written out, from the other on fractions
LEAST_WRITTEN_OUT = 1e-3
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
    """A finished run that tells whether its configuration learns: `values` are those that had a say in it."""

    values: Mapping[str, Scalar]
    learned: bool


@dataclass(frozen=True, slots=True)
class Levels:
    """One hyperparameter: its levels, in words, and the runs at each; those in which it had no say are left out."""

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


def values_in_effect(space: Space, config: Config | None, params: Mapping[str, Any]) -> dict[str, Scalar]:
    """Return the values of a recipe that the space draws, labels left out.

    Of a conditional hyperparameter only where its condition holds: momentum has no say in Adam. But `none` is a level
    wherever it stands, since nothing is what was there.

    Args:
        params: what Optuna was asked for; labels are no part of a recipe, and stand there unless there is only one.
    """
    values: dict[str, Scalar] = {}
    seen: dict[str, Scalar] = {}
    for parameter in space.parameters:
        if parameter.name in LABELS:
            seen[parameter.name] = params.get(parameter.name, parameter.cases[0].domain.ends()[0])
        elif config is not None and (value := config.get_value(parameter.name)) is not None:
            if value == "none" or any(case.holds(seen) for case in parameter.cases):
                values[parameter.name] = value
            seen[parameter.name] = value
    return values


def count_levels(parameter: Parameter, runs: Iterable[JudgedRun]) -> Levels:
    """Return how many learned at each level that was tried."""
    known = [(run.values[parameter.name], run.learned) for run in runs if parameter.name in run.values]
    arguments, place = _assign_levels(parameter, [value for value, _ in known])
    counts = _count_pairs((place[value], learned) for value, learned in known)
    return Levels(parameter.name, tuple((arguments[code], counts[code]) for code in sorted(counts)))


def count_grid(row: Parameter, column: Parameter, runs: Iterable[JudgedRun]) -> Grid:
    """Return how many learned at each pair of levels; bins between those that were tried are kept, so that axes are
    whole.
    """
    both = [run for run in runs if row.name in run.values and column.name in run.values]
    (rows, row_of), (columns, column_of) = (
        _assign_levels(parameter, [run.values[parameter.name] for run in both]) for parameter in (row, column)
    )
    keys = [((row_of[run.values[row.name]], column_of[run.values[column.name]]), run.learned) for run in both]
    return Grid(row.name, column.name, tuple(rows), tuple(columns), _count_pairs(keys))


def is_number(parameter: Parameter) -> bool:
    """Return whether its values are numbers rather than names."""
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
    """Return the words of the levels, in order, and which level each value is in."""
    if is_number(parameter):
        numbers = sorted({float(value) for value in values})
        edges = _choose_edges(numbers, parameter) if len(numbers) > MOST_LEVELS else []
        if not edges:
            return [format_parameter(number) for number in numbers], {
                value: numbers.index(float(value)) for value in values
            }
        arguments = [f"{format_parameter(low)} to {format_parameter(high)}" for low, high in pairwise(edges)]
        return arguments, {value: _find_bin(float(value), edges) for value in values}
    known = set(values)
    order = dict.fromkeys(value for case in parameter.cases for value in case.domain.ends() if value in known)
    names = [*order, *sorted(known - set(order), key=str)]
    return [format_parameter(name) for name in names], {value: names.index(value) for value in values}


def _find_bin(value: float, edges: Sequence[float]) -> int:
    """Return the bin that a value is in; the last also has its upper end."""
    return min(sum(edge <= value for edge in edges), len(edges) - 1) - 1


def _choose_edges(numbers: Sequence[float], parameter: Parameter) -> list[float]:
    """Round numbers that part sorted values into at most `MOST_LEVELS` bins, in log scale where the range has one."""
    low = numbers[0]
    high = numbers[-1]
    ranges = [case.domain for case in parameter.cases if isinstance(case.domain, Range)]
    if ranges:
        in_logs = any(each.log for each in ranges)
    else:
        in_logs = high > LOG_SPAN * low
    if low > 0 and in_logs:
        return _choose_log_edges(low, high)
    return _choose_linear_edges(low, high)


def _choose_log_edges(low: float, high: float) -> list[float]:
    first = floor(log10(low))
    last = ceil(log10(high)) + 1
    finer = [[mark * 10.0**power for power in range(first, last) for mark in marks] for marks in MARKS]
    coarser = ([10.0**power for power in range(first, last + number, number)] for number in range(2, last - first + 2))
    for marks in (*finer, *coarser):
        edges = _enclose_values(marks, low, high)
        if len(edges) - 1 <= MOST_LEVELS:
            return edges
    return [low, high]


def _choose_linear_edges(low: float, high: float) -> list[float]:
    power = 10.0 ** floor(log10((high - low) / MOST_LEVELS))
    for width in (factor * scale for scale in (power, 10 * power) for factor in NICE):
        start = floor(low / width)
        stop = ceil(high / width)
        edges = _enclose_values([width * count for count in range(start, stop + 2)], low, high)
        if len(edges) - 1 <= MOST_LEVELS:
            return edges
    return [low, high]


def _enclose_values(marks: Sequence[float], low: float, high: float) -> list[float]:
    """Return those of ascending marks that enclose the values, without digits that only rounding made."""
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
