"""The command that reports on a study: a page, text, tables."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.options import StorageUrl, StudyName
from sweeps.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.status import Status

    from sweeps.report.findings import Findings
    from sweeps.report.material import Material

PAGE = Path("report.html")
TRIALS, READINGS, LAYERS = "--trials", "--readings", "--layers"


def report(
    study: StudyName,
    to: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The page. Default: report.html.", show_default=False),
    ] = None,
    text: Annotated[bool, typer.Option("--text", help="Print the report instead of writing a page.")] = False,
    trials: Annotated[
        Path | None,
        typer.Option(TRIALS, metavar="FILE", help="Also a table with a row per trial: .csv or .parquet."),
    ] = None,
    readings: Annotated[
        Path | None,
        typer.Option(READINGS, metavar="FILE", help="Also a table with a row per look at a trial: .csv or .parquet."),
    ] = None,
    layers: Annotated[
        Path | None,
        typer.Option(LAYERS, metavar="FILE", help="Also a table with a row per layer and look: .csv or .parquet."),
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Report on a study: the answer, the best configurations, what decides, learning curves, how runs died.

    One page that needs no network, readable in print; or text. Tables of trials and of their looks beside it.
    """
    if text and to is not None:
        raise InputError("--text prints instead of writing a page, and -o names the page: take one of them")
    page = None if text else to or PAGE
    tables = {option: path for option, path in ((TRIALS, trials), (READINGS, readings), (LAYERS, layers)) if path}
    _check(page, tables)
    _report(study, storage, page, tables)


def _report(study: str, storage: str | None, page: Path | None, tables: dict[str, Path]) -> None:
    """Without a page print the text."""
    from sweeps import store
    from sweeps.analysis import confirmation
    from sweeps.cli import run as running
    from sweeps.store import engines

    opened, out = store.connect(store.url(storage)), running.stdout_console()
    with engines.translate_database_errors(opened.url), running.stderr_console().status("reading the trials") as shown:
        from sweeps.report import findings
        from sweeps.report import text as for_terminals
        from sweeps.report.material import material

        loaded = store.load_study(opened, study)
        made_of = material(opened, loaded)
        _write_tables(made_of, tables, shown)
        shown.update("looking them over")
        found = findings.find(made_of)
        confirmed = confirmation.confirmation(opened, loaded)
        remarks = confirmation.lines(confirmed) if confirmed is not None else []
        if page is not None:
            _write_page(found, page, remarks)
    if page is None:
        out.print(for_terminals.render(found, remarks))
    for path in (page, *tables.values()):
        if path is not None:
            print(path, file=sys.stderr if page is None else sys.stdout)


def _check(page: Path | None, tables: dict[str, Path]) -> None:
    """Refuse what cannot be written, before anything is read.

    Raises:
        InputError: some file cannot be.
    """
    from sweeps.report import tables as written
    from sweeps.report.files import require_ours, require_writable

    paths = [path.resolve() for path in (page, *tables.values()) if path is not None]
    if len(set(paths)) < len(paths):
        raise InputError("two of the files have the same name; give each its own")
    for option, path in tables.items():
        written.require_known(path, option)
        require_writable(path, option)
        written.require_ours(path, option)
    if page is not None:
        require_writable(page, "-o")
        require_ours(page, "-o")


def _write_tables(made_of: "Material", tables: dict[str, Path], shown: "Status") -> None:
    from sweeps.report import tables as written

    if TRIALS in tables:
        written.write_trials(made_of, tables[TRIALS], TRIALS)
    kinds = {READINGS: written.LOOKS, LAYERS: written.LAYERS}
    looks = [(kinds[option], path, option) for option, path in tables.items() if option in kinds]
    if looks:
        written.write_looks(made_of, looks, _counting(shown, len(made_of.trials)))


def _counting(shown: "Status", trials: int) -> "Callable[[int], None]":
    return lambda done: shown.update(f"writing looks: {done:,} of {trials:,} trials")


def _write_page(found: "Findings", path: Path, remarks: list[str]) -> None:
    from sweeps.report import page
    from sweeps.report.files import whole

    content = page.render(found, remarks)
    with whole(path, "-o") as partial:
        partial.write_text(content, encoding="utf-8")
