"""Jobs on a Kubernetes cluster, through its official client: made with their Secret, and ended.

The store's URL goes to the cluster in the body of one request. Its Secret belongs to the Job and goes with it.
"""

import base64
import binascii
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kubernetes import client, config
from kubernetes.client import ApiException
from kubernetes.config import ConfigException
from urllib3.exceptions import HTTPError
from yaml import YAMLError

from sweeps.errors import InputError, SweepsError, one_line
from sweeps.launch.job import number
from sweeps.launch.kubernetes.manifest import LEAVE_S, SECRET_KEY

POLL_S = 1.0
PATIENCE_S = LEAVE_S + 60.0  # a kubelet kills what has not ended by itself, and then has to say so
TIMEOUT_S = (10.0, 60.0)  # to connect, to answer
CONFLICT, GONE = 409, 404
JOB_LABEL = "batch.kubernetes.io/job-name"  # which Kubernetes gives the pods of a Job
KUBECONFIG = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's API, and the namespace that is meant."""

    namespace: str
    batch: Any  # BatchV1Api and CoreV1Api, whose annotations say nothing of the dicts that they take
    core: Any


def connect(context: str | None, namespace: str | None) -> Cluster:
    """The cluster of a kubeconfig's context; nothing is asked of it yet.

    Args:
        context, namespace: None: the current one, and that of the context.

    Raises:
        InputError: there is no kubeconfig, or it has no such context.
    """
    path = os.environ.get("KUBECONFIG") or KUBECONFIG
    settings = client.Configuration()
    settings.retries = (
        False  # whoever types waits for the first answer only, and a request that came through is not repeated
    )
    try:
        api = config.new_client_from_config(path, context, client_configuration=settings)
        contexts, current = config.list_kube_config_contexts(path)
    except (ConfigException, YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise InputError(f"kubeconfig {path}: {one_line(exc)}; without one, --dry-run prints the manifest") from exc
    meant = next((each for each in contexts if each["name"] == context), current)
    found = namespace or meant["context"].get("namespace") or "default"
    return Cluster(found, client.BatchV1Api(api), client.CoreV1Api(api))


def launch(cluster: Cluster, manifest: dict[str, Any], storage_url: str | None) -> None:
    """Make a Job, and the Secret that its pods wait for; both or none.

    Args:
        storage_url: None: the Secret is there already.

    Raises:
        InputError: the cluster refuses, in its own words.
        SweepsError: it does not answer.
    """
    name = manifest["metadata"]["name"]
    with _explained(storage_url or ""):
        try:
            made = cluster.batch.create_namespaced_job(cluster.namespace, manifest, _request_timeout=TIMEOUT_S)
        except ApiException as exc:
            if exc.status != CONFLICT:
                raise
            raise InputError(
                f"job {name} is there already in namespace {cluster.namespace}, at work or ended; "
                "the same command with --cancel in place of --workers removes it"
            ) from None
        if storage_url is None:
            return
        try:
            _put_secret(cluster, _secret(made, manifest["metadata"]["labels"], storage_url))
        except BaseException:
            with suppress(ApiException, HTTPError):
                _delete(cluster, name)
            raise


def _secret(job: Any, labels: dict[str, str], storage_url: str) -> dict[str, Any]:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": job.metadata.name, "labels": labels, "ownerReferences": [owner]},
        "data": {SECRET_KEY: base64.b64encode(storage_url.encode()).decode()},
    }


def _put_secret(cluster: Cluster, secret: dict[str, Any]) -> None:
    """Make it, or put it in the place of one that was made by hand, or whose job has just been removed."""
    try:
        cluster.core.create_namespaced_secret(cluster.namespace, secret, _request_timeout=TIMEOUT_S)
    except ApiException as exc:
        if exc.status != CONFLICT:
            raise
        try:
            name = secret["metadata"]["name"]
            cluster.core.replace_namespaced_secret(name, cluster.namespace, secret, _request_timeout=TIMEOUT_S)
        except ApiException as replacing:
            if replacing.status != GONE:
                raise
            cluster.core.create_namespaced_secret(cluster.namespace, secret, _request_timeout=TIMEOUT_S)


def cancel(cluster: Cluster, name: str, say: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> int:
    """End a Job, and wait until its pods have handed their trials back and are gone; how many there were.

    Raises:
        InputError: there is no such Job, or the cluster refuses.
        SweepsError: it does not answer, or the pods do not end.
    """
    with _explained():
        asked = left = _pods(cluster, name)
        try:
            _delete(cluster, name)
        except ApiException as exc:
            if exc.status != GONE:
                raise
            raise InputError(f"no job {name} in namespace {cluster.namespace}: launched for other studies?") from None
        say(f"{number(asked, 'pod')}: workers are handing their trials back")
        deadline = time.monotonic() + PATIENCE_S
        while _is_there(cluster, name):
            if time.monotonic() > deadline:
                raise SweepsError(
                    f"{number(left, 'pod')} of {name} not ended within {PATIENCE_S:.0f} s; see "
                    f"kubectl -n {cluster.namespace} get pods -l {JOB_LABEL}={name}"
                )
            wait(POLL_S)
            now = _pods(cluster, name)
            if now < left:
                say(f"{number(now, 'pod')} left")
            left = now
    return asked


def _delete(cluster: Cluster, name: str) -> None:
    """Pods first: the Job is there until the last of them is gone."""
    cluster.batch.delete_namespaced_job(
        name, cluster.namespace, propagation_policy="Foreground", _request_timeout=TIMEOUT_S
    )


def _is_there(cluster: Cluster, name: str) -> bool:
    try:
        cluster.batch.read_namespaced_job(name, cluster.namespace, _request_timeout=TIMEOUT_S)
    except ApiException as exc:
        if exc.status != GONE:
            raise
        return False
    return True


def _pods(cluster: Cluster, name: str) -> int:
    """How many pods of a Job have not ended."""
    found = cluster.core.list_namespaced_pod(
        cluster.namespace, label_selector=f"{JOB_LABEL}={name}", _request_timeout=TIMEOUT_S
    )
    return sum(pod.status.phase not in ("Succeeded", "Failed") for pod in found.items)


@contextmanager
def _explained(secret: str = "") -> Iterator[None]:
    """What the cluster or the way to it says, as one line without the secret."""
    try:
        yield
    except ApiException as exc:  # not chained: it would quote the whole answer
        said = _without(secret, _words(exc))
        if exc.status and 400 <= exc.status < 500:
            raise InputError(f"Kubernetes refused ({exc.status}): {said}") from None
        raise SweepsError(f"Kubernetes failed ({exc.status}): {said}") from None
    except (HTTPError, OSError) as exc:
        raise SweepsError(f"Kubernetes does not answer: {one_line(exc)}; see `kubectl cluster-info`") from None


def _words(exc: ApiException) -> str:
    """The message of the API's status, else what HTTP says."""
    with suppress(ValueError, TypeError, AttributeError):
        return one_line(Exception(json.loads(exc.body or "").get("message") or exc.reason))
    return one_line(Exception(exc.reason))


def _without(secret: str, text: str) -> str:
    if not secret:
        return text
    return text.replace(secret, "***").replace(binascii.b2a_base64(secret.encode(), newline=False).decode(), "***")
