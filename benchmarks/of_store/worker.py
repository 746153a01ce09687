"""A worker process: what it is told, and its work until time is up."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.pool import Pool

from of_store.loop import Over, Tally, ours, plain, timed
from sweeps import store
from sweeps.store import engines
from sweeps.store.worker_storage import WorkerStorage


@dataclass(frozen=True, slots=True)
class Cell:
    """What a worker process is told.

    Attributes:
        kind: ours, plain, or unpruned: plain without should_prune.
        url: of the store; of a gRPC proxy grpc://HOST:PORT.
        bouncer: whether the URL is PgBouncer's.
    """

    kind: str
    url: str
    study: str
    sleep_s: float
    seconds: float
    bouncer: bool = False


def serve(cell: Cell, barrier: Any, results: Any) -> None:
    """A worker process: waits with its first trial in hand until all have one, and works until time is up."""
    tally = Tally()
    waiting = [True]

    def began() -> None:
        if waiting:
            waiting.clear()
            barrier.wait()
            tally.connections = len(tally.opened)
            tally.since = time.perf_counter()
            tally.deadline = tally.since + cell.seconds

    try:
        with counted_connections(tally):
            _work(cell, tally, began)
    except Over:
        pass
    except Exception as exc:  # noqa: BLE001  a worker that died is a result
        tally.error = f"{type(exc).__name__}: {exc}".splitlines()[0][:200]
    if waiting:
        barrier.wait()
    results.put(tally)


def _work(cell: Cell, tally: Tally, began: Callable[[], None]) -> None:
    if cell.bouncer:
        _without_prepared_statements()
    if cell.kind == "ours":
        storage = store.connect(cell.url)
        with timed(WorkerStorage, "add_reading", tally.report):
            ours(storage, tally, cell.sleep_s, began=began).serve_studies([cell.study])
        return
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    plain(_storage(cell), cell.study, tally, cell.sleep_s, began=began, prunes=cell.kind == "plain")


def _storage(cell: Cell) -> BaseStorage:
    if cell.url.startswith("grpc://"):
        host, _, port = cell.url.removeprefix("grpc://").partition(":")
        return optuna.storages.GrpcStorageProxy(host=host, port=int(port))
    options = {"connect_args": {"prepare_threshold": None}} if cell.bouncer else {}
    return RDBStorage(cell.url, engine_kwargs=options)


def _without_prepared_statements() -> None:
    """PgBouncer gives each transaction another server connection, which knows nothing of those of the last."""
    usual = engines.engine_options

    def options(url: sqlalchemy.URL) -> dict[str, Any]:
        made = usual(url)
        made["connect_args"]["prepare_threshold"] = None
        return made

    engines.engine_options = options


@contextmanager
def counted_connections(tally: Tally) -> Iterator[None]:
    """The largest number of connections that this process has open at a time."""
    now = tally.opened

    def opened(connection: Any, record: Any) -> None:  # noqa: ARG001
        now.add(id(connection))
        tally.connections = max(tally.connections, len(now))

    def closed(connection: Any, record: Any) -> None:  # noqa: ARG001
        now.discard(id(connection))

    sqlalchemy.event.listen(Pool, "connect", opened)
    sqlalchemy.event.listen(Pool, "close", closed)
    try:
        yield
    finally:
        sqlalchemy.event.remove(Pool, "connect", opened)
        sqlalchemy.event.remove(Pool, "close", closed)
