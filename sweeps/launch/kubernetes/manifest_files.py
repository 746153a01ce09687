"""Manifests as files: for `kubectl apply -f` and for kustomize, without the store's URL."""

import math
import re
import shlex
import shutil
import uuid
from pathlib import Path
from typing import Any

import yaml

from sweeps.errors import InputError
from sweeps.launch.job import Job
from sweeps.launch.kubernetes.manifest import SECRET_KEY, manifest
from sweeps.launch.kubernetes.pod_options import PodOptions

# Kustomize writes these out bare, and then refuses them or reads a space.
UNREADABLE = re.compile("[\x7f-\x9f\ufffe\uffff]")


class _Quoting(yaml.SafeDumper):
    """Quotes every text that is not plainly a word: Kubernetes' reader takes 1e3 and 0o14 for numbers, PyYAML not."""

    def ignore_aliases(self, _data: Any) -> bool:
        """Write everything out."""
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        """A scalar that is a text to any reader."""
        word = len(data) > 1 and data[0].isalpha() and all(sign.isalnum() or sign in "-./" for sign in data)
        style = None if word and data.isascii() else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


_Quoting.add_representer(str, _Quoting.text)


def text(document: dict[str, Any]) -> str:
    """A document as YAML in plain ASCII, which no locale on its way can spoil."""
    return yaml.dump(document, Dumper=_Quoting, sort_keys=False, width=math.inf)


def for_kubectl(job: Job, options: PodOptions) -> str:
    """The Job as a file for `kubectl apply -f`, which says on top how the store's URL gets there.

    Raises:
        InputError: as `manifest`.
    """
    found = manifest(job, options)
    where = ["-n", options.namespace] if options.namespace else []
    make = ["kubectl", *where, "create", "secret", "generic", job.name, f"--from-file={SECRET_KEY}=/dev/stdin"]
    if options.access.secret:
        lines = [f"The store's URL is {SECRET_KEY!r} of the Secret {options.access.secret}, which must be there."]
    else:
        lines = [
            "The store's URL is not in here, it comes from a Secret. Make that one first, from a shell with the URL:",
            f'  printf %s "$SWEEPS_STORAGE" | {shlex.join(make)}',
        ]
    return "".join(f"# {line}\n" for line in lines) + text(found)


def write_base(job: Job, options: PodOptions, folder: Path) -> None:
    """Write a base for kustomize: a new folder, or an empty one that is there; whole or not at all.

    Raises:
        InputError: as `manifest`, or the folder cannot be written.
    """
    for said in (*job.studies, options.artifacts or ""):
        if UNREADABLE.search(said):
            raise InputError(f"{said!r}: kustomize does not keep control characters; --dry-run prints them for kubectl")
    base = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": ["job.yaml"]}
    files = {"kustomization.yaml": text(base), "job.yaml": for_kubectl(job, options)}
    folder = folder.absolute()
    partial = folder.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        partial.mkdir()
        for name, content in files.items():
            (partial / name).write_text(content, encoding="ascii")
        partial.rename(folder)
    except OSError as exc:
        raise InputError(f"--to {folder}: {exc.strerror}; name a new folder, or one that is empty") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
