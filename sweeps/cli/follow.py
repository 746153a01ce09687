"""Follow a study while workers on this machine run it: progress on the terminal, signals, the end of the budget."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

import optuna
import typer
from optuna.storages import RDBStorage
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from sweeps import store
from sweeps.analysis import summary as summaries
from sweeps.errors import StoreError
from sweeps.launch.local.worker_processes import LocalWorkers
from sweeps.notes import study as study_notes
from sweeps.space.space import Space
from sweeps.store import queue
from sweeps.store.reaper import Reaper
from sweeps.store.retry import OUTAGE_S, retry_while_unavailable
from sweeps.store.tables import StudyState
from sweeps.worker.shutdown import SUPERVISOR_S, signals_handled

POLL_S = 0.5
STOPPING_POLL_S = 0.1
PATIENCE_S = 60.0  # for which a store that is away is waited
STOPPED_PATIENCE_S = 3.0  # the same after a signal
NOTICE_S = 5.0  # after which it is said
INTERRUPTED_BY_USER = 130  # the exit code that shells give to a command that Ctrl-C ended
BAR_WIDTH = 32  # columns


def follow_study(
    storage: RDBStorage, study: optuna.Study, workers: LocalWorkers, console: Console
) -> tuple[Space, summaries.Summary]:
    """Keep workers running until the study's budget is met; return its search space and its summary.

    Raises:
        StoreError: the study was stopped by `sweeps stop`.
        WorkerError: workers keep failing.
        typer.Exit: the user stopped the command with a signal.
    """
    space = store.space_of(study)
    study_id = store.id_of(storage, study)
    progress = StudyProgress(study, space, console)
    reaper = Reaper(storage.engine)
    state = StudyState.ACTIVE

    def poll_store() -> StudyState:
        if progress.update():
            workers.deaths = 0
        _replace_lost_workers(workers, reaper)
        return queue.state_of_study(storage.engine, study_id)

    with count_stop_signals() as stop, Live(console=console, refresh_per_second=4, transient=True) as live:
        try:
            while progress.summary.done < space.budget.trials and not stop.count and state != StudyState.STOPPED:
                workers.start_missing()
                live.update(progress.render_bar(_describe_state(state, progress)))
                time.sleep(POLL_S)
                state = _poll_patiently(poll_store, stop, console)
        finally:
            _end_workers(workers, stop, progress=progress, live=live)
            retry_while_unavailable(reaper.reap, stop.patience_s)
    retry_while_unavailable(progress.update, stop.patience_s)
    retry_while_unavailable(lambda: study_notes.refresh_note(storage, study), stop.patience_s)
    if stop.count:
        console.print(summaries.render_summary(space, progress.summary))
        console.print("stopped; the same command goes on where this one left off")
        raise typer.Exit(INTERRUPTED_BY_USER)
    if state == StudyState.STOPPED:
        console.print(summaries.render_summary(space, progress.summary))
        raise StoreError(f"study {space.name!r} was stopped; `sweeps resume` goes on with it")
    workers.remove_logs()
    return space, progress.summary


def _poll_patiently(poll_store: Callable[[], StudyState], stop: "StopRequests", console: Console) -> StudyState:
    """Ask the store how the study stands; where it does not answer, say so, and wait for it.

    Raises:
        OutageError: it was away for too long, or a signal came.
    """
    waits: list[str] = []

    def announce_wait(error: str) -> None:
        waits.append(error)
        console.print(f"the store does not answer ({error}); it is waited for, up to {OUTAGE_S:.0f} s", style="yellow")

    state = retry_while_unavailable(poll_store, OUTAGE_S, lambda: stop.count > 0, announce_wait, NOTICE_S)
    if waits:
        console.print("the store answers again", style="green")
    return state


@dataclass(slots=True)
class StopRequests:
    """A counter of the requests to stop: one means to stop cleanly, two or more to stop now."""

    count: int = 0

    @property
    def patience_s(self) -> float:
        """Return for how long a store that is away is waited for at the end: briefly, where somebody wants to go."""
        if self.count:
            return STOPPED_PATIENCE_S
        return PATIENCE_S

    def count_request(self, _signal: int, _frame: FrameType | None) -> None:
        """Count one more request; a signal handler."""
        self.count += 1


@contextmanager
def count_stop_signals() -> Iterator[StopRequests]:
    """Count SIGINT, SIGTERM and SIGHUP within the block, instead of ending the process."""
    stop = StopRequests()
    with signals_handled(("SIGINT", "SIGTERM", "SIGHUP"), stop.count_request):
        yield stop


@dataclass(slots=True)
class StudyProgress:
    """The progress of a study on a terminal: a line for each finished trial above a bar for the whole study.

    Attributes:
        share_at_start: of the budget's steps, done before this command started; None before the store was read.
        shown: numbers of the finished trials that have had their line.
        summary: as of the last update.
    """

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
        """Read the store and print the trials that have finished since; return how many did."""
        trials = store.read_trials(self.study)
        self.summary = summaries.summarise_trials(self.space, trials)
        if self.share_at_start is None:
            self.share_at_start = self.summary.step_share
        new_trials = [trial for trial in store.finished_trials(trials) if trial.number not in self.shown]
        self.shown |= {trial.number for trial in new_trials}
        if not quiet:
            for trial in new_trials:
                self.console.print(summaries.trial_line(self.space, trial), soft_wrap=True)
        return len(new_trials)

    def remaining_s(self) -> float | None:
        """Return the seconds to the end at the pace so far; None while there is no pace."""
        share_done = self.summary.step_share - (self.share_at_start or 0.0)
        if share_done <= 0:
            return None
        return (self.clock() - self.started) * (1 - self.summary.step_share) / share_done

    def render_bar(self, note: str = "") -> RenderableType:
        """Return the lines that stay at the bottom: progress, fates, best trial."""
        state = f"{self.summary.running} running, {format_seconds(self.clock() - self.started)} gone"
        remaining_s = self.remaining_s()
        if remaining_s is not None:
            state += f", {format_seconds(remaining_s)} left"
        if note:
            state += f"  {note}"
        row = Table.grid(padding=(0, 1))
        row.add_row(
            Text(f"{self.summary.done}/{self.summary.trials} trials"),
            ProgressBar(total=1.0, completed=self.summary.step_share, width=BAR_WIDTH),
            Text(state),
        )
        return Group(row, summaries.fates_line(self.summary), summaries.best_line(self.space, self.summary))


def format_seconds(seconds: float) -> str:
    """Return a duration as M:SS, or as H:MM:SS from one hour on."""
    minutes, remaining_seconds = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{remaining_seconds:02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{remaining_seconds:02d}"


def _describe_state(state: StudyState, progress: StudyProgress) -> str:
    if state == StudyState.PAUSED:
        return "paused; `sweeps resume` goes on"
    if progress.summary.running:
        return ""
    return "workers are starting"


def _replace_lost_workers(workers: LocalWorkers, reaper: Reaper) -> None:
    """Free the trials of workers that died; while the budget is not met, at least one worker is needed."""
    if workers.collect_dead() or not workers.any_running():
        reaper.reap()
        workers.count = max(workers.count, 1)


def _end_workers(workers: LocalWorkers, stop: StopRequests, progress: StudyProgress, live: Live) -> None:
    """Let workers hand their trials back; kill them after a second signal, or after `SUPERVISOR_S`."""
    note = ""
    if stop.count:
        note = "stopping: checkpoints are being written; Ctrl-C again to stop now"
        workers.ask_to_stop()
    count_before = stop.count
    deadline = time.monotonic() + SUPERVISOR_S
    while workers.any_running() and stop.count == count_before and time.monotonic() < deadline:
        live.update(progress.render_bar(note))
        time.sleep(STOPPING_POLL_S)
    workers.kill_all()
