"""What workers and supervisors say while they run: one line per message on stderr, as text or as JSON.

Modules take a logger with `logging.getLogger(__name__)`; the commands that run for long call `configure_logging`.
"""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Literal

from sweeps.surfaces import make_printable

LogFormat = Literal["text", "json"]
# Options of a storage URL that hold a password.
MASK = "***"
SECRET_OPTION = re.compile(r"\w*(?:password|passwd|secret|token)\w*", re.IGNORECASE)
# In "scheme://user:password@host" and in "...?password=...&...": messages come from drivers and clients too.
PASSWORD_IN_URL = re.compile(r"(?P<before>[a-zA-Z][\w+.-]*://[^\s:/@]*:)[^\s@]+(?P<after>@)")
PASSWORD_IN_OPTION = re.compile(rf"(?P<before>(?:^|[?&\s'\"(,]){SECRET_OPTION.pattern}=)[^&\s'\"),]+", re.IGNORECASE)

_package = logging.getLogger("sweeps")


def configure_logging(log_format: LogFormat = "text") -> None:
    """Write the messages of this package to stderr, from the level INFO on; replace an earlier configuration.

    Args:
        log_format: "text": `HH:MM:SS message`. "json": an object per line with the keys time (ISO 8601, UTC), level,
            logger, message, and traceback if there is one.
    """
    handler = StderrHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter("%(asctime)s %(message)s", "%H:%M:%S"))
    for earlier in list(_package.handlers):
        _package.removeHandler(earlier)
    _package.addHandler(handler)
    _package.setLevel(logging.INFO)
    _package.propagate = False


def print_error(text: str) -> None:
    """Write the error that ends this process to stderr: in JSON if the log is, else as lines of `sweeps: ...`."""
    if any(isinstance(handler.formatter, JsonFormatter) for handler in _package.handlers):
        _package.error(text)
        return
    for line in text.splitlines():
        print(f"sweeps: {make_printable(line)}", file=sys.stderr)


def hide_passwords(text: str) -> str:
    """Return the text with *** in place of the passwords of URLs."""
    text = PASSWORD_IN_URL.sub(rf"\g<before>{MASK}\g<after>", text)
    return PASSWORD_IN_OPTION.sub(rf"\g<before>{MASK}", text)


class StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one message."""
        try:
            print(self.format(record), file=sys.stderr, flush=True)
        except OSError:  # a full disk: no reason to stop training
            self.handleError(record)


class TextFormatter(logging.Formatter):
    """Lines for people, without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message with its time of day."""
        return make_printable(hide_passwords(super().format(record)))


class JsonFormatter(logging.Formatter):
    """Lines for a log collector: one JSON object each, without passwords."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message as a JSON object in one line."""
        values = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": hide_passwords(record.getMessage()),
        }
        if record.exc_info:
            values["traceback"] = hide_passwords(self.formatException(record.exc_info))
        return json.dumps(values)
