"""The SQL store: URLs, studies, attribute names; only this module knows Optuna's storage and SQLAlchemy's engines."""

import json
import logging
import os
import sqlite3
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from sweeps import space_file, tables
from sweeps.errors import NoStoreError, StoreError, one_line
from sweeps.space import Space

DEFAULT_URL = "sqlite:///sweeps.db"
BUSY_TIMEOUT_S = 60  # SQLite: how long a writer waits for another before it gives up

# Attributes of a study.
SPACE_TEXT, SPACE_SHA256, SPACE_OVERRIDES, QUESTION = "space", "space_sha256", "space_overrides", "question"
# Attributes of a trial.
CONFIG, SLOT, HOST, PID, FATE, REASON = "config", "slot", "host", "pid", "fate", "reason"
STEPS, SECONDS, TOP1, TOP5, LOSS, GAIN, CHANCE_TOP1 = "steps", "seconds", "top1", "top5", "loss", "gain", "chance_top1"
F1, BEST_VALUE, BEST_STEP, BEST_EPOCH = "f1", "best_value", "best_step", "best_epoch"
TRACEBACK = "traceback"
LEARNER, CONTROL, LOWEST_PROGNOSIS, BEST_GAIN = "learner", "could_not_be_stopped", "lowest_prognosis", "best_gain"
WOULD_STOP, WOULD_STOP_REASON = "would_stop_at_step", "would_stop_reason"  # of a control
DEAD = "dead"  # Optuna's constraint: above zero is infeasible
INTERRUPTED, FAILED = "interrupted", "failed"  # fates that a worker gives, not a verdict


def url(given: str | None) -> str:
    """The store's URL: as given, else SWEEPS_STORAGE, else a SQLite file in the working directory."""
    return given or os.environ.get("SWEEPS_STORAGE") or DEFAULT_URL


def masked(storage_url: str) -> str:
    """The URL as people may see it, without its password."""
    try:
        return make_url(storage_url).render_as_string(hide_password=True)
    except ArgumentError:
        return "the storage URL"


def connect(storage_url: str, *, create: bool = False) -> RDBStorage:
    """Open the store; with `create`, make the file and the tables that are missing.

    Raises:
        NoStoreError: nothing is there, and `create` is false.
        StoreError: the URL is none, the store cannot be opened, or its schema is unknown to this version.
    """
    parsed = _parsed(storage_url)
    with _explained(storage_url):
        if parsed.get_backend_name() == "sqlite":
            _prepare_sqlite(parsed, create)
        if not create:
            _refuse_empty(storage_url)
        storage = RDBStorage(storage_url, engine_kwargs=_engine_options(parsed), skip_table_creation=not create)
        if parsed.get_backend_name() == "sqlite":
            # WAL needs no sync at each commit: a power cut may lose the last commits, never the file.
            sqlalchemy.event.listen(storage.engine, "connect", lambda db, _: db.execute("PRAGMA synchronous=NORMAL"))
            storage.engine.dispose()
        version = tables.create(storage.engine)
    if version > tables.SCHEMA_VERSION:
        raise StoreError(
            f"{masked(storage_url)}: made by a newer version of sweeps; upgrade with pip install -U sweeps"
        )
    return storage


def artifact_folder(storage_url: str) -> Path | None:
    """Where pictures go that optuna-dashboard shows with a trial: beside a SQLite file; a server has no such place."""
    parsed = _parsed(storage_url)
    return Path(f"{parsed.database}.artifacts") if parsed.get_backend_name() == "sqlite" else None


def require_creatable(storage_url: str) -> None:
    """Make sure that `connect` can create a store here, and leave nothing behind.

    Raises:
        StoreError: the URL is none, or the place cannot be written.
    """
    parsed = _parsed(storage_url)
    with _explained(storage_url):
        if parsed.get_backend_name() == "sqlite":
            tempfile.TemporaryFile(dir=_sqlite_path(parsed).parent).close()
        else:
            sqlalchemy.create_engine(storage_url).connect().close()


