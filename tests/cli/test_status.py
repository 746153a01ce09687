"""`sweeps status`: workers are shown as they are, and it is watched until nothing is left to do."""

import io
import json
from pathlib import Path
from typing import Any

import fakes
import pytest
from commands import run_sweeps
from rich.console import Console
from sqlalchemy import text, update

from sweeps import store
from sweeps.cli import status
from sweeps.errors import StoreError
from sweeps.space import file
from sweeps.store import leases, queue
from sweeps.store.batches import Batch
from sweeps.store.leases import Beat
from sweeps.store.processes import Process
from sweeps.store.tables import StudyState, WorkerRow
from sweeps.store.workers import Condition, WorkerSeen


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    """A store with a study, and three workers: one trains, one idles, one has been silent for long."""
    opened = store.connect(f"sqlite:///{tmp_path}/sweeps.db", create=True)
    store.create_study(opened, file.parse_space(fakes.TINY), fakes.TINY, [])
    training, _, silent = (
        leases.register_worker(opened.engine, Process(f"node{number}", "elsewhere", 10 + number, 1.0), "GPU:0", "0.1")
        for number in range(3)
    )
    claim = leases.claim_trial(opened.engine, training, 1, 4)
    assert claim is not None
    leases.send_beat(opened.engine, training, Beat(claim, 120, 34.567), Batch())
    with opened.engine.begin() as db:
        db.execute(update(WorkerRow).where(WorkerRow.worker_id == silent).values(seen=WorkerRow.seen - 200))
    yield opened
    opened.engine.dispose()


def shown(renderable: Any) -> str:
    console = Console(file=io.StringIO(), width=160)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_workers_are_shown_with_what_they_train_and_the_silent_as_lost(storage: Any) -> None:
    lines = shown(status.render_status(status.read_status(storage, None))).splitlines()
    assert "workers: 1 training, 1 idle, 1 lost" in "\n".join(lines)
    rows = [[word.strip() for word in line.strip("│ ").split("│")] for line in lines if line.startswith("│ node")]
    assert rows[0][:7] == ["node0", "10", "GPU:0", "training", "tiny 0", "120", "34.6"]
    assert rows[1][:4] == ["node1", "11", "GPU:0", "idle"]
    assert rows[2][3] == "lost"
    assert rows[2][-1] in ("200 s", "201 s")


def test_machines_get_the_same(storage: Any, tmp_path: Path) -> None:
    every = json.loads(run_sweeps("status", "--json", cwd=tmp_path).stdout)
    assert [worker["condition"] for worker in every["workers"]] == ["training", "idle", "lost"]
    (study,) = every["studies"]
    assert (study["state"], study["priority"], study["running"]) == ("active", 0, 1)
    tiny = json.loads(run_sweeps("status", "--json", "tiny", cwd=tmp_path).stdout)
    assert [worker["host"] for worker in tiny["workers"]] == ["node0"]


def test_what_started_a_worker_is_shown_where_any_says_so(storage: Any, tmp_path: Path) -> None:
    assert "job" not in shown(status.render_status(status.read_status(storage, None)))
    leases.register_worker(storage.engine, Process("node9", "elsewhere", 19, 1.0), "", "0.1", "local tiny")
    current = status.read_status(storage, None)
    lines = shown(status.render_status(current)).splitlines()
    assert next(line for line in lines if "node9" in line).rstrip(" │").endswith("local tiny")
    assert [worker["job"] for worker in current.to_dict(None)["workers"]] == ["", "", "", "local tiny"]


def test_a_paused_study_says_so_and_how_many_trials_wait(storage: Any) -> None:
    claim = leases.claim_trial(storage.engine, 1, 1, 4)
    assert claim is not None
    leases.hand_back(storage.engine, 1, claim, Batch())
    queue.set_state(storage.engine, 1, StudyState.PAUSED)
    text = shown(status.render_status(status.read_status(storage, "tiny")))
    assert "tiny is paused" in text
    assert "tiny: 0 of 4 trials, 1 waiting for a worker" in text


def test_it_is_watched_until_nothing_is_left_to_do(storage: Any) -> None:
    seen: list[int] = []

    def wait(_: float) -> None:
        seen.append(status.read_status(storage, "tiny").studies[0].summary.done)
        if len(seen) == 2:
            leases.retire_worker(storage.engine, 1)
            fakes.work(storage, store.load_study(storage, "tiny"), fakes.learning)

    console = Console(file=io.StringIO(), width=160)
    status.watch_status(storage, "tiny", console, wait)
    assert seen == [0, 0]
    assert "tiny: 4 of 4 trials" in console.file.getvalue()  # type: ignore[attr-defined]


def test_what_is_watched_begins_with_the_workers_and_leaves_room_for_the_studies(storage: Any) -> None:
    for number in range(60):
        leases.register_worker(storage.engine, Process(f"more{number}", "elsewhere", 1, 1.0), "", "0.1")
    console = Console(file=io.StringIO(), width=160, height=30, force_terminal=True)

    def wait(_: float) -> None:
        queue.set_state(storage.engine, 1, StudyState.STOPPED)

    status.watch_status(storage, "tiny", console, wait)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    first = text[: text.index("tiny: 0 of 4 trials")]
    assert "node0" in first
    assert first.count("\n") == 30 // 2


def test_a_store_that_refuses_while_it_is_watched_is_one_line(storage: Any) -> None:
    def wait(_: float) -> None:
        with storage.engine.begin() as db:
            db.execute(text("DROP TABLE sweeps_workers"))

    with pytest.raises(StoreError, match="the store refuses: no such table") as caught:
        status.watch_status(storage, None, Console(file=io.StringIO()), wait)
    assert "\n" not in str(caught.value)


def test_many_workers_are_cut_to_a_screen(storage: Any) -> None:
    for number in range(60):
        leases.register_worker(storage.engine, Process(f"more{number}", "elsewhere", 1, 1.0), "", "0.1")
    text = shown(status.render_status(status.read_status(storage, None)))
    assert "and 23 more; --json has all" in text


@pytest.mark.parametrize("name", ["[/x]", "[relu]", "a[/selu]b"])
def test_the_table_of_workers_shows_any_name_of_a_study(name: str) -> None:
    worker = WorkerSeen(
        host="[bold]host",
        pid=1,
        gpu="[/]",
        version="1",
        job="[job]",
        condition=Condition.TRAINING,
        study=name,
        trial=3,
        step=1,
        steps_per_s=2.0,
        silent_s=1.0,
        age_s=9.0,
    )
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(status.render_workers_table([worker]))
    shown = console.export_text()
    assert f"{name} 3" in shown
    assert "[bold]host" in shown
