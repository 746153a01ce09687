"""What a study's trials say together: what decides between dying and learning, where runs live, what one may change.

All finished trials count, stopped ones too: where most are stopped, an importance over complete ones misleads.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import ceil, isfinite, sqrt

import numpy as np
from numpy.typing import NDArray

from sweeps.diagnosis.information import Floats, Mask, measure_information, share_of
from sweeps.trials import FinishedTrial
from sweeps.verdict.shares import fisher_p_value, wilson_lower

Value = str | int | float | bool
Condition = tuple[str, Mask]  # in words, and the trials that meet it

BINS = 4  # of a number: where information is counted, and in the region that lives, which only describes
CUTS = 10
LOG_SPAN = 30.0  # highest value over lowest, above which the edges of a number are in log scale
FEWEST = 5  # trials in the region, also as a share of all; conditions that bound it
FEWEST_SHARE = 0.1
CONDITIONS = 3
ALIKE = 4  # trials that must agree with the dead one, else all are asked; level of Fisher's test
LEVEL = 0.005


@dataclass(frozen=True, slots=True)
class Decider:
    """A hyperparameter, the share in [0, 1] of the outcome's entropy that it explains, and where most runs learned."""

    name: str
    importance: float
    best: str


@dataclass(frozen=True, slots=True)
class Region:
    """Conditions in words, and how many runs learned of those that were tried under them."""

    words: str
    learned: int
    tried: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change to a dead trial that the study's own trials support.

    Attributes:
        like_dead, changed: (not learned, all) of the runs like the dead one, without the change and with it.
        p: `fisher_p_value` of the two, in (0, 0.005]; not corrected for the number of changes that were looked at.
    """

    words: str
    parameter: str
    like_dead: tuple[int, int]
    changed: tuple[int, int]
    p: float


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One hyperparameter: its levels, the last for being absent; then per trial its level, gap and number (or NaN)."""

    name: str
    levels: tuple[str, ...]
    codes: NDArray[np.intp]
    gaps: Mask
    numbers: Floats | None  # None for categories

    def list_conditions(self) -> list[Condition]:
        return [(f"{self.name} {level}", self.codes == code) for code, level in enumerate(self.levels)]


def rank_deciders(trials: Sequence[FinishedTrial]) -> list[Decider]:
    """Return the hyperparameters by how much each decides alone; empty where all trials learned, or none.

    Importance is mutual information with the outcome (Cover & Thomas, Elements of Information Theory, 2.3) less its
    mean over 200 permutations of the outcome, over the outcome's entropy. Numbers are cut at quantiles into at most 4
    bins. A conditional parameter also knows what switches it on, and shares the importance of that.
    """
    learned, parameters = _encode_trials(trials)
    return [
        Decider(parameter.name, share, _find_best_condition(parameter, learned))
        for share, parameter in _rank_parameters(parameters, learned)
    ]


def find_interactions(trials: Sequence[FinishedTrial], top: int = 3) -> list[tuple[str, str, float]]:
    """Return at most `top` pairs that decide what neither does alone, with their share in (0, 1] of the outcome's
    entropy.

    The information of the pair less that of both (McGill 1954, Multivariate information transmission), corrected as in
    `rank_deciders`; it must be above that of all 200 permutations.
    """
    learned, parameters = _encode_trials(trials)
    alone = [
        (parameter, measure_information(parameter.codes, learned))
        for _, parameter in _rank_parameters(parameters, learned)
    ]
    pairs = []
    for (one, of_one), (other, of_other) in combinations(alone, 2):
        beyond = measure_information(one.codes * len(other.levels) + other.codes, learned) - of_one - of_other
        if (share := share_of(beyond, learned)) > 0 and beyond[0] > beyond[1:].max() + 1e-12:  # rounding
            pairs.append((one.name, other.name, share))
    return sorted(pairs, key=lambda pair: -pair[2])[:top]


def find_region(trials: Sequence[FinishedTrial]) -> list[Region]:
    """Return the region that lives: up to three conditions, each with those before it; empty where none helps.

    Each is the one that raises `wilson_lower` of the learned share most, with at least 5 trials and a tenth of all in
    it.
    """
    learned, parameters = _encode_trials(trials)
    fewest = max(FEWEST, ceil(FEWEST_SHARE * len(trials)))
    inside = np.ones(len(trials), dtype=bool)
    conditions: list[str] = []
    regions = list[Region]()

    def least_share(mask: Mask) -> float:
        learned_inside, tried = _count_learned(mask, learned)
        return wilson_lower(learned_inside, tried)

    while len(regions) < CONDITIONS:
        options = [
            (text, inside & mask)
            for parameter in parameters
            for text, mask in _list_conditions(parameter, inside, learned)
        ]
        allowed = [(text, mask) for text, mask in options if np.count_nonzero(mask) >= fewest]
        text, mask = max(allowed, key=lambda option: least_share(option[1]), default=("", inside))
        if least_share(mask) <= least_share(inside):
            break
        inside = mask
        conditions.append(text)
        learned_inside, tried = _count_learned(inside, learned)
        regions.append(Region(" and ".join(conditions), learned_inside, tried))
    return [region for region in regions if 2 * region.learned > region.tried]


