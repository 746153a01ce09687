"""Kubernetes' own rules, written down a second time from its documentation: what its schema does not say."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"
LABEL_KEY = rf"({NAME}(\.{NAME})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
QUANTITY = r"[0-9]+(\.[0-9]+)?(m|[kMGTPE]|[KMGTPE]i)?"
ENUMS = {
    "completionMode": {"Indexed", "NonIndexed"},
    "podReplacementPolicy": {"Failed", "TerminatingOrFailed"},
    "restartPolicy": {"Never", "OnFailure"},  # of a Job's pods
    "whenUnsatisfiable": {"DoNotSchedule", "ScheduleAnyway"},
    "effect": {"NoSchedule", "PreferNoSchedule", "NoExecute"},
    "action": {"FailJob", "FailIndex", "Ignore", "Count"},
    "fsGroupChangePolicy": {"Always", "OnRootMismatch"},
}


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Commands and values as a kubelet reads them: `$$` is `$`, `$(NAME)` a variable if there is one of that name."""
    result, rest = "", text
    while rest:
        if rest.startswith("$$"):
            result, rest = result + "$", rest[2:]
        elif rest.startswith("$(") and ")" in rest:
            name, _, after = rest[2:].partition(")")
            result, rest = result + variables.get(name, f"$({name})"), after
        else:
            result, rest = result + rest[0], rest[1:]
    return result


def problems(document: dict[str, Any]) -> list[str]:
    """What an API server would refuse of a Job with an index per pod."""
    return [*_of_job(document), *_of_values(document, ""), *_of_pod(document["spec"]["template"]["spec"])]


def _of_job(document: dict[str, Any]) -> Iterator[str]:
    spec = document["spec"]
    meta, pods = document["metadata"], spec["template"]["metadata"]
    # The last pod's host name is the Job's with its index.
    if not re.fullmatch(NAME, meta["name"]) or len(f"{meta['name']}-{spec['completions'] - 1}") > 63:
        yield f"name {meta['name']}"
    for key, value in [*meta["labels"].items(), *pods["labels"].items()]:
        if not re.fullmatch(LABEL_KEY, key) or not re.fullmatch(LABEL_VALUE, value):
            yield f"label {key}={value}"
    if "backoffLimitPerIndex" in spec and spec["completionMode"] != "Indexed":
        yield "backoffLimitPerIndex without indices"
    if "podFailurePolicy" in spec and spec["template"]["spec"]["restartPolicy"] != "Never":
        yield "podFailurePolicy of pods that are restarted"
    if "podFailurePolicy" in spec and spec.get("podReplacementPolicy", "Failed") != "Failed":
        yield "podFailurePolicy and podReplacementPolicy"
    containers = {container["name"] for container in spec["template"]["spec"]["containers"]}
    for rule in spec["podFailurePolicy"]["rules"]:
        yield from _of_rule(rule, containers)


def _of_rule(rule: dict[str, Any], containers: set[str]) -> Iterator[str]:
    if ("onExitCodes" in rule) == ("onPodConditions" in rule):
        yield "a rule has either exit codes or conditions"
    if codes := rule.get("onExitCodes"):
        values = codes["values"]
        if codes["operator"] not in ("In", "NotIn") or codes["containerName"] not in containers:
            yield f"exit codes {codes}"
        if values != sorted(set(values)) or not values or (codes["operator"] == "In" and 0 in values):
            yield f"values {values}"
    for condition in rule.get("onPodConditions", []):
        if condition["status"] not in ("True", "False", "Unknown"):
            yield f"condition {condition}"


def _of_values(value: Any, key: str) -> Iterator[str]:
    """Enumerations, wherever they stand."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _of_values(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _of_values(inner, key)
    elif key in ENUMS and value not in ENUMS[key]:
        yield f"{key}: {value}"


def _of_pod(spec: dict[str, Any]) -> Iterator[str]:
    for toleration in spec.get("tolerations", []):
        if toleration["operator"] not in ("Exists", "Equal"):
            yield f"toleration {toleration}"
        if toleration["operator"] == "Exists" and toleration.get("value"):
            yield f"toleration {toleration}"
    security = spec["securityContext"]
    if security["seccompProfile"]["type"] not in ("RuntimeDefault", "Unconfined", "Localhost"):
        yield "seccompProfile"
    if security["runAsNonRoot"] and security["runAsUser"] == 0:
        yield "root is root"
    volumes = [volume["name"] for volume in spec["volumes"]]
    if len(set(volumes)) < len(volumes) or not all(re.fullmatch(NAME, name) for name in volumes):
        yield f"volumes {volumes}"
    for container in spec["containers"]:
        yield from _of_container(container, set(volumes))


def _of_container(container: dict[str, Any], volumes: set[str]) -> Iterator[str]:
    paths = [mount["mountPath"] for mount in container["volumeMounts"]]
    if len(set(paths)) < len(paths) or not {mount["name"] for mount in container["volumeMounts"]} <= volumes:
        yield f"mounts {container['volumeMounts']}"
    if any(not path.startswith("/") or ":" in path for path in paths):
        yield f"paths {paths}"
    requests, limits = container["resources"]["requests"], container["resources"]["limits"]
    for amount in [*requests.values(), *limits.values()]:
        if not re.fullmatch(QUANTITY, amount):
            yield f"quantity {amount}"
    extended = {name for name in {*requests, *limits} if "/" in name}
    if any(requests.get(name) != limits.get(name) for name in extended):
        yield "what is counted in wholes has a request that is its limit"
    names = [variable["name"] for variable in container["env"]]
    if len(set(names)) < len(names) or not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names):
        yield f"environment {names}"
