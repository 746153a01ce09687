"""One worker process for tests of faults: a real worker on a real store, with a fake run.

`python chaos_worker.py` forks workers from itself, one for each line that it reads: what a worker imports costs a
second of a processor, and is paid once. A line is an `Order`; the answer is the worker's process number. The store's
URL comes in SWEEPS_STORAGE, as for a real worker. With a `Plan` as JSON behind it, it is that worker.
"""

import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fakes
import psycopg  # noqa: F401  (SQLAlchemy would import it in each worker)
import pymysql  # noqa: F401
import sqlalchemy
from sqlalchemy import Engine

from sweeps import store
from sweeps.artifacts.locations import Folder
from sweeps.config import Config, DataConfig
from sweeps.data.arrays import Arrays
from sweeps.errors import SweepsError
from sweeps.readings import Reading
from sweeps.store import engines, processes, reaper
from sweeps.store.leases import Retries
from sweeps.worker.heartbeat import Patience
from sweeps.worker.worker import Worker, worker_process

PR_SET_PDEATHSIG = 1
LONG_TEXT = 100_000  # characters of an error's text: more than a TEXT of MariaDB takes


@dataclass(frozen=True)
class Plan:
    """What a worker does and what befalls it.

    Attributes:
        study: empty for all.
        artifacts, trace: folders; each look is told to a file in the latter.
        look_s: how long a look takes; one that is `deaf` cannot be interrupted.
        most: trials, after which it ends.
        machine: where it says that it runs, if not here.
        deadly: a config's seed whose run kills its process, at `deadly_step`.
        freeze: what a statement starts with after which the worker stops itself, once, in the middle of a transaction.
        load_fails, build_fails: how many times.
        shouts: an error of a build is very long.
        load_s: how long the data take.
        state_bytes, file_limit: size of a checkpoint, and of the largest file that may be written.
        remove_fails: checkpoints cannot be removed.
    """

    study: str = "tiny"
    artifacts: str = ""
    trace: str = ""
    look_s: float = 0.02
    deaf: bool = False
    most: int = 1_000_000
    exit_when_idle: bool = False
    machine: str = ""
    beat_s: float = 0.3
    grace_s: float = 3.0
    outage_s: float = 60.0
    checkpoint_s: float = 0.3
    idle_s: float = 0.1
    wait_s: float = 30.0
    here: int = 20
    ever: int = 1000
    deadly: int = -1
    deadly_step: int = 2
    freeze: str = ""
    idle_transaction_s: int = 0
    load_fails: int = 0
    load_s: float = 0.0
    build_fails: int = 0
    shouts: bool = False
    state_bytes: int = 0
    file_limit: int = 0
    remove_fails: bool = False

    def patience(self) -> Patience:
        """As the worker takes it."""
        retries = Retries(self.here, self.ever)
        return Patience(self.beat_s, self.grace_s, self.outage_s, self.checkpoint_s, self.idle_s, retries)


class Trace:
    """What a process trained, and when, one JSON object a line: whoever looks need not ask the store."""

    def __init__(self, folder: str) -> None:
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        self._file = os.open(f"{folder}/{os.getpid()}.jsonl", flags) if folder else None

    def tell(self, what: str, seed: int, step: int) -> None:
        """Add a line, whole even when the process is killed next."""
        line = {"at": time.monotonic(), "pid": os.getpid(), "what": what, "seed": seed, "step": step}
        if self._file is not None:
            os.write(self._file, f"{json.dumps(line)}\n".encode())


class Run:
    """Readings that depend on the config and the step alone; the state is the next step, and ballast."""

    def __init__(self, plan: Plan, trace: Trace, config: Config, state: bytes | None) -> None:
        self._plan, self._trace, self._config = plan, trace, config
        self._next = int(state.split(b"\n")[0]) if state is not None else 0
        self._interrupted = threading.Event()
        self._left = plan.look_s  # of the look under way
        trace.tell("begin", config.seed, self._next)

    def __iter__(self) -> "Run":
        return self

    def __next__(self) -> Reading | None:
        if self._next > self._config.steps:
            raise StopIteration
        since = time.monotonic()
        if self._plan.deaf:
            time.sleep(self._plan.look_s)
        elif self._interrupted.wait(self._left):
            self._interrupted.clear()
            self._left = max(0.0, self._left - (time.monotonic() - since))
            return None
        self._left = self._plan.look_s
        step, self._next = self._next, self._next + self._config.report_interval
        if self._config.seed == self._plan.deadly and step >= self._plan.deadly_step:
            os.kill(os.getpid(), signal.SIGKILL)
        self._trace.tell("look", self._config.seed, step)
        return make_reading(self._config, step)

    @property
    def parts(self) -> tuple[str, ...]:
        return ()

    def interrupt(self) -> None:
        self._interrupted.set()

    def state(self) -> bytes:
        return str(self._next).encode() + b"\n" + os.urandom(self._plan.state_bytes)

    def close(self) -> None:
        self._trace.tell("close", self._config.seed, self._next)


