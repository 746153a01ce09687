"""The best configurations of a study and of those that confirm it, with how sure their means are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from optuna.trial import FrozenTrial

from sweeps.analysis.ranking import Configuration, collect_reruns, find_deciding
from sweeps.analysis.summary import get_drawn_values
from sweeps.readings import Reading
from sweeps.space.space import Space
from sweeps.verdict import Chance
from sweeps.verdict.shares import Z, wilson_interval

MOST = 10  # configurations that are shown
SEEDS = "seeds"
HOLDOUT = "hold-out set"


@dataclass(frozen=True, slots=True)
class Standing:
    """A configuration at its rank.

    Attributes:
        candidate: number of the trial that a confirmation runs again; None in a study that confirms none.
        trials: numbers of its runs.
        values: the objective at the last look of each.
        interval: 95 % interval of the mean; None where nothing tells.
        over: what was drawn at random for the interval: `SEEDS`, or of a single run `HOLDOUT`, which is less than all.
    """

    rank: int
    words: str
    candidate: int | None
    trials: tuple[int, ...]
    values: tuple[float, ...]
    learned: int
    mean: float
    spread: float | None
    interval: tuple[float, float] | None
    over: str


@dataclass(frozen=True, slots=True)
class Confirming:
    """A study that ran candidates again: its ranking, and how many of its runs have finished.

    Attributes:
        decides: whether an export goes by its ranks.
    """

    study: str
    length: str
    done: int
    trials: int
    standings: tuple[Standing, ...]
    decides: bool

    def find_origin(self, standing: Standing) -> Standing | None:
        """Return where a configuration of the study that is confirmed came; None if it was not run again."""
        return next(
            (own_standing for own_standing in self.standings if own_standing.candidate in standing.trials), None
        )


def list_standings(
    space: Space, configurations: Sequence[Configuration], last: Mapping[int, Reading], chance: Chance
) -> list[Standing]:
    """Return the first configurations of a ranking.

    Args:
        last: of trials by number, their last looks; the interval of a single run comes from it.
    """
    return [
        _make_standing(
            space, index, configuration, get_drawn_values(space, configuration.trials[0]), last, chance, None
        )
        for index, configuration in enumerate(configurations[:MOST], 1)
    ]


def list_confirming(
    space: Space, own: Sequence[Configuration], again: Sequence[tuple[Space, Sequence[FrozenTrial]]]
) -> Iterator[Confirming]:
    """Yield the rankings of studies that confirm one.

    Args:
        own: the configurations of that one; what its parameters are called there, they are called here.
        again: the studies that confirm it, with their trials.
    """
    values = {trial.number: get_drawn_values(space, trial) for configuration in own for trial in configuration.trials}
    reruns = [(its, collect_reruns(its, trials)) for its, trials in again]
    counts = find_deciding(own, [this_rerun for _, this_rerun in reruns])
    for its, own_rerun in reruns:
        standings = [
            _make_standing(its, index, ranked, values.get(candidate, ""), {}, None, candidate)
            for index, (candidate, ranked) in enumerate(own_rerun.candidates.items(), 1)
        ]
        yield Confirming(
            its.name, its.budget.length, own_rerun.finished, its.budget.trials, tuple(standings), own_rerun is counts
        )


def _make_standing(
    space: Space,
    index: int,
    configuration: Configuration,
    text: str,
    last: Mapping[int, Reading],
    chance: Chance | None,
    candidate: int | None,
) -> Standing:
    over_seeds = configuration.compute_interval()
    only = configuration.trials[0]
    over_holdout = None
    if over_seeds is None and chance is not None and only.number in last:
        over_holdout = _compute_holdout_interval(space, configuration.mean, last[only.number], chance)
    return Standing(
        rank=index,
        words=text,
        candidate=candidate,
        trials=tuple(trial.number for trial in configuration.trials),
        values=configuration.values,
        learned=configuration.learned,
        mean=configuration.mean,
        spread=configuration.spread,
        interval=_clip_interval(space.measure.bounds, over_seeds or over_holdout),
        over=SEEDS if over_seeds else HOLDOUT if over_holdout else "",
    )


def _clip_interval(bounds: tuple[float, float], interval: tuple[float, float] | None) -> tuple[float, float] | None:
    return interval and (max(bounds[0], interval[0]), min(bounds[1], interval[1]))


def _compute_holdout_interval(space: Space, value: float, reading: Reading, chance: Chance) -> tuple[float, float] | None:
    """Return what another sample of hold-out images might show of the same net: Wilson's, or the normal one of a mean
    loss.
    """
    if not reading.count:
        return None
    objective = space.measure
    if objective.hits:
        return wilson_interval(getattr(reading, objective.hits), reading.count)
    scale = objective.loss_scale(chance)
    if not (isfinite(reading.loss_std) and scale > 0):
        return None
    half = Z * reading.loss_std / sqrt(reading.count) / scale
    return value - half, value + half
