"""A store on a disk that is full, or that can only be read: what workers and commands do, and what is left."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import fakes
import pytest
from chaos_worker import Plan
from commands import run_sweeps
from crew import Crew, ends, make, undisturbed, until
from servers import absent

from sweeps import store

pytestmark = [pytest.mark.slow, pytest.mark.server, pytest.mark.skipif(sys.platform != "linux", reason="mounts tmpfs")]

TRIALS = "budget.trials=3"
PATIENT = Plan(outage_s=60.0, look_s=0.05)


class Disk:
    """A small file system of its own in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", path], capture_output=True, text=True, check=False
        )
        if done.returncode:
            absent(f"no file system can be mounted here: {done.stderr.strip()}")

    def fill(self) -> None:
        """Leave no byte free."""
        file = os.open(self.path / "fill", os.O_WRONLY | os.O_CREAT)
        with suppress(OSError):
            while True:
                os.write(file, b"x" * 1024)
        os.close(file)

    def make_room(self) -> None:
        (self.path / "fill").unlink()

    def remount(self, how: str) -> None:
        """Mount it anew, `ro` or `rw`."""
        subprocess.run(["mount", "-o", f"remount,{how}", self.path], check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    mounted = Disk(tmp_path / "disk")
    yield mounted
    mounted.unmount()


def run(url: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command on the store, in the disk's folder."""
    return run_sweeps(*words, environment={**os.environ, "SWEEPS_STORAGE": url})


def test_a_worker_waits_for_room_and_others_may_look_on(disk: Disk, tmp_path: Path) -> None:
    view = make(f"sqlite:///{disk.path}/store.db", TRIALS)
    with Crew(view.url, tmp_path / "crew", PATIENT) as crew:
        worker = crew.start()
        worker.await_traces(4)
        disk.fill()
        until(lambda: "disk is full" in worker.log(), what="word of the full disk")
        status = run(view.url, "status")
        assert (status.returncode, status.stderr) == (0, "")
        for words in (("pause", "tiny"), ("stop", "tiny")):
            refused = run(view.url, *words)
            assert refused.returncode == 75
            assert refused.stderr.count("\n") == 1
            assert "no space" in refused.stderr
        assert worker.runs
        disk.make_room()
        assert worker.ended() == 0, worker.log()
        assert "answers again" in worker.log()
    assert ends(view) == undisturbed(tmp_path, TRIALS)
    left = [path.name for path in disk.path.rglob("*") if path.is_file()]
    assert not [name for name in left if name.startswith(".") or "partial" in name], "nothing half-written is left"


@pytest.mark.parametrize("state", ["full", "read-only"])
def test_nobody_opens_a_store_where_no_room_is_left_for_it(disk: Disk, state: str) -> None:
    view = make(f"sqlite:///{disk.path}/store.db", TRIALS)
    assert not (disk.path / "store.db-shm").exists(), "SQLite would make it anew"
    if state == "full":
        disk.fill()
    else:
        disk.remount("ro")
    for words in (("status",), ("pause", "tiny"), ("autopsy", "tiny", "0")):
        refused = run(view.url, *words)
        assert refused.returncode == 2, refused.stderr
        assert refused.stderr.count("\n") == 1
        assert ("no space is left" if state == "full" else "read-only") in refused.stderr
    if state == "full":
        disk.make_room()
    else:
        disk.remount("rw")
    assert run(view.url, "status").returncode == 0


def test_a_worker_that_starts_on_a_full_disk_is_to_try_again(disk: Disk) -> None:
    view = make(f"sqlite:///{disk.path}/store.db", TRIALS)
    storage = store.connect(view.url)  # whose files stay, so that it can be read
    disk.fill()
    command = [sys.executable, "-m", "sweeps", "worker", "tiny", "--storage", view.url]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert refused.returncode == 75, refused.stderr
    assert "no space" in refused.stderr
    assert "Traceback" not in refused.stderr
    storage.engine.dispose()


def test_a_trial_is_explained_although_its_note_cannot_be_written(disk: Disk) -> None:
    view = make(f"sqlite:///{disk.path}/store.db", "budget.trials=1")
    storage = store.connect(view.url)
    fakes.work(storage, store.load_study(storage, "tiny"), fakes.chancing)
    with view.engine.begin() as db:
        db.exec_driver_sql("DELETE FROM study_system_attributes WHERE key LIKE 'dashboard:%:note%'")
    # The files beside the store stay while it is open, but without a byte that could be written over.
    storage.engine.connect().exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    disk.fill()
    shown = run(view.url, "autopsy", "tiny", "0")
    assert "autopsy: " in shown.stdout
    assert shown.returncode == 75
    assert shown.stderr.count("\n") == 1
    assert "no space" in shown.stderr
