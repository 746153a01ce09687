"""The supervisor: what it starts again, when it ends, and what it says by its exit code. With real processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.launch.local import supervisor, worker_processes
from sweeps.launch.local.devices import DeviceAssignment
from sweeps.launch.local.supervisor import ManagedWorker, ReceivedSignals, Supervisor
from sweeps.worker.shutdown import SAME_S

PATIENT = """
import signal, sys, time, pathlib
def leave(*_):
    pathlib.Path(sys.argv[1]).open("a").write("handed back\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
pathlib.Path(sys.argv[1]).open("a").write("began\\n")
time.sleep(60)
"""


@pytest.fixture
def crew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Run a program of ours in place of `sweeps worker`; the exit code, and what the workers wrote into a file."""

    def run(program: str, count: int = 1, signals: ReceivedSignals | None = None) -> tuple[int, str]:
        diary = tmp_path / "diary"
        command = [sys.executable, "-c", program, str(diary)]
        monkeypatch.setattr(worker_processes, "make_sweeps_command", lambda _: command)
        workers = [ManagedWorker(number, DeviceAssignment()) for number in range(count)]
        code = Supervisor((), dict(os.environ), workers).run(signals or ReceivedSignals())
        return code, diary.read_text() if diary.exists() else ""

    return run


@pytest.mark.parametrize("code", [0, 1, 2])
def test_workers_that_end_by_themselves_are_not_started_again(crew: Callable[..., tuple[int, str]], code: int) -> None:
    program = f"import sys; open(sys.argv[1], 'a').write('x'); sys.exit({code})"
    assert crew(program, 2) == (code, "xx")


def test_a_worker_that_is_killed_is_started_again(crew: Callable[..., tuple[int, str]]) -> None:
    write = "import os, sys; open(sys.argv[1], 'a').write('x'); "
    program = write + "len(open(sys.argv[1]).read()) > 1 or os.kill(os.getpid(), 9)"
    assert crew(program) == (0, "xx")


def test_the_wait_before_a_worker_is_started_again_doubles_and_begins_anew_once_one_has_lived() -> None:
    def dead(_: DeviceAssignment) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", "import os; os.abort()"], stderr=subprocess.DEVNULL)
        process.wait()
        return process

    worker, now, waits = ManagedWorker(0, DeviceAssignment()), 1000.0, []
    for lived in [0.0] * 12 + [supervisor.LIVED_S + 1]:
        worker.check_worker(dead, now, leaving=False)
        worker.check_worker(dead, now + lived, leaving=False)
        waits.append(worker.next_start - now - lived)
        now = worker.next_start
    assert waits[:4] == [1, 2, 4, 8]
    assert max(waits) == supervisor.LONGEST_WAIT_S
    assert waits[-1] == 1


def test_a_signal_is_passed_on_and_told_by_the_exit_code(crew: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    with supervisor.receive_signals() as signals:
        helper = subprocess.Popen(
            [sys.executable, "-c", _WHEN_BEGUN, str(tmp_path / "diary"), str(os.getpid()), "SIGUSR1", "2"]
        )
        code, diary = crew(PATIENT, 2, signals)
    assert helper.wait() == 0
    assert code == 75
    assert sorted(diary.split("\n")) == ["", "began", "began", "handed back", "handed back"]
    assert signals.name == "SIGUSR1"


def test_the_same_signal_twice_in_a_moment_is_one_request() -> None:
    signals = ReceivedSignals()
    signals.count_signal(signal.SIGTERM, None)
    signals.count_signal(signal.SIGTERM, None)
    assert signals.times == 1
    signals.last -= SAME_S + 0.1
    signals.count_signal(signal.SIGINT, None)
    assert (signals.times, signals.name) == (2, "SIGTERM")


_WHEN_BEGUN = """
import os, signal, sys, time
path, pid, name, count = sys.argv[1:]
for _ in range(600):
    if os.path.exists(path) and open(path).read().count("began") == int(count):
        os.kill(int(pid), getattr(signal, name))
        sys.exit(0)
    time.sleep(0.05)
sys.exit("they never began")
"""


def test_a_worker_that_does_not_leave_is_killed(
    crew: Callable[..., tuple[int, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "SUPERVISOR_S", 0.5)
    deaf = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); "
    deaf += "open(sys.argv[1], 'a').write('began'); time.sleep(60)"
    with supervisor.receive_signals() as signals:
        helper = subprocess.Popen(
            [sys.executable, "-c", _WHEN_BEGUN, str(tmp_path / "diary"), str(os.getpid()), "SIGTERM", "1"]
        )
        started = time.monotonic()
        code, _ = crew(deaf, 1, signals)
    assert helper.wait() == 0
    assert code == 75
    assert time.monotonic() - started < 30
