"""Real database servers for the tests: PostgreSQL and MariaDB, with real passwords, to be stopped, killed and paused.

`tests/conftest.py` imports the fixtures at the end of this file. A server needs the programs of its Debian package and
Linux's /proc. What this process starts ends with it, even when it is killed: see `_home`.
"""

import atexit
import ctypes
import itertools
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NoReturn, Self, TypeVar

import pytest
import sqlalchemy
from sqlalchemy.exc import OperationalError

PASSWORD = "correct-horse-battery"  # nothing in it needs quoting in a URL: a search for a leak finds it in any form
REQUIRED = "SWEEPS_REQUIRE_SERVERS"  # set to 1: a missing server is a failure, not a skip
START_LIMIT = 60.0
STOP_LIMIT = 60.0

S = TypeVar("S", bound="Server")

_numbers = itertools.count(1)


class ServerMissing(Exception):
    """A server's programs are not installed here."""


class ServerFailed(Exception):
    """A server did not do what it was told; the message ends with its log."""


class Server(ABC):
    """A database server of its own: a data directory, a port on 127.0.0.1, an administrator and an ordinary user."""

    package: ClassVar[str]  # Debian's
    admin: ClassVar[str]
    user: ClassVar[str] = "sweeps"  # owns what `database` creates; not a superuser
    password: ClassVar[str] = PASSWORD
    _account: ClassVar[str]  # of the system, that runs the server when we are root
    _stop_signal: ClassVar[signal.Signals]

    def __init__(self, *, durable: bool = True, **settings: object) -> None:
        """`durable`: a commit is on the disk; `settings`: the server's own, such as max_connections=5."""
        self.port = _free_port()
        template = self._template()
        self.directory = self._new_directory()
        self._run("cp", "-R", str(template / "data"), str(self.data))
        self._settings = settings if durable else {**self._unsafe(), **settings}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @property
    def url(self) -> str:
        """The administrator's URL."""
        return self._url(self.admin, self._admin_database()).render_as_string(hide_password=False)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and wait until it answers."""
        if self.running:
            raise ServerFailed("it runs already")
        self._reap()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,  # Ctrl-C is for pytest alone
                **self._identity(),
            )
        self._pid_file.write_text(f"{self._process.pid}\n")
        self._await_answer()

    def stop(self) -> None:
        """A clean shutdown that does not wait for the clients."""
        if self._process is None:
            return
        self.resume()
        self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerFailed(f"it did not stop within {STOP_LIMIT:.0f} s{self._logged()}") from None
        self._reap()

    def kill(self) -> None:
        """SIGKILL to every process of the server, as a power cut would end them; returns when all are gone."""
        if self._process is None:
            return
        processes = self._frozen()
        for process in processes:
            _signal(process, signal.SIGKILL)
        self._reap()
        _wait_until(lambda: all(_state(process) in "ZX" for process in processes), STOP_LIMIT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def pause(self) -> None:
        """SIGSTOP to every process of the server: connections stay open, and nothing answers."""
        for process in self._frozen():
            _signal(process, signal.SIGSTOP)

    def resume(self) -> None:
        for process in self.processes():
            _signal(process, signal.SIGCONT)

    def close(self) -> None:
        """End the server and remove its data."""
        self.kill()
        if self.directory.exists():
            shutil.rmtree(self.directory)

    def processes(self) -> list[int]:
        """The main process and its children."""
        return [self._process.pid, *_children(self._process.pid)] if self._process and self.running else []

    def execute(self, sql: str) -> Sequence[sqlalchemy.Row[Any]]:
        """Run one statement as administrator, outside a transaction; the rows, if it has any."""
        engine = sqlalchemy.create_engine(
            self._local(self._url(self.admin, self._admin_database())),
            poolclass=sqlalchemy.NullPool,
            isolation_level="AUTOCOMMIT",
            connect_args=self._timeouts(),
        )
        with engine.connect().execution_options(no_parameters=True) as connection:
            result = connection.exec_driver_sql(sql)
            return result.all() if result.returns_rows else []

    def database(self, name: str) -> str:
        """Create an empty database, in the place of an earlier one of that name; the ordinary user's URL of it."""
        for statement in self._create(name):
            self.execute(statement)
        return self._url(self.user, name).render_as_string(hide_password=False)

    def connections(self) -> int:
        """How many clients are connected over TCP; `execute` uses the Unix socket and is never among them."""
        return int(self.execute(self._count())[0][0])

    @abstractmethod
    def _url(self, user: str, database: str) -> sqlalchemy.URL: ...

    @abstractmethod
    def _admin_database(self) -> str: ...

    @abstractmethod
    def _socket(self) -> Path:
        """The Unix socket."""

    @abstractmethod
    def _local(self, url: sqlalchemy.URL) -> sqlalchemy.URL:
        """The same by the Unix socket."""

    @abstractmethod
    def _timeouts(self) -> dict[str, object]:
        """So that an administrator's statement ends even when the server is paused."""

    @abstractmethod
    def _command(self) -> list[str]: ...

    @abstractmethod
    def _create(self, name: str) -> list[str]: ...

    @abstractmethod
    def _count(self) -> str: ...

    @abstractmethod
    def _unsafe(self) -> dict[str, object]:
        """Settings that trade the data's safety for speed."""

    @classmethod
    @abstractmethod
    def _initialize(cls, directory: Path) -> None:
        """Make directory/data."""

    @classmethod
    @cache
    def _template(cls) -> Path:
        """Initialized once per process; every server starts from a copy."""
        directory = cls._new_directory()
        cls._initialize(directory)
        return directory

    @classmethod
    def _new_directory(cls) -> Path:
        directory = _home() / f"{cls.__name__.lower()}-{next(_numbers)}"
        directory.mkdir()
        if "user" in (identity := cls._identity()):
            os.chown(directory, identity["user"], identity["group"])
        return directory

    @classmethod
    def _identity(cls) -> dict[str, Any]:
        """Arguments of subprocess; PostgreSQL refuses to run as root."""
        environment = {"env": {"PATH": _path(), "LC_ALL": "C.UTF-8"}}
        if os.geteuid() != 0:
            return environment
        names = {entry.pw_name: entry for entry in pwd.getpwall()}
        account = names.get(cls._account, names["nobody"])
        return {**environment, "user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}

    @classmethod
    def _run(cls, *command: str, text: str = "") -> None:
        """Run a program in the server's account."""
        done = subprocess.run(
            command, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/", **cls._identity()
        )
        if done.returncode:
            raise ServerFailed(f"{' '.join(command)} failed:\n{done.stdout.decode(errors='replace')}")

    @classmethod
    def _program(cls, name: str) -> Path:
        if found := shutil.which(name, path=_path()):
            return Path(found).resolve()
        raise ServerMissing(f"no {name} here: apt-get install -y --no-install-recommends {cls.package}")

    @property
    def _log(self) -> Path:
        return self.directory / "log"

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"

    def _logged(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-30:]
        return "\n".join([f"; the end of {self._log}:", *lines])

    def _frozen(self) -> list[int]:
        """The server's processes, the main one stopped so that no child comes or is replaced meanwhile."""
        if not self._process or not self.running:
            return []
        main = self._process.pid
        _signal(main, signal.SIGSTOP)
        _wait_until(lambda: _state(main) in "TtZX", STOP_LIMIT)
        return self.processes()

    def _reap(self) -> None:
        """Forget a process that has ended or is about to."""
        if self._process is not None:
            self._process.wait(STOP_LIMIT)
            self._process = None
            self._pid_file.unlink(missing_ok=True)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while not self._answers():
            if not self.running or time.monotonic() > deadline:
                raise ServerFailed(f"it did not start{self._logged()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:  # asked first: PyMySQL leaves its socket open when refused
            if probe.connect_ex(str(self._socket())) != 0:
                return False
        try:
            self.execute("SELECT 1")
        except OperationalError:
            return False
        return True


class PostgreSQL(Server):
    """A PostgreSQL server; a killed one keeps its recovery for the next start."""

    package = "postgresql"
    admin = "admin"
    _account = "postgres"
    _stop_signal = signal.SIGINT  # the "fast" shutdown: clients are cut off with 57P01

    def close(self) -> None:
        """Also drop the System V segment that a killed server leaves for the next start to find."""
        self.kill()
        lock_file = self.data / "postmaster.pid"
        lines = lock_file.read_text().splitlines() if lock_file.exists() else []
        if len(lines) > 6 and (segment := lines[6].split()):
            ctypes.CDLL(None).shmctl(int(segment[1]), 0, None)  # 0: IPC_RMID
        super().close()

    def _url(self, user: str, database: str) -> sqlalchemy.URL:
        return sqlalchemy.URL.create("postgresql+psycopg", user, self.password, "127.0.0.1", self.port, database)

    def _admin_database(self) -> str:
        return "postgres"

    def _socket(self) -> Path:
        return self.directory / f".s.PGSQL.{self.port}"

    def _local(self, url: sqlalchemy.URL) -> sqlalchemy.URL:
        return url.set(host=str(self.directory))

    def _timeouts(self) -> dict[str, object]:
        return {"connect_timeout": 10}

    def _command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "dynamic_shared_memory_type": "mmap",  # in the data directory: no leftovers in /dev/shm
            **self._settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self._program("initdb").with_name("postgres")), "-D", str(self.data), *options]

    def _create(self, name: str) -> list[str]:
        return [f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', f'CREATE DATABASE "{name}" OWNER {self.user}']

    def _count(self) -> str:
        return "SELECT count(*) FROM pg_stat_activity WHERE client_addr IS NOT NULL"

    def _unsafe(self) -> dict[str, object]:
        return {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}

    @classmethod
    def _initialize(cls, directory: Path) -> None:
        initdb, data = cls._program("initdb"), str(directory / "data")
        secret = directory / "password"
        secret.write_text(cls.password)
        secret.chmod(0o644)  # read by the server's account
        options = ["--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync", f"--pwfile={secret}"]
        cls._run(str(initdb), "-D", data, f"--username={cls.admin}", *options)
        role = f"CREATE ROLE {cls.user} LOGIN PASSWORD '{cls.password}'\n"
        cls._run(str(initdb.with_name("postgres")), "--single", "-D", data, "postgres", text=role)


class MariaDB(Server):
    """A MariaDB server."""

    package = "mariadb-server"
    admin = "root"
    _account = "mysql"
    _stop_signal = signal.SIGTERM

    def _url(self, user: str, database: str) -> sqlalchemy.URL:
        return sqlalchemy.URL.create("mysql+pymysql", user, self.password, "127.0.0.1", self.port, database)

    def _admin_database(self) -> str:
        return "mysql"

    def _socket(self) -> Path:
        return self.directory / "socket"

    def _local(self, url: sqlalchemy.URL) -> sqlalchemy.URL:
        return url.set(host="localhost", query={"unix_socket": str(self._socket())})

    def _timeouts(self) -> dict[str, object]:
        return {"connect_timeout": 10, "read_timeout": 60}  # the first does not limit the wait for a greeting

    def _command(self) -> list[str]:
        settings = {
            "datadir": self.data,
            "bind-address": "127.0.0.1",
            "port": self.port,
            "socket": self._socket(),
            "pid-file": self.directory / "mariadbd.pid",
            "skip-name-resolve": "ON",
            **_SMALL,
            **self._settings,
        }
        return [str(self._program("mariadbd")), "--no-defaults", *(f"--{name}={v}" for name, v in settings.items())]

    def _create(self, name: str) -> list[str]:
        grant = f"GRANT ALL ON `{name}`.* TO {self.user}@'127.0.0.1'"
        return [f"DROP DATABASE IF EXISTS `{name}`", f"CREATE DATABASE `{name}`", grant]

    def _count(self) -> str:
        return "SELECT count(*) FROM information_schema.processlist WHERE host LIKE '127.0.0.1:%'"

    def _unsafe(self) -> dict[str, object]:
        return {"innodb-flush-log-at-trx-commit": 0, "debug-no-sync": "ON"}

    @classmethod
    def _initialize(cls, directory: Path) -> None:
        cls._program("mariadbd")
        accounts = [f"{cls.admin}@'127.0.0.1'", f"{cls.user}@'127.0.0.1'"]
        statements = [
            "FLUSH PRIVILEGES",  # the statements about accounts wait for it
            f"ALTER USER {cls.admin}@localhost IDENTIFIED BY '{cls.password}'",
            *(f"CREATE OR REPLACE USER {account} IDENTIFIED BY '{cls.password}'" for account in accounts),
            f"GRANT ALL ON *.* TO {accounts[0]} WITH GRANT OPTION",
        ]
        script = directory / "accounts.sql"
        script.write_text("".join(f"{statement};\n" for statement in statements))
        options = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        sizes = [f"--{name}={value}" for name, value in _SMALL.items()]
        install = str(cls._program("mariadb-install-db"))
        cls._run(install, "--no-defaults", f"--datadir={directory}/data", *options, f"--extra-file={script}", *sizes)


_SMALL = {"innodb-log-file-size": "16M", "innodb-buffer-pool-size": "32M"}  # MariaDB reserves 200 MB otherwise


@cache
def _home() -> Path:
    """A directory that every account can reach, watched by a process that outlives us.

    The watcher sees its input end when this process does, however it does; it stops what still runs and removes
    the directory. SIGQUIT makes PostgreSQL end at once with its children; SIGCONT lets a paused server hear of it.
    """
    home = Path(tempfile.mkdtemp(prefix="sweeps-servers-", dir="/tmp"))  # TMPDIR may be long or closed to others
    home.chmod(0o755)
    script = """
        cat
        pids=$(cat "$0"/*/pid)
        for pid in $pids; do
            kill -QUIT "$pid" && kill -CONT "$pid" $(cat "/proc/$pid/task/$pid/children")
        done
        for pid in $pids; do
            n=0
            while grep -qv ') Z ' "/proc/$pid/stat" && [ $n -lt 150 ]; do sleep 0.1; n=$((n + 1)); done
            kill -KILL "$pid"
        done
        rm -rf "$0"
    """
    quiet = subprocess.DEVNULL
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", script, home],
        stdin=subprocess.PIPE,
        stdout=quiet,
        stderr=quiet,
        cwd="/",
        start_new_session=True,
    )
    atexit.register(watcher.communicate)
    return home


