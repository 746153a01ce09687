"""One death of each kind, the most usual of its kind, examined."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from optuna.trial import FrozenTrial

from sweeps.analysis import autopsies
from sweeps.analysis.values import get_drawn_values
from sweeps.diagnosis.autopsy import Autopsy
from sweeps.readings import Reading
from sweeps.report.material import Readings
from sweeps.space.space import Space
from sweeps.trials import FinishedTrial
from sweeps.verdict import EXAMINED

MOST_TRIED = 8  # trials of a kind whose readings are asked for: some may have none


@dataclass(frozen=True, slots=True)
class Death:
    """A run that died; `why` says why this one is shown of the `runs` with its fate."""

    fate: str
    runs: int
    number: int
    description: str
    why: str
    autopsy: Autopsy
    readings: tuple[Reading, ...]


def choose_deaths(
    space: Space, trials: Sequence[FrozenTrial], finished: Sequence[FinishedTrial], readings: Readings
) -> Iterator[Death]:
    """Yield an example of each kind that occurred and left readings."""
    for fate in EXAMINED:
        runs = [run for run in finished if run.fate == fate]
        ordered, why = _choose_usual_runs(runs)
        for run in ordered[:MOST_TRIED]:
            run_readings = dict(readings([run.number])).get(run.number)
            if run_readings:
                yield Death(
                    fate=fate,
                    runs=len(runs),
                    number=run.number,
                    description=get_drawn_values(space, run),
                    why=why,
                    autopsy=autopsies.make_trial_autopsy(run_readings, trials, run.number),
                    readings=tuple(run_readings),
                )
                break


def _choose_usual_runs(runs: Sequence[FinishedTrial]) -> tuple[list[FinishedTrial], str]:
    """Return the runs of the most usual cause, the one of median length first; and why it is the first."""
    if len(runs) < 2:
        return list(runs), "the only run with this fate"
    causes = Counter(run.cause for run in runs if run.cause)
    if not causes:
        return _order_from_middle(runs), f"of median length among the {len(runs)} with this fate"
    cause, count = causes.most_common(1)[0]
    runs_of_cause = [run for run in runs if run.cause == cause]
    if count == 1:
        choice = "the only such one"
    else:
        choice = "of median length among these"
    why = f"of {len(runs)} runs with this fate {count} had the cause “{cause}”; {choice}"
    return _order_from_middle(runs_of_cause), why


def _order_from_middle(runs: Sequence[FinishedTrial]) -> list[FinishedTrial]:
    ordered = sorted(runs, key=lambda run: (run.steps, run.number))
    middle = (len(ordered) - 1) // 2
    return [run for _, run in sorted(enumerate(ordered), key=lambda pair: abs(pair[0] - middle))]
