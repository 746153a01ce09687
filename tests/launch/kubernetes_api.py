"""A stand-in for the API of a Kubernetes cluster, on 127.0.0.1: Jobs, their pods and Secrets, as far as we ask."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kubernetes_validate
import yaml
from kubernetes_rules import problems
from kubernetes_validate.utils import latest_version

PATH = re.compile(r"/(?:apis/batch/v1|api/v1)/namespaces/([^/]+)/(jobs|secrets|pods)(?:/([^/]+))?")
Answer = tuple[int, dict[str, Any]]


@dataclass
class Cluster:
    """What is on the cluster, by kind, namespace and name, and what was asked of it.

    Attributes:
        refused: by method and kind: a status and its message, in place of what would be done.
        asked: method, path, query and body of every request.
        stuck: pods of a Job that is deleted never end; else one goes each time the Job is looked at.
    """

    held: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    refused: dict[tuple[str, str], tuple[int, str]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, list[str]], str]] = field(default_factory=list)
    stuck: bool = False

    def names(self, kind: str, namespace: str = "research") -> list[str]:
        """What is there of a kind."""
        return [name for held, where, name in self.held if (held, where) == (kind, namespace)]

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: str) -> Answer:
        """Status and body of the answer to a request."""
        self.asked.append((method, path, query, body))
        match = PATH.fullmatch(path)
        assert match, path
        namespace, kind, name = match.groups()
        if (method, kind) in self.refused:
            return _status(*self.refused[method, kind])
        if kind == "pods":
            (key, value) = query["labelSelector"][0].split("=")
            selected = [pod for held_key, pod in self.held.items() if held_key[:2] == (kind, namespace)]
            return 200, {"items": [pod for pod in selected if pod["metadata"]["labels"].get(key) == value]}
        if method == "POST":
            return self._make(kind, namespace, json.loads(body))
        if (kind, namespace, name) not in self.held:
            return _status(404, f'{kind} "{name}" not found')
        if method == "PUT":
            self.held[kind, namespace, name] = json.loads(body)
        elif method == "DELETE":
            assert query["propagationPolicy"] == ["Foreground"]
            self.held[kind, namespace, name]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        else:
            self._end_a_pod(namespace, name)
        gone = {"metadata": {"name": name}}
        return (200, self.held[kind, namespace, name]) if (kind, namespace, name) in self.held else (404, gone)

    def _make(self, kind: str, namespace: str, made: dict[str, Any]) -> Answer:
        name = made["metadata"]["name"]
        if (kind, namespace, name) in self.held:
            return _status(409, f'{kind} "{name}" already exists')
        kubernetes_validate.validate(made, latest_version(), strict=True)
        self.held[kind, namespace, name] = made
        if kind == "jobs":
            assert problems(made) == []
            made["metadata"]["uid"] = f"uid-{len(self.asked)}"
            for index in range(made["spec"]["completions"]):
                labels = {"batch.kubernetes.io/job-name": name, "job-name": name}
                pod = {"metadata": {"name": f"{name}-{index}", "labels": labels}, "status": {"phase": "Running"}}
                self.held["pods", namespace, f"{name}-{index}"] = pod
        return 201, made

    def _end_a_pod(self, namespace: str, job: str) -> None:
        """What a controller does while somebody waits: the last pod takes the Job and what it owns along."""
        if self.stuck or "deletionTimestamp" not in self.held["jobs", namespace, job]["metadata"]:
            return
        pods = [key for key in self.held if key[:2] == ("pods", namespace) and key[2].startswith(f"{job}-")]
        if pods:
            del self.held[pods[0]]
            return
        owner = self.held.pop(("jobs", namespace, job))["metadata"]["uid"]
        for key, object_ in [*self.held.items()]:
            if owner in [ref["uid"] for ref in object_["metadata"].get("ownerReferences", [])]:
                del self.held[key]


def _status(code: int, message: str) -> Answer:
    return code, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}


@contextmanager
def serving(cluster: Cluster) -> Iterator[str]:
    """The cluster at a URL, until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            asked = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            code, answer = cluster.answer(self.command, asked.path, parse_qs(asked.query), body)
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_kubeconfig(path: Path, url: str) -> None:
    """A kubeconfig with two contexts; that of the tests has a namespace, the other none."""
    contexts = [
        {"name": "here", "context": {"cluster": "test", "user": "me", "namespace": "research"}},
        {"name": "bare", "context": {"cluster": "test", "user": "me"}},
    ]
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [{"name": "test", "cluster": {"server": url}}],
                "users": [{"name": "me", "user": {"token": "token-of-mine"}}],
                "contexts": contexts,
            }
        )
    )
