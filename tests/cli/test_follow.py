"""`sweeps run` and a store that is away: it is waited for, and people are told."""

import io
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
from rich.console import Console

from sweeps.cli import follow
from sweeps.errors import OutageError
from sweeps.store.tables import StudyState


def full_disk() -> sqlalchemy.exc.OperationalError:
    """What SQLite says on a full disk, as SQLAlchemy hands it on."""
    return sqlalchemy.exc.OperationalError("UPDATE", {}, sqlite3.OperationalError("database or disk is full"))


def test_a_wait_is_announced_and_so_is_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "NOTICE_S", 0.0)
    answers: Iterator[Any] = iter([full_disk(), full_disk(), StudyState.ACTIVE])

    def poll() -> StudyState:
        answer: Any = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return StudyState(answer)

    console = Console(file=io.StringIO(), width=200)
    assert follow._poll_patiently(poll, follow.StopRequests(), console) == StudyState.ACTIVE
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert printed.count("disk is full") == 1
    assert printed.endswith("the store answers again\n")


def test_a_signal_ends_the_wait_and_shortens_those_that_follow() -> None:
    stop = follow.StopRequests()
    patient = stop.patience_s

    def poll() -> StudyState:
        stop.count_request(2, None)
        raise full_disk()

    with pytest.raises(OutageError):
        follow._poll_patiently(poll, stop, Console(file=io.StringIO()))
    assert stop.patience_s < patient
