"""`sweeps status`: how studies stand and what workers do, once or again and again."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import typer
from optuna.storages import RDBStorage
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.analysis.summary import Summary
from sweeps.cli.consoles import stdout_console
from sweeps.cli.options import StorageOption
from sweeps.errors import InputError, OutageError, StoreError, SweepsError, describe_error
from sweeps.launch import slurm
from sweeps.space.space import Space
from sweeps.store import engines, queue, retry, workers
from sweeps.store.queue import QueuedStudy
from sweeps.store.tables import StudyState
from sweeps.store.workers import Condition, WorkerSeen

WATCH_S = 2.0
MOST_WORKERS = 40  # lines of a terminal
TABLE_FRAME = 6  # lines of a table of workers beside its rows: title, frame, header, caption
COLOURS = {Condition.TRAINING: "green", Condition.IDLE: "dim", Condition.LOST: "red"}
STARTED_BY_SLURM = "slurm "  # how the job of a worker begins

StudyOrAllArgument = Annotated[
    str | None, typer.Argument(metavar="STUDY", help="The study's name; all studies if left out.")
]


def status(
    study: StudyOrAllArgument = None,
    storage: StorageOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it every two seconds, until nothing is left to do.")
    ] = False,
) -> None:
    """Show how studies stand and what workers do: fates so far, steps saved, best configuration, learned/tried."""
    opened_storage = store.connect(store.url(storage))
    if watch and as_json:
        raise InputError("--watch is for people and --json for machines: take one of them")
    if watch:
        watch_status(opened_storage, study, stdout_console())
        return
    with engines.translate_database_errors(opened_storage.url):
        current = read_status(opened_storage, study)
    if as_json:
        print(json.dumps(current.to_dict(study), indent=2))
        return
    stdout_console().print(render_status(current))


@dataclass(frozen=True, slots=True)
class StudyStatus:
    """One study at one moment."""

    queued: QueuedStudy
    space: Space
    summary: Summary

    @property
    def is_over(self) -> bool:
        """Return True if nothing is left to do."""
        return self.queued.state == StudyState.STOPPED or self.summary.done >= self.summary.trials


@dataclass(frozen=True, slots=True)
class Status:
    """A store at one moment.

    Attributes:
        studies: those that were asked for.
        workers: of all studies.
        unreadable: (study, why) of those that this version cannot read.
        tasks: of this store in Slurm's queue.
        slurm_error: why Slurm's queue is not known; empty if it is.
    """

    studies: tuple[StudyStatus, ...]
    workers: tuple[WorkerSeen, ...]
    unreadable: tuple[tuple[str, str], ...] = ()
    tasks: tuple[slurm.Task, ...] = ()
    slurm_error: str = ""

    @property
    def is_over(self) -> bool:
        """Return True if nothing is left to do of any of the studies."""
        return all(study.is_over for study in self.studies)

    def to_dict(self, study: str | None) -> dict[str, Any]:
        """Return plain values for a JSON encoder: of one study, or of all and their workers."""
        studies = [self._study_to_dict(shown) for shown in self.studies]
        if study:
            return studies[0]
        return {
            "studies": studies,
            "workers": [asdict(worker) for worker in self.workers],
            "unreadable": [{"study": name, "reason": reason} for name, reason in self.unreadable],
            "slurm": [asdict(task) for task in self.tasks],
        }

    def _study_to_dict(self, study: StudyStatus) -> dict[str, Any]:
        values = study.summary.to_dict()
        values["state"] = study.queued.state
        values["priority"] = study.queued.priority
        values["workers"] = [asdict(worker) for worker in self.workers if worker.study == study.queued.name]
        return values


def read_status(storage: RDBStorage, study: str | None) -> Status:
    """Read how a study, or every study of sweeps in the store, stands.

    Raises:
        StoreError: there is no such study, it was not made by sweeps, or this version cannot read it.
    """
    if study is not None:
        store.space_of(store.load_study(storage, study))
    studies = []
    unreadable = []
    for queued in queue.queued_studies(storage.engine):
        if study in (None, queued.name):
            try:
                studies.append(_read_study(storage, queued))
            except (OutageError, *retry.DATABASE_ERRORS):
                raise
            except Exception as exc:
                if study is not None:
                    raise StoreError(f"study {study!r} cannot be read: {describe_error(exc)}") from exc
                unreadable.append((queued.name, describe_error(exc)))
    seen_workers = tuple(workers.workers_seen(storage.engine))
    current = Status(tuple(studies), seen_workers, tuple(unreadable))
    return _add_slurm_states(current, store.absolute(storage.url))


def _read_study(storage: RDBStorage, queued: QueuedStudy) -> StudyStatus:
    study = store.load_study(storage, queued.name)
    space = store.space_of(study)
    return StudyStatus(queued, space, summaries.summarise_trials(space, store.read_trials(study)))


def _add_slurm_states(current: Status, storage_url: str) -> Status:
    """Add the state of Slurm's task to each worker that such a task started."""
    try:
        tasks = slurm.list_tasks_of_store(storage_url)
    except SweepsError as exc:
        if any(worker.job.startswith(STARTED_BY_SLURM) for worker in current.workers):
            return replace(current, slurm_error=str(exc))
        return current
    if tasks is None:
        return current
    states = {f"{STARTED_BY_SLURM}{task.number}": task.state.lower() for task in tasks}
    with_states = []
    for worker in current.workers:
        if worker.job.startswith(STARTED_BY_SLURM):
            worker = replace(worker, job=f"{worker.job} {states.get(worker.job, 'gone')}")
        with_states.append(worker)
    return replace(current, workers=tuple(with_states), tasks=tuple(tasks))


