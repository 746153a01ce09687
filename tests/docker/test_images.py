"""The images, really built, and run as they are meant to be: as nobody in particular, on a root that is read-only."""

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakes
import pytest
from images import Container, Images
from servers import PASSWORD, PostgreSQL

from sweeps import store
from sweeps.space import file

pytestmark = pytest.mark.tensorflow

USER = 10001
LIMIT_S = 120.0


def until(answer: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """Ask again and again until the answer is true, while the process runs."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := answer()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return found


def kept(folder: Path, storage_url: str) -> dict[str, Path]:
    """The store's URL as a secret, and a place for artifacts: {path inside: path outside}."""
    folder.chmod(0o755)
    secret, artifacts = folder / "storage_url", folder / "artifacts"
    secret.write_text(f"{storage_url}\n")
    secret.chmod(0o444)
    artifacts.mkdir()
    artifacts.chmod(0o777)
    return {"/run/secrets/storage_url": secret, "/artifacts": artifacts}


def test_both_images_work_as_an_ordinary_user_on_a_read_only_root(postgres: PostgreSQL) -> None:
    """One test: the base is made once, and never are two TensorFlows unpacked at a time."""
    url = postgres.database("images")
    with Images() as images:
        mounts = kept(images.folder, url)
        images.base()
        images.build("dashboard")
        images.build("worker")
        told = {"SWEEPS_STORAGE_FILE": "/run/secrets/storage_url", "SWEEPS_ARTIFACTS": "/artifacts"}

        def sweeps(*words: str, image: str = "worker") -> Container:
            return Container(images, image, words, told, mounts)

        check_what_a_worker_is_run_as(images)
        check_a_trial(sweeps, url, mounts["/artifacts"])
        check_the_dashboard(images, sweeps)


def check_what_a_worker_is_run_as(images: Images) -> None:
    assert images.config("worker")["User"] == f"{USER}:{USER}"
    said = Container(images, "worker", ["--version"]).run()
    assert said.startswith("sweeps ")
    root = images.root("worker")
    owned = [path for path in (root / "artifacts", root / "work") if path.stat().st_uid != USER]
    assert not owned, "a new volume is given to the user whom its folder in the image belongs to"
    for left in ("gcc", "make", "git", "cc"):
        assert not list(root.glob(f"usr/bin/{left}*")), left


def check_a_trial(sweeps: Callable[..., Container], url: str, artifacts: Path) -> None:
    """A real one, with TensorFlow; it dies, so that its picture is drawn and kept. Then the pool is told to end."""
    overrides = ["budget.trials=1", "space.activation=sigmoid", "space.learning_rate=0.9", "space.constraint=none"]
    storage = store.connect(url, create=True)
    study = store.create_study(storage, file.parse_space(fakes.TINY, overrides), fakes.TINY, overrides)
    process = sweeps("worker").start()
    try:
        until(lambda: any(trial.state.is_finished() for trial in study.get_trials()), process)
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert "worker finished 1 trial" in said
    (trial,) = study.get_trials()
    assert trial.user_attrs["fate"] != "failed", trial.user_attrs
    (picture,) = [path for path in artifacts.rglob("*") if path.is_file()]
    assert picture.stat().st_uid == USER
    storage.engine.dispose()
    assert json.loads(sweeps("status", "--json").run())["studies"][0]["done"] == 1


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def check_the_dashboard(images: Images, sweeps: Callable[..., Container]) -> None:
    config, root = images.config("dashboard"), images.root("dashboard")
    assert config["User"] == f"{USER}:{USER}"
    assert config["Cmd"] == ["dashboard", "--host", "0.0.0.0"]
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert not list(root.glob("opt/sweeps/lib/python3*/site-packages/tensorflow*")), "it is to be light"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = sweeps("dashboard", "--host", "0.0.0.0", "--port", str(port), image="dashboard").start()
    try:
        until(lambda: _listens(port), process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=LIMIT_S) as answer:
            assert answer.status == 200
            assert b"<html" in answer.read()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/studies", timeout=LIMIT_S) as answer:
            assert [study["study_name"] for study in json.load(answer)["study_summaries"]] == ["tiny"]
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    assert process.returncode == 0, said
    assert PASSWORD not in said
