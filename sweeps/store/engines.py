"""Engines: a database's URL and options by its kind, and one line for each way it can refuse."""

import logging
import os
import random
import re
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import optuna
import sqlalchemy
from optuna.storages import RDBStorage
from sqlalchemy import Engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from sweeps.errors import NoSpaceError, NoStoreError, OutageError, StoreError, one_line
from sweeps.logs import MASK, SECRET_OPTION, hide_passwords
from sweeps.store.retry import DATABASE_ERRORS, error_message

HIGHEST_PORT = 65535
BUSY_TIMEOUT_S = 60  # SQLite: how long a writer waits for another before it gives up
OWNER_ALONE = 0o600
LEAST_ROOM = 96 * 1024  # bytes: of the files -shm, 32 KiB, and -wal at the first write
NO_SPACE = "no space is left where the file is; make some"
CONNECT_TIMEOUT_S = 10
STATEMENT_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 30
# What drivers raise of a URL's options as well as of a database.
DRIVER_ERRORS = (
    SQLAlchemyError,
    sqlite3.Error,
    OSError,
    RuntimeError,
    ImportError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
)
# A worker that was stopped in the middle of a transaction must not keep others from its rows.
IDLE_TRANSACTION_S = 30


def parse_url(storage_url: str) -> URL:
    """Return the URL in its parts.

    Raises:
        StoreError: it is none.
    """
    try:
        url = make_url(storage_url)
    except (ArgumentError, ValueError):  # whose texts quote the URL
        url = None
    if url is None or _is_torn(url):
        raise StoreError(
            "the storage is not a URL; write sqlite:///sweeps.db or postgresql+psycopg://user:password@host/database, "
            "a password with @ : / in it percent-encoded"
        )
    if url.port is not None and not 0 < url.port <= HIGHEST_PORT:
        raise StoreError(f"the storage URL names the port {url.port}; ports are 1 to {HIGHEST_PORT}")
    return url


def _is_torn(url: URL) -> bool:
    """Return whether a password with an @ or a slash in it was taken for the end of the address: the rest of it would
    stand among the names of host and database.
    """
    if is_sqlite(url):  # an address of a server behind the wrong name
        return re.match(r"[^/:@]+:[^/@]*@", url.database or "") is not None
    return any("@" in name for name in (url.host or "", url.database or ""))


def masked(storage_url: str) -> str:
    """Return the URL as people may see it, without its password."""
    try:
        url = parse_url(storage_url)
    except StoreError:
        return "the storage URL"
    if not _secrets_of(url):
        return storage_url
    hidden = {option: MASK if SECRET_OPTION.fullmatch(option) else value for option, value in url.query.items()}
    return url.set(query=hidden).render_as_string(hide_password=True).replace(quote_plus(MASK), MASK)


def has_secret(storage_url: str) -> bool:
    """Return whether a URL carries a password."""
    try:
        return bool(_secrets_of(make_url(storage_url)))
    except (ArgumentError, ValueError):
        return True


def _secrets_of(url: URL) -> list[str]:
    """Return passwords that the URL carries, as its password or as an option of the driver."""
    secrets: list[str] = []
    for option, value in url.query.items():
        if not SECRET_OPTION.fullmatch(option):
            continue
        if isinstance(value, str):
            secrets.append(value)
        else:
            secrets.extend(value)
    if url.password:
        secrets.append(str(url.password))
    return secrets


def hide_secrets(text: str, url: URL) -> str:
    """Return what a driver says without the URL's passwords.

    A password that is also the name of the user, the host or the database stays where it stands as a word: it says
    what these say. One within a longer word is no password.
    """
    names = {url.username, url.host, url.database, *re.split(r"\W", url.drivername)}
    text = hide_passwords(text)
    for secret in _secrets_of(url):
        if secret not in names:
            for written in (secret, quote_plus(secret), quote(secret, safe="")):
                text = re.sub(rf"(?<!\w){re.escape(written)}(?!\w)", MASK, text)
    return text


