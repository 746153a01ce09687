"""What store.py measures with: one worker, ours or plain Optuna's, timed from its training loop, and what it sends.

A trial draws 12 parameters and has 20 reports. Ours also looks once before the first step, and keeps the vital signs of
8 layers with each look. Nothing is trained: between two looks a run sleeps.
"""

import math
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.pool import Pool

from sweeps import samplers, space_file, store
from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.heartbeat import Patience
from sweeps.signals import IncomingWeights, LayerVitals, Reading
from sweeps.space import Space
from sweeps.store import engines
from sweeps.store.worker_storage import WorkerStorage
from sweeps.worker import Worker

REPORTS, LAYERS = 20, 8
SPACE = f"""
[study]
name = "store"
[budget]
trials = 1000000
steps = {10 * REPORTS}
report_interval = 10
holdout_images = 256
[data]
classes = 10
images = 256
image_size = 16
[sampler]
name = "SAMPLER"
[space]
activation = ["relu", "elu", "selu", "tanh"]
initializer = ["he_normal", "lecun_normal", "glorot_normal"]
optimizer = ["adam", "nadam", "sgd"]
constraint = ["none", "centralize_unit", "standardize_unit"]
inputs = ["unit", "centred"]
batch_size = {{ low = 16, high = 128, step = 16 }}
learning_rate = {{ low = 1e-5, high = 1e-1, log = true }}
epsilon = {{ low = 1e-8, high = 1e-3, log = true }}
l2 = {{ low = 1e-7, high = 1e-2, log = true }}
weight_decay = {{ low = 1e-7, high = 1e-2, log = true }}
momentum = {{ low = 0.0, high = 0.99 }}
dropout_rate = {{ low = 0.0, high = 0.5 }}
"""


def suggest(trial: optuna.Trial) -> None:
    """The 12 parameters of SPACE, as a user of Optuna draws them."""
    trial.suggest_categorical("activation", ["relu", "elu", "selu", "tanh"])
    trial.suggest_categorical("initializer", ["he_normal", "lecun_normal", "glorot_normal"])
    trial.suggest_categorical("optimizer", ["adam", "nadam", "sgd"])
    trial.suggest_categorical("constraint", ["none", "centralize_unit", "standardize_unit"])
    trial.suggest_categorical("inputs", ["unit", "centred"])
    trial.suggest_int("batch_size", 16, 128, step=16)
    trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
    trial.suggest_float("epsilon", 1e-8, 1e-3, log=True)
    trial.suggest_float("l2", 1e-7, 1e-2, log=True)
    trial.suggest_float("weight_decay", 1e-7, 1e-2, log=True)
    trial.suggest_float("momentum", 0.0, 0.99)
    trial.suggest_float("dropout_rate", 0.0, 0.5)


def make_study(storage: RDBStorage, name: str, sampler: str) -> Space:
    """A study of SPACE, on offer to workers."""
    text = SPACE.replace('"store"', f'"{name}"').replace("SAMPLER", sampler)
    space = space_file.parse(text, [], name)
    store.create_study(storage, space, text, [])
    return space


@cache
def readings() -> tuple[Reading, ...]:
    """Of a run that learns; numbers have all their digits, since these are what is stored."""
    rng = random.Random(0)

    def layer(index: int) -> LayerVitals:
        weights = IncomingWeights(rng.gauss(0, 1), rng.random(), rng.random(), rng.random(), rng.random())
        numbers = [rng.gauss(0, 1), rng.random(), rng.uniform(0.2, 0.8), 0.0, rng.random(), 1e-3 * rng.random()]
        return LayerVitals(f"conv_{index}", *numbers, saturated=rng.random(), weights=weights)

    def reading(look: int) -> Reading:
        loss, hits = 2.3 - 0.06 * look + 0.01 * rng.random(), 26 + 8 * look
        count = {"hits1": hits, "hits5": min(256, 5 * hits), "count": 256}
        norms = {"gradient_norm": rng.random(), "update_ratio": 1e-3 * rng.random(), "finite": True}
        layers = tuple(map(layer, range(LAYERS)))
        more: dict[str, Any] = {"seconds": look + rng.random(), "layers": layers, "f1": rng.random(), "loss_std": 1.0}
        return Reading(step=10 * look, train_loss=loss + 0.01 * rng.random(), loss=loss, **count, **norms, **more)

    return tuple(map(reading, range(REPORTS + 1)))


