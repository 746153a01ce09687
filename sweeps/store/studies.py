"""The SQL store and the studies in it."""

import json
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Engine, select

from sweeps.environment import ARTIFACTS_VARIABLE, STORAGE_FILE_VARIABLE, STORAGE_VARIABLE
from sweeps.errors import InputError, NoStoreError, StoreError, did_you_mean
from sweeps.optuna_private import check_schema, models
from sweeps.space import file as space_file
from sweeps.space.space import Space
from sweeps.store import engines, migrations, queue, retry
from sweeps.store.attributes import CONFIRMS, QUESTION, SPACE_OVERRIDES, SPACE_SHA256, SPACE_TEXT
from sweeps.store.batches import table_of

DEFAULT_URL = "sqlite:///sweeps.db"


def url(given: str | None) -> str:
    """Return the store's URL: as given, else of the environment, else a SQLite file in the working directory.

    In the environment SWEEPS_STORAGE holds it, or SWEEPS_STORAGE_FILE names a file that does: a mounted secret.

    Raises:
        InputError: both variables are set.
        StoreError: the file cannot be read, or is empty.
    """
    name = os.environ.get(STORAGE_VARIABLE)
    file = os.environ.get(STORAGE_FILE_VARIABLE)
    if given:
        return given
    if name and file:
        raise InputError(f"{STORAGE_VARIABLE} and {STORAGE_FILE_VARIABLE} are both set; unset one of them")
    return name or (_read_url_file(file) if file else DEFAULT_URL)


def _read_url_file(file: str) -> str:
    try:
        name = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as exc:  # ValueError: no text; nothing of it is quoted
        if isinstance(exc, OSError):
            reason = exc.strerror
        else:
            reason = "it is no text"
        raise StoreError(f"{STORAGE_FILE_VARIABLE}: {file} cannot be read ({reason}); name a file that can") from exc
    if not name:
        raise StoreError(f"{STORAGE_FILE_VARIABLE}: {file} is empty; write the store's URL into it")
    return name


def connect(
    storage_url: str,
    *,
    create: bool = False,
    wait_s: float = 0.0,
    giving_up: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda _: None,
) -> RDBStorage:
    """Open the store; with `create`, make the file and the tables that are missing.

    Args:
        wait_s: seconds to wait for a server that does not answer.
        giving_up: asked while it is waited for.
        say: told once that it is waited for.

    Raises:
        NoStoreError: nothing is there, and `create` is false.
        OutageError: it was waited for in vain.
        StoreError: the URL is none, the store cannot be opened, or its schema is unknown to this version.
    """
    url = engines.parse_url(storage_url)
    with engines.errors_in_one_line(storage_url, waited=wait_s > 0):
        if engines.is_sqlite(url):
            engines.prepare_sqlite(url, create)
        return retry.retry_while_unavailable(
            lambda: _open_storage(storage_url, create),
            wait_s,
            giving_up,
            lambda text: say(f"{engines.masked(storage_url)}: waiting up to {wait_s:.0f} s for an answer ({text})"),
        )


def _open_storage(storage_url: str, create: bool) -> RDBStorage:
    options = engines.engine_options(engines.parse_url(storage_url))
    if not create:
        probe = sqlalchemy.create_engine(storage_url, **options)
        try:
            _refuse_empty(probe, storage_url)
        finally:
            probe.dispose()
    # Optuna's own check of its schema takes two connections at a time, which a server may not have left.
    storage = RDBStorage(
        storage_url, engine_kwargs=options, skip_compatibility_check=True, skip_table_creation=not create
    )
    if storage.get_current_version() != storage.get_head_version():
        check_schema(storage)  # raises, and says what to do
    engines.on_connect(storage.engine)
    try:
        migrations.upgrade_schema(storage.engine)
    except StoreError as exc:
        raise StoreError(f"{engines.masked(storage_url)}: {exc}") from exc
    return storage


def artifacts(storage_url: str, given: str | None = None) -> str | None:
    """Return where pictures and checkpoints go: as given, else SWEEPS_ARTIFACTS, else beside a SQLite file, else
    nowhere.
    """
    url = engines.parse_url(storage_url)
    beside = f"{url.database}.artifacts" if engines.is_sqlite(url) else None
    return given or os.environ.get(ARTIFACTS_VARIABLE) or beside


