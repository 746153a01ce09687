"""Suggestions: the commands that a user may type next, ready to be copied."""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from sweeps import store
from sweeps.environment import STORAGE_FILE_VARIABLE, STORAGE_VARIABLE
from sweeps.space.space import Space
from sweeps.surfaces import quote_word


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
    options = _storage_options(storage_url)
    artifacts_options = ["--artifacts", artifacts] if artifacts else []
    new_overrides = [override for override in overrides if override.partition("=")[0].strip() != "budget.trials"]
    new_overrides.append(f"budget.trials={2 * space.budget.trials}")
    settings = set_options(new_overrides)

    def of_study(command: str, more: Sequence[str] = ()) -> str:
        return make_command(command, [*options, *more], space.name)

    lines = [
        f"next{_storage_condition(storage_url)}:",
        f"  {of_study('report')}   # a page: what decides, and how runs died",
    ]
    if learned:
        exported = of_study("export", ["--to", "exported"])
        lines += [
            f"  {of_study('confirm', artifacts_options)}   # is the best better than its noise?",
            f"  {exported}   # the best at full size, for your training repository",
        ]
    go_on = make_command("run", [*options, *settings, *artifacts_options], str(path))
    lines += [
        f"  {go_on}   # go on with twice the trials",
        f"  {make_command('dashboard', [*options, *artifacts_options])}",
    ]
    return "\n".join(lines)


def make_command(command: str, options: Sequence[str] = (), argument: str = "") -> str:
    """Return a command of sweeps as a shell takes it, whatever characters its words hold.

    Args:
        argument: a study or a file; one that begins with a dash comes behind `--`, where it is no option.
    """
    words = [command]
    if argument.startswith("-"):
        words += [*options, "--", argument]
    elif argument:
        words += [argument, *options]
    else:
        words += options
    return f"{_typed_command('sweeps')} {' '.join(map(quote_word, words))}"


def worker_command(storage_url: str, study: str) -> str:
    """Return the command that starts a worker of a study, on this machine or another."""
    return make_command("worker", _storage_options(storage_url), study)


def delete_command(storage_url: str, study: str) -> str:
    """Return the command that deletes a study; no password is in it.

    It is Optuna's command, which knows nothing of our environment variables: the shell expands them.
    """
    url = quote_word(storage_url)
    if store.has_secret(storage_url):
        url = f'"${STORAGE_VARIABLE}"'
        if _url_is_in_file():
            url = f'"$(cat "${STORAGE_FILE_VARIABLE}")"'
    return f"{_typed_command('optuna')} delete-study --study-name={quote_word(study)} --storage {url}"


def set_options(overrides: Sequence[str]) -> list[str]:
    """Return the command-line options that set these values again."""
    options = []
    for override in overrides:
        options += ["--set", override]
    return options


def _storage_options(storage_url: str) -> list[str]:
    """Return the option for a store; none for the default one, and for a URL with a password."""
    if storage_url == store.DEFAULT_URL or store.has_secret(storage_url):
        return []
    return ["--storage", storage_url]


def _storage_condition(storage_url: str) -> str:
    """Return what must hold a URL with a password when the commands are typed; empty for other URLs."""
    if not store.has_secret(storage_url):
        return ""
    if _url_is_in_file():
        return f", with the file of the store's URL in {STORAGE_FILE_VARIABLE}"
    return f", with the store's URL in {STORAGE_VARIABLE}"


def _url_is_in_file() -> bool:
    """Return True if the environment names a file that holds the URL."""
    return bool(os.environ.get(STORAGE_FILE_VARIABLE)) and not os.environ.get(STORAGE_VARIABLE)


def _typed_command(name: str) -> str:
    """Return how a command of this installation is typed here: by name if the shell finds it, else by its path."""
    program = Path(sys.executable).with_name(name)
    on_path = shutil.which(name)
    if on_path is not None and Path(on_path).resolve() == program.resolve():
        return name
    if program.is_relative_to(Path.cwd()):
        program = Path(os.path.relpath(program))
    return quote_word(str(program))