@cache
def arrays(classes: int) -> Arrays:
    """Balanced labels."""
    images, labels = np.zeros((256, 16, 16, 1), np.uint8), np.arange(256, dtype=np.int32) % classes
    return Arrays(images, labels, images, labels, classes)


def load(config: DataConfig, holdout_images: int) -> Arrays:  # noqa: ARG001  (`training.Load`)
    """No work."""
    return arrays(config.classes)


@dataclass(slots=True)
class Tally:
    """What a training loop waits for, in seconds, and when its trials ended.

    Attributes:
        ask: from the end of one trial to the start of the next one's training; that of the first trial apart.
        report: in ours the storing of a reading; in plain Optuna `trial.report`.
        look: all that is done between two stretches of training: in ours the verdict too, in plain `should_prune`.
        end: from the last report to the trial's end in the store.
        unfinished: share of its reports that a trial had made when time was up.
        connections: most that were open at a time, of those now `opened`.
    """

    deadline: float = math.inf
    first_ask: float = math.nan
    ask: list[float] = field(default_factory=list)
    report: list[float] = field(default_factory=list)
    look: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)
    finished: int = 0
    unfinished: float = 0.0
    connections: int = 0
    opened: set[int] = field(default_factory=set)
    error: str = ""
    since: float = field(default_factory=time.perf_counter)

    @property
    def over(self) -> bool:
        return time.perf_counter() > self.deadline

    def trains(self) -> None:
        """A trial's training begins."""
        waited = self.lap()
        if math.isnan(self.first_ask):
            self.first_ask = waited
        elif not self.over:
            self.ask.append(waited)

    def ended(self) -> None:
        """A trial's end is in the store."""
        waited = self.lap()
        if not self.over:
            self.finished += 1
            self.end.append(waited)

    def lap(self) -> float:
        before, self.since = self.since, time.perf_counter()
        return self.since - before


class Over(Exception):
    """Time is up in the middle of a trial."""


class Idle:
    """A run of `readings`; see `training.Run`."""

    def __init__(self, tally: Tally, sleep_s: float, at_look: Callable[[int], None]) -> None:
        self.tally, self.sleep_s, self.at_look = tally, sleep_s, at_look
        self.given = self.in_time = 0
        self.interrupted = threading.Event()

    def __iter__(self) -> "Idle":
        return self

    def __next__(self) -> Reading | None:
        if self.given and not self.interrupted.is_set():
            waited = self.tally.lap()
            if not self.tally.over:
                self.tally.look.append(waited)
        self.at_look(self.given)
        if self.given and self.interrupted.wait(self.sleep_s):
            self.interrupted.clear()
            return None
        if self.given > REPORTS:
            raise StopIteration
        self.given += 1
        self.in_time += self.sleep_s > 0 and not self.tally.over
        self.tally.lap()
        return readings()[self.given - 1]

    def interrupt(self) -> None:
        self.interrupted.set()

    def state(self) -> bytes:
        return b""

    def close(self) -> None:
        if self.tally.over:
            self.tally.unfinished = max(0, self.in_time - 2) / REPORTS
        elif self.given > REPORTS:
            self.tally.ended()


def ours(
    storage: RDBStorage,
    tally: Tally,
    sleep_s: float = 0.0,
    trials: float = math.inf,
    began: Callable[[], None] = lambda: None,
    at_look: Callable[[int], None] = lambda look: None,  # noqa: ARG005
    beat_s: float = Patience().beat_s,
) -> Worker:
    """A worker of ours, ready to serve; it ends after `trials`, or when the tally's time is up."""

    def train(config: Config, data: Arrays, state: bytes | None) -> Idle:  # noqa: ARG001
        tally.trains()
        began()
        tally.lap()
        return Idle(tally, sleep_s, at_look)

    def stopping() -> bool:
        return tally.over or tally.finished >= trials

    place = store.artifacts(storage.url)
    return Worker(storage, train, load, stopping, place, Patience(beat_s=beat_s), say=lambda text: None)  # noqa: ARG005


