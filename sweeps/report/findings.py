"""The findings of a report: numbers alone, from a study's trials and their readings."""

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
from sweeps.readings import Reading
from sweeps.report import best, runs
from sweeps.report.best import Confirming, Standing
from sweeps.report.deaths import Death, choose_deaths
from sweeps.report.levels import Count, Grid, Levels, JudgedRun, count_grid, count_levels, values_in_effect, list_varied
from sweeps.report.material import Material
from sweeps.report.rows import Table, make_rows
from sweeps.report.runs import Curves, FateRow, Survival
from sweeps.space.space import Space
from sweeps.trials import UNKNOWN, FinishedTrial
from sweeps.verdict import Chance, Fate, is_control

MOST_FAILURES = 5  # reasons that are shown


@dataclass(frozen=True, slots=True)
class Controls:
    """The runs that the judge could not stop: what it would have done to them.

    Attributes:
        would_stop, wrongly: it would have stopped so many; so many of these learned.
    """

    runs: int
    learned: int
    would_stop: int
    wrongly: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A reason why trials failed, how many did, and what Python said of the first of them."""

    reason: str
    trials: tuple[int, ...]
    traceback: str


@dataclass(frozen=True, slots=True)
class StudyFindings:
    """What a report says of a study.

    Attributes:
        chance: its numbers are NaN where no trial noted them.
        judged: runs that tell whether their configuration learns, and how many of them did.
        outranked: runs of which nobody knows whether they would have learned; they count in `judged` no more than
            failed ones.
        configurations: so many were ranked; `standings` are the first.
        grids: learned/tried of two hyperparameters; `no_grids` says which could not be made, and why.
        levels: learned/tried of each hyperparameter that varied.
        ran: what was run, as (name, value).
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


def find_results(made_of: Material) -> StudyFindings:
    """Return the findings on a study."""
    space = made_of.space
    trials = made_of.trials
    finished = store.finished_trials(trials)
    known = _select_runs(space, finished)
    summary = summaries.summarise_trials(space, trials)
    chance = _get_chance(space, trials, finished)
    configurations = rank_configurations(space, finished)
    chosen = runs.choose_curve_runs(space, finished)
    read = _read_readings(
        made_of, chosen, [configuration.trials[0].number for configuration in configurations[: best.MOST]]
    )
    last = {number: readings[-1] for number, readings in read.items()}
    grids, no_grids = _make_grids(space, summary.against, known)
    return StudyFindings(
        space=space,
        summary=summary,
        chance=chance,
        judged=Count(sum(run.learned for run in known), len(known)),
        outranked=summary.fates.get(Fate.OUTRANKED, 0),
        configurations=len(configurations),
        standings=tuple(best.list_standings(space, configurations, last, chance)),
        confirming=tuple(best.list_confirming(space, configurations, made_of.confirming)),
        survey=autopsies.survey_trials(space.name, autopsies.list_judged(trials)),
        grids=grids,
        no_grids=no_grids,
        levels=tuple(count_levels(parameter, known) for parameter in list_varied(space)),
        fates=tuple(runs.list_fates(space, finished)),
        survival=tuple(runs.measure_survival(space, finished)),
        controls=_count_controls(space, finished),
        curves=tuple(runs.make_curves(space, finished, chosen, read, chance)),
        deaths=tuple(choose_deaths(space, trials, finished, made_of.readings)),
        failures=tuple(_count_failures(finished)),
        table=make_rows(space, trials, finished, regression=not chance.classes),
        ran=tuple(_describe_execution(space, trials, finished)),
    )


def _select_runs(space: Space, finished: Sequence[FinishedTrial]) -> list[JudgedRun]:
    """Return the trials that say whether a configuration learns: outranked and failed ones are left out."""
    return [JudgedRun(values_in_effect(space, run.config, run.params), run.learned) for run in finished if run.fate not in UNKNOWN]


def _get_chance(space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial]) -> Chance:
    first = next((trials[run.number] for run in finished if run.config), None)
    if first is not None:
        return autopsies.chance_of(first, trials)
    return Chance(nan, nan, nan, space.data.classes if space.data.task == "classification" else 0)


