"""What people take away from a study: fates, steps saved, the best configuration, learned/tried; as text or JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import inf
from textwrap import shorten
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.analysis.values import get_drawn_values
from sweeps.config import Config
from sweeps.objective import OBJECTIVES
from sweeps.space.parameters import Choices, Parameter
from sweeps.space.space import LABELS, Space
from sweeps.trials import UNKNOWN, FinishedTrial, drop_earlier_data, drop_repetitions
from sweeps.verdict import Fate
from sweeps.wording import count_noun

MOST_UNREADABLE = 5  # lines
MOST_COLUMNS = 12  # of a table
MOST_OF_REASON = 160  # characters of why a trial failed, in its line
FATES = (
    Fate.LEARNED,
    Fate.ABOVE_CHANCE,
    Fate.INFERENCE_LAGS,
    Fate.MEMORISED,
    Fate.HOLDOUT_DIFFERS,
    Fate.AT_CHANCE,
    Fate.COLLAPSED,
    Fate.FROZEN,
    Fate.DIVERGED,
    Fate.NOT_FINITE,
    Fate.OUTRANKED,
    store.FAILED,
)
COLOURS: dict[str, str] = {
    Fate.LEARNED: "green",
    Fate.ABOVE_CHANCE: "cyan",
    Fate.INFERENCE_LAGS: "magenta",
    Fate.MEMORISED: "magenta",
    Fate.HOLDOUT_DIFFERS: "magenta",
    Fate.AT_CHANCE: "yellow",
    Fate.OUTRANKED: "cyan",
}
ALIVE = (Fate.LEARNED, Fate.ABOVE_CHANCE, Fate.INFERENCE_LAGS)  # of which the best is worth showing
FATE_WIDTH = max(map(len, FATES))


@dataclass(frozen=True, slots=True)
class Summary:
    """A study at one moment.

    Attributes:
        done, running, waiting, given_up: trials that count in the budget, that run, that wait for another worker, and
            that were given up when the study was stopped.
        enqueued, added: trials that were enqueued by Optuna's own means and are not begun; that were added so, and
            count in nothing here.
        unreadable: a line on each trial of which something cannot be read.
        on_earlier_data: trials on data of a user's that have changed since.
        repeated: trials that repeat another, seed included: each is counted in the budget, and as evidence only once.
        steps_run, steps_saved: of the finished trials; saved is what stopping early left of their budgets.
        would_stop, would_stop_learned: controls that the judge would have stopped, and those of them that learned.
        step_share: share of the whole budget's steps that need not be waited for any more.
        rows, columns: the parameters that the table of learned trials has as rows and columns; columns is empty where
            there is one parameter alone, both are where the space chooses nothing that a table can show.
        learned_of_tried: (row, column) -> (trials that learned, trials), failed and outranked ones left out.
    """

    study: str
    question: str
    objective: str
    trials: int
    done: int
    running: int
    waiting: int
    given_up: int
    enqueued: int
    added: int
    repeated: int
    on_earlier_data: int
    unreadable: tuple[str, ...]
    fates: dict[str, int]
    steps_run: int
    steps_saved: int
    would_stop: int
    would_stop_learned: int
    step_share: float
    chance_top1: float | None
    best: FinishedTrial | None
    rows: str
    columns: str
    learned_of_tried: dict[tuple[str, str], tuple[int, int]]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON encoder."""
        table = [
            {self.rows: row} | ({self.columns: column} if self.columns else {}) | {"learned": learned, "tried": tried}
            for (row, column), (learned, tried) in self.learned_of_tried.items()
        ]
        best = None
        if self.best is not None:
            best = self.best.to_dict()
        return {**asdict(self), "best": best, "learned_of_tried": table}


def summarise_trials(space: Space, trials: Sequence[FrozenTrial]) -> Summary:
    """Return what the trials of a study say, taken together."""
    done = store.finished_trials(trials)
    distinct = drop_repetitions(done)
    comparable = drop_earlier_data(done)
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    steps_run = sum(trial.steps for trial in done)
    spared = [trial for trial in done if trial.would_stop is not None]
    budget = space.budget
    rows, columns = _choose_axes(space)
    under_way = sum((trial.last_step or 0) / budget.resource[1] for trial in running)
    return Summary(
        study=space.name,
        question=space.question,
        objective=space.objective,
        trials=budget.trials,
        done=len(done),
        running=len(running),
        waiting=sum(trial.state == TrialState.WAITING and not store.is_enqueued(trial) for trial in trials),
        given_up=sum(store.is_interrupted(trial) and not store.is_added(trial) for trial in trials),
        enqueued=sum(map(store.is_enqueued, trials)),
        added=sum(map(store.is_added, trials)),
        repeated=len(done) - len(distinct),
        on_earlier_data=len(done) - len(comparable),
        unreadable=tuple(store.describe_unreadable(trials)),
        fates=dict(Counter(trial.fate for trial in done)),
        steps_run=steps_run,
        steps_saved=sum(trial.steps_saved for trial in done),
        would_stop=len(spared),
        would_stop_learned=sum(trial.fate == Fate.LEARNED for trial in spared),
        step_share=min(1.0, (len(done) + under_way) / budget.trials),
        chance_top1=next((t.user_attrs[store.CHANCE_TOP1] for t in trials if store.CHANCE_TOP1 in t.user_attrs), None),
        best=_describe_best(space, comparable),
        rows=rows,
        columns=columns,
        learned_of_tried=_learned_of_tried(distinct, rows, columns),
    )


