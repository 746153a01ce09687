"""Which trials of a study are exported, under which names, and what their runs say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import ranking
from sweeps.analysis.agreement import compare_seeds, compare_shares
from sweeps.analysis.ranking import Configuration, Rerun
from sweeps.analysis.summary import format_objective
from sweeps.errors import InputError
from sweeps.space.space import Space
from sweeps.trials import FinishedTrial
from sweeps.wording import count_noun


@dataclass(frozen=True, slots=True)
class ExportedTrial:
    """A trial to export.

    Attributes:
        name: of its files, without their endings.
        attributes: the trial's, in the store.
        value: the objective at its last reading.
        runs: what the configuration was ranked by, in this study or in one that confirms it; None where the trial was
            named.
        description: what a person is told of it.
        warning: what speaks against it; empty if nothing.
    """

    name: str
    trial: FinishedTrial
    attributes: Mapping[str, Any]
    value: float | None
    runs: Configuration | None
    description: str
    warning: str = ""


def select_best(storage: RDBStorage, study: Study, space: Space, count: int) -> tuple[list[ExportedTrial], list[str]]:
    """Return the best configurations, those that were confirmed first; each by its first run that learned.

    Returns:
        At most `count`, and lines that say how they were chosen.

    Raises:
        InputError: nothing learned.
    """
    trials = store.read_trials(study)
    finished = store.finished_trials(trials)
    configurations = ranking.rank_configurations(space, finished)
    learners = [configuration for configuration in configurations if configuration.learned]
    if not learners:
        raise InputError(
            f"study {space.name!r}: none of its {len(finished)} finished trials learned, so that there is no best; "
            "--trial N exports a trial all the same"
        )
    reruns = [rerun for _, rerun in ranking.read_reruns(storage, space.name)]
    deciding = ranking.find_deciding(configurations, reruns)
    ranked = _rank_learners(learners, deciding)
    kept = _keep_first(space, learners, deciding, ranked)
    weaknesses = {rerun.study: ranking.describe_weakness(configurations, rerun) for rerun in reruns}
    lines = [f"{name!r} does not decide: {weakness}" for name, weakness in weaknesses.items() if weakness]
    if deciding is not None:
        lines += kept
        lines += _describe_choice(space, deciding, learners, ranked[:count])
    if not ranked:
        raise InputError(f"study {space.name!r}: {'; '.join(lines)}; --trial N exports a trial all the same")
    exported = []
    for rank, (configuration, runs) in enumerate(ranked[:count], 1):
        name = "best"
        if rank > 1:
            name = f"best_{rank}"
        exported.append(_make_exported(name, _first_learner(configuration), trials, space, runs))
    if len(ranked) < count:
        lines.append(f"{count} asked for; {count_noun(len(ranked), 'configuration')} learned")
    return exported, lines


def select_numbered(study: Study, space: Space, numbers: Sequence[int]) -> list[ExportedTrial]:
    """Return the trials of these numbers, dead ones too.

    Raises:
        InputError: there is no such trial, or it has not ended, or never got a recipe or data.
    """
    trials = store.read_trials(study)
    finished = {trial.number: trial for trial in store.finished_trials(trials)}
    for number in numbers:
        if number >= len(trials):
            raise InputError(f"study {space.name!r} has no trial {number}; its trials are 0 to {len(trials) - 1}")
        if number not in finished:
            raise InputError(f"trial {number} of {space.name!r} has not ended, or was given up; see `sweeps status`")
        if not {store.CONFIG, store.INPUT_SHAPE} <= trials[number].user_attrs.keys():
            why = finished[number].reason or "nobody knows why"
            raise InputError(f"trial {number} of {space.name!r} never got as far as its data: {why}")
    unique = dict.fromkeys(numbers)
    return [_make_exported(f"trial_{number}", finished[number], trials, space, None) for number in unique]


def _make_exported(
    name: str, trial: FinishedTrial, trials: Sequence[FrozenTrial], space: Space, runs: Configuration | None
) -> ExportedTrial:
    attributes = trials[trial.number].user_attrs
    if store.INPUT_SHAPE not in attributes:
        raise InputError(
            f"trial {trial.number} of {space.name!r} says nothing of its inputs: a version of sweeps trained it that "
            "did not note them; run the study again"
        )
    value = ranking.get_score(space, trial)
    description = f"trial {trial.number}: {trial.fate}"
    if value is not None:
        description += f", {space.measure.title} {format_objective(space.objective, value)}"
    warning = ""
    if not trial.learned:
        warning = f"did not learn: {trial.reason or trial.fate}"
    return ExportedTrial(
        name=name,
        trial=trial,
        attributes=attributes,
        value=value,
        runs=runs,
        description=description,
        warning=warning,
    )


def _first_learner(configuration: Configuration) -> FinishedTrial:
    return next(trial for trial in configuration.trials if trial.learned)


def _rank_learners(
    learners: Sequence[Configuration], deciding: Rerun | None
) -> list[tuple[Configuration, Configuration]]:
    """Return the study's configurations that learned, each with the runs that it is ranked by.

    Those that were run again come first, in the order of their ranks there; those that did not learn there are left
    out.
    """
    if deciding is None:
        return [(configuration, configuration) for configuration in learners]
    known = ranking.by_trial(learners)
    ranked = []
    run_again = set()
    for number, runs in deciding.candidates.items():
        if number in known:
            run_again.add(known[number].trials[0].number)
            if runs.learned:
                ranked.append((known[number], runs))
    others = [configuration for configuration in learners if configuration.trials[0].number not in run_again]
    return ranked + [(configuration, configuration) for configuration in others]


def _keep_first(
    space: Space,
    learners: Sequence[Configuration],
    deciding: Rerun | None,
    ranked: list[tuple[Configuration, Configuration]],
) -> list[str]:
    """Put the study's own first back at the head of `ranked` where the one before it leads by noise; say so."""
    if deciding is None or len(ranked) < 2:
        return []
    first = learners[0]
    place = next((index for index, (own, _) in enumerate(ranked) if own is first), 0)
    if not place or ranked[place][1].study != deciding.study:
        return []
    ahead, runs_ahead = ranked[0]
    if _is_ahead(space, deciding, runs_ahead, ranked[place][1]):
        return []
    ranked.insert(0, ranked.pop(place))
    numbers = [_first_learner(configuration).number for configuration in (ahead, first)]
    return [
        f"trial {numbers[0]} is ahead of trial {numbers[1]} in {deciding.study!r} by no more than noise, or one seed "
        "cannot say: the study's own first stays"
    ]


