"""`sweeps launch local` as a person uses it: in the foreground and in the background, killed, cancelled."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import fakes
import pytest
from commands import run_sweeps
from optuna.trial import TrialState

from sweeps import store
from sweeps.errors import InputError, SweepsError
from sweeps.launch.local import background

pytestmark = pytest.mark.slow


@pytest.fixture
def sweeps(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Run the command in a folder; whatever it left running is ended."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "run"), "XDG_RUNTIME_DIR": "/nowhere", **fakes.NAPS}
    (tmp_path / "run").mkdir()

    def run(*arguments: str, code: int = 0) -> str:
        done = run_sweeps(*arguments, cwd=tmp_path, environment=environment)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    yield run
    for lock in (tmp_path / "run").glob("*/*"):
        subprocess.run(["pkill", "-KILL", "-P", lock.suffix[1:]], check=False)
        subprocess.run(["kill", "-KILL", lock.suffix[1:]], check=False)


def create(folder: Path, trials: int, steps: int) -> None:
    """A study of trials that nap for so many steps."""
    overrides = ['study.name="tiny"', f"budget.trials={trials}", f"budget.steps={steps}"]
    fakes.create(f"sqlite:///{folder}/sweeps.db", fakes.NAPPING, overrides)


def states(folder: Path) -> list[TrialState]:
    storage = store.connect(f"sqlite:///{folder}/sweeps.db")
    states = [trial.state for trial in store.load_study(storage, "tiny").trials]
    storage.engine.dispose()
    return states


def wait(condition: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)


def log(folder: Path) -> str:
    return "".join(path.read_text() for path in (folder / "sweeps-logs").glob("*.log"))


def test_a_killed_worker_is_started_again_and_the_budget_met(sweeps: Callable[..., str], tmp_path: Path) -> None:
    create(tmp_path, 2, steps=20)
    output = sweeps("launch", "local", "tiny", "--workers", "1", "--detach")
    assert "--cancel" in output
    wait(lambda: TrialState.RUNNING in states(tmp_path))
    os.kill(int(re.findall(r"is process (\d+)", log(tmp_path))[0]), signal.SIGKILL)
    wait(lambda: not list((tmp_path / "run").glob("*/*")))
    assert states(tmp_path) == [TrialState.COMPLETE] * 2
    assert "was ended by SIGKILL; another in 1 s" in log(tmp_path)


def test_cancel_hands_the_trials_back(sweeps: Callable[..., str], tmp_path: Path) -> None:
    create(tmp_path, 50, steps=600)
    sweeps("launch", "local", "--pool", "--workers", "2", "--detach")
    wait(lambda: states(tmp_path).count(TrialState.RUNNING) == 2)
    shown = sweeps("status")
    assert len(re.findall(r"local sweeps-pool-\w{10}", shown)) == 2
    assert "no supervisor of sweeps-tiny-" in sweeps("launch", "local", "tiny", "--cancel", code=2)
    assert "ended 1 supervisor" in sweeps("launch", "local", "--pool", "--cancel")
    assert set(states(tmp_path)) <= {TrialState.COMPLETE, TrialState.WAITING}
    assert "handed back" in log(tmp_path)


def test_what_cannot_be_launched_is_one_line(sweeps: Callable[..., str], tmp_path: Path) -> None:
    assert "name the studies" in sweeps("launch", "local", code=2)
    assert "name the studies" in sweeps("launch", "local", "tiny", "--pool", code=2)
    assert "no store at sweeps.db" in sweeps("launch", "local", "tiny", "--detach", code=2)
    assert "no store at sweeps.db" in sweeps("launch", "local", "tiny", "--workers", "1", code=2)
    assert "--workers is missing" in sweeps("launch", "slurm", "tiny", code=2)


def test_supervisors_are_found_while_they_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with background.register_supervisor("sweeps-a"):
        assert background.running_supervisors("sweeps-a") == [os.getpid()]
        assert background.running_supervisors("sweeps-b") == []
    assert background.running_supervisors("sweeps-a") == []
    (background.supervisor_folder() / "sweeps-a.1").touch()  # as one that was killed leaves it
    assert background.running_supervisors("sweeps-a") == []
    with pytest.raises(InputError, match="no supervisor of sweeps-a"):
        background.cancel_supervisors("sweeps-a")


def test_somebody_elses_folder_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / f"sweeps-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(SweepsError, match="belongs to somebody else"):
        background.supervisor_folder()
    with background.register_supervisor("sweeps-a"):
        pass
    assert "belongs to somebody else" in caplog.messages[0]


def test_workers_of_a_killed_supervisor_hand_their_trials_back(sweeps: Callable[..., str], tmp_path: Path) -> None:
    create(tmp_path, 50, steps=600)
    sweeps("launch", "local", "tiny", "--workers", "1", "--detach")
    wait(lambda: TrialState.RUNNING in states(tmp_path))
    (lock,) = (tmp_path / "run").glob("*/*")
    os.kill(int(lock.suffix[1:]), signal.SIGKILL)
    wait(lambda: TrialState.RUNNING not in states(tmp_path))
    assert "handed back" in log(tmp_path)
    assert "no supervisor of sweeps-tiny-" in sweeps("launch", "local", "tiny", "--cancel", code=2)


def test_a_worker_that_is_told_to_end_is_started_again(sweeps: Callable[..., str], tmp_path: Path) -> None:
    create(tmp_path, 2, steps=20)
    sweeps("launch", "local", "tiny", "--workers", "1", "--detach")
    wait(lambda: TrialState.RUNNING in states(tmp_path))
    os.kill(int(re.findall(r"is process (\d+)", log(tmp_path))[0]), signal.SIGTERM)
    wait(lambda: not list((tmp_path / "run").glob("*/*")))
    assert states(tmp_path) == [TrialState.COMPLETE] * 2
    assert "ended with exit code 75; another in 1 s" in log(tmp_path)
