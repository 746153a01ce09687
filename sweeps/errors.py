"""Every error of ours, named by what the reader can do about it.

SweepsError                 exit 1: something went wrong on our side of the line
├── InputError              exit 2: change what you typed or wrote
│   ├── SpaceError          the search-space file: file: key: what is wrong; what to change
│   └── StoreError          the SQL store: its URL, its schema, a study's name
│       └── NoStoreError    nothing is there yet
├── OutageError             exit 75: the store does not answer for longer than is waited for; it may later
├── LostLeaseError          this worker was taken for dead: what it does is another's by now
├── TrialError              this trial fails with the reason; the worker goes on
└── WorkerError             workers keep failing; the message says where to look

Any other exception is a bug: a traceback, and exit 70.
"""

import difflib
import errno
import re
import sysconfig
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

BUG = 70  # EX_SOFTWARE of sysexits.h: an exception that nobody expected; a worker that ends by one is started again
TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: whoever started the command may start it again


class SweepsError(Exception):
    """Root of the tree; the text is one line for a person."""

    exit_code = 1


class InputError(SweepsError):
    """What was typed or written cannot be used; nothing was changed."""

    exit_code = 2


class SpaceError(InputError):
    """A search-space file that cannot be used.

    Args:
        source: the file's name as the user gave it.
        problems: (key, what is wrong and what to change), in the order of the file.
    """

    def __init__(self, source: str, problems: list[tuple[str, str]]) -> None:
        self.source = source
        self.problems = problems
        super().__init__("\n".join(": ".join(part for part in (source, key, text) if part) for key, text in problems))


class StoreError(InputError):
    """The store cannot be opened, or does not hold what was asked for."""


class NoStoreError(StoreError):
    """There is no store at the URL yet, or it is empty."""


class OutageError(SweepsError):
    """The store does not answer, and was waited for long enough."""

    exit_code = TRY_AGAIN


class NoSpaceError(OutageError):
    """The disk has no room for the store to be opened."""


class LostLeaseError(SweepsError):
    """The trial belongs to another worker by now; nothing more is written of it."""


class TrialError(SweepsError):
    """One trial's configuration or data cannot be trained."""


class WorkerError(SweepsError):
    """Workers keep failing, so that going on would only waste the budget."""


def is_full(exc: BaseException) -> bool:
    """Return whether an error says that a disk, or a user's share of one, is full."""
    return isinstance(exc, OSError) and exc.errno in (errno.ENOSPC, errno.EDQUOT)


def explain_failed_write(exc: OSError) -> str:
    """Return why a file that a user named cannot be written, and what to do."""
    if is_full(exc):
        return "cannot be written: no space is left there; make some, or name another file"
    return f"cannot be written ({exc.strerror or exc}); name another file"


def one_line(exc: BaseException) -> str:
    """Return an exception's text without line breaks; its type where it says nothing."""
    return " ".join(str(exc).split()) or type(exc).__name__


def describe_error(exc: BaseException) -> str:
    """Return an exception in one line: of ours the text alone, of others the type too."""
    if isinstance(exc, SweepsError):
        return one_line(exc)
    return f"{type(exc).__name__}: {one_line(exc)}"


def describe_place(exc: BaseException) -> str:
    """Return where in a user's own files an exception was raised, as ` (nets.py, line 12: x = f(y))`; empty where none
    of them took part.

    Files of installed packages, of Python and of this package are nobody's own.
    """
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if _is_own_file(frame.filename)]
    if not frames and exc.__cause__ is not None:
        return describe_place(exc.__cause__)
    if not frames:
        return ""
    last = frames[-1]
    return f" ({Path(last.filename).name}, line {last.lineno}: {last.line})"


def _is_own_file(name: str) -> bool:
    path = Path(name)
    if not path.is_file() or path.is_relative_to(Path(__file__).parent):
        return False
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not installed and not path.is_relative_to(sysconfig.get_path("stdlib"))


def quoted(value: object) -> str:
    """Return a value as a message may quote it."""
    text = repr(value)
    if len(text) <= 80:
        return text
    return text[:77] + "..."


def did_you_mean(value: object, options: Iterable[str]) -> str:
    """Return the end of a sentence about a name that is none: the nearest that is one, if any is near."""
    close = difflib.get_close_matches(str(value), list(options), 1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return ""


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return what is wrong with a key that nobody knows."""
    names = sorted(known)
    return f"unknown key{did_you_mean(key, names)}; known here: {', '.join(names)}"


def validation_reason(error: Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as the end of a sentence that starts with the key."""
    value = error["input"]
    kind = error["type"]
    if kind == "literal_error":
        options = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"{quoted(value)} is not among {', '.join(options)}{did_you_mean(value, options)}"
    if kind == "string_pattern_mismatch" and ":" in error["ctx"]["pattern"]:  # that of an import path
        return f"{quoted(value)} is no import path; write package.module:function"
    if kind == "string_pattern_mismatch":  # that of a name
        return f"{quoted(value)} has a line break or another control character; leave it out"
    if kind == "missing":
        return "is missing; add it"
    if kind == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    text = str(error["msg"]).removeprefix("Input ")
    return f"{text}, not {quoted(value)}"
