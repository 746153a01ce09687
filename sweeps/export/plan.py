"""What an export changes: files that are new, as they were, or other than what is there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from sweeps.errors import InputError
from sweeps.export import manifest
from sweeps.export.manifest import Entry

State = Literal["new", "unchanged", "overwritten"]


@dataclass(frozen=True, slots=True)
class File:
    """A file to be exported; its entry in the manifest says the rest."""

    content: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class Plan:
    """What is written.

    Attributes:
        files: name -> content, the manifest last; empty where nothing changes.
        states: of the files that were asked for.
    """

    files: Mapping[str, bytes]
    states: Mapping[str, State]


def plan(wanted: Mapping[str, File], there: Callable[[str], bytes | None], where: str, *, force: bool) -> Plan:
    """Compare what is to be exported with what is there.

    Args:
        there: the content of a file of this name, None where there is none.
        where: how messages name the place.
        force: whether files that differ are overwritten.

    Raises:
        InputError: files differ that are there; the message says why.
    """
    noted = _noted(there, where, force)
    states: dict[str, State] = {}
    problems: dict[str, list[str]] = {}
    for name, file in wanted.items():
        found = there(name)
        same = found == file.content
        states[name] = "new" if found is None else "unchanged" if same else "overwritten"
        if found is not None and not same and not force:
            problems.setdefault(_difference(found, noted.get(name), file.entry), []).append(name)
    if problems:
        lines = [f"{where}: {', '.join(names)}: {words}; --force overwrites" for words, names in problems.items()]
        raise InputError("\n".join(lines))
    kept = {name: entry for name, entry in noted.items() if name not in wanted and there(name) is not None}
    entries = kept | {name: file.entry for name, file in wanted.items()}
    files = {name: file.content for name, file in wanted.items() if states[name] != "unchanged"}
    listed = manifest.text(entries).encode()
    if files or there(manifest.NAME) != listed:
        files[manifest.NAME] = listed
    return Plan(files, states)


def _noted(there: Callable[[str], bytes | None], where: str, force: bool) -> dict[str, Entry]:
    found = there(manifest.NAME)
    if found is None:
        return {}
    try:
        return manifest.parse(found, f"{where}: {manifest.NAME}")
    except InputError as exc:
        if force:
            return {}
        raise InputError(f"{exc}; --force overwrites it") from exc


def _difference(found: bytes, noted: Entry | None, now: Entry) -> str:
    """Why a file is not what it is to be."""
    if noted is None:
        return "there already, and not of an export"
    if manifest.digest(found) != noted.sha256:
        return "edited since the export"
    if (noted.study, noted.trial) != (now.study, now.trial):
        return f"of trial {noted.trial} of {noted.study!r}, and now it would be trial {now.trial} of {now.study!r}"
    return "would be written otherwise now"
