"""The SQL store and the studies in it."""

import json
import os
import random
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, IntegrityError

from sweeps.artifacts import locations
from sweeps.environment import ARTIFACTS_VARIABLE, STORAGE_FILE_VARIABLE, STORAGE_VARIABLE
from sweeps.errors import InputError, NoStoreError, StoreError, did_you_mean
from sweeps.optuna_private import check_schema, models
from sweeps.space import file as space_file
from sweeps.space.space import Space
from sweeps.store import engines, migrations, queue, retry
from sweeps.store.attributes import CONFIRMS, DEFAULTS, QUESTION, SPACE_OVERRIDES, SPACE_SHA256, SPACE_TEXT, WARNINGS
from sweeps.store.batches import table_of
from sweeps.store.tolerant_storage import TolerantStorage

DEFAULT_URL = "sqlite:///sweeps.db"
MOST_RACES = 8  # with others who make the same tables
DEFAULTS_VERSION = 2  # since 2 the averages of batch normalisation in a user's net are estimated anew


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

    def open_store() -> RDBStorage:
        if engines.is_sqlite(url):
            engines.require_room(url)
            engines.prepare_sqlite(url, create)
        if create:
            return _open_or_make(storage_url)
        return _open_storage(storage_url, create=False)

    with engines.errors_in_one_line(storage_url, waited=wait_s > 0):
        return retry.retry_while_unavailable(
            open_store,
            wait_s,
            giving_up,
            lambda text: say(f"{engines.masked(storage_url)}: waiting up to {wait_s:.0f} s for an answer ({text})"),
        )


def _open_or_make(storage_url: str) -> RDBStorage:
    """Open the store, and make the tables that are missing; who makes them at the same time is no reason to fail."""
    for _ in range(MOST_RACES):
        try:
            return _open_storage(storage_url, create=True)
        except DBAPIError as exc:
            if not isinstance(exc, IntegrityError) and "already exists" not in str(exc.orig):
                raise
            time.sleep(random.uniform(0.1, 0.5))
    return _open_storage(storage_url, create=True)


def _open_storage(storage_url: str, create: bool) -> RDBStorage:
    options = engines.engine_options(engines.parse_url(storage_url))
    if not create:
        probe = sqlalchemy.create_engine(storage_url, **options)
        try:
            _refuse_empty(probe, storage_url)
        finally:
            probe.dispose()
    # Optuna's own check of its schema takes two connections at a time, which a server may not have left.
    storage = TolerantStorage(
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
    beside = f"{url.database}{locations.BESIDE}" if engines.is_sqlite(url) else None
    return given or os.environ.get(ARTIFACTS_VARIABLE) or beside


def create_study(
    storage: RDBStorage, space: Space, text: str, overrides: Sequence[str], oddities: Sequence[str] = ()
) -> optuna.Study:
    """Make the study of a space; the study carries the file's text, so that workers need nothing but the store.

    The text comes last: a study without one was left half made, and is made whole by this. Who makes the same study at
    the same time changes nothing.

    Args:
        oddities: what its rehearsal found odd, a line each; the study keeps them.
    """
    direction = space.measure.direction
    study = optuna.create_study(storage=storage, study_name=space.name, direction=direction, load_if_exists=True)
    queue.enqueue(storage.engine, id_of(storage, study), space.priority)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([space.objective])
    if oddities:
        study.set_user_attr(WARNINGS, list(oddities))
    record_space(study, space, text, overrides)
    return study


def is_half_made(study: optuna.Study) -> bool:
    """Return whether what made a study ended before it was whole; nobody can have trained for it."""
    return SPACE_TEXT not in study.user_attrs and not study.get_trials(deepcopy=False)


def record_space(study: optuna.Study, space: Space, text: str, overrides: Sequence[str]) -> None:
    """Note a space with its study, the text last: a study without one was not made whole."""
    study.set_user_attr(QUESTION, space.question)
    study.set_user_attr(SPACE_OVERRIDES, list(overrides))
    study.set_user_attr(SPACE_SHA256, space.digest())
    if DEFAULTS not in study.user_attrs and SPACE_TEXT not in study.user_attrs:
        study.set_user_attr(DEFAULTS, DEFAULTS_VERSION)
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
        StoreError: the study was not made by sweeps, was left half made, or was edited.
        SpaceError: this version does not know all of its search space.
    """
    attributes = study.user_attrs
    if SPACE_TEXT not in attributes:
        raise StoreError(
            f"study {study.study_name!r} carries no search space: it was not made by `sweeps create`, or that was "
            "ended before it was done: give the same command again"
        )
    text = attributes[SPACE_TEXT]
    overrides = attributes.get(SPACE_OVERRIDES, [])
    defaults = attributes.get(DEFAULTS, 1)
    if not isinstance(text, str) or not isinstance(overrides, list) or not isinstance(defaults, int):
        raise StoreError(
            f"study {study.study_name!r}: its attributes {SPACE_TEXT}, {SPACE_OVERRIDES} and {DEFAULTS} were edited "
            "and are no search space any more; set them back, or delete the study"
        )
    space = _parse_space(text, tuple(map(str, overrides)), f"study {study.study_name!r}")
    if defaults < DEFAULTS_VERSION:
        return _apply_first_defaults(space)
    return space


@lru_cache(maxsize=64)
def _parse_space(text: str, overrides: tuple[str, ...], source: str) -> Space:
    """Parse a file once: a worker asks at each claim, and checking a file takes longer than the claim."""
    return space_file.parse_space(text, overrides, source, stored=True)


def _apply_first_defaults(space: Space) -> Space:
    """Return the space of a study that was made before the defaults changed: its trials stay comparable."""
    if "recalibrate_batch_normalization" in space.tables["budget"]:
        return space
    return replace(space, budget=replace(space.budget, recalibrate_batch_normalization=False))


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
