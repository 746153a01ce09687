"""The WSGI application of the dashboard: optuna-dashboard's, with what it lacks for our studies put around it.

Nothing else here touches optuna-dashboard's private parts.
"""

import re
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hmac import compare_digest
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qsl, quote, urlencode

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial

from sweeps.artifacts import locations
from sweeps.errors import InputError, one_line
from sweeps.optuna_private import trial_id_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from sweeps.optuna_private import ArtifactStore

LOOPBACK_NAMES = ("localhost", "[::1]", "")


def make_application(storage: BaseStorage, artifacts: str | None) -> "WSGIApplication":
    """Return optuna-dashboard's application on a store.

    Args:
        artifacts: the location of the studies' artifacts; None: none are shown.

    Raises:
        InputError: the location of the artifacts cannot be used.
    """
    from optuna_dashboard import _serializer, wsgi

    artifact_store = None
    if artifacts:
        artifact_store = ForgivingArtifactStore(_open_artifacts(artifacts))
    if not isinstance(_serializer.serialize_frozen_trial, PerTrialSerializer):
        _serializer.serialize_frozen_trial = PerTrialSerializer(_serializer.serialize_frozen_trial)
    application: WSGIApplication = wsgi(storage, artifact_store=artifact_store)
    return _answer_with_json(application)


def _open_artifacts(artifacts: str) -> "ArtifactStore":
    try:
        return locations.artifact_store(artifacts)
    except OSError as exc:
        raise InputError(f"{artifacts}: cannot be made ({one_line(exc)}); name another with --artifacts") from exc


class ForgivingArtifactStore:
    """An artifact store whose missing files are answered with 404: a store may be copied without its artifacts."""

    def __init__(self, artifact_store: "ArtifactStore") -> None:
        self._artifact_store = artifact_store

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Open an artifact.

        Raises:
            bottle.HTTPResponse: it does not exist.
        """
        from bottle import HTTPResponse  # type: ignore[import-untyped]  # noqa: PLC0415  comes with the dashboard
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        try:
            return self._artifact_store.open_reader(artifact_id)
        except ArtifactNotFound as exc:
            message = f"No file {artifact_id} at the place of the artifacts; --artifacts names it.\n"
            raise HTTPResponse(message, 404, {"Content-Type": "text/plain"}) from exc

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Write an artifact."""
        self._artifact_store.write(artifact_id, content_body)

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact, if it exists."""
        from optuna.artifacts.exceptions import ArtifactNotFound  # noqa: PLC0415  imports every client

        with suppress(ArtifactNotFound):
            self._artifact_store.remove(artifact_id)


class PerTrialSerializer:
    """optuna-dashboard's function that makes a trial's JSON, given only those attributes of the study that it needs.

    The function searches all attributes of the study for each trial's note. At 1 000 trials that takes longer than all
    the rest of a request, at 5 000 trials 25 times as long.
    """

    def __init__(self, serialize: Callable[[int, FrozenTrial, Mapping[str, Any]], dict[str, Any]]) -> None:
        self._serialize = serialize
        self._cache = threading.local()  # the attributes of the request in hand, whole and by trial

    def __call__(self, study_id: int, trial: FrozenTrial, attributes: Mapping[str, Any]) -> dict[str, Any]:
        """Return a trial as a dict for JSON."""
        if getattr(self._cache, "attributes", None) is not attributes:
            self._cache.attributes = attributes
            self._cache.by_trial = group_attributes_by_trial(attributes)
        return self._serialize(study_id, trial, self._cache.by_trial.get(trial_id_of(trial), {}))


def group_attributes_by_trial(attributes: Mapping[str, Any]) -> dict[int, dict[str, Any]]:
    """Return those attributes of a study that belong to a trial, by the trial's id."""
    by_trial: dict[int, dict[str, Any]] = {}
    for name, value in attributes.items():
        match = re.match(r"dashboard:(?:artifacts:)?(\d+):", name)
        if match:
            by_trial.setdefault(int(match[1]), {})[name] = value
    return by_trial


def require_local_host(application: "WSGIApplication") -> "WSGIApplication":
    """Return an application that rejects foreign Host headers.

    A page elsewhere may let its own name resolve to this machine (DNS rebinding); its scripts then reach the dashboard.
    """

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        host = re.sub(r":\d+$", "", str(environ.get("HTTP_HOST", "")))
        if host in LOOPBACK_NAMES or re.fullmatch(r"127(\.\d+){3}", host):
            return application(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"ask for http://127.0.0.1\n"]

    return guarded


def require_token(application: "WSGIApplication", token: str, port: int) -> "WSGIApplication":
    """Return an application that answers only to who has the token: other users of this machine reach its ports too.

    It comes once in the address, `?token=...`, and from then on in a cookie; or in a header, `Authorization: Bearer`.

    Args:
        port: names the cookie, since browsers send cookies to all ports of a machine.
    """
    name = f"sweeps-{port}"

    def guarded(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        shown = str(environ.get("HTTP_AUTHORIZATION", "")).removeprefix("Bearer ")
        with suppress(CookieError):
            cookie = SimpleCookie(str(environ.get("HTTP_COOKIE", ""))).get(name)
            if cookie is not None:
                shown = cookie.value
        if _are_equal(shown, token):
            return application(environ, start_response)
        query = dict(parse_qsl(str(environ.get("QUERY_STRING", ""))))
        if _are_equal(query.pop("token", ""), token):
            place = "/" + quote(str(environ.get("PATH_INFO", "")).lstrip("/").encode("latin-1"))
            if query:
                place += f"?{urlencode(query)}"
            kept = SimpleCookie({name: token})[name]
            kept["httponly"] = True
            kept["samesite"] = "Lax"
            kept["path"] = "/"
            headers = [("Location", place), ("Set-Cookie", kept.OutputString()), ("Content-Length", "0")]
            start_response("303 See Other", headers)
            return [b""]
        start_response("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"open the whole address that sweeps dashboard printed, with its token\n"]

    return guarded


def _are_equal(one: str, other: str) -> bool:
    return compare_digest(one.encode(errors="surrogateescape"), other.encode(errors="surrogateescape"))


def _answer_with_json(application: "WSGIApplication") -> "WSGIApplication":
    """Return an application that answers `{}` in place of no content.

    The dashboard's pages read JSON from each answer, and report a failure where there is none.
    """

    def answering(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        statuses: list[str] = []

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            statuses.append(status)
            if _has_no_content(status):
                status = "200 OK"
                headers = [("Content-Type", "application/json"), ("Content-Length", "2")]
            return start_response(status, headers, *error)

        body = application(environ, start)
        if _has_no_content(statuses[-1]):
            return [b"{}"]
        return body

    return answering


def _has_no_content(status: str) -> bool:
    return status.startswith("204 ")
