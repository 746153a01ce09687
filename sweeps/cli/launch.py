"""`sweeps launch`: start workers where the GPUs are, and end them."""

from typing import ClassVar

import typer

from sweeps.cli.lazy_group import CommandSource, LazyGroup


class LaunchCommands(LazyGroup):
    """The commands of `sweeps launch`, one for each place that workers run at."""

    sources: ClassVar = {
        "local": CommandSource(
            "sweeps.cli.launch_local:local",
            "Keep workers running on this machine until the studies' budgets are met.",
        ),
        "slurm": CommandSource(
            "sweeps.cli.launch_slurm:slurm", "Submit workers to Slurm as an array of tasks, one GPU each."
        ),
        "kubernetes": CommandSource(
            "sweeps.cli.launch_kubernetes:kubernetes",
            "Run workers on Kubernetes as one Job, a GPU to a pod, until the studies' budgets are met.",
        ),
    }


app = typer.Typer(
    cls=LaunchCommands,
    help="Start workers: on this machine, under Slurm, on Kubernetes.",
    no_args_is_help=True,
)


@app.callback()
def _accept_commands() -> None:
    """Make `app` a group: typer counts only the commands that are imported."""