def absolute(storage_url: str) -> str:
    """Return the masked URL, of a SQLite store with the file's whole path: the same from every working directory."""
    url = parse_url(storage_url)
    if not is_sqlite(url):
        return masked(storage_url)
    return f"sqlite:///{sqlite_path(url).resolve()}"


def is_sqlite(url: URL) -> bool:
    """Return whether the store is a file."""
    return url.get_backend_name() == "sqlite"


def sqlite_path(url: URL) -> Path:
    """Return the store's file.

    Raises:
        StoreError: it is in memory.
    """
    if url.database in (None, "", ":memory:"):
        raise StoreError("a SQLite store in memory cannot be shared with workers; name a file, sqlite:///sweeps.db")
    return Path(str(url.database))


def engine_options(url: URL) -> dict[str, Any]:
    """Return arguments of `create_engine`: time-outs, UTC, and one connection per process, two while a beat meets a
    report.
    """
    options = _session_options(url)
    if not is_sqlite(url):
        options |= {"pool_size": 1, "max_overflow": 2, "pool_pre_ping": True, "pool_recycle": 300}
    return options


def _session_options(url: URL) -> dict[str, Any]:
    """Return the options that each connection is made with."""
    name = url.get_backend_name()
    if name == "sqlite":
        return {"connect_args": {"timeout": BUSY_TIMEOUT_S}}
    if name == "postgresql":
        settings = {
            "timezone": "UTC",
            "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
            "lock_timeout": f"{LOCK_TIMEOUT_S}s",
            "idle_in_transaction_session_timeout": f"{IDLE_TRANSACTION_S}s",
        }
        text = " ".join(f"-c {key}={value}" for key, value in settings.items())
        alive = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3, "tcp_user_timeout": 60_000}
        # Prepared statements belong to a session, which PgBouncer gives to whoever comes next.
        session = {"options": text, "prepare_threshold": None}
        return {"connect_args": {"connect_timeout": CONNECT_TIMEOUT_S, **session, **alive}}
    if name in ("mysql", "mariadb"):
        times = {"read_timeout": STATEMENT_TIMEOUT_S, "write_timeout": STATEMENT_TIMEOUT_S}
        start = f"SET time_zone = '+00:00', innodb_lock_wait_timeout = {LOCK_TIMEOUT_S}"
        connect = {"connect_timeout": CONNECT_TIMEOUT_S, "init_command": start, **times}
        return {"isolation_level": "READ COMMITTED", "connect_args": connect}
    return {}


def without_pool(storage: RDBStorage) -> Engine:
    """Return a second engine of the same store, which holds a connection only as long as it speaks."""
    url = parse_url(storage.url)
    engine = sqlalchemy.create_engine(url, poolclass=NullPool, **_session_options(url))
    on_connect(engine)
    return engine


def on_connect(engine: Engine) -> None:
    """Send the settings that need a statement of their own on each new connection."""
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
        _make_private(path)
        _turn_wal_on(path)


