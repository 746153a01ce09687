"""The best configurations of a study and of those that confirm it, with how sure their means are."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, sqrt

from optuna.trial import FrozenTrial

from sweeps.analysis.ranking import Configuration, collect_reruns
from sweeps.analysis.values import get_drawn_values
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
        values: the objective at the last reading of each.
        interval: 95 % interval of the mean; None where nothing tells.
        interval_source: what was drawn at random for the interval: `SEEDS`, or of a single run `HOLDOUT`, which leaves
            out the effect of the seed; empty without an interval.
    """

    rank: int
    description: str
    candidate: int | None
    trials: tuple[int, ...]
    values: tuple[float, ...]
    learned: int
    mean: float
    spread: float | None
    interval: tuple[float, float] | None
    interval_source: str


@dataclass(frozen=True, slots=True)
class Confirming:
    """A study that ran candidates again: its ranking, and how many of its runs have finished."""

    study: str
    length: str
    done: int
    trials: int
    standings: tuple[Standing, ...]

    def find_origin(self, standing: Standing) -> Standing | None:
        """Return where a configuration of the study that is confirmed came; None if it was not run again."""
        for confirmed in self.standings:
            if confirmed.candidate in standing.trials:
                return confirmed
        return None


def list_standings(
    space: Space, configurations: Sequence[Configuration], last: Mapping[int, Reading], chance: Chance
) -> list[Standing]:
    """Return the first configurations of a ranking.

    Args:
        last: of trials by number, their last readings; the interval of a single run comes from it.
    """
    return [
        _make_standing(
            space=space,
            rank=rank,
            configuration=configuration,
            description=get_drawn_values(space, configuration.trials[0]),
            last=last,
            chance=chance,
            candidate=None,
        )
        for rank, configuration in enumerate(configurations[:MOST], 1)
    ]


def list_confirming(
    space: Space, own: Sequence[Configuration], again: Sequence[tuple[Space, Sequence[FrozenTrial]]]
) -> Iterator[Confirming]:
    """Yield the rankings of studies that confirm one.

    Args:
        own: the configurations of that study; they are named by its parameters.
        again: the studies that confirm it, with their trials.
    """
    values = {trial.number: get_drawn_values(space, trial) for configuration in own for trial in configuration.trials}
    spaces = [confirming_space for confirming_space, _ in again]
    all_reruns = [collect_reruns(confirming_space, trials) for confirming_space, trials in again]
    for confirming_space, reruns in zip(spaces, all_reruns, strict=True):
        standings = tuple(
            _make_standing(
                space=confirming_space,
                rank=rank,
                configuration=configuration,
                description=values.get(candidate, ""),
                last={},
                chance=None,
                candidate=candidate,
            )
            for rank, (candidate, configuration) in enumerate(reruns.candidates.items(), 1)
        )
        yield Confirming(
            study=confirming_space.name,
            length=confirming_space.budget.length,
            done=reruns.finished,
            trials=confirming_space.budget.trials,
            standings=standings,
        )


def _make_standing(
    *,
    space: Space,
    rank: int,
    configuration: Configuration,
    description: str,
    last: Mapping[int, Reading],
    chance: Chance | None,
    candidate: int | None,
) -> Standing:
    first_number = configuration.trials[0].number
    interval_source = ""
    interval = configuration.compute_interval()
    if interval is not None:
        interval_source = SEEDS
    elif chance is not None and first_number in last:
        interval = _compute_holdout_interval(space, configuration.mean, last[first_number], chance)
        if interval is not None:
            interval_source = HOLDOUT
    return Standing(
        rank=rank,
        description=description,
        candidate=candidate,
        trials=tuple(trial.number for trial in configuration.trials),
        values=configuration.values,
        learned=configuration.learned,
        mean=configuration.mean,
        spread=configuration.spread,
        interval=_clip_interval(space.measure.bounds, interval),
        interval_source=interval_source,
    )


def _clip_interval(bounds: tuple[float, float], interval: tuple[float, float] | None) -> tuple[float, float] | None:
    if interval is None:
        return None
    return max(bounds[0], interval[0]), min(bounds[1], interval[1])


def _compute_holdout_interval(
    space: Space, value: float, reading: Reading, chance: Chance
) -> tuple[float, float] | None:
    """Return the interval of what other hold-out images might show of the same net.

    It is Wilson's interval of a share, or the normal interval of a mean loss; None where neither can be computed.
    """
    if not reading.count:
        return None
    objective = space.measure
    if objective.hits:
        return wilson_interval(getattr(reading, objective.hits), reading.count)
    scale = objective.loss_scale(chance)
    if not (isfinite(reading.loss_std) and scale > 0):
        return None
    half_width = Z * reading.loss_std / sqrt(reading.count) / scale
    return value - half_width, value + half_width