def _path() -> str:
    """PATH and the places Debian keeps servers in, the newest PostgreSQL first."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name), reverse=True)
    return os.pathsep.join([os.environ.get("PATH", os.defpath), *map(str, versions), "/usr/sbin", "/usr/bin", "/bin"])


def _free_port() -> int:
    """Below Linux's range for outgoing connections, so that nobody takes it while the server is down."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


def _status(process: int) -> tuple[str, int]:
    """A process's state, as in ps, and its parent; X for one that is gone."""
    try:
        state, parent = Path(f"/proc/{process}/stat").read_text().rpartition(") ")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return "X", 0
    return state, int(parent)


def _state(process: int) -> str:
    return _status(process)[0]


def _children(parent: int) -> list[int]:
    processes = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    return [process for process in processes if _status(process)[1] == parent]


def _signal(process: int, number: signal.Signals) -> None:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return


def _wait_until(condition: Callable[[], bool], limit: float) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        if time.monotonic() > deadline:
            raise ServerFailed(f"processes were not done within {limit:.0f} s")
        time.sleep(0.005)


def absent(what: object) -> NoReturn:
    """A test lacks something: it is skipped, or fails where nothing may be lacking."""
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{what} ({REQUIRED}=1)", pytrace=False)
    pytest.skip(f"{what} ({REQUIRED}=1 makes this a failure)")


def _served(kind: type[S], durable: bool) -> Iterator[S]:
    try:
        server = kind(durable=durable)
    except ServerMissing as error:
        absent(error)
    with server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgreSQL]:
    """The worker's PostgreSQL, shared by its tests: fast, and not to be stopped, killed or paused."""
    yield from _served(PostgreSQL, durable=False)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """The worker's MariaDB, likewise."""
    yield from _served(MariaDB, durable=False)


@pytest.fixture
def fresh_postgres() -> Iterator[PostgreSQL]:
    """A PostgreSQL of the test's own, with durable commits, for whatever is to be done to it."""
    yield from _served(PostgreSQL, durable=True)


@pytest.fixture
def fresh_mariadb() -> Iterator[MariaDB]:
    """A MariaDB of the test's own, likewise."""
    yield from _served(MariaDB, durable=True)
