"""`sweeps worker`; and `sweeps pause`, `resume` and `stop`, which say what workers do with a study."""

import logging
import os
import time
from typing import Annotated

import typer
from optuna.storages import RDBStorage

from sweeps import logs, store
from sweeps.artifacts.locations import require_writable_location
from sweeps.cli.consoles import print_line
from sweeps.cli.options import ArtifactsOption, LogFormatOption, StorageOption, StudyArgument, TrustOption
from sweeps.cli.training import import_training, prepare_device
from sweeps.environment import JOB_VARIABLE, TRUST_VARIABLE
from sweeps.errors import TRY_AGAIN, NoStoreError, OutageError
from sweeps.imports import join_trusted
from sweeps.store import engines, queue
from sweeps.store.tables import StudyState
from sweeps.wording import count_noun
from sweeps.worker.heartbeat import usual_patience
from sweeps.worker.worker import Worker, WorkerProcess, worker_process

CONNECT_S = 60.0  # a worker may be started before its store is
EMPTY_S = 30.0  # from one attempt to the next, while the store has no study yet
EMPTY_POLL_S = 0.2
StudiesArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="STUDY...", help="The studies' names; all studies of the store, now and later, if none."),
]

logger = logging.getLogger(__name__)


def worker(
    studies: StudiesArgument = None,
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
    exit_when_idle: Annotated[
        bool, typer.Option("--exit-when-idle", help="End as soon as there is no trial to be had.")
    ] = False,
    trust: TrustOption = None,
    log_format: LogFormatOption = "text",
) -> None:
    """Run trials: of the studies named until their budgets are met, or of every active study of the store, for ever.

    SIGTERM, SIGINT, SIGHUP or SIGUSR1: keep a checkpoint, hand the running trial back, end. Another one, more than two
    seconds later, ends the worker at once.
    """
    logs.configure_logging(log_format)
    os.environ[TRUST_VARIABLE] = join_trusted(trust)
    storage_url = store.url(storage)
    artifacts_url = store.artifacts(storage_url, artifacts)
    job = os.environ.get(JOB_VARIABLE, "")
    with worker_process() as process:
        opened_storage = _wait_for_store(process, storage_url, waits_for_study=not studies and not exit_when_idle)
        if opened_storage is None:
            logger.info("%s came while the store was waited for", process.told.signal)
            return
        for study in studies or []:
            store.space_of(store.load_study(opened_storage, study))
        if artifacts_url:
            require_writable_location(artifacts_url)  # what cannot be written shows before anything is claimed
        train, load = import_training()
        process.worker = Worker(
            opened_storage,
            train,
            load,
            process.is_ending,
            artifacts=artifacts_url,
            patience=usual_patience(storage_url),
            gpu=prepare_device(),
            job=job,
            say=logger.info,
        )
        finished = process.worker.serve_studies(studies or [], exit_when_idle=exit_when_idle)
    logger.info("worker finished %s", count_noun(finished, "trial"))
    if process.told and job:
        raise typer.Exit(TRY_AGAIN)  # to a supervisor 0 would say that nothing is left to do


def _wait_for_store(process: WorkerProcess, storage_url: str, *, waits_for_study: bool) -> RDBStorage | None:
    """Open the store once it answers; return None if the process was told to end before.

    Args:
        waits_for_study: wait too while the database of a server has no study in it.

    Raises:
        OutageError: the store does not answer.
        StoreError: it cannot be used.
    """
    while not process.told:
        try:
            return store.connect(storage_url, wait_s=CONNECT_S, giving_up=process.is_ending, say=logger.info)
        except NoStoreError:
            if not waits_for_study or engines.is_sqlite(engines.parse_url(storage_url)):
                raise
            logger.info("%s: there is no study in it yet; waiting for one", store.masked(storage_url))
        except OutageError:
            if not process.told:
                raise
        deadline = time.monotonic() + EMPTY_S
        while not process.told and time.monotonic() < deadline:
            time.sleep(EMPTY_POLL_S)
    return None


def pause(study: StudyArgument, storage: StorageOption = None) -> None:
    """Pause a study: its running trials are kept as checkpoints and wait, as do those that have not begun."""
    _set_state(study, storage, StudyState.PAUSED)


def resume(study: StudyArgument, storage: StorageOption = None) -> None:
    """Resume a study that was paused or stopped; workers go on with what waits."""
    _set_state(study, storage, StudyState.ACTIVE)


def stop(study: StudyArgument, storage: StorageOption = None) -> None:
    """Stop a study: its unfinished trials are given up; what has finished stays."""
    _set_state(study, storage, StudyState.STOPPED)


def _set_state(study: str, storage: str | None, state: StudyState) -> None:
    opened_storage = store.connect(store.url(storage))
    study_id = store.id_of(opened_storage, store.load_study(opened_storage, study))
    previous_state = queue.set_state(opened_storage.engine, study_id, state)
    print_line(f"study {study!r}: {previous_state} before, {state} now")
