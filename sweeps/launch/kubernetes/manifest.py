"""What Kubernetes is asked for: pure functions from a job and its options to a Job of batch/v1, as a dict and as YAML.

A Job with an index per pod: an index that ends well is done, one that was told to leave is started again at no cost.
What the options cannot express, kustomize patches.
"""

import re
from collections.abc import Sequence
from typing import Any

from sweeps.errors import InputError
from sweeps.launch.job import INTERRUPTED, Job
from sweeps.launch.kubernetes import pod_options
from sweeps.launch.kubernetes.pod_options import SCRATCH, SECRET_FOLDER, Mount, PodOptions

UNUSABLE = 2  # the exit code that says that a person has to mend something
# What an index may fail of: a node's memory, a store away for a quarter of an hour. The wait between doubles, to six
# minutes (Kubernetes' own), so twenty are two hours of nothing but failing; for a pool they must last for weeks.
FAILURES_PER_INDEX = 20
LEAVE_S = 75  # from SIGTERM to SIGKILL: longer than a supervisor waits for its workers
KEPT_S = 24 * 3600  # how long a job that has ended can be looked at
SECRET_KEY = "url"
SCRATCH_SIZE = "10Gi"  # room for the data sets that Keras fetches
SECRET_MODE = 0o440  # for the pods' group, which is not root's
CONTAINER = "workers"


def manifest(job: Job, options: PodOptions) -> dict[str, Any]:
    """The Job, as the API takes it.

    Raises:
        InputError: an option is no such thing, or a study's name cannot be an argument.
    """
    pod_options.require_names(options)
    _require_arguments(job.studies)
    labels = {**pod_options.pairs("--label", options.labels), **_labels(job)}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job.name,
            **({"namespace": options.namespace} if options.namespace else {}),
            "labels": labels,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": job.tasks,
            "parallelism": job.tasks,
            # No maxFailedIndexes: that one has failed is no reason to end the others, who go on with its trials.
            "backoffLimitPerIndex": FAILURES_PER_INDEX,
            "podFailurePolicy": {"rules": _rules()},
            "podReplacementPolicy": "Failed",  # one that is leaving still has its trial and its GPU
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": _pod(job, options)},
        },
    }


def _require_arguments(studies: Sequence[str]) -> None:
    for study in studies:
        try:
            study.encode()
        except UnicodeEncodeError:
            raise InputError(f"study {study!r}: no text in UTF-8, which is all that a manifest can hold") from None
        if "\0" in study:
            raise InputError(f"study {study!r}: a zero byte cannot be in an argument")


def _labels(job: Job) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "sweeps",
        "app.kubernetes.io/instance": job.name,
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/managed-by": "sweeps",
    }


def _rules() -> list[dict[str, Any]]:
    """What a pod's end means; the first rule that fits decides, and what fits none counts as a failure."""

    def exits(code: int) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": [code]}

    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": exits(INTERRUPTED)},
        # Not FailJob: a store that is away while one pod starts must not end those that train.
        {"action": "FailIndex", "onExitCodes": exits(UNUSABLE)},
    ]


def _pod(job: Job, options: PodOptions) -> dict[str, Any]:
    access, placement = options.access, options.placement
    mounted = pod_options.mounts(options.claims)
    pod_options.require_place(options.artifacts, mounted)
    asked = {
        "serviceAccountName": access.service_account,
        "imagePullSecrets": [{"name": name} for name in access.pull_secrets],
        "priorityClassName": placement.priority_class,
        "nodeSelector": pod_options.pairs("--node-selector", placement.node_selectors),
        "tolerations": [pod_options.toleration(text) for text in placement.tolerations],
        "topologySpreadConstraints": [_spread(job)] if placement.spread else [],
    }
    return {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": LEAVE_S,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _user(access.user),
        **{key: value for key, value in asked.items() if value},
        "containers": [_container(job, options, mounted)],
        "volumes": [
            {
                "name": "storage",
                "secret": {
                    "secretName": access.secret or job.name,
                    "items": [{"key": SECRET_KEY, "path": SECRET_KEY}],
                    "defaultMode": SECRET_MODE,
                },
            },
            {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_SIZE}},
            *_claimed(mounted),
        ],
    }


