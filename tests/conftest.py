"""What all tests share: an environment without our variables, and a search space that trains in a second."""

from pathlib import Path

import pytest
from fakes import TINY
from servers import fresh_mariadb, fresh_postgres, mariadb, postgres  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEPS_STORAGE", raising=False)
    monkeypatch.delenv("SWEEPS_ARTIFACTS", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def tiny() -> str:
    """A small search space as text."""
    return TINY


@pytest.fixture
def tiny_path(tmp_path: Path) -> Path:
    """The same as a file."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path