def plain(
    storage: str | BaseStorage,
    study: str,
    tally: Tally,
    sleep_s: float = 0.0,
    trials: float = math.inf,
    began: Callable[[], None] = lambda: None,
    prunes: bool = True,
    sampler: optuna.samplers.BaseSampler | None = None,
) -> None:
    """The same with plain Optuna, as its documentation writes it."""

    def objective(trial: optuna.Trial) -> float:
        suggest(trial)
        tally.trains()
        began()
        for look in range(1, REPORTS + 1):
            time.sleep(sleep_s)
            tally.lap()
            trial.report(readings()[look].top1, look)
            reported = time.perf_counter() - tally.since
            if prunes and trial.should_prune():
                raise optuna.TrialPruned
            waited = tally.lap()
            if tally.over:
                tally.unfinished = (look - 1) / REPORTS
                raise Over
            tally.report.append(reported)
            tally.look.append(waited)
        return readings()[-1].top1

    def after(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:  # noqa: ARG001
        tally.ended()
        if tally.over or tally.finished >= trials:
            study.stop()

    sampler = sampler or optuna.samplers.RandomSampler()
    opened = optuna.load_study(study_name=study, storage=storage, sampler=sampler, pruner=optuna.pruners.NopPruner())
    opened.optimize(objective, callbacks=[after])


@contextmanager
def timed(owner: type, name: str, into: list[float]) -> Iterator[None]:
    """How long the calls of a method take."""
    method = getattr(owner, name)

    def with_clock(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            into.append(time.perf_counter() - started)

    setattr(owner, name, with_clock)
    try:
        yield
    finally:
        setattr(owner, name, method)


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
            ours(storage, tally, cell.sleep_s, began=began).serve([cell.study])
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
    usual = engines.options

    def options(url: sqlalchemy.URL) -> dict[str, Any]:
        made = usual(url)
        made["connect_args"]["prepare_threshold"] = None
        return made

    engines.options = options


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


@dataclass(slots=True)
class Census:
    """What SQLAlchemy sends, and what goes through a `Proxy`; see `counting`."""

    statements: float = 0
    commits: float = 0
    rollbacks: float = 0
    round_trips: float = 0
    connections: float = 0
    kilobytes: float = 0
    open_s: float = 0

    def __sub__(self, other: "Census") -> "Census":
        return Census(*(getattr(self, name) - getattr(other, name) for name in self.__slots__))

    def __add__(self, other: "Census") -> "Census":
        return Census(*(getattr(self, name) + getattr(other, name) for name in self.__slots__))

    def __mul__(self, factor: float) -> "Census":
        return Census(*(getattr(self, name) * factor for name in self.__slots__))


@contextmanager
def counting(census: Census) -> Iterator[None]:
    """Count the statements and transactions of all engines of this process."""

    def statement(*_: Any) -> None:
        census.statements += 1

    def commit(_: Any) -> None:
        census.commits += 1

    def rollback(_: Any) -> None:
        census.rollbacks += 1

    heard = {"before_cursor_execute": statement, "commit": commit, "rollback": rollback}
    for name, listener in heard.items():
        sqlalchemy.event.listen(sqlalchemy.Engine, name, listener)
    try:
        yield
    finally:
        for name, listener in heard.items():
            sqlalchemy.event.remove(sqlalchemy.Engine, name, listener)


class Proxy:
    """Passes connections on to a server and counts; a round trip is a client that speaks after the server did."""

    def __init__(self, host: str, port: int, census: Census) -> None:
        self.server, self.census = (host, port), census
        self.began: dict[int, float] = {}  # of the connections that are open
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.close()

    def taken(self) -> Census:
        """The counts now, the open connections' time included."""
        with self.lock:
            now = time.perf_counter()
            return self.census + Census(open_s=sum(now - began for began in self.began.values()))

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.census.connections += 1
                self.began[id(client)] = time.perf_counter()
            threading.Thread(target=self._pass_on, args=(client, server), daemon=True).start()

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        last, other = server, {client: server, server: client}
        while True:
            for source in select.select([client, server], [], [])[0]:
                data = _received(source)
                if not data:
                    self._ended(client, server)
                    return
                with self.lock:
                    self.census.round_trips += source is client and last is server
                    self.census.kilobytes += len(data) / 1000
                last = source
                other[source].sendall(data)

    def _ended(self, client: socket.socket, server: socket.socket) -> None:
        with self.lock:
            self.census.open_s += time.perf_counter() - self.began.pop(id(client))
        client.close()
        server.close()


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


def usual_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Plain Optuna's TPE with the options that ours has by default."""
    text = SPACE.replace("SAMPLER", samplers.DEFAULT_SAMPLER)
    return samplers.sampler(space_file.parse(text, [], "store"), seed)
