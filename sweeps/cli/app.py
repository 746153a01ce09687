"""The `sweeps` command: the list of its commands, and how errors end it."""

import os
import sys
import traceback
from typing import Annotated

import typer

from sweeps import logs
from sweeps.cli.lazy_group import CommandSource, LazyGroup
from sweeps.errors import BUG, SweepsError, is_full
from sweeps.version import __version__

COMMANDS = {
    "run": CommandSource(
        "sweeps.cli.run:run",
        "Run a sweep on this machine: create the study or continue it, start workers, show progress, sum up.",
    ),
    "create": CommandSource(
        "sweeps.cli.create:create", "Create the study of a file, after a rehearsal, without running it."
    ),
    "rehearse": CommandSource(
        "sweeps.cli.rehearse:rehearse",
        "Check a file, its data and its net: train every choice in it for one step, without a store.",
    ),
    "status": CommandSource(
        "sweeps.cli.status:status",
        "Show how studies stand and what workers do: fates so far, steps saved, best configuration, learned/tried.",
    ),
    "vitals": CommandSource(
        "sweeps.cli.inspect:vitals",
        "Draw the vital signs of a finished trial: of each layer, and of each channel if the study recorded them.",
    ),
    "autopsy": CommandSource(
        "sweeps.cli.inspect:autopsy",
        "Say why a finished trial died and what the study's other trials support; rewrite its note in the dashboard.",
    ),
    "survey": CommandSource(
        "sweeps.cli.inspect:survey",
        "Show what decides between dying and learning in a study, over all its finished trials, stopped ones too.",
    ),
    "schema": CommandSource("sweeps.cli.schema:schema", "Print the JSON schema of search-space files, for editors."),
    "worker": CommandSource(
        "sweeps.cli.workers:worker",
        "Run trials: of the studies named until their budgets are met, "
        "or of every active study of the store, for ever.",
    ),
    "pause": CommandSource(
        "sweeps.cli.workers:pause",
        "Pause a study: its running trials are kept as checkpoints and wait, as do those that have not begun.",
    ),
    "resume": CommandSource(
        "sweeps.cli.workers:resume", "Resume a study that was paused or stopped; workers go on with what waits."
    ),
    "stop": CommandSource(
        "sweeps.cli.workers:stop", "Stop a study: its unfinished trials are given up; what has finished stays."
    ),
    "confirm": CommandSource(
        "sweeps.cli.confirm:confirm",
        "Run a study's best configurations again, longer and with several seeds, as studies of their own; "
        "say what holds.",
    ),
    "dashboard": CommandSource(
        "sweeps.cli.dashboard:dashboard",
        "Serve Optuna's dashboard on the store and its artifacts, and keep the studies' notes fresh, until Ctrl-C.",
    ),
    "export": CommandSource(
        "sweeps.cli.export:export",
        "Write configurations at full size, with provenance and Keras model; `sweeps.load` builds them again.",
    ),
    "report": CommandSource(
        "sweeps.cli.report:report",
        "Report on a study: the answer, the best configurations, what decides, learning curves, how runs died.",
    ),
    "data": CommandSource("sweeps.cli.data:app", "Prepare image files for sweeps, and look at what was prepared."),
    "launch": CommandSource("sweeps.cli.launch:app", "Start workers: on this machine, under Slurm, on Kubernetes."),
}

# What the extra `train` installs, by the names of its packages' modules.
TRAINING_PACKAGES = ("tensorflow", "keras", "sklearn", "simplejpeg")


class SweepsCommands(LazyGroup):
    """The commands of `sweeps`."""

    sources = COMMANDS


app = typer.Typer(
    cls=SweepsCommands,
    name="sweeps",
    help="Hyperparameter sweeps for deep image classifiers that refuse to learn: "
    "dead runs are recognised, stopped and explained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _print_version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        print(f"sweeps {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line: an error of ours is one line and an exit code; any other exception is a bug."""
    try:
        app()
        sys.stdout.flush()
    except OSError as exc:
        if not is_full(exc):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is left to be written would fail again at exit
        logs.print_error(f"{exc.filename or 'standard output'}: no space is left there; make some")
        sys.exit(1)
    except ModuleNotFoundError as exc:
        package = (exc.name or "").partition(".")[0]
        if package not in TRAINING_PACKAGES:
            raise
        logs.print_error(f"{package} is not installed, and this command needs it; pip install 'optuna-sweeps[train]'")
        sys.exit(2)
    except SweepsError as exc:
        logs.print_error(str(exc))
        sys.exit(exc.exit_code)
    except Exception as exc:  # noqa: BLE001
        if error := _explain_store_error(exc):
            logs.print_error(str(error))
            sys.exit(error.exit_code)
        traceback.print_exc()
        sys.exit(BUG)


def _explain_store_error(exc: Exception) -> SweepsError | None:
    """Return what a database says, as an error of ours; None where it was no database."""
    if "sqlalchemy" not in sys.modules:
        return None
    from sweeps.store.retry import explain_error  # noqa: PLC0415  SQLAlchemy

    return explain_error(exc)
