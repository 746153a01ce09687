"""`sweeps create`: the study of a search-space file, made after a rehearsal or found in the store."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import optuna
import typer
from optuna.storages import RDBStorage

from sweeps import store
from sweeps.cli import suggestions
from sweeps.cli.consoles import print_line
from sweeps.cli.options import OverridesOption, SpaceArgument, StorageOption
from sweeps.errors import NoStoreError, StoreError
from sweeps.files import temporary_folder
from sweeps.launch.local import worker_processes
from sweeps.notes import study as study_notes
from sweeps.space import file
from sweeps.space.space import Space
from sweeps.store import queue

AcceptDataOption = Annotated[
    bool,
    typer.Option(
        "--accept-changed-data", help="Go on although the data have changed since the study's first trial; it is noted."
    ),
]


def create(
    path: SpaceArgument,
    overrides: OverridesOption = None,
    storage: StorageOption = None,
    accept_changed_data: AcceptDataOption = False,
) -> None:
    """Create the study of a file, after a rehearsal, without running it."""
    storage_url = store.url(storage)
    opened_study = open_study_of_file(path, overrides or [], storage_url, accept_changed_data=accept_changed_data)
    name = opened_study.study.study_name
    state = "there already:"
    if opened_study.is_new:
        state = "created"
    print_line(f"{state} study {name!r} in {store.masked(storage_url)}")
    print_line(f"next: {suggestions.worker_command(storage_url, name)}")


@dataclass(frozen=True, slots=True)
class OpenedStudy:
    """A study in its store.

    Attributes:
        is_new: it has just been made.
    """

    storage: RDBStorage
    study: optuna.Study
    is_new: bool


def open_study_of_file(
    path: Path, overrides: Sequence[str], storage_url: str, *, accept_changed_data: bool = False
) -> OpenedStudy:
    """Return the study of a file: the one in the store if it has the same search space, else a new, rehearsed one.

    Raises:
        SpaceError: the file cannot be used.
        StoreError: the store cannot be used, or holds another study of this name; the message says what differs.
        typer.Exit: the rehearsal failed, and has said why.
    """
    space, text = file.read_space(path, overrides)
    existing = _find_study(storage_url, space)
    if existing is None:
        store.require_creatable(storage_url)  # before the rehearsal: an unwritable store should show at once
        warnings = rehearse_in_own_process(path, overrides)
        storage = store.connect(storage_url, create=True)
        study = store.create_study(storage, space, text, overrides, warnings)
        study_notes.refresh_note(storage, study)
        return OpenedStudy(storage, study, is_new=True)
    if differences := store.differences(existing.study, space):
        raise StoreError(
            f"{path}: study {space.name!r} exists with another search space; {'; '.join(differences)}. "
            f"Undo the change, or give the new one a name of its own with --set study.name=..."
        )
    study_id = store.id_of(existing.storage, existing.study)
    queue.enqueue_if_missing(existing.storage.engine, study_id, space.priority)
    if store.space_of(existing.study).tables != space.tables:
        store.record_space(existing.study, space, text, overrides)
        queue.prioritize(existing.storage.engine, study_id, space.priority)
        study_notes.refresh_note(existing.storage, existing.study)
    if accept_changed_data:
        existing.study.set_user_attr(store.ACCEPT_NEXT_DATA, True)
    return existing


def rehearse_in_own_process(path: Path, overrides: Sequence[str]) -> list[str]:
    """Rehearse a file in a process of its own, so that this one never holds TensorFlow or a GPU.

    Returns:
        What was found odd, a line each; it has been printed.

    Raises:
        typer.Exit: the rehearsal failed, and has said why.
    """
    with temporary_folder("rehearsal") as folder:
        warnings_to = folder / "warnings.json"
        arguments = ["rehearse", "--warnings-to", str(warnings_to)] + suggestions.set_options(overrides)
        arguments += ["--", str(path)]
        completed = subprocess.run(worker_processes.make_sweeps_command(arguments), check=False)
        if completed.returncode:
            raise typer.Exit(completed.returncode)
        warnings: list[str] = json.loads(warnings_to.read_text(encoding="utf-8"))
    return warnings


def _find_study(storage_url: str, space: Space) -> OpenedStudy | None:
    try:
        storage = store.connect(storage_url)
    except NoStoreError:
        return None
    study = store.find_study(storage, space.name)
    if study is None or store.is_half_made(study):
        return None
    return OpenedStudy(storage, study, is_new=False)
