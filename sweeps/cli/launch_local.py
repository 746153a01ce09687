"""`sweeps launch local`: keep workers running on this machine, in the foreground or in the background."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from sweeps import logs, store
from sweeps.cli.consoles import print_line
from sweeps.cli.launch_options import (
    CancelOption,
    ExitWhenIdleOption,
    PoolOption,
    StudiesArgument,
    WorkersOption,
    connect_store,
    make_job,
    require_at_most_one,
    require_studies,
)
from sweeps.cli.options import ArtifactsOption, LogFormatOption, StorageOption, TrustOption
from sweeps.environment import JOB_VARIABLE
from sweeps.errors import InputError, NoStoreError, StoreError
from sweeps.imports import join_trusted
from sweeps.launch.job import Job
from sweeps.launch.local import background
from sweeps.launch.local.devices import (
    DeviceAssignment,
    assign_devices,
    default_worker_count,
    require_room,
    visible_gpus,
)
from sweeps.launch.local.supervisor import ManagedWorker, Supervisor, receive_signals
from sweeps.launch.local.worker_processes import make_sweeps_command, worker_environment
from sweeps.wording import count_noun

WorkersPerGpuOption = Annotated[int, typer.Option("--workers-per-gpu", min=1, help="How many workers may share a GPU.")]
GpuMemoryOption = Annotated[
    int | None,
    typer.Option(metavar="MIB", min=1, help="GPU memory of each worker. Default: as needed.", show_default=False),
]
DetachOption = Annotated[bool, typer.Option("--detach", help="In the background, with a log in sweeps-logs.")]
STARTED_S = 30.0  # a supervisor that cannot start says so within
STARTED_POLL_S = 0.1


def local(
    studies: StudiesArgument = None,
    pool: PoolOption = False,
    workers: WorkersOption = None,
    per_gpu: WorkersPerGpuOption = 1,
    gpu_memory: GpuMemoryOption = None,
    exit_when_idle: ExitWhenIdleOption = False,
    detach: DetachOption = False,
    cancel: CancelOption = False,
    trust: TrustOption = None,
    log_format: LogFormatOption = "text",
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
) -> None:
    """Keep workers running on this machine until the studies' budgets are met.

    One worker per GPU, or one per processor where there is none, unless --workers says otherwise. A worker that is
    killed is started again, after a wait that doubles. SIGTERM, SIGINT or SIGUSR1: workers hand their trials back, and
    the exit code is 75.
    """
    require_at_most_one(cancel=cancel, detach=detach)
    logs.configure_logging(log_format)
    storage_url = store.url(storage)
    gpus = visible_gpus()
    count = workers or per_gpu * default_worker_count(gpus)
    job = make_job(studies, pool=pool, workers=count, workers_per_gpu=per_gpu, storage_url=storage_url)
    if cancel:
        ended = background.cancel_supervisors(job.name)
        print_line(f"ended {count_noun(ended, 'supervisor')} of {job.name}")
        return
    require_room(job.workers, per_gpu, gpus)
    environment = worker_environment(storage_url, artifacts, log_format, join_trusted(trust))
    if detach:
        require_studies(job, connect_store(job, storage_url))
        _start_in_background(job.name, environment)
        return
    _refuse_missing_studies(job, storage_url)
    devices = assign_devices(job.workers, gpus, gpu_memory)
    raise typer.Exit(_run_supervisor(job, devices, environment, exit_when_idle=exit_when_idle))


def _refuse_missing_studies(job: Job, storage_url: str) -> None:
    """Check that the studies exist, if the store can be asked: workers wait for one that is away.

    Raises:
        NoStoreError: there is no store.
        StoreError: one of the studies does not exist.
    """
    try:
        opened_storage = connect_store(job, storage_url)
    except NoStoreError:
        raise
    except StoreError:
        return
    require_studies(job, opened_storage)


def _run_supervisor(
    job: Job, devices: list[DeviceAssignment], environment: dict[str, str], *, exit_when_idle: bool
) -> int:
    """Keep workers running in the foreground; return the exit code."""
    environment.setdefault(JOB_VARIABLE, f"local {job.name}")  # a cluster has named its own job
    arguments = []
    if exit_when_idle:
        arguments.append("--exit-when-idle")
    arguments.append("--")
    arguments += job.studies
    workers = [ManagedWorker(number, device) for number, device in enumerate(devices)]
    with receive_signals() as signals, background.register_supervisor(job.name):
        return Supervisor(arguments, environment, workers).run(signals)


def _start_in_background(name: str, environment: Mapping[str, str]) -> None:
    """Start the same command again, without --detach, as a process of its own."""
    log = Path("sweeps-logs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    arguments = sys.argv[1:]
    arguments.remove("--detach")
    try:
        log.parent.mkdir(exist_ok=True)
        file = log.open("ab")
    except OSError as exc:
        raise InputError(f"{log}: {exc.strerror}; start where a log can be written") from exc
    with file:
        child = subprocess.Popen(
            make_sweeps_command(arguments),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + STARTED_S
    while child.poll() is None and child.pid not in background.running_supervisors(name):
        if time.monotonic() > deadline:
            break
        time.sleep(STARTED_POLL_S)
    if child.poll() is not None:
        raise InputError(f"it did not start: {log.read_text(errors='replace').strip() or log}")
    print_line(f"process {child.pid}, log in {log}; the same arguments with --cancel in place of --detach end it")
