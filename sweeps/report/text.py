"""A report for a terminal: the same findings, without the figures and the table of all trials."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps.analysis.summary import COLOURS, shown
from sweeps.report.answer import answer, best_title, between, learned_of, stopping
from sweeps.report.best import SEEDS, Standing
from sweeps.report.findings import Findings
from sweeps.report.levels import Count, Grid, Levels
from sweeps.report.runs import unit_of
from sweeps.report.words import name_of, percent, printable

BAR = 20  # letters of a share


def render(findings: Findings, remarks: Sequence[str] = ()) -> RenderableType:
    """Return the report.

    Args:
        remarks: paragraphs that follow the tables of confirmations.
    """
    summary = findings.summary
    lines: list[RenderableType] = [
        Text(printable(f"{summary.study}: {summary.done} of {summary.trials} trials"), "bold")
    ]
    if summary.question:
        lines.append(Text(printable(summary.question), "italic"))
    lines += [Text(), _text(" ".join(answer(findings)))]
    for title, part in (
        (best_title(findings).lower(), list(_best(findings, remarks))),
        ("what decides between dying and learning", list(_decides(findings))),
        ("learned / tried", list(_maps(findings))),
        ("fates and steps saved", list(_fates(findings))),
        ("how runs died: one of each kind", list(_deaths(findings))),
        ("trials that failed", list(_failures(findings))),
    ):
        if part:
            lines += [Text(), Text(title, "bold underline"), *part]
    return Group(*lines)


def _text(text: str, style: str = "") -> Text:
    return Text(printable(text), style)


def _best(findings: Findings, remarks: Sequence[str]) -> Iterator[RenderableType]:
    if findings.standings:
        yield _standings(findings, findings.standings)
        if not all(standing.spread for standing in findings.standings):
            yield Text(
                "of a single run, or of equal ones, the interval is over the hold-out set alone, not over seeds", "dim"
            )
    for each in findings.confirming:
        yield _text(f"run again: {each.study}, {each.done} of {each.trials} runs of {each.length}")
        if each.standings:
            yield _standings(findings, each.standings)
    yield from map(_text, remarks)


def _standings(findings: Findings, standings: Sequence[Standing]) -> Table:
    spread = any(this_standing.spread is not None for this_standing in standings)
    names = {own_standing.over for own_standing in standings if own_standing.over}
    table = Table("rank")
    table.add_column("configuration", overflow="fold")
    for name in ("trials", "learned", name_of(findings.summary.objective), *(["spread"] if spread else [])):
        table.add_column(name)
    table.add_column("95 % interval over seeds" if names == {SEEDS} else "95 % interval")
    for standing in standings:
        table.add_row(
            str(standing.rank),
            _text(standing.words),
            _runs(standing),
            f"{standing.learned} / {len(standing.values)}",
            shown(findings.summary.objective, standing.mean),
            *([_spread(findings, standing)] if spread else []),
            _interval(findings, standing, with_over=len(names) > 1),
        )
    return table


def _spread(findings: Findings, standing: Standing) -> str:
    if standing.spread is None:
        return ""
    return shown(findings.summary.objective, standing.spread)


def _interval(findings: Findings, standing: Standing, *, with_over: bool) -> str:
    if standing.interval is None:
        return ""
    return between(findings, standing.interval) + (f" over {standing.over}" if with_over else "")


def _runs(standing: Standing) -> str:
    """Return the trial, or the first of several; of what was run again the trial that was."""
    if standing.candidate is not None:
        return str(standing.candidate)
    if len(standing.trials) > 1:
        return f"{standing.trials[0]} and {len(standing.trials) - 1} more"
    return str(standing.trials[0])


def _decides(findings: Findings) -> Iterator[RenderableType]:
    survey = findings.survey
    if survey.note:
        yield _text(survey.note)
        return
    table = Table("hyperparameter", "explains", "", "most learned where")
    for decider in survey.deciders:
        bar = "█" * round(BAR * decider.importance)
        table.add_row(_text(decider.name), percent(decider.importance), Text(bar, "blue"), _text(decider.best))
    yield table
    for one, other, share in survey.interactions:
        yield _text(f"together {one} and {other} explain another {percent(share)}, which neither does alone")
    for rule in survey.region:
        yield _text(f"where runs live: {rule.words}: {learned_of(Count(rule.learned, rule.tried))} learned")
    if survey.region:
        yield Text("the best of many conditions that were looked at: try them on new trials", "dim")


def _maps(findings: Findings) -> Iterator[RenderableType]:
    yield from map(_grid, findings.grids)
    yield from (_text(f"no map {line}", "dim") for line in findings.no_grids if findings.judged.tried)
    yield from (_levels(level) for level in findings.levels if level.rows)


def _grid(grid: Grid) -> Table:
    table = Table(title=_text(f"{grid.row} and {grid.column}"), title_justify="left")
    table.add_column(_text(grid.row))
    for column in grid.columns:
        table.add_column(_text(column), justify="right")
    for index, row in enumerate(grid.rows):
        cells = [grid.cells.get((index, column)) for column in range(len(grid.columns))]
        table.add_row(_text(row), *(f"{cell.learned} / {cell.tried}" if cell else "" for cell in cells))
    return table


def _levels(levels: Levels) -> Table:
    table = Table()
    for name in (levels.name, "learned / tried", "share", "95 % interval"):
        table.add_column(_text(name))
    for text, count in levels.rows:
        low, high = count.interval
        bar = "█" * round(BAR * count.share)
        of = f"{count.learned} / {count.tried}"
        table.add_row(_text(text), of, Text(f"{bar:░<{BAR}}", "blue"), f"{percent(low)} to {percent(high)}")
    return table


def _fates(findings: Findings) -> Iterator[RenderableType]:
    if not findings.fates:
        return
    table = Table("fate", "runs", f"median length, {unit_of(findings.space)}", "steps run", "steps saved")
    for fate in findings.fates:
        numbers = (f"{fate.runs:,}", f"{fate.median_end:.4g}", f"{fate.steps_run:,}", f"{fate.steps_saved:,}")
        table.add_row(Text(fate.fate, COLOURS.get(fate.fate, "red")), *numbers)
    for column in table.columns[1:]:
        column.justify = "right"
    yield table
    yield from map(_text, stopping(findings))


def _deaths(findings: Findings) -> Iterator[RenderableType]:
    for death in findings.deaths:
        yield _text(f"{death.fate}: trial {death.number} ({death.words}); {death.why}")
        yield _text("  " + " ".join(death.autopsy.opening()))


def _failures(findings: Findings) -> Iterator[RenderableType]:
    for failure in findings.failures:
        yield _text(f"{len(failure.trials)} of them, trial {failure.trials[0]} the first: {failure.reason}")
