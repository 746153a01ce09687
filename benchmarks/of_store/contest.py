"""Many workers: trials per second, and the 95th percentiles of what a training loop waits for."""

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy
from optuna.storages._rdb import models
from optuna.trial import TrialState
from sqlalchemy import func, select

from of_store import worker
from of_store.loop import Tally
from of_store.rows import Numbers, Row, number, ratio
from of_store.targets import Target
from of_store.worker import Cell
from sweeps.store.batches import table_of

START_S = 120.0  # most that workers may take to begin, and to end
# What a worker imports when it first needs it, too: 64 of them would do so for a minute.
PRELOADED = ["of_store.worker", "store", "alembic.command", "alembic.autogenerate", "sweeps.store.migrations"]
PRELOADED += ["optuna.storages._rdb.models", "psycopg", "pymysql", "matplotlib.figure"]
CLIENTS = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    " AND datname = current_database() AND pid <> pg_backend_pid()",
    "mysql": "SELECT count(*) - 1 FROM information_schema.processlist WHERE db = DATABASE()",
}


def fork_server() -> Any:
    """Where processes come from that have imported all they need."""
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def measured(target: Target, cell: Cell, workers: int) -> Numbers:
    """Processes at work for some seconds, all begun with a trial in hand."""
    context = fork_server()
    barrier, results = context.Barrier(workers, timeout=START_S), context.Queue()
    processes = [context.Process(target=worker.serve, args=(cell, barrier, results)) for _ in range(workers)]
    peak: list[int] = []
    with watched(target, peak):
        for process in processes:
            process.start()
        try:
            tallies = [results.get(timeout=START_S + cell.seconds) for _ in processes]
        finally:
            for process in processes:
                process.join(timeout=5)
                process.kill()
    found = summary(tallies, cell.seconds)
    kept = completed(target, cell)
    if kept < found["finished"]:
        raise RuntimeError(f"{found['finished']} trials were told, the store has {kept}")
    return found | {"server_connections": max(peak, default=0)}


def summary(tallies: Sequence[Tally], seconds: float) -> Numbers:
    """Of all workers together; see `Tally.unfinished`."""
    finished = sum(tally.finished for tally in tallies)
    errors = sorted({tally.error for tally in tallies if tally.error})
    numbers: Numbers = {"finished": finished, "rate": (finished + sum(tally.unfinished for tally in tallies)) / seconds}
    for what in ("ask", "report", "look", "end"):
        waits = [wait for tally in tallies for wait in getattr(tally, what)]
        numbers[f"{what}_p95_ms"] = 1000 * float(np.quantile(waits, 0.95)) if waits else None
    connections = max(tally.connections for tally in tallies)
    return numbers | {"connections": connections, "failed": sum(bool(t.error) for t in tallies), "errors": errors}


def completed(target: Target, cell: Cell) -> int:
    """Trials of a cell's study that the store has whole."""
    trials, studies = table_of(models.TrialModel), table_of(models.StudyModel)
    query = select(func.count()).select_from(trials.join(studies, studies.c.study_id == trials.c.study_id))
    engine = sqlalchemy.create_engine(target.url if cell.kind == "ours" else target.plain_url)
    with engine.connect() as db:
        where = (studies.c.study_name == cell.study, trials.c.state == TrialState.COMPLETE)
        count = db.scalar(query.where(*where)) or 0
    engine.dispose()
    return count


@contextmanager
def watched(target: Target, seen: list[int]) -> Iterator[None]:
    """The server's clients, looked at ten times a second."""
    engine, over = sqlalchemy.create_engine(target.url), threading.Event()
    question = CLIENTS.get(engine.dialect.name.replace("mariadb", "mysql"))

    def watch() -> None:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
            while question and not over.wait(0.1):
                seen.append(int(db.scalar(sqlalchemy.text(question)) or 0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        engine.dispose()


def contest(target: Target, workers: int, sleep_s: float, seconds: float) -> dict[str, Numbers]:
    """Ours, plain Optuna, and without a sleep plain Optuna without should_prune."""
    kinds = ["ours", "plain"] if sleep_s else ["ours", "plain", "unpruned"]
    found = {}
    for kind in kinds:
        family = "ours" if kind == "ours" else "plain"
        url = target.url if kind == "ours" else target.plain_url
        cell = Cell(kind, url, target.study(family), sleep_s, seconds)
        found[kind] = measured(target, cell, workers)
    return found


def contest_rows(target: Target, workers: int, sleep_s: float, found: dict[str, Numbers]) -> list[Row]:
    """A line for each; the factors say how many times better ours is."""
    ours, rows = found["ours"], []
    for kind, each in found.items():
        row: Row = {"store": target.name, "workers": workers, "sleep ms": round(1000 * sleep_s), "of": kind}
        row |= {"trials/s": each["rate"], "x": ratio(ours["rate"], each["rate"]) if kind != "ours" else ""}
        for what in ("ask", "report", "look", "end"):
            row[f"{what} p95"] = number(each[f"{what}_p95_ms"])
            if what in ("ask", "look"):
                row["x" + " " * len(row)] = ratio(each[f"{what}_p95_ms"], ours[f"{what}_p95_ms"], kind != "ours")
        row |= {"conns": each["connections"], "at server": each["server_connections"] or "", "failed": each["failed"]}
        rows.append(row)
    return rows
