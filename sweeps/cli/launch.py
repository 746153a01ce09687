"""`sweeps launch`: start workers where the GPUs are, and end them."""

import typer

from sweeps.cli import launch_kubernetes, launch_local, launch_slurm

app = typer.Typer(help="Start workers: on this machine, under Slurm, on Kubernetes.", no_args_is_help=True)
for command in (launch_local.local, launch_slurm.slurm, launch_kubernetes.kubernetes):
    app.command()(command)
