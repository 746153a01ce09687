"""What the commands that launch workers have in common: their options, and the job that these ask for."""

from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.errors import InputError, NoStoreError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from sweeps.launch.job import Job

Studies = Annotated[
    list[str] | None, typer.Argument(metavar="STUDY...", help="The studies' names.", show_default=False)
]
Pool = Annotated[bool, typer.Option("--pool", help="Serve every study of the store, and those to come.")]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="How many workers.", show_default=False)]
Share = Annotated[
    str,
    typer.Option(metavar="SHARE", help="How much of a GPU each worker has: 1, .5, 1/3 and so on, or 0 for none."),
]
WhenIdle = Annotated[bool, typer.Option("--exit-when-idle", help="Workers end as soon as there is no trial to be had.")]
Cancel = Annotated[
    bool, typer.Option("--cancel", help="End what was launched for these studies: trials are handed back first.")
]


def asked_for(
    studies: list[str] | None, pool: bool, workers: int | None, per_gpu: int, storage: str | None
) -> "tuple[Job, str]":
    """What is to be launched, and the store's URL.

    Raises:
        InputError: something is missing.
    """
    from sweeps import store
    from sweeps.launch.job import Job

    if bool(studies) == pool:
        raise InputError("name the studies to be served, or say --pool for workers that serve every study of the store")
    if workers is None:
        raise InputError("--workers is missing: say how many to start")
    url = store.url(storage)
    return Job(tuple(studies or ()), store.absolute(url), workers, per_gpu), url


def require_one(**said: bool) -> None:
    """Make sure that of options that exclude each other no two were said.

    Raises:
        InputError: they were.
    """
    names = [f"--{name.replace('_', '-')}" for name, is_said in said.items() if is_said]
    if len(names) > 1:
        raise InputError(f"{' and '.join(names)}: take one of them")


def reached(job: "Job", url: str) -> "RDBStorage | None":
    """The store; None for a pool that has to wait for the first study of a server.

    Raises:
        StoreError: it is not there, or cannot be used.
    """
    from sweeps import store
    from sweeps.store import engines

    try:
        return store.connect(url)
    except NoStoreError:
        if job.studies or engines.is_sqlite(engines.parsed(url)):
            raise
        return None


def require_studies(job: "Job", opened: "RDBStorage | None") -> None:
    """Make sure that the studies are there, before anything is started far away.

    Raises:
        StoreError: one is not.
    """
    from sweeps import store

    if opened is not None:
        for study in job.studies:
            store.space_of(store.load_study(opened, study))
