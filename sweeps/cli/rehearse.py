"""`sweeps rehearse`: check the data and the net, and train every choice of a search-space file for one step."""

import json
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from sweeps.cli.consoles import print_line, stdout_console
from sweeps.cli.options import OverridesOption, SpaceArgument
from sweeps.cli.training import import_net_checks, import_training
from sweeps.data.oddities import Finding, list_warnings
from sweeps.errors import SpaceError
from sweeps.space import file
from sweeps.worker import rehearsal

# `sweeps create` rehearses in a process of its own, and keeps with the study what was found odd.
WarningsToOption = Annotated[
    Path | None,
    typer.Option("--warnings-to", hidden=True, help="Write the warnings to this file, and print no table."),
]


TracebackOption = Annotated[
    bool, typer.Option("--traceback", help="Show the whole traceback of an error in a net or in data of yours.")
]


def rehearse(
    path: SpaceArgument,
    overrides: OverridesOption = None,
    show_traceback: TracebackOption = False,
    warnings_to: WarningsToOption = None,
) -> None:
    """Check a file, its data and its net: train every choice in it for one step, without a store."""
    space, _ = file.read_space(path, overrides or [])
    started = time.monotonic()
    train, load = import_training()
    try:
        rehearsed = rehearsal.rehearse(space, train, load, str(path), import_net_checks())
    except SpaceError as exc:
        if show_traceback and exc.__cause__ is not None:
            traceback.print_exception(exc.__cause__)
        raise
    seconds = time.monotonic() - started
    print(
        f"rehearsed {rehearsed.configurations} configurations that cover every choice: {seconds:.0f} s", file=sys.stderr
    )
    warnings = list_warnings(rehearsed.findings)
    if warnings_to is None:
        stdout_console().print(_make_table(rehearsed.findings))
        return
    for warning in warnings:
        print_line(f"warning: {warning}", sys.stderr)
    warnings_to.write_text(json.dumps(warnings), encoding="utf-8")


def _make_table(findings: Sequence[Finding]) -> Table:
    table = Table("check", "result", title_justify="left")
    for finding in findings:
        if finding.text:
            table.add_row(Text(finding.check), Text(finding.text, "yellow"))
        else:
            table.add_row(Text(finding.check), Text("ok", "green"))
    return table
