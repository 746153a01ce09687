"""`sweeps status`: how studies stand and what workers do, once or again and again."""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from optuna.storages import RDBStorage
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps import report, store
from sweeps.errors import OutageError
from sweeps.report import Summary
from sweeps.space import Space
from sweeps.store import engines, offers, workers
from sweeps.store.offers import Offer
from sweeps.store.tables import State
from sweeps.store.workers import Condition, WorkerSeen

WATCH_S = 2.0
MOST_WORKERS = 40  # lines of a terminal
COLOURS = {Condition.TRAINING: "green", Condition.IDLE: "dim", Condition.LOST: "red"}


@dataclass(frozen=True, slots=True)
class Status:
    """A store at one moment: the studies that were asked for, and the workers of all."""

    studies: tuple[tuple[Offer, Space, Summary], ...]
    workers: tuple[WorkerSeen, ...]

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
        return each[0] if study else {"studies": each, "workers": [asdict(worker) for worker in self.workers]}


def look(storage: RDBStorage, study: str | None) -> Status:
    """How a study, or every study of sweeps in the store, stands.

    Raises:
        StoreError: there is no such study, or it was not made by sweeps.
    """
    if study is not None:
        store.space_of(store.load_study(storage, study))
    shown = []
    for offer in offers.offers(storage.engine):
        if study in (None, offer.name):
            found = store.load_study(storage, offer.name)
            space = store.space_of(found)
            shown.append((offer, space, report.summarise(space, found.get_trials(deepcopy=False))))
    return Status(tuple(shown), tuple(workers.workers(storage.engine)))


def watch(storage: RDBStorage, study: str | None, console: Console, wait: Callable[[float], None] = time.sleep) -> None:
    """Show the status again and again, until nothing is left to do."""
    with Live(console=console, auto_refresh=False, screen=False) as live:
        while True:
            try:
                status = engines.persist(lambda: look(storage, study), 0.0)
            except OutageError as exc:
                live.update(Group(live.get_renderable(), Text(str(exc), "red")), refresh=True)
            else:
                live.update(render(status), refresh=True)
                if status.over:
                    return
            wait(WATCH_S)


def render(status: Status) -> RenderableType:
    """A status for a terminal."""
    lines: list[RenderableType] = []
    for offer, space, summary in status.studies:
        if offer.state != State.ACTIVE:
            lines.append(Text(f"{offer.name} is {offer.state}", "yellow"))
        lines.append(report.render(space, summary))
    if not status.studies:
        lines.append(Text("no study of sweeps in this store"))
    if status.workers:
        lines.append(workers_table(status.workers))
    return Group(*lines)


def workers_table(seen: Sequence[WorkerSeen]) -> RenderableType:
    """One line per worker, those that train first."""
    order = list(Condition)
    ranked = sorted(seen, key=lambda worker: order.index(worker.condition))
    counts = ", ".join(
        f"{sum(worker.condition == condition for worker in seen)} {condition}"
        for condition in Condition
        if any(worker.condition == condition for worker in seen)
    )
    table = Table("host", "pid", "on", "", "trial", "step", "steps/s", "silent", title=f"workers: {counts}")
    for worker in ranked[:MOST_WORKERS]:
        table.add_row(*_row(worker), style=COLOURS[worker.condition])
    if len(ranked) > MOST_WORKERS:
        table.caption = f"and {len(ranked) - MOST_WORKERS} more; --json has all"
    table.title_justify = "left"
    return table


def _row(worker: WorkerSeen) -> tuple[str, ...]:
    trial = f"{worker.study} {worker.trial}" if worker.study is not None else ""
    step = "" if worker.step is None else str(worker.step)
    rate = f"{worker.steps_per_s:.3g}" if worker.steps_per_s else ""
    silent = f"{worker.silent_s:.0f} s"
    return worker.host, str(worker.pid), worker.gpu, worker.condition, trial, step, rate, silent
