"""`sweeps launch kubernetes`: workers as a Job of a cluster, applied, printed or written for kustomize, and ended."""

import ipaddress
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import typer

from sweeps.cli.launch_options import (
    Cancel,
    Pool,
    Share,
    Studies,
    WhenIdle,
    Workers,
    asked_for,
    reached,
    require_one,
    require_studies,
)
from sweeps.cli.options import ArtifactsPlace, StorageUrl
from sweeps.errors import InputError, NoStoreError, StoreError
from sweeps.launch.kubernetes.pod_options import Access, Placement, PodOptions, Size

if TYPE_CHECKING:
    from sweeps.launch.job import Job

Image = Annotated[
    str | None, typer.Option("--image", help="Container image that has sweeps in it.", show_default=False)
]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: that of the context.", show_default=False)
]
Context = Annotated[
    str | None, typer.Option("--context", help="Of the kubeconfig. Default: the current one.", show_default=False)
]
Cpus = Annotated[int, typer.Option("--cpus-per-worker", min=1, help="Processors of each worker.")]
Memory = Annotated[str, typer.Option("--memory-per-worker", metavar="SIZE", help="Memory of each worker.")]
GpuResource = Annotated[
    str,
    typer.Option(metavar="NAME", help="What a GPU is called on this cluster, e.g. nvidia.com/mig-1g.10gb for a slice."),
]
Claims = Annotated[
    list[str] | None,
    typer.Option(
        "--claim",
        metavar="CLAIM:/PATH[:ro]",
        help="A persistent volume claim and where the pods see it, e.g. imagenet:/data:ro; repeatable. "
        "One that is written must be ReadWriteMany.",
    ),
]
NodeSelectors = Annotated[
    list[str] | None,
    typer.Option("--node-selector", metavar="KEY=VALUE", help="A label that nodes must have; repeatable."),
]
Tolerations = Annotated[
    list[str] | None,
    typer.Option(
        "--toleration", metavar="KEY[=VALUE][:EFFECT]", help="A taint of nodes that is no obstacle; repeatable."
    ),
]
PriorityClass = Annotated[str | None, typer.Option(help="The pods' priority class.", show_default=False)]
Spread = Annotated[bool, typer.Option("--spread", help="Prefer many nodes to few.")]
Secret = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A Secret that is there and has the store's URL, as pods must write it, under `url`. "
        "Default: one is made from the URL here.",
        show_default=False,
    ),
]
EnvSecrets = Annotated[
    list[str] | None,
    typer.Option(
        "--env-secret",
        metavar="NAME",
        help="A Secret whose keys become environment variables, e.g. AWS_ACCESS_KEY_ID; repeatable.",
    ),
]
PullSecrets = Annotated[
    list[str] | None,
    typer.Option("--pull-secret", metavar="NAME", help="A Secret to pull the image with; repeatable."),
]
ServiceAccount = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The pods' service account, e.g. one that may use a bucket.", show_default=False),
]
User = Annotated[
    str,
    typer.Option(metavar="UID[:GID]", help="Whom workers run as, e.g. the owner of a volume on NFS; not root."),
]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="KEY=VALUE",
        help="A label of the job and its pods, e.g. kueue.x-k8s.io/queue-name=gpus; repeatable.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the manifest for `kubectl apply -f -`.")]
To = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write a base for kustomize into a new folder.", show_default=False),
]


def kubernetes(
    studies: Studies = None,
    pool: Pool = False,
    workers: Workers = None,
    image: Image = None,
    gpus_per_worker: Share = "1",
    cpus: Cpus = 1,
    memory: Memory = "4Gi",
    gpu_resource: GpuResource = "nvidia.com/gpu",
    storage: StorageUrl = None,
    artifacts: ArtifactsPlace = None,
    claims: Claims = None,
    namespace: Namespace = None,
    context: Context = None,
    node_selectors: NodeSelectors = None,
    tolerations: Tolerations = None,
    priority_class: PriorityClass = None,
    spread: Spread = False,
    secret: Secret = None,
    env_secrets: EnvSecrets = None,
    pull_secrets: PullSecrets = None,
    service_account: ServiceAccount = None,
    user: User = "10001",
    labels: Labels = None,
    exit_when_idle: WhenIdle = False,
    dry_run: DryRun = False,
    to: To = None,
    cancel: Cancel = False,
) -> None:
    """Run workers on Kubernetes as one Job, a GPU to a pod, until the studies' budgets are met.

    A pod that is evicted or preempted hands its trials back and is started again. The store's URL is in a Secret.
    """
    require_one(dry_run=dry_run, to=to is not None, cancel=cancel)
    job, url = _job(studies, pool, 1 if cancel else workers, gpus_per_worker, storage)
    if cancel:
        _cancel(job, context, namespace)
        return
    size = Size(cpus, memory, gpu_resource)
    placed = Placement(tuple(node_selectors or ()), tuple(tolerations or ()), priority_class, spread)
    access = Access(secret, tuple(env_secrets or ()), tuple(pull_secrets or ()), service_account, user)
    pods = PodOptions(image or "", namespace, _place(url, artifacts), tuple(claims or ()), tuple(labels or ()))
    pods = replace(pods, size=size, placement=placed, access=access, exit_when_idle=exit_when_idle)
    _deliver(job, pods, url, context, to, dry_run=dry_run)