def create_study(storage: RDBStorage, space: Space, text: str, overrides: Sequence[str]) -> optuna.Study:
    """Make the study of a space; the study carries the file's text, so that workers need nothing but the store."""
    study = optuna.create_study(storage=storage, study_name=space.name, direction=space.direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([space.objective])
    record_space(study, space, text, overrides)
    return study


def record_space(study: optuna.Study, space: Space, text: str, overrides: Sequence[str]) -> None:
    """Note a space with its study, the text last: a study without one was not made whole."""
    study.set_user_attr(QUESTION, space.question)
    study.set_user_attr(SPACE_OVERRIDES, list(overrides))
    study.set_user_attr(SPACE_SHA256, space.digest())
    study.set_user_attr(SPACE_TEXT, text)


def study_names(storage: RDBStorage) -> list[str]:
    """All studies of the store, in the order in which they were made."""
    return optuna.get_all_study_names(storage)


def find_study(storage: RDBStorage, name: str) -> optuna.Study | None:
    """The study of this name, if there is one."""
    return optuna.load_study(study_name=name, storage=storage) if name in study_names(storage) else None


def load_study(storage: RDBStorage, name: str) -> optuna.Study:
    """The study of this name.

    Raises:
        StoreError: there is none; the message names those that are there.
    """
    study = find_study(storage, name)
    if study is None:
        names = ", ".join(map(repr, study_names(storage))) or "it is empty"
        raise StoreError(
            f"no study {name!r} in {masked(storage.url)} ({names}); make one with `sweeps create SPACE.toml`"
        )
    return study


def space_of(study: optuna.Study) -> Space:
    """The search space that a study carries.

    Raises:
        StoreError: the study was not made by sweeps.
    """
    attributes = study.user_attrs
    if SPACE_TEXT not in attributes:
        raise StoreError(f"study {study.study_name!r} carries no search space: it was not made by `sweeps create`")
    return space_file.parse(attributes[SPACE_TEXT], attributes[SPACE_OVERRIDES], f"study {study.study_name!r}")


def differences(study: optuna.Study, space: Space) -> list[str]:
    """What a file says otherwise than the study of its name, one line per key; empty if nothing."""
    old, new = _flat(space_of(study).identity()), _flat(space.identity())
    return [
        f"{key}: {_shown(old, key)} in the study, {_shown(new, key)} in the file"
        for key in [*old, *(key for key in new if key not in old)]
        if old.get(key, _ABSENT) != new.get(key, _ABSENT)
    ]


def set_attributes(trial: optuna.Trial, values: Mapping[str, Any]) -> None:
    """Keep attributes with a trial, in the order given."""
    for name, value in values.items():
        trial.set_user_attr(name, value)


def reap(storage: RDBStorage, study: optuna.Study, alive: Callable[[str, int], bool]) -> int:
    """Give back the slots of workers that are gone, and mark their trials.

    Args:
        alive: (host, pid) -> whether such a worker still runs, or may.

    Returns:
        How many trials were taken from the dead.
    """
    engine, study_id = storage.engine, storage.get_study_id_from_name(study.study_name)
    trials = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    running = {number for number, trial in trials.items() if trial.state == TrialState.RUNNING}
    owned, lost = set(), set()
    for slot in tables.slots(engine, study_id):
        if slot.done or alive(slot.host, slot.pid):
            owned.add(slot.trial_number)
        elif slot.trial_number in trials and slot.trial_number not in running:
            tables.finish(engine, study_id, slot.slot)
        else:
            lost |= running & {slot.trial_number}
            tables.release(engine, study_id, slot.slot)
    if all(slot.done for slot in tables.slots(engine, study_id)):
        lost |= running - owned  # every live worker has an open slot: these were lost between the claim and its note
    for number in lost:
        _mark_lost(storage, study, number)
    return len(lost)


def _mark_lost(storage: RDBStorage, study: optuna.Study, number: int) -> None:
    study_id = storage.get_study_id_from_name(study.study_name)
    trial_id = storage.get_trial_id_from_study_id_trial_number(study_id, number)
    storage.set_trial_user_attr(trial_id, FATE, INTERRUPTED)
    storage.set_trial_user_attr(trial_id, REASON, "its worker ended without a word (killed, or out of memory)")
    study.tell(number, state=TrialState.FAIL, skip_if_finished=True)


def _parsed(storage_url: str) -> URL:
    try:
        return make_url(storage_url)
    except ArgumentError as exc:
        raise StoreError("the storage is not a URL; write sqlite:///sweeps.db or postgresql+psycopg://...") from exc


def _sqlite_path(parsed: URL) -> Path:
    if parsed.database in (None, "", ":memory:"):
        raise StoreError("a SQLite store in memory cannot be shared with workers; name a file, sqlite:///sweeps.db")
    return Path(str(parsed.database))


def _prepare_sqlite(parsed: URL, create: bool) -> None:
    path = _sqlite_path(parsed)
    if not create and not path.exists():
        raise NoStoreError(f"no store at {path}; make one with `sweeps run SPACE.toml`, or say where with --storage")
    if create:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
        try:
            db.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer; the file remembers it
        finally:
            db.close()


def _engine_options(parsed: URL) -> dict[str, Any]:
    if parsed.get_backend_name() == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    return {"pool_pre_ping": True}


def _refuse_empty(storage_url: str) -> None:
    probe = sqlalchemy.create_engine(storage_url)
    try:
        found = sqlalchemy.inspect(probe).has_table("studies")
    finally:
        probe.dispose()
    if not found:
        raise NoStoreError(f"{masked(storage_url)}: there is no study in it; make one with `sweeps create SPACE.toml`")


@contextmanager
def _explained(storage_url: str) -> Iterator[None]:
    """Whatever a database or its driver says, as one line without the password."""
    shown = masked(storage_url)
    try:
        logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError, RuntimeError, ImportError, optuna.exceptions.OptunaError) as exc:
        raise StoreError(f"{shown}: {_mend(exc, storage_url)}") from exc


def _mend(exc: BaseException, storage_url: str) -> str:
    cause = getattr(exc, "orig", None) or exc.__cause__ or exc
    text = one_line(cause)
    password = make_url(storage_url).password
    text = text.replace(str(password), "***") if password else text
    if isinstance(exc, (ImportError, NoSuchModuleError)):
        return f"its driver is not installed ({text}); pip install it, or use sqlite:///sweeps.db"
    if "no longer compatible" in str(exc):
        return "its schema is unknown to this version of Optuna; upgrade one of the two (`optuna storage upgrade`)"
    if "unable to open" in text or isinstance(exc, OSError):
        return "the file cannot be opened or made; check that the folder exists and can be written"
    if "readonly" in text:
        return "the file cannot be written; change its permissions or name another with --storage"
    if "not a database" in text:
        return "the file is not a SQLite database; name another with --storage"
    return f"cannot be used ({text}); check the URL and that the server runs"


_ABSENT = object()


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {key: value}
    return {k: v for name, inner in value.items() for k, v in _flat(inner, f"{key}.{name}" if key else name).items()}


def _shown(flat: Mapping[str, Any], key: str) -> str:
    return json.dumps(flat[key], default=str) if key in flat else "absent"
