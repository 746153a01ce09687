"""`sweeps launch kubernetes`: workers as a Job of a cluster, applied, printed or written for kustomize, and ended."""

import ipaddress
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer

from sweeps import store
from sweeps.cli.consoles import print_line
from sweeps.cli.launch_options import (
    CancelOption,
    ExitWhenIdleOption,
    PoolOption,
    ShareOption,
    StudiesArgument,
    WorkersOption,
    connect_store,
    make_job,
    require_at_most_one,
    require_studies,
)
from sweeps.cli.options import ArtifactsOption, LogFormatOption, StorageOption, TrustOption
from sweeps.errors import InputError, NoStoreError, StoreError
from sweeps.imports import join_trusted
from sweeps.launch.job import Job, parse_gpu_share
from sweeps.launch.kubernetes.manifest import make_manifest
from sweeps.launch.kubernetes.manifest_files import kubectl_manifest, write_kustomize_base
from sweeps.launch.kubernetes.pod_options import Access, Placement, PodOptions, WorkerResources
from sweeps.store import engines
from sweeps.wording import count_noun

ImageOption = Annotated[
    str | None, typer.Option("--image", help="Container image that has sweeps in it.", show_default=False)
]
NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Default: that of the context.", show_default=False)
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Of the kubeconfig. Default: the current one.", show_default=False)
]
CpusOption = Annotated[int, typer.Option("--cpus-per-worker", min=1, help="Processors of each worker.")]
MemoryOption = Annotated[str, typer.Option("--memory-per-worker", metavar="SIZE", help="Memory of each worker.")]
GpuResourceOption = Annotated[
    str,
    typer.Option(metavar="NAME", help="What a GPU is called on this cluster, e.g. nvidia.com/mig-1g.10gb for a slice."),
]
ClaimsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--claim",
        metavar="CLAIM:/PATH[:ro]",
        help="A persistent volume claim and where the pods see it, e.g. imagenet:/data:ro; repeatable. "
        "One that is written must be ReadWriteMany.",
    ),
]
NodeSelectorsOption = Annotated[
    list[str] | None,
    typer.Option("--node-selector", metavar="KEY=VALUE", help="A label that nodes must have; repeatable."),
]
TolerationsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--toleration", metavar="KEY[=VALUE][:EFFECT]", help="A taint of nodes that the pods tolerate; repeatable."
    ),
]
PriorityClassOption = Annotated[str | None, typer.Option(help="The pods' priority class.", show_default=False)]
SpreadOption = Annotated[bool, typer.Option("--spread", help="Prefer many nodes to few.")]
SecretOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="A Secret that is there and has the store's URL, as pods must write it, under `url`. "
        "Default: one is made from the URL here.",
        show_default=False,
    ),
]
EnvSecretsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--env-secret",
        metavar="NAME",
        help="A Secret whose keys become environment variables, e.g. AWS_ACCESS_KEY_ID; repeatable.",
    ),
]
PullSecretsOption = Annotated[
    list[str] | None,
    typer.Option("--pull-secret", metavar="NAME", help="A Secret to pull the image with; repeatable."),
]
ServiceAccountOption = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="The pods' service account, e.g. one that may use a bucket.", show_default=False),
]
UserOption = Annotated[
    str,
    typer.Option(
        metavar="UID[:GID]", help="The user that workers run as, e.g. the owner of a volume on NFS; not root."
    ),
]
LabelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="KEY=VALUE",
        help="A label of the job and its pods, e.g. kueue.x-k8s.io/queue-name=gpus; repeatable.",
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print the manifest for `kubectl apply -f -`.")]
ToOption = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Write a base for kustomize into a new folder.", show_default=False),
]


