"""What tests of the store share: an empty store of each kind."""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def processes() -> Iterator[Pool]:
    """Six processes for all tests: the start of each costs a second of processor time."""
    with multiprocessing.get_context("spawn").Pool(6) as pool:
        yield pool


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that is still to be made."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
    return str(server.database("store"))
