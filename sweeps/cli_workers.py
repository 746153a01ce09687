"""The commands for workers, and for people who halt and resume what workers do."""

import sys
from typing import Annotated

import typer

from sweeps.cli_options import ArtifactsPlace, StorageUrl, StudyName

CONNECT_S = 60.0  # a worker may be started before its store is
StudyNames = Annotated[
    list[str] | None,
    typer.Argument(metavar="[STUDY]...", help="The studies' names; all studies of the store, now and later, if none."),
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

    SIGTERM, SIGINT or SIGUSR1: keep a checkpoint, hand the running trial back, end. A second signal ends at once.
    """
    from sweeps import store
    from sweeps.heartbeat import usual
    from sweeps.interruption import interruptible
    from sweeps.places import place
    from sweeps.worker import Worker

    storage_url = store.url(storage)
    made: list[Worker] = []

    def leave(name: str) -> None:
        for each in made:
            each.heart.leave(f"{name} came")

    def abandon() -> bool:
        return all(each.heart.abandon() for each in made)

    with interruptible(leave, abandon) as told:
        opened = store.connect(storage_url, wait_s=CONNECT_S)
        for study in studies or []:
            store.space_of(store.load_study(opened, study))
        where = store.artifacts(storage_url, artifacts)
        if where:
            place(where)  # what cannot be a place shows before anything is claimed
        from sweeps.nn import device
        from sweeps.nn.datasets import load
        from sweeps.nn.train import train

        device.prepare()
        patience, gpu = usual(storage_url), device.name()
        made.append(Worker(opened, train, load, lambda: bool(told), where, patience, gpu))
        finished = made[0].serve(studies or [], exit_when_idle=exit_when_idle)
    print(f"worker finished {finished} trials", file=sys.stderr)


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
    from sweeps.store import offers
    from sweeps.store.tables import State

    opened = store.connect(store.url(storage))
    study_id = store.id_of(opened, store.load_study(opened, study))
    before = offers.halt(opened.engine, study_id, State(state))
    print(f"study {study!r}: {before} before, {state} now")