def supported_changes(dead: FinishedTrial, trials: Sequence[FinishedTrial], most: int = 3) -> list[Change]:
    """Single changes with which more runs like the dead one learned, the surest first; empty where none is supported.

    Runs are like it where they agree on the two parameters that decide most, the changed one apart; where those are
    too few to tell, on one, then on none. The dead trial counts if it is among the trials.
    """
    rows = list(trials)
    numbers = [trial.number for trial in trials]
    if dead.number not in numbers:
        rows.append(dead)
        numbers.append(dead.number)
    row = numbers.index(dead.number)
    learned, parameters = _encode_trials(rows)
    counted = np.arange(len(rows)) < len(trials)
    ranked = [parameter for share, parameter in _rank_parameters(parameters, learned) if share > 0]
    values: dict[tuple[str, str], Change] = {}
    for parameter in parameters:
        others = [other for other in ranked if other is not parameter]
        for direction, now, then in _list_moves(parameter, row):
            groups = _list_groups(others, row, counted & then[1], counted)
            changes = [_make_change(parameter.name, shared, now, then, learned) for shared in groups]
            change = _choose_supported(changes)
            key = (parameter.name, direction)
            if change and (key not in values or change.p < values[key].p):
                values[key] = change
    return sorted(values.values(), key=lambda change: change.p)[:most]


def _count_learned(mask: Mask, learned: Mask) -> tuple[int, int]:
    return int(learned[mask].sum()), int(mask.sum())


def _encode_trials(trials: Sequence[FinishedTrial]) -> tuple[Mask, list[_Parameter]]:
    """Return which trials learned, and the parameters with more than one value, in the order in which trials name
    them.
    """
    names = dict.fromkeys(name for trial in trials for name in trial.params)
    parameters = [_encode_parameter(name, [trial.params.get(name) for trial in trials]) for name in names]
    learned = np.array([trial.learned for trial in trials], dtype=bool)
    return learned, [parameter for parameter in parameters if len(parameter.levels) > 2]


def _encode_parameter(name: str, column: Sequence[Value | None]) -> _Parameter:
    present = [value for value in column if value is not None]
    gaps = np.array([value is None for value in column])
    numbers = None
    if all(isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) for value in present):
        numbers = np.full(len(column), np.nan)
        numbers[~gaps] = present
        edges = _choose_edges(numbers, BINS)
        codes = np.searchsorted(edges, numbers, side="right")
        lows = [None] + edges
        highs = edges + [None]
        levels = [
            _describe_range(numbers[codes == code], low, high)
            for code, (low, high) in enumerate(zip(lows, highs, strict=True))
        ]
    else:
        levels = sorted({str(value) for value in present})
        codes = np.zeros(len(column), np.intp)
        codes[~gaps] = [levels.index(str(value)) for value in present]
    return _Parameter(name, tuple(levels) + ("absent",), np.where(gaps, len(levels), codes), gaps, numbers)


def _choose_edges(numbers: Floats, bins: int) -> list[float]:
    """Return edges between the values nearest to the quantiles, or between all, with the fewest digits that separate
    them.
    """
    ordered = np.sort(numbers[~np.isnan(numbers)])
    edges = []
    steps = np.flatnonzero(np.diff(ordered)) + 1
    if len(steps) >= bins:
        wanted = np.arange(1, bins) * len(ordered) / bins
        steps = np.unique([steps[np.abs(steps - value).argmin()] for value in wanted])
    in_logs = ordered[0] > 0 and ordered[-1] > LOG_SPAN * ordered[0]
    for low, high in ((float(ordered[step - 1]), float(ordered[step])) for step in steps):
        if in_logs:
            middle = sqrt(low) * sqrt(high)
        else:
            middle = low / 2 + high / 2
        rounded = (float(f"{middle:.{digits}g}") for digits in range(1, 18))
        edges.append(next((edge for edge in rounded if low < edge < high), high))
    return edges


