"""Whoever watches the workers, and takes the trials of those that are dead."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine, select

from sweeps.store.leases import Retries, take_over
from sweeps.store.processes import is_running, this_machine
from sweeps.store.tables import WorkerRow, now

GRACE_S = 60.0
WATCH_S = 50.0
USUAL = Retries()


@dataclass(slots=True)
class Reaper:
    """Tells workers that are dead from those that are slow, without trusting any clock but the database's.

    A worker of this machine is dead when its process is gone. Any other is dead when it was silent for `grace_s` by
    the database's clock and stays so while this process watches: after an outage of the store all have been silent,
    and the living beat again before they are looked at twice.
    """

    engine: Engine
    grace_s: float = GRACE_S
    watch_s: float = WATCH_S
    clock: Callable[[], float] = time.monotonic
    _silent: dict[int, tuple[float, float]] = field(default_factory=dict)  # worker -> (seen, by our clock since)
    _looked: float = float("-inf")

    def reap(self, retries: Retries = USUAL) -> int:
        """Take the trials of all that are dead; how many those were."""
        return sum(take_over(self.engine, worker, seen, retries) for worker, seen in self._find_dead_workers())

    def _find_dead_workers(self) -> list[tuple[int, float]]:
        query = select(WorkerRow.worker_id, WorkerRow.machine, WorkerRow.pid, WorkerRow.born, WorkerRow.seen)
        silent = WorkerRow.seen < now() - self.grace_s
        here = WorkerRow.machine == this_machine()
        with self.engine.connect() as db:
            rows = db.execute(query.add_columns(silent.label("silent")).where(WorkerRow.lost.is_(False), silent | here))
            found = rows.all()
        time_now = self.clock()
        if time_now - self._looked > self.grace_s:
            self._silent.clear()  # we were asleep ourselves, or the store was away
        self._looked = time_now
        before = self._silent
        self._silent = {}
        dead = []
        for row in found:
            if row.silent:
                seen, since = before.get(row.worker_id, (row.seen, time_now))
                self._silent[row.worker_id] = (row.seen, since if seen == row.seen else time_now)
            waited = row.silent and time_now - self._silent[row.worker_id][1] >= self.watch_s
            if waited or not is_running(row.machine, row.pid, row.born):
                dead.append((row.worker_id, row.seen))
        return dead
