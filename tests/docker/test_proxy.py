"""The proxy's settings in a real nginx and the database's first steps in a real PostgreSQL, with secrets as made."""

import base64
import os
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError

import pytest
import servers
from images import ROOT, require

from sweeps import store

DOCKER = ROOT / "docker"


def made(folder: Path, **environment: str) -> Path:
    """The secrets, made in a folder."""
    shutil.copy(DOCKER / "secrets.sh", folder)
    words = ["sh", str(folder / "secrets.sh")]
    subprocess.run(words, env={**os.environ, **environment}, check=True, capture_output=True)
    return folder / "secrets"


def test_workers_are_ordinary_users_of_their_database(fresh_postgres: servers.PostgreSQL, tmp_path: Path) -> None:
    fresh_postgres.execute(f"DROP ROLE {fresh_postgres.user}")
    secrets = made(tmp_path, SWEEPS_POSTGRESQL_PORT=str(fresh_postgres.port))
    script = tmp_path / "sweeps.sql"
    script.write_text((DOCKER / "postgresql.sql").read_text().replace("/run/secrets", str(secrets)))
    psql = require("psql", "postgresql-client")
    words = [psql, "--set=ON_ERROR_STOP=1", f"--host={fresh_postgres.directory}", f"--port={fresh_postgres.port}"]
    words += [f"--username={fresh_postgres.admin}", "--dbname=postgres", f"--file={script}"]
    subprocess.run(words, env={**os.environ, "PGPASSWORD": servers.PASSWORD}, check=True, capture_output=True)
    opened = store.connect((secrets / "storage_url_from_here").read_text().strip(), create=True)
    assert store.study_names(opened) == []
    opened.engine.dispose()
    ((is_superuser,),) = fresh_postgres.execute("SELECT rolsuper FROM pg_roles WHERE rolname = 'sweeps'")
    assert not is_superuser


class Behind(BaseHTTPRequestHandler):
    """Stands where the dashboard does: tells what it is asked."""

    def do_GET(self) -> None:
        """Answer with the headers that came."""
        text = "".join(f"{name}: {value}\n" for name, value in self.headers.items()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def behind() -> Iterator[int]:
    """The port of what is behind the proxy."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Behind) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_port
        server.shutdown()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return not probe.connect_ex(("127.0.0.1", port))


def changed(text: str, values: dict[str, str]) -> str:
    for pattern, value in values.items():
        text, count = re.subn(pattern, value, text)
        assert count >= 1, pattern
    return text


@pytest.fixture
def proxy(behind: int) -> Iterator[tuple[Path, int, int]]:
    """A proxy with the settings that are shipped: its folder, its port for HTTP and that for HTTPS."""
    nginx = require("nginx", "nginx-light")
    folder = Path(tempfile.mkdtemp(prefix="sweeps-proxy-"))
    folder.chmod(0o755)  # nginx gives up its rights when it is started as root
    secrets = made(folder)
    secrets.chmod(0o755)
    names = [
        "-keyout",
        f"{secrets}/tls_key",
        "-out",
        f"{secrets}/tls_certificate",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=here", *names]
    subprocess.run(words, check=True, capture_output=True)
    plain, tls = servers._free_port(), servers._free_port()
    here = {"/run/secrets": str(secrets)}
    (folder / "tls").mkdir()
    text = (DOCKER / "proxy" / "tls.conf").read_text()
    (folder / "tls" / "tls.conf").write_text(changed(text, {r"listen 8443": f"listen 127.0.0.1:{tls}", **here}))
    moved = {r"listen 8080": f"listen 127.0.0.1:{plain}", r"http://dashboard:8080": f"http://127.0.0.1:{behind}"}
    text = changed((DOCKER / "proxy" / "nginx.conf").read_text(), {"/tmp/": f"{folder}/", **moved, **here})
    (folder / "nginx.conf").write_text(text)
    (folder / "mime.types").write_text("types { text/html html; }\n")
    with subprocess.Popen([nginx, "-c", str(folder / "nginx.conf")], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 30
        while not listens(tls):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield folder, plain, tls
        process.terminate()
    shutil.rmtree(folder)


def ask(url: str, password: str = "", certificate: Path | None = None) -> str:
    request = urllib.request.Request(url)
    if password:
        request.add_header("Authorization", "Basic " + base64.b64encode(f"sweeps:{password}".encode()).decode())
    context = ssl.create_default_context(cafile=str(certificate)) if certificate else None
    with urllib.request.urlopen(request, timeout=30, context=context) as answer:
        return str(answer.read().decode())


def test_the_dashboard_is_shown_to_who_has_the_password_by_http_and_https(proxy: tuple[Path, int, int]) -> None:
    folder, plain, tls = proxy
    password = (folder / "secrets" / "dashboard_password").read_text().strip()
    for url, certificate in (
        (f"http://127.0.0.1:{plain}/", None),
        (f"https://127.0.0.1:{tls}/", folder / "secrets" / "tls_certificate"),
    ):
        for wrong in ("", "wrong"):
            with pytest.raises(HTTPError, match="401"):
                ask(url, wrong, certificate)
        told = ask(url, password, certificate)
        assert url.split("/")[2] in told, "the name that it was asked by"
        assert "Authorization" not in told, "the dashboard has no use for the password"
        assert ask(url + "healthy", "", certificate) == ""
