"""Which trials of a study are exported, under which names, and what their runs say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna import Study
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import ranking
from sweeps.analysis.ranking import Configuration, Rerun
from sweeps.analysis.summary import format_objective
from sweeps.errors import InputError
from sweeps.space.space import Space
from sweeps.trials import FinishedTrial


@dataclass(frozen=True, slots=True)
class ExportedTrial:
    """A trial to export.

    Attributes:
        name: of its files, without their endings.
        attributes: the trial's, in the store.
        value: the objective at its last look.
        runs: what the configuration was ranked by, in this study or in one that confirms it; None where the trial was
            named.
        words: what a person is told of it.
        warning: what speaks against it; empty if nothing.
    """

    name: str
    trial: FinishedTrial
    attributes: Mapping[str, Any]
    value: float | None
    runs: Configuration | None
    words: str
    warning: str = ""


def best(storage: RDBStorage, study: Study, space: Space, count: int) -> tuple[list[ExportedTrial], list[str]]:
    """Return the best configurations, those that were confirmed first; each by its first run that learned.

    Returns:
        At most `count`, and lines that say how they were chosen.

    Raises:
        InputError: nothing learned.
    """
    trials = study.get_trials(deepcopy=False)
    configurations = ranking.rank_configurations(space, store.finished_trials(trials))
    own = [configuration for configuration in configurations if configuration.learned]
    if not own:
        done = len(store.finished_trials(trials))
        raise InputError(
            f"study {space.name!r}: none of its {done} finished trials learned, so that there is no best; "
            "--trial N exports a trial all the same"
        )
    reruns = _reruns(storage, space)
    confirmed = ranking.find_deciding(configurations, reruns)
    runs = _in_order(own, confirmed)
    weak = [(rerun.study, why) for rerun in reruns if (why := ranking.describe_weakness(configurations, rerun))]
    lines = [f"{name!r} does not decide: {why}" for name, why in weak]
    lines += _lines(space, confirmed, own, runs[:count])
    if not runs:
        raise InputError(f"study {space.name!r}: {'; '.join(lines)}; --trial N exports a trial all the same")
    chosen = [
        _chosen("best" if rank == 1 else f"best_{rank}", _learner(run), trials, space, found)
        for rank, (run, found) in enumerate(runs[:count], 1)
    ]
    if len(runs) < count:
        lines.append(f"{count} asked for; {len(runs)} configuration{'s' if len(runs) > 1 else ''} learned")
    return chosen, lines


def numbered(study: Study, space: Space, numbers: Sequence[int]) -> list[ExportedTrial]:
    """Return the trials of these numbers, dead ones too.

    Raises:
        InputError: there is no such trial, or it has not ended, or never got a recipe or data.
    """
    trials = study.get_trials(deepcopy=False)
    finished = {trial.number: trial for trial in store.finished_trials(trials)}
    for number in numbers:
        if number >= len(trials):
            raise InputError(f"study {space.name!r} has no trial {number}; its trials are 0 to {len(trials) - 1}")
        if number not in finished:
            raise InputError(f"trial {number} of {space.name!r} has not ended, or was given up; see `sweeps status`")
        if not {store.CONFIG, store.INPUT_SHAPE} <= trials[number].user_attrs.keys():
            why = finished[number].reason or "nobody knows why"
            raise InputError(f"trial {number} of {space.name!r} never got as far as its data: {why}")
    return [_chosen(f"trial_{number}", finished[number], trials, space, None) for number in dict.fromkeys(numbers)]


def _chosen(
    name: str, trial: FinishedTrial, trials: Sequence[FrozenTrial], space: Space, runs: Configuration | None
) -> ExportedTrial:
    attributes = trials[trial.number].user_attrs
    if store.INPUT_SHAPE not in attributes:
        raise InputError(
            f"trial {trial.number} of {space.name!r} says nothing of its inputs: a version of sweeps trained it that "
            "did not note them; run the study again"
        )
    value = ranking.get_score(space, trial)
    text = f"trial {trial.number}: {trial.fate}"
    if value is not None:
        text += f", {space.measure.title} {format_objective(space.objective, value)}"
    if trial.learned:
        dead = ""
    else:
        dead = f"did not learn: {trial.reason or trial.fate}"
    return ExportedTrial(name, trial, attributes, value, runs, text, dead)


def _learner(configuration: Configuration) -> FinishedTrial:
    return next(trial for trial in configuration.trials if trial.learned)


def _in_order(own: Sequence[Configuration], confirmed: Rerun | None) -> list[tuple[Configuration, Configuration]]:
    """Return the study's configurations that learned, confirmed ones first and in their order there."""
    of = {trial.number: configuration for configuration in own for trial in configuration.trials}
    again = confirmed.candidates if confirmed else {}
    first = [
        (of[number], own_configuration)
        for number, own_configuration in again.items()
        if confirmed and number in of and own_configuration.learned
    ]
    known = {id(of[number]) for number in again if number in of}
    return first + [(configuration, configuration) for configuration in own if id(configuration) not in known]


def _reruns(storage: RDBStorage, space: Space) -> list[Rerun]:
    """Return the studies that ran candidates again, those of which some run has finished."""
    reruns = [
        ranking.collect_reruns(its, study.get_trials(deepcopy=False))
        for study, its in ranking.list_confirmations(storage, space.name)
    ]
    return [rerun for rerun in reruns if rerun.candidates]


def _lines(
    space: Space,
    confirmed: Rerun | None,
    own: Sequence[Configuration],
    chosen: Sequence[tuple[Configuration, Configuration]],
) -> list[str]:
    """Return how confirmations decided, in sentences."""
    if confirmed is None:
        return []
    most = max(len(candidate.trials) for candidate in confirmed.candidates.values())
    if most > 1:
        seeds = f"{most} seeds"
    else:
        seeds = "one seed, which says nothing of how much seeds matter,"
    again = [(own_configuration, runs) for own_configuration, runs in chosen if runs.study == confirmed.study]
    parts = [f"trial {_learner(this_configuration).number}, {_mean(space, runs)}" for this_configuration, runs in again]
    lines = [f"confirmed with {seeds} in {confirmed.study!r}: {'; '.join(parts)}"] if parts else []
    if rest := [str(_learner(each).number) for each, runs in chosen if runs.study != confirmed.study]:
        lines.append(f"not run again: trial{'s' if len(rest) > 1 else ''} {', '.join(rest)}")
    of = {trial.number: each for each in own for trial in each.trials}
    for number, configuration in confirmed.candidates.items():
        if number in of and not configuration.learned:
            runs = f"{len(configuration.trials)} run{'s' if len(configuration.trials) > 1 else ''}"
            lines.append(f"left out: trial {number}, since none of its {runs} in {confirmed.study!r} learned")
    return lines


def _mean(space: Space, configuration: Configuration) -> str:
    interval = configuration.compute_interval()
    text = f"{space.measure.title} {format_objective(space.objective, configuration.mean)}"
    if interval is None:
        return text
    low, high = (format_objective(space.objective, end) for end in interval)
    return f"{text} (95 % interval {low} to {high})"