def fates_line(summary: Summary) -> Text:
    """Return the fates that occurred, as `learned 5 · at chance 4 · ...`, and then the steps saved."""
    parts = [(f"{fate} {summary.fates[fate]}", COLOURS.get(fate, "red")) for fate in FATES if summary.fates.get(fate)]
    if parts:
        line = Text(" · ").join(Text(text, style) for text, style in parts)
    else:
        line = Text("no trial finished yet")
    budget = summary.steps_run + summary.steps_saved
    if summary.steps_saved:
        line += Text(f" │ steps saved {summary.steps_saved:,} of {budget:,} ({summary.steps_saved / budget:.0%})")
    return line


def best_line(space: Space, summary: Summary) -> Text:
    """Return the best configuration in one line."""
    if summary.best is None or summary.best.value is None:
        if summary.done:
            return Text("best: none yet: nothing learned")
        return Text("best: none yet")
    lead = "best"
    if not summary.fates.get(Fate.LEARNED):
        if summary.best.fate not in ALIVE:
            return Text("best: none yet: nothing learned")
        lead = f"best so far, nothing learned yet ({summary.best.fate})"
    return Text.assemble(
        f"{lead}: {OBJECTIVES[summary.objective].title} {format_objective(summary.objective, summary.best.value)}, ",
        f"trial {summary.best.number}{_describe_best_step(space, summary.best)}: ",
        (get_drawn_values(space, summary.best), "bold"),
    )


def trial_line(space: Space, trial: FinishedTrial) -> Text:
    """Return a finished trial in one line."""
    if trial.top1 is not None:
        accuracy = f"top-1 {trial.top1:7.2%}"
    else:
        accuracy = " " * 13
    if trial.top1 is None and trial.gain is not None:
        accuracy = f"R^2 {trial.gain:9.3f}"
    if trial.loss is not None:
        loss = f"loss {trial.loss:6.3g}"
        if trial.chance_loss is not None:
            loss += f" (guessing {trial.chance_loss:.3g})"
    else:
        loss = " " * 11
    reason = ""
    if trial.fate == store.FAILED and trial.reason:
        reason = f"  {shorten(trial.reason, MOST_OF_REASON)}"
    return Text.assemble(
        f"{trial.number:4d}  ",
        (f"{trial.fate:{FATE_WIDTH}s}", COLOURS.get(trial.fate, "red")),
        f"  {accuracy}  {loss}  step {trial.steps:<5d} {get_drawn_values(space, trial)}{_describe_labels(trial)}",
        (reason, "red"),
    )


def _describe_labels(trial: FinishedTrial) -> str:
    """Return which candidate a trial runs again, and with which of several seeds, as ` (candidate 27, seed 1)`."""
    names = {"candidate": "candidate", "replicate": "seed"}
    labels = [f"{noun} {trial.params[label]}" for label, noun in names.items() if label in trial.params]
    if not labels:
        return ""
    return f" ({', '.join(labels)})"


def render_summary(space: Space, summary: Summary) -> RenderableType:
    """Return the whole summary for a terminal."""
    head = Text(f"{summary.study}: {summary.done} of {summary.trials} trials", "bold")
    if summary.running:
        head += Text(f", {summary.running} running")
    if summary.waiting:
        head += Text(f", {summary.waiting} waiting for a worker")
    if summary.given_up:
        head += Text(f", {summary.given_up} given up")
    if summary.enqueued:
        head += Text(f", {summary.enqueued} enqueued")
    lines: list[RenderableType] = [head]
    lines += [Text(line, "yellow") for line in _list_oddities(summary)]
    if summary.question:
        lines.append(Text(summary.question, "italic"))
    lines.append(fates_line(summary))
    if summary.would_stop:
        controls = count_noun(summary.would_stop, "control")
        spared = f"{controls} would have been stopped; {summary.would_stop_learned} of them learned"
        lines.append(Text(spared, "dim"))
    lines.append(best_line(space, summary))
    if summary.best is not None and summary.best.top1 is not None and summary.chance_top1 is not None:
        lines.append(Text(f"chance level of top-1: {summary.chance_top1:.2%}", "dim"))
    if summary.learned_of_tried:
        title = "learned / tried"
        if len({column for _, column in summary.learned_of_tried}) > 1:
            title += f", by {summary.columns.replace('_', ' ')}"
        lines.append(Text(title))
        lines.append(_make_table(summary))
    return Group(*lines)