def _job(
    studies: list[str] | None, pool: bool, workers: int | None, share: str, storage: str | None
) -> "tuple[Job, str]":
    """What is to be launched, and the store's URL.

    Raises:
        InputError: something is missing, or pods cannot use the store.
    """
    from sweeps.launch.job import workers_per_gpu
    from sweeps.store import engines

    job, url = asked_for(studies, pool, workers, workers_per_gpu(share), storage)
    if engines.is_sqlite(engines.parsed(url)):
        raise InputError("a SQLite store serves one machine, not pods: set SWEEPS_STORAGE to PostgreSQL or MySQL")
    return job, url


def _place(url: str, artifacts: str | None) -> str | None:
    from sweeps import store

    return store.artifacts(url, artifacts)


def _deliver(job: "Job", pods: PodOptions, url: str, context: str | None, to: Path | None, *, dry_run: bool) -> None:
    """Print the manifest, write it, or make the Job."""
    from sweeps.launch.job import number
    from sweeps.launch.kubernetes import manifest_files
    from sweeps.launch.kubernetes.manifest import manifest

    document = manifest(job, pods)
    if pods.artifacts is None:
        _say("no --artifacts, so no checkpoints: a trial whose pod ends starts over in another")
    if dry_run:
        print(manifest_files.for_kubectl(job, pods), end="")
        return
    if to is not None:
        manifest_files.write_base(job, pods, to)
        print(to)
        return
    if pods.access.secret is None:
        _require_reachable(url)
    client = _client()
    cluster = client.connect(context, pods.namespace)
    _check_studies(job, url)
    client.launch(cluster, document, url if pods.access.secret is None else None)
    made = f"{number(job.tasks, 'pod')}, {number(job.workers, 'worker')}"
    print(f"job {job.name} in namespace {cluster.namespace}: {made}")
    _say(f"its pods: kubectl -n {cluster.namespace} get pods -l {client.JOB_LABEL}={job.name}")


def _cancel(job: "Job", context: str | None, namespace: str | None) -> None:
    from sweeps.launch.job import number

    client = _client()
    count = client.cancel(client.connect(context, namespace), job.name, _say)
    print(f"job {job.name} is gone, with {number(count, 'pod')}")


def _client() -> ModuleType:
    """The room's part that needs the official client.

    Raises:
        InputError: that is not installed.
    """
    try:
        from sweeps.launch.kubernetes import client
    except ImportError as exc:
        raise InputError(
            f"the client of Kubernetes is not installed ({exc}); pip install 'sweeps[kubernetes]', "
            "or --dry-run prints the job for kubectl"
        ) from exc
    return client


def _require_reachable(url: str) -> None:
    """Make sure that the URL means the same in a pod as here.

    Raises:
        InputError: it means this machine.
    """
    from sweeps.store import engines

    host = engines.parsed(url).host or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host in ("", "localhost")
    if is_here:
        raise InputError(
            f"the store's host is {host or 'this machine'}, which in a pod is the pod: write its name in the network, "
            "or --secret NAME of a Secret that has the URL as pods must write it"
        )


def _check_studies(job: "Job", url: str) -> None:
    """Make sure that the studies are there, before pods are started; where pods alone reach the store, they will say.

    Raises:
        StoreError: one is not there.
    """
    try:
        opened = reached(job, url)
    except NoStoreError:
        raise
    except StoreError as exc:
        _say(f"whether the studies are there is not checked: {exc}")
        return
    require_studies(job, opened)


def _say(text: str) -> None:
    print(text, file=sys.stderr)
