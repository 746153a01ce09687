"""Workers on this machine: what replaces whom, and that no password shows."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from sweeps.errors import WorkerError
from sweeps.launch.local import worker_processes

PASSWORD = "correct-horse"


def workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, count: int = 2
) -> worker_processes.LocalWorkers:
    """Workers that run a program of ours in place of `sweeps worker`."""
    monkeypatch.setattr(
        worker_processes, "make_sweeps_command", lambda arguments: [sys.executable, "-c", program, *arguments]
    )
    return worker_processes.LocalWorkers("study", f"postgresql://me:{PASSWORD}@host/db", count, logs=tmp_path)


def wait(pool: worker_processes.LocalWorkers) -> None:
    for process in pool.processes:
        process.wait(30)


def test_the_password_is_in_no_process_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = workers(tmp_path, monkeypatch, "import time; time.sleep(60)", 1)
    pool.start_missing()
    try:
        listed = subprocess.run(["ps", "-A", "-o", "args"], capture_output=True, text=True, check=True).stdout
        environment = Path(f"/proc/{pool.processes[0].pid}/environ")
        deadline = time.monotonic() + 10
        while PASSWORD.encode() not in environment.read_bytes() and time.monotonic() < deadline:
            time.sleep(0.05)  # between fork and exec it is still ours
    finally:
        pool.kill_all()
        wait(pool)
    assert "time.sleep(60)" in listed
    assert PASSWORD not in listed


def test_those_that_ended_well_are_not_replaced_and_those_killed_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = workers(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 9)")
    pool.start_missing()
    wait(pool)
    assert pool.collect_dead() == 2
    assert pool.count == 2
    pool = workers(tmp_path, monkeypatch, "")
    pool.start_missing()
    wait(pool)
    assert pool.collect_dead() == 0
    assert pool.count == 0
    assert not pool.any_running()


def test_workers_that_keep_failing_end_the_sweep_with_their_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = workers(tmp_path, monkeypatch, "import sys; print('no such disk'); sys.exit(1)", 1)
    pool.start_missing()
    wait(pool)
    with pytest.raises(WorkerError, match=f"no such disk.*{tmp_path}"):
        pool.collect_dead()


def test_a_store_that_a_file_names_stays_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "storage"
    secret.write_text("postgresql://me:correct-horse@host/db\n")
    monkeypatch.setenv("SWEEPS_STORAGE_FILE", str(secret))
    environment = worker_processes.worker_environment("postgresql://me:correct-horse@host/db", "s3://bucket")
    assert environment["SWEEPS_STORAGE_FILE"] == str(secret)
    assert environment["SWEEPS_ARTIFACTS"] == "s3://bucket"
    assert not [value for value in environment.values() if PASSWORD in value]
    sqlite = worker_processes.worker_environment("sqlite:///sweeps.db", None)
    assert sqlite["SWEEPS_STORAGE"] == "sqlite:///sweeps.db"
    assert "SWEEPS_STORAGE_FILE" not in sqlite