def kubernetes(
    studies: StudiesArgument = None,
    pool: PoolOption = False,
    workers: WorkersOption = None,
    image: ImageOption = None,
    gpus_per_worker: ShareOption = "1",
    cpus: CpusOption = 1,
    memory: MemoryOption = "4Gi",
    gpu_resource: GpuResourceOption = "nvidia.com/gpu",
    storage: StorageOption = None,
    artifacts: ArtifactsOption = None,
    claims: ClaimsOption = None,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    node_selectors: NodeSelectorsOption = None,
    tolerations: TolerationsOption = None,
    priority_class: PriorityClassOption = None,
    spread: SpreadOption = False,
    secret: SecretOption = None,
    env_secrets: EnvSecretsOption = None,
    pull_secrets: PullSecretsOption = None,
    service_account: ServiceAccountOption = None,
    user: UserOption = "10001",
    labels: LabelsOption = None,
    trust: TrustOption = None,
    log_format: LogFormatOption = "text",
    exit_when_idle: ExitWhenIdleOption = False,
    dry_run: DryRunOption = False,
    to: ToOption = None,
    cancel: CancelOption = False,
) -> None:
    """Run workers on Kubernetes as one Job, a GPU to a pod, until the studies' budgets are met.

    A pod that is evicted or preempted hands its trials back and is started again. The store's URL is in a Secret.
    """
    require_at_most_one(dry_run=dry_run, to=to is not None, cancel=cancel)
    if cancel:
        workers = 1  # any number: the name of the job does not depend on it
    storage_url = store.url(storage)
    per_gpu = parse_gpu_share(gpus_per_worker)
    job = make_job(studies, pool=pool, workers=workers, workers_per_gpu=per_gpu, storage_url=storage_url)
    if engines.is_sqlite(engines.parse_url(storage_url)):
        raise InputError("a SQLite store serves one machine, not pods: set SWEEPS_STORAGE to PostgreSQL or MySQL")
    if cancel:
        _cancel_job(job, context, namespace)
        return
    pods = PodOptions(
        image=image or "",
        namespace=namespace,
        artifacts=store.artifacts(storage_url, artifacts),
        claims=tuple(claims or ()),
        labels=tuple(labels or ()),
        resources=WorkerResources(cpus, memory, gpu_resource),
        placement=Placement(
            node_selectors=tuple(node_selectors or ()),
            tolerations=tuple(tolerations or ()),
            priority_class=priority_class,
            spread=spread,
        ),
        access=Access(
            secret=secret,
            env_secrets=tuple(env_secrets or ()),
            pull_secrets=tuple(pull_secrets or ()),
            service_account=service_account,
            user=user,
        ),
        trust=join_trusted(trust),
        log_format=log_format,
        exit_when_idle=exit_when_idle,
    )
    manifest = make_manifest(job, pods)
    if pods.artifacts is None:
        _print_remark("no --artifacts, so no checkpoints: a trial whose pod ends starts over in another")
    if dry_run:
        print(kubectl_manifest(job, pods), end="")
    elif to is not None:
        write_kustomize_base(job, pods, to)
        print_line(to)
    else:
        _create_job(job, pods, manifest, storage_url=storage_url, context=context)


def _create_job(job: Job, pods: PodOptions, manifest: dict[str, Any], storage_url: str, context: str | None) -> None:
    """Create the Job on the cluster, and the Secret with the store's URL unless there is one."""
    secret_url = None
    if pods.access.secret is None:
        secret_url = storage_url
        _require_reachable(storage_url)
    client = import_client()
    cluster = client.connect_cluster(context, pods.namespace)
    _require_studies_if_reachable(job, storage_url)
    client.create_job(cluster, manifest, secret_url)
    sizes = f"{count_noun(job.tasks, 'pod')}, {count_noun(job.workers, 'worker')}"
    print_line(f"job {job.name} in namespace {cluster.namespace}: {sizes}")
    _print_remark(f"its pods: kubectl -n {cluster.namespace} get pods -l {client.JOB_LABEL}={job.name}")


def _cancel_job(job: Job, context: str | None, namespace: str | None) -> None:
    client = import_client()
    cluster = client.connect_cluster(context, namespace)
    count = client.cancel_job(cluster, job.name, _print_remark)
    print_line(f"job {job.name} is gone, with {count_noun(count, 'pod')}")


def import_client() -> ModuleType:
    """Import the module that needs Kubernetes' official client.

    Raises:
        InputError: that is not installed.
    """
    try:
        from sweeps.launch.kubernetes import client  # noqa: PLC0415  an optional dependency
    except ImportError as exc:
        raise InputError(
            f"the client of Kubernetes is not installed ({exc}); pip install 'optuna-sweeps[kubernetes]', "
            "or --dry-run prints the job for kubectl"
        ) from exc
    return client


def _require_reachable(storage_url: str) -> None:
    """Check that the URL means the same in a pod as here.

    Raises:
        InputError: it means this machine.
    """
    host = engines.parse_url(storage_url).host or ""
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host in ("", "localhost")
    if is_here:
        raise InputError(
            f"the store's host is {host or 'this machine'}, which in a pod is the pod: write its name in the network, "
            "or --secret NAME of a Secret that has the URL as pods must write it"
        )


def _require_studies_if_reachable(job: Job, storage_url: str) -> None:
    """Check that the studies exist, before pods are started; where only pods reach the store, they will say.

    Raises:
        StoreError: one does not exist.
    """
    try:
        opened_storage = connect_store(job, storage_url)
    except NoStoreError:
        raise
    except StoreError as exc:
        _print_remark(f"whether the studies are there is not checked: {exc}")
        return
    require_studies(job, opened_storage)


def _print_remark(text: str) -> None:
    print_line(text, file=sys.stderr)