def _list_oddities(summary: Summary) -> Iterator[str]:
    yield from summary.unreadable[:MOST_UNREADABLE]
    if len(summary.unreadable) > MOST_UNREADABLE:
        yield f"and {len(summary.unreadable) - MOST_UNREADABLE} more that cannot be read"
    if summary.enqueued and summary.done + summary.running + summary.waiting >= summary.trials:
        enqueued = count_noun(summary.enqueued, "enqueued trial")
        yield f"the budget is given out, and {enqueued} will not be run: raise budget.trials"
    if summary.added:
        added = count_noun(summary.added, "trial")
        yield f"{added} added by other means than a worker: samplers learn from them, and no result here counts them"
    if summary.repeated:
        repeated = count_noun(summary.repeated, "trial")
        yield f"{repeated} repeated another bit for bit (same values, same seed): evidence counts it once"
    if summary.on_earlier_data:
        earlier = count_noun(summary.on_earlier_data, "trial")
        yield f"{earlier} ran on the data as they were before they changed: left out of the ranking and of the best"


def _make_table(summary: Summary) -> Table:
    rows = sorted({row for row, _ in summary.learned_of_tried}, key=_order_values)
    columns = sorted({column for _, column in summary.learned_of_tried}, key=_order_values)
    table = Table(summary.rows)
    for column in columns:
        table.add_column(Text(column), justify="right")
    for row in rows:
        cells = [summary.learned_of_tried.get((row, column)) for column in columns]
        table.add_row(Text(row), *(f"{cell[0]} / {cell[1]}" if cell else "" for cell in cells))
    return table


def _order_values(text: str) -> tuple[bool, float, str]:
    """Return a key that puts `none` first, and numbers in their order before words."""
    try:
        number = float(text)
    except ValueError:
        number = inf
    return text != "none", number, text


def _describe_best(space: Space, done: Sequence[FinishedTrial]) -> FinishedTrial | None:
    sign = space.measure.sign
    return max(
        (trial for trial in done if trial.value is not None),
        key=lambda trial: sign * (trial.value or 0.0),
        default=None,
    )


def _describe_best_step(space: Space, best: FinishedTrial) -> str:
    """Return where its own best value was, if that was before its end."""
    if best.best_value is None or best.best_step in (None, best.steps):
        return ""
    if space.budget.epochs:
        where = f"epoch {best.best_epoch:.3g}"
    else:
        where = f"step {best.best_step}"
    return f" (its best {format_objective(space.objective, best.best_value)} at {where})"


def _choose_axes(space: Space) -> tuple[str, str]:
    """Return the parameters that the table of learned trials has as rows and columns, see `Summary`.

    Of our nets the rows are the activation, and the columns the constraint if the space varies it, else the first other
    choice among names, else the constraint after all. Of a user's own net both are choices of the space.
    """
    named = [
        parameter.name
        for parameter in space.parameters
        if len({value for case in parameter.cases for value in case.domain.ends() if isinstance(value, str)}) > 1
    ]
    if space.model.architecture != "custom":
        others = [name for name in named if name != "activation"]
        if "constraint" in others or not others:
            return "activation", "constraint"
        return "activation", others[0]
    first = [name for name in ("activation", "constraint") if name in named]
    chosen = first + [name for name in named if name not in first]
    chosen += [name for name in map(_few_choices, space.parameters) if name and name not in chosen]
    rows, columns = (chosen + ["", ""])[:2]
    return rows, columns


def _few_choices(parameter: Parameter) -> str:
    """Return the name of a parameter that is one of few choices; empty of any other."""
    values = {str(value) for case in parameter.cases for value in case.domain.ends()}
    is_choice = all(isinstance(case.domain, Choices) for case in parameter.cases)
    if is_choice and parameter.name not in LABELS and 1 < len(values) <= MOST_COLUMNS:
        return parameter.name
    return ""


def _learned_of_tried(
    distinct: Iterable[FinishedTrial], rows: str, columns: str
) -> dict[tuple[str, str], tuple[int, int]]:
    counts: dict[tuple[str, str], tuple[int, int]] = {}
    for trial in distinct:
        if rows and trial.config and trial.fate not in UNKNOWN:
            key = (_show_value(trial.config, rows), _show_value(trial.config, columns))
            learned, tried = counts.get(key, (0, 0))
            counts[key] = (learned + (trial.fate == Fate.LEARNED), tried + 1)
    return counts


def _show_value(config: Config, name: str) -> str:
    """Return a value of a recipe; empty without a name, a dash where a condition gives it no value."""
    if not name:
        return ""
    value = config.get_value(name)
    if value is None:
        return "-"
    return str(value)


def format_objective(objective: str, value: float) -> str:
    """Return a value of an objective for people."""
    if objective not in OBJECTIVES:  # a recipe edited by hand
        return f"{value:.4g}"
    return OBJECTIVES[objective].format_value(value)
