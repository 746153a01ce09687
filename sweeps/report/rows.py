"""The table of all trials: what each was, and what became of it."""

from collections.abc import Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial, TrialState

from sweeps import store
from sweeps.analysis.ranking import get_score
from sweeps.analysis.summary import format_objective as objective_shown
from sweeps.report.levels import format_parameter, values_in_effect, is_number, list_varied
from sweeps.report.words import format_objective_name
from sweeps.space.space import Space
from sweeps.trials import UNKNOWN, FinishedTrial

UNFINISHED = {TrialState.RUNNING: "running", TrialState.WAITING: "waiting", TrialState.FAIL: "given up"}


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as texts; `numeric` says of each column whether it is sorted as numbers."""

    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def make_rows(
    space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial], regression: bool
) -> Table:
    """Return all trials, the best value first, those without one last."""
    known = {run.number: run for run in finished}
    parameters = list_varied(space)
    names = [parameter.name for parameter in parameters]
    if regression:
        measured = ["loss"]
    else:
        measured = ["top1", "loss"]
    others = [name for name in measured if name != space.objective]
    columns = ("trial", "fate", *(format_objective_name(name) for name in (space.objective, *others)), "steps", "seconds")
    sign = -space.measure.sign  # the best first

    def order(trial: FrozenTrial) -> tuple[bool, bool, float, int]:
        run = known.get(trial.number)
        value = None if run is None else get_score(space, run)
        unsure = run is None or run.fate in UNKNOWN
        return value is None, unsure, sign * (value or 0.0), trial.number

    return Table(
        columns=(*columns, *names, "reason"),
        numeric=(True, False, *(True for _ in columns[2:]), *map(is_number, parameters), False),
        rows=tuple(
            _make_row(space, trial, known.get(trial.number), others, names) for trial in sorted(trials, key=order)
        ),
    )


def _make_row(
    space: Space, trial: FrozenTrial, run: FinishedTrial | None, others: Sequence[str], parameters: Sequence[str]
) -> tuple[str, ...]:
    if run is None:
        fate = UNFINISHED.get(trial.state, str(trial.state.name).lower())
        blanks = [""] * (len(others) + 3 + len(parameters))
        return str(trial.number), fate, *blanks, str(trial.user_attrs.get(store.REASON, ""))
    value = get_score(space, run)
    values = values_in_effect(space, run.config, trial.params)
    return (
        str(run.number),
        run.fate,
        "" if value is None else objective_shown(space.objective, value),
        *(_format_measure(run, name) for name in others),
        str(run.steps),
        f"{run.seconds:.1f}",
        *(format_parameter(values[name]) if name in values else "" for name in parameters),
        run.reason,
    )


def _format_measure(run: FinishedTrial, name: str) -> str:
    value: float | None = getattr(run, name)
    if value is None:
        return ""
    return objective_shown(name, value)