def make_reading(config: Config, step: int) -> Reading:
    """A run that learns; how well depends on its config."""
    pace = 1 + config.seed % 7
    progress = step / config.steps * pace / 7
    return fakes.reading(step, loss=2.3 * (1 - 0.5 * progress) + config.learning_rate, hits1=6 + int(50 * progress))


class Fake:
    """`training.Train` and `training.Load` as planned."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.trace = plan, Trace(plan.trace)
        self.loads = self.builds = 0

    def load(self, data: DataConfig, holdout_images: int) -> Arrays:
        self.loads += 1
        self.trace.tell("load", -1, -1)
        time.sleep(self.plan.load_s)
        if self.loads <= self.plan.load_fails:
            raise OSError(5, "Input/output error", "/mnt/data/images.npy")
        return fakes.load(data, holdout_images)

    def train(self, config: Config, _: Arrays, state: bytes | None) -> Run:
        self.builds += 1
        if self.builds <= self.plan.build_fails:
            raise ValueError("x" * LONG_TEXT if self.plan.shouts else "the layer 'dense_9' has no input")
        return Run(self.plan, self.trace, config, state)


def work(plan: Plan, storage_url: str) -> int:
    """A worker's life, as `sweeps worker` has it; how many trials it finished."""
    fake = Fake(plan)
    with fakes.sketched(), worker_process() as this:
        opened = store.connect(storage_url, wait_s=plan.wait_s, giving_up=this.is_ending)
        if plan.freeze:
            freeze(opened.engine, plan.freeze, fake)
        place = store.artifacts(storage_url, plan.artifacts or None)
        done = lambda: this.is_ending() or (this.worker is not None and this.worker.finished >= plan.most)  # noqa: E731
        this.worker = Worker(opened, fake.train, fake.load, done, place, plan.patience())
        return this.worker.serve_studies([plan.study] if plan.study else [], exit_when_idle=plan.exit_when_idle)


def freeze(engine: Engine, start: str, fake: Fake) -> None:
    """Stop this process, once, right after a statement, when it has trained something."""
    stopped: list[bool] = []

    def after(_: Any, __: Any, statement: str, *___: Any) -> None:
        if fake.builds and not stopped and statement.startswith(start):
            stopped.append(True)
            fake.trace.tell("freeze", -1, -1)
            os.kill(os.getpid(), signal.SIGSTOP)

    sqlalchemy.event.listen(engine, "after_cursor_execute", after)


def prepare(plan: Plan) -> None:
    """This process as planned."""
    if plan.machine:
        processes.this_machine = reaper.this_machine = lambda: plan.machine  # type: ignore[attr-defined]
    if plan.idle_transaction_s:
        engines.IDLE_TRANSACTION_S = plan.idle_transaction_s
    if plan.file_limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan.file_limit, plan.file_limit))
    if plan.remove_fails:
        Folder.remove = refuse  # type: ignore[method-assign]


def refuse(self: Folder, name: str) -> None:
    raise OSError(30, "Read-only file system", name)


def main(plan: Plan) -> None:
    """Errors of ours are one line and an exit code, as the command has it; anything else shows itself."""
    prepare(plan)
    try:
        finished = work(plan, os.environ["SWEEPS_STORAGE"])
    except SweepsError as exc:
        print("\n".join(f"sweeps: {line}" for line in str(exc).splitlines()), file=sys.stderr)
        sys.exit(exc.exit_code)
    print(f"worker finished {finished} trials", file=sys.stderr)


@dataclass(frozen=True)
class Order:
    """A worker that is wanted: what it does, its environment, and the files for what it says and for its exit code.

    One that is `anew` is no mere fork but a program of its own, as a real worker is to those who list processes.
    """

    plan: dict[str, Any]
    environment: dict[str, str]
    log: str
    code: str
    anew: bool = False

    def to_json(self) -> str:
        """As one line."""
        return json.dumps(asdict(self))


def forked() -> Plan:
    """Fork a worker for each order; returns in the workers alone, so that they end as any process does."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the nurses
    for line in sys.stdin:
        if os.fork() == 0 and nurse(order := Order(**json.loads(line))):
            become(order)
            return Plan(**order.plan)
    sys.exit()


def nurse(order: Order) -> bool:
    """Wait for the order's worker and tell its exit code; returns, with true, in the worker alone."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    end_with_parent()
    if (worker := os.fork()) == 0:
        return True
    os.write(1, f"{worker}\n".encode())
    _, status = os.waitpid(worker, 0)
    Path(order.code).write_text(str(os.waitstatus_to_exitcode(status)))
    os._exit(0)


def become(order: Order) -> None:
    """A process with the order's files and environment."""
    end_with_parent()
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, order.log, os.O_WRONLY)):
        file = os.open(path, flags)
        os.dup2(file, number)
        os.close(file)
    os.dup2(1, 2)
    if order.anew:
        os.execve(sys.executable, [sys.executable, __file__, json.dumps(order.plan)], order.environment)
    os.environ.clear()
    os.environ.update(order.environment)
    time.tzset()


def end_with_parent() -> None:
    """Be killed when the process that started this one ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent()
    main(Plan(**json.loads(sys.argv[1])) if len(sys.argv) > 1 else forked())
