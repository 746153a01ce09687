"""`sweeps run`: create or continue a study, start workers on this machine, follow them to the end of the budget."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import optuna
from optuna.storages import RDBStorage
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.cli.suggestions import set_options
from sweeps.errors import NoStoreError, StoreError, SweepsError
from sweeps.launch.local import worker_processes
from sweeps.notes import study as study_notes
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.store import queue
from sweeps.store.reaper import Reaper
from sweeps.store.retry import OUTAGE_S, retry_while_unavailable
from sweeps.store.tables import State
from sweeps.worker.shutdown import handled

POLL_S = 0.5
WIDE = 200  # columns
PATIENCE_S = 60.0  # from asking workers to stop until they are killed: longer than any look


def rehearse(path: Path, overrides: Sequence[str]) -> None:
    """Rehearse a file in a process of its own, so that this one never holds TensorFlow or a GPU.

    Raises:
        SweepsError: the rehearsal failed; it has said why.
    """
    done = subprocess.run(worker_processes.command("rehearse", *set_options(overrides), "--", str(path)), check=False)
    if done.returncode:
        raise Said(done.returncode)


class Said(SweepsError):
    """A failure of which the person has been told already."""

    def __init__(self, exit_code: int) -> None:
        super().__init__("")
        self.exit_code = exit_code


def create(path: Path, overrides: Sequence[str], storage_url: str) -> tuple[RDBStorage, optuna.Study, bool]:
    """The study of a file: made after a rehearsal, or the one that is there if the file says the same.

    Returns:
        The store, the study, and whether it is new.

    Raises:
        SpaceError: the file cannot be used.
        StoreError: the store cannot be used, or holds another study of this name; the message says what differs.
    """
    space, text = file.read(path, overrides)
    existing = _existing(storage_url, space)
    if existing is None:
        store.require_creatable(storage_url)  # before the rehearsal: an unwritable store should show at once
        rehearse(path, overrides)
        storage = store.connect(storage_url, create=True)
        made = store.create_study(storage, space, text, overrides)
        study_notes.refresh(storage, made)
        return storage, made, True
    storage, study = existing
    if different := store.differences(study, space):
        raise StoreError(
            f"{path}: study {space.name!r} exists with another search space; {'; '.join(different)}. "
            f"Undo the change, or give the new one a name of its own with --set study.name=..."
        )
    if store.space_of(study).tables != space.tables:
        store.record_space(study, space, text, overrides)
        queue.prioritize(storage.engine, store.id_of(storage, study), space.priority)
        study_notes.refresh(storage, study)
    return storage, study, False


def _existing(storage_url: str, space: Space) -> tuple[RDBStorage, optuna.Study] | None:
    try:
        storage = store.connect(storage_url)
    except NoStoreError:
        return None
    study = store.find_study(storage, space.name)
    return None if study is None else (storage, study)


@dataclass(slots=True)
class Stop:
    """What the person has asked for: 0 nothing, 1 to stop cleanly, 2 or more to stop now."""

    asked: int = 0

    def ask(self, _signal: int, _frame: FrameType | None) -> None:
        """Count one more request; a signal handler."""
        self.asked += 1


@contextmanager
def interruptible() -> Iterator[Stop]:
    """Count SIGINT, SIGTERM and SIGHUP instead of dying of them."""
    stop = Stop()
    with handled(("SIGINT", "SIGTERM", "SIGHUP"), stop.ask):
        yield stop


@dataclass(slots=True)
class Follower:
    """Shows a study while workers run: finished trials as lines, the rest as a bar that stays below them."""

    study: optuna.Study
    space: Space
    console: Console
    clock: Callable[[], float] = time.monotonic
    started: float = field(init=False)
    share_at_start: float | None = None
    shown: set[int] = field(default_factory=set)
    summary: summaries.Summary = field(init=False)

    def __post_init__(self) -> None:
        self.started = self.clock()
        self.update(quiet=True)

    def update(self, *, quiet: bool = False) -> int:
        """Read the store; print what has finished since; how many trials that was."""
        trials = self.study.get_trials(deepcopy=False)
        self.summary = summaries.summarise(self.space, trials)
        if self.share_at_start is None:
            self.share_at_start = self.summary.step_share
        new = [trial for trial in summaries.finished_trials(trials) if trial.number not in self.shown]
        self.shown |= {trial.number for trial in new}
        if not quiet:
            for trial in new:
                self.console.print(summaries.trial_line(self.space, trial), soft_wrap=True)
        return len(new)

    def left_s(self) -> float | None:
        """Seconds to the end at the pace so far; None while there is no pace."""
        progress = self.summary.step_share - (self.share_at_start or 0.0)
        if progress <= 0:
            return None
        return (self.clock() - self.started) * (1 - self.summary.step_share) / progress

    def bar(self, note: str = "") -> RenderableType:
        """The lines that stay below: progress, fates, best."""
        summary, left = self.summary, self.left_s()
        row = Table.grid(padding=(0, 1))
        times = f"{_clock(self.clock() - self.started)} gone" + (f", {_clock(left)} left" if left is not None else "")
        row.add_row(
            Text(f"{summary.done}/{summary.trials} trials"),
            ProgressBar(total=1.0, completed=summary.step_share, width=32),
            Text(f"{summary.running} running, {times}" + (f"  {note}" if note else "")),
        )
        return Group(row, summaries.fates_line(summary), summaries.best_line(self.space, summary))


def follow(
    storage: RDBStorage, study: optuna.Study, workers: worker_processes.LocalWorkers, console: Console
) -> tuple[Space, summaries.Summary]:
    """Keep workers running until the budget is met or the person stops it.

    Raises:
        WorkerError: workers keep failing.
        Said: the person stopped it; exit code 130, as shells have it.
    """
    space, study_id = store.space_of(study), store.id_of(storage, study)
    follower, watch = Follower(study, space, console), Reaper(storage.engine)

    def look() -> State:
        return _look(storage, study_id, follower, workers, watch)

    with interruptible() as stop, Live(console=console, refresh_per_second=4, transient=True) as live:
        try:
            state = State.ACTIVE
            while follower.summary.done < space.budget.trials and not stop.asked and state != State.STOPPED:
                workers.start()
                live.update(follower.bar(_note(state, follower)))
                time.sleep(POLL_S)
                state = retry_while_unavailable(look, OUTAGE_S, lambda: stop.asked > 0)
        finally:
            _wind_down(follower, workers, stop, live)
            retry_while_unavailable(watch.reap, PATIENCE_S)
    retry_while_unavailable(follower.update, PATIENCE_S)
    retry_while_unavailable(lambda: study_notes.refresh(storage, study), PATIENCE_S)
    if stop.asked:
        console.print(summaries.render(space, follower.summary))
        console.print("stopped; the same command goes on where this one left off")
        raise Said(130)
    if state == State.STOPPED:
        console.print(summaries.render(space, follower.summary))
        raise StoreError(_STOPPED.format(space.name))
    workers.forget()
    return space, follower.summary


_STOPPED = "study {0!r} was stopped; `sweeps resume` goes on with it"


def _note(state: State, follower: Follower) -> str:
    if state == State.PAUSED:
        return "paused; `sweeps resume` goes on"
    return "" if follower.summary.running else "workers are starting"


def _look(
    storage: RDBStorage, study_id: int, follower: Follower, workers: worker_processes.LocalWorkers, watch: Reaper
) -> State:
    """See what has finished and who has died; a trial that was left behind needs a worker. The study's state."""
    if follower.update():
        workers.deaths = 0
    if workers.died() or not workers.running():
        watch.reap()
        workers.count = max(workers.count, 1)  # while the budget is not met there is something to do
    return queue.state_of_study(storage.engine, study_id)


def _wind_down(follower: Follower, workers: worker_processes.LocalWorkers, stop: Stop, live: Live) -> None:
    """Let workers hand their trials back; a second signal, or too long a wait, ends them now."""
    if stop.asked:
        workers.stop()
    asked, deadline = stop.asked, time.monotonic() + PATIENCE_S
    while workers.running() and stop.asked == asked and time.monotonic() < deadline:
        live.update(follower.bar("stopping: checkpoints are being written; Ctrl-C again to stop now" if asked else ""))
        time.sleep(POLL_S / 5)
    workers.kill()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def stderr_console() -> Console:
    """Talk goes to stderr, results to stdout."""
    return Console(stderr=True)


def stdout_console() -> Console:
    """As wide as the terminal; wide enough for every line where a file or a pipe reads it."""
    return Console(width=None if sys.stdout.isatty() else WIDE)
