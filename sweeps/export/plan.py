"""What an export changes: files that are new, as they were, other than what is there, or of what it replaces."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from sweeps.errors import InputError
from sweeps.export import manifest
from sweeps.export.manifest import Entry

FileState = Literal["new", "unchanged", "overwritten", "removed"]
REPLACED = "of the export that this one replaces"
RANKED = re.compile(r"best(_[0-9]+)?")  # names of configurations by their rank


@dataclass(frozen=True, slots=True)
class File:
    """A file to be exported; its entry in the manifest says the rest."""

    content: bytes
    entry: Entry


@dataclass(frozen=True, slots=True)
class WritePlan:
    """What is written and removed.

    Attributes:
        files: name -> content, None where it is removed; the manifest last. Empty where nothing changes.
        states: of the files that were asked for, and of those that are removed.
    """

    files: Mapping[str, bytes | None]
    states: Mapping[str, FileState]


def make_plan(
    wanted: Mapping[str, File], there: Callable[[str], bytes | None], where: str, *, force: bool
) -> WritePlan:
    """Compare what is to be exported with what is there.

    A configuration's files share their stem. Where one of them is not what the manifest notes, those of that stem that
    were exported and are not wanted now are of what is replaced, and are removed; so are lower ranks of a ranking that
    is not that of before.

    Args:
        there: the content of a file of this name, None where there is none.
        where: how messages name the place.
        force: whether files that differ are overwritten, and those of what is replaced removed.

    Raises:
        InputError: files differ that are there, or are to be removed; the message says why.
    """
    noted = _read_noted(there, where, force)
    states: dict[str, FileState] = {}
    problems: dict[str, list[str]] = {}
    for name, file in wanted.items():
        content = there(name)
        if content is None:
            states[name] = "new"
        elif content == file.content:
            states[name] = "unchanged"
        else:
            states[name] = "overwritten"
            if not force:
                difference = _describe_difference(content, noted.get(name), file.entry)
                problems.setdefault(difference, []).append(name)
    lines = [f"{where}: {', '.join(names)}: {text}; --force overwrites" for text, names in problems.items()]
    left = {name: content for name in noted if name not in wanted and (content := there(name)) is not None}
    removed = _list_replaced(left, wanted, noted)
    if removed and not force:
        edited = [name for name in removed if manifest.compute_digest(left[name]) != noted[name].sha256]
        problem = REPLACED
        if edited:
            problem = f"{REPLACED}, and edited since ({', '.join(edited)})"
        lines.append(f"{where}: {', '.join(removed)}: {problem}; --force removes")
    if lines:
        raise InputError("\n".join(lines))
    states |= dict.fromkeys(removed, "removed")
    kept = {name: noted[name] for name in left if name not in removed}
    entries = kept | {name: file.entry for name, file in wanted.items()}
    files: dict[str, bytes | None] = {
        name: file.content for name, file in wanted.items() if states[name] != "unchanged"
    }
    files |= dict.fromkeys(removed)
    listed = manifest.format_manifest(entries).encode()
    if files or there(manifest.NAME) != listed:
        files[manifest.NAME] = listed
    return WritePlan(files, states)


def _read_noted(there: Callable[[str], bytes | None], where: str, force: bool) -> dict[str, Entry]:
    content = there(manifest.NAME)
    if content is None:
        return {}
    try:
        return manifest.parse_manifest(content, f"{where}: {manifest.NAME}")
    except InputError as exc:
        if force:
            return {}
        raise InputError(f"{exc}; --force overwrites it") from exc


def _list_replaced(left: Iterable[str], wanted: Mapping[str, File], noted: Mapping[str, Entry]) -> list[str]:
    """Return files of earlier exports that are not wanted now, of configurations that have changed.

    Where one rank is another trial's by now, the others of that ranking, which nobody asked for, are not what they were
    either. A manifest may be written by anybody: files elsewhere are never among them.
    """
    same = {name for name, file in wanted.items() if name in noted and noted[name].sha256 == file.entry.sha256}
    changed = {_get_stem(name) for name in wanted if name not in same}
    passed = [
        name for name, file in wanted.items() if name in noted and _get_trial(noted[name]) != _get_trial(file.entry)
    ]
    outdated = any(RANKED.fullmatch(_get_stem(name)) for name in passed)
    return [
        name
        for name in left
        if "/" not in name and (_get_stem(name) in changed or (outdated and RANKED.fullmatch(_get_stem(name))))
    ]


def _get_trial(entry: Entry) -> tuple[str, int]:
    return entry.study, entry.trial


def _get_stem(name: str) -> str:
    """Return what a configuration's files share: best of best.toml and best.model.json."""
    return name.partition(".")[0]


def _describe_difference(content: bytes, noted: Entry | None, now: Entry) -> str:
    """Return why a file is not what it is to be."""
    if noted is None:
        return "there already, and not of an export"
    if manifest.compute_digest(content) != noted.sha256:
        return "edited since the export"
    if _get_trial(noted) != _get_trial(now):
        return f"of trial {noted.trial} of {noted.study!r}, and now it would be trial {now.trial} of {now.study!r}"
    return "would be written otherwise now"
