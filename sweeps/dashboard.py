"""`sweeps dashboard`: optuna-dashboard on a store and its artifacts, through a small server of the standard library.

It has no password and no TLS of its own: it is for this machine, or for a proxy before it, as in `docker/`.
"""

import ipaddress
import re
import socket
import sys
import threading
from collections.abc import Iterable
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna.storages import BaseStorage

from sweeps import places
from sweeps.errors import InputError, one_line
from sweeps.interruption import interruptible

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

# What is worked on at a time: the rest waits, as it would for one of the store's three connections.
AT_ONCE = 3
# A client that says nothing: browsers open connections for what may come, and none must keep a thread for ever.
SILENT_S = 30.0
LOOPBACK = ("localhost", "[::1]", "")


def serve(storage: BaseStorage, where: str | None, host: str, port: int) -> None:
    """Serve until a signal comes; the address goes to stdout once there is an answer to be had.

    Args:
        storage: the studies' store.
        where: the place of their artifacts; None: none are shown.
        port: 0 for any that is free.

    Raises:
        InputError: the address cannot be listened at, or the place of the artifacts not be used.
    """
    with _listening(host, port) as server:
        application = _limited(_application(storage, where))
        address, given = server.server_address[:2]
        shown = f"[{address!s}]" if ":" in str(address) else str(address)
        if ipaddress.ip_address(str(address).partition("%")[0]).is_loopback:
            server.set_app(_guarded(application))
        else:
            server.set_app(application)
            print(f"sweeps: whoever reaches {shown}:{given} may read and delete studies: no password", file=sys.stderr)
        # Answers that are on their way when a signal comes are cut off: browsers ask again.
        with interruptible(lambda _: server.shutdown(), lambda: True):
            print(f"http://{shown}:{given}/", flush=True)
            server.serve_forever()


def _application(storage: BaseStorage, where: str | None) -> "WSGIApplication":
    try:
        artifacts = places.artifact_store(where) if where else None
    except OSError as exc:
        raise InputError(f"{where}: cannot be made ({one_line(exc)}); name another with --artifacts") from exc
    from optuna_dashboard import wsgi  # type: ignore[import-untyped]

    application: WSGIApplication = wsgi(storage, artifact_store=artifacts)
    return application


def _guarded(application: "WSGIApplication") -> "WSGIApplication":
    """The same for whoever asks this machine by its own names: pages elsewhere may have their names lead here."""

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        asked = re.sub(r":\d+$", "", str(environ.get("HTTP_HOST", "")))
        if asked in LOOPBACK or re.fullmatch(r"127(\.\d+){3}", asked):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"ask for http://127.0.0.1\n"]

    return guarded


def _limited(application: "WSGIApplication") -> "WSGIApplication":
    """The same, with a few requests in hand at a time."""
    free = threading.BoundedSemaphore(AT_ONCE)

    def limited(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        with free:
            return application(environ, start_response)

    return limited


def _listening(host: str, port: int) -> "_Server":
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return (_Server6 if family == socket.AF_INET6 else _Server)((str(address[0]), port), _Handler)
    except (OSError, UnicodeError) as exc:  # a name that is too long is a UnicodeError
        raise InputError(
            f"cannot listen at {host}, port {port} ({one_line(exc)}); say where with --host and --port"
        ) from exc


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True  # a client that stays does not hold up the end
    request_queue_size = 64  # a page asks for many files at a time

    def server_bind(self) -> None:
        """Without the look-up of this machine's name that `HTTPServer` does: it may take a minute."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no news; what goes wrong in the application is told elsewhere."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = SILENT_S

    def log_message(self, *_: object) -> None:
        """No line for each request: a page that is open asks again and again."""
