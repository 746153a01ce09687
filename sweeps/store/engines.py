"""Engines: a database's URL and options by its kind, what of its errors is temporary, and how long to try again."""

import logging
import math
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote_plus

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, PendingRollbackError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sweeps.errors import NoStoreError, OutageError, StoreError, one_line

Result = TypeVar("Result")

BUSY_TIMEOUT_S = 60  # SQLite: how long a writer waits for another before it gives up
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 30
# What drivers raise of a URL's options as well as of a database.
DRIVER_ERRORS = (SQLAlchemyError, sqlite3.Error, OSError, RuntimeError, ImportError, TypeError, ValueError)
SECRET_OPTIONS = {"password", "passwd", "sslpassword", "ssl_key_password"}
# A worker that was stopped in the middle of a transaction must not keep others from its rows.
IDLE_TRANSACTION_S = 30
SHORTEST_WAIT_S, LONGEST_WAIT_S = 0.05, 5.0  # between two attempts

# What goes away by itself, by SQLSTATE (PostgreSQL, appendix A) and by MariaDB's numbers.
TEMPORARY_STATES = ("08", "40", "53", "57", "25006", "25P03", "55P03")
TEMPORARY_NUMBERS = {1021, 1040, 1053, 1114, 1205, 1213, 1290, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 2055, 4031}
TEMPORARY_WORDS = ("database is locked", "database table is locked", "database schema is locked", "disk is full")
# psycopg gives no SQLSTATE for what the server says before a session exists.
PERMANENT_WORDS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "no password",
)


def parsed(storage_url: str) -> URL:
    """The URL in its parts.

    Raises:
        StoreError: it is none.
    """
    try:
        return make_url(storage_url)
    except (ArgumentError, ValueError):  # whose texts quote the URL
        raise StoreError(
            "the storage is not a URL; write sqlite:///sweeps.db or postgresql+psycopg://user:password@host/database, "
            "a password with @ : / in it percent-encoded"
        ) from None


def masked(storage_url: str) -> str:
    """The URL as people may see it, without its password."""
    try:
        url = make_url(storage_url)
    except (ArgumentError, ValueError):
        return "the storage URL"
    shown = url.render_as_string(hide_password=True)
    for secret in _secrets(url):
        shown = shown.replace(secret, "***").replace(quote_plus(secret), "***")
    return shown


def _secrets(url: URL) -> list[str]:
    """Passwords that the URL carries, as its password or as an option of the driver."""
    options = [value for key, value in url.query.items() if key.lower() in SECRET_OPTIONS]
    values = [each for value in options for each in ([value] if isinstance(value, str) else value)]
    return [*values, *([str(url.password)] if url.password else [])]


def is_sqlite(url: URL) -> bool:
    """Whether the store is a file."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: URL) -> Path:
    """The store's file.

    Raises:
        StoreError: it is in memory.
    """
    if url.database in (None, "", ":memory:"):
        raise StoreError("a SQLite store in memory cannot be shared with workers; name a file, sqlite:///sweeps.db")
    return Path(str(url.database))


def options(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine`: time-outs, UTC, and one connection per process, two while a beat meets a report."""
    name = url.get_backend_name()
    if name == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    pool = {"pool_size": 1, "max_overflow": 2, "pool_pre_ping": True, "pool_recycle": 300}
    if name == "postgresql":
        settings = {
            "timezone": "UTC",
            "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
            "lock_timeout": f"{LOCK_TIMEOUT_S}s",
            "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_S}s",
        }
        words = " ".join(f"-c {key}={value}" for key, value in settings.items())
        alive = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
        # Prepared statements belong to a session, which PgBouncer gives to whoever comes next.
        session = {"options": words, "prepare_threshold": None}
        return {**pool, "connect_args": {"connect_timeout": CONNECT_TIMEOUT_S, **session, **alive}}
    if name in ("mysql", "mariadb"):
        times = {"read_timeout": STATEMENT_TIMEOUT_S, "write_timeout": STATEMENT_TIMEOUT_S}
        start = f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_TIMEOUT_S}"
        connect = {"connect_timeout": CONNECT_TIMEOUT_S, "init_command": start, **times}
        return {**pool, "isolation_level": "READ COMMITTED", "connect_args": connect}
    return pool


def without_pool(storage: RDBStorage) -> Engine:
    """A second engine of the same store, which holds a connection only as long as it speaks."""
    url = parsed(storage.url)
    kept = {key: value for key, value in options(url).items() if not key.startswith(("pool_", "max_"))}
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, **kept)
    on_connect(engine)
    return engine


