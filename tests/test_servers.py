"""The database servers of the tests: what they promise, and that nothing is left of them."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import servers
import sqlalchemy
from servers import PASSWORD, REQUIRED, MariaDB, PostgreSQL, Server, ServerFailed
from sqlalchemy import Connection, make_url, text
from sqlalchemy.exc import OperationalError

pytestmark = pytest.mark.slow


@pytest.fixture(params=["postgres", "mariadb"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each of the worker's servers."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=["fresh_postgres", "fresh_mariadb"])
def fresh(request: pytest.FixtureRequest) -> Server:
    """Each kind of server, the test's own."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def connect() -> Iterator[Callable[[str], Connection]]:
    """Connections by URL, closed at the end."""
    opened: list[Connection] = []

    def connect(url: str) -> Connection:
        opened.append(sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).connect())
        return opened[-1]

    yield connect
    for connection in opened:
        with suppress(OperationalError):  # its server may be gone
            connection.close()


def alive(process: int) -> bool:
    return servers._state(process) not in "ZX"


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def reached(done: list[int], enough: int) -> bool:
    return len(done) >= enough


def insert(connection: Connection, number: int) -> None:
    connection.execute(text("INSERT INTO numbers VALUES (:n)"), {"n": number})


def numbers(connection: Connection) -> list[int]:
    return list(connection.scalars(text("SELECT n FROM numbers ORDER BY n")))


def with_numbers(connection: Connection, *committed: int) -> Connection:
    connection.execute(text("CREATE TABLE numbers (n INTEGER)"))
    for number in committed:
        insert(connection, number)
    connection.commit()
    return connection


def test_an_ordinary_user_owns_a_database(server: Server, connect: Callable[[str], Connection]) -> None:
    connection = with_numbers(connect(server.database("owned")), 1, 2)
    assert numbers(connection) == [1, 2]
    assert make_url(server.database("other")).username == server.user != server.admin


def test_a_database_of_the_same_name_begins_empty(server: Server, connect: Callable[[str], Connection]) -> None:
    with_numbers(connect(server.database("again")), 1).close()
    with_numbers(connect(server.database("again")), 2).close()


def test_the_url_is_the_administrators(server: Server, connect: Callable[[str], Connection]) -> None:
    assert make_url(server.url).password == PASSWORD
    assert connect(server.url).scalar(text("SELECT 1 + 1")) == 2
    assert server.execute("SELECT '100%'")[0][0] == "100%"
    assert server.execute("SET TIME ZONE 'UTC'" if isinstance(server, PostgreSQL) else "SET time_zone = '+00:00'") == []


@pytest.mark.parametrize("password", ["wrong", None])
@pytest.mark.parametrize("admin", [True, False])
def test_a_wrong_password_is_refused(
    server: Server, admin: bool, password: str | None, connect: Callable[[str], Connection]
) -> None:
    url = make_url(server.url if admin else server.database("guarded"))
    with pytest.raises(OperationalError, match=r"password authentication failed|no password supplied|Access denied"):
        connect(
            sqlalchemy.URL.create(
                url.drivername, url.username, password, url.host, url.port, url.database
            ).render_as_string(hide_password=False)
        )


def test_clients_are_counted(fresh: Server, connect: Callable[[str], Connection]) -> None:
    url = fresh.database("counted")
    assert fresh.connections() == 0
    opened = [connect(url) for _ in range(3)]
    assert fresh.connections() == 3
    for connection in opened:
        connection.close()
    assert eventually(lambda: fresh.connections() == 0)


def test_a_restart_keeps_the_data_and_the_url(fresh: Server, connect: Callable[[str], Connection]) -> None:
    url = fresh.database("kept")
    with_numbers(connect(url), 1, 2).close()
    fresh.restart()
    assert numbers(connect(url)) == [1, 2]


def test_a_stop_cuts_off_the_clients(fresh: Server, connect: Callable[[str], Connection]) -> None:
    connection = connect(fresh.database("cut"))
    processes = fresh.processes()
    fresh.stop()
    assert not fresh.running
    assert not any(map(alive, processes))
    with pytest.raises(OperationalError):
        connection.execute(text("SELECT 1"))


def test_a_killed_server_recovers_what_was_committed(fresh: Server, connect: Callable[[str], Connection]) -> None:
    url = fresh.database("recovered")
    connection = with_numbers(connect(url), 1, 2)
    insert(connection, 3)
    processes = fresh.processes()
    fresh.kill()
    assert processes
    assert not any(map(alive, processes))
    with pytest.raises(OperationalError):
        connection.commit()
    with pytest.raises(OperationalError):
        connect(url)
    fresh.start()
    assert numbers(connect(url)) == [1, 2]