def _describe_range(inside: Floats, low: float | None, high: float | None) -> str:
    """Return the words for numbers between two edges; the number itself where there is only one."""
    values = np.unique(inside[~np.isnan(inside)])
    if len(values) == 1:
        return f"{values[0]:.10g}"
    if low is None or high is None:
        if low is None:
            return f"below {high:.10g}"
        return f"above {low:.10g}"
    return f"from {low:.10g} to {high:.10g}"


def _rank_parameters(parameters: Sequence[_Parameter], learned: Mask) -> list[tuple[float, _Parameter]]:
    """Return the parameters by importance; none where all trials learned, or none."""
    if learned.all() or not learned.any():
        return []
    shares = [(share_of(measure_information(parameter.codes, learned), learned), parameter) for parameter in parameters]
    return sorted(shares, key=lambda pair: -pair[0])


def _find_best_condition(parameter: _Parameter, learned: Mask) -> str:
    groups = [(text, learned[mask]) for text, mask in parameter.list_conditions() if mask.any()]
    text, group = max(groups, key=lambda option: (option[1].mean(), len(option[1])))
    return f"{text}: {group.sum()} of {len(group)} learned"


def _list_sides(name: str, numbers: Floats, bins: int) -> Iterator[tuple[Condition, Condition]]:
    """Yield the conditions of being below and above each edge of a number."""
    for edge in _choose_edges(numbers, bins):
        low = numbers < edge
        high = numbers >= edge
        yield (
            (f"{name} {_describe_range(numbers[low], None, edge)}", low),
            (f"{name} {_describe_range(numbers[high], edge, None)}", high),
        )


def _list_conditions(parameter: _Parameter, inside: Mask, learned: Mask) -> Iterator[Condition]:
    """Yield each category and the best ones together, or both sides of each edge of a number and being absent."""
    name = parameter.name
    codes = parameter.codes
    levels = parameter.levels
    if parameter.numbers is not None:
        yield from (side for sides in _list_sides(name, parameter.numbers, CUTS) for side in sides)
        yield parameter.list_conditions()[-1]
        return
    yield from parameter.list_conditions()
    by_share = sorted(np.unique(codes[inside]), key=lambda code: -learned[inside & (codes == code)].mean())
    for best in (by_share[:count] for count in range(2, len(by_share))):
        yield f"{name} {' or '.join(levels[code] for code in best)}", np.isin(codes, best)


def _list_moves(parameter: _Parameter, row: int) -> Iterator[tuple[str, Condition, Condition]]:
    """Yield (direction, condition before, condition after), but none to or from an absent value: that is another
    parameter's doing.
    """
    if parameter.gaps[row]:
        return
    if parameter.numbers is not None:
        for low, high in _list_sides(parameter.name, parameter.numbers, BINS):
            if low[1][row]:
                yield "up", low, high
            else:
                yield "down", high, low
    else:
        now = parameter.list_conditions()[parameter.codes[row]]
        yield from ((then[0], now, then) for then in parameter.list_conditions()[:-1] if not then[1][row])


def _list_groups(others: Sequence[_Parameter], row: int, moved: Mask, counted: Mask) -> list[list[Condition]]:
    """Return what the row shares with trials like it, the most alike first: two others, one, none that the change
    switches.
    """
    possible = [other for other in others if np.any(moved & (other.gaps == other.gaps[row]))][:2]
    shared = [("", counted)] + [parameter.list_conditions()[parameter.codes[row]] for parameter in possible]
    groups = [shared[:count] for count in range(len(shared), 0, -1)]
    return [group for group in groups if np.all([mask for _, mask in group], axis=0).sum() >= ALIKE or len(group) == 1]


def _choose_supported(changes: Sequence[Change]) -> Change | None:
    """Return the first that is beyond chance, unless it is of no use to runs more alike."""
    for change in changes:
        died, all_like = change.like_dead
        died_changed, all_changed = change.changed
        if change.p <= LEVEL or died_changed * all_like >= died * all_changed:
            if change.p <= LEVEL:
                return change
            return None
    return None


def _make_change(name: str, shared: Sequence[Condition], now: Condition, then: Condition, learned: Mask) -> Change:
    alike = np.all([mask for _, mask in shared], axis=0)
    lived, before = _count_learned(alike & now[1], learned)
    saved, after = _count_learned(alike & then[1], learned)
    texts = [text for text, _ in shared] + [now[0]]
    conditions = " and ".join(text for text in texts if text)
    without = f"of {before} runs with {conditions}, {before - lived} did not learn"
    return Change(
        words=f"{without}; with {then[0]}, {after - saved} of {after}",
        parameter=name,
        like_dead=(before - lived, before),
        changed=(after - saved, after),
        p=fisher_p_value(saved, after, lived, before),
    )
