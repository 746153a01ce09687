"""`sweeps launch slurm`: submit workers as an array of tasks, print what would be submitted, and end it."""

import logging
import shlex
from typing import Annotated

import typer

from sweeps import logs as log_output
from sweeps import store
from sweeps.cli.consoles import print_line
from sweeps.cli.launch_options import (
    CancelOption,
    ExitWhenIdleOption,
    PoolOption,
    ShareOption,
    StudiesArgument,
    WorkersOption,
    connect_store,
    make_job,
    require_at_most_one,
    require_studies,
)
from sweeps.cli.options import ArtifactsOption, LogFormatOption, StorageOption, TrustOption
from sweeps.environment import ARTIFACTS_VARIABLE, LOG_FORMAT_VARIABLE, STORAGE_VARIABLE, TRUST_VARIABLE
from sweeps.errors import InputError
from sweeps.imports import join_trusted
from sweeps.launch.job import Job, parse_gpu_share
from sweeps.launch.local.worker_processes import worker_environment
from sweeps.launch.slurm import (
    SlurmOptions,
    SlurmResources,
    cancel_tasks,
    render_dry_run,
    submit_job,
)
from sweeps.store import engines
from sweeps.wording import count_noun
from sweeps.worker.shutdown import LAUNCHER_S

PartitionOption = Annotated[str | None, typer.Option(help="Slurm's partition.", show_default=False)]
TimeOption = Annotated[
    str | None, typer.Option("--time", metavar="LIMIT", help="Time limit of a task, e.g. 4:00:00.", show_default=False)
]
AccountOption = Annotated[str | None, typer.Option(help="Slurm's account.", show_default=False)]
ConstraintOption = Annotated[str | None, typer.Option(help="Features that nodes must have.", show_default=False)]
CpusOption = Annotated[int, typer.Option("--cpus-per-worker", min=1, help="Processors of each worker.")]
MemoryOption = Annotated[
    str | None,
    typer.Option("--memory-per-worker", metavar="SIZE", help="Memory of each worker, e.g. 8G.", show_default=False),
]
WarningOption = Annotated[
    int,
    typer.Option("--warning", metavar="S", min=20, help="Seconds before the time limit when trials are handed back."),
]
ExtraOption = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="OPTION", help="One more option of sbatch: --option=--qos=long; repeatable."),
]
SetupOption = Annotated[
    list[str] | None,
    typer.Option(metavar="LINE", help="A line of bash before the workers, e.g. 'module load cuda'; repeatable."),
]
ImageOption = Annotated[str | None, typer.Option(help="Container image that has sweeps in it.", show_default=False)]
RuntimeOption = Annotated[str, typer.Option(help="What runs the image: apptainer or pyxis.")]
LogsOption = Annotated[str, typer.Option(metavar="FOLDER", help="Where each task writes its log; all nodes see it.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be submitted, for a shell.")]

logger = logging.getLogger(__name__)


def slurm(
    studies: StudiesArgument = None,
    pool: PoolOption = False,
    workers: WorkersOption = None,
    gpus_per_worker: ShareOption = "1",
    partition: PartitionOption = None,
    limit: TimeOption = None,
    account: AccountOption = None,
    constraint: ConstraintOption = None,
    cpus: CpusOption = 1,
    memory: MemoryOption = None,
    warning: WarningOption = int(LAUNCHER_S),
    extra: ExtraOption = None,
    setup: SetupOption = None,
    image: ImageOption = None,
    runtime: RuntimeOption = "apptainer",
    logs: LogsOption = "sweeps-logs",
    trust: TrustOption = None,
    log_format: LogFormatOption = "text",
    exit_when_idle: ExitWhenIdleOption = False,
    dry_run: DryRunOption = False,
    cancel: CancelOption = False,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Submit workers to Slurm as an array of tasks, one GPU each.

    A task that is warned of its time limit, or preempted, hands its trials back and is queued again, until the studies'
    budgets are met. The store's URL travels in the job's environment.
    """
    require_at_most_one(cancel=cancel, dry_run=dry_run)
    log_output.configure_logging()
    if cancel:
        workers = 1  # any number: the name of the job does not depend on it
    storage_url = store.url(storage)
    trusted = join_trusted(trust)
    per_gpu = parse_gpu_share(gpus_per_worker)
    job = make_job(studies, pool=pool, workers=workers, workers_per_gpu=per_gpu, storage_url=storage_url)
    if cancel:
        _cancel_job(job.name)
        return
    resources = SlurmResources(
        partition=partition,
        time=limit,
        account=account,
        constraint=constraint,
        cpus_per_worker=cpus,
        memory_per_worker=memory,
        warning_s=warning,
        extra=tuple(extra or ()),
    )
    options = SlurmOptions(
        resources=resources,
        setup=tuple(setup or ()),
        image=image,
        runtime=runtime,
        logs=logs,
        exit_when_idle=exit_when_idle,
    )
    if dry_run:
        exports = _export_lines(job, storage_url, artifacts, log_format, trusted)
        print(render_dry_run(job, options, exports), end="")
        return
    require_studies(job, connect_store(job, storage_url))
    _warn_of_unshared(storage_url, artifacts)
    number = submit_job(job, options, worker_environment(storage_url, artifacts, log_format, trusted))
    sizes = f"{count_noun(job.tasks, 'task')} of {job.name}, {count_noun(job.workers, 'worker')}"
    print_line(f"job {number}: {sizes}; logs in {options.logs}")


def _export_lines(
    job: Job, storage_url: str, artifacts: str | None, log_format: log_output.LogFormat, trusted: str
) -> list[str]:
    """Return the lines of bash that set what a submission takes from the environment, without a password."""
    if store.masked(storage_url) == storage_url:
        lines = [f"export {STORAGE_VARIABLE}={shlex.quote(storage_url)}"]
    else:
        lines = [f"# SWEEPS_STORAGE, or the file that SWEEPS_STORAGE_FILE names, has to hold the URL of {job.store}"]
    if artifacts is not None:
        lines.append(f"export {ARTIFACTS_VARIABLE}={shlex.quote(artifacts)}")
    if log_format != "text":
        lines.append(f"export {LOG_FORMAT_VARIABLE}={log_format}")
    if trusted:
        lines.append(f"export {TRUST_VARIABLE}={shlex.quote(trusted)}")
    return lines


def _warn_of_unshared(storage_url: str, artifacts: str | None) -> None:
    """Warn of what other nodes do not see."""
    if engines.is_sqlite(engines.parse_url(storage_url)):
        logger.warning("a SQLite store serves one machine: for several nodes take PostgreSQL, MySQL or MariaDB")
    if store.artifacts(storage_url, artifacts) is None:
        logger.warning("no --artifacts, so no checkpoints: a trial that is handed back starts over")


def _cancel_job(name: str) -> None:
    count = cancel_tasks(name, logger.info)
    if not count:
        raise InputError(f"{name} is not in Slurm's queue")
    print_line(f"ended {count_noun(count, 'task')} of {name}")
