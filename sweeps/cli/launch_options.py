"""The options of the commands that launch workers, the job that these describe, and checks of the store."""

from typing import Annotated

import typer
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.errors import InputError, NoStoreError
from sweeps.launch.job import Job
from sweeps.store import engines

StudiesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="STUDY...", help="The studies' names.", show_default=False)
]
PoolOption = Annotated[bool, typer.Option("--pool", help="Serve every study of the store, and those to come.")]
WorkersOption = Annotated[int | None, typer.Option("--workers", min=1, help="How many workers.", show_default=False)]
ShareOption = Annotated[
    str,
    typer.Option(metavar="SHARE", help="How much of a GPU each worker has: 1, .5, 1/3 and so on, or 0 for none."),
]
ExitWhenIdleOption = Annotated[
    bool, typer.Option("--exit-when-idle", help="Workers end as soon as there is no trial to be had.")
]
CancelOption = Annotated[
    bool, typer.Option("--cancel", help="End what was launched for these studies: trials are handed back first.")
]


def make_job(
    studies: list[str] | None, *, pool: bool, workers: int | None, workers_per_gpu: int, storage_url: str
) -> Job:
    """Return the job that the options describe.

    Raises:
        InputError: an option is missing.
    """
    if bool(studies) == pool:
        raise InputError("name the studies to be served, or say --pool for workers that serve every study of the store")
    if workers is None:
        raise InputError("--workers is missing: say how many to start")
    return Job(
        studies=tuple(studies or ()),
        store=store.absolute(storage_url),
        workers=workers,
        workers_per_gpu=workers_per_gpu,
    )


def require_at_most_one(**given: bool) -> None:
    """Check that of options that exclude each other at most one was given.

    Args:
        given: by the options' names, with _ for -.

    Raises:
        InputError: two or more were given.
    """
    names = [f"--{name.replace('_', '-')}" for name, is_given in given.items() if is_given]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)}: take one of them")


def connect_store(job: Job, storage_url: str) -> RDBStorage | None:
    """Return the store; None if it is empty and the job is a pool, which waits for the first study of a server.

    Raises:
        StoreError: it is not there, or cannot be used.
    """
    try:
        return store.connect(storage_url)
    except NoStoreError:
        if job.studies or engines.is_sqlite(engines.parse_url(storage_url)):
            raise
        return None


def require_studies(job: Job, opened_storage: RDBStorage | None) -> None:
    """Check that the studies exist, before anything is started far away.

    Raises:
        StoreError: one does not.
    """
    if opened_storage is None:
        return
    for study in job.studies:
        store.space_of(store.load_study(opened_storage, study))
