"""`sweeps report`: a page, a text, and tables of a study."""

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.status import Status

from sweeps import store
from sweeps.analysis import confirmation
from sweeps.cli.consoles import print_line, stderr_console, stdout_console
from sweeps.cli.options import StorageOption, StudyArgument
from sweeps.errors import InputError
from sweeps.outputs import GENERATOR, replace_file, require_marked, require_writable
from sweeps.report import findings, tables
from sweeps.report import text as report_text
from sweeps.report.findings import StudyFindings
from sweeps.report.material import Material, read_material
from sweeps.store import engines

DEFAULT_PAGE = Path("report.html")
TRIALS = "--trials"
READINGS = "--readings"
LAYERS = "--layers"


def report(
    study: StudyArgument,
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
        typer.Option(
            READINGS, metavar="FILE", help="Also a table with a row per reading of a trial: .csv or .parquet."
        ),
    ] = None,
    layers: Annotated[
        Path | None,
        typer.Option(LAYERS, metavar="FILE", help="Also a table with a row per layer and reading: .csv or .parquet."),
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Report on a study: the answer, the best configurations, what decides, learning curves, how runs died.

    One page that needs no network, readable in print; or text. Tables of trials and of their readings beside it.
    """
    if text and to is not None:
        raise InputError("--text prints instead of writing a page, and -o names the page: take one of them")
    page = None
    if not text:
        page = to or DEFAULT_PAGE
    options = {TRIALS: trials, READINGS: readings, LAYERS: layers}
    table_paths = {option: path for option, path in options.items() if path is not None}
    _require_writable_files(page, table_paths)
    _write_report(study, storage, page=page, table_paths=table_paths)


def _require_writable_files(page: Path | None, table_paths: dict[str, Path]) -> None:
    """Check that all files can be written, before anything is read.

    Raises:
        InputError: some file cannot be written.
    """
    paths = list(table_paths.values())
    if page is not None:
        paths.append(page)
    if len({path.resolve() for path in paths}) < len(paths):
        raise InputError("two of the files have the same name; give each its own")
    for option, path in table_paths.items():
        tables.require_known(path, option)
        require_writable(path, option)
        tables.require_ours(path, option)
    if page is not None:
        require_writable(page, "-o")
        require_marked(page, GENERATOR, "-o")


def _write_report(study: str, storage: str | None, page: Path | None, table_paths: dict[str, Path]) -> None:
    """Write the tables and the page; print the text instead where there is no page."""
    opened_storage = store.connect(store.url(storage))
    results = stdout_console()
    with (
        engines.translate_database_errors(opened_storage.url),
        stderr_console().status("reading the trials") as progress,
    ):
        loaded_study = store.load_study(opened_storage, study)
        source = read_material(opened_storage, loaded_study)
        _write_tables(source, table_paths, progress)
        progress.update("analysing them")
        study_findings = findings.find_results(source)
        remarks: list[str] = []
        confirmed = confirmation.read_confirmation(opened_storage, loaded_study)
        if confirmed is not None:
            remarks = confirmation.describe_confirmation(confirmed)
        if page is not None:
            _write_page(study_findings, page, remarks)
    if page is None:
        results.print(report_text.render_text(study_findings, remarks))
        _print_paths(table_paths.values(), sys.stderr)
    else:
        _print_paths([page], sys.stdout)
        _print_paths(table_paths.values(), sys.stdout)


def _print_paths(paths: Iterable[Path], stream: TextIO) -> None:
    for path in paths:
        print_line(path, file=stream)


def _write_tables(source: Material, table_paths: dict[str, Path], progress: Status) -> None:
    if TRIALS in table_paths:
        tables.write_trials(source, table_paths[TRIALS], TRIALS)
    kinds = {READINGS: tables.READING_TABLE, LAYERS: tables.LAYER_TABLE}
    reading_tables = [(kinds[option], path, option) for option, path in table_paths.items() if option in kinds]
    if reading_tables:
        tables.write_readings(source, reading_tables, _count_on(progress, len(source.trials)))


def _count_on(progress: Status, trials: int) -> Callable[[int], None]:
    """Return a function that shows how many trials' readings have been written."""
    return lambda done: progress.update(f"writing readings: {done:,} of {trials:,} trials")


def _write_page(study_findings: StudyFindings, path: Path, remarks: Sequence[str]) -> None:
    from sweeps.report import page as report_page  # noqa: PLC0415  matplotlib, which --text does without

    content = report_page.render_page(study_findings, remarks)
    with replace_file(path, "-o") as partial:
        partial.write_text(content, encoding="utf-8")
