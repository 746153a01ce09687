"""`sweeps dashboard`: serve optuna-dashboard on a store and its artifacts with waitress.

It has no password and no TLS of its own: it is for this machine, where a token in its address keeps other users out, or
for a proxy before it, as in `docker/`.
"""

import ipaddress
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from optuna.storages import RDBStorage
from waitress.server import BaseWSGIServer, MultiSocketServer, create_server

from sweeps import store
from sweeps.dashboard.application import make_application, require_local_host, require_token
from sweeps.dashboard.storage import DashboardStorage
from sweeps.errors import InputError, SweepsError, describe_error, one_line
from sweeps.notes import study as study_notes
from sweeps.store.retry import DATABASE_ERRORS
from sweeps.worker.shutdown import SIGNALS, signals_handled

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Requests that are worked on at a time: others would wait for one of the store's three connections.
AT_ONCE = 3
BACKLOG = 64  # connections that wait to be accepted: a page asks for many files at a time
# Browsers open connections in advance and say nothing on them.
SILENT_S = 30
MOST_BODY_BYTES = 100 * 2**20  # of a request; the proxy in docker/ has the same limit
TOKEN_VARIABLE = "SWEEPS_DASHBOARD_TOKEN"  # a token that stays the same; a new one at each start if unset
NOTES_INTERVAL_S = 60.0  # from one search for notes that are out of date to the next
END_S = 1.0  # for the thread that writes notes; one that hangs with its store ends with the process


def serve_dashboard(storage: RDBStorage, artifacts: str | None, host: str, port: int) -> None:
    """Serve until a signal comes, and keep the notes of the studies up to date.

    The address goes to stdout once there is an answer to be had.

    Args:
        storage: the studies' store.
        artifacts: the location of their artifacts; None: none are shown.
        port: 0 for any that is free.

    Raises:
        InputError: the address cannot be listened at, or the location of the artifacts cannot be used.
    """
    with open_socket(host, port) as listening:
        shown = DashboardStorage(storage)
        application = make_application(shown, artifacts)
        address, bound_port = listening.getsockname()[:2]
        name = address
        if ":" in address:
            name = f"[{address}]"
        query = ""
        if _is_loopback(address):
            token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(16)
            application = require_local_host(require_token(application, token, bound_port))
            query = f"?{urlencode({'token': token})}"
        else:
            print(f"sweeps: {_warn_of_access(name, bound_port)}", file=sys.stderr)
        with _update_notes(storage), signals_handled(SIGNALS, _stop_serving):
            server = _make_server(application, listening)
            print(f"http://{name}:{bound_port}/{query}", flush=True)
            server.run()  # returns at the SystemExit of a signal


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to an address.

    Raises:
        InputError: the address is unknown, or in use.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = addresses[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((str(address[0]), port))
        except BaseException:
            listening.close()
            raise
    except (OSError, UnicodeError) as exc:  # a name that is too long is a UnicodeError
        raise InputError(
            f"cannot listen at {host}, port {port} ({one_line(exc)}); say where with --host and --port"
        ) from exc
    return listening


def _make_server(application: "WSGIApplication", listening: socket.socket) -> BaseWSGIServer | MultiSocketServer:
    # At lower levels waitress reports each request that waits for a thread, and clients that leave.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    return create_server(
        application,
        sockets=[listening],
        threads=AT_ONCE,
        backlog=BACKLOG,
        channel_timeout=SILENT_S,
        max_request_body_size=MOST_BODY_BYTES,
        clear_untrusted_proxy_headers=False,  # the proxy in docker/ is on another machine
        log_socket_errors=False,
        ident=None,
    )


def _stop_serving(_signal: int, _frame: FrameType | None) -> None:
    """End `server.run`, which lets its threads finish their answers for a few seconds; a signal handler."""
    raise SystemExit(0)


def _is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def _warn_of_access(name: str, port: int) -> str:
    """Return the warning that others can reach the dashboard."""
    return (
        f"WARNING: no authentication: anyone who can reach {name}:{port} can read and delete studies; leave out --host "
        f"and use an SSH tunnel, `ssh -L 8080:127.0.0.1:{port} {socket.gethostname()}`; or serve with "
        "docker/compose.yaml, whose proxy asks for a password"
    )


@contextmanager
def _update_notes(storage: RDBStorage) -> Iterator[None]:
    """Keep the notes of the studies up to date within the block, in a thread.

    A store that does not answer is asked again after `NOTES_INTERVAL_S`.
    """
    ended = threading.Event()
    said: set[str] = set()

    def update_until_ended() -> None:
        while not ended.is_set():
            with suppress(*DATABASE_ERRORS):
                _write_stale_notes(storage, ended, said)
            ended.wait(NOTES_INTERVAL_S)

    thread = threading.Thread(target=update_until_ended, name="notes of studies", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=END_S)


def _write_stale_notes(storage: RDBStorage, ended: threading.Event, said: set[str]) -> None:
    """Write the notes that are out of date.

    Args:
        said: names of studies of which it has been said that they have none; more are added.
    """
    for name in study_notes.list_stale(storage):
        if ended.is_set():
            return
        try:
            study = store.load_study(storage, name)
            study_notes.write_study_note(storage, study, store.read_trials(study))
        except (SweepsError, KeyError):  # the study was deleted, or belongs to a newer version
            continue
        except DATABASE_ERRORS:
            raise
        except Exception as exc:  # noqa: BLE001  what one study holds must not stop the notes of the others
            if name not in said:
                said.add(name)
                logger.warning("the note of study %r cannot be written: %s", name, describe_error(exc))
