"""The table of all trials: the values, the fate and the result of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from sweeps import store
from sweeps.analysis.ranking import get_score
from sweeps.analysis.summary import format_objective
from sweeps.analysis.values import values_in_effect
from sweeps.report.levels import format_parameter, is_number, list_varied
from sweeps.report.words import format_objective_name
from sweeps.space.space import Space
from sweeps.trials import UNKNOWN, FinishedTrial

UNFINISHED = {TrialState.RUNNING: "running", TrialState.WAITING: "waiting", TrialState.FAIL: "given up"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of texts; `numeric` says of each column whether it is sorted as numbers."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def make_rows(
    space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial], regression: bool
) -> Table:
    """Return all trials, the best value first, those without a value last."""
    finished_by_number = {run.number: run for run in finished}
    parameters = list_varied(space)
    names = [parameter.name for parameter in parameters]
    if regression:
        measured = ["loss"]
    else:
        measured = ["top1", "loss"]
    other_measures = [name for name in measured if name != space.objective]
    measure_columns = [format_objective_name(name) for name in [space.objective] + other_measures]
    measure_columns += ["steps", "seconds"]
    columns = ["trial", "fate"] + measure_columns + names + ["reason"]
    numeric = [True, False] + [True] * len(measure_columns)
    numeric += [is_number(parameter) for parameter in parameters]
    numeric.append(False)

    def get_sort_key(trial: FrozenTrial) -> tuple[bool, bool, float, int]:
        return _make_sort_key(space, trial.number, finished_by_number.get(trial.number))

    rows = []
    for trial in sorted(trials, key=get_sort_key):
        run = finished_by_number.get(trial.number)
        if run is None:
            row = _make_unfinished_row(trial, blanks=len(columns) - 3)
        else:
            row = _make_row(space, trial, run, other_measures, names)
        rows.append(tuple(row))
    return Table(columns=tuple(columns), numeric=tuple(numeric), rows=tuple(rows))


def _make_sort_key(space: Space, number: int, run: FinishedTrial | None) -> tuple[bool, bool, float, int]:
    """Return a key that puts the best value first, then runs whose end is not known, then those without a value."""
    value = None
    is_unknown = True
    if run is not None:
        value = get_score(space, run)
        is_unknown = run.fate in UNKNOWN
    return value is None, is_unknown, -space.measure.sign * (value or 0.0), number


def _make_unfinished_row(trial: FrozenTrial, blanks: int) -> list[str]:
    fate = UNFINISHED.get(trial.state, str(trial.state.name).lower())
    reason = str(trial.user_attrs.get(store.REASON, ""))
    return [str(trial.number), fate] + [""] * blanks + [reason]


def _make_row(
    space: Space, trial: FrozenTrial, run: FinishedTrial, other_measures: Sequence[str], parameters: Sequence[str]
) -> list[str]:
    row = [str(run.number), run.fate, _format_measure(space.objective, get_score(space, run))]
    row += [_format_measure(name, getattr(run, name)) for name in other_measures]
    row += [str(run.steps), f"{run.seconds:.1f}"]
    values = values_in_effect(space, run.config, trial.params)
    for name in parameters:
        if name in values:
            row.append(format_parameter(values[name]))
        else:
            row.append("")
    row.append(run.reason)
    return row


def _format_measure(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return format_objective(name, value)