def _turn_wal_on(path: Path) -> None:
    """Have SQLite keep a log beside the file, so that readers do not wait for the writer; the file remembers it.

    While others do the same, SQLite says at once that the file is locked, whatever the time-out.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as exc:
            if "locked" not in str(exc) or time.monotonic() > deadline:
                raise
        finally:
            db.close()
        time.sleep(random.uniform(0.02, 0.1))


def _make_private(path: Path) -> None:
    """Make a new file that its owner alone may read and write; one in a folder for a group has the rights of the umask.

    SQLite gives the files beside it, and we the folder of its artifacts, the same rights.
    """
    mode = OWNER_ALONE
    with suppress(OSError):
        rights = path.parent.stat().st_mode
        if rights & stat.S_ISGID or (rights & stat.S_IWGRP and not rights & stat.S_IWOTH):
            mode = 0o666
    with suppress(OSError):  # what is there stays as it is; what cannot be made, SQLite says
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))


def release_connections(engine: Engine) -> None:
    """Close the connections that nobody uses: a server has few of them.

    Those to a file stay. With the last one SQLite removes the files -wal and -shm, which it needs even to read; on a
    disk that is full by then it could not make them again.
    """
    if engine.dialect.name != "sqlite":
        engine.dispose()


def require_room(url: URL) -> None:
    """Check that SQLite can make the files that it needs beside the store's, where nobody has it open.

    On some full disks it would end the process by SIGBUS, when it writes to a file that it has mapped.

    Raises:
        NoSpaceError: there is no room.
    """
    path = sqlite_path(url)
    if path.with_name(f"{path.name}-shm").exists():
        return
    if _free_bytes(path) < LEAST_ROOM:
        raise NoSpaceError(NO_SPACE)


def _free_bytes(path: Path) -> int:
    """Return how many bytes this user may still write to the file system of a file; many where it does not say."""
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return LEAST_ROOM
    blocks = status.f_bavail
    if os.geteuid() == 0:
        blocks = status.f_bfree
    return blocks * status.f_frsize


def _is_read_only(path: Path) -> bool:
    try:
        return bool(os.statvfs(path.parent).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def require_creatable(storage_url: str) -> None:
    """Make sure that a store can be made here, and leave nothing behind.

    Raises:
        StoreError: the URL is none, or the place cannot be written.
    """
    url = parse_url(storage_url)
    with errors_in_one_line(storage_url):
        if is_sqlite(url):
            tempfile.TemporaryFile(dir=sqlite_path(url).parent).close()
        else:
            engine = sqlalchemy.create_engine(storage_url, **engine_options(url))
            engine.connect().close()
            engine.dispose()


@contextmanager
def translate_database_errors(storage_url: str) -> Iterator[None]:
    """Turn errors that do not go away by waiting into a StoreError of one line without the password.

    Raises:
        StoreError: the database refuses.
    """
    try:
        yield
    except DATABASE_ERRORS as exc:
        raise StoreError(f"{masked(storage_url)}: the store refuses: {error_message(exc)}") from exc


@contextmanager
def errors_in_one_line(storage_url: str, *, waited: bool = False) -> Iterator[None]:
    """Whatever a database or its driver says, as one line without the password; `waited`: an outage stays one."""
    shown = masked(storage_url)
    try:
        logging.getLogger("sqlalchemy").setLevel(logging.ERROR)
        yield
    except OutageError as exc:
        message = f"{shown}: {_explain_error(exc.__cause__ or exc, storage_url)}"
        if waited:
            raise OutageError(message) from exc
        raise StoreError(message) from exc
    except (*DRIVER_ERRORS, optuna.exceptions.OptunaError) as exc:
        raise StoreError(f"{shown}: {_explain_error(exc, storage_url)}") from exc


def _explain_error(exc: BaseException, storage_url: str) -> str:
    cause = getattr(exc, "orig", None) or exc.__cause__ or exc
    url = make_url(storage_url)
    text = hide_secrets(one_line(cause), url)
    if isinstance(exc, (ImportError, NoSuchModuleError)):
        return f"its driver is not installed ({text}); pip install it, or use sqlite:///sweeps.db"
    if "no longer compatible" in str(exc):
        return "its schema is unknown to this version of Optuna; upgrade one of the two (`optuna storage upgrade`)"
    if text == NO_SPACE or (is_sqlite(url) and "disk" in text and _free_bytes(sqlite_path(url)) < LEAST_ROOM):
        return NO_SPACE
    if is_sqlite(url) and ("unable to open" in text or "readonly" in text) and _is_read_only(sqlite_path(url)):
        return "its file system is mounted read-only; mount it for writing, which SQLite needs even to read"
    if is_sqlite(url) and ("unable to open" in text or isinstance(exc, OSError)):
        return "the file cannot be opened or made; check that the folder exists and can be written"
    if "readonly" in text:
        return "the file cannot be written; change its permissions or name another with --storage"
    if "not a database" in text:
        return "the file is not a SQLite database; name another with --storage"
    return f"cannot be used ({text}); check the URL and that the server runs"
