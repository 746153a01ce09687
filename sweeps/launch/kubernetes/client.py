"""Jobs on a Kubernetes cluster, through the official client: a Job is created with its Secret, and ended.

The store's URL goes to the cluster in the body of one request. Its Secret belongs to the Job and is removed with it.
"""

import base64
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
from sweeps.launch.kubernetes.manifest import SECRET_KEY
from sweeps.wording import count_noun
from sweeps.worker.shutdown import POD_S

POLL_S = 1.0
PATIENCE_S = POD_S + 60.0  # a kubelet kills a pod that has not ended by itself, and then has to report it
TIMEOUT_S = (10.0, 60.0)  # to connect, to answer
# Status codes of HTTP.
NOT_FOUND = 404
CONFLICT = 409
JOB_LABEL = "batch.kubernetes.io/job-name"  # Kubernetes labels the pods of a Job with it
KUBECONFIG = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster's API and a namespace of it."""

    namespace: str
    batch: Any  # BatchV1Api and CoreV1Api, whose annotations say nothing of the dicts that they take
    core: Any


def connect_cluster(context: str | None, namespace: str | None) -> Cluster:
    """Return the cluster of a context of the kubeconfig; no request is made yet.

    Args:
        context: None: the current one.
        namespace: None: that of the context.

    Raises:
        InputError: there is no kubeconfig, or it has no such context.
    """
    path = os.environ.get("KUBECONFIG") or KUBECONFIG
    settings = client.Configuration()
    settings.retries = False  # a request that came through must not be repeated
    try:
        api = config.new_client_from_config(path, context, client_configuration=settings)
        contexts, current = config.list_kube_config_contexts(path)
    except (ConfigException, YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError) as exc:
        raise InputError(f"kubeconfig {path}: {one_line(exc)}; without one, --dry-run prints the manifest") from exc
    chosen_context = next((entry for entry in contexts if entry["name"] == context), current)
    chosen_namespace = namespace or chosen_context["context"].get("namespace") or "default"
    return Cluster(chosen_namespace, client.BatchV1Api(api), client.CoreV1Api(api))


def create_job(cluster: Cluster, manifest: dict[str, Any], storage_url: str | None) -> None:
    """Create a Job and the Secret that its pods wait for: both or none.

    Args:
        storage_url: what the Secret holds; None: there is a Secret already.

    Raises:
        InputError: the cluster refuses; the message is its own.
        SweepsError: it does not answer.
    """
    name = manifest["metadata"]["name"]
    with _translate_errors(storage_url or ""):
        try:
            job = cluster.batch.create_namespaced_job(cluster.namespace, manifest, _request_timeout=TIMEOUT_S)
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
            _put_secret(cluster, _make_secret(job, manifest["metadata"]["labels"], storage_url))
        except BaseException:
            with suppress(ApiException, HTTPError):
                _delete_job(cluster, name)
            raise


def _make_secret(job: Any, labels: dict[str, str], storage_url: str) -> dict[str, Any]:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job.metadata.name, "uid": job.metadata.uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": job.metadata.name, "labels": labels, "ownerReferences": [owner]},
        "data": {SECRET_KEY: base64.b64encode(storage_url.encode()).decode()},
    }


def _put_secret(cluster: Cluster, secret: dict[str, Any]) -> None:
    """Create the Secret; replace one that was made by hand, or whose Job has just been removed."""
    try:
        cluster.core.create_namespaced_secret(cluster.namespace, secret, _request_timeout=TIMEOUT_S)
    except ApiException as exc:
        if exc.status != CONFLICT:
            raise
        try:
            name = secret["metadata"]["name"]
            cluster.core.replace_namespaced_secret(name, cluster.namespace, secret, _request_timeout=TIMEOUT_S)
        except ApiException as replacing:
            if replacing.status != NOT_FOUND:
                raise
            cluster.core.create_namespaced_secret(cluster.namespace, secret, _request_timeout=TIMEOUT_S)


def cancel_job(
    cluster: Cluster, name: str, say: Callable[[str], None], wait: Callable[[float], None] = time.sleep
) -> int:
    """End a Job and wait until its pods have handed their trials back; return how many pods there were.

    Args:
        say: gets messages about the progress.

    Raises:
        InputError: there is no such Job, or the cluster refuses.
        SweepsError: it does not answer, or the pods do not end.
    """
    with _translate_errors():
        pods = _count_pods(cluster, name)
        try:
            _delete_job(cluster, name)
        except ApiException as exc:
            if exc.status != NOT_FOUND:
                raise
            raise InputError(f"no job {name} in namespace {cluster.namespace}: launched for other studies?") from None
        say(f"{count_noun(pods, 'pod')}: workers are handing their trials back")
        remaining = pods
        deadline = time.monotonic() + PATIENCE_S
        while _job_exists(cluster, name):
            if time.monotonic() > deadline:
                raise SweepsError(
                    f"{count_noun(remaining, 'pod')} of {name} not ended within {PATIENCE_S:.0f} s; see "
                    f"kubectl -n {cluster.namespace} get pods -l {JOB_LABEL}={name}"
                )
            wait(POLL_S)
            previous = remaining
            remaining = _count_pods(cluster, name)
            if remaining < previous:
                say(f"{count_noun(remaining, 'pod')} left")
    return pods


def _delete_job(cluster: Cluster, name: str) -> None:
    """Delete a Job after its pods, so that it exists until the last pod is gone."""
    cluster.batch.delete_namespaced_job(
        name, cluster.namespace, propagation_policy="Foreground", _request_timeout=TIMEOUT_S
    )


def _job_exists(cluster: Cluster, name: str) -> bool:
    try:
        cluster.batch.read_namespaced_job(name, cluster.namespace, _request_timeout=TIMEOUT_S)
    except ApiException as exc:
        if exc.status != NOT_FOUND:
            raise
        return False
    return True


def _count_pods(cluster: Cluster, name: str) -> int:
    """Return how many pods of a Job have not ended."""
    pods = cluster.core.list_namespaced_pod(
        cluster.namespace, label_selector=f"{JOB_LABEL}={name}", _request_timeout=TIMEOUT_S
    )
    return sum(pod.status.phase not in ("Succeeded", "Failed") for pod in pods.items)


@contextmanager
def _translate_errors(secret: str = "") -> Iterator[None]:
    """Raise errors of the client as ours: one line, without the secret.

    Raises:
        InputError: the cluster refused.
        SweepsError: the cluster failed, or does not answer.
    """
    try:
        yield
    except ApiException as exc:  # not chained: it would quote the whole answer
        message = _hide_secret(secret, _status_message(exc))
        if exc.status and 400 <= exc.status < 500:
            raise InputError(f"Kubernetes refused ({exc.status}): {message}") from None
        raise SweepsError(f"Kubernetes failed ({exc.status}): {message}") from None
    except (HTTPError, OSError) as exc:
        raise SweepsError(f"Kubernetes does not answer: {one_line(exc)}; see `kubectl cluster-info`") from None


def _status_message(exc: ApiException) -> str:
    """Return the message of the API's status, else the reason of HTTP's."""
    with suppress(ValueError, TypeError, AttributeError):
        return one_line(Exception(json.loads(exc.body or "").get("message") or exc.reason))
    return one_line(Exception(exc.reason))


def _hide_secret(secret: str, text: str) -> str:
    """Return the text with *** in place of the secret, plain or in base64."""
    if not secret:
        return text
    return text.replace(secret, "***").replace(base64.b64encode(secret.encode()).decode(), "***")
