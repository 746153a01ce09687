"""The manifest of a Job of batch/v1, made by pure functions from a job and the options of its pods.

The Job has an index per pod: an index that ends well is done, one that was asked to leave is started again at no cost.
Whatever the options cannot express can be patched with kustomize.
"""

import re
from collections.abc import Sequence
from typing import Any

from sweeps.environment import (
    ARTIFACTS_VARIABLE,
    JOB_VARIABLE,
    LOG_FORMAT_VARIABLE,
    STORAGE_FILE_VARIABLE,
    TRUST_VARIABLE,
)
from sweeps.errors import InputError
from sweeps.launch.job import INTERRUPTED, Job
from sweeps.launch.kubernetes import pod_options
from sweeps.launch.kubernetes.pod_options import SCRATCH, SECRET_FOLDER, Mount, PodOptions
from sweeps.worker.shutdown import POD_S

UNUSABLE = 2  # the exit code of workers whose input somebody has to correct
# An index may fail when a node runs out of memory, or a store is away for a quarter of an hour. Kubernetes doubles the
# wait between starts up to six minutes: twenty failures in a row take two hours; a pool's have to last for weeks.
FAILURES_PER_INDEX = 20
KEPT_S = 24 * 3600  # how long a job that has ended can be inspected
SECRET_KEY = "url"
SCRATCH_SIZE = "10Gi"  # room for the data sets that Keras fetches
SECRET_MODE = 0o440  # for the pods' group, which is not root's
CONTAINER = "workers"


def make_manifest(job: Job, options: PodOptions) -> dict[str, Any]:
    """Return the Job as the API takes it.

    Raises:
        InputError: an option cannot be used, or a study's name cannot be an argument.
    """
    pod_options.require_names(options)
    _require_arguments(job.studies)
    labels = pod_options.parse_pairs("--label", options.labels) | _job_labels(job)
    metadata: dict[str, Any] = {"name": job.name}
    if options.namespace:
        metadata["namespace"] = options.namespace
    metadata["labels"] = labels
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata,
        "spec": {
            "completionMode": "Indexed",
            "completions": job.tasks,
            "parallelism": job.tasks,
            # No maxFailedIndexes: when one index has failed, the others go on with its trials.
            "backoffLimitPerIndex": FAILURES_PER_INDEX,
            "podFailurePolicy": {"rules": _failure_rules()},
            "podReplacementPolicy": "Failed",  # a pod that is leaving still has its trial and its GPU
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": labels}, "spec": _pod_spec(job, options)},
        },
    }


def _require_arguments(studies: Sequence[str]) -> None:
    """Check that the names of studies can be arguments of a command in a manifest.

    Raises:
        InputError: one cannot.
    """
    for study in studies:
        try:
            study.encode()
        except UnicodeEncodeError:
            raise InputError(f"study {study!r}: no text in UTF-8, which is all that a manifest can hold") from None
        if "\0" in study:
            raise InputError(f"study {study!r}: a zero byte cannot be in an argument")


def _job_labels(job: Job) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "sweeps",
        "app.kubernetes.io/instance": job.name,
        "app.kubernetes.io/component": "worker",
        "app.kubernetes.io/managed-by": "sweeps",
    }


def _failure_rules() -> list[dict[str, Any]]:
    """Return what the end of a pod means: the first rule that fits decides; without one, the pod has failed."""

    def exited_with(code: int) -> dict[str, Any]:
        return {"containerName": CONTAINER, "operator": "In", "values": [code]}

    return [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": exited_with(INTERRUPTED)},
        # Not FailJob: a store that is away while one pod starts must not end those that train.
        {"action": "FailIndex", "onExitCodes": exited_with(UNUSABLE)},
    ]


def _pod_spec(job: Job, options: PodOptions) -> dict[str, Any]:
    access = options.access
    placement = options.placement
    mounts = pod_options.parse_claims(options.claims)
    pod_options.require_lasting_artifacts(options.artifacts, mounts)
    topology = []
    if placement.spread:
        topology.append(_spread_over_nodes(job))
    optional = {
        "serviceAccountName": access.service_account,
        "imagePullSecrets": [{"name": name} for name in access.pull_secrets],
        "priorityClassName": placement.priority_class,
        "nodeSelector": pod_options.parse_pairs("--node-selector", placement.node_selectors),
        "tolerations": [pod_options.parse_toleration(text) for text in placement.tolerations],
        "topologySpreadConstraints": topology,
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": int(POD_S),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _security_context(access.user),
    }
    spec |= {key: value for key, value in optional.items() if value}
    spec["containers"] = [_container_spec(job, options, mounts)]
    storage_volume = {
        "name": "storage",
        "secret": {
            "secretName": access.secret or job.name,
            "items": [{"key": SECRET_KEY, "path": SECRET_KEY}],
            "defaultMode": SECRET_MODE,
        },
    }
    scratch_volume = {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH_SIZE}}
    spec["volumes"] = [storage_volume, scratch_volume] + _claim_volumes(mounts)
    return spec