def create_study(storage: RDBStorage, space: Space, text: str, overrides: Sequence[str]) -> optuna.Study:
    """Make the study of a space; the study carries the file's text, so that workers need nothing but the store."""
    study = optuna.create_study(storage=storage, study_name=space.name, direction=space.measure.direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([space.objective])
    record_space(study, space, text, overrides)
    queue.enqueue(storage.engine, id_of(storage, study), space.priority)
    return study


def record_space(study: optuna.Study, space: Space, text: str, overrides: Sequence[str]) -> None:
    """Note a space with its study, the text last: a study without one was not made whole."""
    study.set_user_attr(QUESTION, space.question)
    study.set_user_attr(SPACE_OVERRIDES, list(overrides))
    study.set_user_attr(SPACE_SHA256, space.digest())
    if space.confirms:
        study.set_user_attr(CONFIRMS, space.confirms)
    study.set_user_attr(SPACE_TEXT, text)


def id_of(storage: BaseStorage, study: optuna.Study) -> int:
    """Return the number that the tables know a study by."""
    return storage.get_study_id_from_name(study.study_name)


def study_names(storage: RDBStorage) -> list[str]:
    """Return all studies of the store, in the order in which they were made."""
    return optuna.get_all_study_names(storage)


def confirming(storage: RDBStorage, name: str) -> list[str]:
    """Return the studies that run candidates of this one again, in the order in which they were made."""
    attributes = table_of(models.StudyUserAttributeModel)
    studies = table_of(models.StudyModel)
    query = (
        select(studies.c.study_name)
        .join(attributes, attributes.c.study_id == studies.c.study_id)
        .where(attributes.c.key == CONFIRMS, attributes.c.value_json == json.dumps(name))
        .order_by(studies.c.study_id)
    )
    with storage.engine.begin() as db:
        return list(db.execute(query).scalars())


def find_study(storage: RDBStorage, name: str) -> optuna.Study | None:
    """Return the study of this name, if there is one."""
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None


def load_study(storage: RDBStorage, name: str) -> optuna.Study:
    """Return the study of this name.

    Raises:
        StoreError: there is none; the message names those that are there.
    """
    study = find_study(storage, name)
    if study is None:
        known = study_names(storage)
        names = ", ".join(map(repr, known)) or "it is empty"
        raise StoreError(
            f"no study {name!r} in {engines.masked(storage.url)} ({names}){did_you_mean(name, known)}; "
            f"make one with `sweeps create SPACE.toml`"
        )
    return study


def space_of(study: optuna.Study) -> Space:
    """Return the search space that a study carries.

    Raises:
        StoreError: the study was not made by sweeps.
    """
    attributes = study.user_attrs
    if SPACE_TEXT not in attributes:
        raise StoreError(f"study {study.study_name!r} carries no search space: it was not made by `sweeps create`")
    return _parse_space(attributes[SPACE_TEXT], tuple(attributes[SPACE_OVERRIDES]), f"study {study.study_name!r}")


@lru_cache(maxsize=64)
def _parse_space(text: str, overrides: tuple[str, ...], source: str) -> Space:
    """Return a worker asks at each claim, and checking a file takes longer than the claim; nobody changes a space."""
    return space_file.parse_space(text, overrides, source)


def differences(study: optuna.Study, space: Space) -> list[str]:
    """Return what a file says otherwise than the study of its name, one line per key; empty if nothing."""
    old = _flatten(space_of(study).identity_tables())
    new = _flatten(space.identity_tables())
    return [
        f"{key}: {_show_value(old, key)} in the study, {_show_value(new, key)} in the file"
        for key in [*old, *(key for key in new if key not in old)]
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


def _refuse_empty(engine: Engine, storage_url: str) -> None:
    if not sqlalchemy.inspect(engine).has_table("studies"):
        raise NoStoreError(
            f"{engines.masked(storage_url)}: there is no study in it; make one with `sweeps create SPACE.toml`"
        )


_ABSENT = object()


def _flatten(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    return {k: v for name, inner in value.items() for k, v in _flatten(inner, f"{key}.{name}" if key else name).items()}


def _show_value(flat: Mapping[str, Any], key: str) -> str:
    if key in flat:
        return json.dumps(flat[key], default=str)
    return "absent"