def _is_ahead(space: Space, deciding: Rerun, first: Configuration, second: Configuration) -> bool:
    """Return whether one configuration is known to be better than another by more than noise: that of seeds or, where
    there is one seed, that of a share of the hold-out set.

    The same lead with each of several seeds counts as more than noise.
    """
    sign = space.measure.sign
    by_seed = [
        {deciding.replicates[trial.number]: value for trial, value in zip(runs.trials, runs.values, strict=True)}
        for runs in (first, second)
    ]
    low, _, seeds = compare_seeds(by_seed[0], by_seed[1], sign)
    if low is not None:
        return low > 0
    if seeds > 1:
        return sign * (first.mean - second.mean) > 0
    if not space.measure.hits:
        return False
    images = first.config.holdout_images
    return compare_shares(first.mean, second.mean, images) > 0


def _describe_choice(
    space: Space,
    deciding: Rerun,
    learners: Sequence[Configuration],
    ranked: Sequence[tuple[Configuration, Configuration]],
) -> list[str]:
    """Return how a confirmation decided, in sentences."""
    lines = []
    confirmed = []
    unconfirmed = []
    for configuration, runs in ranked:
        number = _first_learner(configuration).number
        if runs.study == deciding.study:
            confirmed.append(f"trial {number}, {_format_mean(space, runs)}")
        else:
            unconfirmed.append(str(number))
    if confirmed:
        seeds = "one seed, which says nothing of how much seeds matter,"
        most = max(len(candidate.trials) for candidate in deciding.candidates.values())
        if most > 1:
            seeds = f"{most} seeds"
        lines.append(f"confirmed with {seeds} in {deciding.study!r}: {'; '.join(confirmed)}")
    if len(unconfirmed) == 1:
        lines.append(f"not run again: trial {unconfirmed[0]}")
    elif unconfirmed:
        lines.append(f"not run again: trials {', '.join(unconfirmed)}")
    known = ranking.by_trial(learners)
    for number, candidate in deciding.candidates.items():
        if number in known and not candidate.learned:
            runs_there = count_noun(len(candidate.trials), "run")
            lines.append(f"left out: trial {number}, since none of its {runs_there} in {deciding.study!r} learned")
    return lines


def _format_mean(space: Space, configuration: Configuration) -> str:
    interval = configuration.compute_interval()
    text = f"{space.measure.title} {format_objective(space.objective, configuration.mean)}"
    if interval is None:
        return text
    low, high = (format_objective(space.objective, end) for end in interval)
    return f"{text} (95 % interval {low} to {high})"