def watch_status(
    storage: RDBStorage, study: str | None, console: Console, wait: Callable[[float], None] = time.sleep
) -> None:
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
                current = retry.retry_while_unavailable(lambda: read_status(storage, study), 0.0)
            except OutageError as exc:
                live.update(Group(live.get_renderable(), Text(str(exc), "red")), refresh=True)
            else:
                lines = _render_workers(current, console.height // 2) + _render_studies(current)
                live.update(Group(*lines), refresh=True)
                if current.is_over:
                    return
            wait(WATCH_S)


def render_status(current: Status) -> RenderableType:
    """Return a status for a terminal."""
    lines = _render_studies(current) + _render_workers(current)
    return Group(*lines)


def _render_studies(current: Status) -> list[RenderableType]:
    lines: list[RenderableType] = []
    for study in current.studies:
        if study.queued.state != StudyState.ACTIVE:
            lines.append(Text(f"{study.queued.name} is {study.queued.state}", "yellow"))
        lines.append(summaries.render_summary(study.space, study.summary))
    lines += [Text(f"cannot be read: {reason}", "red") for _, reason in current.unreadable]
    if not current.studies and not current.unreadable:
        lines.append(Text("no study of sweeps in this store"))
    lines += [Text(line) for line in slurm.summarise_tasks(current.tasks)]
    if current.slurm_error:
        lines.append(Text(current.slurm_error, "red"))
    return lines


def _render_workers(current: Status, height: int = MOST_WORKERS + TABLE_FRAME) -> list[RenderableType]:
    """Return the table of workers, at most `height` lines; nothing if there are none."""
    if not current.workers:
        return []
    most_rows = max(1, min(height - TABLE_FRAME, MOST_WORKERS))
    return [render_workers_table(current.workers, most_rows)]


def render_workers_table(seen_workers: Sequence[WorkerSeen], most_rows: int = MOST_WORKERS) -> RenderableType:
    """Return a table of workers, one per line, those that train first."""
    conditions = list(Condition)
    ordered = sorted(seen_workers, key=lambda worker: conditions.index(worker.condition))
    with_jobs = any(worker.job for worker in seen_workers)
    columns = ["host", "pid", "on", "", "trial", "step", "steps/s", "silent"]
    if with_jobs:
        columns.append("job")
    table = Table(*columns, title=f"workers: {_count_conditions(seen_workers)}")
    for worker in ordered[:most_rows]:
        cells = _worker_cells(worker)
        if with_jobs:
            cells.append(worker.job)
        table.add_row(*map(Text, cells), style=COLOURS[worker.condition])
    if len(ordered) > most_rows:
        table.caption = f"and {len(ordered) - most_rows} more; --json has all"
    table.title_justify = "left"
    return table


def _count_conditions(seen_workers: Sequence[WorkerSeen]) -> str:
    counts = {condition: sum(worker.condition == condition for worker in seen_workers) for condition in Condition}
    return ", ".join(f"{count} {condition}" for condition, count in counts.items() if count)


def _worker_cells(worker: WorkerSeen) -> list[str]:
    trial = ""
    if worker.study is not None:
        trial = f"{worker.study} {worker.trial}"
    step = ""
    if worker.step is not None:
        step = str(worker.step)
    rate = ""
    if worker.steps_per_s:
        rate = f"{worker.steps_per_s:.3g}"
    silent = f"{worker.silent_s:.0f} s"
    return [worker.host, str(worker.pid), worker.gpu, worker.condition, trial, step, rate, silent]
