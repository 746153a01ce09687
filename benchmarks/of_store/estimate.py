"""On paper: what 1 000 workers would ask of one PostgreSQL."""

import statistics

import sqlalchemy
from scipy.stats import poisson

from of_store import workload
from of_store.proxy import Census
from of_store.rows import Numbers, Row
from of_store.targets import Target
from sweeps.store.batches import pack_reading
from sweeps.store.tables import ReadingRow

BEATS_S, WATCH_S = 20.0, 20.0  # a worker's usual beats, and how often it looks for dead ones
TRIAL_S, FLEET = 300.0, 1000  # of the paper estimate


def estimate(found: dict[str, Census], row_bytes: float | None, plain_connections: int) -> list[Row]:
    """What a fleet of workers asks of one server, trials of five minutes."""
    empty = TRIAL_S / BEATS_S - workload.REPORTS - 1
    trial = found["ours, a beat a look"] + found["a beat alone"] * empty + found["a watch"] * (TRIAL_S / WATCH_S)
    packed = statistics.mean(len(pack_reading(reading)) for reading in workload.readings())
    per_day = FLEET * 86400 / TRIAL_S * (workload.REPORTS + 1) / 1e6
    rows = []
    for kind, each in (("ours", trial), ("plain", found["plain"]), ("plain, unpruned", found["plain, unpruned"])):
        per_s, ours = FLEET / TRIAL_S, kind == "ours"
        mean = per_s * each.open_s if ours else float(FLEET * plain_connections)
        row: Row = {"of": kind, "statements/s": per_s * each.statements}
        row |= {"transactions/s": per_s * (each.commits + each.rollbacks), "round trips/s": per_s * each.round_trips}
        row |= {"connections": mean, "at most": poisson.ppf(0.9999, mean) if ours else mean}
        row |= {"readings MB/day": per_day * packed if ours else 0.0}
        rows.append(row | {"in its table": per_day * row_bytes if ours and row_bytes else ""})
    return rows


def held(numbers: Numbers) -> int:
    """Connections that a worker of plain Optuna keeps open, as the contests on PostgreSQL found."""
    of = [each["of"]["plain"]["connections"] for each in numbers["contests"] if each["store"] == "postgresql"]
    return max(of, default=1)


def row_bytes(target: Target) -> float | None:
    """Of a reading in PostgreSQL's table, its index and everything included."""
    name = ReadingRow.__tablename__
    with target.opened.engine.connect() as db:
        rows = db.scalar(sqlalchemy.text(f"SELECT count(*) FROM {name}")) or 0
        size = db.scalar(sqlalchemy.text(f"SELECT pg_total_relation_size('{name}')")) or 0
    target.opened.engine.dispose()
    return float(size) / rows if rows else None
