"""The same workers through PgBouncer and Optuna's gRPC proxy."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.storages import RDBStorage

from of_store.contest import fork_server, measured
from of_store.rows import Numbers, Row, number, ratio
from of_store.targets import Target
from of_store.worker import Cell

BOUNCED, SERVER_CONNECTIONS = 32, 8


@contextmanager
def bouncer(url: str) -> Iterator[str]:
    """PgBouncer with transaction pooling before a server; the URL through it."""
    there = sqlalchemy.make_url(url)
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "pgbouncer.ini"
        port = _free_port()
        settings.write_text(_bouncer_settings(there, port, folder))
        (Path(folder) / "users.txt").write_text(f'"{there.username}" "{there.password}"\n')
        for path in (Path(folder), *Path(folder).iterdir()):
            path.chmod(0o755)
        account: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
        program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if program is None:
            raise SystemExit("pgbouncer is not installed (Debian: apt install pgbouncer)")
        process = subprocess.Popen([program, "-q", str(settings)], stderr=subprocess.DEVNULL, **account)
        try:
            _await_port(port)
            yield there.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        finally:
            process.terminate()
            process.wait()


def _bouncer_settings(there: sqlalchemy.URL, port: int, folder: str) -> str:
    """Our time-outs come as start-up options, which PgBouncer refuses; ignored, they are set on each connection."""
    names = {"statement_timeout": "60s", "lock_timeout": "30s", "idle_in_transaction_session_timeout": "30s"}
    start = "; ".join(f"SET {name} = ''{value}''" for name, value in names.items())
    server = f"host={there.host} port={there.port or 5432} dbname={there.database}"
    lines = [
        "[databases]",
        f"{there.database} = {server} connect_query='{start}; SET timezone = UTC'",
        "[pgbouncer]",
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =",
        f"auth_type = scram-sha-256\nauth_file = {folder}/users.txt",
        f"pool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\nmax_client_conn = 2000",
        "ignore_startup_parameters = options",
    ]
    return "\n".join(lines) + "\n"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def grpc_server(url: str, port: int) -> None:
    """A process that serves Optuna's storage to workers."""
    optuna.storages.run_grpc_proxy_server(RDBStorage(url), host="127.0.0.1", port=port)


@contextmanager
def grpc_proxy(url: str) -> Iterator[str]:
    """Optuna's gRPC proxy before a server."""
    port = _free_port()
    process = fork_server().Process(target=grpc_server, args=(url, port), daemon=True)
    process.start()
    try:
        _await_port(port)
        yield f"grpc://127.0.0.1:{port}"
    finally:
        process.kill()
        process.join()


def bounced(target: Target, workers: int, seconds: float) -> dict[str, Numbers]:
    """The same workers direct, through PgBouncer, and, plain Optuna's alone, through its gRPC proxy."""
    found = {}
    with bouncer(target.url) as through, grpc_proxy(target.url) as proxy:
        ways = [("ours", target.url), ("ours", through), ("plain", target.url), ("plain", through), ("plain", proxy)]
        names = ("direct", "PgBouncer", "direct", "PgBouncer", "gRPC proxy")
        for (kind, url), way in zip(ways, names, strict=True):
            cell = Cell(kind, url, target.study(kind), 0.0, seconds, bouncer=url == through)
            found[f"{kind}, {way}"] = measured(target, cell, workers)
    return found


def bounced_rows(workers: int, found: dict[str, Numbers]) -> list[Row]:
    """The factor is of trials per second, to the same workers direct."""
    rows = []
    for name, each in found.items():
        direct = found[f"{name.split(',')[0]}, direct"]
        row: Row = {"workers": workers, "of": name, "trials/s": each["rate"], "x": ratio(each["rate"], direct["rate"])}
        row |= {f"{what} p95": number(each[f"{what}_p95_ms"]) for what in ("ask", "report", "look", "end")}
        rows.append(
            row | {"conns": each["connections"], "at server": each["server_connections"], "failed": each["failed"]}
        )
    return rows
