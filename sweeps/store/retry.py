"""Outages: which of a database's errors go away by themselves, and how long to try again."""

import math
import random
import sqlite3
import time
from collections.abc import Callable
from typing import TypeVar

import optuna
import sqlalchemy
from sqlalchemy.exc import DBAPIError, PendingRollbackError, SQLAlchemyError

from sweeps.errors import NoSpaceError, OutageError, StoreError, SweepsError, one_line

Result = TypeVar("Result")

SHORTEST_WAIT_S = 0.05  # between two attempts
LONGEST_WAIT_S = 5.0
ASKED_S = 0.2  # how often whoever waits is asked whether to give up
OUTAGE_S = 900.0  # how long a store that is away is waited for, by those who have work in hand
DATABASE_ERRORS = (SQLAlchemyError, optuna.exceptions.StorageInternalError)

# What goes away by itself, by SQLSTATE (PostgreSQL, appendix A) and by MariaDB's numbers.
TEMPORARY_STATES = ("08", "40", "53", "57", "25006", "25P03", "55P03")
TEMPORARY_NUMBERS = {1021, 1040, 1053, 1114, 1205, 1213, 1290, 1317, 1927, 1969, 2002, 2003, 2006, 2013, 2055, 4031}
TEMPORARY_WORDS = (
    "database is locked",
    "database table is locked",
    "database schema is locked",
    "disk is full",
    "disk I/O error",  # also of files beside the store that a full disk does not take
    "readonly database",  # of a file system that was mounted anew after an error
    "unable to open database file",
)
# psycopg gives no SQLSTATE for what the server says before a session exists.
PERMANENT_WORDS = (
    "authentication failed",
    "does not exist",
    "no pg_hba.conf entry",
    "not permitted to log in",
    "no password",
)


def is_temporary(exc: BaseException) -> bool:
    """Return whether a database's error may go away by itself: a restart, a fail-over, a lock, a full disk."""
    if isinstance(exc, NoSpaceError):
        return True
    error = _database_error(exc)
    if error is None:
        # Optuna catches some errors of the driver; what follows tells of a connection that was lost, or of none free.
        causes = (exc, exc.__cause__)
        return any(isinstance(cause, (PendingRollbackError, sqlalchemy.exc.TimeoutError)) for cause in causes)
    original = error.orig
    state = str(getattr(original, "sqlstate", None) or "")
    if state:
        return state.startswith(TEMPORARY_STATES)
    text = str(original)
    if isinstance(original, sqlite3.Error):
        return any(word in text for word in TEMPORARY_WORDS)
    number = original.args[0] if original is not None and original.args else None
    if isinstance(number, int) and number:
        return number in TEMPORARY_NUMBERS
    refused = any(word in text for word in PERMANENT_WORDS)
    return error.connection_invalidated or (isinstance(error, sqlalchemy.exc.OperationalError) and not refused)


def explain_error(exc: BaseException) -> SweepsError | None:
    """Return a database's error as one of ours, in one line without passwords; None where it is no database's."""
    if not isinstance(exc, (*DATABASE_ERRORS, sqlite3.Error)):
        return None
    text = error_message(exc)
    if "disk is full" in text:
        return OutageError(f"no space is left where the store is ({text}); make some, and give the command again")
    if is_temporary(exc):
        return OutageError(f"the store does not answer ({text}); give the command again when it does")
    return StoreError(f"the store refuses: {text}")


def _database_error(exc: BaseException | None) -> DBAPIError | None:
    """Return the driver's error inside Optuna's or ours."""
    while exc is not None and not isinstance(exc, DBAPIError):
        exc = exc.__cause__
    return exc


def retry_while_unavailable(
    operation: Callable[[], Result],
    limit_s: float,
    giving_up: Callable[[], bool] = lambda: False,
    waiting: Callable[[str], None] = lambda _: None,
    notice_s: float = 0.0,
) -> Result:
    """Do something in a database again and again while its errors are temporary.

    Args:
        operation: does no harm when it is done twice.
        limit_s: seconds after which it is given up.
        giving_up: asked again and again before each further attempt.
        waiting: told once what the database said, where there will be a further attempt.
        notice_s: seconds that pass before it is told.

    Raises:
        OutageError: it is still not done after `limit_s`, or it was given up.
    """
    deadline = math.inf
    told = False
    wait = SHORTEST_WAIT_S
    while True:
        try:
            return operation()
        except (*DATABASE_ERRORS, NoSpaceError) as exc:
            if not is_temporary(exc):
                raise
            # From the first error: this process may have slept, or the operation waited for a lock.
            deadline = min(deadline, time.monotonic() + limit_s)
            if time.monotonic() >= deadline or giving_up():
                raise OutageError(f"the store does not answer: {error_message(exc)}") from exc
            if not told and time.monotonic() >= deadline - limit_s + notice_s:
                told = True
                waiting(error_message(exc))
        _wait_between_attempts(
            wait * random.uniform(0.5, 1.5), giving_up
        )  # apart from the others that wait for the same server
        wait = min(2 * wait, LONGEST_WAIT_S)


def _wait_between_attempts(seconds: float, giving_up: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0 and not giving_up():
        time.sleep(min(left, ASKED_S))


def error_message(exc: BaseException) -> str:
    """Return what the driver said, in one line; drivers quote hosts and users, never passwords."""
    error = _database_error(exc)
    return one_line(error.orig if error is not None and error.orig is not None else exc)
