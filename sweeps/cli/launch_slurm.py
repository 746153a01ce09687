"""`sweeps launch slurm`: submit workers as an array of tasks, print what would be submitted, and end it."""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.launch_options import (
    Cancel,
    Pool,
    Share,
    Studies,
    WhenIdle,
    Workers,
    asked_for,
    reached,
    require_one,
    require_studies,
)
from sweeps.cli.options import ArtifactsPlace, StorageUrl
from sweeps.errors import InputError

if TYPE_CHECKING:
    from sweeps.launch.job import Job
    from sweeps.launch.slurm import SlurmOptions

Partition = Annotated[str | None, typer.Option(help="Slurm's partition.", show_default=False)]
Limit = Annotated[
    str | None, typer.Option("--time", metavar="LIMIT", help="Time limit of a task, e.g. 4:00:00.", show_default=False)
]
Account = Annotated[str | None, typer.Option(help="Slurm's account.", show_default=False)]
Constraint = Annotated[str | None, typer.Option(help="Features that nodes must have.", show_default=False)]
Cpus = Annotated[int, typer.Option("--cpus-per-worker", min=1, help="Processors of each worker.")]
Memory = Annotated[str | None, typer.Option("--memory-per-worker", metavar="SIZE", help="E.g. 8G.", show_default=False)]
Warn = Annotated[
    int,
    typer.Option("--warning", metavar="S", min=20, help="Seconds before the time limit when trials are handed back."),
]
Extra = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="OPTION", help="One more option of sbatch: --option=--qos=long; repeatable."),
]
Setup = Annotated[
    list[str] | None,
    typer.Option(metavar="LINE", help="A line of bash before the workers, e.g. 'module load cuda'; repeatable."),
]
Image = Annotated[str | None, typer.Option(help="Container image that has sweeps in it.", show_default=False)]
Runtime = Annotated[str, typer.Option(help="What runs the image: apptainer or pyxis.")]
Logs = Annotated[str, typer.Option(metavar="FOLDER", help="Where each task writes its log; all nodes see it.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be submitted, for a shell.")]


def slurm(
    studies: Studies = None,
    pool: Pool = False,
    workers: Workers = None,
    gpus_per_worker: Share = "1",
    partition: Partition = None,
    limit: Limit = None,
    account: Account = None,
    constraint: Constraint = None,
    cpus: Cpus = 1,
    memory: Memory = None,
    warning: Warn = 60,
    extra: Extra = None,
    setup: Setup = None,
    image: Image = None,
    runtime: Runtime = "apptainer",
    logs: Logs = "sweeps-logs",
    exit_when_idle: WhenIdle = False,
    dry_run: DryRun = False,
    cancel: Cancel = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsPlace = None,
) -> None:
    """Submit workers to Slurm as an array of tasks, one GPU each.

    A task that is warned of its time limit, or preempted, hands its trials back and is queued again, until the studies'
    budgets are met. The store's URL travels in the job's environment.
    """
    from sweeps.launch import slurm as cluster
    from sweeps.launch.job import workers_per_gpu

    require_one(cancel=cancel, dry_run=dry_run)
    per_gpu = workers_per_gpu(gpus_per_worker)
    job, url = asked_for(studies, pool, 1 if cancel else workers, per_gpu, storage)
    if cancel:
        _cancel(job.name)
        return
    where = cluster.SlurmResources(partition, limit, account, constraint, cpus, memory, warning, tuple(extra or ()))
    options = cluster.SlurmOptions(where, tuple(setup or ()), image, runtime, logs, exit_when_idle)
    if dry_run:
        print(cluster.dry_run(job, options, _needed(job, url, artifacts)), end="")
        return
    require_studies(job, reached(job, url))
    _submit(job, options, _environment(url, artifacts))


def _submit(job: "Job", options: "SlurmOptions", environment: dict[str, str]) -> None:
    from sweeps.launch import slurm as cluster
    from sweeps.launch.job import number

    submitted = cluster.submit(job, options, environment)
    sizes = f"{number(job.tasks, 'task')} of {job.name}, {number(job.workers, 'worker')}"
    print(f"job {submitted}: {sizes}; logs in {options.logs}")


def _needed(job: "Job", url: str, artifacts: str | None) -> list[str]:
    """Lines of bash for what a submission would find in the environment; a password is left to the person."""
    from sweeps import store

    if store.masked(url) == url:
        lines = [f"export SWEEPS_STORAGE={shlex.quote(url)}"]
    else:
        lines = [f"# SWEEPS_STORAGE, or the file that SWEEPS_STORAGE_FILE names, has to hold the URL of {job.store}"]
    return lines if artifacts is None else [*lines, f"export SWEEPS_ARTIFACTS={shlex.quote(artifacts)}"]


def _environment(url: str, artifacts: str | None) -> dict[str, str]:
    """What the job takes with it; words about what nodes will not find there."""
    from sweeps import store
    from sweeps.launch.local.supervisor import say
    from sweeps.launch.local.worker_processes import environment
    from sweeps.store import engines

    if engines.is_sqlite(engines.parsed(url)):
        say("a SQLite store serves one machine: for several nodes take PostgreSQL, MySQL or MariaDB")
    if store.artifacts(url, artifacts) is None:
        say("no --artifacts, so no checkpoints: a trial that is handed back starts over")
    return environment(url, artifacts)


def _cancel(name: str) -> None:
    from sweeps.launch import slurm as cluster
    from sweeps.launch.job import number
    from sweeps.launch.local.supervisor import say

    count = cluster.cancel(name, say)
    if not count:
        raise InputError(f"{name} is not in Slurm's queue")
    print(f"ended {number(count, 'task')} of {name}")
