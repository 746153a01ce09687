"""What is asked of the pods of a job, as people type it, and what of that is understood."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from sweeps.errors import InputError

USER = "10001"
# Where the pods have the store's URL and what they may write; the root file system is read-only, so HOME is here too.
SECRET_FOLDER, SCRATCH = "/etc/sweeps", "/tmp"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
NAME = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


@dataclass(frozen=True, slots=True)
class Size:
    """What each worker needs of a node.

    Attributes:
        memory_per_worker: as Kubernetes writes it, in whole units, e.g. 4Gi.
        gpu_resource: what a GPU is called on this cluster; with MIG a slice, such as nvidia.com/mig-1g.10gb.
    """

    cpus_per_worker: int = 1
    memory_per_worker: str = "4Gi"
    gpu_resource: str = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True)
class Placement:
    """Which nodes may run the pods, and who goes first.

    Attributes:
        node_selectors: labels that nodes must have, each KEY=VALUE.
        tolerations: taints that are no obstacle, each KEY[=VALUE][:EFFECT].
        spread: over as many nodes as can be had, rather than as the scheduler packs them.
    """

    node_selectors: Sequence[str] = ()
    tolerations: Sequence[str] = ()
    priority_class: str | None = None
    spread: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What the pods may reach, and as whom.

    Attributes:
        secret: a Secret that is there already and has the store's URL under `url`; None: one named as the job.
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
    """How the pods of a job are to be.

    Attributes:
        image: container image that has `sweeps` and a shell in it.
        namespace: None: that of whoever applies the manifest.
        artifacts: where checkpoints go, as the pods see it; None: nowhere.
        claims: persistent volume claims, each CLAIM:/PATH or CLAIM:/PATH:ro.
        labels: further labels of the job and its pods, each KEY=VALUE.
    """

    image: str
    namespace: str | None = None
    artifacts: str | None = None
    claims: Sequence[str] = ()
    labels: Sequence[str] = ()
    size: Size = field(default_factory=Size)
    placement: Placement = field(default_factory=Placement)
    access: Access = field(default_factory=Access)
    exit_when_idle: bool = False


@dataclass(frozen=True, slots=True)
class Mount:
    """A persistent volume claim, and where it is in a pod."""

    claim: str
    path: str
    read_only: bool


def mounts(claims: Sequence[str]) -> list[Mount]:
    """Claims as `CLAIM:/PATH` or, read-only, `CLAIM:/PATH:ro`.

    Raises:
        InputError: one is neither, or at the path of another or of ours.
    """
    found: dict[str, Mount] = {}
    for text in claims:
        match = re.fullmatch(rf"({NAME}(?:\.{NAME})*):(/[^:\0]*?[^:/\0])/*(:ro)?", text)
        if match is None:
            raise InputError(f"--claim {text}: write CLAIM:/PATH, or CLAIM:/PATH:ro for what is only read")
        claim, path, read_only = match.groups()
        if path in (SECRET_FOLDER, SCRATCH, *found):
            raise InputError(f"--claim {text}: {path} is taken in the pods; name another path")
        found[path] = Mount(claim, path, read_only is not None)
    return list(found.values())


def require_place(artifacts: str | None, mounted: Sequence[Mount]) -> None:
    """Make sure that checkpoints outlive their pod.

    Raises:
        InputError: they are to go to a folder that is on no claim, or to no such place.
    """
    if artifacts is None or artifacts.startswith(("s3://", "gs://")):
        return
    path = artifacts.removeprefix("file://")
    if not path.startswith("/") or "/.." in path or "\0" in path:
        raise InputError("--artifacts: write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or the full path of a folder")
    if not any(f"{path}/".startswith(f"{each.path}/") for each in mounted if not each.read_only):
        raise InputError(f"--artifacts {artifacts}: would end with its pod; mount a claim there: --claim CLAIM:{path}")


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """Labels as `KEY=VALUE`.

    Raises:
        InputError: one is none.
    """
    found = {}
    for text in texts:
        match = re.fullmatch(r"([A-Za-z0-9][-A-Za-z0-9_./]*)=([-A-Za-z0-9_.]*)", text)
        if match is None:
            raise InputError(f"{option} {text}: write KEY=VALUE")
        found[match[1]] = match[2]
    return found


def toleration(text: str) -> dict[str, str]:
    """A toleration as `KEY[=VALUE][:EFFECT]`, as the API takes it.

    Raises:
        InputError: it is none.
    """
    match = re.fullmatch(r"([^=:\s]+)(?:=([^=:\s]*))?(?::(\w+))?", text)
    if match is None or (match[3] and match[3] not in EFFECTS):
        raise InputError(f"--toleration {text}: write KEY[=VALUE][:EFFECT], the effect one of {', '.join(EFFECTS)}")
    key, value, effect = match.groups()
    said = {"operator": "Exists"} if value is None else {"operator": "Equal", "value": value}
    return {"key": key, **said, **({"effect": effect} if effect else {})}


def memory(each: str, workers: int) -> str:
    """What so many workers need together.

    Raises:
        InputError: it is no amount of memory.
    """
    match = re.fullmatch(r"([1-9][0-9]*)([KMGT]i|[kMGT])?", each)
    if match is None:
        raise InputError(f"--memory-per-worker {each}: write a whole number and a unit, e.g. 4Gi")
    return f"{int(match[1]) * workers}{match[2] or ''}"


def user(text: str) -> tuple[int, int]:
    """UID and GID of `UID[:GID]`; the GID is the UID where none is said.

    Raises:
        InputError: it is none, or root's.
    """
    match = re.fullmatch(r"([1-9][0-9]{0,9})(?::([1-9][0-9]{0,9}))?", text)
    if match is None:
        raise InputError(f"--user {text}: write UID or UID:GID in numbers, and not root's")
    return int(match[1]), int(match[2] or match[1])


def require_names(options: PodOptions) -> None:
    """Make sure that names are such, since they also stand in commands that people are told.

    Raises:
        InputError: one is none.
    """
    if not options.image:
        raise InputError("--image is missing: name a container image that has sweeps in it")
    if not re.fullmatch(r"[A-Za-z0-9][-A-Za-z0-9._:/@]*", options.image):
        raise InputError(f"--image {options.image!r}: no name of an image; write e.g. registry.example/sweeps:1.0")
    if options.namespace is not None and not re.fullmatch(NAME, options.namespace):
        raise InputError(f"--namespace {options.namespace!r}: no name of a namespace")
    access, placement = options.access, options.placement
    named = {
        "--secret": [access.secret],
        "--env-secret": access.env_secrets,
        "--pull-secret": access.pull_secrets,
        "--service-account": [access.service_account],
        "--priority-class": [placement.priority_class],
    }
    for option, names in named.items():
        for name in names:
            if name is not None and not re.fullmatch(rf"{NAME}(?:\.{NAME})*", name):
                raise InputError(f"{option} {name!r}: names on Kubernetes have lower-case letters, digits, - and .")