def test_no_acknowledged_commit_is_lost(fresh: Server, connect: Callable[[str], Connection]) -> None:
    url = fresh.database("acknowledged")
    with_numbers(connect(url)).close()
    done: list[int] = []

    def write() -> None:
        connection = connect(url)
        for number in range(len(done), 1_000_000):
            insert(connection, number)
            connection.commit()
            done.append(number)

    for enough in (20, 40, 60):
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(write)
            eventually(partial(reached, done, enough))
            fresh.kill()
        assert isinstance(writer.exception(), OperationalError)
        assert len(done) >= enough
        fresh.start()
        assert set(done) <= set(numbers(connect(url)))


def test_a_paused_server_answers_nobody_until_it_is_resumed(
    fresh: Server, connect: Callable[[str], Connection]
) -> None:
    connection = connect(fresh.database("paused"))
    with ThreadPoolExecutor(1) as pool:
        fresh.pause()
        answer = pool.submit(lambda: connection.scalar(text("SELECT 1")))
        try:
            with pytest.raises(TimeoutError):
                answer.result(0.5)
        finally:
            fresh.resume()
        assert answer.result(20) == 1


def test_a_paused_server_can_be_stopped_and_killed(fresh: Server) -> None:
    fresh.pause()
    fresh.stop()
    fresh.start()
    fresh.pause()
    fresh.kill()
    fresh.start()
    assert fresh.execute("SELECT 1") == [(1,)]


def test_what_does_not_run_can_be_stopped_and_started_but_once(fresh: Server) -> None:
    with pytest.raises(ServerFailed, match="runs already"):
        fresh.start()
    fresh.stop()
    fresh.stop()
    fresh.kill()
    assert fresh.processes() == []


def test_settings_reach_the_server(server: Server) -> None:
    with type(server)(max_connections=17, durable=False) as limited:
        rows = limited.execute(
            "SHOW max_connections" if isinstance(limited, PostgreSQL) else "SELECT @@max_connections"
        )
        assert int(rows[0][0]) == 17


def test_a_failed_start_shows_the_log_and_leaves_nothing(server: Server) -> None:
    broken = type(server)(no_such_setting=1)
    with pytest.raises(ServerFailed, match="no_such_setting"), broken:
        pass
    assert not broken.directory.exists()


def test_nothing_is_left_of_a_killed_server(fresh: Server) -> None:
    segments = []
    if isinstance(fresh, PostgreSQL):
        segments = (fresh.data / "postmaster.pid").read_text().splitlines()[6].split()[1:]
    processes = fresh.processes()
    fresh.kill()
    fresh.start()
    fresh.kill()
    fresh.close()
    assert not any(map(alive, processes))
    assert not fresh.directory.exists()
    assert not set(segments) & {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()}
    assert not list(Path("/dev/shm").glob(f"PostgreSQL.*{fresh.port}*"))


OWNER = """
import os, signal, servers
running, paused = servers.{kind}(), servers.{kind}()
running.start()
paused.start()
paused.pause()
print(running.directory.parent, *running.processes(), *paused.processes(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_servers_end_with_the_process_that_started_them(server: Server) -> None:
    program = [sys.executable, "-c", OWNER.format(kind=type(server).__name__)]
    owner = subprocess.run(program, capture_output=True, text=True, cwd=Path(__file__).parent)
    assert owner.stderr == ""
    home, *processes = owner.stdout.split()
    assert len(processes) >= 2
    assert eventually(lambda: not any(alive(int(process)) for process in processes))
    assert eventually(lambda: not Path(home).exists())


@pytest.mark.parametrize(("kind", "package"), [(PostgreSQL, "postgresql"), (MariaDB, "mariadb-server")])
@pytest.mark.parametrize(("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)])
def test_a_missing_server_is_a_skip_or_a_failure(
    kind: type[Server],
    package: str,
    required: str,
    outcome: type[BaseException],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(REQUIRED, required)
    monkeypatch.setattr(servers, "_path", lambda: "/nowhere")
    elsewhere = type("Elsewhere", (kind,), {})  # has no template yet
    with pytest.raises(outcome, match=f"apt-get install -y --no-install-recommends {package}"):
        next(servers._served(elsewhere, durable=True))
