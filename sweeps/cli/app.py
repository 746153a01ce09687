"""The commands, one function each; whatever is heavy is imported inside the function that needs it."""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli import (
    confirm,
    dashboard,
    data,
    export,
    launch,
    report,
)
from sweeps.cli import (
    workers as cli_workers,
)
from sweeps.cli.options import ArtifactsPlace, Overrides, SpacePath, StorageUrl, StudyName
from sweeps.errors import InputError, SweepsError
from sweeps.version import __version__

app = typer.Typer(
    name="sweeps",
    help="Hyperparameter sweeps for deep image classifiers that refuse to learn: "
    "dead runs are recognised, stopped and explained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(data.app, name="data")
app.add_typer(launch.app, name="launch")


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        print(f"sweeps {__version__}")
        raise typer.Exit


@app.command()
def run(
    path: SpacePath,
    overrides: Overrides = None,
    storage: StorageUrl = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1, help="Worker processes. Default: one per GPU, else one per processor up to 8.", show_default=False
        ),
    ] = None,
    artifacts: ArtifactsPlace = None,
) -> None:
    """Run a sweep on this machine: create the study or continue it, start workers, show progress, sum up.

    Ctrl-C stops cleanly; the same command goes on.
    """
    from sweeps import store
    from sweeps.analysis import summary as summaries
    from sweeps.artifacts.locations import artifact_location
    from sweeps.cli import run as running
    from sweeps.cli import suggestions
    from sweeps.launch.local import worker_processes
    from sweeps.store.reaper import Reaper
    from sweeps.verdict import Fate

    storage_url = store.url(storage)
    if artifacts:
        artifact_location(artifacts)  # what cannot be a place shows before the rehearsal
    talk = running.stderr_console()
    opened, study, new = running.create(path, overrides or [], storage_url)
    space = store.space_of(study)
    Reaper(opened.engine).reap()
    left = space.budget.trials - summaries.summarise(space, study.get_trials(deepcopy=False)).done
    talk.print(
        f"{'created' if new else 'going on with'} study {space.name!r} in {store.masked(storage_url)}", markup=False
    )
    count = min(workers or worker_processes.default_count(), max(left, 1))
    space, summary = running.follow(
        opened, study, worker_processes.LocalWorkers(space.name, storage_url, count, artifacts), talk
    )
    out = running.stdout_console()
    out.print(summaries.render(space, summary))
    told = suggestions.next_commands(
        storage_url, space, path, overrides or [], artifacts, learned=bool(summary.fates.get(Fate.LEARNED))
    )
    out.print(told, markup=False, soft_wrap=True)


@app.command()
def create(path: SpacePath, overrides: Overrides = None, storage: StorageUrl = None) -> None:
    """Create the study of a file, after a rehearsal, without running it."""
    from sweeps import store
    from sweeps.cli import run as running
    from sweeps.cli import suggestions

    storage_url = store.url(storage)
    _, study, new = running.create(path, overrides or [], storage_url)
    print(f"{'created' if new else 'there already:'} study {study.study_name!r} in {store.masked(storage_url)}")
    print(f"next: {suggestions.worker_command(storage_url, study.study_name)}")


@app.command()
def rehearse(path: SpacePath, overrides: Overrides = None) -> None:
    """Check a file: train every choice in it for one step, without a store."""
    import time

    from sweeps.imports import quickly
    from sweeps.space import file
    from sweeps.worker.rehearsal import rehearse as train_each_choice

    space, _ = file.read(path, overrides or [])
    started = time.monotonic()
    with quickly():
        from sweeps.nn.datasets import load
        from sweeps.nn.train import train

    count = train_each_choice(space, train, load, str(path))
    print(
        f"rehearsed {count} configurations that cover every choice: {time.monotonic() - started:.0f} s", file=sys.stderr
    )


@app.command()
def status(
    study: Annotated[
        str | None, typer.Argument(metavar="STUDY", help="The study's name; all studies if left out.")
    ] = None,
    storage: StorageUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Again and again, until nothing is left to do.")] = False,
) -> None:
    """Show how studies stand and what workers do: fates so far, steps saved, best configuration, learned/tried."""
    from sweeps import store
    from sweeps.cli import run as running
    from sweeps.cli import status as now
    from sweeps.store import engines

    opened = store.connect(store.url(storage))
    if watch and as_json:
        raise InputError("--watch is for people and --json for machines: take one of them")
    if watch:
        now.watch(opened, study, running.stdout_console())
        return
    with engines.translate_database_errors(opened.url):
        found = now.look(opened, study)
    if as_json:
        print(json.dumps(found.to_dict(study), indent=2))
        return
    running.stdout_console().print(now.render(found))


@app.command()
def vitals(
    study: StudyName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    to: Annotated[Path, typer.Option("--to", metavar="FILE", help="The picture to write: .png, .svg or .pdf.")],
    storage: StorageUrl = None,
) -> None:
    """Draw the vital signs of a finished trial: of each layer, and of each channel if the study recorded them."""
    from sweeps import store

    opened = store.connect(store.url(storage))
    found = store.load_study(opened, study)
    readings, reason = store.finished_readings(opened, found, trial)
    from sweeps.diagnosis import plots

    plots.draw_vitals(readings, f"{study}, trial {trial}: {reason}", to)
    print(to)


@app.command()
def autopsy(
    study: StudyName,
    trial: Annotated[int, typer.Argument(metavar="TRIAL", min=0, help="The trial's number.")],
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FILE", help="A picture to write too: .png, .svg or .pdf.", show_default=False),
    ] = None,
    storage: StorageUrl = None,
) -> None:
    """Say why a finished trial died and what the study's other trials support; rewrite its note in the dashboard."""
    from sweeps import store
    from sweeps.analysis import autopsies
    from sweeps.notes import trial as trial_notes

    opened = store.connect(store.url(storage))
    loaded = store.load_study(opened, study)
    found = autopsies.examine(opened, loaded, trial)
    if to is not None:
        from sweeps.diagnosis import plots

        readings, _ = store.finished_readings(opened, loaded, trial)
        plots.draw_autopsy(readings, found.chance, f"{study}, trial {trial}: {found.cause}", to)
    trial_notes.write(opened, loaded, trial, found)
    print(found.markdown())


@app.command()
def survey(
    study: StudyName,
    storage: StorageUrl = None,
    as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False,
) -> None:
    """Show what decides between dying and learning in a study, over all its finished trials, stopped ones too."""
    from sweeps import store
    from sweeps.analysis import autopsies
    from sweeps.cli import run as running

    found = autopsies.look_over(store.load_study(store.connect(store.url(storage)), study))
    if as_json:
        print(json.dumps(found.to_dict(), indent=2))
        return
    running.stdout_console().print(autopsies.render(found))


@app.command()
def schema() -> None:
    """Print the JSON schema of search-space files, for editors."""
    from sweeps.space.schema import json_schema

    print(json.dumps(json_schema(), indent=2))


for command in (
    *(cli_workers.worker, cli_workers.pause, cli_workers.resume, cli_workers.stop),
    confirm.confirm,
    dashboard.dashboard,
    export.export,
    report.report,
):
    app.command()(command)


def main() -> None:
    """Entry point: errors of ours become one line each and an exit code; anything else is a bug and shows itself."""
    try:
        app()
        sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be written would fail again at exit
        print(f"sweeps: {exc.filename or 'standard output'}: no space is left there; make some", file=sys.stderr)
        sys.exit(1)
    except SweepsError as exc:
        if str(exc):
            print("\n".join(f"sweeps: {line}" for line in str(exc).splitlines()), file=sys.stderr)
        sys.exit(exc.exit_code)
