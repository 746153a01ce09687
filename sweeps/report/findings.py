"""The findings of a report: numbers from a study's trials and their readings."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.analysis import summary as summaries
from sweeps.analysis.autopsies import Survey
from sweeps.analysis.ranking import rank_configurations
from sweeps.analysis.summary import Summary
from sweeps.analysis.values import values_in_effect
from sweeps.readings import Reading
from sweeps.report import best, runs
from sweeps.report.best import Confirming, Standing
from sweeps.report.deaths import Death, choose_deaths
from sweeps.report.levels import Count, Grid, JudgedRun, Levels, count_grid, count_levels, list_varied
from sweeps.report.material import Material
from sweeps.report.rows import Table, make_rows
from sweeps.report.runs import Curves, FateRow, Survival
from sweeps.space.space import Space
from sweeps.trials import UNKNOWN, FinishedTrial, drop_repetitions
from sweeps.verdict import Chance, Fate, is_control

MOST_FAILURES = 5  # reasons that are shown
MOST_NOTED = 4  # values of an attribute that are shown


@dataclass(frozen=True, slots=True)
class Controls:
    """The runs that the judge may not stop, and what it would have done to them.

    Attributes:
        would_stop: number of runs that it would have stopped.
        wrongly: number of these that learned.
    """

    runs: int
    learned: int
    would_stop: int
    wrongly: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason why trials failed, the numbers of these trials, and the first traceback among them."""

    reason: str
    trials: tuple[int, ...]
    traceback: str


@dataclass(frozen=True, slots=True)
class StudyFindings:
    """All that a report says of a study, as numbers and records.

    Attributes:
        chance: the scores of guessing; NaN where no trial noted them.
        judged: runs that tell whether their configuration learns, and how many of them did.
        outranked: number of runs that were stopped because others were better. It is not known whether they would have
            learned, so `judged` counts neither them nor failed runs.
        configurations: number of configurations that were ranked; `standings` are the first of them.
        grids: learned/tried of two hyperparameters; `no_grids` says which could not be made, and why.
        levels: learned/tried of each hyperparameter that varied.
        ran: what was run, as (name, value).
        warnings: what the rehearsal found odd, a line each.
    """

    space: Space
    summary: Summary
    chance: Chance
    judged: Count
    outranked: int
    configurations: int
    standings: tuple[Standing, ...]
    confirming: tuple[Confirming, ...]
    survey: Survey
    grids: tuple[Grid, ...]
    no_grids: tuple[str, ...]
    levels: tuple[Levels, ...]
    fates: tuple[FateRow, ...]
    survival: tuple[Survival, ...]
    controls: Controls
    curves: tuple[Curves, ...]
    deaths: tuple[Death, ...]
    failures: tuple[Failure, ...]
    table: Table
    ran: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def find_results(made_of: Material) -> StudyFindings:
    """Return the findings on a study."""
    space = made_of.space
    trials = made_of.trials
    finished = store.finished_trials(trials)
    judged_runs = _select_runs(space, finished)
    summary = summaries.summarise_trials(space, trials)
    chance = _get_chance(space, trials, finished)
    configurations = rank_configurations(space, finished)
    chosen = runs.choose_curve_runs(space, finished)
    best_numbers = [configuration.trials[0].number for configuration in configurations[: best.MOST]]
    readings = _read_readings(made_of, chosen, best_numbers)
    last_readings = {number: trial_readings[-1] for number, trial_readings in readings.items()}
    grids, no_grids = _make_grids(space, (summary.rows, summary.columns), judged_runs)
    return StudyFindings(
        space=space,
        summary=summary,
        chance=chance,
        judged=Count(learned=sum(run.learned for run in judged_runs), tried=len(judged_runs)),
        outranked=summary.fates.get(Fate.OUTRANKED, 0),
        configurations=len(configurations),
        standings=tuple(best.list_standings(space, configurations, last_readings, chance)),
        confirming=tuple(best.list_confirming(space, configurations, made_of.confirming)),
        survey=autopsies.survey_trials(space.name, autopsies.list_judged(trials)),
        grids=grids,
        no_grids=no_grids,
        levels=tuple(count_levels(parameter, judged_runs) for parameter in list_varied(space)),
        fates=tuple(runs.list_fates(space, finished)),
        survival=tuple(runs.measure_survival(space, finished)),
        controls=_count_controls(space, finished),
        curves=tuple(runs.make_curves(space, finished, chosen, readings, chance)),
        deaths=tuple(choose_deaths(space, trials, finished, made_of.readings)),
        failures=tuple(_count_failures(finished)),
        table=make_rows(space, trials, finished, regression=not chance.classes),
        ran=tuple(_describe_execution(space, trials, finished)),
        warnings=made_of.warnings,
    )


def _select_runs(space: Space, finished: Sequence[FinishedTrial]) -> list[JudgedRun]:
    """Return the trials that say whether a configuration learns: outranked and failed ones are left out."""
    return [
        JudgedRun(values_in_effect(space, run.config, run.params), run.learned)
        for run in drop_repetitions(finished)
        if run.fate not in UNKNOWN
    ]


