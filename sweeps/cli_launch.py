"""`sweeps launch`: start workers where the GPUs are, and end them."""

import typer

from sweeps import cli_kubernetes, cli_local, cli_slurm

app = typer.Typer(help="Start workers: on this machine, under Slurm, on Kubernetes.", no_args_is_help=True)
for command in (cli_local.local, cli_slurm.slurm, cli_kubernetes.kubernetes):
    app.command()(command)
