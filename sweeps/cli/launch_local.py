"""`sweeps launch local`: keep workers running on this machine, in the foreground or in the background."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.launch_options import (
    Cancel,
    Pool,
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

PerGpu = Annotated[int, typer.Option("--workers-per-gpu", min=1, help="How many workers may share a GPU.")]
GpuMemory = Annotated[
    int | None,
    typer.Option(metavar="MIB", min=1, help="GPU memory of each worker. Default: as needed.", show_default=False),
]
Detach = Annotated[bool, typer.Option("--detach", help="In the background, with a log in sweeps-logs.")]
STARTED_S = 30.0  # a supervisor that cannot start says so within


def local(
    studies: Studies = None,
    pool: Pool = False,
    workers: Workers = None,
    per_gpu: PerGpu = 1,
    gpu_memory: GpuMemory = None,
    exit_when_idle: WhenIdle = False,
    detach: Detach = False,
    cancel: Cancel = False,
    storage: StorageUrl = None,
    artifacts: ArtifactsPlace = None,
) -> None:
    """Keep workers running on this machine until the studies' budgets are met.

    One worker per GPU, or one per processor where there is none, unless --workers says otherwise. A worker that is
    killed is started again, after a wait that doubles. SIGTERM, SIGINT or SIGUSR1: workers hand their trials back, and
    the exit code is 75.
    """
    from sweeps.launch.job import number
    from sweeps.launch.local import background, supervisor
    from sweeps.launch.local import worker_processes as here
    from sweeps.launch.local.devices import assign_devices, default_workers, require_room, visible_gpus

    require_one(cancel=cancel, detach=detach)
    found = visible_gpus()
    job, url = asked_for(studies, pool, workers or per_gpu * default_workers(found), per_gpu, storage)
    if cancel:
        count = background.cancel(job.name, supervisor.say)
        print(f"ended {number(count, 'supervisor')} of {job.name}")
        return
    require_room(job.workers, per_gpu, found)
    told = here.environment(url, artifacts)
    if detach:
        require_studies(job, reached(job, url))
        _detach(job.name, told)
        return
    words = [*(["--exit-when-idle"] if exit_when_idle else []), "--", *job.studies]
    posts = [
        supervisor.ManagedWorker(index, seat)
        for index, seat in enumerate(assign_devices(job.workers, found, gpu_memory))
    ]
    with supervisor.hearing() as signals, background.listed(job.name, supervisor.say):
        code = supervisor.Supervisor(words, {"SWEEPS_JOB": f"local {job.name}", **told}, posts).run(signals)
    raise typer.Exit(code)


def _detach(name: str, told: Mapping[str, str]) -> None:
    """Start the same command again, without --detach, as a process of its own."""
    from sweeps.launch.local import background
    from sweeps.launch.local.worker_processes import command

    log = Path("sweeps-logs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.log"
    words = sys.argv[1:]
    words.remove("--detach")
    try:
        log.parent.mkdir(exist_ok=True)
        file = log.open("ab")
    except OSError as exc:
        raise InputError(f"{log}: {exc.strerror}; start where a log can be written") from exc
    with file:
        child = subprocess.Popen(
            command(*words), env=told, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    deadline = time.monotonic() + STARTED_S
    while child.poll() is None and child.pid not in background.running(name) and time.monotonic() < deadline:
        time.sleep(0.1)
    if child.poll() is not None:
        raise InputError(f"it did not start: {log.read_text(errors='replace').strip() or log}")
    print(f"process {child.pid}, log in {log}; the same words with --cancel in place of --detach end it")