def _get_chance(space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial]) -> Chance:
    for run in finished:
        if run.config:
            return autopsies.chance_of(trials[run.number], trials)
    if space.data.task == "classification":
        classes = space.data.classes
    else:
        classes = 0
    return Chance(nan, nan, nan, classes)


def _read_readings(
    made_of: Material, chosen: dict[str, list[FinishedTrial]], best_numbers: Sequence[int]
) -> dict[int, list[Reading]]:
    numbers = {run.number for runs_of_fate in chosen.values() for run in runs_of_fate} | set(best_numbers)
    return dict(made_of.readings(sorted(numbers)))


def _make_grids(
    space: Space, axes: tuple[str, str], judged_runs: Sequence[JudgedRun]
) -> tuple[tuple[Grid, ...], tuple[str, ...]]:
    """Return two grids, of the summary's axes and of learning rate by epsilon, and why grids are missing."""
    parameters = {parameter.name: parameter for parameter in list_varied(space)}
    grids = []
    missing = []
    for row, column in (axes, ("learning_rate", "epsilon")):
        if not (row and column):
            continue
        fixed = [name for name in (row, column) if name not in parameters]
        if fixed:
            missing.append(_explain_missing_grid(row, column, fixed))
        elif judged_runs:
            grids.append(count_grid(parameters[row], parameters[column], judged_runs))
    return tuple(grids), tuple(missing)


def _explain_missing_grid(row: str, column: str, fixed: Sequence[str]) -> str:
    if len(fixed) == 1:
        verb = "was"
    else:
        verb = "were"
    return f"of {row} and {column}: {' and '.join(fixed)} {verb} not varied".replace("_", " ")


def _count_controls(space: Space, finished: Sequence[FinishedTrial]) -> Controls:
    """Return the counts of control runs.

    The slot alone decides which run is a control, so that controls differ from other runs in nothing else.
    """
    key = f"{space.name}/{space.budget.seed}"
    controls = []
    for run in finished:
        has_control_slot = run.slot is not None and is_control(key, run.slot, space.verdict)
        if run.would_stop is not None or (has_control_slot and run.fate != store.FAILED):
            controls.append(run)
    spared = [run for run in controls if run.would_stop is not None]
    return Controls(
        runs=len(controls),
        learned=sum(run.learned for run in controls),
        would_stop=len(spared),
        wrongly=sum(run.learned for run in spared),
    )


def _count_failures(finished: Sequence[FinishedTrial]) -> list[Failure]:
    """Return why trials failed, the most frequent reasons first."""
    failed = [run for run in finished if run.fate == store.FAILED]
    failures = []
    for reason, _ in Counter(run.reason for run in failed).most_common(MOST_FAILURES):
        numbers = tuple(run.number for run in failed if run.reason == reason)
        traceback = next((run.traceback for run in failed if run.reason == reason and run.traceback), "")
        failures.append(Failure(reason, numbers, traceback))
    return failures


def _describe_execution(
    space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial]
) -> list[tuple[str, str]]:
    """Return what was run, where and when."""
    data = space.data
    held_out = f"{space.budget.holdout_images:,} held out"
    if data.task == "regression":
        target = "numbers to predict"
    else:
        target = f"{data.classes:,} classes"
    seconds = sum(run.seconds for run in finished)
    if seconds >= 3600:
        duration = f"{seconds / 3600:.2g} hours in all"
    else:
        duration = f"{seconds:.0f} seconds in all"
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    rows = [
        ("data", f"{data.source}: {target}, {store.count_train_images(data.images, trials):,} to train on, {held_out}"),
        ("net", space.model.architecture),
        ("length of a run", space.budget.length),
        ("varied", ", ".join(parameter.name for parameter in list_varied(space)) or "nothing: all is fixed"),
        ("sampler, pruner", f"{space.sampler['name']}, {space.pruner['name']}"),
        ("training", duration),
    ]
    if ends:
        rows.append(("last trial ended", f"{max(ends):%Y-%m-%d %H:%M}"))
    for name, attribute in (("device", store.GPU), ("host", store.HOST), ("data digest", store.DATA_DIGEST)):
        rows.append((name, _list_noted_values(trials, attribute)))
    versions = {
        f"{package} {version}"
        for trial in trials
        for package, version in trial.user_attrs.get(store.VERSIONS, {}).items()
    }
    rows.append(("versions", ", ".join(sorted(versions))))
    return [(name, value) for name, value in rows if value]


def _list_noted_values(trials: Sequence[FrozenTrial], attribute: str) -> str:
    """Return the values of an attribute that trials noted, the most frequent first, at most `MOST_NOTED` by name."""
    counts = Counter(str(value) for trial in trials if (value := trial.user_attrs.get(attribute)))
    text = ", ".join(name for name, _ in counts.most_common(MOST_NOTED))
    if len(counts) > MOST_NOTED:
        text += f" and {len(counts) - MOST_NOTED} more"
    return text
