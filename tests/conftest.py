"""What all tests share: an environment without our variables, and a search space that trains in a second."""

import os
from pathlib import Path

import commands
import pytest
from browser import chromium  # noqa: F401  (fixtures)
from fakes import TINY
from hypothesis import settings
from servers import fresh_mariadb, fresh_postgres, mariadb, postgres  # noqa: F401
from slurm import _cluster, slurm  # noqa: F401

HERE = Path(__file__).parent
os.environ["PYTHONPATH"] = commands.python_path()
# How long an example takes depends on the machine: no property is about that.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
# Fixtures that start a server, and the values of parameters that ask for one.
SERVERS = {
    "postgres",
    "fresh_postgres",
    "postgresql",
    "mariadb",
    "fresh_mariadb",
    "slurm",
    "chromium",
}
# Files and folders of long tests; those that mostly wait are among those that mostly work.
LONGEST = [
    *("launch/test_slurm_cluster.py", "docker/test_images.py", "space/test_search_spaces.py", "store/test_faults.py"),
    *("cli/test_run.py", "test_docs.py", "nn/test_trainer.py", "store/test_chaos.py", "nn", "launch", "export"),
    *("test_benchmarks.py", "store", "report", "integrations", "dashboard"),
]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that need TensorFlow or a server; run the longest files first, so that none is left at the end."""
    for item in items:
        if HERE / "nn" in item.path.parents:
            item.add_marker("tensorflow")
        if uses_server(item):
            item.add_marker("server")
    items.sort(key=turn)


def uses_server(item: pytest.Item) -> bool:
    """Return whether a test starts a database server, a cluster or a browser."""
    assert isinstance(item, pytest.Function)
    fixtures = set(item.fixturenames)
    if hasattr(item, "callspec"):
        fixtures |= {str(value) for value in item.callspec.params.values()}
    return bool(fixtures & SERVERS)


def turn(item: pytest.Item) -> int:
    """When a test's file comes."""
    path = item.path.relative_to(HERE)
    parts = [path.as_posix(), path.parts[0]]
    return min((LONGEST.index(part) for part in parts if part in LONGEST), default=len(LONGEST))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "SWEEPS_STORAGE",
        "SWEEPS_STORAGE_FILE",
        "SWEEPS_ARTIFACTS",
        "SWEEPS_JOB",
        "SWEEPS_LOG_FORMAT",
        "SWEEPS_TRUST",
    ):
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
