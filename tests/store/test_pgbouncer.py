"""Workers through PgBouncer, with the settings that are shipped."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import servers
import sqlalchemy
from crew import Crew, make, until

from sweeps.store import engines

SETTINGS = Path(__file__).parents[2] / "docker" / "pgbouncer.ini"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


@pytest.fixture
def bounced(postgres: servers.PostgreSQL, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database through a PgBouncer that holds two connections of the server."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        servers.absent("no pgbouncer here: apt-get install -y --no-install-recommends pgbouncer")
    there, port = sqlalchemy.make_url(postgres.database("sweeps")), free_port()
    folder = Path(tempfile.mkdtemp(prefix="sweeps-pgbouncer-"))
    users = folder / "users.txt"
    users.write_text(f'"{there.username}" "{there.password}"\n')
    changed = {
        r"host=127.0.0.1 port=5432": f"host=127.0.0.1 port={there.port}",
        r"listen_port = \d+": f"listen_port = {port}",
        r"auth_file = .*": f"auth_file = {users}",
        r"default_pool_size = \d+": "default_pool_size = 2",
    }
    text = SETTINGS.read_text()
    for pattern, value in changed.items():
        text, count = re.subn(pattern, value, text)
        assert count == 1
    (folder / "pgbouncer.ini").write_text(text)
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    account: dict[str, Any] = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    with subprocess.Popen([program, "-q", str(folder / "pgbouncer.ini")], stderr=subprocess.DEVNULL, **account) as it:
        until(lambda: answers(port), what="an answer")
        yield there.set(port=port).render_as_string(hide_password=False)
        it.terminate()
    shutil.rmtree(folder)


def test_six_workers_share_two_connections_and_keep_their_time_outs(
    bounced: str, postgres: servers.PostgreSQL, tmp_path: Path
) -> None:
    view = make(bounced, "budget.trials=24")
    engine = sqlalchemy.create_engine(bounced, **engines.engine_options(engines.parse_url(bounced)))
    with engine.connect() as db:
        assert db.exec_driver_sql("SHOW statement_timeout").scalar() == "1min"
        assert db.exec_driver_sql("SHOW idle_in_transaction_session_timeout").scalar() == "30s"
        assert db.exec_driver_sql("SHOW timezone").scalar() == "UTC"
    engine.dispose()
    with Crew(view.url, tmp_path / "crew") as crew:
        crew.start(6, look_s=0.01)
        assert crew.ended() == [0] * 6
        assert postgres.connections() <= 2
        assert "Traceback" not in crew.logs()
    assert view.states() == ["COMPLETE"] * 24
