"""The manifest of an export: which files it wrote, of what, and what they looked like."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sweeps.errors import InputError
from sweeps.version import __version__

NAME = "manifest.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of an export.

    Attributes:
        sha256: of its content.
        study, trial: that it is of.
        store: the URL of the study's store, without its password.
    """

    sha256: str
    study: str
    trial: int
    store: str


def compute_digest(content: bytes) -> str:
    """Return the sha256 of a file's content."""
    return hashlib.sha256(content).hexdigest()


def format_manifest(entries: Mapping[str, Entry]) -> str:
    """Return the content of a manifest; nothing in it is of the moment."""
    files = {name: asdict(entries[name]) for name in sorted(entries)}
    return json.dumps({"version": VERSION, "sweeps": __version__, "files": files}, indent=2, ensure_ascii=False) + "\n"


def parse_manifest(content: bytes, source: str) -> dict[str, Entry]:
    """Read a manifest from its content, as `format_manifest` writes it.

    Raises:
        InputError: it is no manifest of an export.
    """
    try:
        tables = json.loads(content)
        if tables["version"] != VERSION:
            raise InputError(f"{source}: version {tables['version']!r} is unknown; this sweeps reads {VERSION}")
        return {str(name): _make_entry(**entry) for name, entry in tables["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise InputError(f"{source}: is no manifest of an export") from exc


def _make_entry(sha256: str, study: str, trial: int, store: str) -> Entry:
    return Entry(str(sha256), str(study), int(trial), str(store))
