"""`sweeps dashboard`: a real process, asked over HTTP; what it is not to do; how it ends."""

import csv
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import fakes
import pytest
from commands import python_path
from optuna.trial import create_trial
from servers import PASSWORD, PostgreSQL

from sweeps import store
from sweeps.dashboard.application import PerTrialSerializer
from sweeps.space import file
from sweeps.store import notes

pytestmark = pytest.mark.slow

LIMIT_S = 60.0
Start = Callable[..., "Dashboard"]


class Dashboard:
    """The command as a process of its own, listening at a port that was free."""

    def __init__(self, folder: Path, *arguments: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sweeps", "dashboard", "--port", "0", *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": python_path(Path(fakes.__file__).parents[1]), **environment},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        self.shown = self.process.stdout.readline().strip()  # empty if it ended
        self.address, _, token = self.shown.partition("?token=")
        self.headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        """The answer to one request."""
        request = urllib.request.Request(self.address + path, headers=self.headers)
        with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
            return json.load(answer) if path.startswith("/api") else answer.read()

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code after a signal, and what it said to stderr."""
        self.process.send_signal(number)
        _, stderr = self.process.communicate(timeout=LIMIT_S)
        return self.process.returncode, stderr


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start dashboards; whatever is left of them is killed in the end."""
    started: list[Dashboard] = []

    def begin(*arguments: str, **environment: str) -> Dashboard:
        started.append(Dashboard(tmp_path, *arguments, environment=environment))
        return started[-1]

    yield begin
    for dashboard in started:
        dashboard.process.kill()
        dashboard.process.communicate()


def make(storage_url: str, name: str = "tiny") -> None:
    """A store with a study of two trials that died."""
    storage = store.connect(storage_url, create=True)
    overrides = ["budget.trials=2", f"study.name={name}"]
    study = store.create_study(storage, file.parse_space(fakes.TINY, overrides), fakes.TINY, overrides)
    fakes.work(storage, study, fakes.collapsing)
    storage.engine.dispose()


def refused(folder: Path, *arguments: str) -> str:
    """The one line of a command that cannot do it, and exits with 2."""
    command = [sys.executable, "-m", "sweeps", "dashboard", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT_S)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


