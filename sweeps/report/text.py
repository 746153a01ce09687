"""A report as text for a terminal, without the figures and the table of all trials."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sweeps.analysis.summary import COLOURS, format_objective
from sweeps.report.answer import describe_stopping, format_interval, format_learned_share, make_best_title, write_answer
from sweeps.report.best import SEEDS, Standing
from sweeps.report.findings import StudyFindings
from sweeps.report.levels import Count, Grid, Levels
from sweeps.report.runs import get_length_unit
from sweeps.report.words import format_objective_name, format_percent
from sweeps.surfaces import make_printable

BAR = 20  # letters of a share


def render_text(findings: StudyFindings, remarks: Sequence[str] = ()) -> RenderableType:
    """Return the report.

    Args:
        remarks: paragraphs that follow the tables of confirmations.
    """
    summary = findings.summary
    lines: list[RenderableType] = [
        Text(make_printable(f"{summary.study}: {summary.done} of {summary.trials} trials"), "bold")
    ]
    if summary.question:
        lines.append(Text(make_printable(summary.question), "italic"))
    lines += [Text(), _style_text(" ".join(write_answer(findings)))]
    sections = (
        (make_best_title(findings).lower(), list(_render_best(findings, remarks))),
        ("what decides between dying and learning", list(_render_deciders(findings))),
        ("learned / tried", list(_render_maps(findings))),
        ("fates and steps saved", list(_render_fates(findings))),
        ("why runs did not learn: one of each kind", list(_render_deaths(findings))),
        ("trials that failed", list(_render_failures(findings))),
    )
    for title, section in sections:
        if section:
            lines += [Text(), Text(title, "bold underline")]
            lines += section
    return Group(*lines)


def _style_text(text: str, style: str = "") -> Text:
    return Text(make_printable(text), style)


def _render_best(findings: StudyFindings, remarks: Sequence[str]) -> Iterator[RenderableType]:
    if findings.standings:
        yield _render_standings(findings, findings.standings)
        if not all(standing.spread for standing in findings.standings):
            yield Text(
                "of a single run, or of equal ones, the interval is over the hold-out set alone, not over seeds", "dim"
            )
    for confirming in findings.confirming:
        counts = f"{confirming.done} of {confirming.trials} runs of {confirming.length}"
        yield _style_text(f"run again: {confirming.study}, {counts}")
        if confirming.standings:
            yield _render_standings(findings, confirming.standings)
    yield from map(_style_text, remarks)


def _render_standings(findings: StudyFindings, standings: Sequence[Standing]) -> Table:
    has_spread = any(standing.spread is not None for standing in standings)
    sources = {standing.interval_source for standing in standings if standing.interval_source}
    table = Table("rank")
    table.add_column("configuration", overflow="fold")
    table.add_column("trials")
    table.add_column("learned")
    table.add_column(format_objective_name(findings.summary.objective))
    if has_spread:
        table.add_column("spread")
    if sources == {SEEDS}:
        table.add_column("95 % interval over seeds")
    else:
        table.add_column("95 % interval")
    for standing in standings:
        cells: list[RenderableType] = [
            str(standing.rank),
            _style_text(standing.description),
            _format_runs(standing),
            f"{standing.learned} / {len(standing.values)}",
            format_objective(findings.summary.objective, standing.mean),
        ]
        if has_spread:
            cells.append(_format_spread(findings, standing))
        cells.append(_format_interval(findings, standing, with_over=len(sources) > 1))
        table.add_row(*cells)
    return table


def _format_spread(findings: StudyFindings, standing: Standing) -> str:
    if standing.spread is None:
        return ""
    return format_objective(findings.summary.objective, standing.spread)


def _format_interval(findings: StudyFindings, standing: Standing, *, with_over: bool) -> str:
    if standing.interval is None:
        return ""
    text = format_interval(findings, standing.interval)
    if with_over:
        text += f" over {standing.interval_source}"
    return text


def _format_runs(standing: Standing) -> str:
    """Return the trial, or the first of several; in a confirmation, the trial that was run again."""
    if standing.candidate is not None:
        return str(standing.candidate)
    if len(standing.trials) > 1:
        return f"{standing.trials[0]} and {len(standing.trials) - 1} more"
    return str(standing.trials[0])


def _render_deciders(findings: StudyFindings) -> Iterator[RenderableType]:
    survey = findings.survey
    if survey.note:
        yield _style_text(survey.note)
        return
    table = Table("hyperparameter", "explains", "", "most learned where")
    for decider in survey.deciders:
        bar = "█" * round(BAR * decider.importance)
        table.add_row(
            _style_text(decider.name), format_percent(decider.importance), Text(bar, "blue"), _style_text(decider.best)
        )
    yield table
    for first, second, importance in survey.interactions:
        share = format_percent(importance)
        yield _style_text(f"together {first} and {second} explain another {share}, which neither does alone")
    for rule in survey.region:
        yield _style_text(
            f"where runs live: {rule.words}: {format_learned_share(Count(rule.learned, rule.tried))} learned"
        )
    if survey.region:
        yield Text("the best of many conditions that were looked at: try them on new trials", "dim")


def _render_maps(findings: StudyFindings) -> Iterator[RenderableType]:
    yield from map(_render_grid, findings.grids)
    if findings.judged.tried:
        for reason in findings.no_grids:
            yield _style_text(f"no map {reason}", "dim")
    for levels in findings.levels:
        if levels.rows:
            yield _render_levels(levels)


def _render_grid(grid: Grid) -> Table:
    table = Table(title=_style_text(f"{grid.row} and {grid.column}"), title_justify="left")
    table.add_column(_style_text(grid.row))
    for column in grid.columns:
        table.add_column(_style_text(column), justify="right")
    for row_index, row in enumerate(grid.rows):
        cells = [_format_count(grid.cells.get((row_index, index))) for index in range(len(grid.columns))]
        table.add_row(_style_text(row), *cells)
    return table


def _format_count(count: Count | None) -> str:
    if count is None:
        return ""
    return f"{count.learned} / {count.tried}"


def _render_levels(levels: Levels) -> Table:
    table = Table()
    for name in (levels.name, "learned / tried", "share", "95 % interval"):
        table.add_column(_style_text(name))
    for text, count in levels.rows:
        low, high = count.interval
        bar = "█" * round(BAR * count.share)
        interval = f"{format_percent(low)} to {format_percent(high)}"
        table.add_row(_style_text(text), _format_count(count), Text(f"{bar:░<{BAR}}", "blue"), interval)
    return table


def _render_fates(findings: StudyFindings) -> Iterator[RenderableType]:
    if not findings.fates:
        return
    table = Table("fate", "runs", f"median length, {get_length_unit(findings.space)}", "steps run", "steps saved")
    for fate in findings.fates:
        numbers = (f"{fate.runs:,}", f"{fate.median_end:.4g}", f"{fate.steps_run:,}", f"{fate.steps_saved:,}")
        table.add_row(Text(fate.fate, COLOURS.get(fate.fate, "red")), *numbers)
    for column in table.columns[1:]:
        column.justify = "right"
    yield table
    yield from map(_style_text, describe_stopping(findings))


def _render_deaths(findings: StudyFindings) -> Iterator[RenderableType]:
    for death in findings.deaths:
        yield _style_text(f"{death.fate}: trial {death.number} ({death.description}); {death.why}")
        yield _style_text("  " + " ".join(death.autopsy.describe_death()))


def _render_failures(findings: StudyFindings) -> Iterator[RenderableType]:
    for failure in findings.failures:
        yield _style_text(f"{len(failure.trials)} of them, trial {failure.trials[0]} the first: {failure.reason}")