def _read_readings(
    made_of: Material, chosen: dict[str, list[FinishedTrial]], others: Sequence[int]
) -> dict[int, list[Reading]]:
    numbers = {run.number for some in chosen.values() for run in some} | set(others)
    return dict(made_of.readings(sorted(numbers)))


def _make_grids(space: Space, against: str, known: Sequence[JudgedRun]) -> tuple[tuple[Grid, ...], tuple[str, ...]]:
    """Return the grids of names (activation against others) and of numbers (learning rate and epsilon)."""
    parameters = {parameter.name: parameter for parameter in list_varied(space)}
    found = []
    missing = []
    for row, column in (("activation", against), ("learning_rate", "epsilon")):
        if fixed := [name.replace("_", " ") for name in (row, column) if name not in parameters]:
            of = f"{row} and {column}".replace("_", " ")
            missing.append(f"of {of}: {' and '.join(fixed)} {'was' if len(fixed) == 1 else 'were'} not varied")
        elif known:
            found.append(count_grid(parameters[row], parameters[column], known))
    return tuple(found), tuple(missing)


def _count_controls(space: Space, finished: Sequence[FinishedTrial]) -> Controls:
    """Return the control runs. The slot alone decides which run is one, so that controls are like all other runs."""
    key = f"{space.name}/{space.budget.seed}"
    controls = [
        run
        for run in finished
        if run.would_stop is not None
        or (run.slot is not None and run.fate != store.FAILED and is_control(key, run.slot, space.verdict))
    ]
    spared = [run for run in controls if run.would_stop is not None]
    return Controls(
        runs=len(controls),
        learned=sum(run.learned for run in controls),
        would_stop=len(spared),
        wrongly=sum(run.learned for run in spared),
    )


def _count_failures(finished: Sequence[FinishedTrial]) -> list[Failure]:
    """Return the most frequent reasons first."""
    failed = [run for run in finished if run.fate == store.FAILED]
    found = []
    for reason, _ in Counter(run.reason for run in failed).most_common(MOST_FAILURES):
        numbers = tuple(run.number for run in failed if run.reason == reason)
        traceback = next((run.traceback for run in failed if run.reason == reason and run.traceback), "")
        found.append(Failure(reason, numbers, traceback))
    return found


def _describe_execution(
    space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial]
) -> list[tuple[str, str]]:
    """Return what was run, where and when."""
    data = space.data
    held_out = f"{space.budget.holdout_images:,} held out"
    if data.task == "regression":
        kind = "numbers to predict"
    else:
        kind = f"{data.classes:,} classes"
    seconds = sum(run.seconds for run in finished)
    ends = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    rows = [
        ("data", f"{data.source}: {kind}, {data.images:,} to train on, {held_out}"),
        ("net", space.model.architecture),
        ("length of a run", space.budget.length),
        ("varied", ", ".join(parameter.name for parameter in list_varied(space)) or "nothing: all is fixed"),
        ("sampler, pruner", f"{space.sampler['name']}, {space.pruner['name']}"),
        ("training", f"{seconds / 3600:.2g} hours in all" if seconds >= 3600 else f"{seconds:.0f} seconds in all"),
        ("last trial ended", f"{max(ends):%Y-%m-%d %H:%M}" if ends else ""),
    ]
    for name, attribute in (("device", store.GPU), ("host", store.HOST), ("data digest", store.DATA_DIGEST)):
        rows.append((name, _list_noted_values(trials, attribute)))
    versions = {f"{k} {v}" for trial in trials for k, v in trial.user_attrs.get(store.VERSIONS, {}).items()}
    rows.append(("versions", ", ".join(sorted(versions))))
    return [(name, value) for name, value in rows if value]


def _list_noted_values(trials: Sequence[FrozenTrial], attribute: str) -> str:
    """Return the values that trials noted, the most frequent first, a few of them."""
    counts = Counter(str(value) for trial in trials if (value := trial.user_attrs.get(attribute)))
    names = [name for name, _ in counts.most_common(4)]
    return ", ".join(names) + (f" and {len(counts) - 4} more" if len(counts) > 4 else "")
