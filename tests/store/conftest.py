"""What tests of the store share: an empty store of each kind."""

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a store that is still to be made."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/store.db"
    server = request.getfixturevalue("postgres" if request.param == "postgresql" else "mariadb")
    return str(server.database("store"))
