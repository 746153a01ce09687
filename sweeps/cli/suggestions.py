"""Hints: the commands that a person may type next, word for word."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sweeps import store
from sweeps.space.space import Space


def next_commands(
    storage_url: str, space: Space, path: Path, overrides: Sequence[str], artifacts: str | None, *, learned: bool
) -> str:
    """What a person may type next, word for word; where nothing `learned` there is no best to be confirmed."""
    sweeps, where = _typed("sweeps"), _storage_option(storage_url)
    kept = [override for override in overrides if override.partition("=")[0].strip() != "budget.trials"]
    kept.append(f"budget.trials={2 * space.budget.trials}")
    again, place = shlex.join(set_options(kept)), f" --artifacts {shlex.quote(artifacts)}" if artifacts else ""
    study = f"{shlex.quote(space.name)}{where}"
    best = [
        f"  {sweeps} confirm {study}{place}   # is the best better than its noise?",
        f"  {sweeps} export {study} --to exported   # the best at full size, for your training repository",
    ]
    return "\n".join(
        [
            f"next{_held(storage_url)}:",
            f"  {sweeps} report {study}   # a page: what decides, and how runs died",
            *(best if learned else ()),
            f"  {sweeps} run {shlex.quote(str(path))}{where} {again}{place}   # go on with twice the trials",
            f"  {sweeps} dashboard{where}{place}",
        ]
    )


def worker_command(storage_url: str, study: str) -> str:
    """What starts a worker of a study, on this machine or another."""
    return f"{_typed('sweeps')} worker {shlex.quote(study)}{_storage_option(storage_url)}"


def delete_command(storage_url: str, study: str) -> str:
    """What deletes a study; optuna's command reads no variable of ours, and no password is printed."""
    url = shlex.quote(storage_url)
    if _is_secret(storage_url):
        url = f'"$(cat "${store.FILE_VARIABLE}")"' if _in_file() else f'"${store.VARIABLE}"'
    return f"{_typed('optuna')} delete-study --study-name {shlex.quote(study)} --storage {url}"


def set_options(overrides: Sequence[str]) -> list[str]:
    """The options that set these values again."""
    return [word for override in overrides for word in ("--set", override)]


def _storage_option(storage_url: str) -> str:
    """Nothing for the default store, nor for a URL with a password, which the environment holds."""
    if storage_url == store.DEFAULT_URL or _is_secret(storage_url):
        return ""
    return f" --storage {shlex.quote(storage_url)}"


def _held(storage_url: str) -> str:
    """What has to hold a URL with a password, in words."""
    if not _is_secret(storage_url):
        return ""
    if _in_file():
        return f", with the file of the store's URL in {store.FILE_VARIABLE}"
    return f", with the store's URL in {store.VARIABLE}"


def _in_file() -> bool:
    """Whether the environment names a file that holds the URL."""
    return bool(os.environ.get(store.FILE_VARIABLE)) and not os.environ.get(store.VARIABLE)


def _is_secret(storage_url: str) -> bool:
    return store.masked(storage_url) != storage_url


def _typed(name: str) -> str:
    """A command of this installation as it can be typed here: by name if that finds it, else by its path."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and Path(found).resolve() == beside.resolve():
        return name
    return shlex.quote(os.path.relpath(beside) if beside.is_relative_to(Path.cwd()) else str(beside))
