"""`sweeps dashboard`: a real process, asked over HTTP; what it is not to do; how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fakes
import pytest
from servers import PASSWORD, PostgreSQL

from sweeps import space_file, store

LIMIT_S = 60.0
Start = Callable[..., "Dashboard"]


class Dashboard:
    """The command as a process of its own, listening at a port that was free."""

    def __init__(self, folder: Path, *words: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sweeps", "dashboard", "--port", "0", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(Path(fakes.__file__).parents[1]), **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()  # empty if it ended

    def get(self, path: str) -> Any:
        """The answer to one request."""
        with urllib.request.urlopen(self.address + path, timeout=LIMIT_S) as answer:
            return json.load(answer) if path.startswith("/api") else answer.read()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code after a signal, and what it said to stderr."""
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, said


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start dashboards; whatever is left of them is killed in the end."""
    started: list[Dashboard] = []

    def begin(*words: str, **environment: str) -> Dashboard:
        started.append(Dashboard(tmp_path, *words, environment=environment))
        return started[-1]

    yield begin
    for each in started:
        each.process.kill()
        each.process.communicate()


def make(storage_url: str) -> None:
    """A store with a study of two trials that died."""
    storage = store.connect(storage_url, create=True)
    overrides = ["budget.trials=2"]
    study = store.create_study(storage, space_file.parse(fakes.TINY, overrides), fakes.TINY, overrides)
    fakes.work(storage, study, fakes.collapsing)
    storage.engine.dispose()


def refused(folder: Path, *words: str) -> str:
    """The one line of a command that cannot do it, and exits with 2."""
    command = [sys.executable, "-m", "sweeps", "dashboard", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_study_and_the_picture_of_a_trial_are_shown(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    it = start()
    assert it.address.startswith("http://127.0.0.1:")
    (study,) = it.get("/api/studies")["study_summaries"]
    assert study["study_name"] == "tiny"
    page = it.get(f"/api/studies/{study['study_id']}")
    assert {attribute["key"] for attribute in page["trials"][0]["user_attrs"]} >= {"fate", "reason"}
    assert b"<html" in it.get("/dashboard")
    assert it.get("/api/meta")["artifact_is_available"]
    picture = page["trials"][0]["artifacts"][0]["artifact_id"]
    trial = page["trials"][0]["trial_id"]
    assert it.get(f"/artifacts/{study['study_id']}/{trial}/{picture}").startswith(b"\x89PNG")
    assert it.end() == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_with_a_client_that_says_nothing(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    it = start()
    with socket.create_connection(("127.0.0.1", int(it.address.split(":")[2].strip("/")))):
        it.get("/api/meta")
        assert it.end(number) == (0, "")


def test_no_password_is_in_the_process_list_and_no_tensorflow_in_the_process(
    start: Start, postgres: PostgreSQL, tmp_path: Path
) -> None:
    url = postgres.database("dashboard")
    make(url)
    it = start(SWEEPS_STORAGE=url, SWEEPS_ARTIFACTS=str(tmp_path / "artifacts"))
    assert len(it.get("/api/studies")["study_summaries"]) == 1
    process = Path(f"/proc/{it.process.pid}")
    assert PASSWORD.encode() not in (process / "cmdline").read_bytes()
    assert "tensorflow" not in (process / "maps").read_text()
    assert (tmp_path / "artifacts").is_dir()


def test_where_others_may_reach_it_it_warns_in_one_line(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    it = start("--host", "0.0.0.0")
    assert it.address.startswith("http://0.0.0.0:")
    code, said = it.end()
    assert code == 0
    assert said.count("\n") == 1
    assert said.endswith("may read and delete studies: no password\n")


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("sweeps: no store at sweeps.db; make one with `sweeps run")


def test_a_port_that_is_taken_and_an_address_that_is_none_say_so(tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert f"cannot listen at 127.0.0.1, port {port} (" in refused(tmp_path, "--port", port)
    assert "say where with --host and --port" in refused(tmp_path, "--host", "192.0.2.1")


def test_a_place_for_artifacts_that_is_none_says_so(tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    assert "ftp:// is no place for files" in refused(tmp_path, "--artifacts", "ftp://there")


def test_pages_of_elsewhere_whose_names_lead_here_are_refused(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    it = start()
    for host in ("localhost", "127.0.0.1:80"):
        request = urllib.request.Request(f"{it.address}/api/studies", headers={"Host": host})
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
    request = urllib.request.Request(f"{it.address}/api/studies", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request)
    refused.value.close()