def _container_spec(job: Job, options: PodOptions, mounts: Sequence[Mount]) -> dict[str, Any]:
    workers = min(job.workers, job.workers_per_task)
    resources = {
        "cpu": str(options.resources.cpus_per_worker * workers),
        "memory": pod_options.multiply_memory(options.resources.memory_per_worker, workers),
    }
    if job.workers_per_gpu:
        resources[options.resources.gpu_resource] = "1"
    command = pod_command(job, exit_when_idle=options.exit_when_idle)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": options.image,
        "command": [escape_variables(argument) for argument in command],
        "env": _environment_variables(job, options),
    }
    if options.access.env_secrets:
        container["envFrom"] = [{"secretRef": {"name": name}} for name in options.access.env_secrets]
    container["resources"] = {"requests": resources, "limits": resources}
    container["securityContext"] = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    container["volumeMounts"] = _volume_mounts(mounts)
    return container


def _volume_mounts(mounts: Sequence[Mount]) -> list[dict[str, Any]]:
    volume_mounts: list[dict[str, Any]] = [
        {"name": "storage", "mountPath": SECRET_FOLDER, "readOnly": True},
        {"name": "scratch", "mountPath": SCRATCH},
    ]
    volumes = _name_volumes(mounts)
    volume_mounts += [
        {"name": volumes[mount.claim], "mountPath": mount.path, "readOnly": mount.read_only} for mount in mounts
    ]
    return volume_mounts


def pod_command(job: Job, *, exit_when_idle: bool = False) -> list[str]:
    """Return the command of a pod: a supervisor of its workers, in a shell if the last pod has fewer workers."""
    workers = job.workers_per_task
    last_workers = job.workers_of_last_task
    options = ["--workers-per-gpu", str(workers)]
    if exit_when_idle:
        options.append("--exit-when-idle")
    options += job.served_arguments()
    if job.tasks == 1 or last_workers == workers:
        command = ["sweeps", "launch", "local", "--workers", str(last_workers)]
    else:
        script = (
            f'workers={workers}; if [ "$JOB_COMPLETION_INDEX" -eq {job.tasks - 1} ]; then workers={last_workers}; fi; '
            'exec sweeps launch local --workers "$workers" "$@"'
        )
        command = ["/bin/sh", "-c", script, "sh"]
    return command + options


def escape_variables(text: str) -> str:
    """Return the text so that Kubernetes leaves it as it is: it replaces `$(NAME)` by a variable and `$$` by `$`."""
    return re.sub(r"\$(?=[$(])", "$$", text)


def _environment_variables(job: Job, options: PodOptions) -> list[dict[str, Any]]:
    def field_of_pod(name: str, path: str) -> dict[str, Any]:
        return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}

    fixed = {STORAGE_FILE_VARIABLE: f"{SECRET_FOLDER}/{SECRET_KEY}", "HOME": SCRATCH}
    if options.artifacts is not None:
        fixed[ARTIFACTS_VARIABLE] = escape_variables(options.artifacts)
    if options.log_format != "text":
        fixed[LOG_FORMAT_VARIABLE] = options.log_format
    if options.trust:
        fixed[TRUST_VARIABLE] = options.trust
    if not job.workers_per_gpu:
        fixed["CUDA_VISIBLE_DEVICES"] = "-1"  # some nodes show their GPUs to every container
    variables = [
        field_of_pod("POD_NAMESPACE", "metadata.namespace"),
        field_of_pod("POD_NAME", "metadata.name"),
        {"name": JOB_VARIABLE, "value": "kubernetes $(POD_NAMESPACE)/$(POD_NAME)"},
    ]
    variables += [{"name": name, "value": value} for name, value in fixed.items()]
    return variables


def _security_context(text: str) -> dict[str, Any]:
    """Return the user of a pod; a volume that it may write gets the group, unless its top folder has it already."""
    uid, gid = pod_options.parse_user(text)
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def _name_volumes(mounts: Sequence[Mount]) -> dict[str, str]:
    """Return the name of each claim's volume: one per claim, since a kubelet may wait for ever for a second one."""
    claims = dict.fromkeys(mount.claim for mount in mounts)
    return {claim: f"claim-{index}" for index, claim in enumerate(claims)}


def _claim_volumes(mounts: Sequence[Mount]) -> list[dict[str, Any]]:
    volumes = []
    for claim, name in _name_volumes(mounts).items():
        read_only = all(mount.read_only for mount in mounts if mount.claim == claim)
        volumes.append({"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": read_only}})
    return volumes


def _spread_over_nodes(job: Job) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app.kubernetes.io/instance": job.name}},
    }
