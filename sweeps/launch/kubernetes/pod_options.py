"""The options of the pods of a job: the records, and the parsers of what a user types for them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sweeps.errors import InputError
from sweeps.logs import LogFormat

USER = "10001"
SECRET_FOLDER = "/etc/sweeps"  # where the pods find the store's URL
SCRATCH = "/tmp"  # what the pods may write; the root file system is read-only, so HOME is here too
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """The resources of each worker.

    Attributes:
        memory_per_worker: as Kubernetes writes it, in whole units, e.g. 4Gi.
        gpu_resource: what a GPU is called on this cluster; with MIG a slice, such as nvidia.com/mig-1g.10gb.
    """

    cpus_per_worker: int = 1
    memory_per_worker: str = "4Gi"
    gpu_resource: str = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Placement:
    """The nodes that may run the pods, and the priority of the pods.

    Attributes:
        node_selectors: labels that nodes must have, each KEY=VALUE.
        tolerations: taints of nodes that are ignored, each KEY[=VALUE][:EFFECT].
        spread: prefer many nodes to few.
    """

    node_selectors: Sequence[str] = ()
    tolerations: Sequence[str] = ()
    priority_class: str | None = None
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """The secrets and the user of the pods.

    Attributes:
        secret: an existing Secret that has the store's URL under `url`; None: one named as the job.
        env_secrets: Secrets whose keys become environment variables.
        user: UID[:GID] that workers run as and that owns what they write.
    """

    secret: str | None = None
    env_secrets: Sequence[str] = ()
    pull_secrets: Sequence[str] = ()
    service_account: str | None = None
    user: str = USER


@dataclass(frozen=True, slots=True)
class PodOptions:
    """The options of the pods of a job.

    Attributes:
        image: container image that has `sweeps` and a shell in it.
        namespace: None: that of the kubectl context that applies the manifest.
        artifacts: where checkpoints go, as the pods see it; None: nowhere.
        claims: persistent volume claims, each CLAIM:/PATH or CLAIM:/PATH:ro.
        labels: further labels of the job and its pods, each KEY=VALUE.
        trust: the value of SWEEPS_TRUST; empty: workers import what studies name.
    """

    image: str
    namespace: str | None = None
    artifacts: str | None = None
    claims: Sequence[str] = ()
    labels: Sequence[str] = ()
    resources: WorkerResources = field(default_factory=WorkerResources)
    placement: Placement = field(default_factory=Placement)
    access: Access = field(default_factory=Access)
    exit_when_idle: bool = False
    log_format: LogFormat = "text"
    trust: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A persistent volume claim and its path in a pod."""

    claim: str
    path: str
    read_only: bool


def parse_claims(claims: Sequence[str]) -> list[Mount]:
    """Parse claims of the form `CLAIM:/PATH`, or `CLAIM:/PATH:ro` for a read-only one.

    Raises:
        InputError: a text has another form, or its path is taken.
    """
    mounts: dict[str, Mount] = {}
    for text in claims:
        match = re.fullmatch(rf"({NAME}(?:\.{NAME})*):(/[^:\0]*?[^:/\0])/*(:ro)?", text)
        if match is None:
            raise InputError(f"--claim {text}: write CLAIM:/PATH, or CLAIM:/PATH:ro for what is only read")
        claim, path, read_only = match.groups()
        if path in (SECRET_FOLDER, SCRATCH) or path in mounts:
            raise InputError(f"--claim {text}: {path} is taken in the pods; name another path")
        mounts[path] = Mount(claim, path, read_only is not None)
    return list(mounts.values())


def require_lasting_artifacts(artifacts: str | None, mounts: Sequence[Mount]) -> None:
    """Check that checkpoints outlive their pod.

    Raises:
        InputError: the location is a folder that no claim holds, or not a location at all.
    """
    if artifacts is None or artifacts.startswith(("s3://", "gs://")):
        return
    path = artifacts.removeprefix("file://")
    if not path.startswith("/") or "/.." in path or "\0" in path:
        raise InputError("--artifacts: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or the full path of a folder")
    writable = [mount.path for mount in mounts if not mount.read_only]
    if not any(f"{path}/".startswith(f"{folder}/") for folder in writable):
        raise InputError(f"--artifacts {artifacts}: would end with its pod; mount a claim there: --claim CLAIM:{path}")


def parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Parse labels of the form `KEY=VALUE`.

    Raises:
        InputError: a text has another form.
    """
    labels = {}
    for text in texts:
        match = re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9_./]*)=([-A-Za-z0-9_.]*)", text)
        if match is None:
            raise InputError(f"{option} {text}: write KEY=VALUE")
        labels[match[1]] = match[2]
    return labels


def parse_toleration(text: str) -> dict[str, str]:
    """Parse a toleration of the form `KEY[=VALUE][:EFFECT]`; return it as the API takes it.

    Raises:
        InputError: the text has another form.
    """
    match = re.fullmatch(r"([^=:\s]+)(?:=([^=:\s]*))?(?::(\w+))?", text)
    if match is None or (match[3] and match[3] not in EFFECTS):
        raise InputError(f"--toleration {text}: write KEY[=VALUE][:EFFECT], the effect one of {', '.join(EFFECTS)}")
    key, value, effect = match.groups()
    toleration = {"key": key, "operator": "Exists"}
    if value is not None:
        toleration["operator"] = "Equal"
        toleration["value"] = value
    if effect:
        toleration["effect"] = effect
    return toleration


def multiply_memory(per_worker: str, workers: int) -> str:
    """Return the memory of all workers of a pod.

    Raises:
        InputError: the memory of a worker is not a whole number with a unit.
    """
    match = re.fullmatch(r"([1-9][0-9]*)([KMGT]i|[kMGT])?", per_worker)
    if match is None:
        raise InputError(f"--memory-per-worker {per_worker}: write a whole number and a unit, e.g. 4Gi")
    return f"{int(match[1]) * workers}{match[2] or ''}"


def parse_user(text: str) -> tuple[int, int]:
    """Parse `UID[:GID]`; the GID is the UID if it is left out.

    Raises:
        InputError: the text has another form, or means root.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,9})(?::([1-9][0-9]{0,9}))?", text)
    if match is None:
        raise InputError(f"--user {text}: write UID or UID:GID in numbers, and not root's")
    return int(match[1]), int(match[2] or match[1])


def require_names(options: PodOptions) -> None:
    """Check the names of images, namespaces and secrets: they also stand in commands that users are shown.

    Raises:
        InputError: one cannot be such a name.
    """
    if not options.image:
        raise InputError("--image is missing: name a container image that has sweeps in it")
    if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9._:/@]*", options.image):
        raise InputError(f"--image {options.image!r}: no name of an image; write e.g. registry.example/sweeps:1.0")
    if options.namespace is not None and not re.fullmatch(NAME, options.namespace):
        raise InputError(f"--namespace {options.namespace!r}: no name of a namespace")
    access = options.access
    named = {
        "--secret": [access.secret],
        "--env-secret": access.env_secrets,
        "--pull-secret": access.pull_secrets,
        "--service-account": [access.service_account],
        "--priority-class": [options.placement.priority_class],
    }
    for option, names in named.items():
        for name in names:
            if name is not None and not re.fullmatch(rf"{NAME}(?:\.{NAME})*", name):
                raise InputError(f"{option} {name!r}: names on Kubernetes have lower-case letters, digits, - and .")
