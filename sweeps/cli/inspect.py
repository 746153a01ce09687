"""`sweeps vitals`, `sweeps autopsy`, `sweeps survey`: what happened in one trial, and in all trials of a study."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from sweeps import store
from sweeps.analysis import autopsies
from sweeps.cli.consoles import print_line, stdout_console
from sweeps.cli.options import StorageOption, StudyArgument
from sweeps.notes import trial as trial_notes

TrialNumberArgument = Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")]


def vitals(
    study: StudyArgument,
    trial: TrialNumberArgument,
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The picture to write: .png, .svg or .pdf.")],
    storage: StorageOption = None,
) -> None:
    """Draw the vital signs of a finished trial: of each layer, and of each channel if the study recorded them."""
    from sweeps.diagnosis import plots  # noqa: PLC0415  matplotlib

    plots.require_picture_path(to)
    opened_storage = store.connect(store.url(storage))
    loaded_study = store.load_study(opened_storage, study)
    readings, reason = store.finished_readings(opened_storage, loaded_study, trial)
    plots.draw_vitals(readings, f"{study}, trial {trial}: {reason}", to)
    print_line(to)


def autopsy(
    study: StudyArgument,
    trial: TrialNumberArgument,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="A picture to write too: .png, .svg or .pdf.", show_default=False),
    ] = None,
    storage: StorageOption = None,
    as_markdown: Annotated[
        bool, typer.Option("--markdown", help="Print Markdown, as the trial's note has it.")
    ] = False,
) -> None:
    """Say why a finished trial died and what the study's other trials support; rewrite its note in the dashboard."""
    if to is not None:
        from sweeps.diagnosis import plots  # noqa: PLC0415  matplotlib

        plots.require_picture_path(to)
    opened_storage = store.connect(store.url(storage))
    loaded_study = store.load_study(opened_storage, study)
    result = autopsies.examine_trial(opened_storage, loaded_study, trial)
    if to is not None:
        readings, _ = store.finished_readings(opened_storage, loaded_study, trial)
        plots.draw_autopsy(readings, result.chance, f"{study}, trial {trial}: {result.cause}", to)
    if as_markdown:
        print_line(result.to_markdown())
    else:
        stdout_console().print(autopsies.render_autopsy(result))
    sys.stdout.flush()
    # Last: on a full disk, or with the right to read alone, the autopsy has been shown.
    trial_notes.write_trial_note(opened_storage, loaded_study, trial, result)


def survey(
    study: StudyArgument,
    storage: StorageOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what decides between dying and learning in a study, over all its finished trials, stopped ones too."""
    loaded_study = store.load_study(store.connect(store.url(storage)), study)
    result = autopsies.survey_study(loaded_study)
    if as_json:
        print(json.dumps(result.to_dict(), indent=2))
        return
    stdout_console().print(autopsies.render_survey(result))