def _container(job: Job, options: PodOptions, mounted: Sequence[Mount]) -> dict[str, Any]:
    from_secrets = [{"secretRef": {"name": name}} for name in options.access.env_secrets]
    workers = min(job.workers, job.workers_per_task)
    needed = {
        "cpu": str(options.size.cpus_per_worker * workers),
        "memory": pod_options.memory(options.size.memory_per_worker, workers),
        **({options.size.gpu_resource: "1"} if job.workers_per_gpu else {}),
    }
    volumes = _volumes(mounted)
    return {
        "name": CONTAINER,
        "image": options.image,
        "command": [literal(word) for word in command(job, exit_when_idle=options.exit_when_idle)],
        "env": _environment(job, options.artifacts),
        **({"envFrom": from_secrets} if from_secrets else {}),
        "resources": {"requests": needed, "limits": needed},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "storage", "mountPath": SECRET_FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": SCRATCH},
            *({"name": volumes[each.claim], "mountPath": each.path, "readOnly": each.read_only} for each in mounted),
        ],
    }


def command(job: Job, *, exit_when_idle: bool = False) -> list[str]:
    """What a pod runs: a supervisor of its workers; through a shell only where the last pod has fewer of them."""
    each, last = job.workers_per_task, job.workers_of_last_task
    words = ["--workers-per-gpu", str(each), *(["--exit-when-idle"] if exit_when_idle else []), *job.served()]
    if job.tasks == 1 or last == each:
        return ["sweeps", "launch", "local", "--workers", str(last), *words]
    script = (
        f'workers={each}; if [ "$JOB_COMPLETION_INDEX" -eq {job.tasks - 1} ]; then workers={last}; fi; '
        'exec sweeps launch local --workers "$workers" "$@"'
    )
    return ["/bin/sh", "-c", script, "sh", *words]


def literal(text: str) -> str:
    """A text that Kubernetes leaves as it is: in commands and values `$(NAME)` is a variable and `$$` is `$`."""
    return re.sub(r"\$(?=[$(])", "$$", text)


def _environment(job: Job, artifacts: str | None) -> list[dict[str, Any]]:
    def of_pod(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    fixed = {"SWEEPS_STORAGE_FILE": f"{SECRET_FOLDER}/{SECRET_KEY}", "HOME": SCRATCH}
    if artifacts is not None:
        fixed["SWEEPS_ARTIFACTS"] = literal(artifacts)
    if not job.workers_per_gpu:
        fixed["CUDA_VISIBLE_DEVICES"] = "-1"  # some nodes show their GPUs to every container
    return [
        of_pod("POD_NAMESPACE", "metadata.namespace"),
        of_pod("POD_NAME", "metadata.name"),
        {"name": "SWEEPS_JOB", "value": "kubernetes $(POD_NAMESPACE)/$(POD_NAME)"},
        *({"name": name, "value": value} for name, value in fixed.items()),
    ]


def _user(text: str) -> dict[str, Any]:
    """As whom a pod runs. A volume that it may write gets the group, unless its top folder has it already."""
    uid, gid = pod_options.user(text)
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _volumes(mounted: Sequence[Mount]) -> dict[str, str]:
    """The volume of each claim: one, wherever it is mounted, since a kubelet may wait for ever for a second one."""
    return {claim: f"claim-{index}" for index, claim in enumerate(dict.fromkeys(each.claim for each in mounted))}


def _claimed(mounted: Sequence[Mount]) -> list[dict[str, Any]]:
    def source(claim: str) -> dict[str, Any]:
        return {"claimName": claim, "readOnly": all(each.read_only for each in mounted if each.claim == claim)}

    return [{"name": volume, "persistentVolumeClaim": source(claim)} for claim, volume in _volumes(mounted).items()]


def _spread(job: Job) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": job.name}},
    }
