"""What does the store cost? Our workers and plain Optuna's, side by side on the same servers.

    python benchmarks/store.py                                      # all of it
    python benchmarks/store.py --stores sqlite --workers 1 4 --seconds 3 --history 100
    python benchmarks/store.py --postgresql postgresql+psycopg://... --mariadb mysql+pymysql://... --json store.json
    python benchmarks/store.py --pgbouncer                          # that alone: direct, PgBouncer, Optuna's gRPC proxy

Without URLs it starts servers of its own (tests/servers.py) where their programs are installed, with durable commits.
Prints for each store
1. statements, transactions and round trips of one trial: 12 parameters, 20 reports, random sampler, a pruner that is
   off. Round trips are counted by a proxy on the way to the server; SQLite has none;
2. trials per second, and the 95th percentiles of what a training loop waits for, of 1 to 64 worker processes, without
   work and with a sleep before each report;
3. the time of an ask in studies that have a history: the first of a worker, which loads the study, and later ones;
4. from 1., on paper, what 1 000 workers would ask of one PostgreSQL.
Plain Optuna is `study.optimize` with its storage as it is made from a URL, with should_prune after each report and
without. Ours keeps the vital signs of 8 layers with each reading, and judges each reading; plain Optuna does neither.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tests")]

from of_store.bouncer import BOUNCED, SERVER_CONNECTIONS, bounced, bounced_rows  # noqa: E402
from of_store.census import census, census_rows  # noqa: E402
from of_store.contest import contest, contest_rows  # noqa: E402
from of_store.estimate import FLEET, TRIAL_S, estimate, held, row_bytes  # noqa: E402
from of_store.history import History, history_rows  # noqa: E402
from of_store.rows import Numbers, Row  # noqa: E402
from of_store.targets import STORES, Target, targets  # noqa: E402
from of_store.workload import REPORTS  # noqa: E402


def show(title: str, rows: Sequence[Row]) -> None:
    """A table of plain text."""
    print(f"\n{title}")
    if rows:
        lines = [[name.strip() for name in rows[0]], *([_shown(value) for value in row.values()] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            print("  ".join(word.rjust(width) for word, width in zip(line, widths, strict=True)), flush=True)


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def everything(args: argparse.Namespace, found: list[Target], numbers: Numbers) -> None:
    """All four parts."""
    counted = {target.name: census(target) for target in found}
    numbers["census"] = {name: {kind: asdict(each) for kind, each in kinds.items()} for name, kinds in counted.items()}
    rows = [row for name, kinds in counted.items() for row in census_rows(name, kinds)]
    show("1. One trial (a beat and a watch for dead workers: one of them)", rows)
    contests(args, found, numbers)
    histories(args, found, numbers)
    for target in found:
        if target.name == "postgresql":
            rows = numbers["estimate"] = estimate(counted[target.name], row_bytes(target), held(numbers))
            show(f"4. On paper: {FLEET} workers, trials of {TRIAL_S:.0f} s with {REPORTS + 1} readings\n{PAPER}", rows)


PAPER = """\
   ours: a beat each 20 s. Connections: the mean by Little's law from the time that one was open here, with one worker
   and a server that is near; at most: what a Poisson number of that mean stays below in 9 999 of 10 000 moments.
   Plain Optuna's workers keep those that they have open, as many as part 2 found (one where it was left out)."""


def contests(args: argparse.Namespace, found: Sequence[Target], numbers: Numbers) -> None:
    """Part 2."""
    rows, kept = [], []
    for target in found:
        for sleep_s in (0.0, args.sleep_ms / 1000):
            for workers in args.workers:
                each = contest(target, workers, sleep_s, args.seconds)
                kept.append({"store": target.name, "workers": workers, "sleep_s": sleep_s, "of": each})
                rows += contest_rows(target, workers, sleep_s, each)
    numbers["contests"] = kept
    title = "2. Many workers: trials/s, milliseconds, connections per worker, workers that failed"
    show(f"{title}\n{CONTEST}", rows)
    for error in sorted({error for each in kept for of in each["of"].values() for error in of["errors"]}):
        print(f"   {error}")


CONTEST = """\
   ask: from a trial's end to the next one's training; report: ours add_reading, plain trial.report; look: all that the
   loop waits for at a report, ours with the verdict, plain with should_prune; end: from there to the end in the store.
   Ours stores 8 layers' vital signs with each of 21 readings, plain one number at each of 20. A trial that is cut off
   when time is up counts in part; without a sleep it does so for plain alone."""


def histories(args: argparse.Namespace, found: Sequence[Target], numbers: Numbers) -> None:
    """Part 3."""
    rows, kept = [], []
    for target in found:
        if target.name not in args.history_stores or not args.history:
            continue
        history = History(target, args.asks)
        for count in sorted(args.history):
            history.fill(count)
            each = history.measure()
            kept.append({"store": target.name, "trials": count, "of": each})
            rows += history_rows(target, count, each)
    numbers["history"] = kept
    show(f"3. Ask, in milliseconds, the median of {args.asks}\n{HISTORY}", rows)


HISTORY = """\
   first ask: from the URL to the first trial's training, the study loaded; ask: from a trial's end to the next one's
   training, claim, 12 suggestions and delivery included; its draw: study.ask and suggestions; its read: of that, the
   store's. Ours has its attributes with each trial, plain none."""


def options() -> argparse.ArgumentParser:
    """Of the program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stores", nargs="+", choices=STORES, default=STORES)
    parser.add_argument("--postgresql", metavar="URL", help="of an empty database; else a server is started")
    parser.add_argument("--mariadb", metavar="URL", help="likewise")
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 4, 16, 64])
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement in part 2")
    parser.add_argument("--sleep-ms", type=float, default=50.0, help="before each report, in the second half of part 2")
    parser.add_argument("--history", type=int, nargs="*", default=[100, 1000, 10000], help="finished trials")
    parser.add_argument("--history-stores", nargs="*", choices=STORES, default=["sqlite", "postgresql"])
    parser.add_argument("--asks", type=int, default=5, help="of each measurement in part 3")
    parser.add_argument(
        "--pgbouncer", action="store_true", help=f"only: {BOUNCED} workers direct and through PgBouncer"
    )
    parser.add_argument("--json", type=Path, help="file for all numbers")
    return parser


def main() -> None:
    """Measure and print."""
    args = options().parse_args()
    args.stores = ["postgresql"] if args.pgbouncer else args.stores
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    numbers: Numbers = {"options": {key: str(value) for key, value in vars(args).items() if "ql" not in key}}
    numbers |= {"cores": os.cpu_count(), "load": os.getloadavg()}
    print(f"{numbers['cores']} cores; load average before: {numbers['load'][0]:.1f}")
    with targets(args) as found:
        if args.pgbouncer and found:
            bounced_part(found[0], args.seconds, numbers)
        else:
            everything(args, found, numbers)
    if args.json:
        args.json.write_text(json.dumps(numbers, indent=1))


def bounced_part(target: Target, seconds: float, numbers: Numbers) -> None:
    """PgBouncer and Optuna's gRPC proxy."""
    each = numbers["pgbouncer"] = bounced(target, BOUNCED, seconds)
    title = f"{BOUNCED} workers of PostgreSQL, PgBouncer with {SERVER_CONNECTIONS} connections to it"
    show(f"{title}; the gRPC proxy speaks Optuna's storage alone, and cannot carry ours", bounced_rows(BOUNCED, each))
    for error in sorted({error for of in each.values() for error in of["errors"]}):
        print(f"   {error}")


if __name__ == "__main__":
    main()