def test_a_study_and_the_picture_of_a_trial_are_shown(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    assert dashboard.address.startswith("http://127.0.0.1:")
    (study,) = dashboard.get("/api/studies")["study_summaries"]
    assert study["study_name"] == "tiny"
    page = dashboard.get(f"/api/studies/{study['study_id']}")
    assert [attribute["key"] for attribute in page["trials"][0]["user_attrs"]][:2] == ["fate", "reason"]
    assert b"<html" in dashboard.get("/dashboard")
    assert dashboard.get("/api/meta")["artifact_is_available"]
    picture = page["trials"][0]["artifacts"][0]["artifact_id"]
    trial = page["trials"][0]["trial_id"]
    assert dashboard.get(f"/artifacts/{study['study_id']}/{trial}/{picture}").startswith(b"\x89PNG")
    assert dashboard.end() == (0, "")


def test_a_picture_whose_file_is_not_there_is_not_found_and_no_traceback(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start("--artifacts", str(tmp_path / "elsewhere"))
    trial = dashboard.get("/api/studies/1")["trials"][0]
    with pytest.raises(urllib.error.HTTPError, match="404") as missing:
        dashboard.get(f"/artifacts/1/{trial['trial_id']}/{trial['artifacts'][0]['artifact_id']}")
    assert b"--artifacts" in missing.value.read()
    missing.value.close()
    assert dashboard.end() == (0, "")


def test_long_attributes_are_cut_on_pages_and_whole_in_the_file(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    trial = dashboard.get("/api/studies/1")["trials"][1]
    shown = {attribute["key"]: attribute["value"] for attribute in trial["user_attrs"]}
    assert max(len(f"{name}{value}") for name, value in shown.items()) <= 80
    rows = list(csv.DictReader(dashboard.get("csv/1").decode().splitlines()))
    config = json.loads(rows[1]["UserAttribute config"])
    assert config["activation"] == next(parameter["param_external_value"] for parameter in trial["params"])
    assert rows[1]["UserAttribute reason"].startswith(shown["reason"].replace("\u00a0", " ").removesuffix("…"))


def test_notes_of_studies_are_written_and_one_that_cannot_be_read_is_left(start: Start, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sweeps.db"
    for name in ("broken", "tiny"):
        make(url, name)
    storage = store.connect(url)
    for number in (1, 2):
        notes.store_study_note(storage.engine, number, "### As of 1 of 2 trials", finished=1)
    store.load_study(storage, "broken").set_user_attr("space", "of another version")
    storage.engine.dispose()
    dashboard = start()
    deadline = time.monotonic() + LIMIT_S
    while "### As of 2 of 2 trials" not in dashboard.get("/api/studies/2")["note"]["body"]:
        assert time.monotonic() < deadline
    assert "### As of 1 of 2 trials" in dashboard.get("/api/studies/1")["note"]["body"]
    assert dashboard.end() == (0, "")


def test_pages_that_change_something_get_the_json_that_they_read(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    note = dashboard.get("/api/studies/1")["note"]
    body = json.dumps({"version": note["version"] + 1, "body": "Mine."}).encode()
    request = urllib.request.Request(
        f"{dashboard.address}api/studies/1/note",
        body,
        {"Content-Type": "application/json", **dashboard.headers},
        method="PUT",
    )
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        assert (answer.status, json.load(answer)) == (200, {})
    assert dashboard.get("/api/studies/1")["note"] == {"version": note["version"] + 1, "body": "Mine."}


def test_a_trial_is_shown_with_its_own_notes_and_artifacts_as_the_dashboard_finds_them() -> None:
    from optuna_dashboard._serializer import serialize_frozen_trial

    attributes: dict[str, Any] = {}
    for trial_id in (None, 1, 11, 111):
        attributes |= notes.changed_attributes({}, trial_id, f"of {trial_id} " * 900)
    for trial_id in (1, 11):
        meta = {"artifact_id": f"a{trial_id}", "filename": "x.png", "mimetype": "image/png", "encoding": None}
        attributes[f"dashboard:artifacts:{trial_id}:a{trial_id}"] = json.dumps(meta)
    quick = PerTrialSerializer(serialize_frozen_trial)
    for number, trial_id in enumerate((1, 2, 11, 111)):
        trial = create_trial(value=1.0)
        trial.number, trial._trial_id = number, trial_id
        assert quick(1, trial, attributes) == serialize_frozen_trial(1, trial, attributes)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_with_a_client_that_says_nothing(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    with socket.create_connection(("127.0.0.1", int(dashboard.address.split(":")[2].strip("/")))):
        dashboard.get("/api/meta")
        assert dashboard.end(number) == (0, "")


def test_no_password_is_in_the_process_list_and_no_tensorflow_in_the_process(
    start: Start, postgres: PostgreSQL, tmp_path: Path
) -> None:
    url = postgres.database("dashboard")
    make(url)
    dashboard = start(SWEEPS_STORAGE=url, SWEEPS_ARTIFACTS=str(tmp_path / "artifacts"))
    assert len(dashboard.get("/api/studies")["study_summaries"]) == 1
    process = Path(f"/proc/{dashboard.process.pid}")
    assert PASSWORD.encode() not in (process / "cmdline").read_bytes()
    assert "tensorflow" not in (process / "maps").read_text()
    assert (tmp_path / "artifacts").is_dir()


def test_where_others_may_reach_it_it_warns_in_one_line(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start("--host", "0.0.0.0")
    assert dashboard.address.startswith("http://0.0.0.0:")
    code, stderr = dashboard.end()
    assert code == 0
    assert stderr.count("\n") == 1
    port = dashboard.address.rstrip("/").rsplit(":")[-1]
    assert f"WARNING: no authentication: anyone who can reach 0.0.0.0:{port} can read and delete studies" in stderr
    assert f"`ssh -L 8080:127.0.0.1:{port} {socket.gethostname()}`" in stderr
    assert (Path(__file__).parents[2] / "docker" / "compose.yaml").exists()
    assert "docker/compose.yaml, whose proxy asks for a password" in stderr


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    assert refused(tmp_path).startswith("sweeps: no store at sweeps.db; make one with `sweeps run")


def test_a_port_that_is_taken_and_an_address_that_is_none_say_so(tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    with socket.create_server(("127.0.0.1", 0)) as occupied:
        port = str(occupied.getsockname()[1])
        assert f"cannot listen at 127.0.0.1, port {port} (" in refused(tmp_path, "--port", port)
    assert "say where with --host and --port" in refused(tmp_path, "--host", "192.0.2.1")


def test_it_listens_on_ipv6_and_names_its_address_as_browsers_want_it(start: Start, tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("there is no IPv6 on this machine")
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start("--host", "::1")
    assert dashboard.address.startswith("http://[::1]:")
    assert len(dashboard.get("/api/studies")["study_summaries"]) == 1
    assert dashboard.end() == (0, "")


def test_a_request_that_is_too_long_is_refused_before_it_is_read(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    connection = http.client.HTTPConnection("127.0.0.1", int(dashboard.address.rstrip("/").rsplit(":")[-1]))
    connection.putrequest("PUT", "/api/studies/1/note")
    connection.putheader("Content-Length", str(2**30))
    connection.putheader("Authorization", dashboard.headers["Authorization"])
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()
    assert dashboard.end() == (0, "")


def test_a_place_for_artifacts_that_is_none_says_so(tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    assert "ftp:// is no place for files" in refused(tmp_path, "--artifacts", "ftp://there")


def test_pages_of_elsewhere_whose_names_lead_here_are_refused(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    for host in ("localhost", "127.0.0.1:80"):
        request = urllib.request.Request(
            f"{dashboard.address}/api/studies", headers={"Host": host, **dashboard.headers}
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
    foreign = {"Host": "evil.example", **dashboard.headers}
    request = urllib.request.Request(f"{dashboard.address}/api/studies", headers=foreign)
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        urllib.request.urlopen(request)
    refused.value.close()


def test_other_users_of_the_machine_are_kept_out(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    tries: list[dict[str, str]] = [{}, {"Authorization": "Bearer guessed"}, {"Cookie": "sweeps-1=x; ="}]
    for headers in tries:
        for path in ("", "api/studies", "?token=guessed", "static/favicon.ico"):
            request = urllib.request.Request(dashboard.address + path, headers=headers)
            with pytest.raises(urllib.error.HTTPError, match="403") as refused:
                urllib.request.urlopen(request, timeout=LIMIT_S)
            refused.value.close()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with browser.open(dashboard.shown, timeout=LIMIT_S) as answer:
        assert b"<html" in answer.read()
        assert "token" not in answer.url, "it stays in no history and no address that is passed on"
    with browser.open(f"{dashboard.address}api/studies", timeout=LIMIT_S) as answer:
        assert len(json.load(answer)["study_summaries"]) == 1
    token = dashboard.headers["Authorization"].removeprefix("Bearer ")
    away = http.client.HTTPConnection("127.0.0.1", int(dashboard.address.rstrip("/").rsplit(":")[-1]))
    away.request("GET", f"//evil.example/x?token={token}&a=b")
    answered = away.getresponse()
    assert (answered.status, answered.getheader("Location")) == (303, "/evil.example/x?a=b")
    away.close()
    assert dashboard.end() == (0, "")


def test_a_token_of_one_s_own_stays_the_same(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    assert start(SWEEPS_DASHBOARD_TOKEN="a b&c").shown.endswith("/?token=a+b%26c")


def test_clients_whose_requests_trickle_in_keep_nobody_waiting(start: Start, tmp_path: Path) -> None:
    make(f"sqlite:///{tmp_path}/sweeps.db")
    dashboard = start()
    port = int(dashboard.address.rstrip("/").rsplit(":")[-1])
    head = (
        f"PUT /api/studies/1/note HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 100000\r\n"
        f"Authorization: {dashboard.headers['Authorization']}\r\n\r\n"
    )
    with ExitStack() as clients:
        slow = [clients.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(12)]
        for client in slow:
            client.sendall(head.encode() + b"{")
        for _ in range(5):
            assert len(dashboard.get("/api/studies")["study_summaries"]) == 1
            for client in slow:
                client.sendall(b" ")
    assert dashboard.end() == (0, "")
