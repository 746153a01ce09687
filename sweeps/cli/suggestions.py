"""Suggestions: the commands that a user may type next, ready to be copied."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sweeps import store
from sweeps.environment import STORAGE_FILE_VARIABLE, STORAGE_VARIABLE
from sweeps.space.space import Space


def next_commands(
    storage_url: str,
    space: Space,
    path: Path,
    *,
    overrides: Sequence[str],
    artifacts: str | None,
    learned: bool,
) -> str:
    """Return the commands that a user may type after `sweeps run`.

    Args:
        path, overrides: the file that was run, and the values that were set.
        learned: some trial learned, so that there is a best one to confirm and to export.
    """
    sweeps_command = _typed_command("sweeps")
    storage_option = _storage_option(storage_url)
    study = f"{shlex.quote(space.name)}{storage_option}"
    artifacts_option = ""
    if artifacts:
        artifacts_option = f" --artifacts {shlex.quote(artifacts)}"
    new_overrides = [override for override in overrides if override.partition("=")[0].strip() != "budget.trials"]
    new_overrides.append(f"budget.trials={2 * space.budget.trials}")
    settings = shlex.join(set_options(new_overrides))
    lines = [
        f"next{_storage_condition(storage_url)}:",
        f"  {sweeps_command} report {study}   # a page: what decides, and how runs died",
    ]
    if learned:
        lines += [
            f"  {sweeps_command} confirm {study}{artifacts_option}   # is the best better than its noise?",
            f"  {sweeps_command} export {study} --to exported   # the best at full size, for your training repository",
        ]
    run_options = f"{storage_option} {settings}{artifacts_option}"
    lines += [
        f"  {sweeps_command} run {shlex.quote(str(path))}{run_options}   # go on with twice the trials",
        f"  {sweeps_command} dashboard{storage_option}{artifacts_option}",
    ]
    return "\n".join(lines)


def worker_command(storage_url: str, study: str) -> str:
    """Return the command that starts a worker of a study, on this machine or another."""
    return f"{_typed_command('sweeps')} worker {shlex.quote(study)}{_storage_option(storage_url)}"


def delete_command(storage_url: str, study: str) -> str:
    """Return the command that deletes a study; no password is in it.

    It is Optuna's command, which knows nothing of our environment variables: the shell expands them.
    """
    url = shlex.quote(storage_url)
    if _has_password(storage_url):
        url = f'"${STORAGE_VARIABLE}"'
        if _url_is_in_file():
            url = f'"$(cat "${STORAGE_FILE_VARIABLE}")"'
    return f"{_typed_command('optuna')} delete-study --study-name {shlex.quote(study)} --storage {url}"


def set_options(overrides: Sequence[str]) -> list[str]:
    """Return the command-line options that set these values again."""
    options = []
    for override in overrides:
        options += ["--set", override]
    return options


def _storage_option(storage_url: str) -> str:
    """Return the option for a store; empty for the default one, and for a URL with a password."""
    if storage_url == store.DEFAULT_URL or _has_password(storage_url):
        return ""
    return f" --storage {shlex.quote(storage_url)}"


def _storage_condition(storage_url: str) -> str:
    """Return what must hold a URL with a password when the commands are typed; empty for other URLs."""
    if not _has_password(storage_url):
        return ""
    if _url_is_in_file():
        return f", with the file of the store's URL in {STORAGE_FILE_VARIABLE}"
    return f", with the store's URL in {STORAGE_VARIABLE}"


def _url_is_in_file() -> bool:
    """Return True if the environment names a file that holds the URL."""
    return bool(os.environ.get(STORAGE_FILE_VARIABLE)) and not os.environ.get(STORAGE_VARIABLE)


def _has_password(storage_url: str) -> bool:
    return store.masked(storage_url) != storage_url


def _typed_command(name: str) -> str:
    """Return how a command of this installation is typed here: by name if the shell finds it, else by its path."""
    program = Path(sys.executable).with_name(name)
    on_path = shutil.which(name)
    if on_path is not None and Path(on_path).resolve() == program.resolve():
        return name
    if program.is_relative_to(Path.cwd()):
        program = Path(os.path.relpath(program))
    return shlex.quote(str(program))
