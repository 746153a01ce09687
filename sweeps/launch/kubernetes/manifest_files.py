"""Manifests as files: for `kubectl apply -f` and for kustomize, without the store's URL."""

import math
import re
import shlex
from pathlib import Path
from typing import Any

import yaml

from sweeps.errors import InputError
from sweeps.files import creating_folder
from sweeps.launch.job import Job
from sweeps.launch.kubernetes.manifest import SECRET_KEY, make_manifest
from sweeps.launch.kubernetes.pod_options import PodOptions

# Kustomize writes these characters without quotes, and then refuses them or reads a space.
UNREADABLE = re.compile("[\x7f-\x9f\ufffe\uffff]")


class _QuotingDumper(yaml.SafeDumper):
    """A dumper that quotes every text but plain words: Kubernetes reads 1e3 and 0o14 as numbers, PyYAML does not."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Return True: repeated values are written out each time."""
        return True

    def represent_text(self, data: str) -> yaml.ScalarNode:
        """Return a scalar that every reader takes for a text."""
        is_word = len(data) > 1 and data[0].isalpha() and all(sign.isalnum() or sign in "-./" for sign in data)
        style: str | None = '"'
        if is_word and data.isascii():
            style = None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_QuotingDumper.add_representer(str, _QuotingDumper.represent_text)


def to_yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML in ASCII, which no locale on its way can change."""
    return yaml.dump(document, Dumper=_QuotingDumper, sort_keys=False, width=math.inf)


def kubectl_manifest(job: Job, options: PodOptions) -> str:
    """Return the Job as a file for `kubectl apply -f`; its first lines say where the store's URL comes from.

    Raises:
        InputError: see `make_manifest`.
    """
    manifest = make_manifest(job, options)
    if options.access.secret:
        lines = [f"The store's URL is {SECRET_KEY!r} of the Secret {options.access.secret}, which must be there."]
    else:
        command = ["kubectl"]
        if options.namespace:
            command += ["-n", options.namespace]
        command += ["create", "secret", "generic", job.name, f"--from-file={SECRET_KEY}=/dev/stdin"]
        lines = [
            "The store's URL is not in here, it comes from a Secret. Make that one first, from a shell with the URL:",
            f'  printf %s "$SWEEPS_STORAGE" | {shlex.join(command)}',
        ]
    return "".join(f"# {line}\n" for line in lines) + to_yaml(manifest)


def write_kustomize_base(job: Job, options: PodOptions, folder: Path) -> None:
    """Write a base for kustomize into a new folder, or an empty one; whole or not at all.

    Raises:
        InputError: see `make_manifest`; or the folder cannot be written.
    """
    texts = list(job.studies)
    if options.artifacts is not None:
        texts.append(options.artifacts)
    for text in texts:
        if UNREADABLE.search(text):
            raise InputError(f"{text!r}: kustomize does not keep control characters; --dry-run prints them for kubectl")
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["job.yaml"],
    }
    files = {"kustomization.yaml": to_yaml(kustomization), "job.yaml": kubectl_manifest(job, options)}
    folder = folder.absolute()
    try:
        with creating_folder(folder) as partial:
            for name, content in files.items():
                (partial / name).write_text(content, encoding="ascii")
    except OSError as exc:
        raise InputError(f"--to {folder}: {exc.strerror}; name a new folder, or one that is empty") from exc
