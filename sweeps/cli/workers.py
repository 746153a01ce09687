"""The commands for workers, and for people who halt and resume what workers do."""

import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.options import ArtifactsPlace, StorageUrl, StudyName
from sweeps.errors import TRY_AGAIN

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from sweeps.worker.worker import WorkerProcess

CONNECT_S = 60.0  # a worker may be started before its store is
EMPTY_S = 30.0  # between two looks into a store that has no study yet
StudyNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="STUDY...", help="The studies' names; all studies of the store, now and later, if none."),
]


def worker(
    studies: StudyNames = None,
    storage: StorageUrl = None,
    artifacts: ArtifactsPlace = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End as soon as there is no trial to be had.")
    ] = False,
) -> None:
    """Run trials: of the studies named until their budgets are met, or of every active study of the store, for ever.

    SIGTERM, SIGINT, SIGHUP or SIGUSR1: keep a checkpoint, hand the running trial back, end. Another one, more than two
    seconds later, ends the worker at once.
    """
    from sweeps import store
    from sweeps.artifacts.locations import require_writable
    from sweeps.imports import quickly
    from sweeps.worker.heartbeat import usual
    from sweeps.worker.worker import Worker, life, say

    storage_url = store.url(storage)
    where = store.artifacts(storage_url, artifacts)
    with life() as this:
        opened = _opened(this, storage_url, waits=not studies and not exit_when_idle)
        if opened is None:
            say(f"{this.told.signal} came while the store was waited for")
            return
        for study in studies or []:
            store.space_of(store.load_study(opened, study))
        if where:
            require_writable(where)  # what cannot be written shows before anything is claimed
        with quickly():
            from sweeps.nn import device
            from sweeps.nn.datasets import load
            from sweeps.nn.train import train

        device.prepare()
        patience, gpu, job = usual(storage_url), device.name(), os.environ.get("SWEEPS_JOB", "")
        this.worker = Worker(opened, train, load, this.ends, where, patience, gpu, job)
        finished = this.worker.serve(studies or [], exit_when_idle=exit_when_idle)
    print(f"worker finished {finished} trials", file=sys.stderr)
    if this.told and job:
        raise typer.Exit(TRY_AGAIN)  # to a supervisor 0 would say that nothing is left to do


def _opened(this: "WorkerProcess", storage_url: str, *, waits: bool) -> "RDBStorage | None":
    """The store, once it answers, and on a server of a pool's also once it has a study; None if told to end before.

    Raises:
        OutageError: it does not answer.
        StoreError: it cannot be used.
    """
    from sweeps import store
    from sweeps.errors import NoStoreError, OutageError
    from sweeps.store import engines
    from sweeps.worker.worker import say

    while not this.told:
        try:
            return store.connect(storage_url, wait_s=CONNECT_S, giving_up=this.ends, say=say)
        except NoStoreError:
            if not waits or engines.is_sqlite(engines.parsed(storage_url)):
                raise
            say(f"{store.masked(storage_url)}: there is no study in it yet; waiting for one")
        except OutageError:
            if not this.told:
                raise
        deadline = time.monotonic() + EMPTY_S
        while not this.told and time.monotonic() < deadline:
            time.sleep(0.2)
    return None


def pause(study: StudyName, storage: StorageUrl = None) -> None:
    """Pause a study: its running trials are kept as checkpoints and wait, as do those that have not begun."""
    _halt(study, storage, "paused")


def resume(study: StudyName, storage: StorageUrl = None) -> None:
    """Resume a study that was paused or stopped; workers go on with what waits."""
    _halt(study, storage, "active")


def stop(study: StudyName, storage: StorageUrl = None) -> None:
    """Stop a study: its unfinished trials are given up; what has finished stays."""
    _halt(study, storage, "stopped")


def _halt(study: str, storage: str | None, state: str) -> None:
    from sweeps import store
    from sweeps.store import queue
    from sweeps.store.tables import State

    opened = store.connect(store.url(storage))
    study_id = store.id_of(opened, store.load_study(opened, study))
    before = queue.set_state(opened.engine, study_id, State(state))
    print(f"study {study!r}: {before} before, {state} now")
