"""`sweeps dashboard`: optuna-dashboard on a store and its artifacts, through a small server of the standard library.

It has no password and no TLS of its own: it is for this machine, or for a proxy before it, as in `docker/`.
"""

import ipaddress
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

from sweeps import store
from sweeps.artifacts import locations
from sweeps.dashboard.storage import DashboardStorage
from sweeps.errors import InputError, SweepsError, one_line
from sweeps.notes import study
from sweeps.store.retry import DATABASE_ERRORS
from sweeps.worker.shutdown import interruptible

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from optuna.artifacts._protocol import ArtifactStore

# What is worked on at a time: the rest waits, as it would for one of the store's three connections.
AT_ONCE = 3
# A client that says nothing: browsers open connections for what may come, and none must keep a thread for ever.
SILENT_S = 30.0
FRESH_S = 60.0  # from one look for notes of studies that are out of date to the next
LOOPBACK = ("localhost", "[::1]", "")


def serve(storage: RDBStorage, where: str | None, host: str, port: int) -> None:
    """Serve until a signal comes; the address goes to stdout once there is an answer to be had.

    Meanwhile the studies' notes are kept fresh.

    Args:
        storage: the studies' store.
        where: the place of their artifacts; None: none are shown.
        port: 0 for any that is free.

    Raises:
        InputError: the address cannot be listened at, or the place of the artifacts not be used.
    """
    with _listening(host, port) as server:
        shown = DashboardStorage(storage)
        application = _limited(_answered(_application(shown, where)))
        address, given = server.server_address[:2]
        named = f"[{address!s}]" if ":" in str(address) else str(address)
        if ipaddress.ip_address(str(address).partition("%")[0]).is_loopback:
            server.set_app(_guarded(application))
        else:
            server.set_app(application)
            print(f"sweeps: {_warning(named, given)}", file=sys.stderr)
        # Answers that are on their way when a signal comes are cut off: browsers ask again.
        with interruptible(lambda _: server.shutdown(), lambda: True), _fresh_notes(storage, shown):
            print(f"http://{named}:{given}/", flush=True)
            server.serve_forever()


def _warning(address: str, port: int) -> str:
    return (
        f"whoever reaches {address}:{port} may read and delete studies: no password; without --host, come through "
        f"`ssh -L 8080:127.0.0.1:{port} {socket.gethostname()}`; or serve with docker/compose.yaml, whose proxy asks "
        "for a password"
    )


@contextmanager
def _fresh_notes(storage: RDBStorage, shown: DashboardStorage) -> Iterator[None]:
    """Meanwhile a thread keeps the studies' notes fresh; a store that is away is asked again a minute later."""
    ended = threading.Event()

    def keep() -> None:
        while not ended.is_set():
            with suppress(*DATABASE_ERRORS):
                _refresh(storage, shown, ended)
            ended.wait(FRESH_S)

    thread = threading.Thread(target=keep, name="notes of studies", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1.0)  # one that hangs with its store ends with the process


def _refresh(storage: RDBStorage, shown: DashboardStorage, ended: threading.Event) -> None:
    for study_id, name in study.stale(storage):
        if ended.is_set():
            return
        with suppress(SweepsError, KeyError):  # deleted by now, or of a newer version
            study.write(storage, store.load_study(storage, name), shown.whole(study_id))


def _application(storage: BaseStorage, where: str | None) -> "WSGIApplication":
    try:
        artifacts = locations.artifact_store(where) if where else None
    except OSError as exc:
        raise InputError(f"{where}: cannot be made ({one_line(exc)}); name another with --artifacts") from exc
    from optuna_dashboard import _serializer, wsgi

    # It looks for each trial's note among those of all: at 1 000 trials that takes longer than all the rest, at 5 000
    # 25 times as long.
    if not isinstance(_serializer.serialize_frozen_trial, _PerTrialAttributes):
        _serializer.serialize_frozen_trial = _PerTrialAttributes(_serializer.serialize_frozen_trial)
    application: WSGIApplication = wsgi(storage, artifact_store=_Artifacts(artifacts) if artifacts else None)
    return application


class _Artifacts:
    """The same store; a file that is not there, as where a store was copied without them, is answered with 404."""

    def __init__(self, files: "ArtifactStore") -> None:
        self._files = files

    def open_reader(self, artifact_id: str) -> BinaryIO:
        from bottle import HTTPResponse  # type: ignore[import-untyped]  # noqa: PLC0415  comes with the dashboard
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        try:
            return self._files.open_reader(artifact_id)
        except ArtifactNotFound as exc:
            words = f"No file {artifact_id} at the place of the artifacts; --artifacts names it.\n"
            raise HTTPResponse(words, 404, {"Content-Type": "text/plain"}) from exc

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        self._files.write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        with suppress(ArtifactNotFound):
            self._files.remove(artifact_id)


class _PerTrialAttributes:
    """The dashboard's own making of a trial's JSON, given those attributes of the study that are the trial's."""

    def __init__(self, serialized: Callable[[int, FrozenTrial, Mapping[str, Any]], dict[str, Any]]) -> None:
        self._serialized = serialized
        self._sorted = threading.local()  # the attributes of the request in hand, and the same by trial

    def __call__(self, study_id: int, trial: FrozenTrial, attributes: Mapping[str, Any]) -> dict[str, Any]:
        if getattr(self._sorted, "attributes", None) is not attributes:
            self._sorted.attributes, self._sorted.by_trial = attributes, _by_trial(attributes)
        return self._serialized(study_id, trial, self._sorted.by_trial.get(trial._trial_id, {}))


def _by_trial(attributes: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        if match := re.match(r"dashboard:(?:artifacts:)?(\d+):", name):
            found.setdefault(int(match[1]), {})[name] = value
    return found


def _guarded(application: "WSGIApplication") -> "WSGIApplication":
    """The same for whoever asks this machine by its own names: pages elsewhere may have their names lead here."""

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        asked = re.sub(r":\d+$", "", str(environ.get("HTTP_HOST", "")))
        if asked in LOOPBACK or re.fullmatch(r"127(\.\d+){3}", asked):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"ask for http://127.0.0.1\n"]

    return guarded


def _answered(application: "WSGIApplication") -> "WSGIApplication":
    """The same with an empty object for no content: pages read JSON from what comes, or say that nothing was saved."""

    def answered(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        empty: list[bool] = []

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            empty.append(status.startswith("204 "))
            if empty[-1]:
                status, headers = "200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")]
            return start_response(status, headers, *error)

        body = application(environ, start)
        return [b"{}"] if empty[-1] else body

    return answered


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
