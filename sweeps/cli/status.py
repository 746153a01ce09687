"""`sweeps status`: how studies stand and what workers do, once or again and again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from optuna.storages import RDBStorage
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.analysis.summary import Summary
from sweeps.errors import OutageError, SweepsError
from sweeps.launch import slurm
from sweeps.space.space import Space
from sweeps.store import engines, queue, retry, workers
from sweeps.store.queue import QueuedStudy
from sweeps.store.tables import State
from sweeps.store.workers import Condition, WorkerSeen

WATCH_S = 2.0
MOST_WORKERS = 40  # lines of a terminal
AROUND = 6  # lines of a table that are no workers: title, frame, head, what is left out
COLOURS = {Condition.TRAINING: "green", Condition.IDLE: "dim", Condition.LOST: "red"}


@dataclass(frozen=True, slots=True)
class Status:
    """A store at one moment: the studies that were asked for, the workers of all, and what is in Slurm's queue."""

    studies: tuple[tuple[QueuedStudy, Space, Summary], ...]
    workers: tuple[WorkerSeen, ...]
    tasks: tuple[slurm.Task, ...] = ()
    trouble: str = ""  # Slurm does not answer

    @property
    def over(self) -> bool:
        """Whether nothing is left to do of any of the studies."""
        return all(offer.state == State.STOPPED or summary.done >= summary.trials for offer, _, summary in self.studies)

    def to_dict(self, study: str | None) -> dict[str, Any]:
        """Plain values for a JSON encoder: of one study, or of all and their workers."""
        each = [
            {
                **summary.to_dict(),
                "state": offer.state,
                "priority": offer.priority,
                "workers": [asdict(worker) for worker in self.workers if worker.study == offer.name],
            }
            for offer, _, summary in self.studies
        ]
        if study:
            return each[0]
        every = {"workers": [asdict(worker) for worker in self.workers], "slurm": [asdict(task) for task in self.tasks]}
        return {"studies": each, **every}


def look(storage: RDBStorage, study: str | None) -> Status:
    """How a study, or every study of sweeps in the store, stands.

    Raises:
        StoreError: there is no such study, or it was not made by sweeps.
    """
    named = None if study is None else store.load_study(storage, study)
    if named is not None:
        store.space_of(named)
    shown = []
    for offer in queue.queued_studies(storage.engine):
        if study in (None, offer.name):
            found = named or store.load_study(storage, offer.name)
            space = store.space_of(found)
            shown.append((offer, space, summaries.summarise(space, found.get_trials(deepcopy=False))))
    return _joined(tuple(shown), workers.workers(storage.engine), store.absolute(storage.url))


def _joined(studies: tuple[tuple[QueuedStudy, Space, Summary], ...], seen: Sequence[WorkerSeen], where: str) -> Status:
    """Put the state of Slurm's task behind each worker that one started."""
    try:
        tasks = slurm.of_store(where)
    except SweepsError as exc:
        launched = any(worker.job.startswith("slurm ") for worker in seen)
        return Status(studies, tuple(seen), trouble=str(exc) if launched else "")
    states = {f"slurm {task.number}": task.state.lower() for task in tasks or ()}
    if tasks is not None:
        seen = [
            replace(worker, job=f"{worker.job} {states.get(worker.job, 'gone')}")
            if worker.job.startswith("slurm ")
            else worker
            for worker in seen
        ]
    return Status(studies, tuple(seen), tuple(tasks or ()))


def watch(storage: RDBStorage, study: str | None, console: Console, wait: Callable[[float], None] = time.sleep) -> None:
    """Show the status again and again, until nothing is left to do.

    Raises:
        StoreError: the store refuses.
    """
    with (
        engines.translate_database_errors(storage.url),
        Live(console=console, auto_refresh=False, screen=False) as live,
    ):
        while True:
            try:
                status = retry.retry_while_unavailable(lambda: look(storage, study), 0.0)
            except OutageError as exc:
                live.update(Group(live.get_renderable(), Text(str(exc), "red")), refresh=True)
            else:
                live.update(Group(*_workers(status, console.height // 2), *_studies(status)), refresh=True)
                if status.over:
                    return
            wait(WATCH_S)


def render(status: Status) -> RenderableType:
    """A status for a terminal."""
    return Group(*_studies(status), *_workers(status))


def _studies(status: Status) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for offer, space, summary in status.studies:
        if offer.state != State.ACTIVE:
            lines.append(Text(f"{offer.name} is {offer.state}", "yellow"))
        lines.append(summaries.render(space, summary))
    if not status.studies:
        lines.append(Text("no study of sweeps in this store"))
    lines += [Text(line) for line in slurm.summed_up(status.tasks)]
    if status.trouble:
        lines.append(Text(status.trouble, "red"))
    return lines


def _workers(status: Status, height: int = MOST_WORKERS + AROUND) -> list[RenderableType]:
    return [workers_table(status.workers, max(1, min(height - AROUND, MOST_WORKERS)))] if status.workers else []


def workers_table(seen: Sequence[WorkerSeen], most: int = MOST_WORKERS) -> RenderableType:
    """One line per worker, those that train first; `most` of them."""
    order = list(Condition)
    ranked = sorted(seen, key=lambda worker: order.index(worker.condition))
    counts = ", ".join(
        f"{sum(worker.condition == condition for worker in seen)} {condition}"
        for condition in Condition
        if any(worker.condition == condition for worker in seen)
    )
    jobs = any(worker.job for worker in seen)
    names = ("host", "pid", "on", "", "trial", "step", "steps/s", "silent", *(["job"] if jobs else []))
    table = Table(*names, title=f"workers: {counts}")
    for worker in ranked[:most]:
        table.add_row(*_row(worker), *([escape(worker.job)] if jobs else []), style=COLOURS[worker.condition])
    if len(ranked) > most:
        table.caption = f"and {len(ranked) - most} more; --json has all"
    table.title_justify = "left"
    return table


def _row(worker: WorkerSeen) -> tuple[str, ...]:
    trial = f"{worker.study} {worker.trial}" if worker.study is not None else ""
    step = "" if worker.step is None else str(worker.step)
    rate = f"{worker.steps_per_s:.3g}" if worker.steps_per_s else ""
    silent = f"{worker.silent_s:.0f} s"
    return worker.host, str(worker.pid), worker.gpu, worker.condition, trial, step, rate, silent
