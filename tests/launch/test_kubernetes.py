"""Jobs on Kubernetes: the official client against a stand-in for a cluster's API, and the command as people type it."""

import base64
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from kubernetes_api import Cluster, serving, write_kubeconfig
from typer.testing import CliRunner, Result

from sweeps import store
from sweeps.cli import launch_kubernetes
from sweeps.errors import InputError, StoreError, SweepsError
from sweeps.launch.kubernetes import client

PASSWORD = "correct-horse"
URL = f"postgresql+psycopg://me:{PASSWORD}@db.invalid/sweeps"
LAUNCH = ["--workers", "3", "--gpus-per-worker", ".5", "--image", "sweeps:1", "--artifacts", "s3://bucket/x"]
JOB = "/apis/batch/v1/namespaces/research/jobs"


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that the kubeconfig here leads to, and a store that only pods can reach."""
    cluster = Cluster()
    monkeypatch.setenv("SWEEPS_STORAGE", URL)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    monkeypatch.setattr(client, "POLL_S", 0.01)
    with serving(cluster) as url:
        write_kubeconfig(tmp_path / "config", url)
        yield cluster


def typed(*arguments: str) -> Result:
    """The command, as it is typed; what it says never has the password."""
    app = typer.Typer()
    app.command()(launch_kubernetes.kubernetes)
    done = CliRunner().invoke(app, [str(word) for word in arguments])
    shown = done.output + str(done.exception)
    assert PASSWORD not in shown
    assert base64.b64encode(URL.encode()).decode() not in shown
    return done


def refused(*arguments: str) -> str:
    """What the command says when it ends with an error of ours: one line."""
    done = typed(*arguments)
    assert isinstance(done.exception, SweepsError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_a_launch_makes_a_job_and_a_secret_that_goes_with_it(cluster: Cluster) -> None:
    done = typed("tiny", *LAUNCH)
    assert done.exit_code == 0, done.exception
    (name,) = cluster.names("jobs")
    assert done.stdout == f"job {name} in namespace research: 2 pods, 3 workers\n"
    assert cluster.names("secrets") == [name]
    job, secret = cluster.held["jobs", "research", name], cluster.held["secrets", "research", name]
    assert base64.b64decode(secret["data"]["url"]).decode() == URL
    assert secret["metadata"]["ownerReferences"] == [
        {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": job["metadata"]["uid"]}
    ]
    printed = yaml.safe_load(typed("tiny", *LAUNCH, "--dry-run").stdout)
    assert printed["spec"] == job["spec"]


def test_the_password_travels_in_the_body_of_the_secret_alone(cluster: Cluster) -> None:
    typed("tiny", *LAUNCH)
    hidden = (PASSWORD, base64.b64encode(URL.encode()).decode())
    having = [path for _, path, _, body in cluster.asked if any(secret in path + body for secret in hidden)]
    assert having == ["/api/v1/namespaces/research/secrets"]


def test_a_secret_that_is_there_already_is_taken_as_it_is(cluster: Cluster) -> None:
    assert typed("tiny", *LAUNCH, "--secret", "ours").exit_code == 0
    assert cluster.names("secrets") == []
    assert [path for _, path, _, _ in cluster.asked] == [JOB]


def test_a_secret_made_by_hand_is_put_right(cluster: Cluster) -> None:
    typed("tiny", *LAUNCH)
    (name,) = cluster.names("jobs")
    secret = cluster.held["secrets", "research", name]
    del cluster.held["jobs", "research", name]
    cluster.held["secrets", "research", name] = {"metadata": {"name": name}, "data": {"url": ""}}
    assert typed("tiny", *LAUNCH).exit_code == 0
    assert cluster.held["secrets", "research", name]["data"] == secret["data"]


def test_the_namespace_is_that_of_the_context_unless_said(cluster: Cluster) -> None:
    assert "namespace default" in typed("tiny", *LAUNCH, "--context", "bare").stdout
    assert "namespace mine" in typed("tiny", *LAUNCH, "--context", "bare", "--namespace", "mine").stdout
    assert len(cluster.names("jobs", "default")) == len(cluster.names("jobs", "mine")) == 1


def test_what_is_there_already_is_left_alone(cluster: Cluster) -> None:
    typed("tiny", *LAUNCH)
    before = repr(cluster.held)
    assert "is there already in namespace research" in refused("tiny", *LAUNCH)
    assert repr(cluster.held) == before


@pytest.mark.parametrize("kind", ["jobs", "secrets"])
@pytest.mark.parametrize(
    ("code", "error"), [(401, InputError), (403, InputError), (422, InputError), (500, SweepsError)]
)
def test_a_launch_that_the_cluster_refuses_leaves_nothing(
    cluster: Cluster, kind: str, code: int, error: type[SweepsError]
) -> None:
    cluster.refused["POST", kind] = (code, f'{kind} is forbidden:\nUser "me" cannot; {URL}')
    done = typed("tiny", *LAUNCH)
    assert type(done.exception) is error
    assert str(done.exception).startswith("Kubernetes ")
    assert f'({code}): {kind} is forbidden: User "me" cannot' in str(done.exception)
    for name in cluster.names("jobs"):
        assert cluster.held["jobs", "research", name]["metadata"]["deletionTimestamp"]
    assert cluster.names("secrets") == []


def test_cancelling_waits_until_the_pods_are_gone(cluster: Cluster) -> None:
    typed("tiny", *LAUNCH)
    typed("--pool", *LAUNCH)
    done = typed("tiny", "--cancel")
    assert done.exit_code == 0, done.exception
    assert len(cluster.names("jobs")) == len(cluster.names("secrets")) == 1  # the pool's
    assert done.stderr.splitlines() == [
        "2 pods: workers are handing their trials back",
        "1 pod left",
        "0 pods left",
    ]
    assert "is gone" in done.stdout
    assert typed("tiny", *LAUNCH).exit_code == 0


def test_what_does_not_end_is_said(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    typed("tiny", *LAUNCH)
    cluster.stuck = True
    monkeypatch.setattr(client, "PATIENCE_S", 0.1)
    assert "2 pods of sweeps-tiny" in refused("tiny", "--cancel")


def test_what_was_not_launched_cannot_be_cancelled(cluster: Cluster) -> None:
    typed("tiny", *LAUNCH)
    message = refused("other", "--cancel")
    assert message.startswith("no job sweeps-other-")
    assert "namespace research" in message
    assert "deletionTimestamp" not in repr(cluster.held)


@pytest.mark.parametrize(("method", "kind"), [("GET", "pods"), ("DELETE", "jobs"), ("GET", "jobs")])
def test_cancelling_says_what_the_cluster_refuses(cluster: Cluster, method: str, kind: str) -> None:
    typed("tiny", *LAUNCH)
    cluster.refused[method, kind] = (403, "not yours")
    assert refused("tiny", "--cancel") == "Kubernetes refused (403): not yours"


@pytest.mark.parametrize("arguments", [LAUNCH, ["--cancel"]])
def test_a_cluster_that_does_not_answer_is_one_line_and_soon(
    cluster: Cluster, tmp_path: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{closed.getsockname()[1]}")
        before = time.monotonic()
        assert "Kubernetes does not answer" in refused("tiny", *arguments)
    assert time.monotonic() - before < 5


def test_without_a_kubeconfig_the_way_out_is_said(cluster: Cluster, tmp_path: Path) -> None:
    assert "--context" not in (message := refused("tiny", *LAUNCH, "--context", "nowhere"))
    assert "nowhere" in message
    for content in ("", "{", "[]", "a: b"):
        (tmp_path / "config").write_text(content)
        assert "--dry-run" in refused("tiny", *LAUNCH)
    (tmp_path / "config").unlink()
    assert "--dry-run" in refused("tiny", *LAUNCH)
    assert cluster.asked == []


def test_without_the_client_the_manifest_is_still_printed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "sweeps.launch.kubernetes.client")
    monkeypatch.delattr("sweeps.launch.kubernetes.client")
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    assert "pip install 'optuna-sweeps[kubernetes]'" in refused("tiny", *LAUNCH)
    assert typed("tiny", *LAUNCH, "--dry-run").stdout.startswith("# ")


WRONG = [
    ([], "name the studies"),
    (["tiny", "--pool"], "name the studies"),
    (["tiny"], "--workers is missing"),
    (["tiny", "--workers", "2"], "--image is missing"),
    (["tiny", *LAUNCH, "--dry-run", "--to", "x"], "--dry-run and --to: take one"),
    (["tiny", "--cancel", "--dry-run"], "--dry-run and --cancel: take one"),
    (["tiny", *LAUNCH, "--gpus-per-worker", "2"], "--gpus-per-worker 2"),
    (["tiny", *LAUNCH, "--artifacts", "/here"], "--artifacts /here: would end with its pod"),
    (["tiny", *LAUNCH, "--storage", "sqlite:///x.db"], "a SQLite store serves one machine"),
    (["tiny", "--cancel", "--storage", "sqlite:///x.db"], "a SQLite store serves one machine"),
    (["tiny", *LAUNCH, "--storage", "postgresql://localhost/x"], "the store's host is localhost"),
    (["tiny", *LAUNCH, "--storage", "postgresql://127.0.0.1/x"], "the store's host is 127.0.0.1"),
    (["tiny", *LAUNCH, "--storage", "postgresql://[::1]/x"], "the store's host is ::1"),
    (["tiny", *LAUNCH, "--storage", "postgresql:///x"], "the store's host is this machine"),
    (["tiny", *LAUNCH, "--storage", "x"], "the storage is not a URL"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    cluster: Cluster, arguments: list[str], message: str
) -> None:
    assert refused(*arguments).startswith(message)
    assert cluster.asked == []


def test_a_base_is_written_where_it_is_said(cluster: Cluster, tmp_path: Path) -> None:
    done = typed("tiny", *LAUNCH, "--to", str(tmp_path / "base"))
    assert done.exit_code == 0, done.exception
    assert (tmp_path / "base" / "job.yaml").read_text() == typed("tiny", *LAUNCH, "--dry-run").stdout
    assert PASSWORD not in "".join(path.read_text() for path in (tmp_path / "base").iterdir())
    assert cluster.asked == []


def test_that_nothing_will_be_kept_is_said(cluster: Cluster) -> None:
    arguments = ["tiny", "--workers", "1", "--image", "sweeps:1", "--dry-run"]
    assert "no checkpoints" in typed(*arguments).stderr
    assert "no checkpoints" not in typed(*arguments, "--artifacts", "s3://bucket").stderr


def test_a_study_that_is_not_there_shows_before_pods_are_started(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise StoreError("no study 'tiny' in this store")

    monkeypatch.setattr(store, "connect", lambda _: object())
    monkeypatch.setattr(store, "load_study", none)
    assert refused("tiny", *LAUNCH) == "no study 'tiny' in this store"
    assert cluster.asked == []


def test_where_only_pods_reach_the_store_they_are_started_all_the_same(cluster: Cluster) -> None:
    done = typed("tiny", *LAUNCH)
    assert done.exit_code == 0
    assert "is not checked: postgresql+psycopg://me:***@db.invalid/sweeps" in done.stderr
