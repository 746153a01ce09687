"""What long-running commands say: text for people, JSON for log collectors, a password in neither."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from sweeps import logs
from sweeps.environment import LOG_FORMAT_VARIABLE

logger = logging.getLogger("sweeps.test")


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    package = logging.getLogger("sweeps")
    before = (package.handlers[:], package.level, package.propagate)
    yield
    package.handlers, package.level, package.propagate = before


def test_a_text_line_has_the_time_of_day_and_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging()
    logger.info("worker 0 is process 12")
    logger.debug("not shown")
    (line,) = capsys.readouterr().err.splitlines()
    time, _, message = line.partition(" ")
    datetime.strptime(time, "%H:%M:%S")
    assert message == "worker 0 is process 12"


def test_a_line_of_json_has_the_level_and_what_was_raised(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging("text")
    logs.configure_logging("json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logger.warning("100 %% of %d trials\nfailed", 3, exc_info=True)
    (line,) = capsys.readouterr().err.splitlines()
    values = json.loads(line)
    assert datetime.fromisoformat(values["time"]).tzinfo is not None
    assert (values["level"], values["logger"]) == ("warning", "sweeps.test")
    assert (values["message"], values["process"]) == ("100 % of 3 trials\nfailed", os.getpid())
    assert values["traceback"].endswith("ValueError: two\nlines")


SECRETS = [
    "postgresql+psycopg://me:correct-horse@host/db",
    "mysql+pymysql://me:correct%2Fhorse-correct-horse@host:3306/db?charset=utf8",
    "postgresql://host/db?user=me&password=correct-horse",
    "postgresql://me:x@host/db?sslpassword=correct-horse&sslmode=require",
    "mysql+mysqlconnector://me@host/db?password2=correct-horse",
]


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize("url", SECRETS)
def test_no_password_reaches_a_log(url: str, log_format: logs.LogFormat, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure_logging(log_format)
    try:
        raise OSError(f"cannot reach {url}")
    except OSError:
        logger.exception("no answer from %s", url)
    shown = capsys.readouterr().err
    assert "correct" not in shown
    assert "host" in shown


def test_a_url_without_a_password_is_left_as_it_is() -> None:
    for text in ("sqlite:////a:b@c/sweeps.db", "s3://bucket/a@b", "at 12:30:00 me@host", "http://127.0.0.1:8080/"):
        assert logs.hide_passwords(text) == text


def test_a_worker_that_cannot_start_says_so_in_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sweeps", "worker", "tiny"]
    environment = {**os.environ, LOG_FORMAT_VARIABLE: "json"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    values = json.loads(done.stderr)
    assert values["level"] == "error"
    assert values["message"].startswith("no store at sweeps.db")
