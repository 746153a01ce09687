"""Worker processes as a test starts, watches and ends them, and the store as it sees it."""

import atexit
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import chaos_worker
import fakes
import sqlalchemy
from chaos_worker import Order, Plan
from servers import PASSWORD
from sqlalchemy import NullPool

from sweeps import store
from sweeps.store import engines
from sweeps.store.readings import readings

SCRIPT = Path(chaos_worker.__file__)
# Looks at each of 20 steps; controls alone, since a stopped trial's length would depend on which others had ended.
SPACE = ("budget.steps=20", "budget.report_interval=1", "verdict.control=1")
# What tells where and when a trial was trained, or what others had ended by the time it was first drawn.
CIRCUMSTANCES = {store.HOST, store.PID, store.SECONDS, store.JUDGED_BY}


def until(condition: Callable[[], Any], limit: float = 60.0, what: str = "it") -> Any:
    """Ask again and again until the answer is true; the answer."""
    deadline = time.monotonic() + limit
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {limit:.0f} s"
        time.sleep(0.02)
    return answer


class View:
    """A store, looked at without keeping a connection."""

    def __init__(self, url: str) -> None:
        self.url = url
        options = engines.engine_options(engines.parse_url(url))
        connect_args = options["connect_args"]
        self.engine = sqlalchemy.create_engine(url, poolclass=NullPool, connect_args=connect_args)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Of one query."""
        with self.engine.connect() as db:
            return [dict(row) for row in db.exec_driver_sql(sql).mappings()]

    def states(self) -> list[str]:
        """Of all trials, by their numbers."""
        return [row["state"] for row in self.rows("SELECT state FROM trials ORDER BY number")]

    def slots(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM sweeps_slots ORDER BY slot")

    def workers(self) -> list[dict[str, Any]]:
        return self.rows("SELECT * FROM sweeps_workers ORDER BY worker_id")

    def done(self) -> int:
        """Slots that are done; 0 where the store does not answer."""
        with suppress(sqlalchemy.exc.SQLAlchemyError):
            return sum(bool(slot["done"]) for slot in self.slots())
        return 0

    def steps(self, number: int) -> list[int]:
        """Of the readings that were delivered of a trial."""
        query = f"SELECT step FROM sweeps_readings WHERE number = {number} ORDER BY step"
        return [row["step"] for row in self.rows(query)]

    def attributes(self, number: int) -> dict[str, Any]:
        """Of one trial."""
        query = "SELECT a.key, a.value_json FROM trial_user_attributes a JOIN trials t ON t.trial_id = a.trial_id"
        query = query.replace("a.key", "a.`key`") if self.engine.dialect.name == "mysql" else query
        return {row["key"]: json.loads(row["value_json"]) for row in self.rows(f"{query} WHERE t.number = {number}")}

    def dump(self) -> dict[str, list[str]]:
        """All rows of all tables, as text."""
        names = sqlalchemy.inspect(self.engine).get_table_names()
        return {name: sorted(str(list(row.values())) for row in self.rows(f"SELECT * FROM {name}")) for name in names}

    def of_trial(self, number: int) -> dict[str, list[str]]:
        """All that any table says of one trial."""
        (trial,) = self.rows(f"SELECT * FROM trials WHERE number = {number}")
        found = {}
        for name in sqlalchemy.inspect(self.engine).get_table_names():
            rows = self.rows(f"SELECT * FROM {name}")
            mine = [row for row in rows if row.get("trial_id") == trial["trial_id"]]
            told = [row for row in rows if "trial_id" not in row and row.get("number") == number]
            notes = [row for row in rows if f":{trial['trial_id']}:" in str(row.get("key"))]
            if name != "sweeps_workers":
                found[name] = sorted(str(list(row.values())) for row in (*mine, *told, *notes))
        return found


def make(url: str, *overrides: str) -> View:
    """A new store at `url`, with a study of twenty steps in it."""
    fakes.create(url, overrides=(*SPACE, *overrides))
    return View(url)


def ends(view: View) -> dict[int, dict[str, Any]]:
    """How each trial ended, without what depends on the circumstances."""
    storage = store.connect(view.url)
    study = store.load_study(storage, "tiny")
    study_id = store.id_of(storage, study)
    found = {}
    for trial in study.get_trials(deepcopy=False):
        looks = [replace(each, seconds=0.0) for each in readings(storage.engine, study_id, trial.number)]
        found[trial.number] = {
            "state": trial.state.name,
            "params": trial.params,
            "value": trial.value,
            "constraints": trial.constraints,
            "reported": trial.intermediate_values,
            "readings": [json.dumps(each.to_dict()) for each in looks],  # text: not-a-number equals itself
            "attributes": {key: each for key, each in trial.user_attrs.items() if key not in CIRCUMSTANCES},
        }
    storage.engine.dispose()
    return found


def undisturbed(folder: Path, *overrides: str) -> dict[int, dict[str, Any]]:
    """How the same study ends on SQLite with one worker in this process."""
    view = make(f"sqlite:///{folder}/undisturbed.db", *overrides)
    chaos_worker.work(Plan(look_s=0.0), view.url)
    return ends(view)


@dataclass(eq=False)
class Member:
    """One worker process."""

    pid: int
    log_path: Path
    code_path: Path
    trace_path: Path

    @property
    def code(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        text = self.code_path.read_text() if self.code_path.exists() else ""
        return int(text) if text else None

    @property
    def runs(self) -> bool:
        return self.code is None

    def log(self) -> str:
        """All that it wrote to stdout and stderr."""
        return self.log_path.read_text(errors="replace")

    def trace(self, what: str = "look") -> list[dict[str, Any]]:
        """What it did, of one kind."""
        lines = self.trace_path.read_text().splitlines() if self.trace_path.exists() else []
        return [told for told in map(json.loads, lines) if told["what"] == what]

    def await_traces(self, count: int = 1, what: str = "look", limit: float = 60.0) -> list[dict[str, Any]]:
        """Wait for so many, while it runs."""

        def there() -> bool:
            assert self.runs or len(self.trace(what)) >= count, f"it ended: {self.log()}"
            return len(self.trace(what)) >= count

        until(there, limit, f"{count} times {what}")
        return self.trace(what)

    def signal(self, number: signal.Signals) -> None:
        if self.runs:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.ended()

    def stop(self) -> None:
        """SIGSTOP; returns when it has stopped."""
        self.signal(signal.SIGSTOP)
        until(self.stopped, what="the stop")

    def stopped(self) -> bool:
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(") ")[2][0] == "T"

    def ended(self, limit: float = 60.0) -> int:
        """Its exit code, once it has ended."""
        deadline = time.monotonic() + limit
        while (code := self.code) is None:
            assert time.monotonic() < deadline, f"worker {self.pid} runs after {limit:.0f} s: {self.log()}"
            time.sleep(0.005)
        return code


def environment_of_workers() -> dict[str, str]:
    """This process's, with the way to what the script imports."""
    path = os.pathsep.join([str(SCRIPT.parent.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return {**os.environ, "PYTHONPATH": path}


@cache
def forks() -> subprocess.Popen[str]:
    """The process that workers are forked from; it ends with this one."""
    # A process with threads is not to be forked, and OpenBLAS starts some when it is loaded.
    env = {**environment_of_workers(), "OPENBLAS_NUM_THREADS": "1"}
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, str(SCRIPT)], stdin=pipe, stdout=pipe, env=env, text=True, bufsize=1)
    atexit.register(process.communicate)
    return process


def fork(order: Order) -> int:
    """Start a worker; its process number."""
    process = forks()
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{order.to_json()}\n")
    return int(process.stdout.readline())


@dataclass
class Crew:
    """The workers of one test; leaving it kills them all."""

    url: str
    folder: Path
    plan: Plan = field(default_factory=Plan)
    members: list[Member] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.plan = replace(self.plan, artifacts=f"{self.folder}/artifacts", trace=str(self.folder))

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.members:
            each.kill()

    def start(
        self, count: int = 1, environment: dict[str, str] | None = None, *, anew: bool = False, **changes: Any
    ) -> Member:
        """Start workers; the last of them."""
        plan = asdict(replace(self.plan, **changes))
        env = {**environment_of_workers(), **(environment or {}), "SWEEPS_STORAGE": self.url}
        for _ in range(count):
            log_path, code_path = (self.folder / f"worker-{len(self.members)}.{kind}" for kind in ("log", "code"))
            log_path.touch()
            pid = fork(Order(plan, env, str(log_path), str(code_path), anew))
            self.members.append(Member(pid, log_path, code_path, self.folder / f"{pid}.jsonl"))
        return self.members[-1]

    @property
    def running(self) -> list[Member]:
        return [each for each in self.members if each.runs]

    def ended(self, limit: float = 60.0) -> list[int]:
        """All exit codes, once all have ended."""
        deadline = time.monotonic() + limit
        return [each.ended(max(0.0, deadline - time.monotonic())) for each in self.members]

    def logs(self) -> str:
        return "".join(each.log() for each in self.members)

    def checkpoints(self) -> list[str]:
        """The files that are there."""
        return sorted(path.name for path in self.folder.glob("artifacts/checkpoints/*/*"))

    def spans(self) -> Iterator[tuple[int, float, float]]:
        """(seed, from, to) of each attempt at a trial, as far as its looks tell."""
        for each in self.members:
            seen: dict[int, list[float]] = {}
            for line in each.trace():
                seen.setdefault(line["seed"], []).append(line["at"])
            yield from ((seed, min(times), max(times)) for seed, times in seen.items())


def overlapping(spans: Sequence[tuple[int, float, float]]) -> list[int]:
    """Seeds that two workers trained at the same time."""
    ordered = sorted(spans)
    pairs = itertools.pairwise(ordered)
    return [seed for (seed, _, end), (other, start, _) in pairs if seed == other and start < end]


def check_quiet(crew: Crew) -> None:
    """No log has a traceback, the password, or SQLite's word for a writer that gave up."""
    for word in ("Traceback", PASSWORD, "database is locked", "Exception in thread"):
        told = [each.log() for each in crew.members if word in each.log()]
        assert not told, f"{word}: {told[0]}"
