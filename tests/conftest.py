"""What all tests share: an environment without our variables, and a search space that trains in a second."""

from pathlib import Path

import pytest
from browser import chromium  # noqa: F401  (fixtures)
from fakes import TINY
from servers import fresh_mariadb, fresh_postgres, mariadb, postgres  # noqa: F401
from slurm import slurm  # noqa: F401

HERE = Path(__file__).parent
LONGEST = [
    *("launch", "docker", "test_search_spaces.py", "nn", "test_run.py", "store", "test_docs.py", "test_benchmarks.py"),
    *("test_export.py", "report", "test_dashboard_pages.py", "integrations"),
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long tests come first, lest one of them is left alone at the end."""
    items.sort(key=lambda item: LONGEST.index(part(item)) if part(item) in LONGEST else len(LONGEST))


def part(item: pytest.Item) -> str:
    """The file or folder of tests/ that a test is in."""
    return item.path.relative_to(HERE).parts[0]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SWEEPS_STORAGE", "SWEEPS_STORAGE_FILE", "SWEEPS_ARTIFACTS", "SWEEPS_JOB"):
        monkeypatch.delenv(name, raising=False)
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