def on_connect(engine: Engine) -> None:
    """Settings that need a statement of their own, for each new connection."""
    if engine.dialect.name == "sqlite":
        # WAL needs no sync at each commit: a power cut may lose the last commits, never the file.
        sqlalchemy.event.listen(engine, "connect", lambda db, _: db.execute("PRAGMA synchronous=NORMAL"))
        engine.dispose()


def prepare_sqlite(url: URL, create: bool) -> None:
    """Make the file, if asked to.

    Raises:
        NoStoreError: it is not there, and not to be made.
    """
    path = sqlite_path(url)
    if not create and not path.exists():
        raise NoStoreError(f"no store at {path}; make one with `sweeps run SPACE.toml`, or say where with --storage")
    if create:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
        try:
            db.execute("PRAGMA journal_mode=WAL")  # readers do not wait for the writer; the file remembers it
        finally:
            db.close()


def require_creatable(storage_url: str) -> None:
    """Make sure that a store can be made here, and leave nothing behind.

    Raises:
        StoreError: the URL is none, or the place cannot be written.
    """
    url = parsed(storage_url)
    with explained(storage_url):
        if is_sqlite(url):
            tempfile.TemporaryFile(dir=sqlite_path(url).parent).close()
        else:
            engine = sqlalchemy.create_engine(storage_url, **options(url))
            engine.connect().close()
            engine.dispose()


def temporary(exc: BaseException) -> bool:
    """Whether a database's error may go away by itself: a restart, a fail-over, a lock, a deadlock."""
    found = _database_error(exc)
    if found is None:
        # Optuna catches some errors of the driver; what follows tells of a connection that was lost, or of none free.
        causes = (exc, exc.__cause__)
        return any(isinstance(each, (PendingRollbackError, sqlalchemy.exc.TimeoutError)) for each in causes)
    original = found.orig
    state = str(getattr(original, "sqlstate", None) or "")
    if state:
        return state.startswith(TEMPORARY_STATES)
    text = str(original)
    if isinstance(original, sqlite3.Error):
        return any(word in text for word in TEMPORARY_WORDS)
    number = original.args[0] if original is not None and original.args else None
    if isinstance(number, int) and number:
        return number in TEMPORARY_NUMBERS
    refused = any(word in text for word in PERMANENT_WORDS)
    return found.connection_invalidated or (isinstance(found, sqlalchemy.exc.OperationalError) and not refused)


def _database_error(exc: BaseException | None) -> DBAPIError | None:
    """The driver's error inside Optuna's or ours."""
    while exc is not None and not isinstance(exc, DBAPIError):
        exc = exc.__cause__
    return exc


def persist(operation: Callable[[], Result], limit_s: float, giving_up: Callable[[], bool] = lambda: False) -> Result:
    """Do something in a database again and again while its errors are temporary.

    Args:
        operation: does no harm when it is done twice.
        limit_s: seconds after which it is given up.
        giving_up: asked before each further attempt.

    Raises:
        OutageError: it is still not done after `limit_s`, or it was given up.
    """
    deadline, wait = math.inf, SHORTEST_WAIT_S
    while True:
        try:
            return operation()
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as exc:
            if not temporary(exc):
                raise
            # From the first error: this process may have slept, or the operation waited for a lock.
            deadline = min(deadline, time.monotonic() + limit_s)
            if time.monotonic() >= deadline or giving_up():
                raise OutageError(f"the store does not answer: {words(exc)}") from exc
        time.sleep(wait * random.uniform(0.5, 1.5))  # apart from the others that wait for the same server
        wait = min(2 * wait, LONGEST_WAIT_S)


def words(exc: BaseException) -> str:
    """What the driver said, in one line; drivers quote hosts and users, never passwords."""
    found = _database_error(exc)
    return one_line(found.orig if found is not None and found.orig is not None else exc)


@contextmanager
def explained(storage_url: str) -> Iterator[None]:
    """Whatever a database or its driver says, as one line without the password."""
    shown = masked(storage_url)
    try:
        logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
        yield
    except OutageError as exc:
        raise StoreError(f"{shown}: {_mend(exc.__cause__ or exc, storage_url)}") from exc
    except (*DRIVER_ERRORS, optuna.exceptions.OptunaError) as exc:
        raise StoreError(f"{shown}: {_mend(exc, storage_url)}") from exc


def _mend(exc: BaseException, storage_url: str) -> str:
    cause = getattr(exc, "orig", None) or exc.__cause__ or exc
    text = one_line(cause)
    for secret in _secrets(make_url(storage_url)):
        text = text.replace(secret, "***")
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
